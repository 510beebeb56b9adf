//! LLB definitions as an engine sends them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints_fuzz::in_proportion;
use osderive_proto::llb::{Definition, LlbError};

fuzz_target!(|bytes: &[u8]| in_proportion(bytes, 4000, || {
    let Ok(definition) = Definition::parse(bytes) else {
        return;
    };
    // What was read is the same when it is read again, whatever it holds.
    let written = definition.to_bytes();
    let again = Definition::parse(&written).expect("a definition");
    assert_eq!(again.to_bytes(), written);
    assert!(again.digests().eq(definition.digests()));
    let lineage = definition.lineage();
    let _ = definition.runs_and_those_before();
    for digest in definition.digests() {
        let _ = definition.run(&digest);
        let _ = definition.source_location(&digest);
    }
    for step in &lineage.steps {
        let _ = (definition.copied_to(step), definition.is_merged(step));
    }
    if let Some(output) = definition.output() {
        match definition.subgraph(&output) {
            Ok(part) => assert_eq!(part.output(), Some(output)),
            // Its metadata may be garbage, which is read only now.
            Err(error) => assert!(!matches!(error, LlbError::Absent { .. }), "{error}"),
        }
    }
}));
