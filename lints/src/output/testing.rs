//! A report with something of every kind, for the tests of all forms.

use super::Report;
use crate::policy::{Containerfile, SourceLine, Suppressed};
use crate::rules::{Rule, import_special_file, kernel_count};
use crate::{Finding, Origin, Severity};

fn finding(rule: &Rule, severity: Severity, message: &str, paths: &[&str]) -> Finding {
    Finding {
        rule: rule.name.to_owned(),
        severity,
        message: message.to_owned(),
        help: "do what must be done, and then look again: it takes a while, and it is worth it"
            .to_owned(),
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        origin: None,
        confidence: None,
        related: Vec::new(),
    }
}

fn origin(instruction: &str, lines: Option<(u32, u32)>, base: bool) -> Origin {
    Origin {
        base,
        instruction: instruction.to_owned(),
        lines,
        layer: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".to_owned(),
    }
}

pub(super) fn report() -> Report {
    let (fifo, kernel) = (&import_special_file::RULE, &kernel_count::RULE);
    let many: Vec<String> = (0..7).map(|number| format!("/usr/lib/a{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let findings = vec![
        Finding {
            origin: Some(origin(
                "RUN /bin/sh -c mkfifo /usr/lib/a # buildkit",
                Some((2, 3)),
                false,
            )),
            related: vec![origin("COPY dir /", Some((4, 4)), false)],
            ..finding(
                fifo,
                Severity::Error,
                "7 special files stop the import",
                &many,
            )
        },
        Finding {
            origin: Some(origin("COPY dir /\x1b[31m # buildkit", None, false)),
            ..finding(
                fifo,
                Severity::Warning,
                "100% of \"a\\x0ab\", c: <x>",
                &["/a\\x0ab", "/c,d"],
            )
        },
        finding(kernel, Severity::Info, "there is no kernel", &[]),
        Finding {
            origin: Some(origin("", None, true)),
            ..finding(
                kernel,
                Severity::Error,
                "there are 2 kernels: 6.1, 6.2",
                &["/usr/lib/modules/6.1"],
            )
        },
    ];
    let containerfile = "FROM base\nRUN mkfifo /usr/lib/a \\\n    /usr/lib/b\nCOPY dir /\n";
    Report {
        subject: "image.tar".to_owned(),
        findings,
        suppressed: vec![Suppressed {
            finding: finding(
                fifo,
                Severity::Error,
                "1 special file stops the import",
                &["/usr/x"],
            ),
            reason: "the import drops it".to_owned(),
            place: SourceLine {
                file: "osderive.toml".to_owned(),
                line: 3,
            },
        }],
        unasked: vec![("size-deleted-later", "the image's layers")],
        has_baseline: true,
        containerfile: Containerfile::parse("Containerfile", containerfile.as_bytes()).ok(),
        ..Report::default()
    }
}
