//! `cargo xtask test`: formatting, lints and every test of the workspace. The end-to-end tests run on one kind of
//! private engine after the other, and beside them, in two rows, those that are marked as ignored. However this process
//! ends, the kernel ends cargo with it, and with cargo the test that it runs; engines and machines end with their test.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use osderive_tests::engine::Selection;
use osderive_tests::{ENDING_WITH_US, Places, cargo_program, ending_with_us};

pub(crate) fn run(filters: &[String], engines: &Selection, places: &Places) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the tests start engines, mount and change users, so they need root: run `sudo -E cargo xtask test`"
        );
    }
    let is_all = filters.is_empty();
    if is_all {
        check("formatting", &["fmt", "--all", "--check"], places)?;
        for manifest in NO_MEMBERS {
            let words = ["fmt", "--check", "--manifest-path", manifest];
            check(&format!("formatting of {manifest}"), &words, places)?;
        }
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
        let of_module = [
            "--manifest-path",
            "tests/altfiles/Cargo.toml",
            "--target-dir",
        ];
        let folder = places.state().join("altfiles");
        let folder = folder.to_str().context("a path that is not UTF-8")?;
        let clippy = [
            &["clippy", "--locked"],
            &of_module[..],
            &[folder, "--", "--deny", "warnings"],
        ];
        check("lints of tests/altfiles", &clippy.concat(), places)?;
        check(
            "examples in docs",
            &["test", "--quiet", "--workspace", "--locked", "--doc"],
            places,
        )?;
    }
    let with_arguments = || {
        let mut test = cargo(places);
        test.args(["test", "--workspace", "--locked", "--no-fail-fast"])
            .args(["--lib", "--bins", "--tests"]);
        test
    };
    // Before the others start, so that they do not wait for each other's compiler.
    if is_all && !ended_well(with_arguments().arg("--no-run"))? {
        return Ok(ExitCode::FAILURE);
    }
    let mut test = with_arguments();
    let start = Instant::now();
    let beside = if is_all {
        let rows = ROWS.iter();
        rows.map(|row| row.start(engines, places))
            .collect::<Result<Vec<_>>>()?
    } else {
        Vec::new()
    };
    test.arg("--")
        .args((!is_all).then_some("--include-ignored"))
        .args(filters)
        .env(Selection::VARIABLE, engines.to_string());
    let mut passed = ended_well(&mut test)?;
    if let Selection::Each(_) = engines {
        for door in DOORS {
            passed &= ended_well(&mut through(door, filters, places))?;
        }
    }
    for row in beside {
        passed &= row.finish()?;
    }
    println!("» tests: done in {} s", start.elapsed().as_secs());
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The crates that are no members of the workspace. Clippy looks at the fuzz targets in their test, and at the importer where
/// libostree is.
const NO_MEMBERS: [&str; 5] = [
    "commit-tool/fuzz/Cargo.toml",
    "lints/fuzz/Cargo.toml",
    "proto/fuzz/Cargo.toml",
    "tests/altfiles/Cargo.toml",
    "tests/importer/Cargo.toml",
];

/// The doors beside Docker's, as the end-to-end tests name them.
const DOORS: [&str; 3] = ["podman", "buildah", "chroot"];

/// The end-to-end tests that podman and buildah can have, on one engine.
fn through(door: &str, filters: &[String], places: &Places) -> Command {
    println!("» builds through {door}");
    let mut test = cargo(places);
    test.args(["test", "--package", "osderive-tests", "--locked"])
        .args(["--test", "e2e", "--"])
        .args(filters)
        .env("OSDERIVE_DOOR", door)
        .env(Selection::VARIABLE, Selection::Opposite.to_string());
    test
}

/// Ignored tests that run one after the other, beside all others.
struct Row {
    what: &'static str,
    /// Of the name of its log.
    name: &'static str,
    tests: &'static [&'static str],
    /// As nice(1) counts: what others leave of the processors is enough.
    niceness: u8,
}

const ROWS: [Row; 2] = [
    Row {
        what: "boots, one of them in QEMU, and large images",
        name: "boots",
        tests: &["boot", "e2e"],
        niceness: 0,
    },
    Row {
        what: "fuzzing and a second build",
        name: "fuzz",
        tests: &["fuzz", "product"],
        niceness: 10,
    },
];

/// A row that runs.
struct Started {
    row: &'static Row,
    tests: Child,
    log: PathBuf,
}

impl Row {
    fn start(&'static self, engines: &Selection, places: &Places) -> Result<Started> {
        let log = places.state().join(format!("beside-{}.log", self.name));
        let what = self.what;
        println!(
            "» {what}, beside the other tests; their log: {}",
            log.display()
        );
        let file = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let mut tests = cargo_with_niceness(self.niceness, places);
        // Of the whole workspace, so that what is compiled for the others serves these as well.
        tests.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
        for test in self.tests {
            tests.args(["--test", test]);
        }
        let tests = tests
            .args(["--", "--ignored"])
            .env(Selection::VARIABLE, engines.to_string())
            .stdout(file.try_clone().context("writing a log")?)
            .stderr(file)
            .spawn();
        Ok(Started {
            row: self,
            tests: tests.context("running cargo test")?,
            log,
        })
    }
}

impl Started {
    /// Waits for its end and shows what it said; whether all passed.
    fn finish(mut self) -> Result<bool> {
        println!("» {}", self.row.what);
        let status = self.tests.wait().context("waiting for cargo test")?;
        let log = fs::read_to_string(&self.log);
        print!(
            "{}",
            log.with_context(|| format!("reading {}", self.log.display()))?
        );
        Ok(status.success())
    }
}

fn ended_well(command: &mut Command) -> Result<bool> {
    let status = command.status().context("running cargo test")?;
    Ok(status.success())
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
    cargo_with_niceness(0, places)
}

fn cargo_with_niceness(niceness: u8, places: &Places) -> Command {
    let mut cargo = ending_with_us("nice");
    cargo
        .args(["-n", &niceness.to_string()])
        .arg(cargo_program())
        .current_dir(places.workspace());
    // What cargo starts ends with cargo.
    let runner = ENDING_WITH_US.join("', '");
    cargo.args([
        "--config",
        &format!("target.'cfg(all())'.runner = ['{runner}']"),
    ]);
    cargo
}
