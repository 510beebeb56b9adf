//! `osderive.toml`: severities and suppressions for a whole image. An unknown key or a wrong value is an
//! error that points at it. The schema is published as `docs/schema/osderive-toml-1.json`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{FailOn, Pattern, PolicyError, SourceLine, Suppression, line_of};
use crate::Severity;
use crate::rules::Rule;

/// Bytes of the file at most.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// What the file says.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// From which severity on a finding fails the lint.
    pub fail_on: Option<FailOn>,
    /// By the rule's name: another severity than its own, none if it is off.
    pub severities: BTreeMap<&'static str, Option<Severity>>,
    /// What is wanted as it is.
    pub suppressions: Vec<Suppression>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    fail_on: Option<Spanned<String>>,
    #[serde(default)]
    rules: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    allow: Vec<Allow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    rule: Spanned<String>,
    path: Option<Spanned<String>>,
    reason: Spanned<String>,
}

impl Config {
    /// Reads the file's text.
    ///
    /// # Errors
    /// For the first key or value that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyError> {
        let error = |message: String, help: &str, span: Range<usize>| PolicyError {
            file: file.to_owned(),
            message,
            help: help.to_owned(),
            source: text.to_owned(),
            span,
        };
        let raw: Raw = toml::from_str(text)
            .map_err(|wrong| error(wrong.message().to_owned(), "", wrong.span().unwrap_or(0..0)))?;
        let rule = |name: &Spanned<String>| {
            let unknown = || {
                let message = format!("there is no rule {:?}", name.as_ref());
                error(message, "`lint --list` prints them all", name.span())
            };
            Rule::named(name.as_ref()).ok_or_else(unknown)
        };
        let severity = |name: &Spanned<String>| {
            let unknown = || {
                let message = format!("there is no severity {:?}", name.as_ref());
                error(
                    message,
                    "there are error, warning and info; off for rules",
                    name.span(),
                )
            };
            Severity::named(name.as_ref()).ok_or_else(unknown)
        };
        let fail_on = |word: &Spanned<String>| {
            let unknown = || {
                let message = format!("fail-on is {:?}", word.as_ref());
                error(
                    message,
                    "there are error, warning, info and never",
                    word.span(),
                )
            };
            FailOn::named(word.as_ref()).ok_or_else(unknown)
        };
        let mut config = Self {
            fail_on: raw.fail_on.as_ref().map(fail_on).transpose()?,
            ..Self::default()
        };
        for (name, value) in &raw.rules {
            let is_off = value.as_ref() == "off";
            let value = if is_off { None } else { Some(severity(value)?) };
            config.severities.insert(rule(name)?.name, value);
        }
        for allow in &raw.allow {
            let path = (allow.path.as_ref())
                .map(|path| {
                    let relative = || error("the path is not absolute".to_owned(), "", path.span());
                    Pattern::parse(path.as_ref()).ok_or_else(relative)
                })
                .transpose()?;
            let reason = allow.reason.as_ref().trim();
            if reason.is_empty() {
                let message = "the reason is empty".to_owned();
                let help = "say to those who come after you why this is wanted";
                return Err(error(message, help, allow.reason.span()));
            }
            config.suppressions.push(Suppression {
                rule: rule(&allow.rule)?,
                path,
                reason: reason.to_owned(),
                place: SourceLine {
                    file: file.to_owned(),
                    line: line_of(text, allow.rule.span().start),
                },
                lines: None,
            });
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_severities_and_what_is_allowed() {
        let text = "fail-on = \"warning\"\n[rules]\nkernel = \"off\"\nvar-not-kept = \"info\"\n\
            [[allow]]\nrule = \"import-special-file\"\npath = \"/usr/lib/a\"\nreason = \"tested\"\n";
        let config = Config::parse("osderive.toml", text).expect("a configuration");
        assert_eq!(config.fail_on, Some(FailOn::Warning));
        let expected = [
            ("kernel-count", None),
            ("var-not-kept", Some(Severity::Info)),
        ];
        assert_eq!(config.severities, expected.into());
        let allow = &config.suppressions[0];
        assert_eq!(
            (allow.rule.name, allow.place.line),
            ("import-special-file", 6)
        );
    }

    #[test]
    fn the_schema_agrees() {
        let schema = include_str!("../../../docs/schema/osderive-toml-1.json");
        let schema = serde_json::from_str(schema).expect("JSON");
        let schema = jsonschema::validator_for(&schema).expect("a schema");
        let allow = "[[allow]]\nrule = \"kernel\"\n";
        for text in [
            String::new(),
            "fail-on = \"info\"\n[rules]\nkernel = \"off\"\n".to_owned(),
            format!("{allow}reason = \"so\"\npath = \"/usr\"\n"),
            allow.to_owned(),
            format!("{allow}reason = \" \"\n"),
            format!("{allow}reason = \"so\"\npath = \"usr\"\n"),
            "fail-on = \"off\"\n".to_owned(),
            "[rules]\nkernel = \"bad\"\n".to_owned(),
            "unknown = 1\n".to_owned(),
        ] {
            let value: serde_json::Value = toml::from_str(&text).expect("TOML");
            let is_valid = Config::parse("osderive.toml", &text).is_ok();
            assert_eq!(schema.is_valid(&value), is_valid, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_shown_in_its_place() {
        let shown: Vec<String> = [
            "[rules]\nkernels = \"off\"\n",
            "[rules]\nkernel = \"fatal\"\n",
            "fail_on = \"error\"\n",
            "[[allow]]\nrule = \"kernel\"\n",
            "[[allow]]\nrule = \"kernel\"\nreason = \" \"\n",
            "[[allow]]\nrule = \"kernel\"\npath = \"usr/lib\"\nreason = \"it is so\"\n",
            "[rules]\nkernel = 1\n",
            "[rules\n",
        ]
        .iter()
        .map(|text| {
            Config::parse("osderive.toml", text)
                .expect_err("an error")
                .render(false)
        })
        .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
