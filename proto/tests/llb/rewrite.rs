//! What a rewrite changes, byte by byte, and what it must leave alone.

use std::collections::BTreeMap;

use bollard_buildkit_proto::pb;
use osderive_proto::llb::{Definition, Digest, Edge, LlbError, NewMount, Splice};

use crate::builder::{Exec, Graph, LEVELS, Message, Mount};
use crate::check::{
    REPORT_MOUNT, TOOL_MOUNT, contents, decide, digests_hold, only_spliced, sample,
};

pub(crate) fn tool() -> Definition {
    let mut graph = Graph::default();
    let image = graph.image("frontend");
    graph.describe(image, &[("llb.customname", "the tool")]);
    graph.locate(image, 0, 9);
    parse(&graph.finish(image))
}

fn parse(bytes: &[u8]) -> Definition {
    Definition::parse(bytes).expect("a definition")
}

/// A builder stage, two RUNs around a COPY, a bind mount from the builder.
fn stages(graph: &mut Graph) -> (Vec<u8>, [Edge; 4]) {
    let base = graph.image("debian");
    let built = graph.run(base, "make");
    let first = graph.run(base, "install");
    let copied = graph.copy(first, built);
    let mut exec = Exec::on(Some(copied), &["sh", "-c", "configure"]);
    exec.inputs.push(built);
    exec.user = "daemon";
    exec.mounts.push(Mount {
        input: 1,
        selector: "/src",
        dest: "/mnt",
        output: -1,
        readonly: true,
        kind: 0,
    });
    let last = graph.exec(&exec);
    (graph.finish(last), [base, built, first, last])
}

#[test]
fn a_wrapped_op_is_what_go_would_have_written() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let plain = graph.run(base, "make");
    let old = parse(&graph.finish(plain));
    let tool = tool();
    let rewritten = old.rewrite(&decide(&old), Some(&tool)).expect("a rewrite");

    let mut expected = Graph::default();
    let mut exec = Exec::on(
        Some(base),
        &["/dev/.tool/run", "step", "--", "/bin/sh", "-c", "make"],
    );
    exec.inputs.push(tool.output().expect("a tool"));
    exec.user = "root";
    exec.mounts.push(Mount {
        input: 1,
        selector: "/tool",
        dest: TOOL_MOUNT,
        output: -1,
        readonly: true,
        kind: 0,
    });
    exec.mounts.push(Mount {
        input: -1,
        dest: REPORT_MOUNT,
        output: 1,
        ..Mount::default()
    });
    let wrapped = expected.plain_exec(&exec);
    assert_eq!(rewritten.digests[&plain.digest], wrapped.digest);
    let run = rewritten.definition.run(&wrapped.digest).expect("a RUN");
    assert_eq!(run.output_index(REPORT_MOUNT), Some(1));
    assert_eq!(run.output_index(TOOL_MOUNT), None);
    assert_eq!(run.command, "RUN make");
}

#[test]
fn builder_stages_keep_their_bytes() {
    let mut graph = Graph::default();
    let (bytes, [base, built, first, last]) = stages(&mut graph);
    let old = parse(&bytes);
    let splices = decide(&old);
    assert_eq!(splices.keys().len(), 2);
    let rewritten = old.rewrite(&splices, Some(&tool())).expect("a rewrite");
    digests_hold(&rewritten.definition.to_bytes());
    only_spliced(&old, &splices, &tool(), &rewritten);
    for kept in [base, built] {
        assert!(!rewritten.digests.contains_key(&kept.digest));
    }
    assert!(rewritten.digests.contains_key(&first.digest));
    let new = Edge {
        digest: rewritten.digests[&last.digest],
        index: 0,
    };
    assert_eq!(rewritten.definition.output(), Some(new));
    let location = rewritten.definition.source_location(&new.digest);
    assert_eq!(location, old.source_location(&last.digest));
}

#[test]
fn what_a_builder_stage_shares_is_wrapped_once_for_both() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let shared = graph.run(base, "shared");
    let built = graph.run(shared, "make");
    let last = graph.copy(shared, built);
    let old = parse(&graph.finish(last));
    let splices = decide(&old);
    let rewritten = old.rewrite(&splices, Some(&tool())).expect("a rewrite");
    let after = contents(&rewritten.definition.to_bytes());
    let built = &after.ops[&rewritten.digests[&built.digest].to_string()];
    assert_eq!(
        built.inputs[0].digest,
        rewritten.digests[&shared.digest].to_string()
    );
    only_spliced(&old, &splices, &tool(), &rewritten);
}

