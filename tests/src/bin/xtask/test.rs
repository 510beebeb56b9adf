//! `cargo xtask test`: formatting, lints and every test of the workspace. The end-to-end tests run
//! on every kind of private engine, one after the other.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use osderive_tests::Places;
use osderive_tests::engine::Kind;

pub(crate) fn run(filters: &[String], boot: bool, places: &Places) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the tests start engines, mount and change users, so they need root: run `sudo -E cargo xtask test`"
        );
    }
    if filters.is_empty() {
        check("formatting", &["fmt", "--all", "--check"], places)?;
        let clippy = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ];
        check("lints", &clippy, places)?;
    }
    let kinds: Vec<&str> = Kind::PRIVATE.iter().map(|kind| kind.name()).collect();
    if filters.is_empty() {
        check(
            "examples in docs",
            &["test", "--quiet", "--workspace", "--locked", "--doc"],
            places,
        )?;
    }
    let mut test = cargo(places);
    test.args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .args(["--lib", "--bins", "--tests", "--"])
        .args(boot.then_some("--include-ignored"))
        .args(filters)
        .env("OSDERIVE_ENGINES", kinds.join(","));
    let start = Instant::now();
    let status = test.status().context("running cargo test")?;
    println!("» tests: done in {} s", start.elapsed().as_secs());
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn check(what: &str, arguments: &[&str], places: &Places) -> Result<()> {
    println!("» {what}");
    let status = cargo(places).args(arguments).status();
    if !status
        .with_context(|| format!("running cargo {}", arguments[0]))?
        .success()
    {
        bail!(
            "`cargo {}` failed; if cargo does not know the command: rustup component add clippy rustfmt",
            arguments.join(" ")
        );
    }
    Ok(())
}

fn cargo(places: &Places) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(places.workspace());
    cargo
}
