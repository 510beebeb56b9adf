//! Which RUNs made the final root, told as Containerfiles would have it.

use std::collections::HashSet;

use osderive_proto::llb::{Base, Definition, Digest, Edge, Lineage, MountKind, StopReason};

use crate::builder::{Exec, Graph, Message, Mount, root};

fn lineage(graph: &mut Graph, edge: Edge) -> Lineage {
    Definition::parse(&graph.finish(edge))
        .expect("a definition")
        .lineage()
}

fn runs(edges: &[Edge]) -> Vec<Digest> {
    edges.iter().map(|edge| edge.digest).collect()
}

fn debian() -> Base {
    Base::Image {
        identifier: "docker-image://debian".to_owned(),
    }
}

fn stop(lineage: &Lineage) -> &StopReason {
    assert_eq!(lineage.base, Base::Unknown);
    &lineage.stopped.as_ref().expect("a stop").reason
}

#[test]
fn the_runs_of_a_builder_stage_are_not_in_it() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let built = graph.run(base, "make");
    let first = graph.run(base, "apt-get install");
    let copied = graph.copy(first, built);
    let last = graph.run(copied, "systemctl enable");
    let lineage = lineage(&mut graph, last);
    assert_eq!(lineage.runs, runs(&[first, last]));
    assert_eq!(lineage.steps, [base, first, copied, last]);
    assert_eq!(lineage.base, debian());
    assert_eq!(lineage.stopped, None);
}

#[test]
fn a_run_goes_on_with_the_root_of_the_one_before_it() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let common = graph.run(base, "apt-get install");
    let copied = graph.copy(common, base);
    let build = graph.run(copied, "make");
    let tested = graph.run(build, "make check");
    let last = graph.run(common, "systemctl enable");
    let result = graph.copy(last, tested);
    // In any order.
    graph.ops.reverse();
    let definition = Definition::parse(&graph.finish(result)).expect("a definition");
    let mut found = definition.runs_and_those_before();
    let known = |run: &Digest, found: &[(Digest, Option<Digest>)]| {
        found.iter().any(|(known, _)| known == run)
    };
    for (place, (_, before)) in found.iter().enumerate() {
        assert!(before.is_none_or(|before| known(&before, &found[..place])));
    }
    let mut expected = vec![
        (common.digest, None),
        (build.digest, Some(common.digest)),
        (tested.digest, Some(build.digest)),
        (last.digest, Some(common.digest)),
    ];
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn what_a_run_left_in_a_mount_is_not_its_root() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let mut exec = Exec::on(Some(base), &["make"]);
    exec.mounts.push(Mount {
        input: 0,
        dest: "/out",
        output: 1,
        ..Mount::default()
    });
    let first = graph.exec(&exec);
    let on_output = graph.run(Edge { index: 1, ..first }, "test");
    let definition = Definition::parse(&graph.finish(on_output)).expect("a definition");
    assert_eq!(
        definition.runs_and_those_before().last(),
        Some(&(on_output.digest, None))
    );
}

#[test]
fn copy_link_is_a_merge_on_top_of_the_lineage() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let first = graph.run(base, "one");
    let files = graph.file(&[], &[(-1, 0)]);
    let merged = graph.merge(&[first, files]);
    let last = graph.run(merged, "two");
    let lineage = lineage(&mut graph, last);
    assert_eq!(lineage.runs, runs(&[first, last]));
    assert_eq!(lineage.base, debian());
}

#[test]
fn where_files_were_copied_to_is_known_of_each_state() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let first = graph.copy(base, base);
    let made = graph.file(&[first], &[(0, 0)]);
    let scratch = graph.file(&[], &[(-1, 0)]);
    let linked = graph.copy(scratch, base);
    let merged = graph.merge(&[made, linked]);
    let last = graph.run(merged, "two");
    let definition = Definition::parse(&graph.finish(last)).expect("a definition");
    let steps = definition.lineage().steps;
    let copies: Vec<Vec<String>> = (steps.iter().map(|step| definition.copied_to(step))).collect();
    let to = || vec!["/to".to_owned()];
    assert_eq!(copies, [vec![], to(), vec![], to(), vec![]]);
}

#[test]
fn a_state_that_is_copied_whole_onto_nothing_goes_on() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let first = graph.run(base, "one");
    let whole = graph.copy_of_all(first, "/");
    let last = graph.run(whole, "two");
    let flat = lineage(&mut graph, last);
    assert_eq!(flat.runs, runs(&[first, last]));
    assert!(flat.is_flattened());
    assert_eq!(flat.base, debian());
    assert_eq!(flat.of_layers(), HashSet::from_iter(runs(&[whole, last])));
    let part = graph.copy_of_all(first, "/usr");
    let part = lineage(&mut graph, part);
    assert_eq!((part.base, part.copied), (Base::Scratch, 0));
}

