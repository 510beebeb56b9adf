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
    Bootable, BuildOptions, Config, Containerfile, MAX_CONFIG_BYTES, Policy,
};
use osderive_lints::{Finding, Outcome, escape_text};

use crate::Wanted;
use crate::arguments::{Arguments, Engine};
use crate::attempt::{Attempt, Done};
use crate::containerfile::{Build, words_of_syntax};
use crate::engine;
use crate::error::{Error, FOUND, in_file};
use crate::layers::{Stack, lost_metadata};
use crate::previous::Previous;
use crate::source::Source;
use crate::verdict::{found, judge};

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
    let ids = options
        .ids
        .as_ref()
        .map(|path| ledger(&source.context, path))
        .transpose()?;
    let each = arguments.by_platform();
    let builds = each.iter().map(|one| image_of(one, &containerfile));
    let builds: Vec<Build> = builds.collect::<Result<_, _>>()?;
    let attempts = each
        .iter()
        .zip(&builds)
        .map(|(one, build)| Attempt::new(one, &source, build, &options, ids.as_ref()));
    let attempts: Vec<Attempt<'_>> = attempts.collect::<Result<_, _>>()?;
    let mut images = Vec::new();
    for attempt in attempts {
        if let (Some(platform), 2..) = (attempt.arguments.platform(), each.len()) {
            eprintln!("osderive: for {}", escape_text(platform));
        }
        let previous = options.previous.as_deref();
        let previous = previous.map(|name| Previous::find(attempt.arguments, name));
        let code = attempt.build(None)?;
        if code != 0 {
            return Ok(code);
        }
        let Some(done) = attempt.done(attempt.image()?)? else {
            return Ok(FOUND);
        };
        images.push(Image {
            attempt,
            previous,
            done,
        });
    }
    // What does not boot is to be what it is without us, to the last layer.
    if !images.iter().any(Image::boots) {
        return images[0].attempt.build_plain(&arguments);
    }
    let fail_on = policy.fail_on(options.fail_on);
    let booting = || images.iter().filter(|image| image.boots());
    let found = booting().flat_map(Image::found).collect();
    let has_baseline = booting().all(|image| image.done.reported.end.base.is_some());
    let is_of_image = |lines| builds.iter().any(|build| build.has(lines));
    let report = judge(name, found, has_baseline, policy, &is_of_image);
    print(&report);
    publish(&report, wanted)?;
    if report.fails(fail_on) {
        let ids: Vec<&str> = booting().map(|image| image.done.image.as_str()).collect();
        eprintln!(
            "osderive: the image would not work on a machine as it is, so it gets no name; it is {}. To build it all \
             the same: --build-arg OSDERIVE_FAIL_ON=never; where it is wanted, write above the instruction: \
             # osderive: allow=RULE -- REASON",
            ids.join(", ")
        );
        return Ok(FOUND);
    }
    for image in &images {
        let attempt = &image.attempt;
        if image.boots() {
            attempt.name(&image.done.image)?;
            continue;
        }
        let code = attempt.build_plain(attempt.arguments)?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

/// An image that was built, of one platform.
struct Image<'a> {
    attempt: Attempt<'a>,
    previous: Option<Previous<'a>>,
    done: Done,
}

impl Image<'_> {
    fn boots(&self) -> bool {
        self.done.reported.end.commit.outcome != Outcome::NotBootable
    }

    fn found(&self) -> Vec<Finding> {
        let Done { image, reported } = &self.done;
        let build = self.attempt.build;
        let stack = LazyCell::new(|| {
            let instructions = build.history(self.attempt.door.rewrite());
            let history = &reported.config.history;
            Stack::of(self.attempt.arguments, image, history, &instructions)
        });
        let previous = self.previous.as_ref();
        let changed = previous.map(|previous| previous.compare(image, &reported.steps));
        let mut of_runs = changed.unwrap_or_default();
        of_runs.extend(lost_metadata(build, &reported.steps, &|| stack.as_ref()));
        found(build, reported, of_runs, &|| stack.as_ref()?.by_names())
    }
}

/// The image that a Containerfile tells of.
fn image_of(arguments: &Arguments, containerfile: &Containerfile) -> Result<Build, Error> {
    let given = |name: &str| arguments.build_argument(name);
    let target = arguments.value("target").map(OsStr::to_string_lossy);
    let from = arguments.value("from").map(OsStr::to_string_lossy);
    let build = Build::of(
        containerfile.clone(),
        target.as_deref(),
        &given,
        from.as_deref(),
    );
    build.ok_or_else(|| Error::NoTarget(target.unwrap_or_default().into_owned()))
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
    if arguments.is_on("all-platforms") {
        return refuse(
            "--all-platforms".to_owned(),
            "name them: --platform=linux/amd64,linux/arm64",
        );
    }
    let of_one = ["iidfile", "metadata-file"];
    let of_one = of_one.iter().find(|name| arguments.value(name).is_some());
    if let (Some(name), 2..) = (of_one, arguments.by_platform().len()) {
        return refuse(
            format!("--{name} for several platforms"),
            "it tells of one image; use --manifest",
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
