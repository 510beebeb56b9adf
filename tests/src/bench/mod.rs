//! What osderive costs, in figures: each compares a run with it and one without, in pairs, so that
//! what else the machine does falls on both alike. Bench names are those that issues and docs use.

use std::time::{Duration, Instant};

mod lint;
mod steps;

pub use lint::{Lint, lint};
pub use steps::{Steps, steps};

use crate::base::Base;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::places::Places;
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

/// Milliseconds that a rebuild of an unchanged Containerfile takes longer with osderive than with
/// the engine's builtin frontend, and how much of it the engine takes for any frontend image that
/// only delegates; medians over pairs.
///
/// # Errors
/// When a build fails.
pub fn rebuild(engine: &Engine, places: &Places) -> Result<Rebuild> {
    engine.load_base(Base::Ostree, places)?;
    engine.load_frontend(places)?;
    let variant = |name: &str, first_line: &str| -> Result<Scenario<'_>> {
        Scenario::new(engine, places, name)?
            .file("Containerfile", &format!("{first_line}\n{INSTRUCTIONS}"))?
            .file("file", "content")
    };
    let plain = variant("bench-plain", "# no frontend")?;
    let ours = variant("bench-ours", "# syntax=osderive")?;
    let delegating = variant("bench-delegating", "# syntax=osderive --bootable=off")?;
    for scenario in [&plain, &ours, &delegating] {
        // The second build is the first that finds everything in the cache.
        timed_build(scenario)?;
        timed_build(scenario)?;
    }
    let mut overhead = Vec::new();
    let mut engine_part = Vec::new();
    for _ in 0..REBUILD_PAIRS {
        let without = timed_build(&plain)?;
        overhead.push(milliseconds(timed_build(&ours)?) - milliseconds(without));
        let without = timed_build(&plain)?;
        engine_part.push(milliseconds(timed_build(&delegating)?) - milliseconds(without));
    }
    Ok(Rebuild {
        overhead_ms: median(overhead),
        engine_part_ms: median(engine_part),
    })
}

/// The figures of [`rebuild`].
#[derive(Clone, Copy, Debug)]
pub struct Rebuild {
    /// All of it.
    pub overhead_ms: f64,
    /// What the engine needs to start a frontend image and to end it.
    pub engine_part_ms: f64,
}

fn timed_build(scenario: &Scenario<'_>) -> Result<Duration> {
    let start = Instant::now();
    let built = scenario.build(&[])?;
    let time = start.elapsed();
    if !built.success {
        return Err(Error::Engine {
            action: "build for the bench".to_owned(),
            message: built.log,
        });
    }
    Ok(time)
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
