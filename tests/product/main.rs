//! What is promised of the product's binaries themselves.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use osderive_tests::Places;
use osderive_tests::base::with_package_managers;
use osderive_tests::dist::dist;
use osderive_tests::engine::Selection;
use osderive_tests::listing::{differences, list};
use osderive_tests::product::{self, Binary, Profile};
use osderive_tests::sbom::{self, Subject};
use serde_json::Value;

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

/// Where crates of a registry are in the binaries, which keep the places of their panics.
const REGISTRY: &[u8] = b"/cargo/registry/src/";

/// The crates of a registry, as `NAME-VERSION`, whose files a binary names.
fn named_in(binary: &[u8]) -> BTreeSet<String> {
    let starts = binary.windows(REGISTRY.len()).enumerate();
    let starts = starts.filter(|(_, window)| *window == REGISTRY);
    let named = starts.filter_map(|(start, _)| {
        let path = &binary[start + REGISTRY.len()..];
        let name = path.split(|byte| *byte == b'/').nth(1)?;
        Some(String::from_utf8_lossy(name).into_owned())
    });
    named.collect()
}

/// Whoever asks whether a fault in a crate concerns osderive finds it in the image's own list.
#[test]
fn the_list_of_contents_has_every_crate_that_the_binaries_name() {
    let places = Places::of_workspace().unwrap();
    let document: Value =
        serde_json::from_str(&sbom::document(&places, Subject::Image).unwrap()).unwrap();
    let components = document["components"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = places.state().join("product");
    for binary in Subject::Image.binaries() {
        let is_within = |component: &&Value| {
            let properties = component["properties"].as_array().unwrap();
            let mut values = properties.iter().map(|property| text(&property["value"]));
            values.any(|value| value == binary.file_name())
        };
        let listed = components.iter().filter(is_within);
        let listed: BTreeSet<String> = listed
            .map(|component| {
                format!(
                    "{}-{}",
                    text(&component["name"]),
                    text(&component["version"])
                )
            })
            .collect();
        let built = product::build(binary, Profile::Test, places.workspace(), &target).unwrap();
        let named = named_in(&fs::read(built).unwrap());
        assert!(named.len() > 10, "{named:?}");
        let missing: Vec<_> = named.difference(&listed).collect();
        assert!(
            missing.is_empty(),
            "{missing:?} are in {} only",
            binary.file_name()
        );
        for other in ["proptest-", "insta-", "serde_derive-"] {
            assert!(
                !listed.iter().any(|name| name.starts_with(other)),
                "{other}"
            );
        }
    }
    for component in components {
        assert_ne!(component["licenses"][0]["expression"], "", "{component}");
        let is_ours = text(&component["name"]).starts_with("osderive-");
        assert_eq!(
            component["hashes"][0]["content"].is_string(),
            !is_ours && is_crate(component)
        );
    }
}

fn is_crate(component: &Value) -> bool {
    !["rust-std", "glibc", "libgcc"]
        .iter()
        .any(|name| component["name"] == *name)
}

/// The engine's cache knows a committed step by the tool's bytes: they must not depend on who built it where.
#[test]
#[ignore = "builds for minutes: cargo xtask test runs it beside the others"]
fn the_tool_is_the_same_to_the_last_bit_built_in_another_folder() {
    let places = Places::of_workspace().unwrap();
    let workspace = places.workspace();
    let elsewhere = places.state().join("elsewhere");
    let copy = elsewhere.join("a/copy of the sources");
    // What was compiled of the last copy stays.
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir_all(&copy).unwrap();
    for source in SOURCES {
        copy_tree(&workspace.join(source), &copy.join(source)).unwrap();
    }
    let here = places.state().join("product");
    // As users get it where there is the time for it. The other profile has the same paths to keep out.
    let profile = match Selection::from_environment().unwrap() {
        Selection::Each(_) => Profile::Release,
        Selection::Any | Selection::Opposite => Profile::Test,
    };
    let build = |workspace: &Path, target: &Path| {
        product::build(Binary::Tool, profile, workspace, target).unwrap()
    };
    let here = build(workspace, &here);
    let there = build(&copy, &elsewhere.join("out"));
    assert_ne!(here, there);
    let is_same = fs::read(&here).unwrap() == fs::read(&there).unwrap();
    assert!(is_same, "{} and {} differ", here.display(), there.display());
}

/// With the times of the files, by which cargo knows what it has compiled.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        fs::write(to, fs::read(from)?)?;
        let modified = fs::metadata(from)?.modified()?;
        return File::options().write(true).open(to)?.set_modified(modified);
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

#[test]
fn the_host_command_has_the_linter() {
    let places = Places::of_workspace().unwrap();
    let host = product::host(Profile::Test, &places).unwrap();
    let run = |words: &[&str]| {
        let output = Command::new(&host).args(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (said, told) = (text(output.stdout), text(output.stderr));
        (output.status.code(), said, told)
    };
    let (code, page, _) = run(&["explain", "kernel-count"]);
    assert_eq!(code, Some(0));
    assert!(page.contains("# Why it breaks"), "{page}");
    let (code, _, told) = run(&["explain", "no-such-rule"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("there is no rule"), "{told}");

    let (_, help, _) = run(&["lint", "--help"]);
    assert!(help.contains("Usage: osderive lint"), "{help}");
    let (code, _, told) = run(&["--report", "json", "lint"]);
    assert_eq!(code, Some(125));
    assert!(told.contains("--format"), "{told}");
    let root = tempfile::tempdir().unwrap();
    let input = format!("rootfs:{}", root.path().display());
    let (code, found, _) = run(&["lint", &input, "--format", "json"]);
    assert_eq!(code, Some(1), "{found}");
    let found: Value = serde_json::from_str(&found).unwrap();
    let rules = found["findings"].as_array().unwrap().iter();
    assert!(
        rules
            .map(|one| &one["rule"])
            .any(|rule| rule == "kernel-count"),
        "{found}"
    );
    let (code, _, told) = run(&["lint", "no-such-file"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("no-such-file"), "{told}");
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Installs a package below an empty folder, by its own package manager. Arguments: PACKAGE FOLDER
const INSTALL: [(&str, &str); 2] = [
    (
        concat!("osderive_", env!("CARGO_PKG_VERSION"), "_amd64.deb"),
        "mkdir -p $2/var/lib/dpkg/info $2/var/lib/dpkg/updates; : >$2/var/lib/dpkg/status
        dpkg --root=$2 --path-include='/usr/*' --install $1",
    ),
    (
        concat!("osderive-", env!("CARGO_PKG_VERSION"), "-1.x86_64.rpm"),
        "rpm --root=$2 --dbpath=/var/lib/rpm --install $1",
    ),
];

#[test]
fn what_is_installed_from_packages_runs() {
    let places = Places::of_workspace().unwrap();
    let folder = tempfile::tempdir_in(places.state()).unwrap();
    let out = folder.path().join("dist");
    dist(Profile::Test, &places, &out).unwrap();
    let sums = fs::read_to_string(out.join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 4, "{sums}");
    let mut check = Command::new("sha256sum");
    let check = check.args(["--check", "--quiet", "SHA256SUMS"]);
    assert!(check.current_dir(&out).status().unwrap().success());

    let mut trees = Vec::new();
    for (package, script) in INSTALL {
        let tree = folder.path().join(package).with_extension("root");
        fs::create_dir(&tree).unwrap();
        let root = with_package_managers(&places).unwrap();
        let mut install = root.command("/bin/sh", places.state(), &[places.state()]);
        install.args(["-ec", script, "install"]);
        let output = install.arg(out.join(package)).arg(&tree).output().unwrap();
        assert!(output.status.success(), "{package}: {output:?}");
        trees.push(tree);
    }
    let archive = format!("osderive-{VERSION}-x86_64-linux");
    let tree = folder.path().join("archive");
    fs::create_dir(&tree).unwrap();
    let mut unpack = Command::new("tar");
    unpack.arg("-xf").arg(out.join(format!("{archive}.tar.gz")));
    assert!(unpack.current_dir(&tree).status().unwrap().success());
    fs::rename(tree.join(&archive), tree.join("usr")).unwrap();
    trees.push(tree);
    for tree in &trees {
        let explain = Command::new(tree.join("usr/bin/osderive"))
            .args(["explain", "kernel-count"])
            .output();
        assert!(explain.unwrap().status.success(), "{}", tree.display());
        let page = fs::read_to_string(tree.join("usr/share/man/man1/osderive.1")).unwrap();
        assert!(page.contains(".TH osderive 1"), "{page}");
    }
    // All of the three are the same.
    let of = |tree: &Path| list(tree, &["usr"]).unwrap();
    for other in &trees[1..] {
        let different = differences(&of(&trees[0]), &of(other));
        assert!(different.is_empty(), "{different:#?}");
    }
}
