//! Directory metadata on real trees: which changes get a line, and which are told.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use osderive_lints::model::acl::ACCESS;

use super::*;
use crate::{
    commit::{
        Snapshot,
        testing::{TestRoot, settle_alone},
    },
    lists::{list_of, set},
    outcome::DomainOutcome,
    place::Place,
    settings::Settings,
    step_start::StepStart,
};

struct Root(TestRoot);

impl Root {
    fn new() -> Self {
        let root = Self(TestRoot::new());
        for path in ["etc/ssl/private", "etc/a b", "usr/lib/firmware/deep"] {
            fs::create_dir_all(root.path(path)).expect("directories");
        }
        fs::write(root.path("etc/passwd"), "root:x:0:0::/:/bin/sh\n").expect("a file");
        fs::write(root.path("etc/group"), "root:x:0:\nssl-cert:x:105:\n").expect("a file");
        root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path(path)
    }

    fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).expect("chmod");
    }

    fn step(&self, command: impl FnOnce()) -> DomainOutcome {
        let rootfs = self.0.rootfs();
        let before = Snapshot::of_step(&rootfs, None).expect("looks");
        command();
        settle_alone(
            |known| known.metadata(),
            &rootfs,
            Some(&before),
            &Settings::default(),
        )
    }

    /// A commit by hand, which knows of no state before it.
    fn by_hand(&self) -> DomainOutcome {
        let rootfs = self.0.rootfs();
        settle_alone(
            |known| known.metadata(),
            &rootfs,
            None,
            &Settings::default(),
        )
    }

    /// The lines of our files, without comments.
    fn lines(&self) -> Vec<String> {
        let Ok(names) = fs::read_dir(self.path("usr/lib/tmpfiles.d")) else {
            return Vec::new();
        };
        let mut lines: Vec<String> = names
            .flat_map(|entry| {
                let content = fs::read_to_string(entry.expect("an entry").path()).expect("reads");
                let lines = content.lines().filter(|line| !line.starts_with('#'));
                lines.map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        lines.sort();
        lines
    }
}

#[test]
fn a_directory_of_etc_that_a_lower_layer_has_gets_a_line_with_names() {
    let root = Root::new();
    root.step(|| {
        root.chmod("etc/ssl/private", 0o710);
        chown(root.path("etc/ssl/private"), Some(0), Some(105)).expect("chown");
        root.chmod("etc/a b", 0o1700);
        fs::create_dir(root.path("etc/new")).expect("a directory");
    });
    assert_eq!(
        root.lines(),
        [
            "z \"/etc/a b\" 1700 root root -",
            "z /etc/ssl/private 0710 root ssl-cert -"
        ]
    );
}

#[test]
fn a_later_step_replaces_what_is_no_longer_true() {
    let root = Root::new();
    root.step(|| root.chmod("etc/ssl", 0o700));
    root.step(|| root.chmod("etc/ssl", 0o750));
    assert_eq!(root.lines(), ["z /etc/ssl 0750 root root -"]);
    root.step(|| {
        root.chmod("etc/a b", 0o700);
        fs::remove_dir_all(root.path("etc/ssl")).expect("removes");
    });
    assert_eq!(root.lines(), ["z \"/etc/a b\" 0700 root root -"]);
}

#[test]
fn of_the_directories_of_usr_those_are_reported_that_are_not_as_most_are() {
    let root = Root::new();
    root.chmod("usr/lib/firmware", 0o700);
    let rootfs = root.0.rootfs();
    let start = StepStart::after_what_is_there(&rootfs);
    root.chmod("usr/lib", 0o755);
    root.chmod("usr/lib/firmware/deep", 0o2750);
    let found = suspects(&Place::of(&rootfs), start).expect("looks");
    let [directory] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(directory.path, "/usr/lib/firmware/deep");
    assert_eq!(
        (directory.mode, directory.uid, directory.gid),
        (0o2750, 0, 0)
    );
    assert_eq!(root.lines(), [""; 0]);
}

#[test]
fn a_step_that_changes_no_directory_leaves_nothing() {
    let root = Root::new();
    let outcome = root.step(|| fs::write(root.path("etc/ssl/x"), "x").expect("a file"));
    assert!(
        outcome.changed.is_empty() && outcome.findings.is_empty(),
        "{outcome:?}"
    );
}

#[test]
fn what_is_of_a_packages_account_is_given_to_it_by_name() {
    let root = Root::new();
    let files = ["etc/redis.conf", "etc/static", "etc/nobody-knows", "etc/a*"];
    root.step(|| {
        let passwd = "root:x:0:0::/:/bin/sh\nredis:x:104:106::/:/bin/sh\n";
        fs::write(root.path("etc/passwd"), passwd).expect("a file");
        let group = "root:x:0:\ntape:x:26:\nssl-cert:x:105:\nredis:x:106:\n";
        fs::write(root.path("etc/group"), group).expect("a file");
        for path in files {
            fs::write(root.path(path), "").expect("a file");
        }
        fs::create_dir(root.path("etc/redis")).expect("a directory");
        let own = |path: &str, uid, gid| {
            chown(root.path(path), Some(uid), Some(gid)).expect("chown");
        };
        own("etc/redis.conf", 104, 106);
        own("etc/redis", 0, 106);
        own("etc/static", 0, 26);
        own("etc/nobody-knows", 500, 0);
        own("etc/a*", 104, 0);
    });
    let lines = [
        r#"z "/etc/\\a\\*" - redis - -"#,
        r#"z "/etc/\\redis" - - redis -"#,
        r#"z "/etc/\\redis.conf" - redis redis -"#,
    ];
    assert_eq!(root.lines(), lines);
    root.step(|| fs::write(root.path("etc/other"), "").expect("a file"));
    assert_eq!(root.lines(), lines);
    root.step(|| {
        root.chmod("etc/redis", 0o750);
        fs::remove_file(root.path("etc/redis.conf")).expect("removes");
    });
    assert_eq!(root.lines(), [lines[0], "z /etc/redis 0750 root redis -"]);
}

#[test]
fn by_hand_what_is_of_a_packages_account_is_given_to_it_too() {
    let root = Root::new();
    root.step(|| root.chmod("etc/ssl", 0o700));
    let group = "root:x:0:\nredis:x:106:\n";
    fs::write(root.path("etc/group"), group).expect("a file");
    fs::write(root.path("etc/key"), "").expect("a file");
    chown(root.path("etc/key"), None, Some(106)).expect("chown");
    root.by_hand();
    let lines = [
        r#"z "/etc/\\key" - - redis -"#,
        "z /etc/ssl 0700 root root -",
    ];
    assert_eq!(root.lines(), lines);
    let again = root.by_hand();
    assert!(again.changed.is_empty(), "{again:?}");
}

#[test]
fn what_is_deeper_comes_first_and_lines_about_var_stay() {
    let root = Root::new();
    let of_var = "z /var/lib/redis/x - redis - -";
    fs::create_dir_all(root.path("usr/lib/tmpfiles.d")).expect("directories");
    let own = root.path("usr/lib/tmpfiles.d/00-osderive-0123456789ab.conf");
    fs::write(&own, format!("{of_var}\n")).expect("a file");
    let group = "root:x:0:\nredis:x:106:\n";
    fs::write(root.path("etc/group"), group).expect("a file");
    let give = |path: &str| chown(root.path(path), None, Some(106)).expect("chown");
    root.step(|| {
        fs::create_dir_all(root.path("etc/redis")).expect("directories");
        give("etc/redis");
    });
    root.step(|| {
        fs::write(root.path("etc/redis/key"), "").expect("a file");
        give("etc/redis/key");
    });
    assert!(own.exists());
    let written = fs::read_dir(root.path("usr/lib/tmpfiles.d")).expect("reads");
    let files: Vec<String> = written
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("reads"))
        .filter(|content| !content.contains("/var"))
        .collect();
    let [file] = &files[..] else {
        panic!("{files:?}")
    };
    let deep = file.find(r"\\key").expect("a line for what is in it");
    let above = file.find(r"\\redis").expect("a line for the directory");
    assert!(deep < above, "{file}");
}

