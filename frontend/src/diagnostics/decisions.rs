//! What the people of an image have decided about findings, in `osderive.toml` of the build context and in
//! comments of the Containerfile, `# osderive: allow=RULE[ path] -- reason`: it is taken out of what was
//! found, and what nothing needed is told.

use std::fmt::Write as _;

use osderive_lints::policy::{
    Config, Containerfile, Evidence, FailOn, Instruction, MAX_CONFIG_BYTES, Policy, PolicyError,
    Suppression,
};
use osderive_lints::rules::Rule;
use osderive_lints::{Finding, Origin, Selection, unbuilt};
use osderive_proto::gateway::{BuildError, SourceSnippet};
use osderive_proto::llb::{Digest, SourceLocation};
use osderive_proto::pb;

use crate::diagnostics::found::Found;
use crate::facts::location::{in_file, lines};
use crate::options::context::{Context, Unread};

/// The file's name in the build context.
const FILE: &str = "osderive.toml";

/// The files with decisions of a build.
#[derive(Debug)]
pub(crate) struct Decisions {
    /// The stage that is built; none for the last one.
    target: Option<String>,
    containerfile: pb::SourceInfo,
    /// `osderive.toml`; empty where there is none.
    config: pb::SourceInfo,
    policy: Policy,
}

/// Something in such a file that cannot be understood, and where.
#[derive(Debug)]
pub(crate) struct Mistake {
    error: PolicyError,
    location: SourceLocation,
}

/// Reads `osderive.toml` from the build context; none where there is none, or where the context is no
/// folder.
///
/// # Errors
/// When the engine cannot read it.
pub(crate) async fn file(context: &Context<'_>) -> Result<Option<Vec<u8>>, BuildError> {
    let limit = usize::try_from(MAX_CONFIG_BYTES).unwrap_or(usize::MAX);
    match context.file(FILE, limit.saturating_add(1), FILE).await {
        Ok(file) => Ok(file),
        Err(Unread::Elsewhere(_)) => Ok(None),
        Err(Unread::Failed(error)) => Err(error),
    }
}

impl Decisions {
    /// Reads the comments of the file that an op comes from, and the content of `osderive.toml`.
    ///
    /// # Errors
    /// When something cannot be understood; the lines are pointed at.
    pub(crate) fn of(
        target: Option<&str>,
        location: Option<SourceLocation>,
        config: Option<&[u8]>,
    ) -> Result<Self, BuildError> {
        let (decisions, mistakes) = Self::read(target, location, config);
        if mistakes.is_empty() {
            return Ok(decisions);
        }
        let mut text = String::new();
        for Mistake { error, .. } in &mistakes {
            let line = error.line();
            let _ = write!(
                text,
                "osderive: {}, line {line}: {}",
                error.file, error.message
            );
            if !error.help.is_empty() {
                let _ = write!(text, "\n  = help: {}", error.help);
            }
            text.push('\n');
        }
        let error = BuildError::new(text.trim_end().to_owned());
        let snippets = mistakes.iter().map(|mistake| &mistake.location);
        Err(snippets.fold(error, |error, location| {
            error.at(SourceSnippet::from(location))
        }))
    }

    /// As [`Self::of`]; what cannot be understood is left out and told.
    pub(crate) fn read(
        target: Option<&str>,
        location: Option<SourceLocation>,
        config: Option<&[u8]>,
    ) -> (Self, Vec<Mistake>) {
        let info = location.map(|location| location.info).unwrap_or_default();
        let (containerfile, errors) = Containerfile::read(&info.filename, &info.data);
        let config = pb::SourceInfo {
            filename: FILE.to_owned(),
            data: config.unwrap_or_default().to_vec(),
            language: "TOML".to_owned(),
            ..pb::SourceInfo::default()
        };
        let parsed = parse(&config.data);
        let mistake = |info: &pb::SourceInfo, error: PolicyError| Mistake {
            location: in_file(info, (error.line(), error.line())),
            error,
        };
        let of_config = parsed.as_ref().err().cloned();
        let mut mistakes: Vec<Mistake> = errors
            .into_iter()
            .map(|error| mistake(&info, error))
            .collect();
        mistakes.extend(of_config.map(|error| mistake(&config, error)));
        let decisions = Self {
            target: target.map(str::to_owned),
            containerfile: info,
            config,
            policy: Policy {
                config: parsed.unwrap_or_default(),
                containerfile: Some(containerfile),
            },
        };
        (decisions, mistakes)
    }

    /// From which severity on a finding fails the build.
    pub(crate) fn fail_on(&self, asked: Option<FailOn>) -> FailOn {
        self.policy.fail_on(asked)
    }

