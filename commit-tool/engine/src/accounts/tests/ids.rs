//! What the id ledger makes of a step's accounts and their files.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown};

use osderive_lints::model::ledger::Ledger;
use proptest::prelude::*;
use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::*;

const SETGID: u32 = 0o102_755;

impl Image {
    fn step_with(&self, ledger: &str, command: impl FnOnce(&Self)) -> DomainOutcome {
        let ledger = Ledger::parse(ledger.as_bytes()).expect("a ledger");
        let before = Snapshot::take(&self.rootfs).expect("looks");
        let start = StepStart::now(&self.rootfs).expect("looks");
        command(self);
        keep_ids(&self.rootfs, &ledger, &before, start, &mut |_| ()).expect("keeps ids")
    }

    fn owned_file(&self, path: &str, uid: u32, gid: u32) {
        self.write(path, "");
        chown(self.path(path), Some(uid), Some(gid)).expect("root may");
    }

    fn owner(&self, path: &str) -> (u32, u32) {
        let found = fs::symlink_metadata(self.path(path)).expect("is there");
        (found.uid(), found.gid())
    }

    fn has(&self, line: &str) -> bool {
        ["etc/passwd", "etc/group"]
            .iter()
            .any(|file| self.read(file).contains(line))
    }
}

fn messages(outcome: &DomainOutcome) -> Vec<&str> {
    outcome
        .findings
        .iter()
        .map(|finding| finding.message.as_str())
        .collect()
}

#[test]
fn accounts_get_the_ids_of_the_ledger_and_their_files_follow() {
    let image = Image::new();
    image.owned_file("usr/lib/older", 101, 101);
    // Older than a tick, as what a lower layer has.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let outcome = image.step_with("u redis 105\ng redis 106", |image| {
        image.add("redis", 101, 101);
        image.owned_file("var/lib/redis/dump", 101, 0);
        image.owned_file("etc/redis.conf", 0, 101);
        symlink("nowhere", image.path("etc/link")).expect("a link");
        lchown(image.path("etc/link"), Some(101), Some(101)).expect("root may");
        image.owned_file("usr/bin/tool", 0, 101);
        let tool = fs::Permissions::from_mode(SETGID);
        fs::set_permissions(image.path("usr/bin/tool"), tool).expect("a mode");
    });
    assert!(
        image.has("redis:x:105:106:"),
        "{}",
        image.read("etc/passwd")
    );
    assert!(image.has("redis:x:106:\n"), "{}", image.read("etc/group"));
    assert_eq!(image.owner("var/lib/redis/dump"), (105, 0));
    assert_eq!(image.owner("etc/redis.conf"), (0, 106));
    assert_eq!(image.owner("etc/link"), (105, 106));
    let tool = fs::metadata(image.path("usr/bin/tool")).expect("is there");
    assert_eq!((tool.gid(), tool.mode()), (106, SETGID));
    assert_eq!(
        image.owner("usr/lib/older"),
        (101, 101),
        "no file of the step"
    );
    assert_eq!(messages(&outcome), [""; 0]);
    assert_eq!(outcome.changed.len(), 2);
}

#[test]
fn ids_change_places_and_a_file_with_two_names_changes_once() {
    let image = Image::new();
    image.step_with("u a 102\ng a 102\nu b 101\ng b 101", |image| {
        image.add("a", 101, 101);
        image.add("b", 102, 102);
        image.owned_file("srv/a", 101, 101);
        image.owned_file("srv/b", 102, 102);
        fs::hard_link(image.path("srv/a"), image.path("srv/same")).expect("a link");
    });
    assert!(image.has("a:x:102:102:") && image.has("b:x:101:101:"));
    assert_eq!(image.owner("srv/a"), (102, 102));
    assert_eq!(image.owner("srv/same"), (102, 102));
    assert_eq!(image.owner("srv/b"), (101, 101));
}

#[test]
fn an_id_of_the_ledger_is_kept_free_for_its_owner() {
    let image = Image::new();
    let outcome = image.step_with("u redis 105\ng redis 105\nu tor 104", |image| {
        image.add("web", 105, 105);
        image.owned_file("srv/web", 105, 105);
    });
    assert!(image.has("web:x:103:103:"), "{}", image.read("etc/passwd"));
    assert_eq!(image.owner("srv/web"), (103, 103));
    assert_eq!(
        messages(&outcome),
        ["the id ledger lacks 2 lines: u web 103, g web 103"]
    );
}

/// What nss-altfiles reads: another uid than gid, so that the sides are told apart.
fn add_beside(image: &Image) {
    image.write("usr/lib/passwd", "chrony:x:103:102::/:/sbin/nologin\n");
    image.write("usr/lib/group", "chrony:x:102:\nmail:x:8:\n");
}

#[test]
fn ids_of_nss_altfiles_are_spared_on_both_sides() {
    let image = Image::new();
    add_beside(&image);
    image.step_with("u redis 105\ng redis 105\nu tor 104", |image| {
        image.add("web", 105, 105);
    });
    assert!(image.has("web:x:101:101:"), "{}", image.read("etc/passwd"));
}

