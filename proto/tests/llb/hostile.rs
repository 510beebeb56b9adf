//! Definitions that no engine sends: each gets an answer that says what and where, soon.

use std::collections::BTreeMap;
use std::time::Duration;

use osderive_proto::llb::{
    Definition, DefinitionPart, Digest, Edge, LlbError, MAX_DEFINITION_BYTES, MAX_OPS,
};

use rustix::time::{ClockId, clock_gettime};

use crate::builder::{Exec, Graph, Message};
use crate::check::{decide, sample};
use crate::rewrite::tool;

/// Far above what the slowest machine needs without optimisation, far below quadratic time.
const SOON: Duration = Duration::from_secs(60);
const MANY: usize = 100_000;

fn refused(bytes: &[u8]) -> LlbError {
    let error = Definition::parse(bytes).expect_err("an error");
    assert!(!error.to_string().is_empty());
    error
}

fn with_op(op: &Message) -> Vec<u8> {
    let mut graph = Graph::default();
    let edge = graph.raw(op.0.clone());
    graph.finish(edge)
}

#[test]
fn wire_garbage_is_refused() {
    for bytes in [
        &[0x0a][..],
        &[0x0a, 0xff],
        &[0x0a, 5, 1],
        &[0x0b],
        &[0x0b, 0x0c],
        &[0x08, 1],
        &[0x10, 1],
        &[0x18, 1],
        &[0x00],
        &[0x80; 20],
    ] {
        let (DefinitionPart::Definition | DefinitionPart::Source) = wire_place(bytes) else {
            panic!("{bytes:?}");
        };
    }
}

fn wire_place(bytes: &[u8]) -> DefinitionPart {
    match refused(bytes) {
        LlbError::Wire { place, .. } => place,
        other => panic!("{other}"),
    }
}

#[test]
fn ops_that_do_not_decode_are_named() {
    let not_an_exec = Message::default().bytes(2, [0xff]);
    let input_as_number = Message::default().int(1, 7);
    let wrong_string = Message::default().message(3, &Message::default().bytes(1, [0xff, 0xfe]));
    let bad_passthrough = Message::default().bytes(8, [0xff]);
    for op in [not_an_exec, input_as_number, wrong_string, bad_passthrough] {
        let digest = Digest::of(&op.0);
        let error = refused(&with_op(&op));
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
    }
}

#[test]
fn missing_inputs_and_other_algorithms_are_named() {
    let hex = "0".repeat(64);
    for digest in [
        "",
        "x",
        &format!("sha256:{hex}"),
        &format!("sha512:{hex}{hex}"),
    ] {
        let input = Message::default().text(1, digest);
        let op = Message::default().message(1, &input).bytes(6, []);
        match refused(&with_op(&op)) {
            LlbError::MissingInput { input, .. } => assert_eq!(input, digest),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn indexes_below_zero_and_beyond_all_bounds_are_refused() {
    for index in [-1, i64::MIN, i64::MAX, 1 << 32] {
        let mut graph = Graph::default();
        let base = graph.image("debian");
        let input = Message::default()
            .text(1, &base.digest.to_string())
            .int(2, index);
        graph.raw(Message::default().message(1, &input).0);
        let error = refused(&graph.document());
        assert!(matches!(error, LlbError::InputIndex { index: found, .. } if found == index));
    }
}

#[test]
fn the_last_op_must_be_terminal() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    assert!(matches!(
        refused(&graph.document()),
        LlbError::Terminal { .. }
    ));
    let input = graph.input(&base);
    let two = Message::default().message(1, &input).message(1, &input);
    for last in [Message::default(), two] {
        let mut graph = Graph::default();
        graph.image("debian");
        graph.raw(last.0);
        assert!(matches!(
            refused(&graph.document()),
            LlbError::Terminal { .. }
        ));
    }
    graph.run(base, "make");
    assert!(matches!(
        refused(&graph.document()),
        LlbError::Terminal { .. }
    ));
}

#[test]
fn metadata_and_locations_that_do_not_decode_are_refused() {
    for (number, place) in [
        (2, DefinitionPart::Metadata("key".to_owned())),
        (3, DefinitionPart::Source),
    ] {
        let entry = Message::default().text(1, "key").bytes(2, [0xff]);
        let field = if number == 2 {
            entry
        } else {
            Message::default().message(1, &entry)
        };
        let document = Message::default().message(number, &field);
        let LlbError::Undecodable { place: found, .. } = refused(&document.0) else {
            panic!("{place}");
        };
        assert_eq!(found, place);
    }
}

#[test]
fn a_part_of_a_definition_names_the_op_whose_metadata_is_garbage() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let run = graph.plain_exec(&Exec::on(Some(base), &["make"]));
    // A capability whose wire type is that of a number. prost reads an entry of a map whatever its wire type, so the
    // definition decodes. Without its mark (`ignore_cache`, 1), which is part of that capability, it does not.
    let garbage = Message::default()
        .int(5, 16)
        .bytes(1, "source.local")
        .int(2, 1);
    graph.annotate(run, garbage);
    let definition = Definition::parse(&graph.finish(run)).expect("a definition");
    let LlbError::Undecodable { place, .. } = definition.subgraph(&run).expect_err("fails") else {
        panic!("another error");
    };
    assert_eq!(place, DefinitionPart::Metadata(run.digest.to_string()));
}

#[test]
fn too_much_is_refused_before_it_is_read() {
    let bytes = vec![0; MAX_DEFINITION_BYTES + 1];
    assert!(matches!(refused(&bytes), LlbError::TooLarge { .. }));
    let ops = [0x0a, 0].repeat(MAX_OPS + 1);
    assert!(matches!(refused(&ops), LlbError::TooManyOps { .. }));
}

#[test]
fn ops_that_are_there_twice_are_one() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let run = graph.run(base, "make");
    graph.ops.push(graph.ops[1].clone());
    let bytes = graph.finish(run);
    let definition = Definition::parse(&bytes).expect("a definition");
    assert_eq!(definition.to_bytes(), bytes);
    let new = definition
        .rewrite(&decide(&definition), Some(&tool()))
        .expect("a rewrite");
    crate::check::digests_hold(&new.definition.to_bytes());
}

