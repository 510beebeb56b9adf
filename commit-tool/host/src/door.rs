//! How the RUNs of the image reach the tool: by an OCI runtime that the engine starts them with, or, where it calls none,
//! by a Containerfile that has the tool in each of them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use osderive_lints::oci_runtime::{REAL, REPORT_FOLDER, REPORTS, RUN_FILE};
use osderive_lints::{BUILD_ARGUMENT, TOOL};

use crate::arguments::{Arguments, Engine};
use crate::error::{Error, in_file};
use crate::rewrite::{END, REPORT_CONTEXT, Rewrite, report_directory};
use crate::runtime;

/// One of the two ways.
#[derive(Debug)]
pub(crate) enum Door {
    /// Our runtime, and the one that ours calls; none for the one that it finds.
    Runtime {
        ours: PathBuf,
        real: Option<OsString>,
    },
    /// The RUNs with the tool, and the folder that has it.
    Rewritten { rewrite: Rewrite, tool: PathBuf },
}

/// Whether the engine calls no OCI runtime.
pub(crate) fn is_without_runtime(arguments: &Arguments) -> bool {
    let given = arguments.value_or("isolation", "BUILDAH_ISOLATION");
    given.is_some_and(|isolation| isolation == "chroot")
}

impl Door {
    /// By our runtime, which gets its name in a folder.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(crate) fn by_runtime(
        arguments: &Arguments,
        tool: &Path,
        folder: &Path,
    ) -> Result<Self, Error> {
        let given = std::env::var_os(REAL).filter(|runtime| !runtime.is_empty());
        let given = given.or_else(|| arguments.value("runtime").map(OsStr::to_owned));
        let is_buildah = arguments.engine == Engine::Buildah;
        let given = given.or_else(|| std::env::var_os("BUILDAH_RUNTIME").filter(|_| is_buildah));
        let given = given.filter(|runtime| !runtime::is_ours(runtime));
        Ok(Self::Runtime {
            ours: runtime::link(tool, folder)?,
            real: given.or_else(runtime::configured),
        })
    }

    /// By the Containerfile, with a copy of the tool in a folder. Engines have the times of what is mounted in their cache
    /// keys (buildah 1.39), so that the copy always has the same ones.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(crate) fn rewritten(rewrite: Rewrite, tool: &[u8], folder: &Path) -> Result<Self, Error> {
        let own = folder.join("tool");
        fs::create_dir(&own).map_err(in_file(&own))?;
        let copy = own.join(runtime::TOOL);
        fs::write(&copy, tool).map_err(in_file(&copy))?;
        for path in [&copy, &own] {
            let epoch = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
            fs::set_permissions(path, Permissions::from_mode(0o755))
                .and_then(|()| fs::File::open(path)?.set_times(epoch))
                .map_err(in_file(path))?;
        }
        Ok(Self::Rewritten { rewrite, tool: own })
    }

    pub(crate) fn rewrite(&self) -> Option<&Rewrite> {
        match self {
            Self::Runtime { .. } => None,
            Self::Rewritten { rewrite, .. } => Some(rewrite),
        }
    }

    /// The engine's options for it. `asked` is what a runtime is to do.
    pub(crate) fn options(&self, asked: &str, reports: &Path) -> Vec<(&'static str, OsString)> {
        match self {
            Self::Runtime { ours, .. } => vec![
                ("runtime", ours.into()),
                ("build-arg", format!("{BUILD_ARGUMENT}={asked}").into()),
            ],
            Self::Rewritten { rewrite, tool } => {
                let context = |name: &str, folder: &Path| {
                    let mut word = OsString::from(format!("{name}="));
                    word.push(folder);
                    ("build-context", word)
                };
                vec![
                    context(&rewrite.tool_context, tool),
                    context(REPORT_CONTEXT, reports),
                ]
            }
        }
    }

    /// The engine's environment for it.
    pub(crate) fn environment<'a>(&'a self, reports: &'a Path) -> Vec<(&'static str, &'a OsStr)> {
        let Self::Runtime { real, .. } = self else {
            return Vec::new();
        };
        let real = real.as_deref().map(|real| (REAL, real));
        [(REPORTS, reports.as_os_str())]
            .into_iter()
            .chain(real)
            .collect()
    }

    /// Makes the directory for reports. Our runtime makes one in it for each RUN; who is called by the RUN itself finds
    /// it there.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(crate) fn make_reports(&self, reports: &Path) -> Result<(), Error> {
        let _ = fs::remove_dir_all(reports);
        fs::create_dir(reports).map_err(in_file(reports))?;
        let Some(rewrite) = self.rewrite() else {
            return Ok(());
        };
        let steps = rewrite.runs.iter().enumerate();
        let steps = steps.map(|(number, _)| (report_directory(number), String::new()));
        for (name, command) in steps.chain([(END.to_owned(), TOOL.to_owned())]) {
            let directory = reports.join(name);
            let out = directory.join(REPORT_FOLDER);
            fs::create_dir_all(&out).map_err(in_file(&out))?;
            let run = directory.join(RUN_FILE);
            let args = serde_json::json!({ "args": [command] });
            fs::write(&run, args.to_string()).map_err(in_file(&run))?;
        }
        Ok(())
    }
}
