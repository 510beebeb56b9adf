//! # What it does
//! Checks that the image's stop signal is the one at which systemd shuts down.
//!
//! # Why it breaks
//! A host does not care. But a container of the image, as in tests, is killed ten seconds after
//! `podman stop`. The usual signal is SIGTERM, which systemd takes for something else.
//!
//! # Example
//! ```dockerfile
//! FROM scratch
//! COPY --from=build /rootfs /
//! ```
//!
//! # Fix
//! Set the signal:
//! ```dockerfile
//! STOPSIGNAL SIGRTMIN+3
//! ```

use super::{Check, Need, Rule};
use crate::{Finding, Image, ImageConfig, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "config-stop-signal",
    severity: Severity::Info,
    summary: "the image's stop signal does not shut systemd down",
    needs: Need::Config,
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// `SIGRTMIN+3` and `SIGPWR` (systemd(1), "Signals"), the first by its number on Linux too.
const SHUT_DOWN: [&str; 4] = ["SIGRTMIN+3", "RTMIN+3", "37", "SIGPWR"];

fn check(image: &Image<'_>) -> Vec<Finding> {
    image.config.and_then(finding).into_iter().collect()
}

/// What there is to say of a configuration.
pub(crate) fn finding(config: &ImageConfig) -> Option<Finding> {
    let signal = config.config.stop_signal.as_str();
    if SHUT_DOWN.contains(&signal) {
        return None;
    }
    let what = match signal {
        "" => "the image has no stop signal".to_owned(),
        signal => format!("the image's stop signal is {signal}"),
    };
    Some(RULE.finding(
        format!("{what}, systemd shuts down at SIGRTMIN+3"),
        "`STOPSIGNAL SIGRTMIN+3`".to_owned(),
        Vec::new(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn with(signal: &str) -> Fixture {
        let mut config = ImageConfig::default();
        signal.clone_into(&mut config.config.stop_signal);
        Fixture::new().config(config)
    }

    #[test]
    fn only_the_signal_to_shut_down_is_right() {
        assert_eq!(with("SIGRTMIN+3").findings_of(&RULE), []);
        assert_eq!(with("37").findings_of(&RULE), []);
        let found = with("SIGTERM").findings_of(&RULE);
        assert!(found[0].message.contains("is SIGTERM,"));
        assert_eq!(with("").findings_of(&RULE).len(), 1);
    }
}
