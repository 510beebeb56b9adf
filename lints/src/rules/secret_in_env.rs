//! # What it does
//! Finds passwords and tokens in the environment of the image (`ENV`). Also finds them in the build
//! arguments that its history shows (`ARG`).
//!
//! # Why it breaks
//! `ENV` and `ARG` are part of the image. Whoever can pull it reads them with `docker history`.
//!
//! # Example
//! ```dockerfile
//! ARG GITHUB_TOKEN
//! RUN curl -H "Authorization: Bearer $GITHUB_TOKEN" -o /usr/bin/acme https://…
//! ```
//!
//! # Fix
//! Mount the secret in the step that needs it:
//! ```dockerfile
//! RUN --mount=type=secret,id=github,env=GITHUB_TOKEN \
//!     curl -H "Authorization: Bearer $GITHUB_TOKEN" -o /usr/bin/acme https://…
//! ```
//! Revoke a token that was in an image.

use std::collections::BTreeSet;

use super::{Check, Need, Rule, counted};
use crate::history::assignments;
use crate::model::secrets::is_secret;
use crate::{Finding, Image, ImageConfig, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "secret-in-env",
    severity: Severity::Warning,
    summary: "a password or token is in ENV or in the history",
    needs: Need::Config,
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let names = image.config.map(names).unwrap_or_default();
    finding(&names).into_iter().collect()
}

/// The variables of a configuration that look like secrets.
pub(crate) fn names(config: &ImageConfig) -> BTreeSet<&str> {
    let env = config.config.env.iter().map(String::as_str);
    let history = config.history.iter();
    let arguments = history.flat_map(|step| assignments(&step.created_by));
    (env.chain(arguments))
        .filter_map(|assignment| assignment.split_once('='))
        .filter(|(name, value)| is_secret(name, value))
        .map(|(name, _)| name)
        .collect()
}

/// The finding about such variables; none if there is none.
pub(crate) fn finding(names: &BTreeSet<&str>) -> Option<Finding> {
    if names.is_empty() {
        return None;
    }
    let what = counted(names.len(), "variable looks", "variables look");
    let names = names.iter().copied().collect::<Vec<_>>().join(", ");
    Some(RULE.finding(
        format!("{what} like a secret that whoever pulls the image can read: {names}"),
        "`RUN --mount=type=secret,id=NAME,env=NAME …` in place of ENV and ARG, and revoke what was \
         in an image"
            .to_owned(),
        Vec::new(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::History;
    use crate::rules::fixture::Fixture;

    fn image(env: &[&str], history: &[&str]) -> Fixture {
        let mut config = ImageConfig::default();
        config.config.env = env.iter().map(|&text| text.to_owned()).collect();
        let step = |text: &&str| History {
            created_by: (*text).to_owned(),
            empty_layer: false,
        };
        config.history = history.iter().map(step).collect();
        Fixture::new().config(config)
    }

    #[test]
    fn secrets_are_told_by_their_names_and_never_shown() {
        let env = [
            "PATH=/usr/bin",
            "DB_PASSWORD=hunter2",
            "X=ghp_0123456789abcdef0123",
        ];
        let history = [
            "RUN |1 NPM_TOKEN=abcdef /bin/sh -c npm ci # buildkit",
            "/bin/sh -c #(nop)  ENV AWS_SECRET_ACCESS_KEY=abcdef",
        ];
        let found = image(&env, &history).findings_of(&RULE);
        assert_eq!(found.len(), 1);
        let names = "read: AWS_SECRET_ACCESS_KEY, DB_PASSWORD, NPM_TOKEN, X";
        assert!(found[0].message.ends_with(names), "{}", found[0].message);
        assert!(!found[0].message.contains("hunter2"));
    }

    #[test]
    fn what_only_sounds_like_a_secret_is_right() {
        let env = [
            "GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
            "TOKEN_FILE=/run/secrets/token",
            "AWS_ACCESS_KEY_ID=$KEY",
            "PASSWORD=",
            "SECRET=true",
            "MONKEY=banana",
            "container=oci",
        ];
        let history = [
            "RUN |1 VERSION=1.2.3 /bin/sh -c TOKEN=abcdef make",
            "COPY x /x",
        ];
        assert_eq!(image(&env, &history).findings_of(&RULE), []);
    }
}
