//! The command line. `step` is what a build frontend puts before a RUN's own arguments;
//! `container commit` is what `ostree container commit` turns into, since ostree executes
//! `ostree-container` with its own arguments unchanged (ostree, `src/ostree/ot-main.c`).

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

/// Runs one step of an image build and commits it
#[derive(Debug, Parser)]
#[command(name = "ostree-container", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Says more: one line for each removed entry and each changed file, with the reason
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
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
Wrong usage ends with 2.";

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Runs a command and, when it succeeds, commits what it did
    Step(StepArgs),
    /// Commits a root file system: empties /run, /tmp, /var/tmp and /var/cache, declares accounts
    Commit(CommitArgs),
    /// What `ostree container …` calls
    #[command(subcommand)]
    Container(ContainerVerb),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContainerVerb {
    /// Commits a root file system: empties /run, /tmp, /var/tmp and /var/cache, declares accounts
    Commit(CommitArgs),
}

#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    /// Commits only if the root file system is a bootable image's
    #[arg(long)]
    pub(crate) detect: bool,
    /// Runs the command as this user: NAME|UID[:GROUP|GID]
    #[arg(long, value_name = "SPEC")]
    pub(crate) user: Option<OsString>,
    /// Keeps HOME as it is, whatever the user
    #[arg(long)]
    pub(crate) keep_home: bool,
    /// Writes report.json into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// Prints what would be done and changes nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The root file system
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) rootfs: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(words: &[&str]) -> Cli {
        Cli::try_parse_from(words).expect("parses")
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ostree_finds_the_commit_with_its_own_words_and_flags() {
        let cli = parse(&["ostree-container", "-v", "container", "commit"]);
        assert!(cli.verbose);
        assert!(matches!(
            cli.verb,
            Verb::Container(ContainerVerb::Commit(_))
        ));
    }

    #[test]
    fn a_step_passes_its_command_through_flags_and_all() {
        let cli = parse(&[
            "ostree-container",
            "step",
            "--user",
            "a:b",
            "--",
            "sh",
            "-v",
            "--user",
        ]);
        let Verb::Step(step) = cli.verb else {
            panic!("a step")
        };
        assert_eq!(step.command, ["sh", "-v", "--user"]);
        assert!(!cli.verbose);
    }
}
