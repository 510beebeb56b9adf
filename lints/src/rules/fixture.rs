//! Real trees for the tests of rules, and what a rule finds in them.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::Rule;
use crate::tree::{Rootfs, Tree as _};
use crate::{Finding, Image, ImageConfig, Selection, lint};

/// A tree that goes with the value, and the image's configuration.
pub(crate) struct Fixture {
    root: TempDir,
    config: Option<ImageConfig>,
}

impl Fixture {
    /// An empty tree.
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().expect("a folder"),
            config: None,
        }
    }

    /// A place in the tree, whose parent is made.
    fn place(&self, path: impl AsRef<Path>) -> PathBuf {
        let place = self.root.path().join(path);
        let parent = place.parent().expect("a parent");
        fs::create_dir_all(parent).expect("directories");
        place
    }

    /// Adds a file of mode 644.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.file_with(path, content, 0o644)
    }

    /// Adds a program.
    pub(crate) fn program(self, path: &str) -> Self {
        self.file_with(path, "#!/bin/sh\n", 0o755)
    }

    /// Adds a file with a mode.
    pub(crate) fn file_with(self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        let place = self.place(path);
        fs::write(&place, content).expect("a file");
        fs::set_permissions(&place, Permissions::from_mode(mode)).expect("a mode");
        self
    }

    /// Adds a service that starts at boot.
    pub(crate) fn service(self, name: &str, text: &str) -> Self {
        let unit = format!("usr/lib/systemd/system/{name}.service");
        let target = "usr/lib/systemd/system/default.target";
        let link = format!("etc/systemd/system/default.target.wants/{name}.service");
        self.file(target, "[Unit]\n")
            .file(&unit, text)
            .link(&link, &format!("/{unit}"))
    }

    /// Adds a directory.
    pub(crate) fn directory(self, path: &str) -> Self {
        fs::create_dir_all(self.place(path)).expect("a directory");
        self
    }

    /// Adds a link.
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.place(path)).expect("a link");
        self
    }

    /// Adds an empty file whose name is any bytes.
    pub(crate) fn file_named(self, path: &[u8]) -> Self {
        fs::write(self.place(OsStr::from_bytes(path)), "").expect("a file");
        self
    }

    /// Adds a link whose target is any bytes.
    pub(crate) fn link_to(self, path: &str, target: &[u8]) -> Self {
        symlink(OsStr::from_bytes(target), self.place(path)).expect("a link");
        self
    }

    /// Adds a further name of a file.
    pub(crate) fn hard_link(self, path: &str, of: &str) -> Self {
        fs::hard_link(self.root.path().join(of), self.place(path)).expect("a hard link");
        self
    }

    /// Adds a FIFO.
    pub(crate) fn fifo(self, path: &str) -> Self {
        mknodat(CWD, self.place(path), FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
        self
    }

    /// The owner and the group of what is at a path.
    pub(crate) fn owner(&self, path: &str) -> (u32, u32) {
        let meta = fs::metadata(self.root.path().join(path)).expect("an entry");
        (meta.uid(), meta.gid())
    }

    /// Changes a mode.
    pub(crate) fn mode(self, path: &str, mode: u32) -> Self {
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(self.root.path().join(path), permissions).expect("a mode");
        self
    }

    /// Gives a file to others; false where only root may, and the test does not run as root.
    pub(crate) fn give(&self, path: &str, uid: u32, gid: u32) -> bool {
        std::os::unix::fs::chown(self.root.path().join(path), Some(uid), Some(gid)).is_ok()
    }

    /// Sets the image's configuration.
    pub(crate) fn config(mut self, config: ImageConfig) -> Self {
        self.config = Some(config);
        self
    }

    /// Asks the image.
    pub(crate) fn on_image<T>(&self, ask: impl FnOnce(&Image<'_>) -> T) -> T {
        self.of_image(|image| ask(&image))
    }

    /// Asks the image, which is given away.
    pub(crate) fn of_image<T>(&self, ask: impl FnOnce(Image<'_>) -> T) -> T {
        let tree = Rootfs::open(self.root.path()).expect("a root");
        let gathered = tree.walk(&|_, _| {});
        ask(Image::read(&tree, gathered, self.config.as_ref()))
    }

    /// What one rule finds.
    pub(crate) fn findings_of(&self, rule: &Rule) -> Vec<Finding> {
        let tree = Rootfs::open(self.root.path()).expect("a root");
        let found = lint(&tree, self.config.as_ref(), &Selection::default()).findings;
        let of_rule = found
            .into_iter()
            .filter(|finding| finding.rule == rule.name);
        of_rule.collect()
    }

    /// The messages of the findings of one rule.
    pub(crate) fn messages_of(&self, rule: &Rule) -> Vec<String> {
        let found = self.findings_of(rule).into_iter();
        found.map(|finding| finding.message).collect()
    }

    /// The paths of the findings of one rule.
    pub(crate) fn paths_of(&self, rule: &Rule) -> Vec<String> {
        let found = self.findings_of(rule).into_iter();
        found.flat_map(|finding| finding.paths).collect()
    }
}

/// A configuration with labels.
pub(crate) fn config_with_labels(labels: &[(&str, &str)]) -> ImageConfig {
    let mut config = ImageConfig::default();
    let labels = labels.iter();
    config.config.labels = labels
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    config
}
