//! On which kinds of engine tests run.

use std::fmt;
use std::str::FromStr;

use super::Kind;
use crate::error::{Error, Result};

/// What `$OSDERIVE_ENGINES` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Nothing: one engine, chosen as by `cargo xtask engine`.
    Any,
    /// `opposite`: each test on two opposite kinds, which of them in turn, so that all are used.
    Opposite,
    /// Kinds with commas between them: each test on each of these.
    Each(Vec<Kind>),
}

impl Selection {
    /// The environment's variable.
    pub const VARIABLE: &str = "OSDERIVE_ENGINES";

    /// What the environment asks for.
    ///
    /// # Errors
    /// When it names what is no kind.
    pub fn from_environment() -> Result<Self> {
        std::env::var(Self::VARIABLE).unwrap_or_default().parse()
    }

    /// The kinds of private engine for the test with this number; none if anything goes.
    pub fn kinds(&self, number: usize) -> Vec<Kind> {
        match self {
            Self::Any => Vec::new(),
            Self::Opposite => Kind::OPPOSITE[number % Kind::OPPOSITE.len()].to_vec(),
            Self::Each(kinds) => kinds.clone(),
        }
    }
}

impl FromStr for Selection {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Any),
            "opposite" => Ok(Self::Opposite),
            kinds => {
                let kinds = kinds.split(',').map(str::parse);
                Ok(Self::Each(kinds.collect::<Result<_>>()?))
            }
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Opposite => formatter.write_str("opposite"),
            Self::Each(kinds) => {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                formatter.write_str(&names.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_written_as_it_is_read() {
        let all = Selection::Each(Kind::PRIVATE.to_vec());
        for selection in [Selection::Any, Selection::Opposite, all] {
            let text = selection.to_string();
            assert_eq!(text.parse::<Selection>().unwrap(), selection);
        }
        assert!("sid-graphdriver,sid".parse::<Selection>().is_err());
    }

    #[test]
    fn of_two_opposite_kinds_each_has_another_docker_and_another_image_store() {
        let mut seen = Vec::new();
        for number in 0..2 {
            let kinds = Selection::Opposite.kinds(number);
            let [one, other] = kinds[..] else {
                panic!("{kinds:?}")
            };
            assert_ne!(one.image_store(), other.image_store());
            assert_ne!(one.major(), other.major());
            seen.extend(kinds);
        }
        seen.sort_unstable_by_key(|kind| kind.name());
        let mut all = Kind::PRIVATE;
        all.sort_unstable_by_key(|kind| kind.name());
        assert_eq!(seen, all);
    }
}
