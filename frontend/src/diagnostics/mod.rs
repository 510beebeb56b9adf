//! Diagnostics: findings, the instructions that brought them, what people have decided about them, and
//! the warnings and errors that they become.

pub(crate) mod decisions;
pub(crate) mod emit;
pub(crate) mod evidence;
pub(crate) mod found;
pub(crate) mod image_config;
pub(crate) mod previous;
pub(crate) mod provenance;
pub(crate) mod step;
