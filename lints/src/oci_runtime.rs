//! The tool as an OCI runtime: what the host command and the runtime have to agree on.

/// The name that the tool is the runtime under. The real one's may stand behind it: `osderive-runtime-crun`.
pub const NAME: &str = "osderive-runtime";

/// The variable with the real runtime, by its path or its name.
pub const REAL: &str = "OSDERIVE_RUNTIME";

/// The variable with the directory for the reports of steps, which get one below it each.
pub const REPORTS: &str = "OSDERIVE_REPORTS";

/// What stands beside a report: the command of the RUN, so that it is known whose it is.
pub const RUN_FILE: &str = "run.json";

/// Where a report stands in its directory.
pub const REPORT_FOLDER: &str = "out";

/// The real runtimes that are taken where nobody says which, as podman and buildah do.
pub const KNOWN: [&str; 2] = ["crun", "runc"];

/// Where they are found beside the `PATH`, which engines started by others do not always have.
pub const FOLDERS: [&str; 6] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/bin",
    "/usr/libexec",
];
