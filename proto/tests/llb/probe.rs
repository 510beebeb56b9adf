//! An exec of our own on top of a build: what it is on the wire, and that the build stays as it is.

use osderive_proto::llb::{Definition, Digest, Edge, LlbError, Probe, RootAccess, Wanted};

use crate::builder::{Exec, Graph, LEVELS, Message};
use crate::check::{contents, digests_hold};
use crate::rewrite::tool;

fn probe() -> Probe {
    Probe {
        args: ["/dev/.tool/run", "look"].map(str::to_owned).into(),
        tool_dest: "/dev/.tool".to_owned(),
        tool_selector: "/tool".to_owned(),
        output_dest: "/dev/.tool-out".to_owned(),
        reads: Vec::new(),
        root: RootAccess::Read,
        title: "look".to_owned(),
    }
}

fn parse(bytes: &[u8]) -> Definition {
    Definition::parse(bytes).expect("a definition")
}

/// What Go's marshaller would have made of the op.
fn expected(root: Edge, tool: Edge, reads: &[(Edge, &str)]) -> Vec<u8> {
    let graph = Graph::default();
    let meta = Message::default()
        .texts(1, &["/dev/.tool/run", "look"])
        .text(3, "/");
    let mounts = [
        Message::default().text(3, "/").int(5, 1),
        Message::default()
            .int(1, 1)
            .text(2, "/tool")
            .text(3, "/dev/.tool")
            .int(4, -1)
            .int(5, 1),
        Message::default()
            .int(1, -1)
            .text(3, "/dev/.tool-out")
            .int(4, 1),
    ];
    let reading = (2..).zip(reads).map(|(input, (_, dest))| {
        (Message::default().int(1, input).text(3, dest))
            .int(4, input)
            .int(5, 1)
    });
    let mut exec = Message::default().message(1, &meta);
    for mount in mounts.into_iter().chain(reading) {
        exec = exec.message(2, &mount);
    }
    let mut op = Message::default()
        .message(1, &graph.input(&root))
        .message(1, &graph.input(&tool));
    for (edge, _) in reads {
        op = op.message(1, &graph.input(edge));
    }
    op.message(2, &exec.int(3, 2)).0
}

#[test]
fn the_op_is_what_go_would_have_written() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let made = graph.run(base, "make");
    let old = parse(&graph.finish(made));
    let tool = tool();
    let probed = old
        .probe(&made, &tool, &probe(), Wanted::Report)
        .expect("a probe");
    let tool_edge = tool.output().expect("a tool");
    let edge = |reads: &[(Edge, &str)]| Edge {
        digest: Digest::of(&expected(made, tool_edge, reads)),
        index: 1,
    };
    assert_eq!(probed.output(), Some(edge(&[])));
    let second = Edge { index: 1, ..made };
    let reads = [(second, "/dev/a"), (base, "/dev/b")];
    let reading = Probe {
        reads: reads.map(|(edge, dest)| (edge, dest.to_owned())).into(),
        ..probe()
    };
    let read = old
        .probe(&made, &tool, &reading, Wanted::Report)
        .expect("a probe");
    assert_eq!(read.output(), Some(edge(&reads)));
    let above = old.probe(&base, &tool, &reading, Wanted::Report);
    assert!(matches!(above, Err(LlbError::Absent { .. })), "{above:?}");
    let again = old
        .probe(&made, &tool, &probe(), Wanted::Report)
        .expect("a probe");
    assert_eq!(again.to_bytes(), probed.to_bytes());
}

#[test]
fn the_ops_of_the_state_are_there_byte_for_byte_and_no_others() {
    let mut graph = Graph::exotic();
    let base = graph.image("debian");
    let first = graph.run(base, "one");
    let copied = graph.copy(first, base);
    let last = graph.run(copied, "two");
    let old = parse(&graph.finish(last));
    let tool = tool();
    let tool_ops: Vec<Digest> = tool.digests().collect();
    for (root, states) in [
        (last, vec![base, first, copied, last]),
        (base, vec![base]),
        (first, vec![base, first]),
    ] {
        let probed = old
            .probe(&root, &tool, &probe(), Wanted::Report)
            .expect("a probe");
        let bytes = probed.to_bytes();
        digests_hold(&bytes);
        let mut expected = vec![tool_ops[0]];
        expected.extend(states.iter().map(|state| state.digest));
        let digests: Vec<Digest> = probed.digests().collect();
        assert_eq!(digests[..digests.len() - 2], expected);
        for state in &states {
            let location = probed.source_location(&state.digest);
            assert_eq!(location, old.source_location(&state.digest));
            assert_eq!(probed.run(&state.digest), old.run(&state.digest));
        }
        // Each state is a digest over its bytes, so those are all there; the other levels are counted.
        let unknown = |level: &&&str| {
            let marker = Message::default().text(1000, level).0;
            bytes.windows(marker.len()).any(|window| window == marker)
        };
        if root == last {
            assert_eq!(LEVELS.iter().filter(unknown).count(), LEVELS.len());
        }
    }
}