#[test]
fn unknown_fields_survive_at_every_level() {
    let mut graph = Graph::exotic();
    let (bytes, _) = stages(&mut graph);
    let old = parse(&bytes);
    let new = old
        .rewrite(&decide(&old), Some(&tool()))
        .expect("a rewrite");
    let count = |bytes: &[u8], level: &str| {
        // The length in front keeps "in-op" from being found in another text.
        let marker = Message::default().text(1000, level).0;
        bytes
            .windows(marker.len())
            .filter(|window| *window == marker)
            .count()
    };
    for level in LEVELS {
        let before = count(&bytes, level);
        assert!(before > 0, "{level}");
        assert_eq!(count(&new.definition.to_bytes(), level), before, "{level}");
    }
}

#[test]
fn rewriting_twice_is_rewriting_once() {
    let mut graph = Graph::exotic();
    let (bytes, _) = stages(&mut graph);
    let old = parse(&bytes);
    let once = old
        .rewrite(&decide(&old), Some(&tool()))
        .expect("a rewrite")
        .definition;
    assert!(decide(&once).is_empty());
    let twice = once
        .rewrite(&decide(&once), Some(&tool()))
        .expect("a rewrite");
    assert_eq!(once.to_bytes(), twice.definition.to_bytes());
    assert!(twice.digests.is_empty());
}

/// A bake `target:` context feeds the wrapped RUN in beside a stage that has it plain.
#[test]
fn a_run_that_is_there_plain_and_wrapped_becomes_one() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let plain = graph.run(base, "make");
    let old = parse(&graph.finish(plain));
    let once = old
        .rewrite(&decide(&old), Some(&tool()))
        .expect("a rewrite");
    let wrapped = Edge {
        digest: once.digests[&plain.digest],
        index: 0,
    };
    let mut graph = Graph::default();
    let old = contents(&once.definition.to_bytes());
    for op in &old.definition.def[..old.definition.def.len() - 1] {
        graph.raw(op.clone());
    }
    graph.describe(
        wrapped,
        &[("com.docker.dockerfile.v1.command", "RUN context")],
    );
    graph.run(base, "make");
    let last = graph.copy(plain, wrapped);
    let both = parse(&graph.finish(last));
    let rewritten = both
        .rewrite(&decide(&both), Some(&tool()))
        .expect("a rewrite")
        .definition;
    digests_hold(&rewritten.to_bytes());
    let after = contents(&rewritten.to_bytes());
    assert_eq!(after.order.len(), both.digests().count() - 1);
    let run = rewritten.run(&wrapped.digest).expect("a RUN");
    assert_eq!(run.command, "RUN context");
}

#[test]
fn the_tool_is_merged_in_once_with_its_metadata() {
    let mut graph = Graph::default();
    let (bytes, _) = stages(&mut graph);
    let old = parse(&bytes);
    let tool = tool();
    let new = old
        .rewrite(&decide(&old), Some(&tool))
        .expect("a rewrite")
        .definition;
    let after = contents(&new.to_bytes());
    let digest = tool.output().expect("a tool").digest.to_string();
    assert_eq!(after.order[0], digest);
    assert_eq!(after.order.len(), old.digests().count() + 1);
    let metadata = &after.definition.metadata[&digest];
    assert_eq!(metadata.description["llb.customname"], "the tool");
    assert!(
        !after
            .definition
            .source
            .expect("a source")
            .locations
            .contains_key(&digest)
    );
}

#[test]
fn a_build_that_uses_the_tool_s_image_itself_has_it_once() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let run = graph.run(base, "make");
    let frontend = graph.image("frontend");
    graph.describe(frontend, &[("llb.customname", "the user's name for it")]);
    let last = graph.copy(run, frontend);
    let old = parse(&graph.finish(last));
    let new = old
        .rewrite(&decide(&old), Some(&tool()))
        .expect("a rewrite")
        .definition;
    digests_hold(&new.to_bytes());
    assert_eq!(new.digests().count(), old.digests().count());
    let after = contents(&new.to_bytes()).definition;
    let metadata = &after.metadata[&frontend.digest.to_string()];
    assert_eq!(
        metadata.description["llb.customname"],
        "the user's name for it"
    );
}

#[test]
fn a_tool_that_no_mount_reads_is_left_out() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let run = graph.run(base, "make");
    let old = parse(&graph.finish(run));
    let output = |dest: &str| NewMount::Output {
        dest: dest.to_owned(),
    };
    let splice = Splice {
        args: vec!["x".to_owned()],
        user: None,
        mounts: vec![output("/a"), output("/b")],
    };
    let splices = BTreeMap::from([(run.digest, splice)]);
    let new = old.rewrite(&splices, Some(&tool())).expect("a rewrite");
    assert_eq!(new.definition.digests().count(), old.digests().count());
    let after = contents(&new.definition.to_bytes());
    let Some(pb::op::Op::Exec(exec)) = &after.ops[&new.digests[&run.digest].to_string()].op else {
        panic!("an exec");
    };
    let outputs: Vec<_> = exec.mounts.iter().map(|mount| mount.output).collect();
    assert_eq!(outputs, [0, 1, 2]);
}

