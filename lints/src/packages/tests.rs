use std::collections::BTreeSet;
use std::io::{Cursor, Read as _};
use std::{fs, iter};

use flate2::read::GzDecoder;
use tempfile::TempDir;

use super::*;
use crate::Severity;
use crate::model::sqlite::Database;
use crate::model::sqlite::testing::Written;
use crate::rules::fixture::Fixture;
use crate::rules::{input_unreadable, unit_state_missing};
use crate::tree::testing::{LayerTar, TestImage};
use crate::tree::{Rootfs, Tree};

/// Real databases; tests/rpmdb/make.sh makes them.
const DATABASE: &[u8] = include_bytes!("../../tests/rpmdb/rpmdb.sqlite.gz");
const LOG: &[u8] = include_bytes!("../../tests/rpmdb/rpmdb.sqlite-wal.gz");

fn unpacked(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes).expect("gzip");
    bytes
}

fn root(files: &[(&str, &[u8])]) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    }
    root
}

/// What packages own at some paths, a line each, and what was not read.
fn owned(tree: &dyn Tree, tops: &[&str]) -> (Vec<String>, Vec<String>) {
    let tops: Vec<&[u8]> = tops.iter().map(|top| top.as_bytes()).collect();
    let mut lines = Vec::new();
    let unread = PackageDb::of(tree).owned(&tops, &mut |installed, owned| {
        let path = String::from_utf8_lossy(owned.path);
        let said = owned.attributes.map_or_else(String::new, |file| {
            let [user, group] = [file.user, file.group].map(String::from_utf8_lossy);
            let target = file.target.map(String::from_utf8_lossy);
            let target = target.map_or_else(String::new, |target| format!(" -> {target}"));
            let flags = match (file.is_configuration, file.is_installed) {
                (true, _) => " %config",
                (_, false) => " %ghost",
                _ => "",
            };
            let (kind, mode) = (file.kind.name(), file.mode);
            format!(" {kind} {mode:04o} {user}:{group}{target}{flags}")
        });
        lines.push(format!("{}: {path}{said}", installed.name()));
    });
    (lines, unread.iter().map(ToString::to_string).collect())
}

/// As `rpm --query --all --queryformat '[%{FILENAMES} %{FILEMODES:octal} …]'` has it.
const OWNED: [&str; 14] = [
    "acme-agent: /opt/acme directory 0755 root:root",
    "acme-agent: /opt/acme/bin directory 0755 root:root",
    "acme-agent: /opt/acme/bin/acme file 2755 root:acme",
    "acme-agent: /usr/local/bin/acme symbolic link 0777 root:root -> /opt/acme/bin/acme",
    "acme-agent: /var/lib/acme directory 0750 acme:acme",
    "acme-agent: /var/lib/acme/current symbolic link 0777 root:root -> ../../usr/share/acme",
    "acme-agent: /var/lib/acme/spool directory 2770 acme:acme-data",
    "acme-agent: /var/log/acme directory 0755 acme:acme",
    "acme-agent: /var/log/acme/agent.log file 0600 acme:acme %ghost",
    "acme-agent-plugin: /var/lib/acme-plugin directory 0755 root:root",
    "filesystem: /opt directory 0755 root:root",
    "filesystem: /usr/local directory 0755 root:root",
    "filesystem: /usr/local/bin directory 0755 root:root",
    "filesystem: /var directory 0755 root:root",
];

#[test]
fn a_real_database_of_rpm_tells_who_owns_what() {
    let database = unpacked(DATABASE);
    let tops = ["/var", "/opt", "/usr/local"];
    let more = ["/var/adm", "/var/lib", "/var/lib/misc"];
    let more = more.map(|path| format!("filesystem: {path} directory 0755 root:root"));
    let expected: BTreeSet<String> = OWNED.map(str::to_owned).into_iter().chain(more).collect();
    for place in ["usr/lib/sysimage/rpm", "usr/share/rpm", "var/lib/rpm"] {
        let root = root(&[(&format!("{place}/rpmdb.sqlite"), &database)]);
        let tree = Rootfs::open(root.path()).expect("a root");
        let (lines, unread) = owned(&tree, &tops);
        assert_eq!(lines.len(), expected.len());
        assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(unread, [""; 0]);
    }
    // The same from layers, which are streams.
    let layer = LayerTar::new()
        .file("usr/share/rpm/rpmdb.sqlite", &database)
        .symlink("var/lib/rpm", "../../usr/share/rpm");
    let image = TestImage::new().gzip(layer).read().expect("an image");
    let (lines, unread) = owned(&image, &tops);
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(unread, [""; 0]);
}

