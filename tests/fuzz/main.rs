//! Every fuzz target on its seeds and on what libFuzzer makes of them, for some seconds each and the same on each run.
//! docs/fuzzing.md says how to run one for longer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use osderive_tests::product::TARGET;
use osderive_tests::{Places, cargo_program, ending_with_us};
use serde_json::Value;

/// The crates that have fuzz targets.
const CRATES: [&str; 3] = ["lints", "proto", "commit-tool"];

/// What `cargo fuzz run -s none` compiles with (cargo-fuzz 0.13, `project.rs`), and the counter of docs/fuzzing.md.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-trace-loads";

const SECONDS_EACH: u32 = 1;

/// A compiled target: its name, its program and the folder of its seeds.
struct Target {
    name: String,
    program: PathBuf,
    seeds: PathBuf,
}

/// What one of cargo's commands does with all targets of a crate.
fn cargo(command: &str, package: &Path, folder: &Path) -> Command {
    let mut cargo = ending_with_us(cargo_program());
    cargo
        .args([command, "--release", "--locked", "--bins"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(folder)
        .current_dir(package)
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo
}

fn built(package: &Path, folder: &Path) -> Vec<Target> {
    let mut cargo = cargo("build", package, folder);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    let output = cargo.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", package.display());
    let messages = String::from_utf8(output.stdout).unwrap();
    let messages = messages
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let targets = messages.filter_map(|message| {
        let name = message["target"]["name"].as_str()?.to_owned();
        Some(Target {
            program: message["executable"].as_str()?.into(),
            seeds: package.join("seeds").join(&name),
            name,
        })
    });
    targets.collect()
}

fn run(target: &Target, folder: &Path) {
    let corpus = tempfile::tempdir_in(folder).unwrap();
    let artifacts = folder.join(format!("{}-", target.name));
    let mut program: Command = ending_with_us(&target.program);
    program
        .arg(corpus.path())
        .arg(&target.seeds)
        .args(["-seed=1", "-max_len=20000", "-timeout=60"])
        .arg(format!("-max_total_time={SECONDS_EACH}"))
        .arg(format!("-artifact_prefix={}", artifacts.display()));
    let output = program.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{said}", target.name);
    // It ends so where it has tried anything at all.
    let runs = said.lines().rev().find(|line| line.starts_with("Done "));
    let runs = runs.unwrap_or_else(|| panic!("{}:\n{said}", target.name));
    println!("{}: {runs}", target.name);
}

/// The folders of the crates, each with the one that it is built in.
fn packages() -> Vec<(PathBuf, PathBuf)> {
    let places = Places::of_workspace().unwrap();
    let folder = places.state().join("fuzz");
    let packages = CRATES.map(|name| places.workspace().join(name).join("fuzz"));
    packages.map(|package| (package, folder.clone())).to_vec()
}

#[test]
#[ignore = "compiles for a minute: cargo xtask test runs it beside the others"]
fn the_targets_pass_clippy() {
    for (package, folder) in packages() {
        let mut clippy = cargo("clippy", &package, &folder);
        let output = clippy.args(["--", "--deny", "warnings"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", package.display());
    }
}

#[test]
#[ignore = "compiles for a minute: cargo xtask test runs it beside the others"]
fn each_target_takes_whatever_it_is_given() {
    for (package, folder) in packages() {
        let sources = fs::read_dir(package.join("targets")).unwrap().count();
        let targets = built(&package, &folder);
        assert_eq!(targets.len(), sources, "{}", package.display());
        for target in &targets {
            assert!(target.seeds.is_dir(), "{} has no seeds", target.name);
            run(target, &folder);
        }
    }
}
