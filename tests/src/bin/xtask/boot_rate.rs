//! `cargo xtask boot-rate`: which of a list of packages boot, built with osderive and without, as a table and as
//! figures.

use std::collections::BTreeMap;
use std::iter;
use std::path::PathBuf;

use anyhow::{Context, Result};
use osderive_tests::Places;
use osderive_tests::boot::Hits;
use osderive_tests::boot::rate::{Build, Line, Rate, Seconds, hits, packages, rate};
use serde_json::json;

use crate::EngineChoice;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The list: lines of one package, or of several for one image [default: tests/fixtures/packages.txt].
    #[arg(long)]
    packages: Option<PathBuf>,
    /// How many machines to boot side by side; each takes up to two gigabytes of memory.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Only this way of building: `ours`, `plain` or `peer`.
    #[arg(long, value_parser = build)]
    build: Option<Build>,
    /// Also write the figures to this file, with a row for each package.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineChoice,
}

fn build(name: &str) -> Result<Build, String> {
    let known = Build::ALL.into_iter().find(|build| build.name() == name);
    known.ok_or_else(|| format!("there are: {}", Build::ALL.map(Build::name).join(", ")))
}

pub(crate) fn run(arguments: &Arguments, places: &Places) -> Result<()> {
    let list = arguments.packages.clone().unwrap_or_else(|| {
        let fixtures = places.workspace().join("tests/fixtures");
        fixtures.join("packages.txt")
    });
    let text =
        std::fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    let builds = arguments
        .build
        .map_or_else(|| Build::ALL.to_vec(), |build| vec![build]);
    let engine = arguments.engine.start(places)?;
    let keep = |lines: &[Line]| match &arguments.json {
        Some(file) => std::fs::write(file, figures(lines, &builds))
            .with_context(|| format!("writing {}", file.display())),
        None => Ok(()),
    };
    let each = |lines: &[Line]| {
        if let Err(error) = keep(lines) {
            eprintln!("warning: {error:#}");
        }
    };
    let rate = Rate::new(&engine, places, &builds, arguments.jobs)?;
    let lines = rate.run(&packages(&text), each)?;
    show(&lines, &builds);
    keep(&lines)
}

fn figures(lines: &[Line], builds: &[Build]) -> String {
    let told = hits(lines);
    let rows: Vec<_> = lines.iter().flat_map(|line| &line.rows).collect();
    let seconds: BTreeMap<_, _> = lines
        .iter()
        .map(|line| (&line.packages, &line.seconds))
        .collect();
    let mut figures = json!({
        "packages": rows,
        "seconds": seconds,
        "prediction_recall": told.recall(),
        "prediction_false_alarm_rate": told.false_alarm_rate(),
    });
    for build in builds {
        figures[format!("boot_rate_{}", build.name())] = rate(lines, *build).into();
    }
    format!("{figures:#}\n")
}

fn show(lines: &[Line], builds: &[Build]) {
    print!("\n{:40}", "package");
    for build in builds {
        print!("{:>8}", build.name());
    }
    println!();
    for row in lines.iter().flat_map(|line| &line.rows) {
        print!("{:40}", row.package);
        for build in builds {
            let verdict = match row.boots(*build) {
                Some(true) => "boots",
                Some(false) => "NO",
                None => "-",
            };
            print!("{verdict:>8}");
        }
        println!();
        let reference = row.without_reference.iter();
        let wrong = reference.chain(row.builds.get(&Build::Ours).into_iter().flatten());
        for line in wrong.flat_map(|text| text.lines()) {
            println!("    {line}");
        }
        for (build, hits) in &row.predictions {
            show_hits(*build, hits);
        }
    }
    print!("{:40}", "boot rate");
    for build in builds {
        print!("{:>8}", percent(rate(lines, *build)));
    }
    println!();
    let told = hits(lines);
    let [foreseen, alarms, missed] = told.counts();
    println!(
        "predictions: {foreseen} came, {alarms} did not, {missed} were missed: recall {}, false alarms {}",
        percent(told.recall()),
        percent(told.false_alarm_rate()),
    );
    for line in lines {
        for (build, seconds) in &line.seconds {
            println!(
                "{} took {}: {}",
                build.name(),
                phases(seconds),
                line.packages
            );
        }
    }
}

fn show_hits(build: Build, hits: &Hits) {
    for (what, lines) in [
        ("foreseen", &hits.true_positives),
        ("false alarm", &hits.false_positives),
        ("missed", &hits.false_negatives),
    ] {
        for line in lines {
            println!("    {} {what}: {line}", build.name());
        }
    }
}

fn phases(seconds: &Seconds) -> String {
    let list = |all: &[f64]| {
        let each: Vec<String> = all.iter().map(|one| format!("{one:.0}")).collect();
        each.join(" + ")
    };
    let image = format!("build {:.0} s, save {:.0} s", seconds.build, seconds.save);
    let of_way = seconds.deploy.iter().map(|(way, deploy)| {
        let boots = seconds.boot.get(way).map_or(&[][..], Vec::as_slice);
        format!("{way}: deploy {deploy:.0} s, boots {} s", list(boots))
    });
    iter::once(image)
        .chain(of_way)
        .collect::<Vec<_>>()
        .join("; ")
}

fn percent(part: Option<f64>) -> String {
    part.map_or_else(|| "-".to_owned(), |part| format!("{:.1} %", part * 100.0))
}
