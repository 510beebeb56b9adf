//! Nothing but regular files and directories is ever opened: to open a device, a FIFO or a socket does something to it.

#[path = "support/busy.rs"]
mod busy;
#[path = "support/lists.rs"]
mod lists;
mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use busy::busy_root;
use nix::sys::{
    inotify::{AddWatchFlags, InitFlags, Inotify},
    stat::{Mode, SFlag, makedev, mknod},
};
use support::{Run, TOOL, commit};

/// Hears of each file that is opened; a handle that only looks (`O_PATH`) is not heard of (inotify(7)).
struct Listener {
    inotify: Inotify,
}

impl Listener {
    fn new() -> Self {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK).expect("listens");
        Self { inotify }
    }

    fn listen(&self, path: &Path) {
        let flags = AddWatchFlags::IN_OPEN | AddWatchFlags::IN_DONT_FOLLOW;
        self.inotify.add_watch(path, flags).expect("listens");
    }

    fn has_heard(&self) -> bool {
        let heard = self.inotify.read_events().unwrap_or_default();
        heard
            .iter()
            .any(|event| event.mask.contains(AddWatchFlags::IN_OPEN))
    }
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("lists") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            files_below(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

type Door = fn(&Path) -> Run;

fn lint(root: &Path) -> Run {
    let mut tool = Command::new(TOOL);
    let output = tool.args(["lint", "--rootfs"]).arg(root).output();
    Run::from(output.expect("the tool"))
}

/// The files, relative to the root, that are opened.
fn read_by(door: Door) -> BTreeSet<PathBuf> {
    let root = busy_root();
    let mut files = Vec::new();
    files_below(root.path(), &mut files);
    let heard = files.into_iter().map(|file| {
        let listener = Listener::new();
        listener.listen(&file);
        (file, listener)
    });
    let heard: Vec<_> = heard.collect();
    door(root.path());
    let read = heard
        .into_iter()
        .filter(|(_, listener)| listener.has_heard());
    let below = |file: PathBuf| file.strip_prefix(root.path()).expect("below").to_owned();
    read.map(|(file, _)| below(file)).collect()
}

#[test]
fn what_stands_in_the_place_of_a_file_that_a_commit_reads_is_never_opened() {
    let commit: Door = |root| commit(root, &[]);
    opens_nothing_else(commit, &["etc/passwd", "etc/shadow", "etc/machine-id"]);
}

#[test]
fn what_stands_in_the_place_of_a_file_that_a_lint_reads_is_never_opened() {
    opens_nothing_else(lint, &["etc/passwd", "etc/machine-id"]);
}

fn opens_nothing_else(door: Door, known: &[&str]) {
    let node = |path: &Path, kind| mknod(path, kind, Mode::S_IRWXU, makedev(1, 3)).expect("a node");
    let read = read_by(door);
    for known in known {
        assert!(
            read.contains(Path::new(known)),
            "{known} is not in {read:?}"
        );
    }
    for path in read {
        for kind in [SFlag::S_IFIFO, SFlag::S_IFCHR, SFlag::S_IFSOCK] {
            let root = busy_root();
            let canary = root.path().join(&path);
            fs::remove_file(&canary).expect("removes");
            node(&canary, kind);
            let listener = Listener::new();
            listener.listen(&canary);
            let ended = commit(root.path(), &[]);
            assert!(
                [0, 1].contains(&ended.code),
                "{}: {ended:?}",
                path.display()
            );
            let opened = listener.has_heard();
            assert!(!opened, "{} is a {kind:?} and was opened", path.display());
        }
    }
}
