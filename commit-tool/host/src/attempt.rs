//! A build by the engine, with all that it needs of ours, and what its RUNs have reported.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use osderive_lints::model::ledger::Ledger;
use osderive_lints::policy::{Bootable, BuildOptions};
use osderive_lints::{BASE_MOUNT, BuildArgument, EndRequest, Ordinary, REPORT_MOUNT, StepReport};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tracing::debug;

use crate::arguments::{Arguments, Engine};
use crate::containerfile::Build;
use crate::door::{self, Door};
use crate::engine;
use crate::error::{Error, in_file};
use crate::inspect::{self, base_config};
use crate::reports::{Ran, Reported, Store, ran};
use crate::rewrite::{Rewrite, ShellReach, Unwritable, report_directory};
use crate::runtime;
use crate::source::Source;

/// Options that this command answers, so the engine does not get them.
const OURS: [&str; 8] = [
    "file",
    "from",
    "iidfile",
    "ignorefile",
    "manifest",
    "runtime",
    "tag",
    "target",
];

/// An image and what its RUNs have reported.
pub(crate) struct Done {
    pub(crate) image: String,
    pub(crate) reported: Reported,
}

/// A build by the engine, with all that it needs of ours.
pub(crate) struct Attempt<'a> {
    pub(crate) arguments: &'a Arguments,
    source: &'a Source,
    pub(crate) build: &'a Build,
    /// The build argument.
    asked: BuildArgument,
    commit: EndRequest,
    pub(crate) door: Door,
    /// Ours, which goes with the value.
    folder: TempDir,
    store: Store,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        arguments: &'a Arguments,
        source: &'a Source,
        build: &'a Build,
        options: &BuildOptions,
        ids: Option<&Ledger>,
    ) -> Result<Self, Error> {
        let tool = runtime::tool()?;
        let bytes = fs::read(&tool).map_err(in_file(&tool))?;
        let digest = Sha256::digest(&bytes);
        let ordinary = match options.bootable {
            Bootable::On => Ordinary::Commit,
            Bootable::Auto | Bootable::Off => Ordinary::Leave,
        };
        let asked = BuildArgument {
            tool: base16ct::lower::encode_string(&digest[..6]),
            ordinary,
            verbose: options.verbose,
            ids: ids.cloned(),
            paths: options.paths.clone(),
            ..BuildArgument::default()
        };
        let commit = EndRequest {
            ordinary,
            verbose: options.verbose,
            base: BASE_MOUNT.to_owned(),
            report: REPORT_MOUNT.to_owned(),
            check_base: !build.is_from_scratch(),
            altfiles: options.altfiles,
            paths: options.paths.clone(),
        };
        let temporary = std::env::temp_dir();
        let folder = tempfile::Builder::new().prefix("osderive-").tempdir();
        let folder = folder.map_err(in_file(&temporary))?;
        let door = if door::is_without_runtime(arguments) {
            let rewrite = rewrite(arguments, build, asked.clone())?;
            Door::rewritten(rewrite, &bytes, folder.path())?
        } else {
            Door::by_runtime(arguments, &tool, folder.path())?
        };
        debug!(
            asked = asked.to_value(),
            is_rewritten = door.rewrite().is_some(),
            runs = build.runs().len(),
            "a build begins"
        );
        Ok(Self {
            asked,
            commit,
            door,
            store: Store::open(),
            arguments,
            source,
            build,
            folder,
        })
    }

    fn reports(&self) -> PathBuf {
        self.folder.path().join("reports")
    }

    fn image_file(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Has the engine build; with `again` the commit at the end runs though the cache has it.
    pub(crate) fn build(&self, again: Option<&str>) -> Result<u8, Error> {
        let containerfile = self.folder.path().join("Containerfile");
        let rewrite = self.door.rewrite();
        let text = self.build.text(rewrite, &self.commit, &self.asked, again);
        fs::write(&containerfile, text).map_err(in_file(&containerfile))?;
        let reports = self.reports();
        self.door.make_reports(&reports)?;
        let mut more: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: &OsStr| {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            more.push(word);
        };
        for (name, value) in self.door.options(&self.asked.to_value(), &reports) {
            add(name, &value);
        }
        add("file", containerfile.as_os_str());
        add("iidfile", self.image_file().as_os_str());
        if let Some(ignore_file) = self.ignore_file() {
            add("ignorefile", &ignore_file);
        }
        if let Some(target) = self.build.target() {
            add("target", target.as_ref());
        }
        for name in self.arguments.values("tag").filter(|name| !is_plain(name)) {
            add("tag", name);
        }
        let is_ours = |name: &str| BuildOptions::build_arguments().any(|ours| ours == name);
        let context = self.source.context.clone();
        let arguments = self.arguments.with(&OURS, is_ours, more, context);
        let environment = self.door.environment(&reports);
        engine::run(self.arguments.engine, &arguments, environment)
    }

    /// Has the engine build what the user wrote, by the user's own arguments, for one platform or for all.
    pub(crate) fn build_plain(&self, arguments: &Arguments) -> Result<u8, Error> {
        let containerfile = self.folder.path().join("Containerfile");
        fs::write(&containerfile, &self.source.text).map_err(in_file(&containerfile))?;
        let mut file = OsString::from("--file=");
        file.push(&containerfile);
        let mut more = vec![file];
        if let Some(ignore_file) = self.ignore_file() {
            more.extend(["--ignorefile".into(), ignore_file]);
        }
        let context = self.source.context.clone();
        let left_out = ["file", "ignorefile"];
        let words = arguments.with(&left_out, |_| false, more, context);
        engine::run(arguments.engine, &words, [])
    }

    /// The ignore file that the engine would take; it does not find one beside a copy of the Containerfile.
    fn ignore_file(&self) -> Option<OsString> {
        let given = self.arguments.value("ignorefile").map(OsStr::to_owned);
        given.or_else(|| self.source.ignore_file.clone().map(PathBuf::into_os_string))
    }

    /// The id of the image that was built.
    pub(crate) fn image(&self) -> Result<String, Error> {
        let file = self.image_file();
        let id = fs::read_to_string(&file).map_err(in_file(&file))?;
        Ok(id.trim().to_owned())
    }

    /// The RUNs that ran, in their order.
    fn ran(&self) -> Result<Vec<Ran>, Error> {
        let mut ran = ran(&self.reports())?;
        if self.door.rewrite().is_some() {
            // Their directories were there before.
            ran.retain(Ran::has_report);
        }
        Ok(ran)
    }

    /// What the RUNs have reported, with the image; none where the engine failed. Those that came from the engine's
    /// cache have reported in an earlier build; where nobody knows what the commit at the end has found, it is made
    /// again.
    pub(crate) fn done(&self, image: String) -> Result<Option<Done>, Error> {
        let mut ran = self.ran()?;
        if ran.is_empty()
            && let Some(reported) = self.store.get(&["image", &image])
        {
            return Ok(Some(Done { image, reported }));
        }
        debug!(
            ran = ran.len(),
            runs = self.build.runs().len(),
            image,
            "the engine has built"
        );
        let mut end = ran.pop_if(|last| last.is_end());
        let mut steps = self.steps(&image, &ran)?;
        if end.is_none() {
            // The image is the same but for its history. It stays, as a name may be given to it as it was built.
            let again = std::process::id().to_string();
            if self.build(Some(&again))? != 0 {
                return Ok(None);
            }
            ran = self.ran()?;
            end = ran.pop_if(|last| last.is_end());
            let again = self.steps(&image, &ran)?.into_iter();
            steps = again.zip(steps).map(|(new, old)| new.or(old)).collect();
        }
        let Some(end) = end else {
            return Err(Error::NotCommitted(image));
        };
        let reported = Reported {
            steps,
            end: end.end()?,
            config: inspect::config(self.arguments, &image).unwrap_or_default(),
        };
        self.store.keep(&["image", &image], &reported);
        self.store.tidy();
        Ok(Some(Done { image, reported }))
    }

    /// The reports of the RUNs of an image: of those that ran, and what is kept of the others.
    fn steps(&self, image: &str, ran: &[Ran]) -> Result<Vec<Option<StepReport>>, Error> {
        let Some(ran) = self.by_number(ran) else {
            return Err(Error::NotCommitted(image.to_owned()));
        };
        let mut reports = Vec::new();
        for (number, ran) in ran.into_iter().enumerate() {
            let key = self.key(number);
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            let Some(ran) = ran else {
                reports.push(self.store.get(&key));
                continue;
            };
            let report = ran.step()?;
            self.store.keep(&key, &report);
            reports.push(Some(report));
        }
        Ok(reports)
    }

    /// For each RUN of the image what it has left if it ran; none if more ran than there are.
    fn by_number<'r>(&self, ran: &'r [Ran]) -> Option<Vec<Option<&'r Ran>>> {
        if self.door.rewrite().is_some() {
            let numbers = (0..self.build.runs().len()).map(report_directory);
            let of_number = |name: String| ran.iter().find(|one| one.is_in(&name));
            return Some(numbers.map(of_number).collect());
        }
        let parts = self.build.lineage.runs();
        let mut all = Vec::new();
        for (copied, part) in (0..parts.len()).rev().zip(&parts) {
            // The runtime counts those that ran, which are the last ones.
            let ran = ran.iter().filter(|one| one.copied == copied);
            let ran: Vec<_> = ran.map(Some).collect();
            let cached = part.len().checked_sub(ran.len())?;
            all.extend(std::iter::repeat_n(None, cached).chain(ran));
        }
        Some(all)
    }

    /// What tells a RUN's report from others: what is asked, and the RUNs up to it.
    fn key(&self, number: usize) -> Vec<String> {
        let runs = &self.build.runs()[..=number];
        let context = self.source.context.display().to_string();
        let platform = self.arguments.platform().unwrap_or_default().to_owned();
        let before = ["step".to_owned(), platform, self.asked.to_value(), context];
        let texts = runs.iter().map(|run| run.text.clone());
        before.into_iter().chain(texts).collect()
    }

    /// Gives the image the names that it was to get, has the list that it was to be in name it, and writes its id where
    /// that was wanted.
    pub(crate) fn name(&self, image: &str) -> Result<(), Error> {
        let names: Vec<&OsStr> = self
            .arguments
            .values("tag")
            .filter(|name| is_plain(name))
            .collect();
        if !names.is_empty() {
            let mut tag = self.arguments.global();
            tag.extend(["tag".into(), image.into()]);
            tag.extend(names.iter().map(OsString::from));
            if !engine::quietly(self.arguments.engine, &tag)? {
                return Err(Error::NoName(image.to_owned()));
            }
        }
        for name in names {
            eprintln!("Successfully tagged {}", name.to_string_lossy());
        }
        if let Some(list) = self.arguments.value("manifest") {
            self.add_to(list, image)?;
        }
        if let Some(file) = self.arguments.value("iidfile") {
            fs::write(file, image).map_err(in_file(Path::new(file)))?;
        }
        Ok(())
    }

    /// Has a manifest list name an image too; it is made if there is none.
    fn add_to(&self, list: &OsStr, image: &str) -> Result<(), Error> {
        let manifest = |verb: &str, words: &[&OsStr]| {
            let mut command = self.arguments.global();
            command.extend(["manifest".into(), verb.into()]);
            command.extend(words.iter().map(OsString::from));
            engine::quietly(self.arguments.engine, &command)
        };
        let image = image.strip_prefix("sha256:").unwrap_or(image);
        let stored = OsString::from(format!("containers-storage:{image}"));
        let is_there = manifest("exists", &[list])? || manifest("create", &[list])?;
        if is_there && manifest("add", &[list, &stored])? {
            return Ok(());
        }
        Err(Error::NoName(image.to_owned()))
    }
}