    /// The instructions of the image, in their order.
    pub(crate) fn lineage(&self) -> Vec<&Instruction> {
        let file = self.policy.containerfile.as_ref();
        file.map(|file| file.lineage(self.target.as_deref()))
            .unwrap_or_default()
    }

    /// A finding with the severity that was decided for its rule; none if the rule is off.
    pub(crate) fn weigh(&self, mut finding: Finding) -> Option<Finding> {
        let is_off = |rule| !self.selection().takes(rule);
        if Rule::named(&finding.rule).is_some_and(is_off) {
            return None;
        }
        finding.severity = self.policy.severity(&finding);
        Some(finding)
    }

    /// A finding that names lines of the Containerfile, there; `digest` is the op that it is about.
    pub(crate) fn located(&self, finding: Finding, digest: Digest) -> Found {
        let lines = finding.origin.as_ref().and_then(|origin| origin.lines);
        Found {
            location: lines.map(|lines| in_file(&self.containerfile, lines)),
            digest,
            finding,
        }
    }

    /// What is left of the findings, whose severities are decided.
    pub(crate) fn settle_all(&self, found: Vec<Found>) -> Vec<Found> {
        self.judge(found, &[]).0
    }

    /// What is left of the findings, whose severities are decided, and those about decisions that nothing
    /// needs. What the base has too, `of_base`, needs them as well. `end` is an op of the image, for
    /// findings of no other one.
    pub(crate) fn apply(&self, found: Vec<Found>, of_base: &[Finding], end: Digest) -> Vec<Found> {
        let (mut left, unused) = self.judge(found, of_base);
        left.extend(unused.into_iter().map(|(suppression, finding)| {
            let place = &suppression.place;
            let info = if suppression.lines.is_none() && place.file == self.config.filename {
                &self.config
            } else {
                &self.containerfile
            };
            Found {
                location: Some(in_file(info, (place.line, place.line))),
                digest: end,
                finding,
            }
        }));
        left
    }

    fn selection(&self) -> Selection {
        self.policy.selection(&[].into())
    }

    fn judge(
        &self,
        found: Vec<Found>,
        of_base: &[Finding],
    ) -> (Vec<Found>, Vec<(&Suppression, Finding)>) {
        let lineage = self.lineage();
        let found = found.into_iter().map(|found| {
            let mut finding = found.finding.clone();
            finding.origin = self.lines_of(&found).map(|lines| Origin {
                lines: Some(lines),
                ..Origin::default()
            });
            (finding, found)
        });
        let judgement = self.policy.judge(Evidence {
            found: found.collect(),
            of_base,
            selection: &self.selection(),
            unasked: &unbuilt::unasked(),
            is_of_image: &|lines| lineage.iter().any(|instruction| instruction.lines == lines),
        });
        let left = judgement.left.into_iter().map(|(finding, found)| Found {
            finding: Finding {
                severity: found.finding.severity,
                ..finding
            },
            ..found
        });
        (left.collect(), judgement.unused)
    }

    /// The lines of this file that a finding is about, if they are known.
    fn lines_of(&self, found: &Found) -> Option<(u32, u32)> {
        let location = found.location.as_ref()?;
        if location.info.data != self.containerfile.data {
            return None;
        }
        lines(location)
    }
}

impl Mistake {
    /// As a finding, for those who ask before they build.
    pub(crate) fn found(&self, digest: Digest) -> Found {
        Found {
            finding: self.error.finding(),
            digest,
            location: Some(self.location.clone()),
        }
    }
}

fn parse(file: &[u8]) -> Result<Config, PolicyError> {
    if file.len() as u64 > MAX_CONFIG_BYTES {
        return Err(PolicyError {
            file: FILE.to_owned(),
            message: format!("the file has more than {MAX_CONFIG_BYTES} bytes"),
            help: String::new(),
            source: String::new(),
            span: 0..0,
        });
    }
    Config::parse(FILE, &String::from_utf8_lossy(file))
}

#[cfg(test)]
mod tests {
    use osderive_lints::Severity;

    use super::*;

    fn info(text: &str) -> pb::SourceInfo {
        pb::SourceInfo {
            filename: "Containerfile".to_owned(),
            data: text.as_bytes().to_vec(),
            ..pb::SourceInfo::default()
        }
    }

    fn decided(text: &str, config: &str) -> Result<Decisions, BuildError> {
        let location = in_file(&info(text), (1, 1));
        Decisions::of(None, Some(location), Some(config.as_bytes()))
    }

