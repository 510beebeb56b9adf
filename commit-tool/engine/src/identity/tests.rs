//! Identity on real trees: what goes, what is made in its place, what stays.

use std::{fs, ops::Deref, os::unix::fs::symlink};

use super::*;
use crate::{base::Base, commit::testing::TestRoot, outcome::DomainOutcome, place::Place};

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n";
const ID: &str = "0123456789abcdef0123456789abcdef\n";

struct Root(TestRoot);

impl Deref for Root {
    type Target = TestRoot;

    fn deref(&self) -> &TestRoot {
        &self.0
    }
}

impl Root {
    /// An image with systemd, ssh-keygen and make-ssl-cert.
    fn new() -> Self {
        let root = Self(TestRoot::new());
        for path in [
            "usr/lib/systemd/system/ssh.service",
            "usr/bin/ssh-keygen",
            "usr/sbin/make-ssl-cert",
        ] {
            root.write(path, "");
        }
        root.write("etc/machine-id", "");
        root
    }

    /// A commit at the end of a build upon that base; by hand without it.
    fn settle(&self, before: Option<&(tempfile::TempDir, Base)>) -> DomainOutcome {
        self.0.settle(|_| Box::new(Identity), before)
    }

    /// What openssh-server and ssl-cert of Debian make when they are installed.
    fn install(&self) {
        for kind in ["rsa", "ecdsa", "ed25519"] {
            self.write(&format!("etc/ssh/ssh_host_{kind}_key"), KEY);
            self.write(&format!("etc/ssh/ssh_host_{kind}_key.pub"), "ssh-x");
        }
        self.write(
            "etc/ssl/private/ssl-cert-snakeoil.key",
            "-----BEGIN PRIVATE KEY-----",
        );
        self.write("etc/ssl/certs/ssl-cert-snakeoil.pem", "cert");
        symlink(
            "ssl-cert-snakeoil.pem",
            self.path("etc/ssl/certs/62742064.0"),
        )
        .expect("a link");
        symlink("/usr/share/x.crt", self.path("etc/ssl/certs/x.pem")).expect("a link");
        self.write("etc/machine-id", ID);
        self.write("var/lib/dbus/machine-id", ID);
        self.write("var/lib/systemd/random-seed", "seed");
    }

