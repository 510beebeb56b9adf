//! A commit that was killed, and what it left half done.

use super::*;

/// A root with all that a commit has to do: moves, merges, parts and links.
fn busy_root() -> tempfile::TempDir {
    let root = image();
    write(root.path(), "usr/lib/opt/acme/run", "1");
    write(root.path(), "usr/lib/opt/acme/lib/old", "1");
    write(root.path(), "var/opt/acme/run", "2");
    write(root.path(), "var/opt/acme/lib/new", "2");
    write(root.path(), "var/opt/acme/log/first", "2");
    write(root.path(), "var/lib/opt/acme/log/second", "2");
    write(root.path(), "var/opt/vendor/product/data/x", "3");
    write(root.path(), "var/usrlocal/bin/tool", "4");
    root
}

#[test]
fn a_commit_killed_between_any_two_actions_ends_alike() {
    let whole = busy_root();
    bare(whole.path());
    let expected = tree(whole.path());
    let rootfs = Rootfs::open(whole.path()).expect("opens");
    bare(whole.path());
    assert_eq!(
        tree(whole.path()),
        expected,
        "a second commit changes nothing"
    );
    drop(rootfs);
    for done in 0.. {
        let root = busy_root();
        let rootfs = Rootfs::open(root.path()).expect("opens");
        let place = Place::of(&rootfs);
        let seen = observe::observe(&place, &rootfs, None, None, &Settings::default())
            .expect("observes")
            .expect("all of it");
        let plan = plan::plan(&seen, &Settings::default(), Phase::ByHand);
        let actions = plan.actions.iter().take(done);
        for action in actions {
            apply::perform(&place, action, &mut DomainOutcome::default(), &mut |_| ())
                .expect("works");
        }
        bare(root.path());
        assert_eq!(tree(root.path()), expected, "after {done} actions");
        if done == plan.actions.len() {
            break;
        }
    }
}

#[test]
fn a_part_whose_link_was_not_placed_is_finished() {
    let root = image();
    write(root.path(), "usr/lib/opt/acme/run", "1");
    write(root.path(), "var/lib/opt/acme/log/first", "1");
    let beside = root.path().join("usr/lib/opt/acme/.osderive-part");
    symlink("/var/lib/opt/acme/log", &beside).expect("a link");
    bare(root.path());
    assert!(!beside.is_symlink());
    assert_eq!(
        target(root.path(), "usr/lib/opt/acme/log"),
        Path::new("/var/lib/opt/acme/log")
    );
}
