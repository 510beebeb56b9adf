//! Whole settlements of a root file system in a folder: what a step did to its accounts, and what
//! sysusers.d and the account files are afterwards.

mod altfiles;
mod ids;

use std::{collections::BTreeMap, fmt::Write as _, fs, os::unix::fs::symlink, time::Duration};

use osderive_lints::Change;

use super::*;
use crate::{
    commit::{self, testing::settle_alone},
    files,
    settings::Settings,
    step_start::StepStart,
};

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";
const SHADOW: &str = "root:*:::::::\nwww-data:*:::::::\n";
const GSHADOW: &str = "root:*::\nwww-data:*::\nnogroup:*::\n";

struct Image {
    folder: tempfile::TempDir,
    rootfs: Rootfs,
}

impl Image {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let rootfs = Rootfs::open(folder.path()).expect("opens");
        let image = Self { folder, rootfs };
        image.write("etc/passwd", PASSWD);
        image.write("etc/group", GROUP);
        image.write("etc/shadow", SHADOW);
        image.write("etc/gshadow", GSHADOW);
        image
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    }

    fn append(&self, path: &str, more: &str) {
        self.write(path, self.read(path) + more);
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("reads")
    }

    /// Adds a service account as `useradd --system` does.
    fn add(&self, name: &str, uid: u32, gid: u32) {
        self.append(
            "etc/passwd",
            &format!("{name}:x:{uid}:{gid}::/var/lib/{name}:/usr/sbin/nologin\n"),
        );
        self.append("etc/group", &format!("{name}:x:{gid}:\n"));
        self.append("etc/shadow", &format!("{name}:!:20778::::::\n"));
        self.append("etc/gshadow", &format!("{name}:!::\n"));
    }

    fn step(&self, command: impl FnOnce(&Self)) -> DomainOutcome {
        let before = commit::Snapshot::of_step(&self.rootfs, None).expect("looks");
        command(self);
        settle_alone(
            |known| known.accounts(),
            &self.rootfs,
            Some(&before),
            &Settings::default(),
        )
    }

    fn commit(&self) -> DomainOutcome {
        settle_alone(
            |known| known.accounts(),
            &self.rootfs,
            None,
            &Settings::default(),
        )
    }

    /// The lines of our own files, file by file.
    fn own(&self) -> Vec<Vec<String>> {
        let folder = self.path("usr/lib/sysusers.d");
        let mut files: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().contains("/00-osderive-"))
            .map(|path| fs::read_to_string(path).expect("reads"))
            .collect();
        files.sort();
        let lines = |file: &String| {
            let lines = file.lines().filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect()
        };
        files.iter().map(lines).collect()
    }

    fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        ["etc", "usr/lib/sysusers.d"]
            .into_iter()
            .flat_map(|folder| fs::read_dir(self.path(folder)).into_iter().flatten())
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_file())
            .map(|path| (path.display().to_string(), fs::read(&path).expect("reads")))
            .collect()
    }
}

fn rules(outcome: &DomainOutcome) -> Vec<&str> {
    outcome
        .findings
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect()
}

const REDIS: [&str; 2] = [
    "g redis 107",
    "u redis 105:redis - /var/lib/redis /usr/sbin/nologin",
];

#[test]
fn a_step_that_changes_no_account_changes_nothing() {
    let image = Image::new();
    image.write("etc/passwd-", "old");
    image.write("etc/.pwd.lock", "");
    image.append("etc/gshadow", "stale:!::\n");
    let before = image.tree();
    let outcome = image.step(|image| image.write("etc/other", "x"));
    assert!(outcome.changed.is_empty() && outcome.findings.is_empty());
    let mut after = image.tree();
    after.retain(|path, _| !path.ends_with("/other"));
    assert_eq!(after, before);
}

