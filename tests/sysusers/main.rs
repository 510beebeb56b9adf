//! What the commit writes into sysusers.d, read back by systemd itself: generated account files, and
//! what the systemd-sysusers of Debian 12 (252) and Debian 13 (257) makes of our lines alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use osderive_lints::model::{group::groups, passwd::users};
use osderive_tests::Places;
use osderive_tests::product::{self, Binary};
use osderive_tests::roots::{Recipe, Root, Shape, Suite};
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

/// Users, and groups with their members, as sets without an order.
type Accounts = (
    BTreeSet<Vec<String>>,
    BTreeMap<(String, u32), BTreeSet<String>>,
);

fn accounts(root: &Path) -> Accounts {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let passwd = fs::read(root.join("etc/passwd")).expect("reads");
    let group = fs::read(root.join("etc/group")).expect("reads");
    let users = users(&passwd).map(|user| {
        let ids = [user.uid, user.gid].map(|id| id.to_string()).join(":");
        [
            lossy(user.name),
            ids,
            lossy(user.gecos),
            lossy(user.home),
            lossy(user.shell),
        ]
        .into()
    });
    let groups = groups(&group).map(|group| {
        let members = group.members.iter().map(|member| lossy(member)).collect();
        ((lossy(group.name), group.gid), members)
    });
    (users.collect(), groups.collect())
}

/// Commits generated accounts, and has systemd make them anew on a machine that has none of them.
fn made_anew(state: &State, systemd: &Root, tool: &Path) -> (Accounts, Accounts) {
    let folder = tempfile::tempdir_in(systemd.path.join("tmp")).expect("a directory");
    let (image, machine) = (folder.path().join("image"), folder.path().join("machine"));
    write(&image, "etc/passwd", &state.passwd());
    write(&image, "etc/group", &state.group());
    write(&image, "usr/lib/sysusers.d/package.conf", &state.package());
    write(&image, "usr/lib/bootc/x", "");
    fs::create_dir(image.join("sysroot")).expect("a directory");
    run(Command::new(tool).args(["commit", "--rootfs"]).arg(&image));

    write(&machine, "etc/passwd", ROOT_PASSWD);
    write(&machine, "etc/group", ROOT_GROUP);
    write(&machine, "etc/shadow", "root:*:::::::\n");
    write(&machine, "etc/gshadow", "root:*::\n");
    fs::create_dir(machine.join("usr")).expect("a directory");
    fs::rename(image.join("usr/lib"), machine.join("usr/lib")).expect("moves");
    let inside = machine.strip_prefix(&systemd.path).expect("below the root");
    run(Command::new("chroot")
        .arg(&systemd.path)
        .arg("systemd-sysusers")
        .arg(format!("--root=/{}", inside.display())));
    (accounts(&image), accounts(&machine))
}

fn systemd_of(suite: Suite, name: &'static str, places: &Places) -> Root {
    let recipe = Recipe {
        name,
        suite,
        packages: vec!["systemd-standalone-sysusers".to_owned()],
        prepare: "",
        finish: "",
        shape: Shape::Directory,
    };
    recipe.build(places).expect("a root with systemd-sysusers")
}

fn every_account_comes_back(suite: Suite, name: &'static str) {
    let places = Places::of_workspace().expect("places");
    let systemd = systemd_of(suite, name, &places);
    let target = places.state().join("product");
    let tool = product::build(Binary::Tool, places.workspace(), &target).expect("the tool");
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(CASES)
    };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, random).run(&state(), |state| {
        let (image, machine) = made_anew(&state, &systemd, &tool);
        prop_assert_eq!(image, machine);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn debian_12_makes_the_same_accounts_from_our_lines() {
    every_account_comes_back(Suite::Bookworm, "sysusers-bookworm");
}

#[test]
fn debian_13_makes_the_same_accounts_from_our_lines() {
    every_account_comes_back(Suite::Trixie, "sysusers-trixie");
}
