//! The reports that a build left in a directory, one for each RUN that ran, and those of earlier builds for RUNs that
//! came from the engine's cache.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use osderive_lints::oci_runtime::{REPORT_FOLDER, RUN_FILE};
use osderive_lints::{
    BASE_CHECK_FILE, CHECK_FILE, CheckReport, ImageConfig, MAX_REPORT_BYTES, REPORT_FILE,
    StepReport, TOOL,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, in_file};

/// Reports that are kept of earlier builds at most; the oldest go.
const MAX_KEPT: usize = 2_000;

/// What a RUN that ran has left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The command that the engine started, in words.
    pub(crate) args: Vec<String>,
    /// How many copies of its stage the image is made by ([`osderive_lints::BuildArgument`]).
    pub(crate) copied: usize,
    directory: PathBuf,
}

/// The content of [`RUN_FILE`].
#[derive(Deserialize)]
struct Run {
    args: Vec<String>,
    #[serde(default)]
    copied: usize,
}

/// What the commit at the end of a build has left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) commit: StepReport,
    /// What the image has; none where it does not boot.
    pub(crate) check: Option<CheckReport>,
    /// What its base has.
    pub(crate) base: Option<CheckReport>,
}

/// All that a build has reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reported {
    /// For each RUN of the image; none where an earlier build's is not known.
    pub(crate) steps: Vec<Option<StepReport>>,
    pub(crate) end: End,
    /// The image's configuration.
    pub(crate) config: ImageConfig,
}

/// The RUNs that ran, in their order.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn ran(reports: &Path) -> Result<Vec<Ran>, Error> {
    let entries = fs::read_dir(reports).map_err(in_file(reports))?;
    let mut directories: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    directories.sort();
    let ran = directories.into_iter().map(|directory| {
        let run: Run = json(&directory.join(RUN_FILE))?;
        Ok(Ran {
            args: run.args,
            copied: run.copied,
            directory,
        })
    });
    ran.collect()
}

impl Ran {
    /// Whether it is the commit at the end.
    pub(crate) fn is_end(&self) -> bool {
        self.args.first().is_some_and(|first| first == TOOL)
    }

    /// Whether its directory has a name.
    pub(crate) fn is_in(&self, name: &str) -> bool {
        self.directory.file_name().is_some_and(|own| own == name)
    }

    /// Whether it has left a report.
    pub(crate) fn has_report(&self) -> bool {
        self.file(REPORT_FILE).exists()
    }

    /// Its report.
    ///
    /// # Errors
    /// When there is none, or it is none of ours: the command ran as root beside it.
    pub(crate) fn step(&self) -> Result<StepReport, Error> {
        let bytes = read(&self.file(REPORT_FILE))?;
        StepReport::from_json(&bytes).map_err(|error| self.unread(&error.to_string()))
    }

    /// What the commit at the end has left.
    ///
    /// # Errors
    /// When a report of it is no report.
    pub(crate) fn end(&self) -> Result<End, Error> {
        let check = |name: &str| {
            let file = self.file(name);
            if !file.exists() {
                return Ok(None);
            }
            let report = CheckReport::from_json(&read(&file)?);
            report
                .map(Some)
                .map_err(|error| self.unread(&error.to_string()))
        };
        Ok(End {
            commit: self.step()?,
            check: check(CHECK_FILE)?,
            base: check(BASE_CHECK_FILE)?,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(REPORT_FOLDER).join(name)
    }

    fn unread(&self, why: &str) -> Error {
        Error::Report {
            what: self.args.join(" "),
            why: why.to_owned(),
        }
    }
}

/// Reports of earlier builds, in a directory of the user.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// The user's.
    pub(crate) fn open() -> Self {
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(home);
        let cache = cache.unwrap_or_else(|| PathBuf::from("/var/cache"));
        Self {
            folder: cache.join("osderive/reports"),
        }
    }

    /// What is kept under words that tell what it is of.
    pub(crate) fn get<T: DeserializeOwned>(&self, words: &[&str]) -> Option<T> {
        json(&self.path(words)).ok()
    }

    /// Keeps something. Where that cannot be done, a later build does it again.
    pub(crate) fn keep(&self, words: &[&str], what: &impl Serialize) {
        let path = self.path(words);
        let beside = self.folder.join(format!(".new-{}", std::process::id()));
        let json = serde_json::to_vec(what).unwrap_or_default();
        let kept = fs::create_dir_all(&self.folder)
            .and_then(|()| fs::write(&beside, json))
            .and_then(|()| fs::rename(&beside, path));
        if kept.is_err() {
            let _ = fs::remove_file(&beside);
        }
    }

    /// Removes the oldest of too many.
    pub(crate) fn tidy(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut all: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        all.sort();
        for (_, path) in &all[..all.len().saturating_sub(MAX_KEPT)] {
            let _ = fs::remove_file(path);
        }
    }

    fn path(&self, words: &[&str]) -> PathBuf {
        let mut hash = Sha256::new();
        for word in words {
            hash.update(word.len().to_le_bytes());
            hash.update(word);
        }
        let digest = hash.finalize();
        let name = base16ct::lower::encode_string(&digest[..16]);
        self.folder.join(format!("{name}.json"))
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    serde_json::from_slice(&read(path)?).map_err(|error| Error::Report {
        what: path.display().to_string(),
        why: error.to_string(),
    })
}

/// A regular file of no more bytes than a report has: what a step's command has put in its place is not opened.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unread = |why: &str| Error::Report {
        what: path.display().to_string(),
        why: why.to_owned(),
    };
    let metadata = fs::symlink_metadata(path).map_err(in_file(path))?;
    if !metadata.is_file() {
        return Err(unread("it is no regular file"));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(in_file(path))?;
    let limit = 4 * MAX_REPORT_BYTES as u64;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(in_file(path))?;
    if bytes.len() as u64 > limit {
        return Err(unread("it is too large"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_by_the_same_words_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store {
            folder: folder.path().join("a/b"),
        };
        store.keep(&["one", "two"], &7);
        assert_eq!(store.get::<u32>(&["one", "two"]), Some(7));
        assert_eq!(store.get::<u32>(&["onetwo", ""]), None);
        assert_eq!(store.get::<String>(&["one", "two"]), None);
    }

    #[test]
    fn a_report_that_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
        assert!(matches!(read(&link), Err(Error::Report { .. })));
        assert!(read(folder.path()).is_err());
    }
}
