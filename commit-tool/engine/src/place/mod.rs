//! Paths below the root file system, reached one name at a time through directory handles: what stands there is looked
//! at, made, copied and removed.

mod beside;
mod change;
mod copy;
mod look;
mod owner;

pub(crate) use beside::{is_unfinished_link, unfinished};
pub(crate) use look::{Entries, Handles, Meta, Place, Told, moved};
pub(crate) use owner::NewOwner;

#[cfg(test)]
mod tests;
