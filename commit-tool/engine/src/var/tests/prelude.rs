//! The prelude against systemd-tmpfiles itself, and against commands, links and mounts that get in its way.

use super::*;

fn name() -> impl Strategy<Value = OsString> {
    let odd: Vec<&[u8]> = vec![
        b"a",
        b"b",
        b"lib",
        b"with space",
        b"\"",
        b"'q'",
        b"back\\slash",
        b"\\x20",
        b"100%",
        b"%m",
        "größe".as_bytes(),
        b"tab\tin",
        b"#",
        b"-",
    ];
    prop::sample::select(odd).prop_map(|name| OsStr::from_bytes(name).to_owned())
}

fn owner(name: &'static str, id: u32) -> impl Strategy<Value = Option<Owner>> {
    prop::sample::select(vec![
        None,
        Some(Owner::Name(name.into())),
        Some(Owner::Name(b"nobody-knows".to_vec())),
        Some(Owner::Id(id)),
        Some(Owner::Id(0)),
    ])
}

fn line() -> impl Strategy<Value = Line> {
    let mode = prop::option::of((0..=0o7777u32, any::<bool>(), any::<bool>()));
    let mode = mode.prop_map(|mode| {
        mode.map(|(bits, masked, only_created)| Mode {
            bits,
            masked,
            only_created,
        })
    });
    (
        prop::sample::select(b"ddddDvqQLLfC".to_vec()),
        prop::collection::vec(name(), 1..4),
        mode,
        owner("web", 901),
        owner("web", 902),
        prop::option::of(name()),
    )
        .prop_map(|(kind, names, mode, user, group, argument)| {
            let path = names
                .iter()
                .fold(PathBuf::from("/var"), |path, name| path.join(name));
            let argument = argument.map(|argument| argument.as_bytes().to_vec());
            Line {
                kind,
                modifiers: Vec::new(),
                path: path.into_os_string().into_vec(),
                mode,
                user,
                group,
                age: None,
                argument: match kind {
                    // To nowhere: systemd follows links below the root, we never do.
                    b'L' => argument.map(|target| [b"nowhere/", &target[..]].concat()),
                    b'f' => argument,
                    b'C' => Some(b"/usr/share/factory/var/lib/app".to_vec()),
                    _ => None,
                },
                file: Vec::new(),
                number: 0,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn var_is_what_systemd_makes_of_it_and_all_of_it_goes_again(
        lines in prop::collection::vec(line(), 0..12),
    ) {
        let snippet: Vec<u8> = lines.iter().filter_map(Line::to_text).flatten().collect();
        let (ours, theirs) = (root_with(&snippet), root_with(&snippet));
        let before = tree(ours.path());
        let (rootfs, prelude) = prelude_in(ours.path());
        systemd_tmpfiles(theirs.path());
        let text = String::from_utf8_lossy(&snippet);
        let (made, theirs) = (tree(&ours.path().join("var")), tree(&theirs.path().join("var")));
        prop_assert_eq!(made, theirs, "{}", text);
        let prelude_state = prelude.take_away(&rootfs).expect("takes away");
        prelude.finish(&rootfs, &prelude_state).expect("finishes");
        prop_assert_eq!(tree(ours.path()), before);
    }
}

#[test]
fn a_setgid_directory_hands_its_bit_down() {
    let root = root_with(b"d /var/mail 2775 - - -\nd /var/mail/new - - - -\n");
    let _made = prelude_in(root.path());
    let mode = |path: &str| {
        let meta = fs::metadata(root.path().join(path)).expect("looks");
        meta.mode() & 0o7777
    };
    assert_eq!((mode("var/mail"), mode("var/mail/new")), (0o2775, 0o2755));
}

#[test]
fn a_step_that_changes_nothing_leaves_no_trace_not_even_a_time() {
    let root = root_with(b"d /var/lib/app/run 0750 web web\nC /var/lib/app2 - - - - /usr/share/factory/var/lib/app\n");
    fs::create_dir(root.path().join("var/lib")).expect("a directory");
    let times = |path: &str| {
        let meta = fs::metadata(root.path().join(path)).expect("looks");
        (meta.mtime(), meta.mtime_nsec())
    };
    let before = (times("var"), times("var/lib"));
    let (rootfs, prelude) = prelude_in(root.path());
    assert!(root.path().join("var/lib/app2/db/data").exists());
    let prelude_state = prelude.take_away(&rootfs).expect("takes away");
    prelude.finish(&rootfs, &prelude_state).expect("finishes");
    assert_eq!(
        fs::read_dir(root.path().join("var/lib"))
            .expect("lists")
            .count(),
        0
    );
    assert_eq!((times("var"), times("var/lib")), before);
}

#[test]
fn what_the_command_changed_or_added_stays() {
    let root = root_with(b"d /var/a\nd /var/b\nd /var/c\nL /var/l - - - - x\nC /var/lib/app\nf /var/f - - - - same\n");
    let (rootfs, prelude) = prelude_in(root.path());
    let path = |path: &str| root.path().join("var").join(path);
    fs::write(path("a/new"), "").expect("writes");
    fs::set_permissions(path("b"), fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::remove_file(path("l")).expect("removes");
    symlink("y", path("l")).expect("a link");
    // As long as before and within the clock's tick.
    fs::write(path("lib/app/conf"), "CONF").expect("writes");
    fs::write(path("f"), "SAME").expect("writes");
    let prelude_state = prelude.take_away(&rootfs).expect("takes away");
    prelude.finish(&rootfs, &prelude_state).expect("finishes");
    for stays in ["a/new", "b", "lib/app/conf", "f"] {
        assert!(path(stays).exists(), "{stays}");
    }
    assert_eq!(fs::read_link(path("l")).expect("a link"), Path::new("y"));
    for gone in ["c", "lib/app/db", "lib/app/link"] {
        assert!(!path(gone).exists(), "{gone}");
    }
}

#[test]
fn what_lower_layers_have_is_left_as_it_is() {
    let root = root_with(b"d /var/a 0700 web web\nL+ /var/f - - - - x\nC /var/full - - - - /usr/share/factory/var/lib/app\n");
    fs::create_dir_all(root.path().join("var/a")).expect("a directory");
    fs::create_dir_all(root.path().join("var/full")).expect("a directory");
    fs::write(root.path().join("var/f"), "x").expect("a file");
    let before = tree(root.path());
    prelude_in(root.path());
    assert_eq!(tree(root.path()), before);
}

#[test]
fn no_link_is_followed_and_nothing_outside_of_var_is_made() {
    let root = root_with(b"d /etc/x\nd /var/run/x\nd /var/out/x\nd /var/../etc/y\n");
    let outside = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("run")).expect("a directory");
    symlink("../run", root.path().join("var/run")).expect("a link");
    symlink(outside.path(), root.path().join("var/out")).expect("a link");
    let before = tree(root.path());
    prelude_in(root.path());
    assert_eq!(tree(root.path()), before);
    assert_eq!(fs::read_dir(outside.path()).expect("lists").count(), 0);
}

#[test]
fn nothing_is_made_in_a_mount_and_none_is_taken_away() {
    let root = root_with(b"d /var/cache/apt/archives\nd /var/cache/man\nd /var/lib\n");
    fs::create_dir_all(root.path().join("var/cache/apt")).expect("directories");
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let mounts = |path| Mounts::parse(format!("1 1 0:1 / {path} rw - x x rw").as_bytes(), b"/");
    let place = Place::with_mounts(&rootfs, mounts("/var/cache/apt"));
    let prelude = Prelude::make_in(&place, &rootfs)
        .expect("works")
        .expect("open");
    assert!(root.path().join("var/cache/man").exists());
    assert!(!root.path().join("var/cache/apt/archives").exists());

    let place = Place::with_mounts(&rootfs, mounts("/var/cache/man"));
    prelude.take_away_in(&place).expect("takes away");
    assert!(root.path().join("var/cache/man").exists());
    assert!(!root.path().join("var/lib").exists());
}

#[test]
fn a_mount_on_var_is_no_place_for_a_prelude() {
    let root = root_with(b"d /var/lib\n");
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let mounts = Mounts::parse(b"1 1 0:1 / /var rw - x x rw", b"/");
    let place = Place::with_mounts(&rootfs, mounts);
    assert!(Prelude::make_in(&place, &rootfs).expect("works").is_none());
    assert!(!root.path().join("var/lib").exists());
}

#[test]
fn copies_keep_hard_links_holes_modes_and_times() {
    let root = root_with(b"C /var/lib/app\n");
    let factory = root.path().join("usr/share/factory/var/lib/app");
    let sparse = fs::File::create(factory.join("sparse")).expect("a file");
    sparse.set_len(64 << 20).expect("a size");
    fs::hard_link(factory.join("conf"), factory.join("twin")).expect("a hard link");
    fs::set_permissions(factory.join("conf"), fs::Permissions::from_mode(0o4711)).expect("a mode");
    let (rootfs, prelude) = prelude_in(root.path());
    let meta =
        |name: &str| fs::metadata(root.path().join("var/lib/app").join(name)).expect("looks");
    assert_eq!(meta("conf").ino(), meta("twin").ino());
    assert_eq!(meta("conf").mode() & 0o7777, 0o4711);
    assert_eq!(meta("sparse").len(), 64 << 20);
    assert!(meta("sparse").blocks() < 1024);
    let original = fs::metadata(factory.join("conf")).expect("looks");
    assert_eq!(
        meta("conf").modified().expect("a time"),
        original.modified().expect("a time")
    );
    prelude.take_away(&rootfs).expect("takes away");
    assert!(!root.path().join("var/lib").exists());
}
