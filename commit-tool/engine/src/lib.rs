//! The commit of a bootable image's root file system: what a RUN left there becomes what a machine can boot from. It runs
//! nothing of the image but systemd-tmpfiles, depmod and dracut, and knows no build engine.

mod accounts;
mod attributes;
mod base;
mod commit;
mod domain;
mod dry_run;
mod error;
mod files;
mod handle;
mod identity;
mod kernel;
mod links;
#[cfg(test)]
#[path = "../../tests/support/lists.rs"]
mod lists;
mod lock;
mod metadata;
mod mounts;
mod opt;
mod outcome;
mod packages;
mod paths;
mod place;
mod rootfs;
mod say;
mod scratch;
mod settings;
mod snippets;
mod sqlite;
mod step_start;
mod tmpfiles_tool;
#[cfg(test)]
mod trees;
mod unmapped;
mod unread;
mod user;
mod var;
mod xattrs;

pub use accounts::Previous;
pub use base::Base;
pub use commit::{Committed, Listener, Snapshot, commit, empty_report, make_var, preview};
pub use error::{Error, Result};
pub use handle::{errno, read_regular};
pub use lock::Lock;
pub use mounts::Mounts;
pub use opt::unfold;
pub use rootfs::Rootfs;
pub use say::say;
pub use settings::Settings;
pub use user::{Identity, UserFiles};
