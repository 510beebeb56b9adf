//! From which severity on what is found fails a build or a lint: the same words everywhere.

use crate::Severity;

/// From which severity on a finding fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOn {
    /// What keeps the image from booting or a service from starting.
    Error,
    /// Every warning too.
    Warning,
    /// All that is found.
    Info,
    /// Nothing that is found.
    Never,
}

impl FailOn {
    /// The words for it, for messages.
    pub const WORDS: &str = "error, warning, info or never";

    /// What a word means.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "error" => Some(Self::Error),
            "warning" => Some(Self::Warning),
            "info" => Some(Self::Info),
            "never" => Some(Self::Never),
            _ => None,
        }
    }

    /// Whether a finding of a severity fails.
    pub fn is_met_by(self, severity: Severity) -> bool {
        let least = match self {
            Self::Error => Severity::Error,
            Self::Warning => Severity::Warning,
            Self::Info => Severity::Info,
            Self::Never => return false,
        };
        severity >= least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_least_severity_that_fails() {
        let failing = |word| {
            let fail_on = FailOn::named(word)?;
            let all = Severity::ALL.into_iter();
            Some(all.filter(|severity| fail_on.is_met_by(*severity)).count())
        };
        let words = ["error", "warning", "info", "never", "off"];
        assert_eq!(
            words.map(failing),
            [Some(1), Some(2), Some(3), Some(0), None]
        );
    }
}
