//! The product for other machines than this one: built by Debian's own Rust in a private root, which has the standard
//! library of the other architecture, and run there in emulation.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Result;
use crate::places::Places;
use crate::process::{cargo_program, run_logged};
use crate::product::{Architecture, Binary, Profile, cargo_home, cargo_words, rustflags};
use crate::roots::{Recipe, Root, Shape, Suite};

/// What the root has beside a compiler for each architecture; `:arm64` is of that architecture.
const PACKAGES: [&str; 8] = [
    "cargo",
    "gcc",
    "gcc-aarch64-linux-gnu",
    "libc6-dev",
    "libc6-dev-arm64-cross",
    "libstd-rust-dev:arm64",
    "qemu-user",
    "rustc",
];

/// Relative to the root.
const EMULATOR: &str = "usr/bin/qemu-aarch64";

/// The root that builds for 64-bit ARM.
#[derive(Debug)]
pub struct Cross {
    root: Root,
    workspace: PathBuf,
    state: PathBuf,
}

impl Cross {
    /// The root, made now (some minutes) unless it was before.
    ///
    /// # Errors
    /// As of [`Recipe::build`].
    pub fn obtain(places: &Places) -> Result<Self> {
        let recipe = Recipe {
            name: "rust-arm64",
            suite: Suite::Sid,
            packages: PACKAGES.map(str::to_owned).to_vec(),
            prepare: "",
            finish: "",
            shape: Shape::Directory,
        };
        Ok(Self {
            root: recipe.build(places)?,
            workspace: places.workspace().to_owned(),
            state: places.state().to_owned(),
        })
    }

    /// Builds one binary, static and stripped, and returns its path.
    ///
    /// # Errors
    /// When its crates cannot be fetched, or cargo fails.
    pub fn build(&self, binary: Binary, profile: Profile) -> Result<PathBuf> {
        let target_dir = self.state.join("product-arm64");
        let target = Architecture::Arm64.target();
        let log = self.state.join(format!("{}-arm64.log", binary.file_name()));
        // The root has no network: the machine fetches, the root compiles.
        let mut fetch = Command::new(cargo_program());
        fetch
            .current_dir(&self.workspace)
            .args(["fetch", "--locked", "--target", target]);
        run_logged("fetch crates", &mut fetch, &log)?;
        let crates = cargo_home();
        let shared = [&*self.workspace, &*self.state, &*crates];
        let mut cargo = self
            .root
            .command("/usr/bin/cargo", &self.workspace, &shared);
        let flags = [
            &rustflags(&self.workspace),
            "-Clinker=aarch64-linux-gnu-gcc",
        ];
        cargo
            .args(cargo_words(binary, profile, target))
            .args(["--offline", "--target-dir"])
            .arg(&target_dir)
            .env("CARGO_HOME", &crates)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        for foreign in ["CARGO_TARGET_DIR", "RUSTC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"] {
            cargo.env_remove(foreign);
        }
        let action = format!("build {} for arm64", binary.file_name());
        run_logged(&action, &mut cargo, &log)?;
        Ok(target_dir
            .join(target)
            .join(profile.name())
            .join(binary.file_name()))
    }

    /// What runs programs for 64-bit ARM on this machine: a static program.
    pub fn emulator(&self) -> PathBuf {
        self.root.path.join(EMULATOR)
    }

    /// A program for 64-bit ARM, in emulation. It sees a folder of the machine beside its own.
    pub fn emulated(&self, program: &Path, folder: &Path) -> Command {
        let program_of_root = Path::new("/").join(EMULATOR);
        let seen = [&*self.state, folder];
        let mut emulator = self.root.command(program_of_root, folder, &seen);
        emulator.arg(program);
        emulator
    }
}