#[test]
fn an_owner_is_found_by_its_very_path() {
    let root = root(&[("usr/share/rpm/rpmdb.sqlite", &unpacked(DATABASE))]);
    let tree = Rootfs::open(root.path()).expect("a root");
    let tops = ["/etc/acme/agent.conf", "/usr/local/bin/ac", "/etc/ac"];
    let (lines, _) = owned(&tree, &tops);
    assert_eq!(
        lines,
        ["acme-agent: /etc/acme/agent.conf file 0640 root:acme %config"]
    );
}

#[test]
fn what_a_killed_transaction_has_written_counts() {
    let (database, log) = (unpacked(DATABASE), unpacked(LOG));
    let path = "usr/share/rpm/rpmdb.sqlite";
    let names_of = |database: &[u8], log: &[u8]| {
        let wal = format!("{path}-wal");
        let root = root(&[(path, database), (&wal, log)]);
        let tree = Rootfs::open(root.path()).expect("a root");
        let mut names = BTreeSet::new();
        let unread = PackageDb::of(&tree).each(&mut |installed| {
            let mut count = 0;
            installed.entries(&mut |_| count += 1);
            names.insert((installed.name().to_owned(), count));
        });
        assert!(unread.is_empty(), "{unread:?}");
        names
    };
    let names = |log: &[u8]| names_of(&database, log);
    let before = [
        ("acme-agent", 15),
        ("acme-agent-plugin", 2),
        ("filesystem", 7),
    ];
    let before: BTreeSet<_> = before.map(|(name, count)| (name.to_owned(), count)).into();
    let mut after = before.clone();
    after.insert(("many".to_owned(), 303));
    assert_eq!(names(&log), after);
    // A log that ends within the transaction, of another file, or damaged: nothing of it counts.
    assert_eq!(names(&log[..log.len() / 2]), before);
    assert_eq!(names(&[&[0; 100], &log[..]].concat()), before);
    let mut damaged = log.clone();
    damaged[5000] ^= 1;
    assert_eq!(names(&damaged), before);
    assert_eq!(names(b""), before);

    // The log in the file says the same.
    let mut file = database.clone();
    let opened = Database::open(Cursor::new(&database), Some(Cursor::new(&log)));
    let size = opened.expect("a database").checkpoint(|place, page| {
        let place = usize::try_from(place).expect("a place");
        file.resize(file.len().max(place + page.len()), 0);
        file[place..place + page.len()].copy_from_slice(page);
        Ok(())
    });
    let size = size.expect("reads").expect("a transaction");
    assert_eq!(size, file.len() as u64);
    assert_eq!(names_of(&file, b""), after);
    for none in [&log[..log.len() / 2], b""] {
        let opened = Database::open(Cursor::new(&database[..]), Some(Cursor::new(none)));
        let checkpoint = opened
            .expect("a database")
            .checkpoint(|_, _| panic!("a page"));
        assert_eq!(checkpoint.expect("reads"), None);
    }
}

#[test]
fn accounts_scripts_and_times_of_a_package_are_known() {
    let root = root(&[("usr/share/rpm/rpmdb.sqlite", &unpacked(DATABASE))]);
    let tree = Rootfs::open(root.path()).expect("a root");
    let unread = PackageDb::of(&tree).each(&mut |installed| {
        assert_eq!(installed.manager(), Manager::Rpm);
        if installed.name() != "acme-agent" {
            assert_eq!(installed.changelog_time(), None);
            return;
        }
        let accounts = [Account::Group(b"acme"), Account::User(b"acme")];
        assert_eq!(installed.accounts(), accounts);
        // 14 November 2023 at noon.
        assert_eq!(installed.changelog_time(), Some(1_699_963_200));
        let Script::Text(script) = installed.script() else {
            panic!("rpm has scripts in its database");
        };
        let script = String::from_utf8(script).expect("text");
        let parts = ["Nothing is to be done", "acme-helper", "acme-agent.service"];
        let places = parts.map(|part| script.find(part));
        assert!(places.is_sorted() && places[0].is_some(), "{places:?}");
    });
    assert!(unread.is_empty(), "{unread:?}");
}

