//! What is wrong with the configuration of an image, which is known before it is built.

use osderive_lints::{ImageConfig, unbuilt};
use osderive_proto::llb::{Base, Lineage};

use crate::diagnostics::decisions::Decisions;
use crate::diagnostics::found::Found;
use crate::facts::lineage;

/// The findings about it.
pub(crate) fn findings(decisions: &Decisions, config: &[u8], lineage: &Lineage) -> Vec<Found> {
    let Ok(config) = serde_json::from_slice::<ImageConfig>(config) else {
        return Vec::new();
    };
    // What is copied whole brings none of its configuration.
    let has_base = lineage.base != Base::Scratch && !lineage.is_flattened();
    let findings = unbuilt::of_config(&decisions.lineage(), &config, has_base);
    let findings = findings.into_iter();
    let findings = findings.filter_map(|finding| decisions.weigh(finding));
    let end = lineage::end(lineage);
    findings
        .map(|finding| decisions.located(finding, end))
        .collect()
}
