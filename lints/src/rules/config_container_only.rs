//! # What it does
//! Finds what containers take from the image's configuration and hosts do not:
//!
//! - a user
//! - a command or entry point that is not an init system
//! - volumes
//! - a health check
//!
//! # Why it breaks
//! A host starts systemd as root, whatever the configuration says. The program does not run, no
//! volume is mounted, and nothing checks the health.
//!
//! # Example
//! ```dockerfile
//! VOLUME /var/lib/acme
//! USER acme
//! CMD ["/usr/bin/acme"]
//! ```
//!
//! # Fix
//! Start the program with a unit:
//! ```ini
//! [Service]
//! ExecStart=/usr/bin/acme
//! User=acme
//! StateDirectory=acme
//! [Install]
//! WantedBy=multi-user.target
//! ```

use super::{Check, Need, Rule};
use crate::{Finding, Image, ImageConfig, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "config-container-only",
    severity: Severity::Warning,
    summary: "the configuration asks for what only containers have",
    needs: Need::Config,
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Programs that start a system.
const INITS: [&str; 2] = ["init", "systemd"];
/// Programs that base images have for want of another one.
const SHELLS: [&str; 3] = ["bash", "dash", "sh"];

/// What of a configuration only containers have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The instruction that makes it.
    pub(crate) keyword: &'static str,
    /// What nobody on a machine does.
    what: String,
}

fn check(image: &Image<'_>) -> Vec<Finding> {
    let parts = image.config.map(parts).unwrap_or_default();
    finding(&parts).into_iter().collect()
}

/// All such parts.
pub(crate) fn parts(config: &ImageConfig) -> Vec<Part> {
    let config = &config.config;
    let mut parts = Vec::new();
    let mut add = |keyword, what| parts.push(Part { keyword, what });
    let user = config.user.split(':').next().unwrap_or_default();
    if !matches!(user, "" | "0" | "root") {
        add("USER", format!("nothing runs as {user}"));
    }
    if !config.entrypoint.is_empty() {
        let program = program(&config.entrypoint).filter(|program| !is_default(program));
        if let Some(program) = program {
            add("ENTRYPOINT", format!("{program} is not started"));
        }
    } else if let Some(program) = program(&config.cmd).filter(|program| !is_default(program)) {
        add("CMD", format!("{program} is not started"));
    }
    if !config.volumes.is_empty() {
        let paths: Vec<&str> = config.volumes.keys().map(String::as_str).collect();
        add(
            "VOLUME",
            format!("nothing is mounted at {}", paths.join(", ")),
        );
    }
    if !matches!(
        config.healthcheck.test.first().map(String::as_str),
        None | Some("NONE")
    ) {
        add("HEALTHCHECK", "nobody asks for its health".to_owned());
    }
    parts
}

/// The finding about some of them; none if there is none.
pub(crate) fn finding(parts: &[Part]) -> Option<Finding> {
    if parts.is_empty() {
        return None;
    }
    let what: Vec<&str> = parts.iter().map(|part| part.what.as_str()).collect();
    Some(RULE.finding(
        format!(
            "on a machine that boots the image, {}",
            what.join(", and ")
        ),
        "start what is needed by a unit in /usr/lib/systemd/system, with ExecStart=, User= and \
         StateDirectory="
            .to_owned(),
        Vec::new(),
    ))
}

/// The program that a command starts, also through a shell.
fn program(command: &[String]) -> Option<&str> {
    let words: Vec<&str> = match command {
        [shell, flag, script, ..] if flag == "-c" && SHELLS.contains(&name(shell)) => {
            script.split_whitespace().collect()
        }
        words => words.iter().map(String::as_str).collect(),
    };
    words.into_iter().find(|word| *word != "exec")
}

fn is_default(program: &str) -> bool {
    INITS.contains(&name(program)) || SHELLS.contains(&name(program))
}

fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn findings(config: &str) -> Vec<String> {
        let config = serde_json::from_str(&format!("{{\"config\": {config}}}"));
        let tree = Fixture::new().config(config.expect("a configuration"));
        let found = tree.findings_of(&RULE).into_iter();
        found.map(|finding| finding.message).collect()
    }

    #[test]
    fn what_no_machine_does_is_told() {
        let config = r#"{"User": "acme:acme", "Cmd": ["/bin/sh", "-c", "exec /usr/bin/acme -v"],
            "Volumes": {"/a": {}, "/b": {}}, "Healthcheck": {"Test": ["CMD", "x"]}}"#;
        let expected = "on a machine that boots the image, nothing runs as acme, and /usr/bin/acme is \
            not started, and nothing is mounted at /a, /b, and nobody asks for its health";
        assert_eq!(findings(config), [expected]);
        let entrypoint = r#"{"Entrypoint": ["/entry.sh"], "Cmd": ["/sbin/init"]}"#;
        assert!(findings(entrypoint)[0].ends_with("/entry.sh is not started"));
    }

    #[test]
    fn what_starts_a_system_and_what_bases_have_is_right() {
        for config in [
            "{}",
            r#"{"User": "root", "Cmd": ["/sbin/init"], "Healthcheck": {"Test": ["NONE"]}}"#,
            r#"{"User": "0:0", "Cmd": ["bash"]}"#,
            r#"{"Entrypoint": ["/usr/lib/systemd/systemd"], "Cmd": ["--log-level=debug"]}"#,
            r#"{"Cmd": ["/bin/sh", "-c", "exec /sbin/init"]}"#,
        ] {
            assert_eq!(findings(config), [""; 0], "{config}");
        }
    }
}