#[test]
fn a_package_that_says_whose_its_files_are_is_believed() {
    let root = Root::new();
    let theirs = "z /etc/key 0640 root ssl-cert\n";
    fs::create_dir_all(root.path("usr/lib/tmpfiles.d")).expect("directories");
    fs::write(root.path("usr/lib/tmpfiles.d/a.conf"), theirs).expect("a file");
    root.step(|| {
        fs::write(root.path("etc/key"), "").expect("a file");
        chown(root.path("etc/key"), Some(0), Some(105)).expect("chown");
    });
    assert_eq!(root.lines(), [theirs.trim_end()]);
}

fn set_list(path: &Path) {
    let value = list_of(104);
    set(path, ACCESS, &value);
}

fn root_with_tool(features: &str) -> Root {
    let root = Root::new();
    let passwd = "root:x:0:0::/:/bin/sh\nredis:x:104:106::/:/bin/sh\n";
    fs::write(root.path("etc/passwd"), passwd).expect("a file");
    for directory in ["usr/bin", "usr/lib64"] {
        fs::create_dir_all(root.path(directory)).expect("directories");
    }
    fs::write(root.path("usr/bin/systemd-tmpfiles"), features).expect("a file");
    fs::write(root.path("usr/lib64/libacl.so.1"), "").expect("a file");
    root
}

