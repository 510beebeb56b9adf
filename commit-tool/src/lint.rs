//! `lint`: what would go wrong on a machine that runs the image, told before there is one.

use std::{
    fs::File,
    io::{self, Read as _, Write as _, stdout},
    path::{Path, PathBuf},
};

use anstream::{AutoStream, ColorChoice};
use osderive_commit::say;
use osderive_lints::{
    CHECK_FILE, CheckReport, Finding, Input, InputError, Selection, baseline, escape_text, lint,
    output::{self, Form, Look, ReadError, Report},
    policy::{Config, Containerfile, Evidence, FailOn, MAX_CONFIG_BYTES, Policy, PolicyError},
    rules::{Need, RULES, Rule},
};
use thiserror::Error;

use crate::{
    cli::{Format, LintArgs},
    error::exit,
};

/// The configuration that is taken without being named.
const CONFIG: &str = "osderive.toml";

/// Bytes of a report that is a baseline at most.
const MAX_REPORT_BYTES: u64 = 64 << 20;

/// Why a lint could not run.
#[derive(Debug, Error)]
enum Failure {
    #[error("there is no rule {0:?}; `lint --list` prints them all")]
    NoRule(String),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Baseline { path: PathBuf, source: ReadError },
    #[error("{}", .0.message)]
    Policy(PolicyError),
}

/// Looks at the input and prints what it found; returns the exit code.
pub(crate) fn run(args: &LintArgs) -> u8 {
    match checked(args) {
        Ok(code) => code,
        Err(Failure::Policy(error)) => {
            say(&error.render(is_coloured(&io::stderr())));
            exit::LINT_FAILED
        }
        Err(failure) => {
            say(&format!(
                "osderive: {}\n",
                escape_text(&failure.to_string())
            ));
            exit::LINT_FAILED
        }
    }
}

fn checked(args: &LintArgs) -> Result<u8, Failure> {
    if args.list {
        print(&list());
        return Ok(0);
    }
    if let Some(name) = &args.explain {
        let rule = Rule::named(name).ok_or_else(|| Failure::NoRule(name.clone()))?;
        print(rule.documentation());
        return Ok(0);
    }
    if let Some(name) = args.skip.iter().find(|name| Rule::named(name).is_none()) {
        return Err(Failure::NoRule(name.clone()));
    }
    if let Some(directory) = &args.report {
        let outcome = look_at(&args.input, &args.skip)?;
        let path = directory.join(CHECK_FILE);
        let json = serde_json::to_vec(&CheckReport::new(outcome)).unwrap_or_default();
        std::fs::write(&path, json).map_err(in_file(&path))?;
        return Ok(0);
    }
    let policy = policy(args)?;
    let strict = args.fatal_warnings.then_some(FailOn::Warning);
    let fail_on = policy.fail_on(args.fail_on.or(strict));
    let report = report(args, policy)?;
    publish(args, &report)?;
    Ok(if report.fails(fail_on) {
        exit::LINT_FOUND
    } else {
        0
    })
}

/// What is found without a policy, which the build frontend knows.
fn look_at(input: &str, skip: &[String]) -> Result<Vec<Finding>, InputError> {
    let opened = Input::named(input).open()?;
    let selection = Selection {
        skip: skip.iter().cloned().collect(),
    };
    Ok(lint(&*opened.tree, opened.config.as_ref(), &selection).findings)
}

/// What is found in a root file system, for a report.
pub(crate) fn of_root(input: &str) -> CheckReport {
    // A root that cannot be opened is told by the rule for that.
    CheckReport::new(look_at(input, &[]).unwrap_or_default())
}

fn policy(args: &LintArgs) -> Result<Policy, Failure> {
    let found = Path::new(CONFIG);
    let config = args
        .config
        .as_deref()
        .or_else(|| found.exists().then_some(found));
    let config = match config {
        None => Config::default(),
        Some(path) => {
            let text = read(path, MAX_CONFIG_BYTES)?;
            let text = String::from_utf8_lossy(&text);
            Config::parse(&path.display().to_string(), &text).map_err(Failure::Policy)?
        }
    };
    let containerfile = match &args.containerfile {
        None => None,
        Some(path) => {
            let text = read(path, MAX_CONFIG_BYTES)?;
            let file = Containerfile::parse(&path.display().to_string(), &text);
            Some(file.map_err(Failure::Policy)?)
        }
    };
    Ok(Policy {
        config,
        containerfile,
    })
}

