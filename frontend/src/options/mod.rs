//! What is asked of a build: options of the user and the engine, and files of the build context.

pub(crate) mod context;
pub(crate) mod delegation;
pub(crate) mod environment;
pub(crate) mod ids;
