//! The planned build: its steps run, images are ended and checked, and reports are read.

pub(crate) mod findings;
pub(crate) mod finish;
pub(crate) mod images;
pub(crate) mod reports;
pub(crate) mod unfold;
