//! What a build frontend asks of the tool: about one RUN, and about the finished image. The frontend writes these
//! requests as arguments and the tool reads them; a test of the tool holds the two together.
//!
//! A request says nothing of the instructions around a RUN: to add one must not run another one again.

use crate::model::ledger::Ledger;

/// Where fronts mount the tool's folder in a step: under /dev, which is a tmpfs in every exec and so leaves nothing in
/// the layer. Under /run a stub could stay in the layer on old engines; below /proc and /sys no mount point can be made.
pub const TOOL_MOUNT: &str = "/dev/.osderive";

/// The tool there.
pub const TOOL: &str = "/dev/.osderive/ostree-container";

/// Where the tool writes its report: no image contains it.
pub const REPORT_MOUNT: &str = "/dev/.osderive-out";

/// Where the base image is mounted at the end of a build.
pub const BASE_MOUNT: &str = "/dev/.osderive-base";

/// What people say of paths whose look misleads; absolute, as users know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSettings {
    /// Directories and files below /var whose content a service makes at its first start.
    pub first_start: Vec<String>,
    /// Directories below /opt and /usr/local that are written at run time.
    pub writable: Vec<String>,
    /// Paths below /opt and /usr/local that are part of the image.
    pub read_only: Vec<String>,
}

/// Another user than the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUser {
    /// As USER has it: a name or number, with or without a group.
    pub name: String,
    /// Whether HOME stays as it is.
    pub keep_home: bool,
    /// Its supplementary groups, where somebody has looked them up already.
    pub groups: Vec<u32>,
    /// The working directory, where the engine would make it for another user. It becomes this user's where it is missing.
    pub directory: Option<String>,
}

/// What becomes of a root file system that does not look like a bootable image's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordinary {
    /// The tool refuses it: whoever runs it by hand has made a mistake.
    #[default]
    Refuse,
    /// It is left as it is.
    Leave,
    /// It is committed: a front knows better.
    Commit,
}

/// `ostree-container step`, without the command that it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepRequest {
    /// What becomes of an ordinary root file system.
    pub ordinary: Ordinary,
    /// Make /var as at boot and commit nothing.
    pub prepare: bool,
    /// Name each change and its reason.
    pub verbose: bool,
    /// Who runs the command; none for the caller.
    pub user: Option<StepUser>,
    /// The ids of accounts that the command makes.
    pub ids: Option<Ledger>,
    /// The directory for the report.
    pub report: Option<String>,
    /// What people say of paths.
    pub paths: PathSettings,
}

/// `ostree-container commit` at the end of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndRequest {
    /// What becomes of an ordinary root file system.
    pub ordinary: Ordinary,
    /// Name each change and its reason.
    pub verbose: bool,
    /// Where the base image's root is mounted.
    pub base: String,
    /// The directory for the reports.
    pub report: String,
    /// Whether the base image is looked at, too.
    pub check_base: bool,
    /// Whether accounts of services go where nss-altfiles reads them.
    pub altfiles: bool,
    /// What people say of paths.
    pub paths: PathSettings,
}

impl StepRequest {
    /// The arguments of the tool, from `step` to the `--` before the command.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = Args::of("step");
        args.ordinary(self.ordinary);
        args.flag("-v", self.verbose);
        if let Some(user) = &self.user {
            args.value("--user", Some(user.name.clone()));
            args.flag("--keep-home", user.keep_home);
            let groups: Vec<String> = user.groups.iter().map(u32::to_string).collect();
            args.value("--groups", (!groups.is_empty()).then(|| groups.join(",")));
            args.value("--workdir", user.directory.clone());
        }
        args.value("--ids", self.ids.as_ref().map(ToString::to_string));
        args.paths(&self.paths);
        args.value("--report", self.report.clone());
        args.flag("--prepare", self.prepare);
        args.flag("--", true);
        args.0
    }
}

impl EndRequest {
    /// The arguments of the tool.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = Args::of("commit");
        args.ordinary(self.ordinary);
        args.flag("-v", self.verbose);
        args.paths(&self.paths);
        args.value("--base", Some(self.base.clone()));
        args.value("--report", Some(self.report.clone()));
        args.flag("--check-base", self.check_base);
        args.flag("--altfiles", self.altfiles);
        args.0
    }
}

struct Args(Vec<String>);

impl Args {
    fn of(verb: &str) -> Self {
        Self(vec![verb.to_owned()])
    }

    fn flag(&mut self, name: &str, is_given: bool) {
        self.0.extend(is_given.then(|| name.to_owned()));
    }

    fn value(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.0.extend([name.to_owned(), value]);
        }
    }

    fn ordinary(&mut self, ordinary: Ordinary) {
        self.flag("--detect", ordinary == Ordinary::Leave);
        self.flag("--any-root", ordinary == Ordinary::Commit);
    }

    /// With a sign between name and value, as a path may begin with a dash.
    fn paths(&mut self, settings: &PathSettings) {
        for (name, paths) in [
            ("--first-start", &settings.first_start),
            ("--writable", &settings.writable),
            ("--read-only", &settings.read_only),
        ] {
            self.0
                .extend(paths.iter().map(|path| format!("{name}={path}")));
        }
    }
}
