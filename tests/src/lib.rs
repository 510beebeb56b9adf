//! The engine host, base images and helpers that the end-to-end tests stand on.
//! A private engine lives in namespaces of its own, so that nothing outside the state directory is touched.

pub mod base;
pub mod bench;
pub mod boot;
pub mod cross;
pub mod dist;
pub mod engine;
mod error;
pub mod listing;
pub mod machine;
mod places;
mod process;
pub mod product;
pub mod roots;
pub mod saved_image;
pub mod sbom;
pub mod scenario;
pub mod shipped;

pub use error::{Error, Result};
pub use places::Places;
pub use process::{ENDING_WITH_US, cargo_program, ending_with_us, engine_output};
