//! What must hold for every rewrite, checked through the typed messages and not through the code
//! under test; and the splice and the decision that the tests use.

use std::collections::{BTreeMap, BTreeSet};

use bollard_buildkit_proto::pb;
use osderive_proto::llb::{Definition, Digest, NewMount, Rewritten, Splice};
use prost::Message;

pub(crate) const TOOL_MOUNT: &str = "/dev/.tool";
pub(crate) const REPORT_MOUNT: &str = "/dev/.tool-out";
const STEP: [&str; 3] = ["/dev/.tool/run", "step", "--"];

/// Splices for every RUN of the lineage that is not wrapped yet.
pub(crate) fn decide(definition: &Definition) -> BTreeMap<Digest, Splice> {
    let runs = definition.lineage().runs.into_iter();
    runs.filter_map(|digest| definition.run(&digest))
        .filter(|run| run.args.first().is_none_or(|arg| arg != STEP[0]))
        .map(|run| (run.digest, sample(&run.args)))
        .collect()
}

/// A splice with everything in it.
pub(crate) fn sample(args: &[String]) -> Splice {
    let step = STEP.map(str::to_owned).into_iter();
    Splice {
        args: step.chain(args.iter().cloned()).collect(),
        user: Some("root".to_owned()),
        mounts: vec![
            NewMount::ReadOnly {
                dest: TOOL_MOUNT.to_owned(),
                selector: "/tool".to_owned(),
            },
            NewMount::Output {
                dest: REPORT_MOUNT.to_owned(),
            },
        ],
    }
}

/// What is in a definition, by digest and by the typed messages.
pub(crate) struct Contents {
    pub(crate) ops: BTreeMap<String, pb::Op>,
    pub(crate) order: Vec<String>,
    pub(crate) definition: pb::Definition,
}

pub(crate) fn contents(bytes: &[u8]) -> Contents {
    let definition = pb::Definition::decode(bytes).expect("a definition");
    let mut ops = BTreeMap::new();
    let mut order = Vec::new();
    for op in &definition.def {
        let digest = Digest::of(op).to_string();
        ops.insert(
            digest.clone(),
            pb::Op::decode(op.as_slice()).expect("an op"),
        );
        order.push(digest);
    }
    Contents {
        ops,
        order,
        definition,
    }
}

/// Every digest holds, each op once and behind its inputs, the terminal op last.
pub(crate) fn digests_hold(bytes: &[u8]) {
    let contents = contents(bytes);
    let mut seen = BTreeSet::new();
    for digest in &contents.order {
        for input in &contents.ops[digest].inputs {
            assert!(seen.contains(&input.digest), "{digest} before its input");
        }
        assert!(seen.insert(digest.clone()), "{digest} twice");
    }
    let last = &contents.ops[contents.order.last().expect("a terminal op")];
    assert!(last.op.is_none() && last.inputs.len() == 1);
    let source = contents.definition.source.unwrap_or_default();
    let keys = contents
        .definition
        .metadata
        .keys()
        .chain(source.locations.keys());
    for key in keys {
        assert!(seen.contains(key), "metadata or location of absent {key}");
    }
}

/// The rewrite did what `splices` say and nothing else.
pub(crate) fn only_spliced(
    old: &Definition,
    splices: &BTreeMap<Digest, Splice>,
    tool: &Definition,
    rewritten: &Rewritten,
) {
    let (before, after) = (
        contents(&old.to_bytes()),
        contents(&rewritten.definition.to_bytes()),
    );
    let renamed = |digest: &str| {
        let digest: Digest = digest.parse().expect("a digest");
        rewritten
            .digests
            .get(&digest)
            .unwrap_or(&digest)
            .to_string()
    };
    for (digest, op) in &before.ops {
        let mut expected = op.clone();
        for input in &mut expected.inputs {
            input.digest = renamed(&input.digest);
        }
        if let Some(splice) = splices.get(&digest.parse().expect("a digest")) {
            apply(&mut expected, splice, tool);
        }
        let new = renamed(digest);
        assert_eq!(after.ops[&new], expected, "{digest}");
        assert_eq!(expected == *op, new == *digest, "{digest}");
        let metadata = before.definition.metadata.get(digest);
        assert_eq!(after.definition.metadata.get(&new), metadata);
    }
    let locations = |contents: &Contents| contents.definition.source.clone().unwrap_or_default();
    let (old, new) = (locations(&before), locations(&after));
    assert_eq!(old.infos, new.infos);
    assert_eq!(old.locations.len(), new.locations.len());
    for (digest, found) in &old.locations {
        assert_eq!(new.locations.get(&renamed(digest)), Some(found));
    }
}

fn apply(op: &mut pb::Op, splice: &Splice, tool: &Definition) {
    let edge = tool.output().expect("a tool");
    let tool_input = i64::try_from(op.inputs.len()).expect("a small number");
    op.inputs.push(pb::Input {
        digest: edge.digest.to_string(),
        index: i64::from(edge.index),
    });
    let Some(pb::op::Op::Exec(exec)) = &mut op.op else {
        panic!("an exec");
    };
    let meta = exec.meta.as_mut().expect("meta");
    meta.args.clone_from(&splice.args);
    meta.user = splice.user.clone().unwrap_or_else(|| meta.user.clone());
    let outputs = exec.mounts.iter().filter(|mount| {
        mount.output != -1 && (mount.mount_type == 0 || mount.mount_type == 3 && mount.input != -1)
    });
    let outputs = i64::try_from(outputs.count()).expect("a small number");
    exec.mounts.push(pb::Mount {
        input: tool_input,
        selector: "/tool".to_owned(),
        dest: TOOL_MOUNT.to_owned(),
        output: -1,
        readonly: true,
        ..pb::Mount::default()
    });
    exec.mounts.push(pb::Mount {
        input: -1,
        dest: REPORT_MOUNT.to_owned(),
        output: outputs,
        ..pb::Mount::default()
    });
}
