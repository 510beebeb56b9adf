//! No form passes on what others wrote in a way that steers who reads it, or shows a secret.

use super::testing::report;
use super::*;
use crate::policy::SourceLine;
use crate::{History, ImageConfig, Origin};

/// Names and versions of others, each with all that is hostile somewhere.
const HOSTILE: &str =
    "a\x1b[2Jb\u{9b}31m\u{202e}c\r\n::error::d [x](https://evil.example) ##[add-mask]e";

fn hostile() -> Report {
    let mut report = report();
    report.subject = HOSTILE.to_owned();
    for finding in &mut report.findings {
        finding.message = format!("6.1{HOSTILE} is no kernel");
        finding.help = format!("remove {HOSTILE}");
        finding.paths = vec![format!("/usr/{HOSTILE}")];
        finding.origin = Some(Origin {
            instruction: format!("COPY {HOSTILE} /"),
            layer: HOSTILE.to_owned(),
            ..finding.origin.clone().unwrap_or_default()
        });
    }
    let finding = report.findings[0].clone();
    report.suppressed = vec![Suppressed {
        finding,
        reason: HOSTILE.to_owned(),
        place: SourceLine {
            file: HOSTILE.to_owned(),
            line: 1,
        },
    }];
    if let Some(file) = &mut report.containerfile {
        file.file = HOSTILE.to_owned();
        file.text = format!("FROM x\nRUN {HOSTILE}\n");
    }
    report
}

const LOOK: Look = Look {
    width: Some(60),
    is_coloured: false,
    is_whole: false,
};

const FORMS: [Form; 5] = [
    Form::Human(LOOK),
    Form::Json,
    Form::Sarif,
    Form::Github,
    Form::Junit,
];

/// The strings of a JSON document.
fn strings(document: &serde_json::Value, found: &mut Vec<String>) {
    match document {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(all) => all.iter().for_each(|one| strings(one, found)),
        serde_json::Value::Object(all) => all.values().for_each(|one| strings(one, found)),
        _ => {}
    }
}

#[test]
fn no_form_holds_what_steers_a_terminal_or_turns_its_text() {
    for form in FORMS {
        let text = text(&hostile(), form);
        let is_steering = |sign: char| match form {
            // Its own escapes are of what JSON cannot hold.
            Form::Json => sign < ' ' && sign != '\n',
            _ => (sign.is_control() && sign != '\n') || sign == '\u{202e}',
        };
        let found = text.chars().find(|sign| is_steering(*sign));
        assert_eq!(found, None, "{form:?}: {text}");
    }
}

#[test]
fn no_line_of_a_log_is_a_command_of_others() {
    let log = text(&hostile(), Form::Human(LOOK));
    // The runner looks at lines without blanks before them, and at `##[` anywhere.
    let command = log
        .lines()
        .find(|line| line.trim().starts_with("::") || line.contains("##["));
    assert_eq!(command, None, "{log}");
    let commands = text(&hostile(), Form::Github);
    for line in commands.lines() {
        let own = ["::error ", "::warning ", "::notice "]
            .iter()
            .any(|own| line.starts_with(own));
        assert!(own && !line.contains("##["), "{line}");
    }
}

#[test]
fn no_message_of_sarif_is_a_link_of_others() {
    let document: serde_json::Value =
        serde_json::from_str(&text(&hostile(), Form::Sarif)).expect("JSON");
    let mut found = Vec::new();
    for result in document["runs"][0]["results"].as_array().expect("results") {
        strings(&result["message"], &mut found);
    }
    strings(&document["runs"][0]["originalUriBaseIds"], &mut found);
    assert!(found.len() > 4);
    for text in found {
        assert!(!text.contains("](") || text.contains(r"\]("), "{text}");
        assert!(!text.contains("[x]"), "{text}");
    }
}

#[test]
fn json_keeps_what_is_in_the_image() {
    let document: serde_json::Value =
        serde_json::from_str(&text(&hostile(), Form::Json)).expect("JSON");
    assert_eq!(document["subject"], HOSTILE);
}

#[test]
fn no_form_shows_a_secret_among_build_arguments() {
    use crate::tree::testing::{LayerTar, TestImage};
    let fifo = || LayerTar::new().entry(tar::EntryType::Fifo, b"usr/fifo", b"", b"");
    let history = "RUN |3 VERSION=1.2 NPM_TOKEN=hunter2 X=ghp_0123456789abcdef0123 /bin/sh -c mkfifo /usr/fifo # buildkit";
    let tree = TestImage::new()
        .layer(fifo())
        .created_by(history)
        .read()
        .expect("an image");
    let config: ImageConfig = tree.config().clone();
    let raw: &[History] = &config.history;
    assert!(
        raw[0].created_by.contains("hunter2"),
        "the configuration has it"
    );
    let found = crate::lint(&tree, Some(&config), &Selection::default()).findings;
    let containerfile = "FROM base\nRUN mkfifo /usr/fifo\n";
    let containerfile = Containerfile::parse("Containerfile", containerfile.as_bytes()).ok();
    let shown = found
        .iter()
        .find(|one| one.rule == "import-special-file")
        .expect("a finding");
    let origin = shown.origin.as_ref().expect("an origin");
    let masked = "RUN |3 VERSION=1.2 NPM_TOKEN=*** X=*** /bin/sh -c mkfifo /usr/fifo # buildkit";
    assert_eq!(origin.instruction, masked);
    let mut located = origin.clone();
    let file = containerfile.as_ref().expect("a file");
    file.locate(&mut located);
    assert_eq!(
        located.lines,
        Some((2, 2)),
        "its instruction is found all the same"
    );
    let report = Report {
        findings: found,
        ..Report::default()
    };
    for form in FORMS {
        let text = text(&report, form);
        assert!(
            !text.contains("hunter2") && !text.contains("ghp_"),
            "{form:?}: {text}"
        );
    }
}
