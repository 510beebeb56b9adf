//! The boot rate: packages installed on the bootable base, built in three ways, and whether each boots. Those of a line
//! share an image; what becomes of a unit is its package's ([`owners`](super::owners)). Where an image does not build,
//! its packages are tried in smaller ones. What was found out is kept, so that a run that was ended goes on where it was.

mod build;
mod count;
mod rows;
mod sample;
mod store;
mod trial;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;

use super::base::BASE;
use super::forecast::{Forecast, Hits};
use super::harness::{Harness, Runner, Saved, Way};
use super::owners::Owners;
use super::report::Report;
use crate::base::Base;
use crate::engine::{Engine, Kind};
use crate::error::{Error, Result};
use crate::places::Places;
use crate::process::capture;
use crate::product::{self, Profile};
use crate::scenario::Scenario;
use rows::summary;
use store::{Store, sources_hash};
use trial::{Reference, Trial, Wrong, timed};

pub use build::Build;
pub use count::Counts;
pub use rows::{Line, OfReference, Row, Seconds, hits, hits_without_quirks, rate};
pub use sample::Sample;

/// What is kept of the log of a build that failed.
const TAIL_LINES: usize = 40;

/// The packages of a list: lines of one or several, `#` begins a comment.
pub fn packages(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let names = line.split('#').next().unwrap_or_default();
        names.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    text.lines()
        .map(line)
        .filter(|line| !line.is_empty())
        .collect()
}

/// Builds and boots lists of packages on one engine.
#[derive(Debug)]
pub struct Rate<'a> {
    engine: &'a Engine,
    places: &'a Places,
    harness: Harness<'a>,
    store: Store,
    builds: Vec<Build>,
    jobs: usize,
    forecast_of_base: OnceLock<Forecast>,
}

impl<'a> Rate<'a> {
    /// What is known from former runs stays known. The engine gets the base and the product. `jobs` machines may
    /// run side by side, in this runner.
    ///
    /// # Errors
    /// When one of these cannot be made.
    pub fn new(
        engine: &'a Engine,
        places: &'a Places,
        builds: &[Build],
        jobs: usize,
        runner: Runner,
    ) -> Result<Self> {
        let name = match runner {
            Runner::Qemu => "rate",
            Runner::Nspawn => "rate-fast",
        };
        let harness = Harness::new(engine, places, name)?
            .for_boots_beside(jobs)
            .in_runner(runner);
        harness.load_base(Base::Ostree, places)?;
        engine.load_frontend(Profile::Release, places)?;
        Ok(Self {
            engine,
            places,
            harness,
            store: Store {
                folder: places.directory("boot-rate")?,
                base: Base::Ostree.build(places)?.hash,
                product: product::identity(Profile::Release, places)?,
                lints: sources_hash(&places.workspace().join("lints/src"))?,
                runner,
            },
            builds: builds.to_vec(),
            jobs: jobs.max(1),
            forecast_of_base: OnceLock::new(),
        })
    }

    /// The lines of a sample, drawn now unless it was before.
    ///
    /// # Errors
    /// When the base image's archive cannot be reached.
    pub fn draw(&self, sample: Sample) -> Result<Vec<String>> {
        sample.lines(self.engine, &self.store.folder)
    }

