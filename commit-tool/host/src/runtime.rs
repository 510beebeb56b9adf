//! The OCI runtimes of a build: ours, which the engine calls, and the real one, which ours calls.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use osderive_lints::oci_runtime::NAME;
use toml::Table;

use crate::error::{Error, in_file};

/// The tool's file name.
pub(crate) const TOOL: &str = "ostree-container";

/// The tool: where `$OSDERIVE_TOOL` says, beside this program, or in `../libexec/osderive`.
pub(crate) fn tool() -> Result<PathBuf, Error> {
    if let Some(given) = std::env::var_os("OSDERIVE_TOOL").filter(|given| !given.is_empty()) {
        let path = PathBuf::from(given);
        return fs::canonicalize(&path).map_err(in_file(&path));
    }
    let own = std::env::current_exe().and_then(fs::canonicalize);
    let own = own.unwrap_or_default();
    let folder = own.parent().unwrap_or(Path::new("/"));
    let places = [
        folder.join(TOOL),
        folder.join("../libexec/osderive").join(TOOL),
    ];
    let mut found = places.iter().filter_map(|path| fs::canonicalize(path).ok());
    found.next().ok_or(Error::NoTool(own))
}

/// A link to the tool in a folder, by which it knows that it is the runtime.
pub(crate) fn link(tool: &Path, folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join(NAME);
    symlink(tool, &path).map_err(in_file(&path))?;
    Ok(path)
}

/// The runtime that the engine would take, as far as its configuration names one: containers.conf(5) has it in
/// `[engine]`, and its paths in `[engine.runtimes]`; what is read later counts.
pub(crate) fn configured() -> Option<OsString> {
    let mut runtime = None;
    let mut paths = Table::new();
    for file in configurations() {
        let Some(text) = fs::read_to_string(file).ok() else {
            continue;
        };
        let Ok(mut table) = text.parse::<Table>() else {
            continue;
        };
        let Some(engine) = table.get_mut("engine").and_then(|it| it.as_table_mut()) else {
            continue;
        };
        if let Some(name) = engine.get("runtime").and_then(|it| it.as_str()) {
            runtime = Some(name.to_owned());
        }
        if let Some(of_file) = engine
            .remove("runtimes")
            .and_then(|it| it.try_into::<Table>().ok())
        {
            paths.extend(of_file);
        }
    }
    let runtime = runtime.filter(|name| !name.is_empty() && !is_ours(name.as_ref()))?;
    let of_name = paths.get(&runtime).and_then(|paths| paths.as_array());
    let mut of_name = of_name
        .into_iter()
        .flatten()
        .filter_map(|path| path.as_str());
    let path = of_name.find(|path| Path::new(path).exists() && !is_ours(path.as_ref()));
    Some(path.map_or_else(|| runtime.clone().into(), OsString::from))
}

/// Whether a runtime is ours, by its name or its path.
pub(crate) fn is_ours(runtime: &OsStr) -> bool {
    let name = Path::new(runtime).file_name().unwrap_or_default();
    name == "osderive" || name.as_encoded_bytes().starts_with(NAME.as_bytes())
}

/// The files of containers.conf(5) in the order in which they are read.
fn configurations() -> Vec<PathBuf> {
    if let Some(only) = std::env::var_os("CONTAINERS_CONF") {
        return vec![only.into()];
    }
    let of_user = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let mut files = Vec::new();
    let folders = ["/usr/share/containers", "/etc/containers"]
        .map(PathBuf::from)
        .into_iter();
    for folder in folders.chain(of_user.map(|folder| folder.join("containers"))) {
        files.push(folder.join("containers.conf"));
        let more = fs::read_dir(folder.join("containers.conf.d"))
            .into_iter()
            .flatten();
        let mut more: Vec<PathBuf> = more.flatten().map(|entry| entry.path()).collect();
        more.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        });
        more.sort();
        files.extend(more);
    }
    files
}
