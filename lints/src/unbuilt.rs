//! What is wrong with an image before it is built: what its configuration will say. Each finding has the lines of the
//! instruction that brings it; what no instruction brings is the base's.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::Instruction;
use crate::rules::{
    Need, RULES, Rule, config_container_only, config_labels, config_ostree_labels,
    config_stop_signal, secret_in_env,
};
use crate::{Finding, ImageConfig, Origin, Severity};

/// The rules that [`of_config`] asks.
pub const OF_CONFIG: [&Rule; 5] = [
    &config_container_only::RULE,
    &config_labels::RULE,
    &config_ostree_labels::RULE,
    &config_stop_signal::RULE,
    &secret_in_env::RULE,
];

/// The rules that no build asks: those that need an image as it is exported.
pub fn unasked() -> Vec<&'static str> {
    let is_asked = |rule: &Rule| {
        rule.needs == Need::Tree || OF_CONFIG.iter().any(|known| known.name == rule.name)
    };
    let unasked = RULES.iter().filter(|rule| !is_asked(rule));
    unasked.map(|rule| rule.name).collect()
}

/// What the configuration of an image will say that an instruction of its lineage
/// ([`crate::policy::Containerfile::lineage`]) brings; with `has_base`, what is missing is missing in the base already.
/// A missing label is a warning: an image that is built upon may get it there.
pub fn of_config(lineage: &[&Instruction], config: &ImageConfig, has_base: bool) -> Vec<Finding> {
    let last = |keyword: &str| {
        let instructions = lineage.iter().rev().copied();
        instructions
            .into_iter()
            .find(|known| known.keyword() == keyword)
    };
    let mut found = Vec::new();
    for part in config_container_only::parts(config) {
        let finding = config_container_only::finding(std::slice::from_ref(&part));
        found.extend(finding.and_then(|finding| at(finding, last(part.keyword))));
    }
    if !has_base && let Some(finding) = config_labels::finding(config) {
        let finding = Finding {
            severity: Severity::Warning,
            ..finding
        };
        found.extend(at(finding, last("FROM")));
    }
    if let Some(finding) = config_ostree_labels::finding(config) {
        let label = config_ostree_labels::LABEL;
        found.extend(at(finding, naming(lineage, &["LABEL"], label)));
    }
    if let Some(finding) = config_stop_signal::finding(config) {
        let from = if has_base { None } else { last("FROM") };
        found.extend(at(finding, last("STOPSIGNAL").or(from)));
    }
    let mut secrets: BTreeMap<(u32, u32), BTreeSet<&str>> = BTreeMap::new();
    for name in secret_in_env::names(config) {
        if let Some(instruction) = naming(lineage, &["ENV", "ARG"], name) {
            secrets.entry(instruction.lines).or_default().insert(name);
        }
    }
    for (lines, names) in secrets {
        let finding = secret_in_env::finding(&names);
        found.extend(finding.map(|finding| with_lines(finding, lines)));
    }
    found
}

/// The last instruction of these kinds that gives a value to a name.
fn naming<'a>(
    lineage: &[&'a Instruction],
    keywords: &[&str],
    name: &str,
) -> Option<&'a Instruction> {
    let names = |instruction: &&&Instruction| {
        let mut words = instruction.words();
        keywords.contains(&instruction.keyword().as_str())
            && words.any(|word| {
                let word = word.split('=').next().unwrap_or_default();
                word.trim_matches(['"', '\'']) == name
            })
    };
    lineage.iter().rev().find(names).copied()
}

fn at(finding: Finding, instruction: Option<&Instruction>) -> Option<Finding> {
    instruction.map(|instruction| with_lines(finding, instruction.lines))
}

fn with_lines(finding: Finding, lines: (u32, u32)) -> Finding {
    Finding {
        origin: Some(Origin {
            lines: Some(lines),
            ..Origin::default()
        }),
        ..finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Containerfile;

    type SourceLine<'a> = (&'a str, (u32, u32));

    fn places(findings: &[Finding]) -> Vec<SourceLine<'_>> {
        let findings = findings.iter();
        findings
            .filter_map(|finding| {
                let lines = finding.origin.as_ref()?.lines?;
                Some((finding.rule.as_str(), lines))
            })
            .collect()
    }

    fn file(text: &str) -> Containerfile {
        Containerfile::parse("Containerfile", text.as_bytes()).expect("a Containerfile")
    }

    fn config(json: &str) -> ImageConfig {
        serde_json::from_str(json).expect("a configuration")
    }

    #[test]
    fn what_an_instruction_brings_is_told_at_its_lines_and_the_rest_is_the_bases() {
        let file = file(
            "FROM os\nENV A=b \\\n  # a comment\n  DB_PASSWORD=hunter2\nRUN <<EOF\nENV BASE_TOKEN=x\nEOF\n\
             ARG NPM_TOKEN\nLABEL \"ostree.final-diffid\"=\"sha256:2\"\nVOLUME /v\nUSER a\nUSER root\n\
             STOPSIGNAL SIGTERM\n",
        );
        let config = config(
            r#"{"config": {"Env": ["DB_PASSWORD=hunter2", "BASE_TOKEN=of-the-base"],
                "Labels": {"ostree.final-diffid": "sha256:2"}, "Cmd": ["/of-the-base"],
                "Volumes": {"/v": {}}, "StopSignal": "SIGTERM"},
                "history": [{"created_by": "RUN |1 NPM_TOKEN=abcdef /bin/sh -c x # buildkit"}]}"#,
        );
        let found = of_config(&file.lineage(None), &config, true);
        let expected = [
            ("config-container-only", (10, 10)),
            ("config-ostree-labels", (9, 9)),
            ("config-stop-signal", (13, 13)),
            ("secret-in-env", (2, 4)),
            ("secret-in-env", (8, 8)),
        ];
        assert_eq!(places(&found), expected);
    }

    #[test]
    fn what_is_missing_is_told_where_there_is_no_base() {
        let file = file("FROM a AS b\nRUN x\nFROM scratch\nCOPY --from=b / /\n");
        let lineage = file.lineage(None);
        assert_eq!(of_config(&lineage, &ImageConfig::default(), true), []);
        let found = of_config(&lineage, &ImageConfig::default(), false);
        let expected = [("config-labels", (3, 3)), ("config-stop-signal", (3, 3))];
        assert_eq!(places(&found), expected);
        assert_eq!(found[0].severity, Severity::Warning);
    }

    proptest::proptest! {
        #[test]
        fn any_containerfile_is_looked_at(content in proptest::collection::vec(0_u8..128, 0..200)) {
            let (file, _) = Containerfile::read("Containerfile", &content);
            let lineage = file.lineage(Some("0"));
            let _ = of_config(&lineage, &ImageConfig::default(), false);
        }
    }
}
