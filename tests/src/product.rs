//! Builds the product itself: the two static binaries, each on its own so that the tool's bytes
//! change only when the tool does, and the build context of the frontend image around them.

use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

/// The target both binaries are built for.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The frontend image, whose labels tell the engine how to start it: without a network, and with
/// the parts of the frontend protocol that it speaks.
const DOCKERFILE: &str = "\
FROM scratch
COPY osderive-frontend /osderive-frontend
COPY ostree-container /tool/linux-amd64/ostree-container
LABEL moby.buildkit.frontend.network.none=\"true\"
LABEL moby.buildkit.frontend.caps=\"moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring\"
LABEL org.opencontainers.image.title=\"osderive\"
LABEL org.opencontainers.image.licenses=\"Apache-2.0 OR MIT\"
ENTRYPOINT [\"/osderive-frontend\"]
";

/// A binary of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The BuildKit frontend.
    Frontend,
    /// The in-image tool.
    Tool,
}

impl Binary {
    fn package(self) -> &'static str {
        match self {
            Self::Frontend => "osderive-frontend",
            Self::Tool => "osderive-commit-tool",
        }
    }

    /// The file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Frontend => "osderive-frontend",
            Self::Tool => "ostree-container",
        }
    }
}

/// Why the product could not be built.
#[derive(Debug, Error)]
pub enum ProductError {
    /// Cargo could not be started.
    #[error("could not run cargo: {0}; install Rust from https://rustup.rs")]
    Cargo(std::io::Error),
    /// Cargo failed; its messages are on stderr.
    #[error("`cargo build` of {0} failed; see its messages above")]
    Build(&'static str),
    /// A file of the image context could not be written.
    #[error("could not write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Builds one binary of the workspace at `workspace`, static and stripped, and returns its path.
/// Paths of this machine are kept out of it, so that the same sources give the same bytes.
///
/// # Errors
/// When cargo is missing or fails.
pub fn build(binary: Binary, workspace: &Path, target_dir: &Path) -> Result<PathBuf, ProductError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(workspace)
        .args(["build", "--quiet", "--release", "--locked", "--target", TARGET])
        .args(["--package", binary.package()])
        .arg("--target-dir")
        .arg(target_dir)
        .env("RUSTFLAGS", rustflags(workspace))
        .status()
        .map_err(ProductError::Cargo)?;
    if !status.success() {
        return Err(ProductError::Build(binary.package()));
    }
    Ok(target_dir.join(TARGET).join("release").join(binary.file_name()))
}

fn rustflags(workspace: &Path) -> String {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    format!(
        "-C target-feature=+crt-static --remap-path-prefix={}=/osderive --remap-path-prefix={}=/cargo",
        workspace.display(),
        home.display()
    )
}

/// Builds both binaries and lays out the build context of the frontend image; returns its folder.
///
/// # Errors
/// When a binary does not build or a file cannot be written.
pub fn image_context(workspace: &Path) -> Result<PathBuf, ProductError> {
    let context = workspace.join("target/frontend-image");
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| ProductError::Write { path, source }
    };
    std::fs::create_dir_all(&context).map_err(write_error(&context))?;
    for binary in [Binary::Tool, Binary::Frontend] {
        let built = build(binary, workspace, &workspace.join("target/product"))?;
        let copy = context.join(binary.file_name());
        std::fs::copy(&built, &copy).map_err(write_error(&copy))?;
    }
    let dockerfile = context.join("Dockerfile");
    std::fs::write(&dockerfile, DOCKERFILE).map_err(write_error(&dockerfile))?;
    Ok(context)
}
