//! Definitions captured from real engines, one per kind of instruction. They show that what was
//! read in `BuildKit`'s sources is what engines in use send.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use osderive_proto::llb::{Definition, Digest, Mount, Run};

use crate::check::{contents, decide, digests_hold, only_spliced};
use crate::rewrite::tool;

const ENGINES: [&str; 2] = ["docker-26.1", "docker-28.5"];
const CASES: [&str; 17] = [
    "two-stages",
    "arg-env",
    "user",
    "shell",
    "heredoc",
    "heredoc-shebang",
    "mount-bind",
    "mount-cache",
    "mount-tmpfs",
    "mount-secret",
    "mount-ssh",
    "network-none",
    "copy-link",
    "onbuild",
    "named-context",
    "multi-platform-amd64",
    "multi-platform-amd64-v2",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn each(test: impl Fn(&str, &[u8], &Definition)) {
    for engine in ENGINES {
        for case in CASES {
            let name = format!("{engine}/{case}");
            let path = folder().join(format!("{name}.pb"));
            let bytes = std::fs::read(&path).unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; it is to be captured from that engine",
                    path.display()
                )
            });
            let definition = Definition::parse(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            test(&name, &bytes, &definition);
        }
    }
}

#[test]
fn captured_definitions_are_kept_byte_for_byte() {
    each(|name, bytes, definition| {
        assert_eq!(definition.to_bytes(), bytes, "{name}");
        let distinct: BTreeSet<Digest> = definition.digests().collect();
        assert_eq!(
            distinct.len(),
            definition.digests().count(),
            "{name}: an op is there twice"
        );
    });
}

#[test]
fn captured_definitions_have_the_lineage_of_their_containerfile() {
    each(|name, _, definition| {
        insta::assert_snapshot!(name.replace('/', "-"), describe(definition));
    });
}

#[test]
fn captured_definitions_are_rewritten_without_loss() {
    each(|name, bytes, old| {
        let splices = decide(old);
        assert!(!splices.is_empty(), "{name}: no RUN");
        let tool = tool();
        let new = old.rewrite(&splices, Some(&tool)).expect(name);
        digests_hold(&new.definition.to_bytes());
        only_spliced(old, &splices, &tool, &new);
        let kept: BTreeSet<Digest> = new.definition.digests().collect();
        for digest in contents(bytes).order {
            let digest = digest.parse().expect("a digest");
            assert!(
                kept.contains(&digest) != new.digests.contains_key(&digest),
                "{name}"
            );
        }
        assert!(decide(&new.definition).is_empty(), "{name}");
    });
}

/// What people should recognise their Containerfile in.
fn describe(definition: &Definition) -> String {
    let lineage = definition.lineage();
    let mut text = format!("base: {:?}\nstopped: {:?}\n", lineage.base, lineage.stopped);
    for digest in &lineage.runs {
        let run = definition.run(digest).expect("a RUN");
        describe_run(&mut text, definition, &run).expect("a string takes all");
    }
    text
}

fn describe_run(text: &mut String, definition: &Definition, run: &Run) -> std::fmt::Result {
    writeln!(text, "\n{}", run.name)?;
    writeln!(text, "  command: {:?}", run.command)?;
    writeln!(text, "  args: {:?}", run.args)?;
    writeln!(text, "  env: {:?}", run.env)?;
    writeln!(text, "  user: {:?}, cwd: {:?}", run.user, run.cwd)?;
    let platform = run.platform.as_ref();
    writeln!(
        text,
        "  platform: {}",
        platform.map(ToString::to_string).unwrap_or_default()
    )?;
    for Mount {
        dest,
        kind,
        selector,
        readonly,
        output,
        ..
    } in &run.mounts
    {
        writeln!(
            text,
            "  mount: {dest} {kind:?} from {selector:?}, readonly: {readonly}, output: {output:?}"
        )?;
    }
    let location = definition.source_location(&run.digest).expect("a place");
    let line = |position: Option<bollard_buildkit_proto::pb::Position>| {
        position.map(|position| position.line).unwrap_or_default()
    };
    for range in location.ranges {
        let (start, end) = (line(range.start), line(range.end));
        writeln!(text, "  at: {}:{start}-{end}", location.info.filename)?;
    }
    Ok(())
}