#[test]
fn a_list_of_a_directory_comes_after_its_mode_which_gives_the_group_no_more() {
    const LIST: &str =
        "a+ \"/etc/\\\\ssl\" - - - - user::rwx,user:redis:rwx,group::r-x,mask::rwx,other::---";
    const MODE: &str = "z /etc/ssl 0750 root root -";
    let root = root_with_tool("+PAM +ACL +BLKID");
    let outcome = root.step(|| set_list(&root.path("etc/ssl")));
    assert!(outcome.findings.is_empty(), "{outcome:?}");
    assert_eq!(root.lines(), [LIST, MODE]);
    let files = fs::read_dir(root.path("usr/lib/tmpfiles.d")).expect("lists");
    let files: Vec<String> = files
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("reads"))
        .collect();
    let [file] = &files[..] else {
        panic!("{files:?}")
    };
    assert!(file.find(MODE) < file.find(LIST), "{file}");
    // What has nothing to do with it leaves both, and another mode brings both anew.
    root.step(|| fs::write(root.path("etc/ssl/x"), "x").expect("a file"));
    root.step(|| root.chmod("etc/a b", 0o700));
    assert_eq!(root.lines().len(), 3);
    root.step(|| root.chmod("etc/ssl", 0o755));
    let lines = root.lines();
    assert!(
        lines[0].ends_with("group::r-x,mask::r-x,other::r-x"),
        "{lines:?}"
    );
    assert_eq!(lines[2], "z /etc/ssl 0755 root root -");
    // Without a list there is no line about it.
    root.step(|| {
        rustix::fs::removexattr(root.path("etc/ssl"), ACCESS).expect("takes it away");
    });
    assert_eq!(root.lines().len(), 2);
}

#[test]
fn a_list_that_a_lower_directory_gets_without_another_mode_is_seen() {
    let root = root_with_tool("+PAM +ACL +BLKID");
    root.chmod("etc/ssl", 0o770);
    std::thread::sleep(std::time::Duration::from_millis(50));
    root.step(|| set_list(&root.path("etc/ssl")));
    let lines = root.lines();
    assert!(lines.len() == 1 && lines[0].starts_with("a+ "), "{lines:?}");
}

#[test]
fn a_list_that_nothing_can_set_on_a_machine_is_told() {
    let root = root_with_tool("+PAM -ACL +BLKID");
    let outcome = root.step(|| set_list(&root.path("etc/ssl")));
    assert_eq!(outcome.findings[0].paths, ["/etc/ssl"]);
    assert_eq!(outcome.findings[0].rule, "directory-metadata");
}
