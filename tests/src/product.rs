//! Builds the product itself: the static binaries, each on its own so that the tool's bytes change only when the tool does,
//! and the build context of the frontend image around them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::cross::Cross;
use crate::engine::Engine;
use crate::error::{Result, io_error};
use crate::places::Places;
use crate::process::{capture, cargo_program, copy_program, ending_with_us, run_logged};
use crate::roots::twelve_digits;
use crate::sbom;

/// The target that this machine builds for.
pub const TARGET: &str = Architecture::Amd64.target();

/// The frontend image, whose labels tell the engine how to start it: without a network, and with
/// the parts of the frontend protocol that it speaks. It has one layer, because every build mounts it.
const DOCKERFILE: &str = "\
FROM scratch
ARG TARGETARCH
COPY root-$TARGETARCH /
LABEL moby.buildkit.frontend.network.none=\"true\"
LABEL moby.buildkit.frontend.caps=\"moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring\"
LABEL org.opencontainers.image.title=\"osderive\"
LABEL org.opencontainers.image.licenses=\"Apache-2.0 OR MIT\"
ENTRYPOINT [\"/FRONTEND\"]
";

/// A machine that the frontend image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// What these machines are.
    Amd64,
    /// 64-bit ARM, as by [`Cross`].
    Arm64,
}

impl Architecture {
    /// As engines name it (`GOARCH`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As rustc names it.
    pub const fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// As `--platform` has it.
    pub fn platform(self) -> String {
        format!("linux/{}", self.name())
    }
}

impl FromStr for Architecture {
    type Err = String;

    fn from_str(platform: &str) -> Result<Self, String> {
        let known = [Self::Amd64, Self::Arm64].into_iter();
        let mut named = known.filter(|architecture| architecture.platform() == platform);
        named
            .next()
            .ok_or_else(|| "there are: linux/amd64, linux/arm64".to_owned())
    }
}

/// A binary of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The BuildKit frontend.
    Frontend,
    /// The in-image tool.
    Tool,
    /// The host command.
    Host,
    /// The test frontend that returns definitions as files.
    Capture,
}

impl Binary {
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Frontend => "osderive-frontend",
            Self::Tool => "osderive-commit-tool",
            Self::Host => "osderive-host",
            Self::Capture => "osderive-tests",
        }
    }

    /// The file name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Frontend => "osderive-frontend",
            Self::Tool => "ostree-container",
            Self::Host => "osderive",
            Self::Capture => "capture-frontend",
        }
    }
}

/// How the product is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As users get it: what is measured and shown.
    Release,
    /// The same code, in a third of the time: what is tested.
    Test,
}

impl Profile {
    /// The profile's name in `Cargo.toml`, which is its folder's below the target directory, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Test => "product-test",
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Release, Self::Test].into_iter();
        let mut named = known.filter(|profile| profile.name() == name);
        named
            .next()
            .ok_or_else(|| "there are: release, product-test".to_owned())
    }
}

/// The tool as the frontend image has it.
///
/// # Errors
/// As of [`build`].
pub fn tool(profile: Profile, places: &Places) -> Result<PathBuf> {
    in_workspace(Binary::Tool, profile, places)
}

/// Puts the tool into a folder.
///
/// # Errors
/// As of [`build`].
pub fn install_tool(profile: Profile, places: &Places, folder: &Path) -> Result<()> {
    install(&tool(profile, places)?, folder)
}

/// The host command, with the tool beside it.
///
/// # Errors
/// As of [`build`].
pub fn host(profile: Profile, places: &Places) -> Result<PathBuf> {
    tool(profile, places)?;
    in_workspace(Binary::Host, profile, places)
}

/// Builds the host command as users get it and puts it into `host` below the state directory, with the tool that runs in
/// the steps. Answers with that folder.
///
/// # Errors
/// As of [`build`].
pub fn install_host(places: &Places) -> Result<PathBuf> {
    let folder = places.directory("host")?;
    let host = host(Profile::Release, places)?;
    install(&host, &folder)?;
    install(&host.with_file_name(Binary::Tool.file_name()), &folder)?;
    Ok(folder)
}

