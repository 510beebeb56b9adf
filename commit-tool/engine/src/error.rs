//! Why a commit failed, told as what, where and what to do.

use std::{ffi::OsStr, io, path::PathBuf};

use osderive_lints::escape_path;
use rustix::io::Errno;
use thiserror::Error;

/// What stands where something is being made and was left by no killed commit of the same thing.
pub(crate) const IN_THE_WAY: Errno = Errno::NOTUNIQ;

/// The result of a commit and of its parts.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a commit failed.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the message of each says what it is")]
pub enum Error {
    #[error("cannot open the root file system {}: {source}", escaped(rootfs.as_os_str()))]
    OpenRootfs { rootfs: PathBuf, source: io::Error },

    #[error(
        "this is a running system ({evidence}): refusing to empty its /tmp and /var/cache; run this \
         in a container build, or give --rootfs DIR"
    )]
    Booted { evidence: String },

    #[error(
        "no bootable image in {}: it has no /sysroot with /ostree -> sysroot/ostree, \
         /usr/lib/ostree/prepare-root.conf, /usr/lib/bootc or /sysroot/ostree/repo/config; start \
         FROM an ostree or bootc base image",
        escaped(rootfs.as_os_str())
    )]
    NotBootable { rootfs: PathBuf },

    #[error(
        "cannot tell mount points from directories: this kernel has no STATX_ATTR_MOUNT_ROOT and \
         /proc/self/mountinfo cannot be read; mount /proc, or use Linux 5.8 or newer"
    )]
    MountsUnknown,

    #[error("cannot {action} {path}: {}", why(*source))]
    Place {
        action: &'static str,
        path: String,
        source: Errno,
    },

    #[error("{path} was changed while it was moved to {to}; both are there")]
    Written { path: String, to: String },

    #[error(
        "commit failed: {source}; {}",
        if *is_begun {
            "some of it is done and nothing is lost: mend that and build, or commit, again"
        } else {
            "nothing was changed"
        }
    )]
    Commit { source: Box<Error>, is_begun: bool },

    #[error(
        "no account in {}: give --previous the root file system of the previous image, with its \
         /etc/passwd",
        escaped(dir.as_os_str())
    )]
    NoAccounts { dir: PathBuf },

    #[error("unable to find user {0}: no matching entries in passwd file")]
    UnknownUser(String),

    #[error("unable to find group {0}: no matching entries in group file")]
    UnknownGroup(String),

    #[error("user {0:?}: uids and gids must be in range 0-2147483647")]
    IdRange(String),

    #[error("cannot read {path}: {source}")]
    UserFile {
        path: &'static str,
        source: io::Error,
    },
}

fn why(source: Errno) -> String {
    if source == IN_THE_WAY {
        return "it is made under the name .NAME.osderive-new first, and that is the name of a file of somebody else's in \
                the same directory: move it away"
            .to_owned();
    }
    source.to_string()
}

fn escaped(path: &OsStr) -> String {
    escape_path(path.as_encoded_bytes())
}