#[test]
fn metadata_of_absent_ops_is_carried_along() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let absent = Edge {
        digest: Digest::of(b"absent"),
        index: 0,
    };
    graph.describe(absent, &[("kept", "kept")]);
    graph.locate(absent, 99, 1);
    let run = graph.run(base, "make");
    let definition = Definition::parse(&graph.finish(run)).expect("a definition");
    assert_eq!(definition.run(&absent.digest), None);
    assert_eq!(definition.source_location(&absent.digest), None);
    let new = definition
        .rewrite(&decide(&definition), Some(&tool()))
        .expect("a rewrite");
    let after = crate::check::contents(&new.definition.to_bytes());
    assert!(
        after
            .definition
            .metadata
            .contains_key(&absent.digest.to_string())
    );
}

#[test]
fn ops_in_any_order_are_read_and_rewritten() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let first = graph.run(base, "one");
    let last = graph.run(first, "two");
    graph.ops.reverse();
    let definition = Definition::parse(&graph.finish(last)).expect("a definition");
    assert_eq!(definition.lineage().runs, [first.digest, last.digest]);
    let new = definition
        .rewrite(&decide(&definition), Some(&tool()))
        .expect("a rewrite");
    assert_eq!(new.digests.len(), 3);
    let part = new
        .definition
        .subgraph(&new.definition.output().expect("an output"));
    crate::check::digests_hold(&part.expect("a subgraph").to_bytes());
}

/// Of this thread's own time what else runs on the machine takes nothing.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let used = || clock_gettime(ClockId::ThreadCPUTime);
    let start = used();
    let result = work();
    let took = Duration::try_from(used() - start).expect("a time");
    println!("{what}: {took:?}");
    assert!(took < SOON, "{what} took {took:?}");
    result
}

#[test]
fn a_chain_of_100_000_runs_takes_linear_time() {
    let mut graph = Graph::default();
    let mut last = graph.image("debian");
    for _ in 0..MANY {
        last = graph.run(last, "make");
    }
    let bytes = graph.finish(last);
    let definition = timed("parse", || Definition::parse(&bytes)).expect("a definition");
    let lineage = timed("lineage", || definition.lineage());
    assert_eq!(lineage.runs.len(), MANY);
    let runs = timed("runs", || definition.runs_and_those_before());
    assert!(runs.iter().map(|(run, _)| run).eq(&lineage.runs));
    let tool = tool();
    // Splicing the first changes every op; splicing all costs the same again.
    let first = lineage.runs[0];
    let splices = BTreeMap::from([(first, sample(&[]))]);
    let new = timed("rewrite of one", || {
        definition.rewrite(&splices, Some(&tool))
    });
    assert_eq!(new.expect("a rewrite").digests.len(), MANY + 1);
    let splices = timed("decide", || decide(&definition));
    let new = timed("rewrite of all", || {
        definition.rewrite(&splices, Some(&tool))
    });
    let new = new.expect("a rewrite").definition;
    let output = new.output().expect("an output");
    timed("subgraph", || new.subgraph(&output)).expect("a subgraph");
}

#[test]
fn a_fan_of_100_000_inputs_takes_linear_time() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let shared = graph.run(base, "shared");
    let mut layers = vec![shared];
    for index in 1..MANY {
        layers.push(graph.plain_exec(&Exec::on(Some(shared), &[&index.to_string()])));
    }
    let last = graph.merge(&layers);
    let bytes = graph.finish(last);
    let definition = timed("parse", || Definition::parse(&bytes)).expect("a definition");
    let splices = decide(&definition);
    assert_eq!(splices.len(), 1);
    let new = timed("rewrite", || definition.rewrite(&splices, Some(&tool())));
    assert_eq!(new.expect("a rewrite").digests.len(), MANY + 2);
}

#[test]
fn a_file_op_of_100_000_actions_takes_linear_time() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let mut actions = vec![(0, -1)];
    for index in 1..MANY {
        let output = if index + 1 == MANY { 0 } else { -1 };
        actions.push((i64::try_from(index).expect("a small number"), output));
    }
    let file = graph.file(&[base], &actions);
    let definition = Definition::parse(&graph.finish(file)).expect("a definition");
    let lineage = timed("lineage", || definition.lineage());
    assert_eq!(lineage.steps, [base, file]);
}
