//! What could not be opened or read because of the machine, and not because of what is there: too many open files, no
//! memory, a broken disk. Whoever looks takes what cannot be opened for what is not there, which is right of links and
//! mount points; here it is kept that this time it is not known, so that nothing is built upon it.

use std::{
    cell::RefCell,
    ffi::{CString, OsStr},
    os::unix::ffi::OsStrExt as _,
};

use osderive_lints::escape_path;
use rustix::{
    fd::{AsRawFd as _, BorrowedFd},
    fs::{CWD, readlinkat},
    io::Errno,
};

use crate::error::{Error, Result};

/// What never tells of an entry, but of the machine.
const OF_THE_MACHINE: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::IO];

thread_local! {
    /// The first that is not known.
    static FIRST: RefCell<Option<(String, Errno)>> = const { RefCell::new(None) };
}

/// Whether an error tells of the machine and not of an entry.
pub(crate) fn is_of_the_machine(errno: Errno) -> bool {
    OF_THE_MACHINE.contains(&errno)
}

/// Keeps why `name` in a directory could not be read, if that lies with the machine.
pub(crate) fn heed<T>(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    outcome: Result<T, Errno>,
) -> Result<T, Errno> {
    if let Err(errno) = outcome
        && is_of_the_machine(errno)
    {
        FIRST.with_borrow_mut(|first| {
            first.get_or_insert_with(|| (path_of(directory, name), errno));
        });
    }
    outcome
}

/// An error, once, if there is something that is not known.
pub(crate) fn require_all_read() -> Result<()> {
    match FIRST.take() {
        None => Ok(()),
        Some((path, source)) => Err(Error::Place {
            action: "open",
            path,
            source,
        }),
    }
}

/// Where it is, as this process sees it; only the name where no /proc tells.
fn path_of(directory: BorrowedFd<'_>, name: &OsStr) -> String {
    let handle = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let directory = readlinkat(CWD, handle, Vec::new()).map(CString::into_bytes);
    let name = name.as_bytes();
    escape_path(&[&directory.unwrap_or_default()[..], b"/", name].concat())
}
