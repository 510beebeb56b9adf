//! `cargo xtask capture-definitions`: the LLB that real engines make of one Containerfile for each
//! way in which Dockerfiles differ, for the golden tests of `proto`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use osderive_tests::Places;
use osderive_tests::engine::{Engine, Kind};
use osderive_tests::scenario::Scenario;

/// Where the golden tests look, below the workspace.
const GOLDEN: &str = "proto/tests/golden";

/// The engines, each with the folder of its definitions. The image store does not matter to LLB.
const ENGINES: [(Kind, &str); 2] = [
    (Kind::TrixieContainerd, "docker-26.1"),
    (Kind::SidContainerd, "docker-28.5"),
];

struct Case {
    name: &'static str,
    instructions: &'static str,
    options: &'static [&'static str],
}

const fn case(name: &'static str, instructions: &'static str) -> Case {
    Case {
        name,
        instructions,
        options: &[],
    }
}

/// The base of each case is a label on nothing: no image is needed to make LLB.
const CASES: [Case; 16] = [
    case(
        "two-stages",
        "FROM debian-plain AS one\nRUN make\nFROM debian-plain\nCOPY --from=one /etc /etc\nRUN true\n",
    ),
    case(
        "arg-env",
        "FROM debian-plain\nARG A=a\nENV B=b\nRUN echo $A $B\n",
    ),
    case(
        "user",
        "FROM debian-plain\nUSER app:www-data\nRUN id\nUSER 0\nRUN id\n",
    ),
    case(
        "shell",
        "FROM debian-plain\nSHELL [\"/bin/bash\", \"-euc\"]\nRUN true\nRUN [\"/bin/exec\", \"form\"]\n",
    ),
    case(
        "heredoc",
        "FROM debian-plain\nRUN <<EOF\necho a\necho b\nEOF\n",
    ),
    case(
        "heredoc-shebang",
        "FROM debian-plain\nRUN <<EOF\n#!/usr/bin/perl\nprint 1;\nEOF\n",
    ),
    case(
        "mount-bind",
        "FROM debian-plain AS other\nFROM debian-plain\nRUN --mount=target=/context --mount=from=other,source=/etc,target=/other,rw true\n",
    ),
    case(
        "mount-cache",
        "FROM debian-plain\nRUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,from=debian-plain,source=/etc,target=/seeded true\n",
    ),
    case(
        "mount-tmpfs",
        "FROM debian-plain\nRUN --mount=type=tmpfs,target=/tmp,size=1m true\n",
    ),
    case(
        "mount-secret",
        "FROM debian-plain\nRUN --mount=type=secret,id=token --mount=type=secret,id=other,target=/etc/token,mode=0400 true\n",
    ),
    case(
        "mount-ssh",
        "FROM debian-plain\nRUN --mount=type=ssh true\n",
    ),
    case(
        "network-none",
        "FROM debian-plain\nRUN --network=none true\n",
    ),
    case(
        "copy-link",
        "FROM debian-plain\nRUN one\nCOPY --link Containerfile /a\nRUN two\n",
    ),
    case("onbuild", "FROM onbuild-base\nRUN after\n"),
    Case {
        name: "named-context",
        instructions: "FROM os\nRUN --mount=from=files,target=/files true\n",
        options: &[
            "--build-context",
            "os=docker-image://debian-plain",
            "--build-context",
            "files=.",
        ],
    },
    Case {
        name: "multi-platform",
        instructions: "FROM debian-plain\nRUN uname -m\n",
        options: &["--platform", "linux/amd64,linux/amd64/v2"],
    },
];

pub(crate) fn run(places: &Places) -> Result<()> {
    for (kind, folder) in ENGINES {
        let engine = Engine::start(kind, places)?;
        engine.load_base(osderive_tests::base::Base::Plain, places)?;
        engine.load_capture_frontend(places)?;
        let onbuild = Scenario::new(&engine, places, "onbuild-base")?.file(
            "Containerfile",
            "FROM debian-plain\nONBUILD RUN triggered\n",
        )?;
        let built = onbuild.build(&["--tag", "onbuild-base"])?;
        if !built.success {
            bail!("the base of the case onbuild failed:\n{}", built.log);
        }
        let golden = places.workspace().join(GOLDEN).join(folder);
        fs::create_dir_all(&golden).with_context(|| format!("making {}", golden.display()))?;
        for case in &CASES {
            capture(case, &engine, places, &golden)?;
        }
        println!(
            "{}: {} cases from {}",
            golden.display(),
            CASES.len(),
            engine.version()
        );
    }
    Ok(())
}

fn capture(case: &Case, engine: &Engine, places: &Places, golden: &Path) -> Result<()> {
    let containerfile = format!("# syntax=osderive-capture\n{}", case.instructions);
    let scenario = Scenario::new(engine, places, &format!("capture-{}", case.name))?
        .file("Containerfile", &containerfile)?;
    let mut options = vec!["--output", "type=local,dest=out"];
    options.extend(case.options);
    let built = scenario.build(&options)?;
    if !built.success {
        bail!("the case {} failed:\n{}", case.name, built.log);
    }
    let out = scenario.folder().join("out");
    for file in fs::read_dir(&out).with_context(|| format!("reading {}", out.display()))? {
        let file = file?.path();
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = match stem.as_ref() {
            "definition" => case.name.to_owned(),
            platform => format!("{}-{}", case.name, platform.trim_start_matches("linux-")),
        };
        let copy = golden.join(format!("{name}.pb"));
        let definition = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        fs::write(&copy, definition).with_context(|| format!("writing {}", copy.display()))?;
    }
    Ok(())
}