    fn found(text: &str, line: u32, paths: &[&str]) -> Found {
        Found {
            finding: Finding {
                rule: "secret-in-image".to_owned(),
                severity: Severity::Warning,
                message: "m".to_owned(),
                help: "h".to_owned(),
                paths: paths.iter().map(|&path| path.to_owned()).collect(),
                origin: None,
                confidence: None,
                related: Vec::new(),
            },
            digest: Digest::of(b""),
            location: Some(in_file(&info(text), (line, line))),
        }
    }

    const TEXT: &str =
        "FROM a\n# osderive: allow=secret-in-image /etc/a -- an example\nRUN one\nRUN two\n";

    #[test]
    fn a_comment_takes_its_path_out_of_its_instructions_findings() {
        let all = vec![
            found(TEXT, 3, &["/etc/a", "/etc/b"]),
            found(TEXT, 4, &["/etc/a"]),
        ];
        let left = decided(TEXT, "")
            .expect("a file")
            .apply(all, &[], Digest::of(b"end"));
        let paths: Vec<_> = left
            .iter()
            .map(|found| found.finding.paths.clone())
            .collect();
        assert_eq!(paths, [["/etc/b"], ["/etc/a"]]);
    }

    #[test]
    fn a_comment_that_nothing_needs_is_told_with_its_line() {
        let text = "FROM a\n# osderive: allow=kernel-count -- an example\nRUN one\n";
        let left = decided(text, "")
            .expect("a file")
            .apply(Vec::new(), &[], Digest::of(b"end"));
        let rules: Vec<_> = left
            .iter()
            .map(|found| found.finding.rule.as_str())
            .collect();
        assert_eq!(rules, ["unused-suppression"]);
        let location = left[0].location.as_ref().expect("a location");
        assert_eq!(location.ranges[0].start.expect("a start").line, 2);
    }

    #[test]
    fn a_comment_without_a_reason_is_an_error_at_its_line() {
        let error = decided("FROM a\n# osderive: allow=kernel-count\nRUN one\n", "");
        let text = error.expect_err("an error").to_string();
        assert!(text.contains("Containerfile, line 2: "), "{text}");
    }

    #[test]
    fn all_mistakes_of_both_files_are_told_at_once() {
        let config = "fail-on = \"warning\"\n[rules]\nkernels = \"off\"\n";
        let error = decided("# osderive: allow=kernels -- x\nFROM a\n", config);
        let text = error.expect_err("an error").to_string();
        for part in [
            "Containerfile, line 1: there is no rule \"kernels\"\n  = help: ",
            "osderive.toml, line 3: there is no rule \"kernels\"\n  = help: ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    const CONFIG: &str = "fail-on = \"info\"\n[rules]\nsecret-in-image = \"error\"\nkernel = \"off\"\n\
        [[allow]]\nrule = \"secret-in-image\"\npath = \"/etc/b\"\nreason = \"an example\"\n";

    #[test]
    fn the_file_has_severities_and_takes_paths_out_of_all_findings() {
        let decided = decided(TEXT, CONFIG).expect("files");
        assert_eq!(decided.fail_on(None), FailOn::Info);
        assert_eq!(decided.fail_on(Some(FailOn::Never)), FailOn::Never);
        let mut found = found(TEXT, 4, &["/etc/b", "/etc/c"]);
        let kernel = Finding {
            rule: "kernel-count".to_owned(),
            ..found.finding.clone()
        };
        assert_eq!(decided.weigh(kernel), None);
        found.finding = decided.weigh(found.finding).expect("it is not off");
        let left = decided.settle_all(vec![found]);
        assert_eq!(left[0].finding.paths, ["/etc/c"]);
        assert_eq!(left[0].finding.severity, Severity::Error);
    }

    #[test]
    fn a_line_of_the_file_that_nothing_needs_is_told_there() {
        let decided = decided("FROM a\n", CONFIG).expect("files");
        let left = decided.apply(Vec::new(), &[], Digest::of(b"end"));
        let location = left[0].location.as_ref().expect("a location");
        assert_eq!(location.info.filename, "osderive.toml");
        assert_eq!(lines(location), Some((6, 6)));
        let of_base = [found(TEXT, 1, &["/etc/b"]).finding];
        let left = decided.apply(Vec::new(), &of_base, Digest::of(b"end"));
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_comment_of_another_image_in_the_file_is_not_unused() {
        let text =
            "FROM a AS b\n# osderive: allow=kernel-count -- an example\nRUN one\nFROM a\nRUN two\n";
        let decided = decided(text, "").expect("a file");
        let left = decided.apply(Vec::new(), &[], Digest::of(b"end"));
        assert!(left.is_empty(), "{left:?}");
    }
}
