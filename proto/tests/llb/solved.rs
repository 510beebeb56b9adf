//! Definitions that ask about what a build has solved: no op of it may bring the mark again that it is to be made
//! without the cache, for an engine then forgets what is in its cache mounts.

use osderive_proto::llb::{Definition, Edge, Probe, RootAccess, Wanted};

use crate::builder::{Exec, Graph, Message};
use crate::check::{contents, digests_hold};
use crate::rewrite::tool;

/// A RUN that is made without the cache.
fn run_anew(graph: &mut Graph, base: Edge, command: &str) -> Edge {
    let edge = graph.plain_exec(&Exec::on(Some(base), &["sh", "-c", command]));
    let name = Message::default()
        .text(1, "com.docker.dockerfile.v1.command")
        .text(2, command);
    graph.annotate(edge, Message::default().int(1, 1).message(2, &name));
    graph.locate(edge, 0, 2);
    edge
}

fn parse(bytes: &[u8]) -> Definition {
    Definition::parse(bytes).expect("a definition")
}

/// The ops that are made without the cache.
fn marked(definition: &Definition) -> Vec<String> {
    let bytes = definition.to_bytes();
    digests_hold(&bytes);
    let metadata = contents(&bytes).definition.metadata.into_iter();
    let mut marked: Vec<String> = metadata
        .filter(|(_, metadata)| metadata.ignore_cache)
        .map(|(digest, _)| digest)
        .collect();
    marked.sort();
    marked
}

fn names(edges: &[Edge]) -> Vec<String> {
    let mut names: Vec<String> = edges.iter().map(|edge| edge.digest.to_string()).collect();
    names.sort();
    names
}

#[test]
fn a_question_about_a_step_does_not_have_it_made_anew() {
    for mut graph in [Graph::default(), Graph::exotic()] {
        let base = graph.image("debian");
        let first = run_anew(&mut graph, base, "one");
        let last = run_anew(&mut graph, first, "two");
        let image = parse(&graph.finish(last));
        assert_eq!(marked(&image), names(&[first, last]));

        let state = image.subgraph(&first).expect("a subgraph");
        assert_eq!(marked(&state), [""; 0]);
        assert_eq!(state.run(&first.digest), image.run(&first.digest));
        assert_eq!(
            state.source_location(&first.digest),
            image.source_location(&first.digest)
        );

        let probe = Probe {
            args: vec!["look".to_owned()],
            tool_dest: "/dev/.tool".to_owned(),
            tool_selector: String::new(),
            output_dest: "/dev/.tool-out".to_owned(),
            reads: Vec::new(),
            root: RootAccess::Read,
            title: "look".to_owned(),
        };
        let probed = image
            .probe(&last, &tool(), &probe, Wanted::Report)
            .expect("a probe");
        let look = probed.output().expect("an output");
        assert_eq!(marked(&probed), names(&[look]), "only the look itself");
    }
}

#[test]
fn of_a_scan_only_what_the_image_does_not_have_is_made_anew() {
    let mut graph = Graph::exotic();
    let base = graph.image("debian");
    let built = run_anew(&mut graph, base, "make");
    let mut scan = Graph::exotic();
    let scanner = scan.image("scanner");
    let base = scan.image("debian");
    let same = run_anew(&mut scan, base, "make");
    assert_eq!(same, built);
    let mut exec = Exec::on(Some(scanner), &["scan"]);
    exec.inputs.push(same);
    let looked = scan.plain_exec(&exec);
    scan.annotate(looked, Message::default().int(1, 1));
    let image = parse(&graph.finish(built));
    let scan = parse(&scan.finish(looked));
    assert_eq!(marked(&scan), names(&[same, looked]));
    let after = scan.after([&image]).expect("a definition");
    assert_eq!(marked(&after), names(&[looked]));
    assert!(after.digests().eq(scan.digests()));
    let untouched = scan.after([]).expect("a definition");
    assert_eq!(untouched.to_bytes(), scan.to_bytes());
}
