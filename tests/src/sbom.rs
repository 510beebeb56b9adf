//! What binaries are made of, as a CycloneDX 1.6 document (ECMA-424): the crates that are linked into them, as cargo resolves them, and what the compilers link in beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::error::{Error, Result, io_error};
use crate::places::Places;
use crate::process::{capture, cargo_program};
use crate::product::{Binary, TARGET};

/// The file's name in the image.
pub const FILE: &str = "sbom.cdx.json";

/// A crate or another library, by its name and version.
type Id = (String, String);

struct Part {
    license: String,
    /// The binaries that have it.
    within: BTreeSet<&'static str>,
}

/// What a document is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    /// The frontend image.
    Image,
    /// What people install the host command from.
    Packages,
}

impl Subject {
    /// The binaries in it.
    pub fn binaries(self) -> [Binary; 2] {
        match self {
            Self::Image => [Binary::Frontend, Binary::Tool],
            Self::Packages => [Binary::Host, Binary::Tool],
        }
    }

    /// What CycloneDX calls it.
    fn kind(self) -> &'static str {
        match self {
            Self::Image => "container",
            Self::Packages => "application",
        }
    }
}

/// The document; the same sources and compilers give the same bytes.
///
/// # Errors
/// When cargo or a compiler does not tell, or `Cargo.lock` cannot be read.
pub fn document(places: &Places, subject: Subject) -> Result<String> {
    let checksums = checksums(places)?;
    let mut parts = BTreeMap::new();
    for binary in subject.binaries() {
        crates_of(binary, places, &mut parts)?;
        for (id, license) in linked_by_compilers()? {
            add(&mut parts, id, license, binary);
        }
    }
    let components: Vec<Value> = parts
        .iter()
        .map(|(id, part)| component(id, part, checksums.get(id)))
        .collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": subject.kind(),
                "name": "osderive",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "components": components,
    });
    Ok(format!("{document:#}\n"))
}

fn component((name, version): &Id, part: &Part, checksum: Option<&String>) -> Value {
    let within = part.within.iter();
    let mut component = json!({
        "type": "library",
        "bom-ref": format!("{name}@{version}"),
        "name": name,
        "version": version,
        "licenses": [{ "expression": part.license }],
        "properties": within
            .map(|binary| json!({ "name": "osderive:linked-into", "value": binary }))
            .collect::<Vec<_>>(),
    });
    if let Some(checksum) = checksum {
        component["purl"] = format!("pkg:cargo/{name}@{version}").into();
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

fn add(parts: &mut BTreeMap<Id, Part>, id: Id, license: String, binary: Binary) {
    let part = parts.entry(id).or_insert_with(|| Part {
        license,
        within: BTreeSet::new(),
    });
    part.within.insert(binary.file_name());
}

/// All that cargo links into a binary: no macros, nothing that only builds or tests need.
fn crates_of(binary: Binary, places: &Places, parts: &mut BTreeMap<Id, Part>) -> Result<()> {
    let mut cargo = Command::new(cargo_program());
    cargo
        .current_dir(places.workspace())
        .args(["tree", "--locked", "--package", binary.package()])
        .args(["--edges", "normal,no-proc-macro", "--target", TARGET])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"]);
    for line in capture("list the crates of a binary", &mut cargo)?.lines() {
        let (package, license) = line.split_once('|').unwrap_or((line, ""));
        let mut words = package.split(' ');
        let (name, version) = (words.next(), words.next());
        let version = version.and_then(|version| version.strip_prefix('v'));
        let (Some(name), Some(version)) = (name, version) else {
            return Err(untold("list the crates of a binary", line));
        };
        // The old way to write it.
        let license = license.replace('/', " OR ");
        add(
            parts,
            (name.to_owned(), version.to_owned()),
            license,
            binary,
        );
    }
    Ok(())
}

/// Rust's standard library, the C library and the unwinder, which each static binary has.
fn linked_by_compilers() -> Result<[(Id, String); 3]> {
    let told = |action: &str, program: &str, argument: &str| {
        let text = capture(action, Command::new(program).arg(argument))?;
        let version = text.split(' ').find(|word| word.contains('.'));
        version
            .map(str::to_owned)
            .ok_or_else(|| untold(action, &text))
    };
    let part = |name: &str, version: String, license: &str| {
        ((name.to_owned(), version), license.to_owned())
    };
    let std = told("tell Rust's version", "rustc", "--version")?;
    let libc = told(
        "tell the C library's version",
        "getconf",
        "GNU_LIBC_VERSION",
    )?;
    let gcc = told("tell the C compiler's version", "cc", "-dumpfullversion")?;
    Ok([
        part("rust-std", std, "MIT OR Apache-2.0"),
        part("glibc", libc, "LGPL-2.1-or-later"),
        part("libgcc", gcc, "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ])
}

/// The SHA-256 of each crate of a registry, in hexadecimal digits, as `Cargo.lock` has it.
fn checksums(places: &Places) -> Result<BTreeMap<Id, String>> {
    let path = places.workspace().join("Cargo.lock");
    let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
    let lock: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| untold("read Cargo.lock", error.message()))?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let checksum = |package: &toml::Value| {
        let field = |name: &str| Some(package.get(name)?.as_str()?.to_owned());
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    Ok(packages
        .into_iter()
        .flatten()
        .filter_map(checksum)
        .collect())
}

fn untold(action: &str, message: &str) -> Error {
    Error::Engine {
        action: action.to_owned(),
        message: message.to_owned(),
    }
}
