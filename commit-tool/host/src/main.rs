//! `osderive`: the host command. Before `podman build` or `buildah build` it has every RUN of the image committed, and
//! tells what a machine would stumble over.

mod arguments;
mod attempt;
mod build;
mod containerfile;
mod door;
mod engine;
mod error;
mod inspect;
mod install;
mod layers;
mod lineage;
mod previous;
mod reports;
mod rewrite;
mod run;
mod runtime;
mod source;
mod store;
mod verdict;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use osderive_lints::escape_text;
use osderive_lints::output::{Form, Look};
use osderive_log as log;

use crate::arguments::Engine;
use crate::error::{Error, FAILED, LINT_FAILED, in_file};

/// Builds images with podman or buildah that machines boot
#[derive(Debug, Parser)]
#[command(name = "osderive", version, after_help = HELP)]
struct Cli {
    /// Tells once more what was found, to a file or to standard output; before the engine, and as often as wanted.
    /// Forms: human, json, sarif, github (annotations), junit
    #[arg(long, value_name = "FORM[=FILE]", value_parser = wanted)]
    report: Vec<Wanted>,
    #[command(subcommand)]
    engine: Word,
}

/// A report that is wanted beside the one for people.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) form: Form,
    /// Standard output without one.
    pub(crate) file: Option<PathBuf>,
}

fn wanted(word: &str) -> Result<Wanted, String> {
    let (form, file) = match word.split_once('=') {
        Some((form, file)) => (form, Some(PathBuf::from(file))),
        None => (word, None),
    };
    let form = match form {
        "human" => Form::Human(Look {
            width: None,
            is_coloured: false,
            is_whole: true,
        }),
        "json" => Form::Json,
        "sarif" => Form::Sarif,
        "github" => Form::Github,
        "junit" => Form::Junit,
        _ => return Err("there are: human, json, sarif, github, junit".to_owned()),
    };
    Ok(Wanted { form, file })
}

const HELP: &str = "\
Options of a build are build arguments (--build-arg OSDERIVE_FAIL_ON=warning), flags of the first line
(# syntax=osderive --fail-on=warning), comments (# osderive: allow=RULE -- REASON) and osderive.toml.
OSDERIVE_LOG=debug in the environment tells what is done, step by step.
Exit codes: the engine's own; 1 if something was found that fails the build; 125 if osderive failed.";

#[derive(Debug, Subcommand)]
enum Word {
    /// Goes before a build: osderive podman build -t my-os .
    ///
    /// `osderive podman install` has podman and buildah commit RUNs of Containerfiles with `ARG OSDERIVE=1` without this
    /// command, `uninstall` ends that; with `--user` for this user alone.
    Podman(Words),
    /// Goes before a build: osderive buildah build -t my-os .
    Buildah(Words),
    /// Looks for what would go wrong on a machine that runs an image: osderive lint image.tar
    Lint(Words),
    /// Prints the documentation of a rule: osderive explain kernel-count
    Explain {
        /// The rule's name
        rule: OsString,
    },
    /// Prints what a shell completes commands with: osderive completions bash >~/.local/share/bash-completion/completions/osderive
    Completions { shell: Shell },
    /// Prints the manual page: osderive man >~/.local/share/man/man1/osderive.1
    Man,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
struct Words {
    /// The engine's own arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    words: Vec<OsString>,
}

fn main() -> ExitCode {
    let Cli { report, engine } = Cli::parse();
    if let Ok(asked) = std::env::var(log::VARIABLE)
        && let Err(error) = log::start(&asked)
    {
        eprintln!(
            "osderive: {} is no list of levels such as `debug`: {error}",
            log::VARIABLE
        );
        return ExitCode::from(FAILED);
    }
    let is_build = matches!(engine, Word::Podman(_) | Word::Buildah(_));
    if !is_build && !report.is_empty() {
        complain(&Error::NoBuild);
        return ExitCode::from(FAILED);
    }
    let (engine, Words { words }) = match engine {
        Word::Podman(words) => (Engine::Podman, words),
        Word::Buildah(words) => (Engine::Buildah, words),
        Word::Lint(Words { words }) => return lint(&words),
        Word::Explain { rule } => return lint(&["--explain".into(), rule]),
        Word::Completions { shell } => return print(&completions(shell)),
        Word::Man => return print(&man()),
    };
    let code = match install::run(&words, runtime::tool) {
        Some(answer) => answer.map(|said| {
            print!("{said}");
            0
        }),
        None => build::run(engine, words, &report),
    };
    let code = code.unwrap_or_else(|error| {
        complain(&error);
        FAILED
    });
    ExitCode::from(code)
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "osderive", &mut script);
    script
}

/// A page of section 1.
fn man() -> Vec<u8> {
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = clap_mangen::Man::new(Cli::command()).render(&mut page);
    page
}

fn print(text: &[u8]) -> ExitCode {
    // A reader that has seen enough may close the pipe.
    let _ = io::stdout().write_all(text);
    ExitCode::SUCCESS
}

/// Becomes the tool, which has the linter; comes back only where it cannot.
fn lint(words: &[OsString]) -> ExitCode {
    let error = match runtime::tool() {
        Ok(tool) => {
            let mut lint = Command::new(&tool);
            in_file(&tool)(lint.arg0("osderive").arg("lint").args(words).exec())
        }
        Err(error) => error,
    };
    complain(&error);
    ExitCode::from(LINT_FAILED)
}

fn complain(error: &Error) {
    if let Error::Policy(error) = error {
        anstream::eprint!("{}", error.render(true));
    } else {
        eprintln!("osderive: {}", escape_text(&error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_command_is_in_the_manual_page_and_completed() {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let page = text(man());
        let scripts = [Shell::Bash, Shell::Zsh, Shell::Fish].map(|shell| text(completions(shell)));
        let command = Cli::command();
        for word in command.get_subcommands().map(clap::Command::get_name) {
            assert!(
                page.contains(&format!("osderive\\-{word}(1)")),
                "{word}: {page}"
            );
            assert!(scripts.iter().all(|script| script.contains(word)), "{word}");
        }
    }
}