/// Twelve hexadecimal digits that change with what the frontend image does: with its programs, not with the time that
/// an engine built it at.
///
/// # Errors
/// As of [`build`].
pub fn identity(profile: Profile, places: &Places) -> Result<String> {
    let mut hash = Sha256::new();
    for binary in [Binary::Tool, Binary::Frontend] {
        let path = in_workspace(binary, profile, places)?;
        hash.update(fs::read(&path).map_err(io_error("read", &path))?);
    }
    Ok(twelve_digits(&hash.finalize()))
}

fn in_workspace(binary: Binary, profile: Profile, places: &Places) -> Result<PathBuf> {
    let target = places.state().join("product");
    build(binary, profile, places.workspace(), &target)
}

/// Builds one binary of the workspace at `workspace`, static and stripped, and returns its path.
/// Paths of this machine are kept out of it, so that the same sources give the same bytes.
///
/// # Errors
/// When cargo is missing or fails.
pub fn build(
    binary: Binary,
    profile: Profile,
    workspace: &Path,
    target_dir: &Path,
) -> Result<PathBuf> {
    let made = |path: &Path| fs::create_dir_all(path).map_err(io_error("make", path));
    made(target_dir)?;
    let mut command = ending_with_us(cargo_program());
    command
        .current_dir(workspace)
        .args(cargo_words(binary, profile, TARGET))
        .arg("--target-dir")
        .arg(target_dir)
        // Unlike RUSTFLAGS, it takes paths with spaces, and whatever the caller has set loses against it.
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(workspace));
    let log = target_dir.join(format!("{}-{}.log", binary.file_name(), profile.name()));
    run_logged(&format!("build {}", binary.file_name()), &mut command, &log)?;
    Ok(target_dir
        .join(TARGET)
        .join(profile.name())
        .join(binary.file_name()))
}

/// The words of cargo that build one binary.
pub(crate) fn cargo_words(
    binary: Binary,
    profile: Profile,
    target: &'static str,
) -> [&'static str; 10] {
    [
        "build",
        "--locked",
        "--target",
        target,
        "--profile",
        profile.name(),
        "--package",
        binary.package(),
        "--bin",
        binary.file_name(),
    ]
}

pub(crate) fn rustflags(workspace: &Path) -> String {
    let [workspace, home] = paths_kept_out(workspace);
    [
        "-Ctarget-feature=+crt-static".to_owned(),
        // Without relocations to do at each start, of which a build has many.
        "-Crelocation-model=static".to_owned(),
        workspace,
        home,
    ]
    .join("\x1f")
}

/// The build context of the frontend image, for any engine: the frontend of each architecture with the tools of all, a list
/// of the contents, and a Dockerfile.
///
/// # Errors
/// As of [`build`], and when the folder cannot be written.
pub fn frontend_context(
    profile: Profile,
    architectures: &[Architecture],
    places: &Places,
) -> Result<TempDir> {
    let built = |binary| {
        let all = architectures.iter();
        all.map(|&architecture| {
            let program = match architecture {
                Architecture::Amd64 => in_workspace(binary, profile, places),
                Architecture::Arm64 => Cross::obtain(places)?.build(binary, profile),
            };
            Ok((architecture, program?))
        })
        .collect::<Result<Vec<_>>>()
    };
    let tools = built(Binary::Tool)?;
    let context = image_of(&built(Binary::Frontend)?, places)?;
    let contents = sbom::document(places, sbom::Subject::Image)?;
    for architecture in architectures {
        let root = context.path().join(root_of(*architecture));
        for (of_image, tool) in &tools {
            install(
                tool,
                &root.join("tool").join(format!("linux-{}", of_image.name())),
            )?;
        }
        let path = root.join(sbom::FILE);
        fs::write(&path, &contents).map_err(io_error("write", path))?;
    }
    Ok(context)
}

