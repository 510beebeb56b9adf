//! Our own image, seen from inside: where the tool for a platform lies in it, and the LLB that
//! mounts it into execs without a second pull (`frontend.bin`, BuildKit ≥ 0.10).

use std::path::Path;

use osderive_proto::gateway::BuildError;
use osderive_proto::llb::{Definition, Platform};

/// BuildKit `frontend/gateway/gateway.go`, `metadataMount`.
const OWN_DEFINITION: &str = "/run/config/buildkit/metadata/frontend.bin";

/// The folder in the image that has one folder per platform.
const TOOLS: &str = "/tool";

/// Reads how the engine made the image that this process runs in.
///
/// # Errors
/// When it does not say: it is older than Docker 23, or something else started us.
pub(crate) fn own_image() -> Result<Definition, BuildError> {
    let bytes = std::fs::read(OWN_DEFINITION).map_err(|error| {
        BuildError::new(format!(
            "osderive: the engine does not say which image its frontend runs from ({OWN_DEFINITION}: {error}); osderive needs Docker 24 or BuildKit 0.11, or newer"
        ))
    })?;
    Definition::parse(&bytes).map_err(|error| {
        BuildError::new(format!(
            "osderive: cannot read what the engine says of the frontend image: {error}"
        ))
    })
}

/// The folder in our image with the tool for `platform`, or for the engine's own where a step
/// names none.
///
/// # Errors
/// When this image was built without it; the message names the platforms that it has.
pub(crate) fn folder(platform: Option<&Platform>) -> Result<String, BuildError> {
    let name = platform.map_or_else(|| format!("linux-{}", own_architecture()), folder_name);
    let folder = format!("{TOOLS}/{name}");
    if Path::new(&folder).is_dir() {
        return Ok(folder);
    }
    Err(BuildError::new(format!(
        "osderive: this frontend image has no commit tool for {name}, only for {}; build the frontend image with one for {name}, leave this platform out, or have nothing committed with --bootable=off",
        available().join(", ")
    )))
}

/// Variants of 32-bit ARM differ in what runs; those of other architectures only add to it.
fn folder_name(platform: &Platform) -> String {
    let Platform {
        os,
        architecture,
        variant,
    } = platform;
    if architecture == "arm" && !variant.is_empty() {
        format!("{os}-{architecture}-{variant}")
    } else {
        format!("{os}-{architecture}")
    }
}

/// This machine's architecture as OCI names it.
fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn available() -> Vec<String> {
    let Ok(folders) = std::fs::read_dir(TOOLS) else {
        return Vec::new();
    };
    let mut names: Vec<String> = folders
        .filter_map(|folder| folder.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
