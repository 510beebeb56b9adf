//! `cargo xtask boot`: one image, by every way by which a machine comes to it, as a report that can be read.

use std::process::ExitCode;

use anyhow::{Context, Result};
use osderive_tests::Places;
use osderive_tests::base::Base;
use osderive_tests::boot::{BASE, Boots, Harness, Report, Way, encapsulated, kept, losses};

use crate::EngineChoice;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The image, by its name in the engine.
    image: String,
    /// The image that machines had before they were updated.
    #[arg(long, default_value = BASE)]
    from: String,
    /// The same packages built without osderive, to be booted as an ordinary mutable system and compared with.
    #[arg(long)]
    reference: Option<String>,
    /// Only this way: `fresh`, `upgraded` or `taken-id`.
    #[arg(long, value_parser = way)]
    way: Option<Way>,
    /// Boot in systemd-nspawn instead of QEMU: in seconds, without the image's kernel, initramfs and devices.
    #[arg(long)]
    fast: bool,
    /// The folder below `target/boot` in which consoles are kept.
    #[arg(long, hide = true, default_value = "by-hand")]
    name: String,
    #[command(flatten)]
    engine: EngineChoice,
}

fn way(name: &str) -> Result<Way, String> {
    let known = Way::ALL.into_iter().find(|way| way.name() == name);
    known.ok_or_else(|| format!("there are: {}", Way::ALL.map(Way::name).join(", ")))
}

pub(crate) fn run(arguments: &Arguments, places: &Places) -> Result<ExitCode> {
    let engine = arguments.engine.start(places)?;
    let runner = crate::runner(arguments.fast);
    let harness = Harness::new(&engine, places, &arguments.name)?.in_runner(runner);
    let mut bases = Base::ALL.into_iter();
    if let Some(base) = bases.find(|base| encapsulated(*base) == arguments.from) {
        harness.load_base(base, places)?;
    }
    let reference = match &arguments.reference {
        Some(image) => Some(harness.boot_mutable(image)?),
        None => None,
    };
    let ways = match arguments.way {
        Some(way) => vec![way],
        None if harness.pins_an_id(&arguments.image)? => Way::ALL.to_vec(),
        None => {
            println!("not booted with a taken id: the image pins no user with a group of its own");
            vec![Way::Fresh, Way::Upgraded]
        }
    };
    let mut boots = true;
    for way in ways {
        let machine = harness.boot(&arguments.image, &arguments.from, way)?;
        boots &= show(way, &machine, reference.as_ref());
        let file = harness.folder().join(format!("{way}.json"));
        let json = serde_json::to_string_pretty(&machine)?;
        std::fs::write(&file, json).with_context(|| format!("writing {}", file.display()))?;
    }
    println!(
        "\nconsoles and whole reports: {}",
        harness.folder().display()
    );
    Ok(if boots {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints what became of a machine; says whether it boots.
fn show(way: Way, machine: &Boots, reference: Option<&Report>) -> bool {
    let mut boots = true;
    for (boot, report) in [
        ("first boot", &machine.first),
        ("second boot", &machine.second),
    ] {
        println!("\n{way}, {boot}: {}", report.state);
        let lost = match reference {
            Some(reference) => losses(reference, report),
            // Without a reference every failure counts.
            None => losses(&Report::default(), report),
        };
        for loss in &lost {
            println!("  {loss}");
        }
        if !lost.is_empty() {
            for line in &report.failures {
                println!("  | {line}");
            }
        }
        boots &= lost.is_empty();
        if let Some(before) = &machine.before {
            for changed in kept(before, report) {
                println!("  the machine's own {changed}");
                boots = false;
            }
        }
    }
    boots
}
