//! `cargo xtask boot-rate`: which packages of a list or of a random sample boot, built with osderive and without, as a
//! table and as figures.

mod markdown;

use std::collections::BTreeMap;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use osderive_tests::Places;
use osderive_tests::boot::Hits;
use osderive_tests::boot::rate::{
    Build, Counts, Line, Rate, Sample, Seconds, hits, hits_without_quirks, packages, rate,
};
use serde_json::json;

use crate::EngineChoice;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The list: lines of one package, or of several for one image [default: tests/fixtures/packages.txt].
    #[arg(long)]
    packages: Option<PathBuf>,
    /// Instead of the list: so many packages, drawn at random from all of the base image's archive that ship a system
    /// unit.
    #[arg(long, value_name = "N", requires = "seed", conflicts_with = "packages")]
    sample: Option<usize>,
    /// Which packages are drawn: the same ones for the same seed.
    #[arg(long, value_name = "S", requires = "sample")]
    seed: Option<u64>,
    /// Boot in systemd-nspawn instead of QEMU: in seconds, without the images' kernels, initramfs and devices.
    #[arg(long)]
    fast: bool,
    /// How many machines to boot side by side; in QEMU each takes up to two gigabytes of memory.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Only these ways of building: `ours`, `plain` or `peer`.
    #[arg(long, value_parser = build)]
    build: Vec<Build>,
    /// Also write the table and the figures to this file, in Markdown.
    #[arg(long)]
    markdown: Option<PathBuf>,
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
    let builds = match arguments.build.as_slice() {
        [] => Build::ALL.to_vec(),
        some => some.to_vec(),
    };
    let engine = arguments.engine.start(places)?;
    let runner = crate::runner(arguments.fast);
    let rate = Rate::new(&engine, places, &builds, arguments.jobs, runner)?;
    let sample = arguments.sample.zip(arguments.seed);
    let list = match sample {
        Some((number, seed)) => rate.draw(Sample { number, seed })?,
        None => listed(arguments.packages.as_deref(), places)?,
    };
    let keep = |lines: &[Line]| -> Result<()> {
        if let Some(file) = &arguments.json {
            write(file, &figures(lines, &builds))?;
        }
        if let Some(file) = &arguments.markdown {
            write(file, &markdown::page(lines, &builds))?;
        }
        Ok(())
    };
    let each = |lines: &[Line]| {
        if let Err(error) = keep(lines) {
            eprintln!("warning: {error:#}");
        }
    };
    let lines = rate.run(&list, each)?;
    show(&lines, &builds);
    keep(&lines)
}

fn listed(list: Option<&Path>, places: &Places) -> Result<Vec<String>> {
    let fixture = places.workspace().join("tests/fixtures/packages.txt");
    let list = list.unwrap_or(&fixture);
    let text =
        std::fs::read_to_string(list).with_context(|| format!("reading {}", list.display()))?;
    Ok(packages(&text))
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn figures(lines: &[Line], builds: &[Build]) -> String {
    let told = hits(lines);
    let without_quirks = hits_without_quirks(lines);
    let rows: Vec<_> = lines.iter().flat_map(|line| &line.rows).collect();
    let seconds: BTreeMap<_, _> = lines
        .iter()
        .map(|line| (&line.packages, &line.seconds))
        .collect();
    let failures: BTreeMap<_, _> = lines
        .iter()
        .filter(|line| !line.failures.is_empty())
        .map(|line| (&line.packages, &line.failures))
        .collect();
    let counts = Counts::of(lines, builds);
    let mut figures = json!({
        "packages": rows,
        "build_failures": failures,
        "counts": counts,
        "seconds": seconds,
        "prediction_recall": told.recall(),
        "prediction_false_alarm_rate": told.false_alarm_rate(),
        "prediction_recall_without_quirks": without_quirks.recall(),
        "prediction_false_alarm_rate_without_quirks": without_quirks.false_alarm_rate(),
    });
    for build in builds {
        figures[format!("boot_rate_{}", build.name())] = rate(lines, *build).into();
        figures[format!("boots_like_reference_{}", build.name())] = counts.rate(*build).into();
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
        for unit in row.reference.iter().flat_map(|reference| &reference.failed) {
            println!("    fails in the reference: {unit}");
        }
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
    for line in markdown::figures(lines, builds) {
        println!("{line}");
    }
    for line in lines {
        show_failures(line);
    }
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

fn show_failures(line: &Line) {
    for (build, failure) in &line.failures {
        println!("{} failed: {}", build.name(), line.packages);
        for line in failure.lines() {
            println!("    {line}");
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