/// A developer's frontend image is built from the same stages that it then wraps.
#[test]
fn a_tool_that_is_built_from_what_it_wraps_stays_plain_itself() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let shared = graph.run(base, "make");
    let tool = parse(&graph.finish(shared));
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let shared = graph.run(base, "make");
    let last = graph.run(shared, "install");
    let old = parse(&graph.finish(last));
    let splices = decide(&old);
    let rewritten = old.rewrite(&splices, Some(&tool)).expect("a rewrite");
    digests_hold(&rewritten.definition.to_bytes());
    assert!(rewritten.definition.run(&shared.digest).is_some());
    assert!(decide(&rewritten.definition).is_empty());
}

#[test]
fn the_user_can_stay_become_another_or_the_default() {
    let mut graph = Graph::default();
    let (bytes, [_, _, _, last]) = stages(&mut graph);
    let old = parse(&bytes);
    for (user, expected) in [
        (None, "daemon"),
        (Some("root".to_owned()), "root"),
        (Some(String::new()), ""),
    ] {
        let splice = Splice {
            args: vec!["x".to_owned()],
            user,
            mounts: Vec::new(),
        };
        let splices = BTreeMap::from([(last.digest, splice)]);
        let new = old.rewrite(&splices, None).expect("a rewrite");
        let run = new
            .definition
            .run(&new.digests[&last.digest])
            .expect("a RUN");
        assert_eq!(
            (run.user.as_str(), run.args.as_slice()),
            (expected, &["x".to_owned()][..])
        );
    }
}

#[test]
fn splices_of_other_definitions_change_nothing() {
    let mut graph = Graph::exotic();
    let (bytes, _) = stages(&mut graph);
    let old = parse(&bytes);
    let splices = BTreeMap::from([(Digest::of(b"elsewhere"), sample(&[]))]);
    for splices in [splices, BTreeMap::new()] {
        let new = old.rewrite(&splices, None).expect("a rewrite");
        assert_eq!(new.definition.to_bytes(), bytes);
        assert!(new.digests.is_empty());
    }
}

#[test]
fn what_cannot_be_wrapped_is_an_error() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let no_meta = graph.op(
        &[base],
        2,
        &Message::default().message(2, &Message::default()),
    );
    let exec = Message::default().message(1, &Message::default().text(1, "x"));
    let two_metas = Message(exec.0.repeat(2));
    let two_metas = graph.op(&[base], 2, &two_metas);
    let run = graph.run(base, "make");
    let old = parse(&graph.finish(run));
    let rewrite = |edge: Edge, splice: Splice| {
        let splices = BTreeMap::from([(edge.digest, splice)]);
        old.rewrite(&splices, None)
            .map(|_| ())
            .expect_err("an error")
    };
    let plain = Splice::default;
    assert!(matches!(rewrite(base, plain()), LlbError::NotExec { .. }));
    assert!(matches!(
        rewrite(no_meta, plain()),
        LlbError::Occurrences { count: 0, .. }
    ));
    assert!(matches!(
        rewrite(two_metas, plain()),
        LlbError::Occurrences { count: 2, .. }
    ));
    let mounts = vec![NewMount::ReadOnly {
        dest: "/t".to_owned(),
        selector: String::new(),
    }];
    let with_tool = Splice { mounts, ..plain() };
    assert!(matches!(rewrite(run, with_tool), LlbError::NoTool { .. }));
}

#[test]
fn a_subgraph_has_what_its_state_needs_and_no_more() {
    let mut graph = Graph::exotic();
    let (bytes, [base, built, first, _]) = stages(&mut graph);
    let whole = parse(&bytes);
    let part = whole
        .subgraph(&Edge { index: 3, ..first })
        .expect("a subgraph");
    digests_hold(&part.to_bytes());
    assert_eq!(part.output(), Some(Edge { index: 3, ..first }));
    let digests: Vec<_> = part.digests().collect();
    assert_eq!(digests[..2], [base.digest, first.digest]);
    assert_eq!(digests.len(), 3);
    let metadata = contents(&part.to_bytes()).definition.metadata;
    assert!(
        metadata.contains_key(&digests[2].to_string()),
        "of the terminal op"
    );
    assert_eq!(
        part.source_location(&first.digest),
        whole.source_location(&first.digest)
    );
    assert_eq!(part.run(&first.digest), whole.run(&first.digest));
    assert_eq!(part.run(&built.digest), None);
    let whole_again = whole
        .subgraph(&whole.output().expect("an output"))
        .expect("a subgraph");
    digests_hold(&whole_again.to_bytes());
    let absent = Edge {
        digest: Digest::of(b"absent"),
        index: 0,
    };
    assert!(matches!(
        whole.subgraph(&absent),
        Err(LlbError::Absent { .. })
    ));
}
