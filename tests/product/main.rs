//! What is promised of the product's binaries themselves.

use std::fs;
use std::io;
use std::path::Path;

use osderive_tests::Places;
use osderive_tests::product::{self, Binary, Profile};

/// All that the tool is built from, and the rest of the workspace that cargo asks for.
const SOURCES: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    "commit-tool",
    "frontend",
    "lints",
    "proto",
    "tests",
];

/// The engine's cache knows a committed step by the tool's bytes: they must not depend on who built it where.
#[test]
#[ignore = "builds for minutes: cargo xtask test runs it beside the others"]
fn the_tool_is_the_same_to_the_last_bit_built_in_another_folder() {
    let places = Places::of_workspace().unwrap();
    let workspace = places.workspace();
    let elsewhere = tempfile::tempdir_in(places.state()).unwrap();
    let copy = elsewhere.path().join("a/copy of the sources");
    fs::create_dir_all(&copy).unwrap();
    for source in SOURCES {
        copy_tree(&workspace.join(source), &copy.join(source)).unwrap();
    }
    let here = places.state().join("product");
    // As users get it: what is promised is promised of that.
    let build = |workspace: &Path, target: &Path| {
        product::build(Binary::Tool, Profile::Release, workspace, target).unwrap()
    };
    let here = build(workspace, &here);
    let there = build(&copy, &elsewhere.path().join("out"));
    assert_ne!(here, there);
    if fs::read(&here).unwrap() != fs::read(&there).unwrap() {
        let _ = elsewhere.keep();
        panic!("{} and {} differ", here.display(), there.display());
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::write(to, fs::read(from)?);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != "target" {
            copy_tree(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}
