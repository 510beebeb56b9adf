//! What systemd and osderive do not agree on, and why that is right.

/// Disagreements of one kind.
pub(crate) struct Justified {
    /// What the file's or unit's name begins with.
    pub(crate) place: &'static str,
    /// A part of what one side says.
    pub(crate) what: &'static str,
    /// A part of the line.
    pub(crate) line: &'static str,
    /// Why it is right.
    pub(crate) why: &'static str,
}

const fn justified([place, what, line]: [&'static str; 3], why: &'static str) -> Justified {
    Justified {
        place,
        what,
        line,
        why,
    }
}

pub(crate) const SYSUSERS: [Justified; 1] = [justified(
    [
        "zz-mutated-",
        "only systemd: Conflict with earlier configuration",
        "",
    ],
    "each line is right: that two contradict is account-declaration-differs",
)];

pub(crate) const TMPFILES: [Justified; 11] = [
    justified(
        [
            "vsftpd.conf",
            "only systemd: Line references path below legacy directory",
            "/var/run",
        ],
        "a warning: the line counts, for the path below /run",
    ),
    justified(
        [
            "legacy.conf",
            "only systemd: Duplicate line for path",
            "/run/lock",
        ],
        "the line is right: that another file has the path too is tmpfiles-duplicate-path",
    ),
    justified(
        [
            "zz-mutated-",
            "only systemd: Line references path below legacy directory",
            "/var/run",
        ],
        "a warning, as above",
    ),
    justified(
        ["zz-mutated-", "only systemd: Duplicate line for path", ""],
        "a right line, as above",
    ),
    justified(
        [
            "zz-mutated-",
            "lines don't take argument fields, ignoring.",
            "",
        ],
        "a warning: the line counts without its argument",
    ),
    justified(
        ["zz-mutated-", "only systemd: Failed to resolve", ""],
        "the line is right: that the account is unknown is tmpfiles-unknown-account",
    ),
    justified(
        [
            "zz-mutated-",
            "only systemd: Failed to parse line: Invalid argument",
            "\\",
        ],
        "systemd 252 takes what stands after a backslash as it is, and reads the line",
    ),
    justified(
        ["zz-mutated-", "only osderive: has ", "^ /"],
        "systemd reads no further where the credential is missing, as it is here",
    ),
    justified(
        ["zz-mutated-", "only osderive: has ", "h /"],
        "systemd refuses the attributes first, and names no line when it does",
    ),
    justified(
        ["zz-mutated-", "only osderive: has no valid", "C /"],
        "systemd reads no further where the source is missing, as it is here",
    ),
    justified(
        ["zz-mutated-", "only osderive: has a path with ..", ".."],
        "systemd reads the line and makes nothing of it, \"path not normalized\", which no dry run tells",
    ),
];

pub(crate) const READ: [Justified; 0] = [];

const CONDITION: &str = "the unit is skipped where the program is missing: a condition names it";
const MOUNT: &str = "a mount unit is made on the machine, of fstab or of what is mounted";

pub(crate) const UNITS: [Justified; 9] = [
    justified(
        [
            "dbus.service",
            "only systemd: program /usr/bin/dbus-send",
            "",
        ],
        "ExecReload= is nothing of the boot",
    ),
    justified(
        [
            "named-resolvconf.service",
            "only systemd: program /sbin/resolvconf",
            "",
        ],
        CONDITION,
    ),
    justified(
        [
            "quotaon@test_instance.service",
            "only systemd: program /usr/sbin/quotaon",
            "",
        ],
        CONDITION,
    ),
    justified(
        [
            "rc-local.service",
            "only systemd: program /etc/rc.local",
            "",
        ],
        CONDITION,
    ),
    justified(
        ["", "only systemd: unit rpc_pipefs.target", ""],
        "a generator of nfs-common makes it at boot",
    ),
    justified(
        [
            "quotaon@test_instance.service",
            "only systemd: unit test_instance.mount",
            "",
        ],
        MOUNT,
    ),
    justified(
        ["systemd-", "only systemd: unit test_instance.mount", ""],
        MOUNT,
    ),
    justified(
        ["mutated-", "only systemd: program /run/x", "ExecStart="],
        "what is in /run is made on the machine",
    ),
    justified(
        ["mutated-", "bin/bash", "%s"],
        "which shell is root's depends on systemd's version, so nothing is said of it",
    ),
];

/// Fails for each disagreement (place, what, line) that nothing justifies, and for each justification of
/// nothing.
pub(crate) fn check(table: &[Justified], disagreements: &[[String; 3]]) {
    let fits = |entry: &Justified, [place, what, line]: &[String; 3]| {
        place.starts_with(entry.place) && what.contains(entry.what) && line.contains(entry.line)
    };
    let open: Vec<_> = disagreements
        .iter()
        .filter(|one| !table.iter().any(|entry| fits(entry, one)))
        .map(|one| one.join(" | "))
        .collect();
    assert!(open.is_empty(), "nothing justifies:\n{}", open.join("\n"));
    let is_needed = |entry: &&Justified| disagreements.iter().any(|one| fits(entry, one));
    let idle: Vec<_> = (table.iter())
        .filter(|entry| !is_needed(entry))
        .map(|entry| format!("{} {} ({})", entry.place, entry.what, entry.why))
        .collect();
    assert!(
        idle.is_empty(),
        "no longer so, remove it:\n{}",
        idle.join("\n")
    );
}
