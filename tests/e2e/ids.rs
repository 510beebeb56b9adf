//! The id ledger: a file in the build context gives accounts the same ids in every rebuild, whatever
//! tool makes them and in whatever order.

use crate::{Scenario, Setup};

crate::tests![
    packages_get_the_same_ids_in_any_order,
    new_accounts_are_told_as_lines_to_add_and_then_the_build_is_quiet,
    an_id_that_cannot_be_given_is_told,
    a_wrong_or_missing_ledger_stops_the_build: BuildKit,
];

/// Accounts, and what belongs to them, by number.
const IDS: &str = "
systemd-tmpfiles --create --prefix=/var
cut -d: -f1,3,4 /etc/passwd | sort
cut -d: -f1,3 /etc/group | sort
sed '/^#/d' /usr/lib/sysusers.d/00-osderive-* | cut -d' ' -f1-3 | sort
stat -c '%n %u:%g %a' /var/lib/redis /etc/redis/redis.conf /var/lib/tor /usr/bin/ssh-agent
";

/// What belongs to nobody.
const LOST: &str = "find / -xdev '(' -nouser -o -nogroup ')'";

const LEDGER: &str = "\
# the services of this image
u redis 171
g redis 172
u debian-tor 173
g debian-tor 173
g _ssh 174
u sshd 175
";

fn with_ledger<'a>(setup: &'a Setup, name: &str, ledger: &str, steps: &[&str]) -> Scenario<'a> {
    let steps = steps.join("\nRUN ");
    let containerfile =
        format!("# syntax=osderive --ids=osderive.ids\nFROM debian-ostree-base\nRUN {steps}\n");
    let scenario = setup.scenario(name, &containerfile);
    scenario.file("osderive.ids", ledger).unwrap()
}

fn packages_get_the_same_ids_in_any_order(setup: &Setup) {
    let install = |packages: &str| {
        format!(
            "apt-get update && apt-get install -y --no-install-recommends {packages} && rm -r /var/lib/apt/lists/*"
        )
    };
    let orders = [
        vec![
            install("redis-server"),
            install("tor"),
            install("openssh-server"),
        ],
        vec![
            install("openssh-server"),
            "useradd --system web".to_owned() + " && " + &install("tor redis-server"),
        ],
    ];
    let printed = [0, 1].map(|order| {
        let steps: Vec<&str> = orders[order].iter().map(String::as_str).collect();
        let scenario = with_ledger(setup, &format!("ids-order-{order}"), LEDGER, &steps);
        let log = scenario.build(&[]).unwrap().expect_success();
        assert!(!log.contains("account-id-differs"), "{log}");
        assert_eq!(scenario.output_of(LOST).unwrap(), "");
        let printed = scenario.output_of(IDS).unwrap();
        let other = |line: &&str| !line.contains("web");
        printed
            .lines()
            .filter(other)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    assert_eq!(printed[0], printed[1]);
    for line in [
        "redis:171:172",
        "debian-tor:173:173",
        "sshd:175:65534",
        "u redis 171:redis",
        "g _ssh 174",
        "/var/lib/redis 171:172 750",
        "/usr/bin/ssh-agent 0:174 2755",
    ] {
        assert!(
            printed[0].iter().any(|printed| printed == line),
            "{line}: {printed:#?}"
        );
    }
}

fn new_accounts_are_told_as_lines_to_add_and_then_the_build_is_quiet(setup: &Setup) {
    let steps = ["groupadd --system shared && useradd --system --gid shared web"];
    let scenario = with_ledger(setup, "ids-new", "# none yet\n", &steps);
    let log = scenario.build(&[]).unwrap().expect_success();
    assert_eq!(
        log.matches("- account-not-in-ledger: the id ledger lacks 2 lines: u web 9")
            .count(),
        1,
        "{log}"
    );
    let printed = scenario.output_of("id -u web; id -g web").unwrap();
    let ids: Vec<&str> = printed.lines().collect();
    let lines = format!("u web {}\ng shared {}\n", ids[0], ids[1]);
    for line in lines.lines() {
        assert!(
            log.lines()
                .any(|printed| printed.ends_with(&format!("    {line}"))),
            "{line}: {log}"
        );
    }
    let log = scenario
        .file("osderive.ids", &lines)
        .unwrap()
        .build(&[])
        .unwrap()
        .expect_success();
    assert!(
        !log.contains("ledger lacks") && !log.contains("1 warning"),
        "{log}"
    );
}

fn an_id_that_cannot_be_given_is_told(setup: &Setup) {
    let ledger = "u www-data 171\nu web 33\ng web 172\n";
    let scenario = with_ledger(setup, "ids-conflict", ledger, &["useradd --system web"]);
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(
        log.contains("user www-data has the uid 33, the id ledger says 171: it is older"),
        "{log}"
    );
    assert!(
        log.contains("the id ledger says 33: 33 belongs to www-data"),
        "{log}"
    );
    assert_eq!(
        scenario.output_of("id -u www-data; id -g web").unwrap(),
        "33\n172"
    );
}

fn a_wrong_or_missing_ledger_stops_the_build(setup: &Setup) {
    let scenario = with_ledger(
        setup,
        "ids-wrong",
        "u redis 171\nu tor x\n",
        &["touch /ran"],
    );
    let log = scenario.build(&[]).unwrap().expect_failure();
    assert!(log.contains("osderive.ids:2: `x` is no uid"), "{log}");
    assert!(log.contains("2 | >>> u tor x"), "{log}");
    assert!(!log.contains("touch /ran"), "nothing runs: {log}");
    let log = scenario
        .build(&["--build-arg", "OSDERIVE_IDS=gone.ids"])
        .unwrap()
        .expect_failure();
    assert!(
        log.contains("cannot read the id ledger gone.ids from the build context"),
        "{log}"
    );
}
