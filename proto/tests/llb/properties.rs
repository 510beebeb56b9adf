//! The invariants on random graphs and on random damage.

use osderive_proto::llb::{Definition, Edge};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::builder::{Exec, Graph, Mount};
use crate::check::{decide, digests_hold, only_spliced};
use crate::rewrite::tool;

/// One op, on ops that are there already.
#[derive(Clone, Debug)]
enum Step {
    Image(u8),
    Run {
        base: Index,
        command: u8,
        bind: Option<Index>,
        user: bool,
        output: bool,
    },
    Copy(Index, Index),
    Merge(Vec<Index>),
    Diff(Index, Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        1 => any::<u8>().prop_map(Step::Image),
        4 => (index(), any::<u8>(), proptest::option::of(index()), any::<bool>(), any::<bool>())
            .prop_map(|(base, command, bind, user, output)| Step::Run {
                base, command, bind, user, output,
            }),
        2 => (index(), index()).prop_map(|(base, from)| Step::Copy(base, from)),
        1 => proptest::collection::vec(index(), 1..4).prop_map(Step::Merge),
        1 => (index(), index()).prop_map(|(lower, upper)| Step::Diff(lower, upper)),
    ]
}

fn definition() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), proptest::collection::vec(step(), 0..24)).prop_map(|(exotic, steps)| {
        let mut graph = if exotic {
            Graph::exotic()
        } else {
            Graph::default()
        };
        let mut edges = vec![graph.image("debian")];
        for step in &steps {
            let edge = add(&mut graph, &edges, step);
            edges.push(edge);
        }
        graph.finish(edges[edges.len() - 1])
    })
}

fn add(graph: &mut Graph, edges: &[Edge], step: &Step) -> Edge {
    let at = |index: &Index| *index.get(edges);
    match step {
        Step::Image(name) => graph.image(&format!("image{name}")),
        Step::Copy(base, from) => graph.copy(at(base), at(from)),
        Step::Merge(layers) => graph.merge(&layers.iter().map(at).collect::<Vec<_>>()),
        Step::Diff(lower, upper) => graph.diff(Some(at(lower)), Some(at(upper))),
        Step::Run {
            base,
            command,
            bind,
            user,
            output,
        } => {
            let command = format!("command {command}");
            let mut exec = Exec::on(Some(at(base)), &["sh", "-c", &command]);
            if *user {
                exec.user = "daemon";
            }
            if let Some(bind) = bind {
                exec.inputs.push(at(bind));
                exec.mounts.push(Mount {
                    input: 1,
                    dest: "/mnt",
                    output: i64::from(*output) * 2 - 1,
                    ..Mount::default()
                });
            }
            graph.exec(&exec)
        }
    }
}

/// Damage: a byte that changes, or an end that is missing.
fn damage(bytes: &mut Vec<u8>, at: Index, value: Option<u8>) {
    let at = at.index(bytes.len());
    match value {
        Some(value) => bytes[at] = value,
        None => bytes.truncate(at),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_unchanged_document_is_byte_identical(bytes in definition()) {
        let definition = Definition::parse(&bytes).expect("a definition");
        prop_assert_eq!(definition.to_bytes(), bytes);
    }

    #[test]
    fn a_rewrite_does_what_it_is_told_and_nothing_else(bytes in definition()) {
        let old = Definition::parse(&bytes).expect("a definition");
        let splices = decide(&old);
        let tool = tool();
        let rewritten = old.rewrite(&splices, Some(&tool)).expect("a rewrite");
        if splices.is_empty() {
            prop_assert_eq!(rewritten.definition.to_bytes(), bytes);
            return Ok(());
        }
        digests_hold(&rewritten.definition.to_bytes());
        only_spliced(&old, &splices, &tool, &rewritten);
        prop_assert_eq!(rewritten.definition.lineage().runs.len(), old.lineage().runs.len());
        prop_assert!(decide(&rewritten.definition).is_empty());
        for run in rewritten.definition.lineage().runs {
            let run = rewritten.definition.run(&run).expect("a RUN");
            prop_assert!(run.output_index(crate::check::REPORT_MOUNT) >= Some(1));
        }
    }

    #[test]
    fn every_state_has_a_valid_subgraph(bytes in definition()) {
        let whole = Definition::parse(&bytes).expect("a definition");
        for edge in whole.lineage().steps {
            let part = whole.subgraph(&edge).expect("a subgraph");
            digests_hold(&part.to_bytes());
            prop_assert_eq!(part.lineage(), whole.lineage_of(&edge));
        }
    }

    #[test]
    fn damage_never_panics(
        bytes in definition(),
        damages in proptest::collection::vec((any::<Index>(), any::<Option<u8>>()), 1..4),
    ) {
        let mut bytes = bytes;
        for (at, value) in damages {
            if !bytes.is_empty() {
                damage(&mut bytes, at, value);
            }
        }
        if let Ok(definition) = Definition::parse(&bytes) {
            prop_assert_eq!(definition.to_bytes(), bytes);
            let _ = definition.rewrite(&decide(&definition), Some(&tool()));
        }
    }

    /// Damage within an op changes its digest, which the document would refuse; so the ops are
    /// damaged first and the document is built around them.
    #[test]
    fn damaged_ops_never_panic(
        bytes in definition(),
        damages in proptest::collection::vec((any::<Index>(), any::<Option<u8>>()), 1..4),
    ) {
        let mut op = crate::check::contents(&bytes).definition.def.swap_remove(0);
        for (at, value) in damages {
            if !op.is_empty() {
                damage(&mut op, at, value);
            }
        }
        let mut graph = Graph::default();
        let edge = graph.raw(op);
        graph.describe(edge, &[("com.docker.dockerfile.v1.command", "RUN x")]);
        if let Ok(definition) = Definition::parse(&graph.finish(edge)) {
            let splices = decide(&definition);
            if let Ok(new) = definition.rewrite(&splices, Some(&tool())) {
                digests_hold(&new.definition.to_bytes());
            }
        }
    }
}
