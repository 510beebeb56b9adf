//! `cargo xtask image`: the frontend image, by the engine and for the registry of whoever wants to build with it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use osderive_tests::Places;
use osderive_tests::product::{Profile, frontend_context};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The image's name, such as `registry.example.com/tools/osderive:1`.
    #[arg(long, default_value = "osderive")]
    tag: String,
    /// Push it to the registry of its name.
    #[arg(long)]
    push: bool,
    /// What builds it: docker, podman, or the path of either.
    #[arg(long = "with", value_name = "PROGRAM", default_value = "docker")]
    program: String,
    /// How to build osderive: `product-test` takes a third of the time.
    #[arg(long, hide = true, default_value = "release")]
    profile: Profile,
}

pub(crate) fn run(arguments: &Arguments, places: &Places) -> Result<()> {
    let context = frontend_context(arguments.profile, places)?;
    let tag = arguments.tag.as_str();
    let build = ["build", "--tag", tag, "."];
    engine(&arguments.program, &build, context.path())?;
    if arguments.push {
        engine(&arguments.program, &["push", tag], context.path())?;
    }
    println!("the first line of a Containerfile: # syntax={tag}");
    Ok(())
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