#[test]
fn an_account_of_a_step_is_declared_with_its_ids() {
    let image = Image::new();
    let outcome = image.step(|image| {
        image.add("redis", 105, 107);
        image.write("etc/passwd-", PASSWD);
        image.write("etc/.pwd.lock", "");
    });
    assert_eq!(image.own(), [REDIS]);
    assert_eq!(outcome.findings, []);
    assert!(image.read("etc/shadow").ends_with("redis:!:::::::\n"));
    assert!(!image.path("etc/passwd-").exists() && !image.path("etc/.pwd.lock").exists());
    let done: Vec<_> = (outcome.changed.iter())
        .map(|file| (file.change, file.path.as_str()))
        .collect();
    let conf = &outcome.changed[1].path;
    assert!(
        conf.starts_with("/usr/lib/sysusers.d/00-osderive-"),
        "{conf}"
    );
    assert_eq!(
        done,
        [
            (Change::Wrote, "/etc/shadow"),
            (Change::Wrote, conf),
            (Change::Removed, "/etc/.pwd.lock"),
            (Change::Removed, "/etc/passwd-"),
        ]
    );
    assert_eq!(
        outcome.changed[1].reason,
        "the same ids on every machine: group redis, user redis (105)"
    );
}

#[test]
fn a_second_commit_finds_nothing_to_do() {
    let image = Image::new();
    image.step(|image| image.add("redis", 105, 107));
    image.commit();
    image.write("etc/subuid", "");
    let before = image.tree();
    assert_eq!(image.commit().changed, []);
    assert_eq!(
        image.step(|image| image.write("etc/subuid", "")).changed,
        []
    );
    assert_eq!(image.tree(), before);
}

#[test]
fn the_same_accounts_give_the_same_file_in_every_build() {
    let names = [20_778, 20_999].map(|day| {
        let image = Image::new();
        image.step(|image| {
            image.add("redis", 105, 107);
            let shadow = image.read("etc/shadow").replace("20778", &day.to_string());
            image.write("etc/shadow", shadow);
        });
        let root = image.folder.path().display().to_string();
        let tree = image.tree().into_iter();
        tree.map(|(path, content)| (path.replace(&root, ""), content))
            .collect::<Vec<_>>()
    });
    assert_eq!(names[0], names[1]);
}

#[test]
fn what_a_package_declares_exactly_is_not_declared_again() {
    let image = Image::new();
    let outcome = image.step(|image| {
        image.add("redis", 105, 107);
        image.write(
            "usr/lib/sysusers.d/redis.conf",
            "g redis 107\nu redis 105:redis \"\" /var/lib/redis\n",
        );
    });
    assert_eq!(image.own(), [[""; 0]; 0]);
    assert_eq!(outcome.changed.len(), 1, "{:?}", outcome.changed);
}

#[test]
fn an_id_that_a_package_leaves_open_is_pinned_before_it() {
    let image = Image::new();
    image.step(|image| {
        image.add("redis", 105, 107);
        image.write(
            "usr/lib/sysusers.d/redis.conf",
            "u redis - - /var/lib/redis\n",
        );
    });
    assert_eq!(image.own(), [REDIS]);
}

#[test]
fn a_masked_declaration_counts_for_nothing() {
    let image = Image::new();
    image.step(|image| {
        image.add("redis", 105, 107);
        image.write(
            "usr/lib/sysusers.d/redis.conf",
            "g redis 107\nu redis 105:redis - /var/lib/redis\n",
        );
        fs::create_dir_all(image.path("etc/sysusers.d")).expect("a directory");
        symlink("/dev/null", image.path("etc/sysusers.d/redis.conf")).expect("a link");
    });
    assert_eq!(image.own(), [REDIS]);
}

#[test]
fn a_membership_brings_what_it_refers_to() {
    let image = Image::new();
    image.step(|image| image.add("redis", 105, 107));
    image.step(|image| {
        let group = image
            .read("etc/group")
            .replace("redis:x:107:", "redis:x:107:www-data");
        image.write("etc/group", group);
    });
    assert_eq!(
        image.own(),
        [
            REDIS.map(str::to_owned).to_vec(),
            vec![
                "g www-data 33".to_owned(),
                "u www-data 33:www-data www-data /var/www /usr/sbin/nologin".to_owned(),
                "m www-data redis".to_owned(),
            ],
        ]
    );
}