    /// Every path with its kind and content.
    fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.top().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).expect("lists") {
                let path = entry.expect("an entry").path();
                let content = fs::read_to_string(&path).or_else(|_| {
                    fs::read_link(&path).map(|target| target.to_string_lossy().into_owned())
                });
                found.push(format!("{} {:?}", path.display(), content.ok()));
                if path.is_dir() && !path.is_symlink() {
                    open.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

#[test]
fn what_a_package_made_for_one_machine_goes_and_boot_makes_it_anew() {
    let root = Root::new();
    let before = root.before();
    root.install();
    let outcome = root.settle(Some(&before));
    assert!(
        outcome.findings.is_empty() && outcome.kept.is_empty(),
        "{outcome:?}"
    );
    for gone in [
        "etc/ssh/ssh_host_rsa_key",
        "etc/ssh/ssh_host_rsa_key.pub",
        "etc/ssh/ssh_host_ed25519_key",
        "etc/ssl/private/ssl-cert-snakeoil.key",
        "etc/ssl/certs/ssl-cert-snakeoil.pem",
        "etc/ssl/certs/62742064.0",
        "var/lib/dbus/machine-id",
        "var/lib/systemd/random-seed",
    ] {
        assert!(!root.has(gone), "{gone}");
    }
    assert!(root.has("etc/ssl/certs/x.pem"));
    assert_eq!(root.read("etc/machine-id"), "");
    for unit in [
        "osderive-ssh-host-keys.service",
        "osderive-snakeoil.service",
    ] {
        let link = format!("usr/lib/systemd/system/sysinit.target.wants/{unit}");
        assert!(
            root.read(&link).contains("ConditionPathExists=|!/etc/ss"),
            "{unit}"
        );
    }
}

#[test]
fn a_base_that_has_an_identity_keeps_it_in_a_step() {
    let root = Root::new();
    root.install();
    let tree = root.tree();
    let outcome = root.settle(Some(&root.before()));
    assert!(outcome.changed.is_empty(), "{outcome:?}");
    assert_eq!(root.tree(), tree);
}

#[test]
fn a_commit_by_hand_looks_at_everything() {
    let root = Root::new();
    root.install();
    root.settle(None);
    assert!(!root.has("etc/ssh/ssh_host_rsa_key"));
    assert_eq!(root.read("etc/machine-id"), "");
    let tree = root.tree();
    assert!(root.settle(None).changed.is_empty());
    assert_eq!(root.tree(), tree);
}

#[test]
fn the_base_decides_whether_the_first_boot_is_one() {
    for base in ["", "uninitialized\n"] {
        let root = Root::new();
        root.write("etc/machine-id", base);
        let before = root.before();
        root.write("etc/machine-id", ID);
        root.settle(Some(&before));
        assert_eq!(root.read("etc/machine-id"), base);
    }
}

#[test]
fn keys_that_nothing_could_make_anew_stay_and_are_told() {
    let root = Root::new();
    let before = root.before();
    root.install();
    fs::remove_file(root.path("usr/bin/ssh-keygen")).expect("removes");
    let outcome = root.settle(Some(&before));
    assert!(root.has("etc/ssh/ssh_host_rsa_key"));
    let [finding] = &outcome.findings[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(finding.rule, "identity-shared");
    assert_eq!(finding.paths.len(), 3);
}

#[test]
fn an_image_that_makes_host_keys_itself_gets_no_unit_of_ours() {
    let root = Root::new();
    root.write("usr/lib/systemd/system/sshd-keygen@.service", "");
    let before = root.before();
    root.write("etc/ssh/ssh_host_rsa_key", KEY);
    root.settle(Some(&before));
    assert!(!root.has("etc/ssh/ssh_host_rsa_key"));
    assert!(!root.has("usr/lib/systemd/system/osderive-ssh-host-keys.service"));
}

#[test]
fn secrets_of_a_step_are_told_and_stay() {
    let root = Root::new();
    root.write("root/.ssh/of_the_base", KEY);
    let before = root.before();
    root.write("root/.ssh/deploy", KEY);
    root.write("root/.ssh/deploy.pub", "ssh-ed25519 AAAA");
    root.write("root/.netrc", "machine example.org password geheim");
    root.write(
        "home/me/.docker/config.json",
        "{\"auths\": {\"x\": {\"auth\": \"eA==\"}}}",
    );
    root.write("var/home/you/.docker/config.json", "{\"auths\": {}}");
    root.write(
        "etc/ssl/private/mine.key",
        "-----BEGIN RSA PRIVATE KEY-----",
    );
    let outcome = root.settle(Some(&before));
    let [finding] = &outcome.findings[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(
        finding.paths,
        [
            "/etc/ssl/private/mine.key",
            "/home/me/.docker/config.json",
            "/root/.netrc",
            "/root/.ssh/deploy",
        ]
    );
    assert!(outcome.changed.is_empty() && root.has("root/.ssh/deploy"));
}

/// The plan of a commit by hand.
fn all_of(place: &Place<'_>) -> FilePlan {
    let seen = observe::Seen::look(place, None).expect("looks");
    plan::plan(&seen.expect("something"))
}

#[test]
fn killed_after_any_change_and_run_again_it_ends_in_the_same_place() {
    let done = |interrupted_after: Option<usize>| {
        let root = Root::new();
        root.install();
        let rootfs = root.rootfs();
        let place = Place::of(&rootfs);
        if let Some(count) = interrupted_after {
            let mut first = all_of(&place);
            first.actions.truncate(count);
            first.apply(&place, &mut |_| ()).expect("applies");
        }
        root.settle(None);
        let base = root.top().display().to_string();
        root.tree()
            .iter()
            .map(|line| line.replace(&base, ""))
            .collect::<Vec<_>>()
    };
    let whole = done(None);
    let count = {
        let root = Root::new();
        root.install();
        all_of(&Place::of(&root.rootfs())).actions.len()
    };
    assert!(count > 10);
    for interrupted_after in 0..count {
        assert_eq!(
            done(Some(interrupted_after)),
            whole,
            "after {interrupted_after}"
        );
    }
}

#[test]
fn a_link_in_the_way_leads_nowhere() {
    let elsewhere = Root::new();
    elsewhere.write("ssh_host_rsa_key", KEY);
    let root = Root::new();
    symlink(elsewhere.path(""), root.path("etc/ssh")).expect("a link");
    let outcome = root.settle(None);
    assert!(outcome.changed.is_empty(), "{outcome:?}");
    assert!(elsewhere.has("ssh_host_rsa_key"));
}
