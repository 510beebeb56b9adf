//! What a plan consists of: actions, findings, and what is told of it as a whole.

use std::path::{Path, PathBuf};

use osderive_lints::{Change, ChangedFile, EntryKind, Finding};

use crate::{files, paths::shown};

/// For users whose next RUN begins with nothing that makes /var.
const EMPTIED: &str = "/var: took away what boot makes; a later RUN has it again as \
     `ostree-container step -- COMMAND`, or after `systemd-tmpfiles --create --prefix=/var`";

/// One thing to do; paths are relative to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::var) enum VarAction {
    /// Write or remove one of our own files.
    File(files::FileAction),
    /// Take an entry away; of a directory only an empty one.
    Remove {
        path: PathBuf,
        kind: EntryKind,
        reason: &'static str,
    },
    /// Move an entry with all below it, and into what is there already.
    Move {
        from: PathBuf,
        to: PathBuf,
        reason: &'static str,
    },
    /// Take the access control lists of a factory copy away, which lines say now, and set its permission bits.
    Plain {
        path: PathBuf,
        mode: u32,
        /// Whether the file has names elsewhere, whose lists stay.
        is_shared: bool,
    },
}

/// What shall be done, and what cannot be.
#[derive(Debug, Default)]
pub(in crate::var) struct VarPlan {
    /// In the order in which they are applied.
    pub(in crate::var) actions: Vec<VarAction>,
    pub(in crate::var) findings: Vec<Finding>,
    /// Directories, links and empty files that are declared.
    pub(in crate::var) declared: usize,
    /// Files that are kept in the factory.
    pub(in crate::var) kept: usize,
    /// The bytes of files that wait for the end of the build.
    pub(in crate::var) left_bytes: u64,
    /// Whether a commit by hand takes away what lines of others make again.
    pub(in crate::var) has_emptied: bool,
}

impl VarAction {
    /// The action for people; none where it is a part of another.
    pub(in crate::var) fn as_changed_file(&self) -> Option<ChangedFile> {
        let told = |change, path: &Path, from: Option<&Path>, reason: &str| ChangedFile {
            change,
            path: shown(path),
            from: from.map(shown),
            reason: reason.to_owned(),
        };
        Some(match self {
            Self::File(file) => file.as_changed_file(),
            Self::Remove { path, reason, .. } => told(Change::Removed, path, None, reason),
            Self::Move { from, to, reason } => told(Change::Moved, to, Some(from), reason),
            Self::Plain { .. } => return None,
        })
    }

    /// What it is about, as it stands before.
    pub(in crate::var) fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Move { from, .. } => from,
            Self::Remove { path, .. } | Self::Plain { path, .. } => path,
        }
    }
}

impl VarPlan {
    /// `/var: declared 7 directories and links, kept 3 files in /usr/share/factory`.
    pub(in crate::var) fn summaries(&self) -> Vec<String> {
        let mut done = Vec::new();
        if self.declared > 0 {
            let entries = counted(self.declared, "directory or link", "directories and links");
            done.push(format!("declared {entries}"));
        }
        if self.kept > 0 {
            let files = counted(self.kept, "file", "files");
            done.push(format!("kept {files} in /usr/share/factory"));
        }
        let done = (!done.is_empty()).then(|| format!("/var: {}", done.join(", ")));
        let emptied = self.has_emptied.then(|| EMPTIED.to_owned());
        done.into_iter().chain(emptied).collect()
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