#[test]
fn a_unit_of_an_rpm_misses_the_same_as_that_of_dpkg() {
    let unit = "[Service]\nExecStart=/usr/sbin/acme-agent\n";
    let image = || {
        Fixture::new()
            .file_with("usr/sbin/acme-agent", "\x7fELF", 0o755)
            .program("bin/sh")
            .service("acme-agent", unit)
            .file("etc/acme/agent.conf", "state /var/lib/acme\n")
            .file("etc/logrotate.d/acme", "/var/log/acme/*.log {}\n")
            .file(
                "etc/passwd",
                "acme:x:990:990::/:/bin/sh\nacme-helper:x:991:991::/:/bin/sh\n",
            )
    };
    let rpm = image().file("usr/lib/sysimage/rpm/rpmdb.sqlite", unpacked(DATABASE));
    let list = "/var/lib/acme\n/var/lib/acme/current\n/var/lib/acme/spool\n/var/log/acme\n\
                /etc/acme/agent.conf\n/etc/logrotate.d/acme\n\
                /usr/lib/systemd/system/acme-agent.service\n";
    let dpkg = image()
        .file("var/lib/dpkg/info/acme-agent.list", list)
        .file(
            "var/lib/dpkg/info/acme-agent.postinst",
            "useradd acme acme-helper\n",
        )
        .file(
            "var/lib/dpkg/info/acme-agent-plugin.list",
            "/usr/lib/a.so\n/var/lib/acme-plugin\n",
        );
    let findings = |fixture: Fixture| {
        fixture.of_image(|image| {
            let predictions = image.predictions().iter();
            let reasons: Vec<_> = predictions.map(|found| format!("{found:?}")).collect();
            reasons
        })
    };
    let found = findings(rpm);
    assert_eq!(found, findings(dpkg));
    let missing = [
        "/var/lib/acme\"",
        "/var/lib/acme/spool\"",
        "/var/log/acme\"",
        "acme-helper",
    ];
    for part in missing {
        assert!(
            found.iter().any(|reason| reason.contains(part)),
            "{part}: {found:?}"
        );
    }
    assert!(
        found.iter().all(|reason| !reason.contains("agent.log")),
        "{found:?}"
    );
}

#[test]
fn what_boots_of_debian_have_shown_is_not_asked_of_rpms() {
    let header = header(&[
        (1000, 6, b"at\0"),
        (1116, 4, &[0; 4]),
        (1117, 8, b"a.service\0"),
        (1118, 8, b"/usr/lib/systemd/system/\0"),
    ]);
    let database = Written::with(4096, "Packages", &[(1, header)]);
    let fixture = Fixture::new()
        .program("bin/sh")
        .program("usr/sbin/at")
        .service("a", "[Service]\nExecStart=/usr/sbin/at\n")
        .file("usr/lib/sysimage/rpm/rpmdb.sqlite", database);
    assert_eq!(fixture.findings_of(&unit_state_missing::RULE), []);
    let list = "/usr/lib/systemd/system/a.service\n";
    let fixture = fixture.file("var/lib/dpkg/info/at.list", list);
    assert_eq!(fixture.findings_of(&unit_state_missing::RULE).len(), 1);
}

/// A header of entries that have one value each.
fn header(entries: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, bytes) in entries {
        let place = u32::try_from(data.len()).expect("a short header");
        index.extend([*tag, *kind, place, 1].map(u32::to_be_bytes).concat());
        data.extend_from_slice(bytes);
    }
    let sizes = [entries.len(), data.len()].map(|size| u32::try_from(size).expect("few"));
    [sizes.map(u32::to_be_bytes).concat(), index, data].concat()
}

#[test]
fn an_empty_database_hides_no_other() {
    let empty = Written::with(4096, "Packages", &[]);
    let root = root(&[
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", &empty),
        ("var/lib/rpm/rpmdb.sqlite", &unpacked(DATABASE)),
    ]);
    let tree = Rootfs::open(root.path()).expect("a root");
    let (lines, unread) = owned(&tree, &["/var/lib/acme-plugin"]);
    assert_eq!((lines.len(), unread.len()), (1, 0));
}

#[test]
fn what_is_not_read_is_told_and_never_an_error() {
    let told = |path: &str, content: &[u8]| {
        let fixture = Fixture::new().file(path, content);
        let fixture = fixture.service("a", "[Service]\nExecStart=/bin/a\n");
        let findings = fixture.findings_of(&input_unreadable::RULE);
        let told = findings
            .into_iter()
            .map(|found| (found.severity, found.message));
        told.collect::<Vec<_>>()
    };
    let ndb = "/usr/lib/sysimage/rpm/Packages.db is not read: only rpm's format sqlite is, and this is ndb";
    let found = told("usr/lib/sysimage/rpm/Packages.db", b"RpmP");
    assert_eq!(found, [(Severity::Info, ndb.to_owned())]);
    let found = told("var/lib/rpm/Packages", b"bdb");
    assert_eq!((found.len(), found[0].0), (1, Severity::Info));
    let found = told("var/lib/rpm/rpmdb.sqlite", b"none");
    let none = "/var/lib/rpm/rpmdb.sqlite cannot be read: it is no SQLite database";
    assert_eq!(found, [(Severity::Warning, none.to_owned())]);
    let no_header = Written::with(4096, "Packages", &[(7, vec![1; 30])]);
    let found = told("var/lib/rpm/rpmdb.sqlite", &no_header);
    assert!(
        found[0]
            .1
            .ends_with("header 7 is no use: it is no header of a package"),
        "{found:?}"
    );
    assert_eq!(told("var/lib/rpm/rpmdb.sqlite", &unpacked(DATABASE)), []);
}

