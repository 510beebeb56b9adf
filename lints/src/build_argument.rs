//! The build argument `OSDERIVE`: it asks the OCI runtime to commit a stage's RUNs, and says how. Builders put its value
//! into their cache key and into an image's history, so that a plain build and a committed one never share a step.
//!
//! The value is a word for the tool, and after it settings with `&` before each: `a1b2c3&verbose&writable=/opt/acme/data`.
//! What is neither a letter, a digit nor one of `-._/:,` is `%` and two hexadecimal digits, so it is one word in a history.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use crate::model::ledger::Ledger;
use crate::{Ordinary, PathSettings, StepRequest};

/// The argument's name.
pub const BUILD_ARGUMENT: &str = "OSDERIVE";

/// What a build asks of its steps, as the argument says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildArgument {
    /// What tells this tool from others; people write `1`.
    pub tool: String,
    /// What becomes of an ordinary root file system.
    pub ordinary: Ordinary,
    /// The step is of a stage beside the image that goes on from a committed one: /var is made, nothing is committed.
    pub prepare: bool,
    /// How many copies of whole stages stand between the step's stage and the image. What is below a copy counts its RUNs by
    /// itself: an engine may have what is above in its cache, and not what is below.
    pub copied: u32,
    /// Name each change and its reason.
    pub verbose: bool,
    /// The ids of accounts that steps make.
    pub ids: Option<Ledger>,
    /// What people say of paths.
    pub paths: PathSettings,
}

/// A value that asks for something nobody knows.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BuildArgumentError {
    /// A setting that there is not.
    #[error("the build argument {BUILD_ARGUMENT} has no setting {0:?}")]
    Unknown(String),
    /// A setting whose value makes no sense.
    #[error("the build argument {BUILD_ARGUMENT} has a wrong {0}")]
    Value(&'static str),
}

impl BuildArgument {
    /// Reads a value. Steps of an ordinary root are left as they are, unless it says otherwise.
    ///
    /// # Errors
    /// When it has a setting that nobody knows: to go on would be to do something else than was asked for.
    pub fn parse(value: &str) -> Result<Self, BuildArgumentError> {
        let mut words = value.split('&');
        let mut argument = Self {
            tool: words.next().unwrap_or_default().to_owned(),
            ordinary: Ordinary::Leave,
            ..Self::default()
        };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let path = || decoded(value).ok_or(BuildArgumentError::Value("path"));
            let paths = &mut argument.paths;
            match name {
                "prepare" => argument.prepare = true,
                "copied" => {
                    let times = value.parse();
                    argument.copied = times.map_err(|_| BuildArgumentError::Value("number"))?;
                }
                "verbose" => argument.verbose = true,
                "any-root" => argument.ordinary = Ordinary::Commit,
                "first-start" => paths.first_start.push(path()?),
                "writable" => paths.writable.push(path()?),
                "read-only" => paths.read_only.push(path()?),
                "ids" => {
                    let ledger = decoded(value)
                        .and_then(|lines| Ledger::parse(lines.as_bytes()).ok())
                        .ok_or(BuildArgumentError::Value("id ledger"))?;
                    argument.ids = Some(ledger);
                }
                _ => return Err(BuildArgumentError::Unknown(name.to_owned())),
            }
        }
        Ok(argument)
    }

    /// The value.
    pub fn to_value(&self) -> String {
        let mut value = self.tool.clone();
        let mut add = |name: &str, setting: Option<&str>| {
            value.push('&');
            value.push_str(name);
            if let Some(setting) = setting {
                value.push('=');
                value.push_str(&encoded(setting));
            }
        };
        if self.prepare {
            add("prepare", None);
        }
        if self.copied > 0 {
            add("copied", Some(&self.copied.to_string()));
        }
        if self.verbose {
            add("verbose", None);
        }
        if self.ordinary == Ordinary::Commit {
            add("any-root", None);
        }
        for (name, paths) in [
            ("first-start", &self.paths.first_start),
            ("writable", &self.paths.writable),
            ("read-only", &self.paths.read_only),
        ] {
            for path in paths {
                add(name, Some(path));
            }
        }
        if let Some(ids) = &self.ids {
            add("ids", Some(&ids.to_string()));
        }
        value
    }

    /// What it asks of one step.
    pub fn step(self) -> StepRequest {
        StepRequest {
            ordinary: self.ordinary,
            prepare: self.prepare,
            verbose: self.verbose,
            ids: self.ids,
            paths: self.paths,
            ..StepRequest::default()
        }
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &IN_SETTINGS).to_string()
}

const IN_SETTINGS: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'/')
    .remove(b':')
    .remove(b',');

fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_asks_for_a_commit_and_no_more() {
        let argument = BuildArgument::parse("1").expect("a value");
        assert_eq!(argument.step().ordinary, Ordinary::Leave);
    }

    #[test]
    fn what_nobody_knows_is_an_error() {
        let error = |value| BuildArgument::parse(value).expect_err("an error");
        assert_eq!(
            error("1&new"),
            BuildArgumentError::Unknown("new".to_owned())
        );
        assert_eq!(error("1&copied=x"), BuildArgumentError::Value("number"));
        assert_eq!(error("1&ids=u%20"), BuildArgumentError::Value("id ledger"));
        assert_eq!(error("1&writable=%2"), BuildArgumentError::Value("path"));
        assert_eq!(error("1&writable=%zz"), BuildArgumentError::Value("path"));
    }

    proptest! {
        #[test]
        fn a_value_is_one_word_and_read_as_it_was_written(
            tool in "[0-9a-f]{0,12}", prepare: bool, copied in 0_u32..3, verbose: bool, any_root: bool,
            first_start in prop::collection::vec("\\PC{0,9}", 0..3),
            writable in prop::collection::vec("/opt/[a-zé %&=\n]{0,9}", 0..3),
            ids in prop::option::of(prop::sample::select(vec!["", "u a 1", "u a 1\ng b 2"])),
        ) {
            let argument = BuildArgument {
                tool,
                prepare,
                copied,
                ordinary: if any_root { Ordinary::Commit } else { Ordinary::Leave },
                verbose,
                ids: ids.map(|lines| Ledger::parse(lines.as_bytes()).expect("a ledger")),
                paths: PathSettings { first_start, writable, read_only: vec!["/opt/a".to_owned()] },
            };
            let value = argument.to_value();
            prop_assert!(!value.contains(char::is_whitespace));
            prop_assert_eq!(BuildArgument::parse(&value), Ok(argument));
        }

        #[test]
        fn any_value_is_read_or_refused(value in "\\PC{0,40}") {
            let _ = BuildArgument::parse(&value);
        }
    }
}