/// Whether a name is one in the engine's own store, which an image may be given later: others are written as they are
/// built (`oci:DIR`, `docker://…`; containers-transports(5)).
fn is_plain(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let transports = [
        "containers-storage:",
        "dir:",
        "docker://",
        "docker-archive:",
        "docker-daemon:",
        "oci:",
        "oci-archive:",
        "ostree:",
        "sif:",
    ];
    !transports
        .iter()
        .any(|transport| name.starts_with(transport))
}

/// How far the engine keeps a SHELL.
fn shell_reach(arguments: &Arguments) -> ShellReach {
    let format = arguments.value_or("format", "BUILDAH_FORMAT");
    let layers =
        std::env::var("BUILDAH_LAYERS").map(|layers| ["1", "true"].contains(&layers.as_str()));
    let has_layers = arguments
        .switch("layers")
        .unwrap_or_else(|| layers.unwrap_or(arguments.engine == Engine::Podman));
    if format.is_some_and(|format| format == "docker") {
        ShellReach::Image
    } else if has_layers {
        ShellReach::Nowhere
    } else {
        ShellReach::Stage
    }
}

/// The RUNs of an image with the tool in front.
fn rewrite(arguments: &Arguments, build: &Build, asked: BuildArgument) -> Result<Rewrite, Error> {
    let base = build
        .base_image()
        .map(|image| base_config(arguments, image));
    let base = base.transpose()?.unwrap_or_default().config;
    let tool = asked.tool.clone();
    let given = |name: &str| arguments.build_argument(name);
    let reach = shell_reach(arguments);
    let rewrite = Rewrite::of(&build.lineage, &base, &asked.step(), &tool, reach, &given);
    rewrite.map_err(|Unwritable { line, what }| Error::Unwritable {
        file: build.file.file.clone(),
        line,
        what,
    })
}
