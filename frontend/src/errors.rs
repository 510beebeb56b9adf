//! Errors of a build.

use osderive_proto::gateway::{BuildError, SourceSnippet};
use osderive_proto::llb::{Definition, Digest};

/// An error with the lines of the Containerfile that an op comes from.
pub(crate) fn at_step(error: BuildError, definition: &Definition, digest: &Digest) -> BuildError {
    match definition.source_location(digest) {
        Some(location) => error.at(SourceSnippet::from(&location)),
        None => error,
    }
}

/// An error that no input of the user should be able to cause.
pub(crate) fn broken(error: impl std::fmt::Display) -> BuildError {
    BuildError::new(format!("osderive: {error}"))
}
