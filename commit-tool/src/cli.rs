//! The command line. `step` is what a build frontend puts before a RUN's own arguments;
//! `container commit` is what `ostree container commit` turns into, since ostree executes
//! `ostree-container` with its own arguments unchanged (ostree, `src/ostree/ot-main.c`).

use std::{
    env,
    ffi::OsString,
    path::{Component, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use osderive_commit::Settings;
use osderive_lints::model::ledger::{Ledger, LedgerError};
use osderive_lints::{Ordinary, policy::FailOn};

/// Runs one step of an image build and commits it
#[derive(Debug, Parser)]
#[command(name = "ostree-container", version, after_help = EXIT_CODES)]
pub(crate) struct Cli<V: Subcommand = Verb> {
    /// Says more: one line for each removed entry and each changed file, with the reason
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) verb: V,
}

impl Cli {
    /// Reads the arguments of this process; ends it when they are wrong or ask for help. What a step is told is
    /// read alone: to describe all other commands takes a sixth of a millisecond, and each RUN of a build waits for it.
    pub(crate) fn read() -> Self {
        if env::args_os().nth(1).is_none_or(|verb| verb != "step") {
            return Self::parse();
        }
        let Cli { verbose, verb } = Cli::<StepAlone>::parse();
        let StepAlone::Step(args) = verb;
        let verb = Verb::Step(args);
        Self { verbose, verb }
    }
}

#[derive(Debug, Subcommand)]
enum StepAlone {
    /// Runs a command and, when it succeeds, commits what it did
    Step(Box<StepArgs>),
}

const EXIT_CODES: &str = "\
Exit codes of step:
  the command's own, or 128 + n when signal n ended it
  125  osderive failed: unknown user, commit or report not written
  126  the command cannot be executed
  127  the command was not found
Exit codes of commit:
  0  committed, or nothing to do
  1  refused or failed
Exit codes of lint:
  0  nothing found at or above --fail-on
  1  something found
  2  it could not run
Wrong usage ends with 2.";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Runs a command and, when it succeeds, commits what it did
    Step(Box<StepArgs>),
    /// Commits a root file system: empties /run, /tmp, /var/tmp and /var/cache, keeps what is made elsewhere
    Commit(Box<CommitArgs>),
    /// For build frontends: has COPY go on in software that earlier steps put into /opt or /usr/local
    #[command(hide = true)]
    Unfold {
        /// Where COPY puts directories
        #[arg(required = true, value_name = "PATH")]
        below: Vec<PathBuf>,
    },
    /// For build frontends: gathers reports of steps, STEPS/0/report.json and on, in DIR/steps.json
    #[command(hide = true)]
    Gather {
        #[arg(long, value_name = "DIR")]
        report: PathBuf,
        steps: PathBuf,
    },
    /// Looks for what would go wrong on a machine that runs the image
    Lint(Box<LintArgs>),
    /// What `ostree container …` calls
    #[command(subcommand)]
    Container(ContainerVerb),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContainerVerb {
    /// Commits a root file system: empties /run, /tmp, /var/tmp and /var/cache, keeps what is made elsewhere
    Commit(Box<CommitArgs>),
    /// Looks for what would go wrong on a machine that runs the image
    Lint(Box<LintArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    #[command(flatten)]
    pub(crate) root: RootArgs,
    /// Makes /var as at boot and commits nothing: for a stage beside the image that begins with one of its stages
    #[arg(long, conflicts_with_all = ["ids", "report", "previous"])]
    pub(crate) prepare: bool,
    /// Runs the command as this user: NAME|UID[:GROUP|GID]
    #[arg(long, value_name = "SPEC")]
    pub(crate) user: Option<OsString>,
    /// Keeps HOME as it is, whatever the user
    #[arg(long)]
    pub(crate) keep_home: bool,
    /// For the OCI runtime: supplementary groups of that user, beside those of its name
    #[arg(
        long,
        value_name = "GID,…",
        value_delimiter = ',',
        requires = "user",
        hide = true
    )]
    pub(crate) groups: Vec<u32>,
    /// For a rewritten RUN: the working directory, which that user gets where it is missing
    #[arg(long, value_name = "DIR", requires = "user", hide = true)]
    pub(crate) workdir: Option<PathBuf>,
    /// Gives the accounts that the command makes these ids: lines `u NAME UID` and `g NAME GID`
    #[arg(long, value_name = "LINES", value_parser = ledger)]
    pub(crate) ids: Option<Ledger>,
    /// Writes report.json into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Tells of accounts that have another id than in this root file system of the previous image
    #[arg(long, value_name = "DIR")]
    pub(crate) previous: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) opt: PathArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

fn ledger(lines: &str) -> Result<Ledger, LedgerError> {
    Ledger::parse(lines.as_bytes())
}

#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// Prints what would be done and changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Prints that as JSON
    #[arg(long, requires = "dry_run")]
    pub(crate) json: bool,
    /// The root file system
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) rootfs: PathBuf,
    /// Tells of accounts that have another id than in this root file system of the previous image
    #[arg(long, value_name = "DIR")]
    pub(crate) previous: Option<PathBuf>,
    /// Keeps accounts of services in /usr/lib/passwd and /usr/lib/group, where nss-altfiles reads them
    #[arg(long)]
    pub(crate) altfiles: bool,
    #[command(flatten)]
    pub(crate) end: EndArgs,
    #[command(flatten)]
    opt: PathArgs,
}

