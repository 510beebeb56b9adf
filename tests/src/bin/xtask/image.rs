//! `cargo xtask image`: the frontend image, by the engine and for the registry of whoever wants to build with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use osderive_tests::Places;
use osderive_tests::product::{Architecture, Profile, frontend_context};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The image's name, such as `registry.example.com/tools/osderive:1`.
    #[arg(long, default_value = "osderive")]
    tag: String,
    /// For which machines, separated by commas: linux/amd64, linux/arm64. Each image has the tools of all of them.
    #[arg(long, value_delimiter = ',', default_value = "linux/amd64")]
    platform: Vec<Architecture>,
    /// Push it to the registry of its name.
    #[arg(long)]
    push: bool,
    /// Write it to a new folder as well, as an OCI image layout.
    #[arg(long, value_name = "oci:DIR", value_parser = layout)]
    output: Option<PathBuf>,
    /// What builds it: docker, podman, or the path of either.
    #[arg(long = "with", value_name = "PROGRAM", default_value = "docker")]
    program: String,
    /// How to build osderive: `product-test` takes a third of the time.
    #[arg(long, hide = true, default_value = "release")]
    profile: Profile,
}

/// The folder of `oci:DIR`.
fn layout(text: &str) -> Result<PathBuf, String> {
    let folder = text.strip_prefix("oci:").filter(|path| !path.is_empty());
    let folder = folder.ok_or("it is `oci:` and a folder")?;
    std::path::absolute(folder).map_err(|error| error.to_string())
}

pub(crate) fn run(arguments: &Arguments, places: &Places) -> Result<()> {
    let context = frontend_context(arguments.profile, &arguments.platform, places)?;
    let tag = arguments.tag.as_str();
    let platforms = arguments.platform.iter().map(|one| one.platform());
    let platforms = platforms.collect::<Vec<_>>().join(",");
    let engine = |words: &[&str]| engine(&arguments.program, words, context.path());
    let output = arguments.output.as_deref().map(Path::display);
    if is_podman(&arguments.program) {
        let (name, push) = if arguments.platform.len() > 1 {
            // podman adds to a list that is there.
            if engine(&["manifest", "exists", tag]).is_ok() {
                engine(&["manifest", "rm", tag])?;
            }
            ("--manifest", &["manifest", "push", "--all", tag][..])
        } else {
            ("--tag", &["push", tag][..])
        };
        engine(&["build", "--platform", &platforms, name, tag, "."])?;
        let folder = output.map(|folder| format!("oci:{folder}"));
        let registry = arguments.push.then(|| format!("docker://{tag}"));
        for target in folder.iter().chain(&registry) {
            engine(&[push, &[target]].concat())?;
        }
    } else {
        let build = ["build", "--platform", &platforms, "--tag", tag, "."];
        engine(&build)?;
        if let Some(folder) = output {
            let to = format!("type=oci,tar=false,dest={folder}");
            engine(&[&build[..], &["--output", &to]].concat())?;
        }
        if arguments.push {
            engine(&["push", tag])?;
        }
    }
    println!("the first line of a Containerfile: # syntax={tag}");
    Ok(())
}

fn is_podman(program: &str) -> bool {
    let name = Path::new(program).file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b"podman")
}

fn engine(program: &str, words: &[&str], folder: &Path) -> Result<()> {
    let status = Command::new(program)
        .args(words)
        .current_dir(folder)
        // The image has a list of its own contents; an attestation of the machine it was built on says nothing more.
        .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
        .status();
    let status = status.with_context(|| {
        format!("running {program}; name another engine by `--with`, such as podman")
    })?;
    if !status.success() {
        bail!("`{program} {}` failed", words.join(" "));
    }
    Ok(())
}