#[test]
fn copy_link_on_scratch_has_no_base() {
    let mut graph = Graph::default();
    let lower = graph.file(&[], &[(-1, 0)]);
    let upper = graph.file(&[], &[(-1, -1), (0, 0)]);
    let merged = graph.merge(&[lower, upper]);
    assert_eq!(lineage(&mut graph, merged).base, Base::Scratch);
}

#[test]
fn a_run_on_scratch_has_no_base() {
    let mut graph = Graph::default();
    let run = graph.exec(&Exec::on(None, &["/init"]));
    let lineage = lineage(&mut graph, run);
    assert_eq!((lineage.base, lineage.runs), (Base::Scratch, runs(&[run])));
}

#[test]
fn an_empty_definition_is_scratch() {
    let definition = Definition::parse(&[]).expect("a definition");
    assert_eq!(definition.output(), None);
    let lineage = definition.lineage();
    assert_eq!((lineage.base, lineage.stopped), (Base::Scratch, None));
    assert!(lineage.runs.is_empty());
}

#[test]
fn a_diff_continues_its_upper_side() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let upper = graph.run(base, "one");
    let with_lower = graph.diff(Some(base), Some(upper));
    let without = graph.diff(None, Some(with_lower));
    let lineage_of_diff = lineage(&mut graph, without);
    assert_eq!(lineage_of_diff.runs, runs(&[upper]));
    assert_eq!(lineage_of_diff.base, debian());
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let nothing = graph.diff(Some(base), None);
    assert_eq!(lineage(&mut graph, nothing).base, Base::Scratch);
}

#[test]
fn a_passthrough_continues_the_input_that_its_output_names() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let run = graph.run(base, "one");
    let mut edge = graph.passthrough(&[base, run], &[0, 1]);
    edge.index = 1;
    let lineage_of_second = lineage(&mut graph, edge);
    assert_eq!(lineage_of_second.runs, runs(&[run]));
    edge.index = 2;
    assert_eq!(stop(&lineage(&mut graph, edge)), &StopReason::Index);
}

#[test]
fn file_actions_are_followed_back_to_the_op_s_input() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let run = graph.run(base, "one");
    // Two inputs: action 2 is made from action 1, and that one from input 1.
    let made = graph.file(&[base, run], &[(0, -1), (1, -1), (3, 0)]);
    assert_eq!(lineage(&mut graph, made).runs, runs(&[run]));
}

#[test]
fn file_actions_in_a_circle_or_out_of_range_stop_it() {
    for actions in [
        vec![(2, 0), (1, -1)],
        vec![(1, 0)],
        vec![(9, 0)],
        vec![(-2, 0)],
        vec![(i64::MAX, 0)],
        vec![(i64::MIN, 0)],
        vec![(0, 1)],
    ] {
        let mut graph = Graph::default();
        let base = graph.image("debian");
        let file = graph.file(&[base], &actions);
        assert_eq!(stop(&lineage(&mut graph, file)), &StopReason::Index);
    }
}

#[test]
fn the_result_of_another_mount_is_not_a_root() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let mut exec = Exec::on(Some(base), &["true"]);
    // A secret: number 0, but no result.
    exec.mounts.push(Mount {
        input: -1,
        dest: "/secret",
        kind: 1,
        ..Mount::default()
    });
    exec.mounts.push(Mount {
        input: -1,
        dest: "/out",
        output: 1,
        ..Mount::default()
    });
    let mut edge = graph.exec(&exec);
    edge.index = 1;
    let reason = StopReason::Mount("/out".to_owned());
    assert_eq!(stop(&lineage(&mut graph, edge)), &reason);
    edge.index = 2;
    assert_eq!(stop(&lineage(&mut graph, edge)), &StopReason::Index);
}

#[test]
fn sources_merges_and_diffs_have_one_output() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let merge = graph.merge(&[base, base]);
    let diff = graph.diff(None, Some(base));
    for edge in [base, merge, diff] {
        let second = Edge { index: 1, ..edge };
        assert_eq!(stop(&lineage(&mut graph, second)), &StopReason::Index);
    }
}

#[test]
fn a_place_in_an_unknown_file_is_passed_over() {
    let mut graph = Graph::default();
    let run = graph.exec(&Exec::on(None, &["true"]));
    graph.locate_all(run, &[(7, 1), (-1, 2), (0, 3)]);
    let definition = Definition::parse(&graph.finish(run)).expect("a definition");
    let location = definition.source_location(&run.digest).expect("a place");
    assert_eq!(location.ranges[0].start.expect("a start").line, 3);
}

