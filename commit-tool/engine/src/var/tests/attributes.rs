//! Access control lists, attributes, flags, hard links and names of any length of what a step leaves in /var:
//! boot gives all of it back, or it stays where it is and is told. Nobody gets more than before.

use std::os::unix::fs::chown;

use osderive_lints::model::acl::{ACCESS, Acl, DEFAULT, Who};
use rustix::fs::{
    CWD, FileType, IFlags, Mode as Bits, OFlags, ioctl_getflags, ioctl_setflags, mkdirat, mknodat,
    openat, removexattr,
};

use super::*;
use crate::{
    lists::{GROUP, MASK, OTHER, OTHER_GROUP, OWNER, USER, get, list, set},
    trees::Tree,
};

/// The group may read, the user `web` and a stranger more: permission bits have the mask, rwx.
fn of_web() -> Vec<u8> {
    list(&[
        (OWNER, 7, u32::MAX),
        (USER, 7, 901),
        (USER, 6, 4321),
        (GROUP, 5, u32::MAX),
        (OTHER_GROUP, 4, 902),
        (MASK, 7, u32::MAX),
        (OTHER, 0, u32::MAX),
    ])
}

/// A root whose systemd-tmpfiles can set lists, as far as its files tell.
fn root() -> tempfile::TempDir {
    let root = root_with(b"d /var/lib 0755 root root\nd /var/lib/of-package 0755 root root\n");
    fs::remove_dir_all(root.path().join("usr/share/factory")).expect("removes");
    let write = |path: &str, content: &[u8]| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    };
    write(
        "usr/bin/systemd-tmpfiles",
        b"\0+PAM +AUDIT -SELINUX +ACL +BLKID\0",
    );
    write("usr/lib/x86_64-linux-gnu/libacl.so.1", b"");
    root
}

/// A step whose command is a function; answers with what was settled.
fn step_with(root: &Path, command: impl FnOnce(&Path)) -> DomainOutcome {
    let rootfs = Rootfs::open(root).expect("opens");
    let before = Snapshot::of_step(&rootfs, None).expect("looks");
    command(&root.join("var"));
    settle_alone(
        |known| known.var(),
        &rootfs,
        Some(&before),
        &Settings::default(),
    )
}

/// What a machine has in /var.
fn at_boot(root: &Path) -> Tree {
    let (rootfs, prelude) = prelude_in(root);
    let found = tree(&root.join("var"));
    let prelude_state = prelude.take_away(&rootfs).expect("takes away");
    prelude.finish(&rootfs, &prelude_state).expect("finishes");
    found
}

fn app(var: &Path) -> PathBuf {
    let app = var.join("lib/app");
    fs::create_dir(&app).expect("a directory");
    app
}

#[test]
fn a_line_gives_the_group_of_a_directory_no_more_than_its_entry_in_the_list() {
    let root = root();
    step_with(root.path(), |var| {
        let app = app(var);
        chown(&app, Some(901), Some(902)).expect("an owner");
        set(&app, ACCESS, &of_web());
        let mode = fs::metadata(&app).expect("looks").mode();
        assert_eq!(mode & 0o7777, 0o770, "permission bits have the mask");
    });
    assert_eq!(
        own_lines(root.path()),
        [
            "a+ \"/var/lib/\\\\app\" - - - - user::rwx,user:web:rwx,user:4321:rw-,group::r-x,group:web:r--,\
             mask::rwx,other::---",
            "d /var/lib/app 0750 web web -",
        ]
    );
}