    /// What becomes of each line of `lists`. What fails is told in its rows and stops nothing. `each` gets all that is
    /// there whenever a line is.
    ///
    /// # Errors
    /// When a job cannot begin.
    pub fn run(&self, lists: &[String], each: impl Fn(&[Line]) + Sync) -> Result<Vec<Line>> {
        let next = AtomicUsize::new(0);
        let lines: Mutex<BTreeMap<usize, Vec<Line>>> = Mutex::default();
        let work = |job: usize| -> Result<()> {
            let harness = self.harness.beside(&format!("job-{job}"))?;
            while let Some((index, packages)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                lists.get(index).map(|packages| (index, packages))
            } {
                let found = self.lines(&harness, packages, job);
                for row in found.iter().flat_map(|line| &line.rows) {
                    eprintln!("» {}: {}", row.package, summary(row));
                }
                if let Ok(mut lines) = lines.lock() {
                    lines.insert(index, found);
                    each(&lines.values().flatten().cloned().collect::<Vec<_>>());
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let started: Vec<_> = (0..self.jobs)
                .map(|job| scope.spawn(move || work(job)))
                .collect();
            for thread in started {
                if let Ok(ended) = thread.join() {
                    ended?;
                }
            }
            Ok::<(), Error>(())
        })?;
        Ok(lines
            .into_inner()
            .unwrap_or_default()
            .into_values()
            .flatten()
            .collect())
    }

    /// What becomes of packages, in one image as far as that tells: where it does not build, in two of half as many; and
    /// those that something is wrong with alone, if that takes no more than seconds, since what they share an image with may
    /// be what is wrong (a port that both want).
    fn lines(&self, harness: &Harness<'_>, packages: &str, job: usize) -> Vec<Line> {
        let mut line = self.line(harness, packages, job);
        let names: Vec<&str> = packages.split_whitespace().collect();
        if names.len() < 2 {
            return vec![line];
        }
        if !line.failures.is_empty() {
            let (some, others) = names.split_at(names.len() / 2);
            let mut lines = self.lines(harness, &some.join(" "), job);
            lines.extend(self.lines(harness, &others.join(" "), job));
            // Where a half fails as well, that tells it.
            line.failures
                .retain(|build, _| !lines.iter().any(|line| line.failures.contains_key(build)));
            if line.fails_alone() {
                line.rows.clear();
                line.sum_up();
                lines.push(line);
            }
            return lines;
        }
        if self.harness.runner() == Runner::Qemu {
            return vec![line];
        }
        let (clear, unclear) = line.rows.into_iter().partition(Row::is_clear);
        line.rows = clear;
        line.sum_up();
        let unclear: Vec<Row> = unclear;
        let alone = unclear
            .iter()
            .map(|row| self.line(harness, &row.package, job));
        let alone: Vec<Line> = alone.collect();
        iter::once(line).chain(alone).collect()
    }

    fn line(&self, harness: &Harness<'_>, packages: &str, job: usize) -> Line {
        let names = packages.split_whitespace().map(str::to_owned);
        let row = |package| Row {
            package,
            ..Row::default()
        };
        let mut line = Line {
            packages: packages.to_owned(),
            rows: names.map(row).collect(),
            ..Line::default()
        };
        let images = Build::ALL.map(|build| {
            let image = Image {
                rate: self,
                harness,
                packages,
                job,
                build,
                built: OnceCell::new(),
                saved: OnceCell::new(),
            };
            (build, image)
        });
        let images = BTreeMap::from(images);
        match self.reference(harness, &images[&Build::Plain]) {
            Err(error) => {
                for row in &mut line.rows {
                    row.without_reference = Some(error.to_string());
                }
                line.failed(Build::Plain, &error);
            }
            Ok(reference) => {
                for row in &mut line.rows {
                    row.reference = Some(reference.of(&row.package));
                }
                for build in &self.builds {
                    self.build(&images[build], &reference, &mut line);
                    // Its packages are tried in smaller images, by all builds.
                    if line.rows.len() > 1 && !line.failures.is_empty() {
                        break;
                    }
                }
            }
        }
        let was_built = images.values().any(|image| image.built.get().is_some());
        drop(images);
        if was_built {
            self.tidy(packages, job);
        }
        line
    }

    fn reference(&self, harness: &Harness<'_>, image: &Image<'_>) -> Result<Reference> {
        let file = self.store.reference(image.packages);
        if let Some(reference) = Store::known(&file) {
            return Ok(reference);
        }
        let name = &image.built()?.0;
        let reference = Reference {
            report: harness.boot_mutable(name)?,
            owners: Owners::of(self.engine, name, BASE, image.packages)?,
        };
        Store::keep(&file, &reference)?;
        Ok(reference)
    }

    /// Adds what became of a build and of what the lints say of it.
    fn build(&self, image: &Image<'_>, reference: &Reference, line: &mut Line) {
        let build = image.build;
        let trial = match self.trial(image, &reference.report) {
            Ok(trial) => trial,
            Err(error) => {
                for row in &mut line.rows {
                    row.builds.insert(build, vec![error.to_string()]);
                }
                line.failed(build, &error);
                return;
            }
        };
        let owners = &reference.owners;
        for row in &mut line.rows {
            let is_its = |wrong: &&Wrong| {
                let unit = wrong.unit.as_ref();
                unit.is_none_or(|unit| owners.is_of(unit, &row.package))
            };
            let wrong = trial.wrong.iter().filter(is_its);
            let wrong = wrong.map(|wrong| wrong.text.clone()).collect();
            row.builds.insert(build, wrong);
        }
        if build != Build::Peer {
            match self.forecast(image) {
                Ok(forecast) => {
                    let hits = |forecast: &Forecast| {
                        let mut hits = Hits::default();
                        for (way, units) in &trial.units {
                            hits.add(forecast.compare(*way, &reference.report, units));
                        }
                        hits
                    };
                    let with = hits(&forecast);
                    let without = hits(&forecast.without_quirks());
                    for row in &mut line.rows {
                        let is_its = |unit: &str| owners.is_of(unit, &row.package);
                        row.predictions.insert(build, with.about(is_its));
                        let without = without.about(is_its);
                        row.predictions_without_quirks.insert(build, without);
                    }
                    line.sum_up();
                }
                Err(error) => eprintln!("warning: {} ({}): {error}", line.packages, build.name()),
            }
        }
        line.seconds.insert(build, trial.seconds);
    }

    fn trial(&self, image: &Image<'_>, reference: &Report) -> Result<Trial> {
        let file = self.store.trial(image.packages, image.build);
        if let Some(known) = Store::known(&file) {
            return Ok(known);
        }
        let (_, seconds) = image.built()?;
        let mut trial = Trial::default();
        trial.seconds.build = *seconds;
        trial.seconds.save = image.saved()?.1;
        // Upgraded machines first: what loses its state loses it there, and that saves a boot of the fresh one.
        for way in self.ways(image)? {
            let machine = (image.saved()).and_then(|(saved, _)| image.harness.machine(saved, way));
            match machine.and_then(|machine| trial.boot(machine, way, reference)) {
                Ok(()) => {}
                // That a machine does not come up, or an image is refused, is a result.
                Err(error @ (Error::NoReport { .. } | Error::Command { .. })) => {
                    trial.wrong.push(Wrong {
                        unit: None,
                        text: format!("{way}: {error}"),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Store::keep(&file, &trial)?;
        Ok(trial)
    }

    /// The ways to boot an image. Only osderive pins ids; a machine on which one is taken costs three boots more, which is
    /// too much for QEMU.
    fn ways(&self, image: &Image<'_>) -> Result<Vec<Way>> {
        let mut ways = vec![Way::Upgraded, Way::Fresh];
        if image.build == Build::Ours
            && self.harness.runner() == Runner::Nspawn
            && self.harness.pins_an_id(&image.built()?.0)?
        {
            ways.push(Way::TakenId);
        }
        Ok(ways)
    }

    /// What the lints say of an image and not of its base.
    fn forecast(&self, image: &Image<'_>) -> Result<Forecast> {
        let file = self.store.forecast(image.packages, image.build);
        if let Some(known) = Store::known(&file) {
            return Ok(known);
        }
        let (saved, _) = image.saved()?;
        let of_base = if let Some(forecast) = self.forecast_of_base.get() {
            forecast
        } else {
            let forecast = saved.forecast_of_base()?;
            self.forecast_of_base.get_or_init(|| forecast)
        };
        let forecast = saved.forecast()?.without(of_base);
        Store::keep(&file, &forecast)?;
        Ok(forecast)
    }

    /// The name of a job's image, which no run beside this one has unless its runner is the same.
    fn image_name(&self, job: usize, build: Build) -> String {
        let runner = match self.harness.runner() {
            Runner::Qemu => "",
            Runner::Nspawn => "-fast",
        };
        format!("boot-rate{runner}-{job}-{}", build.name())
    }

    /// Removes the images; the cache of the user's own engine is not ours to empty.
    fn tidy(&self, packages: &str, job: usize) {
        let mut rm = self.engine.docker();
        rm.args(["image", "rm", "--force"]);
        rm.args(Build::ALL.map(|build| format!("e2e-{}", self.image_name(job, build))));
        let mut tidied = vec![capture("remove images", &mut rm).map(drop)];
        if self.engine.kind() != Kind::Reachable {
            let mut prune = self.engine.docker();
            prune.args(["builder", "prune", "--all", "--force"]);
            tidied.push(capture("empty the cache", &mut prune).map(drop));
        }
        for error in tidied.into_iter().filter_map(Result::err) {
            eprintln!("warning: after {packages}: {error}");
        }
    }
}

/// An image of a row, built and taken out of the engine once something asks for it.
struct Image<'a> {
    rate: &'a Rate<'a>,
    harness: &'a Harness<'a>,
    packages: &'a str,
    /// With a private engine each job has a name of its own for it.
    job: usize,
    build: Build,
    built: OnceCell<(String, f64)>,
    saved: OnceCell<(Saved, f64)>,
}

impl Image<'_> {
    /// Its name in the engine, and how many seconds its build took.
    fn built(&self) -> Result<&(String, f64)> {
        once(&self.built, || {
            let Self {
                rate,
                packages,
                job,
                build,
                ..
            } = self;
            let failed = |tail| Error::Build {
                image: format!("an image of {packages} ({})", build.name()),
                tail,
            };
            let file = rate.store.failure(packages, *build);
            if let Some(tail) = Store::known(&file) {
                return Err(failed(tail));
            }
            let name = rate.image_name(*job, *build);
            let scenario = Scenario::new(rate.engine, rate.places, &name)?
                .file("Containerfile", &build.containerfile(packages))?;
            let mut log = String::new();
            // A mirror may have failed instead. What is told by smaller images needs no second attempt.
            let is_told = *build == Build::Plain && packages.contains(' ');
            for _ in 0..if is_told { 1 } else { 2 } {
                let outcome = scenario.build(&[])?;
                if outcome.success {
                    return Ok(scenario.tag().to_owned());
                }
                log = outcome.log;
            }
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
            Store::keep(&file, &tail)?;
            Err(failed(tail))
        })
    }

    /// Itself outside of the engine, and how many seconds that took.
    fn saved(&self) -> Result<&(Saved, f64)> {
        let (name, _) = self.built()?;
        let folder = format!("{}-image", self.build.name());
        once(&self.saved, || self.harness.save(name, BASE, &folder))
    }
}

/// What `work` makes, with the seconds that it took, when it was not made before.
fn once<T>(cell: &OnceCell<(T, f64)>, work: impl FnOnce() -> Result<T>) -> Result<&(T, f64)> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let (made, seconds) = timed(work)?;
    Ok(cell.get_or_init(|| (made, seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_lines_of_packages_and_comments() {
        let text = "# servers\nnginx-light # small\n\npostgresql  redis-server\n";
        assert_eq!(packages(text), ["nginx-light", "postgresql redis-server"]);
    }
}
