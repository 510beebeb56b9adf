//! What the commit writes into sysusers.d, read back by systemd itself: generated account files, and
//! what the systemd-sysusers of Debian 12 (252) and Debian 13 (257) makes of our lines alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use osderive_tests::Places;
use osderive_tests::machine::{Systemd, accounts};
use osderive_tests::product::{self, Profile};
use osderive_tests::roots::Suite;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const CASES: u32 = 64;

/// An account file as generated: what each account has besides its ids.
#[derive(Clone, Debug)]
struct Account {
    gecos: String,
    home: String,
    shell: String,
    /// Whether it has a group of its own name, or else the group of another account.
    own_group: bool,
    /// Whether a package declares it too, and leaves the id to the machine.
    left_open: bool,
    groups: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
struct State {
    accounts: Vec<Account>,
    uids: Vec<u32>,
    gids: Vec<u32>,
}

const NAMES: [&str; 8] = [
    "redis",
    "_chrony",
    "debian-tor",
    "Debian-exim",
    "sshd",
    "a",
    "x_1-2",
    "postgres",
];

fn text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "", "100%", "a b", "\"", "'", "\\", "%m", "#", "# x", "ü", ",,,", "-x", "\\n", "a\\ b",
        "$x", "%%",
    ]);
    prop::collection::vec(
        prop_oneof![odd.prop_map(str::to_owned), "[ -9;-~]{0,6}"],
        0..4,
    )
    .prop_map(|parts| parts.concat())
    // A lone dash means an empty field there.
    .prop_filter("systemd has no word for it", |text| text != "-")
}

fn path() -> impl Strategy<Value = String> {
    text().prop_map(|text| {
        let names: Vec<&str> = text
            .split('/')
            .filter(|name| !["", ".", ".."].contains(name))
            .collect();
        format!("/{}", names.join("/"))
    })
}

fn account() -> impl Strategy<Value = Account> {
    let groups = prop::collection::btree_set(0..NAMES.len(), 0..3);
    (text(), path(), path(), any::<bool>(), any::<bool>(), groups).prop_map(
        |(gecos, home, shell, own_group, left_open, groups)| Account {
            gecos,
            home,
            shell: shell.trim_end_matches('/').to_owned() + "/sh",
            own_group,
            left_open,
            groups,
        },
    )
}

/// Ids are few, so that a uid is often the gid of another account.
fn state() -> impl Strategy<Value = State> {
    let ids = || {
        Just((100..100 + 2 * u32::try_from(NAMES.len()).unwrap_or(0)).collect::<Vec<_>>())
            .prop_shuffle()
    };
    (
        prop::collection::vec(account(), 1..=NAMES.len()),
        ids(),
        ids(),
    )
        .prop_map(|(accounts, uids, gids)| State {
            accounts,
            uids,
            gids,
        })
}

impl State {
    fn named(&self) -> impl Iterator<Item = (usize, &'static str, &Account)> {
        let names = self.accounts.iter().zip(NAMES).enumerate();
        names.map(|(index, (account, name))| (index, name, account))
    }

    fn passwd(&self) -> String {
        let line = |(index, name, account): (usize, &str, &Account)| {
            let group = if account.own_group {
                index
            } else {
                (index + 1) % self.accounts.len()
            };
            format!(
                "{name}:x:{}:{}:{}:{}:{}\n",
                self.uids[index], self.gids[group], account.gecos, account.home, account.shell
            )
        };
        ROOT_PASSWD.to_owned() + &self.named().map(line).collect::<Vec<_>>().concat()
    }

    fn group(&self) -> String {
        let line = |(index, name, _): (usize, &str, &Account)| {
            let members: Vec<&str> = self
                .named()
                .filter(|(_, _, account)| account.groups.contains(&index))
                .map(|(_, name, _)| name)
                .collect();
            format!("{name}:x:{}:{}\n", self.gids[index], members.join(","))
        };
        ROOT_GROUP.to_owned() + &self.named().map(line).collect::<Vec<_>>().concat()
    }

    fn package(&self) -> String {
        let open = self.named().filter(|(_, _, account)| account.left_open);
        open.map(|(_, name, _)| format!("u {name} - \"A package\" /srv\n"))
            .collect::<Vec<_>>()
            .concat()
    }
}

const ROOT_PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n";
const ROOT_GROUP: &str = "root:x:0:\n";

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, content).expect("a file");
}

fn run(command: &mut Command) {
    let output = command.output().expect("runs");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Commits generated accounts, and has systemd make them anew on a machine that has none of them.
fn made_anew(state: &State, systemd: &Systemd, tool: &Path) -> [BTreeSet<String>; 2] {
    let image = systemd.machine().expect("an image's root");
    let machine = systemd.machine().expect("a machine");
    let (image, root) = (image.root(), machine.root());
    write(&image, "etc/passwd", &state.passwd());
    write(&image, "etc/group", &state.group());
    write(&image, "usr/lib/sysusers.d/package.conf", &state.package());
    write(&image, "usr/lib/bootc/x", "");
    fs::create_dir(image.join("sysroot")).expect("a directory");
    run(Command::new(tool).args(["commit", "--rootfs"]).arg(&image));

    write(&root, "etc/passwd", ROOT_PASSWD);
    write(&root, "etc/group", ROOT_GROUP);
    write(&root, "etc/shadow", "root:*:::::::\n");
    write(&root, "etc/gshadow", "root:*::\n");
    fs::create_dir(root.join("usr")).expect("a directory");
    fs::rename(image.join("usr/lib"), root.join("usr/lib")).expect("moves");
    machine.make_accounts().expect("systemd-sysusers");
    [image, root].map(|root| accounts(&root).expect("accounts"))
}

fn every_account_comes_back(suite: Suite) {
    let places = Places::of_workspace().expect("places");
    let systemd = Systemd::of(suite, &places).expect("systemd");
    let tool = product::tool(Profile::Test, &places).expect("the tool");
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(CASES)
    };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, random).run(&state(), |state| {
        let [image, machine] = made_anew(&state, &systemd, &tool);
        prop_assert_eq!(image, machine);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn debian_12_makes_the_same_accounts_from_our_lines() {
    every_account_comes_back(Suite::Bookworm);
}

#[test]
fn debian_13_makes_the_same_accounts_from_our_lines() {
    every_account_comes_back(Suite::Trixie);
}