/// The folder of a build context with what the image of an architecture has.
fn root_of(architecture: Architecture) -> String {
    format!("root-{}", architecture.name())
}

/// The flags of rustc that keep paths of this machine out of what it makes.
pub(crate) fn paths_kept_out(workspace: &Path) -> [String; 2] {
    [(workspace, "/osderive"), (&cargo_home(), "/cargo")]
        .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()))
}

/// Where cargo has its crates.
pub(crate) fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    )
}

/// The build context of a frontend's image, which goes with the value: others may make theirs at the same time.
fn image_of(frontends: &[(Architecture, PathBuf)], places: &Places) -> Result<TempDir> {
    let beside = places.state();
    let context = tempfile::tempdir_in(beside).map_err(io_error("make a folder in", beside))?;
    for (architecture, frontend) in frontends {
        install(frontend, &context.path().join(root_of(*architecture)))?;
    }
    let name = frontends.first().and_then(|(_, path)| path.file_name());
    let name = name.unwrap_or_default();
    let dockerfile = DOCKERFILE.replace("FRONTEND", &name.to_string_lossy());
    let path = context.path().join("Dockerfile");
    fs::write(&path, dockerfile).map_err(io_error("write", path))?;
    Ok(context)
}

fn install(binary: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(io_error("make", folder))?;
    let copy = folder.join(binary.file_name().unwrap_or_default());
    // What runs keeps its file.
    let beside = copy.with_extension("new");
    copy_program(binary, &beside)?;
    fs::rename(&beside, &copy).map_err(io_error("replace", &copy))
}

impl Engine {
    /// Builds the product and sees to it that the engine has it as the image `osderive`.
    ///
    /// # Errors
    /// When it does not build, or the engine refuses it.
    pub fn load_frontend(&self, profile: Profile, places: &Places) -> Result<()> {
        let context = frontend_context(profile, &[Architecture::Amd64], places)?;
        self.build_image("osderive", context.path())
    }

    /// The same for podman, which takes the tool out of it.
    ///
    /// # Errors
    /// As [`Engine::load_frontend`].
    pub fn load_frontend_for_podman(&self, profile: Profile, places: &Places) -> Result<()> {
        let context = frontend_context(profile, &[Architecture::Amd64], places)?;
        let mut podman = self.command("podman");
        podman.args(["build", "--quiet", "--tag", "osderive"]);
        capture("build the image osderive", podman.arg(context.path())).map(drop)
    }

    /// As [`Engine::load_frontend`], with the frontend that captures definitions, as the image
    /// `osderive-capture`.
    ///
    /// # Errors
    /// As [`Engine::load_frontend`].
    pub fn load_capture_frontend(&self, places: &Places) -> Result<()> {
        let frontend = in_workspace(Binary::Capture, Profile::Release, places)?;
        let context = image_of(&[(Architecture::Amd64, frontend)], places)?;
        self.build_image("osderive-capture", context.path())
    }

    /// Sees to it that the engine has a frontend that was built with the tests, which needs shared libraries, as an
    /// image.
    ///
    /// # Errors
    /// When its libraries are not found, or the engine refuses it.
    pub fn load_test_frontend(&self, tag: &str, binary: &Path, places: &Places) -> Result<()> {
        let context = image_of(&[(Architecture::Amd64, binary.to_owned())], places)?;
        let mut ldd = Command::new("ldd");
        let needed = capture("list a program's libraries", ldd.arg(binary))?;
        for library in needed
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            let library = Path::new(library);
            let folder = library.parent().unwrap_or(library);
            let folder = folder.strip_prefix("/").unwrap_or(folder);
            let root = context.path().join(root_of(Architecture::Amd64));
            install(library, &root.join(folder))?;
        }
        self.build_image(tag, context.path())
    }

    fn build_image(&self, tag: &str, context: &Path) -> Result<()> {
        let mut docker = self.docker();
        docker
            .args(["build", "--quiet", "--provenance=false", "--tag", tag])
            .arg(context);
        capture(&format!("build the image {tag}"), &mut docker).map(drop)
    }
}
