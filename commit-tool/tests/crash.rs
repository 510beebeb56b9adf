//! A commit that is killed before each system call by which it changes the tree, or that meets a full or broken disk, a
//! quota, a file system that turns read-only or too many open files there: no byte of the user's is ever missing, what it
//! says is true, and run again it ends where an undisturbed one ends.

#[path = "support/busy.rs"]
mod busy;
#[path = "support/lists.rs"]
mod lists;
mod support;
#[path = "support/tracer.rs"]
mod tracer;
#[path = "../engine/src/trees.rs"]
mod trees;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use busy::{PRECIOUS, busy_root};
use nix::errno::Errno;
use support::commit;
use tracer::{Calls, Fate, Traced, commit_with};
use trees::{Tree, tree};

fn missing(root: &Path) -> Vec<&'static str> {
    let found = tree(root);
    let holds = |piece: &&str| {
        let piece = piece.as_bytes();
        let contents = found.values().map(|(.., content, _)| content);
        let mut windows = contents.flat_map(|content| content.windows(piece.len()));
        windows.any(|window| window == piece)
    };
    PRECIOUS.into_iter().filter(|piece| !holds(piece)).collect()
}

/// The paths at which two trees differ.
fn differing(left: &Tree, right: &Tree) -> Vec<String> {
    let paths: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let differs = |path: &&&PathBuf| left.get(**path) != right.get(**path);
    let paths = paths.iter().filter(differs);
    paths.map(|path| path.display().to_string()).collect()
}

#[test]
fn killed_before_any_change_and_run_again_it_ends_in_the_same_place() {
    let root = busy_root();
    commit(root.path(), &[]).ended_with(0);
    let expected = tree(root.path());
    assert_eq!(missing(root.path()), [""; 0]);

    let mut fatal = 1;
    loop {
        let root = busy_root();
        let run = commit_with(root.path(), Calls::Changing, fatal, Fate::Killed);
        if !run.has_happened {
            assert_eq!(run.code, Some(0), "the commit itself works");
            break;
        }
        assert_eq!(missing(root.path()), [""; 0], "killed at change {fatal}");
        commit(root.path(), &[]).ended_with(0);
        let differing = differing(&expected, &tree(root.path()));
        assert_eq!(differing, [""; 0], "killed at change {fatal}");
        fatal += 1;
    }
    // Each thing that goes or is written takes a call at least.
    assert!(fatal > 20, "{fatal} changes were seen");
}

/// What a call that changes a tree may return for no fault of the tree's. No single run has all of them at each call:
/// the one follows the other.
const FAULTS: [Errno; 5] = [
    Errno::ENOSPC,
    Errno::EIO,
    Errno::EDQUOT,
    Errno::EROFS,
    Errno::EMFILE,
];

/// Meets each fault, at one call or at each from there on, in a root of its own.
struct Trial {
    make: fn() -> tempfile::TempDir,
    /// What an undisturbed commit makes of it.
    expected: Tree,
}

impl Trial {
    fn of(make: fn() -> tempfile::TempDir) -> Self {
        let root = make();
        commit(root.path(), &[]).ended_with(0);
        Self {
            make,
            expected: tree(root.path()),
        }
    }

    /// Whether there was a call with this number.
    fn meet(&self, calls: Calls, number: usize, fate: Fate) -> bool {
        let root = (self.make)();
        let before = tree(root.path());
        let precious = missing(root.path());
        let run = commit_with(root.path(), calls, number, fate);
        let told = format!("{fate:?} at {calls:?} call {number}: {run:?}");
        assert_eq!(missing(root.path()), precious, "{told}");
        self.expect_true(&before, &tree(root.path()), &run, fate, &told);
        let again = commit(root.path(), &[]);
        assert_eq!(again.code, 0, "{told}\nand then {}", again.stderr);
        let differing = differing(&self.expected, &tree(root.path()));
        assert_eq!(differing, [""; 0], "{told}\nand then {}", again.stderr);
        run.has_happened
    }

    /// What did not come out as it should is told, with the path and the reason; and where nothing is said to have been
    /// done, nothing was.
    fn expect_true(&self, before: &Tree, after: &Tree, run: &Traced, fate: Fate, told: &str) {
        let (Fate::Fails(errno) | Fate::FailsFromNowOn(errno)) = fate else {
            panic!("{told}")
        };
        assert!(run.code == Some(0) || run.code == Some(1), "{told}");
        if !run.has_happened || run.code == Some(0) && differing(&self.expected, after).is_empty() {
            return;
        }
        let reason = std::io::Error::from(errno).to_string();
        let lines = run.said.lines().filter(|line| line.contains(&reason));
        let mut lines = lines.filter(|line| line.starts_with("osderive: ") && line.contains('/'));
        let unlike = differing(&self.expected, after);
        assert!(lines.next().is_some(), "{told}, with other {unlike:?}");
        if run.said.contains("nothing was changed") {
            assert_eq!(differing(before, after), [""; 0], "{told}");
        }
    }
}

#[test]
fn whatever_change_fails_nothing_is_lost_and_the_next_commit_ends_alike() {
    let trial = Trial::of(busy_root);
    let mut number = 1;
    let fate = |number: usize| {
        let errno = FAULTS[number % FAULTS.len()];
        if (number / FAULTS.len()).is_multiple_of(2) {
            Fate::Fails(errno)
        } else {
            Fate::FailsFromNowOn(errno)
        }
    };
    while trial.meet(Calls::Changing, number, fate(number)) {
        number += 1;
    }
    assert!(number > 20, "{number} changes were seen");
}

/// A root in which the commit has one thing of each kind to do.
fn small_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let write = |path: &str, content: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    };
    write("usr/lib/bootc/x", "");
    fs::create_dir(root.path().join("sysroot")).expect("a directory");
    write("etc/passwd", "redis:x:105:107::/var/lib/redis:/bin/false\n");
    write("etc/group", "redis:x:107:\n");
    write("tmp/waste", "waste");
    write("var/lib/redis/dump", "a dump");
    root
}

#[test]
fn each_fault_at_each_change_of_a_small_root() {
    let trial = Trial::of(small_root);
    for (place, errno) in FAULTS.into_iter().enumerate() {
        let fate = |number: usize| {
            if (place + number).is_multiple_of(2) {
                Fate::Fails(errno)
            } else {
                Fate::FailsFromNowOn(errno)
            }
        };
        let mut number = 1;
        while trial.meet(Calls::Changing, number, fate(number)) {
            number += 1;
        }
        assert!(number > 5, "{number} changes were seen");
    }
}

#[test]
fn too_many_open_files_lose_nothing() {
    let trial = Trial::of(busy_root);
    let mut number = 1;
    // Each of them fails alone; that all that follow fail as well is tried of some.
    while trial.meet(Calls::Opening, number, Fate::Fails(Errno::EMFILE)) {
        if number.is_multiple_of(4) {
            trial.meet(Calls::Opening, number, Fate::FailsFromNowOn(Errno::EMFILE));
        }
        number += 1;
    }
    assert!(number > 20, "{number} files were opened");
}