#[test]
fn progress_shows_its_title_and_the_tools_own() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let old = parse(&graph.finish(base));
    let probed = old
        .probe(&base, &tool(), &probe(), Wanted::Report)
        .expect("a probe");
    let titles = contents(&probed.to_bytes()).definition.metadata;
    let title = |digest: Digest| {
        let metadata = &titles[&digest.to_string()];
        metadata.description.get("llb.customname").cloned()
    };
    let exec = probed.output().expect("an output").digest;
    assert_eq!(title(exec).as_deref(), Some("look"));
    let tool = tool().output().expect("a tool").digest;
    assert_eq!(title(tool).as_deref(), Some("the tool"));
}

#[test]
fn it_runs_again_when_the_state_is_made_anew() {
    let ignored = |ignore: bool| {
        let mut graph = Graph::default();
        let base = graph.image("debian");
        let made = graph.plain_exec(&Exec::on(Some(base), &["make"]));
        graph.annotate(made, Message::default().int(1, i64::from(ignore)));
        let old = parse(&graph.finish(made));
        [base, made].map(|root| {
            let probed = old
                .probe(&root, &tool(), &probe(), Wanted::Report)
                .expect("a probe");
            let exec = probed.output().expect("an output").digest;
            let metadata = contents(&probed.to_bytes()).definition.metadata;
            metadata[&exec.to_string()].ignore_cache
        })
    };
    assert_eq!(ignored(false), [false, false]);
    assert_eq!(ignored(true), [false, true], "only what is made anew");
}

#[test]
fn a_tool_that_the_build_has_too_is_there_once() {
    let mut graph = Graph::default();
    let base = graph.image("frontend");
    let made = graph.run(base, "make");
    let old = parse(&graph.finish(made));
    let mut own = Graph::default();
    let same = own.image("frontend");
    let tool = parse(&own.finish(same));
    let probed = old
        .probe(&made, &tool, &probe(), Wanted::Report)
        .expect("a probe");
    digests_hold(&probed.to_bytes());
    assert_eq!(probed.digests().count(), 4);
}

#[test]
fn without_a_state_or_a_tool_there_is_none() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let old = parse(&graph.finish(base));
    let absent = Edge {
        digest: Digest::of(b"other"),
        index: 0,
    };
    let error = old.probe(&absent, &tool(), &probe(), Wanted::Report);
    assert!(matches!(error, Err(LlbError::Absent { .. })), "{error:?}");
    let error = old.probe(&base, &parse(&[]), &probe(), Wanted::Report);
    assert!(matches!(error, Err(LlbError::NoTool { .. })), "{error:?}");
}

#[test]
fn a_root_that_may_be_changed_is_the_first_output() {
    let mut graph = Graph::default();
    let base = graph.image("debian");
    let made = graph.run(base, "make");
    let old = parse(&graph.finish(made));
    let tool = tool();
    let write = Probe {
        root: RootAccess::Write,
        ..probe()
    };
    let [root, report] = [Wanted::Root, Wanted::Report]
        .map(|wanted| old.probe(&made, &tool, &write, wanted).expect("a probe"));
    let [root, report] = [root, report].map(|definition| definition.output().expect("one"));
    assert_eq!(root.digest, report.digest, "one exec makes both");
    assert_eq!((root.index, report.index), (0, 1));
    let read = old.probe(&made, &tool, &probe(), Wanted::Report);
    assert_ne!(
        read.expect("a probe").output().expect("one").digest,
        root.digest
    );
}

#[test]
fn what_goes_on_from_a_state_goes_on_from_what_is_grafted() {
    let mut graph = Graph::exotic();
    let base = graph.image("debian");
    let made = graph.run(base, "make");
    let image = parse(&graph.finish(made));
    let scan = graph.run(made, "scan");
    let beside = graph.run(made, "beside");
    let both = graph.merge(&[scan, beside]);
    let scans = parse(&graph.finish(both));
    let write = Probe {
        root: RootAccess::Write,
        ..probe()
    };
    let root = image
        .probe(&made, &tool(), &write, Wanted::Root)
        .expect("a probe");
    let grafted = scans
        .graft(made, &root, |user| *user == scan.digest)
        .expect("grafts");
    digests_hold(&grafted.to_bytes());
    let users = |definition: &Definition, edge: Edge| {
        let runs = definition.runs_and_those_before().into_iter();
        let runs = runs.filter_map(|(run, _)| definition.run(&run));
        runs.filter(|run| run.root() == Some(edge)).count()
    };
    let new = root.output().expect("one");
    assert_eq!((users(&grafted, new), users(&grafted, made)), (1, 1));
    let again = scans.graft(base, &root, |user| *user == scan.digest);
    assert_eq!(again.expect("nothing").to_bytes(), scans.to_bytes());
}
