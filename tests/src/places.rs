//! Where the harness keeps things: all of it in one state directory (the workspace's `target/`), so that
//! deleting that directory deletes every root, image and engine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::{Result, io_error};

/// The workspace and the state directory, both absolute and free of symlinks.
#[derive(Debug, Clone)]
pub struct Places {
    workspace: PathBuf,
    state: PathBuf,
}

impl Places {
    /// The workspace this harness was compiled from, with `$OSDERIVE_STATE` or `target/` as state directory.
    ///
    /// # Errors
    /// When the state directory cannot be made.
    pub fn of_workspace() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = manifest.parent().unwrap_or(manifest);
        let given = std::env::var_os("OSDERIVE_STATE").filter(|state| !state.is_empty());
        let state = given.map_or_else(|| workspace.join("target"), PathBuf::from);
        Self::new(workspace, &state)
    }

    /// A given workspace and state directory; the latter is made when missing.
    ///
    /// # Errors
    /// When either cannot be made or resolved.
    pub fn new(workspace: &Path, state: &Path) -> Result<Self> {
        fs::create_dir_all(state).map_err(io_error("make the state directory", state))?;
        Ok(Self {
            workspace: fs::canonicalize(workspace).map_err(io_error("resolve", workspace))?,
            state: fs::canonicalize(state).map_err(io_error("resolve", state))?,
        })
    }

    /// The root of the source tree.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The directory of everything that the harness makes.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// A directory below the state directory, made when missing.
    pub(crate) fn directory(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.state.join(name);
        fs::create_dir_all(&path).map_err(io_error("make", &path))?;
        Ok(path)
    }
}

/// A lock on a file, held while the value lives; the kernel drops it with a killed process.
#[derive(Debug)]
pub(crate) struct FileLock(#[expect(dead_code, reason = "held, never read")] File);

impl FileLock {
    /// Waits until nobody else holds the lock.
    pub(crate) fn wait(path: &Path) -> Result<Self> {
        let file = open(path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| io_error("lock", path)(errno.into()))?;
        Ok(Self(file))
    }

    /// The lock, or `None` while somebody else holds it.
    pub(crate) fn attempt(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(io_error("lock", path)(errno.into())),
        }
    }
}

fn open(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(io_error("open the lock", path))
}