#[test]
fn a_user_in_nogroup_brings_it() {
    let image = Image::new();
    image.step(|image| {
        image.append(
            "etc/passwd",
            "sshd:x:104:65534::/run/sshd:/usr/sbin/nologin\n",
        );
    });
    assert_eq!(
        image.own(),
        [[
            "g nogroup 65534",
            "u sshd 104:nogroup - /run/sshd /usr/sbin/nologin"
        ]]
    );
}

#[test]
fn a_changed_account_is_declared_anew_and_a_removed_one_no_more() {
    let image = Image::new();
    image.step(|image| {
        image.add("redis", 105, 107);
        image.add("tor", 106, 108);
    });
    image.step(|image| {
        let passwd = image
            .read("etc/passwd")
            .replace("/var/lib/redis", "/srv/redis");
        image.write("etc/passwd", passwd);
    });
    let changed = "u redis 105:redis - /srv/redis /usr/sbin/nologin";
    assert_eq!(
        image.own().concat(),
        [
            "g redis 107",
            "g tor 108",
            "u tor 106:tor - /var/lib/tor /usr/sbin/nologin",
            changed
        ]
    );
    image.step(|image| {
        for file in ["passwd", "group", "shadow", "gshadow"] {
            let path = format!("etc/{file}");
            let content = image.read(&path);
            let lines = content.lines().filter(|line| !line.starts_with("tor:"));
            image.write(
                &path,
                lines.fold(String::new(), |text, line| text + line + "\n"),
            );
        }
    });
    assert_eq!(image.own().concat(), ["g redis 107", changed]);
    image.step(|image| {
        image.write("etc/passwd", PASSWD);
        image.write("etc/group", GROUP);
        image.write("etc/shadow", SHADOW);
        image.write("etc/gshadow", GSHADOW);
    });
    assert_eq!(image.own(), [[""; 0]; 0]);
}

#[test]
fn a_commit_by_hand_declares_what_the_base_does_not() {
    let image = Image::new();
    image.write(
        "usr/share/base-passwd/passwd.master",
        "www-data:*:33:33:www-data:/var/www:/usr/sbin/nologin\n",
    );
    image.write(
        "usr/lib/sysusers.d/basic.conf",
        "g www-data 33\ng nogroup 65534\n",
    );
    image.add("redis", 105, 107);
    image.commit();
    assert_eq!(image.own(), [REDIS]);
    assert!(image.read("etc/shadow").ends_with("redis:!:::::::\n"));
}

#[test]
fn a_file_of_ours_with_added_lines_becomes_what_it_was() {
    let image = Image::new();
    let outcome = image.step(|image| image.add("redis", 105, 107));
    let path = outcome.changed[1].path.trim_start_matches('/').to_owned();
    let content = image.read(&path);
    image.append(&path, "u gone 200\n");
    image.step(|image| image.append("etc/passwd", "+::::::\n"));
    assert_eq!(image.read(&path), content);
}

#[test]
fn stale_entries_are_repaired_when_a_step_touches_them() {
    let image = Image::new();
    image.step(|image| {
        image.append("etc/gshadow", "gone:!::\n");
        image.append("etc/group", "new:x:120:\n");
    });
    let gshadow = image.read("etc/gshadow");
    assert_eq!(gshadow, format!("{GSHADOW}new:!*::\n"));
}

#[test]
fn mode_and_owner_of_a_repaired_file_stay() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let image = Image::new();
    let shadow = image.path("etc/shadow");
    fs::set_permissions(&shadow, fs::Permissions::from_mode(0o640)).expect("a mode");
    chown(&shadow, Some(0), Some(42)).expect("an owner: run this as root");
    image.step(|image| image.add("redis", 105, 107));
    let found = fs::metadata(&shadow).expect("metadata");
    assert_eq!((found.mode() & 0o7777, found.gid()), (0o640, 42));
}