#[test]
fn an_id_of_nss_altfiles_is_given_to_nobody_else() {
    for (ledger, told) in [
        (
            "u web 103\ng web 107",
            "user web has the uid 105, the id ledger says 103: 103 belongs to chrony",
        ),
        (
            "u web 105\ng web 102",
            "group web has the gid 107, the id ledger says 102: 102 belongs to chrony",
        ),
    ] {
        let image = Image::new();
        add_beside(&image);
        let outcome = image.step_with(ledger, |image| image.add("web", 105, 107));
        assert_eq!(messages(&outcome), [told]);
        assert!(image.has("web:x:105:107:"));
    }
    // The other side's numbers are free.
    let image = Image::new();
    add_beside(&image);
    let outcome = image.step_with("u web 102\ng web 103", |image| image.add("web", 105, 107));
    assert_eq!(messages(&outcome), [""; 0]);
    assert!(image.has("web:x:102:103:"));
}

#[test]
fn what_cannot_be_followed_is_told_and_left() {
    let image = Image::new();
    let outcome = image.step_with(
        "u www-data 105\nu redis 33\nu tor 106\ng redis 102",
        |image| {
            image.add("redis", 101, 101);
            // Stands on the id that tor should have, and shares it.
            image.append(
                "etc/passwd",
                "one:x:106:0::/:/bin/false\ntwo:x:106:0::/:/bin/false\n",
            );
            image.append("etc/passwd", "tor:x:107:0::/:/bin/false\n");
        },
    );
    let differing = "user www-data has the uid 33, the id ledger says 105: it is older than this step; \
                     user redis has the uid 101, the id ledger says 33: 33 belongs to www-data; \
                     user tor has the uid 107, the id ledger says 106: 106 belongs to one";
    assert_eq!(messages(&outcome)[0], differing);
    assert!(
        image.has("redis:x:101:102:"),
        "{}",
        image.read("etc/passwd")
    );
    assert!(image.has("tor:x:107:0:"));
}

#[test]
fn what_was_added_to_the_ledger_is_quiet_and_changes_nothing() {
    let image = Image::new();
    let outcome = image.step_with("u redis 101\ng redis 101", |image| {
        image.add("redis", 101, 101);
    });
    assert_eq!(outcome.findings, []);
    assert_eq!(outcome.changed, []);
}

#[test]
fn access_lists_and_capabilities_are_kept() {
    let image = Image::new();
    let list = |id: u8| {
        let entry = |tag: u8, id: u32| [&[tag, 0, 7, 0][..], &id.to_le_bytes()].concat();
        let none = u32::MAX;
        [
            &[2, 0, 0, 0][..],
            &entry(1, none),
            &entry(2, id.into()),
            &entry(4, none),
            &entry(16, none),
            &entry(32, none),
        ]
        .concat()
    };
    // CAP_NET_BIND_SERVICE, permitted and effective (`uapi/linux/capability.h`, revision 2).
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let file = image.path("usr/bin/served");
    image.step_with("u redis 105", |image| {
        image.append("etc/passwd", "redis:x:101:0::/:/bin/false\n");
        image.owned_file("usr/bin/served", 101, 0);
        setxattr(
            &file,
            "system.posix_acl_access",
            &list(101),
            XattrFlags::empty(),
        )
        .expect("a list");
        setxattr(
            &file,
            "security.capability",
            &capability,
            XattrFlags::empty(),
        )
        .expect("a capability");
    });
    let value = |name: &str| {
        let mut buffer = [0; 256];
        let length = getxattr(&file, name, &mut buffer).expect("is there");
        buffer[..length].to_vec()
    };
    assert_eq!(value("system.posix_acl_access"), list(105));
    assert_eq!(value("security.capability"), capability);
    assert_eq!(image.owner("usr/bin/served"), (105, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn two_orders_of_the_same_accounts_give_the_same_ids(
        ids in proptest::sample::subsequence((101..109).collect::<Vec<u32>>(), 5).prop_shuffle(),
        order in Just(["a", "b", "c", "d", "e"]).prop_shuffle(),
    ) {
        let names = ["a", "b", "c", "d", "e"];
        let mut ledger = String::new();
        for (name, id) in names.iter().zip(&ids) {
            let _ = write!(ledger, "u {name} {id}\ng {name} {id}\n");
        }
        let image = Image::new();
        let outcome = image.step_with(&ledger, |image| {
            for (name, id) in order.iter().zip(101..) {
                image.add(name, id, id);
                image.owned_file(&format!("srv/{name}"), id, id);
            }
        });
        prop_assert_eq!(&outcome.findings, &[]);
        for (name, id) in names.iter().zip(&ids) {
            prop_assert!(image.has(&format!("{name}:x:{id}:{id}:")), "{}", image.read("etc/passwd"));
            prop_assert_eq!(image.owner(&format!("srv/{name}")), (*id, *id));
        }
    }
}