#[test]
fn a_transaction_that_has_not_ended_is_told() {
    let journal = [
        &[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7][..],
        &[0; 20],
    ]
    .concat();
    for (journal, is_told) in [(&*journal, true), (&[0; 28], false), (b"", false)] {
        let root = root(&[
            ("var/lib/rpm/rpmdb.sqlite", &unpacked(DATABASE)),
            ("var/lib/rpm/rpmdb.sqlite-journal", journal),
        ]);
        let tree = Rootfs::open(root.path()).expect("a root");
        let (lines, unread) = owned(&tree, &["/opt/acme"]);
        assert_eq!((lines.is_empty(), unread.len() == 1), (is_told, is_told));
    }
}

#[test]
fn dpkg_knows_paths_alone() {
    let root = root(&[
        (
            "var/lib/dpkg/info/acme:amd64.list",
            b"/.\n/var\n/var/lib/acme\n/opt/x\n",
        ),
        ("usr/share/rpm/rpmdb.sqlite", &unpacked(DATABASE)),
    ]);
    let tree = Rootfs::open(root.path()).expect("a root");
    let (lines, unread) = owned(&tree, &["/var/lib/acme", "/opt/acme/bin/acme"]);
    let expected = [
        "acme: /var/lib/acme",
        OWNED[4],
        OWNED[5],
        OWNED[6],
        OWNED[2],
    ];
    assert_eq!(lines.len(), expected.len());
    assert!(
        expected
            .iter()
            .all(|line| lines.iter().any(|found| found == line)),
        "{lines:?}"
    );
    assert_eq!(unread, [""; 0]);
}

#[test]
fn a_database_of_pacman_is_told_once() {
    for place in ["var/lib/pacman", "usr/lib/sysimage/lib/pacman"] {
        let root = root(&[(&format!("{place}/local/ALPM_DB_VERSION"), b"9")]);
        let tree = Rootfs::open(root.path()).expect("a root");
        let unread = PackageDb::of(&tree).each(&mut |_| ());
        let unread: Vec<String> = unread.iter().map(ToString::to_string).collect();
        let expected = format!("/{place}/local is not read: it is the database of pacman");
        assert_eq!(unread, [expected]);
    }
    let root = root(&[("var/lib/pacman/sync/core.db", b"")]);
    let tree = Rootfs::open(root.path()).expect("a root");
    assert_eq!(PackageDb::of(&tree).each(&mut |_| ()).len(), 0);
}

#[test]
fn nothing_is_read_before_somebody_asks() {
    let root = root(&[("usr/share/rpm/rpmdb.sqlite", b"none")]);
    let tree = Rootfs::open(root.path()).expect("a root");
    let before = tree.budget().spent();
    let packages = PackageDb::of(&tree);
    assert_eq!(tree.budget().spent(), before);
    assert_eq!(packages.each(&mut |_| {}).len(), 1);
}

#[test]
fn a_real_database_that_was_damaged_is_survived() {
    let database = unpacked(DATABASE);
    let mut random = 1_u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(random >> 33).expect("31 bits")
    };
    for _ in 0..100 {
        let mut damaged = database.clone();
        for _ in 0..20 {
            let (at, value) = (next() % damaged.len(), next());
            damaged[at] = u8::try_from(value % 256).expect("a byte");
        }
        let root = root(&[("usr/share/rpm/rpmdb.sqlite", &damaged)]);
        let tree = Rootfs::open(root.path()).expect("a root");
        let (lines, unread) = owned(&tree, &[""]);
        assert!(
            lines.len() < 100 && unread.len() < 3,
            "{lines:?} {unread:?}"
        );
    }
    let ends = iter::successors(Some(0), |end| Some(end + 30_011));
    for end in ends.take_while(|end| *end < database.len()) {
        let root = root(&[("usr/share/rpm/rpmdb.sqlite", &database[..end])]);
        let tree = Rootfs::open(root.path()).expect("a root");
        let (_, unread) = owned(&tree, &["/var"]);
        assert_eq!(unread.len(), 1, "{end}");
    }
}