#[test]
fn all_lists_come_back_at_boot_and_the_factory_has_none() {
    let root = root();
    let mut before = Tree::new();
    step_with(root.path(), |var| {
        let app = app(var);
        fs::create_dir(app.join("sub")).expect("a directory");
        fs::write(app.join("file"), "x").expect("a file");
        fs::write(app.join("sub/file"), "y").expect("a file");
        let empty = var.join("lib/empty");
        fs::create_dir(&empty).expect("a directory");
        let fifo = var.join("lib/fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Bits::RWXU, 0).expect("a FIFO");
        fs::create_dir(var.join("log")).expect("a directory");
        let log = var.join("log/web.log");
        fs::write(&log, "").expect("a file");
        chown(&log, Some(901), Some(902)).expect("an owner");
        chown(app.join("sub"), Some(901), Some(902)).expect("an owner");
        for path in [
            &app,
            &app.join("sub"),
            &app.join("file"),
            &app.join("sub/file"),
        ] {
            set(path, ACCESS, &of_web());
        }
        set(&app, DEFAULT, &of_web());
        set(&empty, DEFAULT, &of_web());
        set(&fifo, ACCESS, &of_web());
        set(&log, ACCESS, &of_web());
        set(&var.join("lib/of-package"), ACCESS, &of_web());
        before = tree(var);
    });
    let factory = tree(&root.path().join("usr/share/factory/var/lib"));
    for (path, (mode, _, _, _, lists)) in &factory {
        assert_eq!(lists[..2], [None, None], "{}", path.display());
        assert_eq!(mode & 0o020, 0, "{}", path.display());
    }
    assert!(factory.contains_key(Path::new("app/sub/file")));
    // The log of a RUN stays for later ones.
    let log = root.path().join("var/log");
    fs::remove_dir_all(log).expect("removes");
    // Only boot makes FIFOs.
    before.remove(Path::new("lib/fifo"));
    assert_eq!(at_boot(root.path()), before);
    let lines = own_lines(root.path()).join("\n");
    assert!(
        lines.contains("p /var/lib/fifo 0750 ") && lines.contains(r"\\fifo"),
        "{lines}"
    );
}

#[test]
fn a_later_step_adds_changes_and_takes_away_lists() {
    let root = root();
    step_with(root.path(), |var| {
        let app = app(var);
        fs::write(app.join("kept"), "x").expect("a file");
        fs::write(app.join("changed"), "x").expect("a file");
        set(&app.join("kept"), ACCESS, &of_web());
        set(&app.join("changed"), ACCESS, &of_web());
        for name in ["listed", "bare"] {
            fs::create_dir(var.join("lib").join(name)).expect("a directory");
        }
        set(&var.join("lib/listed"), ACCESS, &of_web());
    });
    let mut before = Tree::new();
    // Mode and owner of the directories stay as they are.
    step_with(root.path(), |var| {
        removexattr(var.join("lib/app/changed"), ACCESS).expect("takes the list away");
        removexattr(var.join("lib/listed"), ACCESS).expect("takes the list away");
        set(&var.join("lib/bare"), DEFAULT, &of_web());
        before = tree(var);
    });
    assert_eq!(at_boot(root.path()), before);
    let lines = own_lines(root.path());
    let lists = lines.iter().filter(|line| line.starts_with("a+"));
    assert_eq!(lists.count(), 2, "{lines:?}");
    // And one that has nothing to do with them leaves them alone.
    step_with(root.path(), |var| {
        fs::write(var.join("lib/app/more"), "x").expect("a file");
        fs::write(var.join("lib/bare/more"), "x").expect("a file");
        before = tree(var);
    });
    assert_eq!(at_boot(root.path()), before);
}

#[test]
fn a_list_that_lines_of_others_give_is_not_said_again() {
    let root = root();
    let snippet = "d /var/lib/journal 2755 root root\na+ /var/lib/journal - - - - d:group::r-x,d:group:web:r-x,g:web:r-x\n";
    fs::write(root.path().join("usr/lib/tmpfiles.d/test.conf"), snippet).expect("a file");
    let at_first = at_boot(root.path());
    assert!(at_first[Path::new("lib/journal")].4[1].is_some());
    step_with(root.path(), |var| {
        fs::write(var.join("lib/journal/new"), "x").expect("a file");
        fs::remove_file(var.join("lib/journal/new")).expect("removes");
    });
    assert_eq!(own_lines(root.path()), [""; 0]);
    assert_eq!(at_boot(root.path()), at_first);
    step_with(root.path(), |var| {
        set(&var.join("lib/journal"), ACCESS, &of_web());
    });
    let lines = own_lines(root.path());
    assert!(lines[0].starts_with("a+ ") && lines.len() == 1, "{lines:?}");
    let [found, _, _] = &at_boot(root.path())[Path::new("lib/journal")].4;
    let found = Acl::read(found.as_deref().expect("a list")).expect("a list");
    assert_eq!(found.permission(Who::User(901)), Some(7));
    // Lines of others come last.
    assert_eq!(found.permission(Who::OtherGroup(902)), Some(5));
}

#[test]
fn without_a_systemd_that_can_set_lists_the_entry_stays_and_is_told() {
    for tool in [&b"+PAM -ACL +BLKID"[..], b"", b"+ACL +BLKID"] {
        let root = root();
        fs::write(root.path().join("usr/bin/systemd-tmpfiles"), tool).expect("a file");
        if tool.starts_with(b"+ACL") {
            let library = root.path().join("usr/lib/x86_64-linux-gnu/libacl.so.1");
            fs::remove_file(library).expect("removes");
        }
        let outcome = step_with(root.path(), |var| {
            let app = app(var);
            fs::write(app.join("listed"), "x").expect("a file");
            fs::write(app.join("file"), "x").expect("a file");
            set(&app.join("listed"), ACCESS, &of_web());
        });
        let listed = root.path().join("var/lib/app/listed");
        assert_eq!(get(&listed, ACCESS), Some(of_web()));
        let [finding] = &outcome.findings[..] else {
            panic!("{outcome:?}");
        };
        assert_eq!(finding.rule, "var-not-kept");
        assert_eq!(finding.paths, ["/var/lib/app/listed"]);
        assert!(
            finding.message.contains("access control list"),
            "{finding:?}"
        );
        assert!(
            !root
                .path()
                .join("usr/share/factory/var/lib/app/listed")
                .exists()
        );
        assert!(
            root.path()
                .join("usr/share/factory/var/lib/app/file")
                .exists()
        );
    }
}

#[test]
fn attributes_of_users_come_back_and_where_they_cannot_the_entry_stays() {
    let root = root();
    let mut before = Tree::new();
    let outcome = step_with(root.path(), |var| {
        let app = app(var);
        fs::create_dir(app.join("sub")).expect("a directory");
        fs::write(app.join("file"), "x").expect("a file");
        for path in [&app, &app.join("sub"), &app.join("file")] {
            set(path, "user.note", b"any\0bytes\n%");
        }
        fs::create_dir(var.join("lib/alone")).expect("a directory");
        set(&var.join("lib/alone"), "user.note", b"alone");
        before = tree(var);
        for name in ["lib/of-package", "www"] {
            let _ = fs::create_dir(var.join(name));
            set(&var.join(name), "user.note", b"of many");
        }
    });
    let [finding] = &outcome.findings[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!(finding.paths, ["/var/lib/of-package", "/var/www"]);
    for name in ["lib/of-package", "www"] {
        let stays = root.path().join("var").join(name);
        assert_eq!(get(&stays, "user.note").as_deref(), Some(&b"of many"[..]));
        fs::remove_dir(stays).expect("removes");
    }
    assert_eq!(at_boot(root.path()), before);
    let lines = own_lines(root.path());
    // What boot made and a command only looked into is as it was.
    step_with(root.path(), |var| {
        fs::write(var.join("lib/app/sub/new"), "").expect("a file");
        fs::remove_file(var.join("lib/app/sub/new")).expect("removes");
    });
    assert_eq!(own_lines(root.path()), lines);
    assert_eq!(at_boot(root.path()), before);
}

#[test]
fn a_file_with_capabilities_stays_and_is_told() {
    const NET_RAW: [u8; 20] = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let root = root();
    let outcome = step_with(root.path(), |var| {
        fs::write(app(var).join("ping"), "x").expect("a file");
        set(&var.join("lib/app/ping"), "security.capability", &NET_RAW);
    });
    let ping = root.path().join("var/lib/app/ping");
    assert_eq!(get(&ping, "security.capability"), Some(NET_RAW.into()));
    assert!(
        outcome.findings[0].message.contains("capabilities"),
        "{outcome:?}"
    );
}

/// XFS shows root each list a second time, by the name that it keeps it by.
#[test]
fn what_xfs_shows_twice_is_no_obstacle_and_other_trusted_attributes_are() {
    let root = root();
    let outcome = step_with(root.path(), |var| {
        let app = app(var);
        for name in ["listed", "trusted"] {
            fs::write(app.join(name), "x").expect("a file");
        }
        set(&app.join("listed"), ACCESS, &of_web());
        set(&app.join("listed"), "trusted.SGI_ACL_FILE", b"the list");
        set(&app.join("trusted"), "trusted.note", b"a note");
    });
    let [finding] = &outcome.findings[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!(finding.paths, ["/var/lib/app/trusted"]);
    let factory = root.path().join("usr/share/factory/var/lib/app");
    assert!(factory.join("listed").exists());
}

#[test]
fn names_of_one_file_stay_such_and_one_that_does_not_move_keeps_all() {
    let root = root();
    let etc = root.path().join("etc/twin");
    step_with(root.path(), |var| {
        let app = app(var);
        fs::write(app.join("a"), "x").expect("a file");
        fs::create_dir(app.join("sub")).expect("a directory");
        fs::hard_link(app.join("a"), app.join("sub/b")).expect("a link");
        set(&app.join("a"), ACCESS, &of_web());
        fs::write(app.join("c"), "y").expect("a file");
        fs::hard_link(app.join("c"), &etc).expect("a link");
        set(&etc, ACCESS, &of_web());
    });
    let factory = root.path().join("usr/share/factory/var/lib/app");
    let inode = |path: &Path| fs::metadata(path).expect("looks").ino();
    assert_eq!(inode(&factory.join("a")), inode(&factory.join("sub/b")));
    assert_eq!(fs::read(&etc).expect("a file"), b"y");
    assert_eq!(get(&etc, ACCESS), Some(of_web()));
    let copy = factory.join("c");
    assert_eq!(fs::read(&copy).expect("a file"), b"y");
    assert_eq!(get(&copy, ACCESS), None);
    assert_eq!(
        at_boot(root.path())[Path::new("lib/app/c")].4[0],
        Some(of_web())
    );
}

#[test]
fn a_tree_that_is_merged_into_what_the_factory_has_keeps_attributes() {
    let root = root();
    step_with(root.path(), |var| {
        let app = app(var);
        fs::create_dir(app.join("sub")).expect("a directory");
        fs::write(app.join("sub/first"), "x").expect("a file");
    });
    let mut before = Tree::new();
    step_with(root.path(), |var| {
        let sub = var.join("lib/app/sub");
        fs::write(sub.join("second"), "x").expect("a file");
        set(&sub, "user.note", b"late");
        set(&sub, DEFAULT, &of_web());
        before = tree(var);
    });
    let copy = root.path().join("usr/share/factory/var/lib/app/sub");
    assert!(copy.join("first").exists() && copy.join("second").exists());
    assert_eq!(get(&copy, "user.note").as_deref(), Some(&b"late"[..]));
    assert_eq!(at_boot(root.path()), before);
}

/// An entry with a flag of chattr(1), which goes with the value.
struct Flagged(PathBuf);

impl Flagged {
    fn set(path: &Path, flag: IFlags) -> Self {
        change_flags(path, |flags| flags | flag);
        Self(path.to_owned())
    }
}

impl Drop for Flagged {
    fn drop(&mut self) {
        change_flags(&self.0, |flags| flags - IFlags::IMMUTABLE - IFlags::APPEND);
    }
}

fn change_flags(path: &Path, change: impl FnOnce(IFlags) -> IFlags) {
    let file = fs::File::open(path).expect("opens");
    let flags = ioctl_getflags(&file).expect("a file system with flags");
    ioctl_setflags(&file, change(flags)).expect("sets flags");
}

#[test]
fn what_is_immutable_or_append_only_stays_and_the_rest_is_kept() {
    let root = root();
    let mut flagged = Vec::new();
    let outcome = step_with(root.path(), |var| {
        let app = app(var);
        fs::create_dir(app.join("frozen")).expect("a directory");
        for name in ["free", "fixed", "log", "frozen/file"] {
            fs::write(app.join(name), name).expect("a file");
        }
        flagged.push(Flagged::set(&app.join("fixed"), IFlags::IMMUTABLE));
        flagged.push(Flagged::set(&app.join("log"), IFlags::APPEND));
        flagged.push(Flagged::set(&app.join("frozen"), IFlags::IMMUTABLE));
        let cache = var.join("lib/apt/lists");
        fs::create_dir_all(&cache).expect("directories");
        fs::write(cache.join("x"), "x").expect("a file");
        flagged.push(Flagged::set(&cache.join("x"), IFlags::IMMUTABLE));
    });
    let [finding] = &outcome.findings[..] else {
        panic!("{outcome:?}");
    };
    let stays = [
        "app/fixed",
        "app/frozen",
        "app/frozen/file",
        "app/log",
        "apt/lists/x",
    ];
    assert_eq!(finding.paths, stays.map(|path| format!("/var/lib/{path}")));
    assert!(finding.message.contains("chattr"), "{finding:?}");
    for path in stays {
        assert!(root.path().join("var/lib").join(path).exists(), "{path}");
    }
    let factory = root.path().join("usr/share/factory/var/lib/app");
    assert_eq!(fs::read(factory.join("free")).expect("a file"), b"free");
    assert!(!factory.join("frozen").exists());
    drop(flagged);
}

#[test]
fn paths_that_are_too_long_for_boot_stay_and_are_told_by_their_beginning() {
    let root = root();
    let name = "n".repeat(250);
    let outcome = step_with(root.path(), |var| {
        let mut directory = openat(CWD, var.join("lib"), OFlags::RDONLY, Bits::empty());
        for _ in 0..40 {
            let above = directory.expect("a directory");
            mkdirat(&above, &name, Bits::RWXU).expect("a directory");
            directory = openat(&above, &name, OFlags::RDONLY, Bits::empty());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE;
        openat(directory.expect("a directory"), "deep", flags, Bits::RWXU).expect("a file");
        fs::write(app(var).join("file"), "x").expect("a file");
        fs::write(var.join("lib").join(&name).join("shallow"), "x").expect("a file");
    });
    let [finding] = &outcome.findings[..] else {
        panic!("{outcome:?}");
    };
    assert!(finding.message.contains("4095"), "{finding:?}");
    assert!(
        finding.paths.iter().all(|path| path.len() < 1100),
        "{finding:?}"
    );
    let mut directory = openat(
        CWD,
        root.path().join("var/lib"),
        OFlags::RDONLY,
        Bits::empty(),
    );
    for _ in 0..40 {
        let above = directory.expect("a directory");
        directory = openat(&above, &name, OFlags::RDONLY, Bits::empty());
    }
    openat(
        directory.expect("a directory"),
        "deep",
        OFlags::RDONLY,
        Bits::empty(),
    )
    .expect("a file");
    let factory = root.path().join("usr/share/factory/var/lib");
    assert!(factory.join("app/file").exists());
    assert!(factory.join(&name).join("shallow").exists());
}
