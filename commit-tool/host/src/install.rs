//! `osderive podman install`: has podman and buildah call our runtime for steps of builds that ask for it, without this
//! command. Under the names of the real runtimes, so that what is made meanwhile goes on without us.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use osderive_lints::oci_runtime::{FOLDERS, KNOWN, NAME};
use toml::Table;

use crate::error::{Error, in_file};
use crate::runtime::TOOL;

/// The first line of the file that is ours to remove.
const MARK: &str =
    "# Written by `osderive podman install`. `osderive podman uninstall` removes it.";

const SNIPPET: &str = "50-osderive.conf";

/// Where it is installed.
#[derive(Debug)]
struct Places {
    /// The tool, under its names.
    folder: PathBuf,
    /// The snippet of containers.conf.
    snippet: PathBuf,
}

/// Answers `install` and `uninstall`, with `--user` for this user alone; none for other words.
///
/// # Errors
/// When a file cannot be written or removed.
pub(crate) fn run(
    words: &[OsString],
    tool: impl Fn() -> Result<PathBuf, Error>,
) -> Option<Result<String, Error>> {
    let (verb, options) = words.split_first()?;
    let is_install = match verb.to_str()? {
        "install" => true,
        "uninstall" => false,
        _ => return None,
    };
    let places = match options {
        [] => Places::system(),
        [option] if option == "--user" => Places::user(),
        _ => return Some(Err(Error::Install)),
    };
    Some(if is_install {
        tool().and_then(|tool| places.install(&tool))
    } else {
        places.uninstall()
    })
}

impl Places {
    fn system() -> Self {
        Self {
            folder: "/usr/local/libexec/osderive".into(),
            snippet: Path::new("/etc/containers/containers.conf.d").join(SNIPPET),
        }
    }

    fn user() -> Self {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        let of = |variable: &str, default: &str| {
            let given = std::env::var_os(variable).filter(|given| !given.is_empty());
            given.map_or_else(|| home.join(default), PathBuf::from)
        };
        let config = of("XDG_CONFIG_HOME", ".config").join("containers/containers.conf.d");
        Self {
            folder: of("XDG_DATA_HOME", ".local/share").join("osderive"),
            snippet: config.join(SNIPPET),
        }
    }

    fn install(&self, tool: &Path) -> Result<String, Error> {
        self.require_ours()?;
        let made = |path: &Path| fs::create_dir_all(path).map_err(in_file(path));
        made(&self.folder)?;
        let own = self.folder.join(TOOL);
        let is_same = fs::canonicalize(&own).is_ok_and(|own| own == *tool);
        if !is_same {
            // A program that runs keeps its file.
            let beside = self.folder.join(".new");
            let bytes = fs::read(tool).map_err(in_file(tool))?;
            fs::write(&beside, bytes)
                .and_then(|()| fs::set_permissions(&beside, Permissions::from_mode(0o755)))
                .and_then(|()| fs::rename(&beside, &own))
                .map_err(in_file(&own))?;
        }
        let mut runtimes = Table::new();
        for runtime in KNOWN {
            let link = self.link(runtime);
            let _ = fs::remove_file(&link);
            symlink(TOOL, &link).map_err(in_file(&link))?;
            // For engines that find ours no more (containers.conf(5), `engine.runtimes`).
            let real = FOLDERS.map(|folder| Path::new(folder).join(runtime));
            let paths = [link].into_iter().chain(real);
            let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
            runtimes.insert(runtime.to_owned(), paths.into());
        }
        let engine = Table::from_iter([("runtimes".to_owned(), runtimes.into())]);
        let table = Table::from_iter([("engine".to_owned(), engine.into())]);
        let text = format!("{MARK}\n{table}");
        made(self.snippet.parent().unwrap_or(Path::new("/")))?;
        fs::write(&self.snippet, text).map_err(in_file(&self.snippet))?;
        Ok(format!(
            "podman and buildah call {} now, by {}.\n\
             Below each FROM of an image write `ARG OSDERIVE=1`: its RUNs are committed. All else goes to {} at once.\n\
             The commit at the end and findings come with `osderive podman build` alone.\n",
            self.link(KNOWN[0]).display(),
            self.snippet.display(),
            KNOWN.join(" or "),
        ))
    }

    fn uninstall(&self) -> Result<String, Error> {
        self.require_ours()?;
        let links = KNOWN.map(|runtime| self.link(runtime));
        let all = [self.snippet.clone()].into_iter().chain(links);
        let mut removed = String::new();
        for path in all.chain([self.folder.join(TOOL)]) {
            match fs::remove_file(&path) {
                Ok(()) => {
                    let _ = writeln!(removed, "removed {}", path.display());
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(in_file(&path)(error)),
            }
        }
        // What else is in there stays.
        let _ = fs::remove_dir(&self.folder);
        if removed.is_empty() {
            removed.push_str("nothing is installed\n");
        }
        Ok(removed)
    }

    fn link(&self, runtime: &str) -> PathBuf {
        self.folder.join(format!("{NAME}-{runtime}"))
    }

    /// Refuses to touch somebody else's file.
    fn require_ours(&self) -> Result<(), Error> {
        match fs::read_to_string(&self.snippet) {
            Ok(text) if !text.starts_with(MARK) => Err(Error::NotOurs(self.snippet.clone())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_removed_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let tool = folder.path().join("built");
        fs::write(&tool, "tool").expect("writes");
        let places = Places {
            folder: folder.path().join("share/osderive"),
            snippet: folder.path().join("conf.d").join(SNIPPET),
        };
        for _ in 0..2 {
            let said = places.install(&tool).expect("installs");
            assert!(said.contains("ARG OSDERIVE=1"), "{said}");
        }
        let text = fs::read_to_string(&places.snippet).expect("a snippet");
        let table: toml::Table = text.parse().expect("TOML");
        let paths = &table["engine"]["runtimes"]["runc"];
        let link = places.link("runc");
        assert_eq!(paths[0].as_str(), link.to_str());
        assert_eq!(paths[1].as_str(), Some("/usr/bin/runc"));
        assert_eq!(fs::read_to_string(link).expect("a tool"), "tool");

        fs::write(places.folder.join("mine"), "").expect("writes");
        let said = places.uninstall().expect("uninstalls");
        assert_eq!(said.lines().count(), 4, "{said}");
        let left = fs::read_dir(&places.folder).expect("a folder").count();
        assert_eq!(left, 1);
        assert_eq!(
            places.uninstall().expect("uninstalls"),
            "nothing is installed\n"
        );

        fs::write(&places.snippet, "[engine]\n").expect("writes");
        assert!(matches!(places.install(&tool), Err(Error::NotOurs(_))));
        assert!(matches!(places.uninstall(), Err(Error::NotOurs(_))));
    }
}