#[test]
fn stopped_after_any_action_and_run_again_it_ends_in_the_same_place() {
    let prepared = || {
        let image = Image::new();
        image.step(|image| {
            image.add("redis", 105, 107);
            image.add("tor", 106, 108);
        });
        let passwd = image.read("etc/passwd").replace("/lib/redis", "/redis");
        image.write("etc/passwd", passwd);
        image.add("chrony", 109, 110);
        image.append("etc/gshadow", "gone:!::\n");
        image.write("etc/group-", GROUP);
        image
    };
    let end = |image: &Image| {
        let root = image.folder.path().display().to_string();
        let tree = image.tree().into_iter();
        tree.map(|(path, content)| (path.replace(&root, ""), content))
            .collect::<BTreeMap<_, _>>()
    };
    let image = prepared();
    let all = plan(&image.rootfs, None).expect("plans").actions.len();
    image.commit();
    let expected = end(&image);
    assert_eq!(all, 6);
    for done in 0..all {
        let image = prepared();
        let first = plan(&image.rootfs, None).expect("plans");
        files::apply(&Place::of(&image.rootfs), &first.actions[..done]).expect("applies");
        image.commit();
        assert_eq!(end(&image), expected, "after {done} actions");
    }
}

#[test]
fn what_only_people_can_decide_is_told() {
    let image = Image::new();
    let outcome = image.step(|image| {
        image.append(
            "etc/passwd",
            "al:x:1000:1000::/home/al:/bin/bash\nsvc:x:1001:33::/:/bin/false\n",
        );
        image.append(
            "etc/passwd",
            "twin:x:33:33::/:/bin/false\nwe.b:x:111:33::/:/bin/false\nopen::112:33::/:/bin/false\n",
        );
        image.append(
            "etc/shadow",
            "al:$y$j9T$x:20778::::::\nsvc:!:20778::::::\ntwin:!:::::::\nwe.b:!:::::::\n",
        );
    });
    assert_eq!(
        rules(&outcome),
        [
            "account-duplicate-id",
            "account-not-declarable",
            "account-outside-system-range",
            "account-usable-password",
        ]
    );
    let own = image.own().concat();
    assert!(
        own.iter()
            .any(|line| line.starts_with("u svc 1001:www-data")),
        "{own:?}"
    );
    assert!(
        own.iter()
            .all(|line| !line.contains("al ") && !line.contains("twin")),
        "{own:?}"
    );
    // The day on which a password was set is kept with it.
    assert!(image.read("etc/shadow").contains("al:$y$j9T$x:20778:"));
}

#[test]
fn account_files_behind_links_are_left_alone() {
    let image = Image::new();
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("passwd"), PASSWD).expect("a file");
    fs::remove_file(image.path("etc/passwd")).expect("removes");
    symlink(outside.path().join("passwd"), image.path("etc/passwd")).expect("a link");
    image.append("etc/group", "new:x:120:\n");
    let outcome = image.commit();
    assert_eq!(outcome.changed, []);
    assert_eq!(outcome.kept[0].path, "/etc/passwd");
}

#[test]
fn a_linked_etc_is_left_alone() {
    let image = Image::new();
    fs::rename(image.path("etc"), image.path("elsewhere")).expect("moves");
    symlink("elsewhere", image.path("etc")).expect("a link");
    assert_eq!(image.commit().changed, []);
}

#[test]
fn a_linked_directory_of_declarations_is_left_alone() {
    let image = Image::new();
    let outside = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(image.path("usr/lib")).expect("directories");
    symlink(outside.path(), image.path("usr/lib/sysusers.d")).expect("a link");
    let outcome = image.step(|image| image.add("redis", 105, 107));
    assert_eq!(fs::read_dir(outside.path()).expect("lists").count(), 0);
    assert_eq!(outcome.kept[0].reason, "behind a mount or a link");
    assert_eq!(outcome.changed[0].path, "/etc/shadow");
}

