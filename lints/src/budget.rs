//! What a look at an image may cost: at most in proportion to the bytes that the image is stored in, whatever it
//! holds. Each byte that is unpacked and each step on a path counts; what is past the budget is not read, and told.

use std::collections::BTreeSet;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use crate::escape_path;

/// Units that every look has, however small the image is: two seconds. A unit is a byte unpacked, about a nanosecond.
/// Tests of what is past it have less, so that they end soon.
pub const FLOOR: u64 = if cfg!(test) { 48 << 20 } else { 2 << 30 };

/// Units for each byte that an image is stored in. gzip cannot make more of a byte (1032 of one in zlib's "Technical
/// Details"), so that an ordinary image never comes near the budget, whatever its files hold.
pub const PER_STORED_BYTE: u64 = 1100;

/// What a directory's entry costs that is looked up on a way.
pub(crate) const STEP: u64 = 128;

/// What an entry costs that is added to the tree.
pub(crate) const ENTRY: u64 = 1024;

/// What a question to the kernel costs.
pub(crate) const CALL: u64 = 4096;

/// What a packed part costs that is begun: its tables are made anew.
pub(crate) const FRAME: u64 = 16 << 10;

/// What is told by name of what was not read, at most.
const MAX_TOLD: usize = 20;

/// That the budget is spent. It is the cause of an [`io::Error`].
#[derive(Clone, Copy, Debug, Error)]
#[error("reading it takes too long for the size of the image")]
pub(crate) struct Spent;

/// The budget of one look at an image.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    spent: AtomicU64,
    unread: Mutex<BTreeSet<String>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(0)
    }
}

impl Budget {
    /// The budget for an image that is stored in so many bytes.
    pub(crate) fn of(stored: u64) -> Self {
        let limit = FLOOR.saturating_add(stored.saturating_mul(PER_STORED_BYTE));
        Self {
            limit: limit.into(),
            spent: 0.into(),
            unread: Mutex::default(),
        }
    }

    /// A budget of half of what is left, for one of several parts that must not take it all.
    pub(crate) fn half(&self) -> Self {
        let limit = self.limit.load(Ordering::Relaxed);
        let half = limit.saturating_sub(self.spent()) / 2;
        Self {
            limit: half.into(),
            ..Self::default()
        }
    }

    /// Allows so many units more.
    pub(crate) fn allow(&self, units: u64) {
        self.limit.fetch_add(units, Ordering::Relaxed);
    }

    /// Begins anew: so many units are left, whatever was before.
    pub(crate) fn renew(&self, units: u64) {
        let limit = self.spent().saturating_add(units);
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Counts units of work that is about to be done.
    ///
    /// # Errors
    /// When that is more than the budget has; nothing is counted then.
    pub(crate) fn spend(&self, units: u64) -> io::Result<()> {
        let limit = self.limit.load(Ordering::Relaxed);
        let spend = |spent: u64| spent.checked_add(units).filter(|sum| *sum <= limit);
        let relaxed = Ordering::Relaxed;
        match self.spent.fetch_update(relaxed, relaxed, spend) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other(Spent)),
        }
    }

    /// The units that were spent.
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Takes in what was not read, if it was for the budget.
    pub(crate) fn note(&self, what: &[u8], error: &io::Error) {
        if is_spent(error) {
            let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
            if unread.len() < MAX_TOLD {
                unread.insert(escape_path(what));
            }
        }
    }

    /// What was not read for the budget: paths, and names of layers.
    pub(crate) fn unread(&self) -> BTreeSet<String> {
        let unread = self.unread.lock();
        unread.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether an error says that a budget is spent.
pub(crate) fn is_spent(error: &io::Error) -> bool {
    let cause = error.get_ref();
    cause
        .and_then(|cause| cause.downcast_ref::<Spent>())
        .is_some()
}

/// A source whose bytes count as work.
pub(crate) struct Counted<R, B> {
    input: R,
    budget: B,
}

impl<R, B> Counted<R, B> {
    pub(crate) fn new(input: R, budget: B) -> Self {
        Self { input, budget }
    }
}

impl<R: io::Read, B: Deref<Target = Budget>> io::Read for Counted<R, B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.budget.spend(read as u64)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_past_the_budget_is_an_error_that_is_told_from_others() {
        let budget = Budget::of(1);
        budget.spend(FLOOR).expect("the floor");
        budget.spend(PER_STORED_BYTE).expect("of the byte");
        let error = budget.spend(1).expect_err("spent");
        budget.note(b"/a\n", &error);
        budget.note(b"/b", &io::Error::other("broken"));
        assert_eq!(budget.unread().into_iter().collect::<Vec<_>>(), [r"/a\x0a"]);
        assert_eq!(budget.spent(), FLOOR + PER_STORED_BYTE);
        budget.allow(1);
        budget.spend(1).expect("a unit more");
    }

    #[test]
    fn a_part_gets_half_of_what_is_left() {
        let budget = Budget::of(0);
        budget.spend(FLOOR - 10).expect("most of it");
        let half = budget.half();
        assert!(half.spend(6).is_err() && half.spend(5).is_ok());
    }

    #[test]
    fn a_renewed_budget_has_what_it_is_given() {
        let budget = Budget::of(0);
        budget.spend(FLOOR).expect("the floor");
        budget.renew(10);
        assert!(budget.spend(11).is_err() && budget.spend(10).is_ok());
    }
}
