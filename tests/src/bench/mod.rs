//! What osderive costs, in figures: each compares a run with it and one without, in pairs, so that
//! what else the machine does falls on both alike. Bench names are those that issues and docs use.

use std::time::{Duration, Instant};

mod lint;
mod podman;
mod steps;

pub use lint::{Lint, lint, lint_against};
pub use podman::{Podman, podman};
pub use steps::{Steps, steps, steps_against};

use crate::base::Base;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::places::Places;
use crate::product::Profile;
use crate::scenario::Scenario;

/// How many pairs of no-op rebuilds.
const REBUILD_PAIRS: usize = 20;

/// The instructions of the no-op rebuild: steps of the usual kinds, none of which runs again.
const INSTRUCTIONS: &str = "\
FROM debian-ostree-base
ENV LANG=C.UTF-8
RUN echo one > /etc/one
COPY file /etc/file
USER daemon
RUN true
USER root
RUN [\"/bin/touch\", \"/etc/two\"]
";

/// A frontend that does nothing at all: it ends at once, and the build fails.
const IDLE: &str = "\
FROM osderive
ENTRYPOINT [\"/tool/linux-amd64/ostree-container\", \"--version\"]
";

/// Milliseconds that a rebuild of an unchanged Containerfile takes longer with osderive than with
/// the engine's builtin frontend, how much of it the engine takes for any frontend image that only
/// delegates, and how much for one that does nothing; medians over pairs.
///
/// # Errors
/// When a build fails.
pub fn rebuild(engine: &Engine, places: &Places) -> Result<Rebuild> {
    engine.load_base(Base::Ostree, places)?;
    engine.load_frontend(Profile::Release, places)?;
    let variant = |name: &str, first_line: &str| -> Result<Scenario<'_>> {
        Scenario::new(engine, places, name)?
            .file("Containerfile", &format!("{first_line}\n{INSTRUCTIONS}"))?
            .file("file", "content")
    };
    let idle = Scenario::new(engine, places, "bench-idle")?.file("Containerfile", IDLE)?;
    timed(&idle, Ends::Well)?;
    let plain = variant("bench-plain", "# no frontend")?;
    let compared = [
        (variant("bench-ours", "# syntax=osderive")?, Ends::Well),
        (
            variant("bench-delegating", "# syntax=osderive --bootable=off")?,
            Ends::Well,
        ),
        (
            variant("bench-failing", &format!("# syntax={}", idle.tag()))?,
            Ends::Failing,
        ),
    ];
    // The builtin frontend ends where the one that does nothing does.
    let unread = variant("bench-unread", "NOSUCH instruction")?;
    let mut differences = [const { Vec::new() }; 3];
    // The second build is the first that finds everything in the cache.
    for round in 0..REBUILD_PAIRS + 2 {
        for ((scenario, ends), differences) in compared.iter().zip(&mut differences) {
            let without = match ends {
                Ends::Well => timed(&plain, Ends::Well)?,
                Ends::Failing => timed(&unread, Ends::Failing)?,
            };
            let with = timed(scenario, *ends)?;
            if round >= 2 {
                differences.push(milliseconds(with) - milliseconds(without));
            }
        }
    }
    let [overhead_ms, engine_part_ms, floor_ms] = differences.map(median);
    Ok(Rebuild {
        overhead_ms,
        engine_part_ms,
        floor_ms,
    })
}

/// The figures of [`rebuild`].
#[derive(Clone, Copy, Debug)]
pub struct Rebuild {
    /// All of it.
    pub overhead_ms: f64,
    /// What a frontend image takes that has the builtin frontend do everything.
    pub engine_part_ms: f64,
    /// What the engine needs to start a frontend image and to end it.
    pub floor_ms: f64,
}

/// How a build is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Failing,
}

fn timed(scenario: &Scenario<'_>, ends: Ends) -> Result<Duration> {
    let start = Instant::now();
    let built = scenario.build(&[])?;
    let time = start.elapsed();
    if built.success != (ends == Ends::Well) {
        return Err(Error::Engine {
            action: "build for the bench".to_owned(),
            message: built.log,
        });
    }
    Ok(time)
}

/// A figure of this build and of another one; medians over pairs of runs.
#[derive(Clone, Debug)]
pub struct Compared {
    /// As the bench names it.
    pub name: String,
    /// In milliseconds.
    pub other: f64,
    /// In milliseconds.
    pub ours: f64,
}

impl Compared {
    fn of(name: &str, times: Vec<(f64, f64)>) -> Self {
        let (other, ours) = times.into_iter().unzip();
        Self {
            name: name.to_owned(),
            other: median(other),
            ours: median(ours),
        }
    }
}

/// Times two things in pairs, each first in every other one. The first run of each does not count: it reads what the later
/// ones find in memory.
fn in_pairs(
    pairs: usize,
    one: impl Fn() -> Result<f64>,
    other: impl Fn() -> Result<f64>,
) -> Result<Vec<(f64, f64)>> {
    one()?;
    other()?;
    let pair = |number: usize| {
        if number.is_multiple_of(2) {
            let first = one()?;
            Ok((first, other()?))
        } else {
            let second = other()?;
            Ok((one()?, second))
        }
    };
    (0..pairs).map(pair).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        f64::midpoint(figures[middle - 1], figures[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < f64::EPSILON);
    }
}
