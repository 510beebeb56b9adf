//! Roots in temporary directories, and what the commit or one of its domains does there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::base::testing::base_like;

/// What a domain alone does, from what was before.
pub(crate) fn settle_alone(
    domain: Maker,
    rootfs: &Rootfs,
    before: Option<&Snapshot>,
    settings: &Settings,
) -> DomainOutcome {
    settle(&[domain], rootfs, before, settings, &mut |_| ()).expect("settles")
}

/// What is upon a base image.
pub(crate) fn upon(rootfs: &Rootfs, base: Base) -> Snapshot {
    Snapshot::of_base(rootfs, base).expect("looks")
}

/// A root, empty at first. Paths are relative to it.
pub(crate) struct TestRoot(tempfile::TempDir);

impl TestRoot {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn top(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.top().join(path)
    }

    pub(crate) fn mkdir(&self, path: &str) {
        fs::create_dir_all(self.path(path)).expect("directories");
    }

    /// A file, with the directories that it is in.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("reads")
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    pub(crate) fn rootfs(&self) -> Rootfs {
        Rootfs::open(self.top()).expect("opens")
    }

    /// The base image: all that there is now.
    pub(crate) fn before(&self) -> (tempfile::TempDir, Base) {
        base_like(self.top())
    }

    /// What a domain alone does at the end of a build upon a base; by hand without one.
    pub(crate) fn settle(
        &self,
        domain: Maker,
        before: Option<&(tempfile::TempDir, Base)>,
    ) -> DomainOutcome {
        let rootfs = self.rootfs();
        let base = before.map(|(copy, _)| Base::open(copy.path()).expect("opens"));
        let before = base.map(|base| upon(&rootfs, base));
        settle_alone(domain, &rootfs, before.as_ref(), &Settings::default())
    }
}