impl CommitArgs {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            altfiles: self.altfiles,
            ..self.opt.settings()
        }
    }
}

/// What becomes of a root file system that does not look like a bootable image's. Without a word it is refused.
#[derive(Debug, Args)]
pub(crate) struct RootArgs {
    /// Commits only if the root file system is a bootable image's
    #[arg(long)]
    detect: bool,
    /// For build frontends: commits any root file system, whatever it looks like
    #[arg(long, hide = true, conflicts_with = "detect")]
    any_root: bool,
}

impl RootArgs {
    pub(crate) fn ordinary(&self) -> Ordinary {
        match (self.detect, self.any_root) {
            (true, _) => Ordinary::Leave,
            (false, true) => Ordinary::Commit,
            (false, false) => Ordinary::Refuse,
        }
    }
}

/// What a build frontend adds, which commits the finished image once.
#[derive(Debug, Args)]
pub(crate) struct EndArgs {
    /// The base image's root file system: what it has is left as it is
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    pub(crate) base: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) root: RootArgs,
    /// Writes report.json into this directory, and lint.json about the result
    #[arg(long, value_name = "DIR", requires = "base")]
    pub(crate) report: Option<PathBuf>,
    /// For build frontends: writes base.json about the base image, too
    #[arg(long, requires = "report", hide = true)]
    pub(crate) check_base: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// A root file system, an OCI layout or an archive of an image
    ///
    /// By what is there, or with a prefix: rootfs:DIR, oci:DIR[:NAME], oci-archive:FILE[:NAME],
    /// docker-archive:FILE[:TAG].
    #[arg(value_name = "INPUT", default_value = "/")]
    pub(crate) input: String,
    /// The root file system, as bootc's lint names it
    #[arg(long, value_name = "DIR", conflicts_with = "input")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Leaves out a rule, by its name or by that of bootc's lint
    #[arg(long, value_name = "RULE")]
    pub(crate) skip: Vec<String>,
    /// Ends with 1 when there is a finding of this severity or above: error, warning, info or never [default:
    /// osderive.toml's, else error]
    #[arg(long, value_name = "SEVERITY", value_parser = fail_on)]
    pub(crate) fail_on: Option<FailOn>,
    /// The same as --fail-on warning
    #[arg(long, conflicts_with = "fail_on")]
    pub(crate) fatal_warnings: bool,
    /// Severities and suppressions [default: ./osderive.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What the image was built from, for lines and for `# osderive: allow=…` comments
    #[arg(long, value_name = "FILE")]
    pub(crate) containerfile: Option<PathBuf>,
    /// The base image, or a JSON report of it: what it has already is no failure
    #[arg(long, value_name = "INPUT")]
    pub(crate) baseline: Option<String>,
    /// How to print what was found
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
    /// Writes it into this file, and prints it for people
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Names all paths
    #[arg(long)]
    pub(crate) no_truncate: bool,
    /// For build frontends: writes lint.json into this directory and ends with 0, whatever is found
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "containerfile", "baseline", "output"])]
    pub(crate) report: Option<PathBuf>,
    /// Prints a rule's documentation and ends
    #[arg(long, value_name = "RULE")]
    pub(crate) explain: Option<String>,
    /// Prints all rules and ends
    #[arg(long, conflicts_with = "explain")]
    pub(crate) list: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// One versioned JSON document
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
    /// Workflow commands of GitHub Actions
    Github,
    /// `JUnit` XML
    Junit,
}

fn fail_on(word: &str) -> Result<FailOn, String> {
    FailOn::named(word).ok_or_else(|| format!("there are: {}", FailOn::WORDS))
}

/// A path that can be one service's: all of /var/lib, or of /, is not one's to make anew.
fn one_services(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    if path.starts_with("/var") && path.components().count() > 3 && path.components().all(is_plain)
    {
        return Ok(path);
    }
    Err("it takes what is one service's, such as /var/lib/acme/db".to_owned())
}

/// What a path's look does not tell.
#[derive(Debug, Args)]
pub(crate) struct PathArgs {
    /// Keeps this directory of /opt or /usr/local in /var: it is written at run time
    #[arg(long, value_name = "PATH")]
    writable: Vec<PathBuf>,
    /// Keeps this path of /opt or /usr/local in the image: it is not written at run time
    #[arg(long, value_name = "PATH")]
    read_only: Vec<PathBuf>,
    /// Keeps nothing of what is in this directory of /var, or of this file: a service makes it at its first start
    #[arg(long, value_name = "PATH", value_parser = one_services)]
    first_start: Vec<PathBuf>,
}

impl PathArgs {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            writable: self.writable.clone(),
            read_only: self.read_only.clone(),
            first_start: self.first_start.clone(),
            altfiles: false,
        }
    }
}

#[cfg(test)]
mod tests;