#[test]
fn nested_builds_and_newer_kinds_of_ops_stop_it_with_a_reason() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let build = graph.op(&[base], 5, &Message::default());
    let after = graph.run(build, "one");
    let lineage_of_build = lineage(&mut graph, after);
    assert_eq!(lineage_of_build.runs, runs(&[after]));
    assert_eq!(stop(&lineage_of_build), &StopReason::Build);
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let unknown = graph.op(&[base], 99, &Message::default());
    let lineage_of_unknown = lineage(&mut graph, unknown);
    assert_eq!(stop(&lineage_of_unknown), &StopReason::UnknownKind);
    assert!(
        lineage_of_unknown
            .stopped
            .expect("a stop")
            .to_string()
            .contains("unknown kind")
    );
}

#[test]
fn an_exec_that_no_run_made_is_walked_through_and_not_listed() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let scanner = graph.plain_exec(&Exec::on(Some(base), &["scan"]));
    let run = graph.run(scanner, "one");
    let bytes = graph.finish(run);
    let definition = Definition::parse(&bytes).expect("a definition");
    assert_eq!(definition.lineage().runs, runs(&[run]));
    assert_eq!(definition.run(&scanner.digest), None);
    assert_eq!(definition.run(&base.digest), None);
}

#[test]
fn other_sources_are_named() {
    let mut graph = Graph::default();
    let base = graph.source("oci-layout://x");
    let identifier = "oci-layout://x".to_owned();
    assert_eq!(lineage(&mut graph, base).base, Base::Other { identifier });
}

#[test]
fn a_run_is_shown_as_the_dockerfile_frontend_wrote_it() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let mut exec = Exec::on(Some(base), &["/bin/sh", "-c", "make"]);
    exec.user = "1000:1000";
    let edge = graph.plain_exec(&exec);
    graph.describe(
        edge,
        &[
            ("com.docker.dockerfile.v1.command", "RUN make"),
            ("llb.customname", "[2/2] RUN make"),
        ],
    );
    graph.locate(edge, 0, 2);
    let definition = Definition::parse(&graph.finish(edge)).expect("a definition");
    let run = definition.run(&edge.digest).expect("a RUN");
    assert_eq!(run.name, "[2/2] RUN make");
    assert_eq!(run.command, "RUN make");
    assert_eq!(run.args, ["/bin/sh", "-c", "make"]);
    assert_eq!(
        (run.user.as_str(), run.cwd.as_str()),
        ("1000:1000", "/work")
    );
    assert_eq!(run.env, ["PATH=/usr/bin"]);
    assert_eq!(
        run.platform.as_ref().expect("a platform").to_string(),
        "linux/arm64/v8"
    );
    let root = run.mounts.iter().find(|mount| mount.dest == "/");
    assert_eq!(root.expect("a root").source, Some(base));
    let location = definition.source_location(&edge.digest).expect("a place");
    assert_eq!(location.info.filename, "Dockerfile");
    assert_eq!(location.ranges[0].start.expect("a start").line, 2);
    assert_eq!(definition.source_location(&base.digest), None);
}

/// Mounts of each type with the numbers that client/llb/exec.go gives them: caches, tmpfs and
/// read-only binds -1, secrets and ssh sockets 0 although they have no result.
#[test]
fn output_indexes_count_the_mounts_that_have_results() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let mount = |dest, input, output, kind| Mount {
        input,
        dest,
        output,
        kind,
        ..Mount::default()
    };
    let mut exec = Exec::on(Some(base), &["make"]);
    exec.mounts = vec![
        root(0),
        mount("/cache", -1, -1, 3),
        mount("/rw", 0, 1, 0),
        mount("/tmpfs", -1, -1, 4),
        mount("/from", 0, -1, 0),
        mount("/secret", -1, 0, 1),
        mount("/ssh", -1, 0, 2),
        mount("/empty-cache", -1, 7, 3),
        mount("/newer", -1, 0, 99),
        mount("/last", -1, 2, 0),
        mount("/last", -1, 3, 0),
    ];
    let edge = graph.exec(&exec);
    let definition = Definition::parse(&graph.finish(edge)).expect("a definition");
    let run = definition.run(&edge.digest).expect("a RUN");
    let indexes: Vec<_> = run
        .mounts
        .iter()
        .map(|mount| run.output_index(&mount.dest))
        .collect();
    let none = None;
    assert_eq!(
        indexes,
        [
            Some(0),
            none,
            Some(1),
            none,
            none,
            none,
            none,
            none,
            none,
            Some(3),
            Some(3)
        ]
    );
    assert_eq!(run.output_index("/absent"), None);
    assert_eq!(run.mounts[1].kind, MountKind::Cache);
    assert_eq!(run.mounts[8].kind, MountKind::Unknown);
}
