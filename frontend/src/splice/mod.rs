//! How the tool gets into a build: what is committed, how RUNs are wrapped, and execs of our own.

pub(crate) mod exec;
pub(crate) mod plan;
pub(crate) mod runs;
pub(crate) mod tool;
pub(crate) mod wrap;