#[test]
fn without_etc_the_default_etc_is_settled() {
    let image = Image::new();
    fs::create_dir_all(image.path("usr")).expect("a directory");
    fs::rename(image.path("etc"), image.path("usr/etc")).expect("moves");
    image.step(|image| image.append("usr/etc/passwd", "redis:x:105:33::/:/bin/false\n"));
    assert_eq!(
        image.own()[0].last().map(String::as_str),
        Some("u redis 105:www-data - / /bin/false")
    );
}

#[test]
fn hostile_account_files_are_survived_and_kept() {
    let long = format!("long:x:200:33:{}:/:/bin/false\n", "g".repeat(1 << 20));
    let hostile: [&[u8]; 8] = [
        b"no-end:x:201:33::/:/bin/false",
        b"nul\0l:x:202:33::/:/bin/false\n",
        long.as_bytes(),
        b"www-data:x:44:44::/:/bin/false\n",
        b"crlf:x:203:33::/:/bin/false\r\n",
        b"bad\xff:x:204:33:\xff:/:/bin/false\n",
        b"+::::::\n+@net::::::\n-not\n",
        b":::::::\n::\n\n\nx:y\n",
    ];
    for text in hostile {
        for file in ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"] {
            let image = Image::new();
            let path = format!("etc/{file}");
            let mut content = fs::read(image.path(&path)).unwrap_or_default();
            content.extend_from_slice(text);
            image.step(|image| image.write(&path, &content));
            if !file.ends_with("shadow") {
                assert_eq!(
                    fs::read(image.path(&path)).expect("reads"),
                    content,
                    "{file}"
                );
            }
            let tree = image.tree();
            image.commit();
            let again = image.commit();
            assert_eq!(
                again.changed,
                [],
                "{file} {:?}",
                String::from_utf8_lossy(text)
            );
            assert!(image.tree().len() >= tree.len() - 1);
        }
    }
}

#[test]
fn ten_thousand_accounts_are_declared_and_told_in_one_line() {
    let image = Image::new();
    let outcome = image.step(|image| {
        let mut passwd = image.read("etc/passwd");
        let mut group = image.read("etc/group");
        for id in 2_000..12_000 {
            let _ = writeln!(passwd, "svc{id}:x:{id}:{id}::/x:/bin/false");
            let _ = writeln!(group, "svc{id}:x:{id}:");
        }
        image.write("etc/passwd", passwd);
        image.write("etc/group", group);
    });
    assert_eq!(image.own()[0].len(), 20_000);
    assert_eq!(rules(&outcome), ["account-outside-system-range"]);
    assert!(outcome.findings[0].message.ends_with("; and 9995 more"));
    assert!(outcome.changed.iter().all(|file| file.reason.len() < 1_000));
}

#[test]
fn looking_takes_milliseconds_at_most() {
    let image = Image::new();
    image.append("etc/passwd", &"web:x:105:33::/:/bin/false\n".repeat(10_000));
    // What else runs on the machine takes none of this thread's own time.
    let used = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let start = used();
    for _ in 0..10 {
        Snapshot::take(&image.rootfs).expect("looks");
    }
    let took = Duration::try_from(used() - start).expect("a time");
    assert!(took.as_millis() < 500, "{took:?}");
}

#[test]
fn accounts_of_nss_altfiles_are_known() {
    let image = Image::new();
    image.write("usr/lib/passwd", "chrony:x:998:990::/:/sbin/nologin\n");
    image.write("usr/lib/group", "chrony:x:990:\nmail:x:8:\n");
    let outcome = image.step(|image| {
        image.append("etc/passwd", "plain:x:997:8::/:/usr/sbin/nologin\n");
        image.append("etc/group", "plain:x:997:chrony\n");
    });
    assert_eq!(rules(&outcome), [""; 0]);
    let lines = [
        "g plain 997",
        "u plain 997:mail - / /usr/sbin/nologin",
        "m chrony plain",
    ];
    assert_eq!(image.own(), [lines]);

    let outcome = image.step(|image| {
        image.append("etc/passwd", "same:x:998:8::/:/usr/sbin/nologin\n");
        image.append("etc/group", "same:x:990:\n");
    });
    assert_eq!(rules(&outcome), ["account-duplicate-id"]);
}