fn report(args: &LintArgs, policy: Policy) -> Result<Report, Failure> {
    let selection = policy.selection(&args.skip.iter().cloned().collect());
    let named = args
        .rootfs
        .as_ref()
        .map(|rootfs| format!("rootfs:{}", rootfs.display()));
    let opened = Input::named(named.as_ref().unwrap_or(&args.input)).open()?;
    let outcome = lint(&*opened.tree, opened.config.as_ref(), &selection);
    let mut findings = outcome.findings;
    if let Some(base) = &args.baseline {
        findings = baseline::mark(findings, &base_findings(base, &selection)?);
    }
    let unasked: Vec<&str> = outcome.unasked.iter().map(|(rule, _)| *rule).collect();
    let judgement = policy.judge(Evidence {
        found: findings.into_iter().map(|finding| (finding, ())).collect(),
        of_base: &[],
        selection: &selection,
        unasked: &unasked,
        is_of_image: &|_| true,
    });
    let (findings, suppressed) = judgement.by_rule();
    let needs = |(rule, need): &(&'static str, Need)| (*rule, need.name());
    Ok(Report {
        subject: named.unwrap_or_else(|| args.input.clone()),
        findings,
        suppressed,
        unasked: outcome.unasked.iter().map(needs).collect(),
        selection,
        has_baseline: args.baseline.is_some(),
        containerfile: policy.containerfile,
    })
}

/// What the base image has: of a report of it, or of a look at it.
fn base_findings(word: &str, selection: &Selection) -> Result<Vec<Finding>, Failure> {
    let path = Path::new(word);
    if path.is_file() && begins_with(path, b"{").map_err(in_file(path))? {
        let report = read(path, MAX_REPORT_BYTES)?;
        return output::findings_of(&report).map_err(|source| Failure::Baseline {
            path: path.to_owned(),
            source,
        });
    }
    let opened = Input::named(word).open()?;
    Ok(lint(&*opened.tree, opened.config.as_ref(), selection).findings)
}

fn begins_with(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut begin = Vec::new();
    File::open(path)?
        .take(bytes.len() as u64)
        .read_to_end(&mut begin)?;
    Ok(begin == bytes)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(in_file(path))?;
    file.take(limit + 1)
        .read_to_end(&mut content)
        .map_err(in_file(path))?;
    if content.len() as u64 > limit {
        let too_large = io::Error::from(io::ErrorKind::FileTooLarge);
        return Err(in_file(path)(too_large));
    }
    Ok(content)
}

fn in_file(path: &Path) -> impl Fn(io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::File {
        path: path.clone(),
        source,
    }
}

fn publish(args: &LintArgs, report: &Report) -> Result<(), Failure> {
    let Some(file) = &args.output else {
        print(&formatted(report, args.format, look(args, true)));
        return Ok(());
    };
    let text = formatted(report, args.format, look(args, false));
    std::fs::write(file, text).map_err(in_file(file))?;
    print(&formatted(report, Format::Human, look(args, true)));
    Ok(())
}

fn formatted(report: &Report, format: Format, look: Look) -> String {
    let form = match format {
        Format::Human => Form::Human(look),
        Format::Json => Form::Json,
        Format::Sarif => Form::Sarif,
        Format::Github => Form::Github,
        Format::Junit => Form::Junit,
    };
    output::text(report, form)
}

/// As the terminal is, or for a file.
fn look(args: &LintArgs, is_printed: bool) -> Look {
    let size = terminal_size::terminal_size_of(stdout());
    Look {
        width: size.filter(|_| is_printed).map(|(width, _)| width.0.into()),
        is_coloured: is_printed && is_coloured(&stdout()),
        is_whole: args.no_truncate,
    }
}

fn is_coloured(stream: &impl anstream::stream::RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

fn list() -> String {
    let line = |rule: &Rule| {
        let (severity, scope) = (rule.severity.name(), rule.scope.name());
        let names = rule.names().collect::<Vec<_>>().join(", ");
        format!("{severity:8} {scope:7} {names}: {}\n", rule.summary)
    };
    RULES.iter().map(line).collect()
}

fn print(text: &str) {
    // A reader that has seen enough may close the pipe.
    let _ = stdout().write_all(text.as_bytes());
}
