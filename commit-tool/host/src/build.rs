//! A build from its command line to its verdict.

use std::cell::LazyCell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::stderr;
use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use osderive_lints::model::ledger::Ledger;
use osderive_lints::output::{self, Form, Look, Report};
use osderive_lints::policy::{
    Bootable, BuildOptions, Config, Containerfile, FailOn, MAX_CONFIG_BYTES, Policy,
};
use osderive_lints::{Outcome, Severity};

use crate::Wanted;
use crate::arguments::{Arguments, Engine};
use crate::attempt::{Attempt, Done};
use crate::containerfile::{Build, words_of_syntax};
use crate::engine;
use crate::error::{Error, FOUND, in_file};
use crate::layers::{Stack, lost_metadata};
use crate::previous::Previous;
use crate::source::Source;
use crate::verdict::judge;

/// The file of decisions in a build context.
const CONFIG: &str = "osderive.toml";

/// Builds; answers with the exit code.
///
/// # Errors
/// When the build does not begin, or it is not known what became of it.
pub(crate) fn run(engine: Engine, words: Vec<OsString>, wanted: &[Wanted]) -> Result<u8, Error> {
    let arguments = Arguments::read(engine, words)?;
    if arguments.is_on("help") || arguments.is_on("h") {
        return engine::run(engine, &arguments.raw, []);
    }
    refuse_what_cannot_be(&arguments)?;
    let source = Source::read(&arguments)?;
    let name = source.name.display().to_string();
    let containerfile = Containerfile::parse(&name, &source.text).map_err(Error::Policy)?;
    let syntax = words_of_syntax(&containerfile.text);
    let given = |name: &str| arguments.build_argument(name);
    let options = BuildOptions::read(syntax.iter().map(String::as_str), given)?;
    if options.bootable == Bootable::Off {
        return engine::run(engine, &arguments.raw, []);
    }
    let policy = Policy {
        config: config(&source.context)?,
        containerfile: Some(containerfile.clone()),
    };
    let target = arguments
        .value("target")
        .map(|target| target.to_string_lossy().into_owned());
    let from = arguments.value("from").map(OsStr::to_string_lossy);
    let build = Build::of(containerfile, target.as_deref(), &given, from.as_deref());
    let build = build.ok_or_else(|| Error::NoTarget(target.unwrap_or_default()))?;
    let ids = options
        .ids
        .as_ref()
        .map(|path| ledger(&source.context, path))
        .transpose()?;
    let attempt = Attempt::new(&arguments, source, &build, &options, ids)?;
    let previous = options.previous.as_deref();
    let previous = previous.map(|name| Previous::find(&arguments, name));
    let code = attempt.build(None)?;
    if code != 0 {
        return Ok(code);
    }
    let image = attempt.image()?;
    let Some(done) = attempt.done(image)? else {
        return Ok(FOUND);
    };
    let Done { image, reported } = done;
    if reported.end.commit.outcome == Outcome::NotBootable {
        // It is to be what it is without us, to the last layer.
        return attempt.build_plain();
    }
    let fail_on = policy.config.fail_on.or(Some(Severity::Error));
    let fail_on = options.fail_on.map_or(fail_on, FailOn::severity);
    let stack = LazyCell::new(|| {
        let instructions = build.history(attempt.door.rewrite());
        Stack::of(&arguments, &image, &reported.config.history, &instructions)
    });
    let changed = previous.map(|previous| previous.compare(&image, &reported.steps));
    let mut of_runs = changed.unwrap_or_default();
    of_runs.extend(lost_metadata(&build, &reported.steps, &|| stack.as_ref()));
    let layers = || stack.as_ref()?.by_names();
    let report = judge(name, &build, &reported, of_runs, policy, &layers);
    print(&report);
    publish(&report, wanted)?;
    if fail_on.is_some_and(|severity| report.fails(severity)) {
        eprintln!(
            "osderive: the image would not work on a machine as it is, so it gets no name; it is {image}. To build it all \
             the same: --build-arg OSDERIVE_FAIL_ON=never; where it is wanted, write above the instruction: \
             # osderive: allow=RULE -- REASON"
        );
        return Ok(FOUND);
    }
    attempt.name(&image)?;
    Ok(0)
}

/// Refuses what would build without us.
fn refuse_what_cannot_be(arguments: &Arguments) -> Result<(), Error> {
    let refuse = |what: String, instead| Err(Error::Unsupported { what, instead });
    let by_environment = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if arguments.engine == Engine::Podman
        && (arguments.is_on("remote")
            || arguments.is_on("r")
            || ["url", "connection"]
                .iter()
                .any(|name| arguments.value(name).is_some())
            || ["CONTAINER_HOST", "CONTAINER_CONNECTION"]
                .into_iter()
                .any(by_environment))
    {
        return refuse(
            "a build by a podman on another machine".to_owned(),
            "install osderive there, or in the podman machine, and build there",
        );
    }
    let platforms: Vec<_> = arguments.values("platform").collect();
    let is_many = |platform: &OsStr| platform.to_string_lossy().contains(',');
    if platforms.len() > 1 || platforms.into_iter().any(is_many) || arguments.is_on("all-platforms")
    {
        return refuse(
            "a build for several platforms".to_owned(),
            "build for one after the other",
        );
    }
    Ok(())
}

fn config(context: &Path) -> Result<Config, Error> {
    let path = context.join(CONFIG);
    if !path.exists() {
        return Ok(Config::default());
    }
    let text = fs::read(&path).map_err(in_file(&path))?;
    if text.len() as u64 > MAX_CONFIG_BYTES {
        return Err(Error::Containerfile {
            file: path,
            what: format!("it is larger than {MAX_CONFIG_BYTES} bytes"),
        });
    }
    let text = String::from_utf8_lossy(&text);
    Config::parse(CONFIG, &text).map_err(Error::Policy)
}

fn ledger(context: &Path, path: &str) -> Result<Ledger, Error> {
    let path = context.join(path);
    let text = fs::read(&path).map_err(in_file(&path))?;
    Ledger::parse(&text).map_err(|error| Error::Containerfile {
        file: path,
        what: error.to_string(),
    })
}

/// Writes the reports that are wanted beside the one for people.
fn publish(report: &Report, wanted: &[Wanted]) -> Result<(), Error> {
    for Wanted { form, file } in wanted {
        let text = output::text(report, *form);
        match file {
            Some(file) => fs::write(file, text).map_err(in_file(file))?,
            None => print!("{text}"),
        }
    }
    Ok(())
}

fn print(report: &Report) {
    let size = terminal_size::terminal_size_of(stderr());
    let look = Look {
        width: size.map(|(width, _)| width.0.into()),
        is_coloured: AutoStream::choice(&stderr()) != ColorChoice::Never,
        is_whole: false,
    };
    eprint!("{}", output::text(report, Form::Human(look)));
}
