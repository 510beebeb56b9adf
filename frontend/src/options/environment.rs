//! What the user and the engine ask of a build. The engine passes options in the environment;
//! the user sets osderive's own in the `# syntax=IMAGE --flag` line or by `--build-arg`.

use std::collections::BTreeMap;

use osderive_lints::policy::{BuildOptionError, BuildOptions};
use osderive_log as log;
use serde::Deserialize;
use thiserror::Error;

/// Set by every engine for the frontends that it starts (BuildKit `frontend/gateway/gateway.go`).
pub(crate) const SESSION: &str = "BUILDKIT_SESSION_ID";
/// What BuildKit puts before an option's number (BuildKit `frontend/gateway/gateway.go`).
const ENV_PREFIX: &str = "BUILDKIT_FRONTEND_OPT_";
/// The option that holds the whole value of the syntax line.
const CMDLINE: &str = "cmdline";
/// The option that names the frontend image that is started: ours.
const SOURCE: &str = "source";
/// The option that makes a request a subrequest (BuildKit `frontend/dockerui/requests.go`).
const SUBREQUEST: &str = "requestid";
/// Keeps the Dockerfile frontend's own checks from warning (BuildKit `frontend/dockerui/config.go`).
const NO_CHECKS: (&str, &str) = ("build-arg:BUILDKIT_DOCKERFILE_CHECK", "skip=all");

/// The options of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// osderive's own.
    pub(crate) asked: BuildOptions,
    /// What is to be in the daemon's log.
    pub(crate) log: Option<String>,
    /// The engine's options for the delegated frontend, osderive's own taken out.
    pub(crate) delegated: BTreeMap<String, String>,
}

/// An option that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum OptionError {
    #[error("osderive: {0}")]
    Asked(#[from] BuildOptionError),
    #[error(
        "osderive: {} is no list of levels such as `debug`: {reason}",
        log::VARIABLE
    )]
    Log { reason: String },
    #[error("osderive: the engine's option `cache-imports` is no list of caches: {reason}")]
    CacheImports { reason: String },
}

impl Options {
    /// Reads the options from environment variables; those of other names are passed over.
    pub(crate) fn from_env(
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OptionError> {
        let engine = vars
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .filter_map(|(_, option)| {
                let (key, value) = option.split_once('=')?;
                Some((key.to_owned(), value.to_owned()))
            })
            .collect();
        Self::from_engine(engine)
    }

    /// Reads the engine's options.
    fn from_engine(mut engine: BTreeMap<String, String>) -> Result<Self, OptionError> {
        let cmdline = engine.get(CMDLINE).cloned().unwrap_or_default();
        // The first word is the frontend image itself.
        let words = cmdline.split_whitespace().skip(1);
        let key = |name: &str| format!("build-arg:{name}");
        let log = engine.get(&key(log::VARIABLE)).cloned();
        let asked = BuildOptions::read(words, |name| engine.get(&key(name)).cloned())?;
        // Where no syntax line was followed, the one that will be may name osderive, which they are for, too.
        if engine.contains_key(CMDLINE) {
            for name in BuildOptions::build_arguments().chain([log::VARIABLE]) {
                engine.remove(&key(name));
            }
        }
        // What started us is no argument of the build that we delegate, and must not be in its provenance. But
        // the Dockerfile frontend must know that the syntax line was followed, or it would start us again.
        engine.remove(SOURCE);
        if let Some(cmdline) = engine.get_mut(CMDLINE) {
            cmdline.clear();
        }
        Ok(Self {
            asked,
            log,
            delegated: engine,
        })
    }

    /// Writes to the daemon's log what is asked for.
    ///
    /// # Errors
    /// When that makes no sense.
    pub(crate) fn start_log(&self) -> Result<(), OptionError> {
        let Some(asked) = &self.log else {
            return Ok(());
        };
        log::start(asked).map_err(|error| OptionError::Log {
            reason: error.to_string(),
        })
    }

    /// Whether the frontend that we delegate to may be another osderive, which has done all that we would. One
    /// that the user names may be; and without a command line, when we were started as an image and not by a syntax
    /// line, the Dockerfile frontend follows that line (BuildKit `frontend/dockerfile/builder/build.go`, `Build`).
    pub(crate) fn may_delegate_to_osderive(&self) -> bool {
        self.asked.dockerfile_frontend.is_some() || !self.delegated.contains_key(CMDLINE)
    }

    /// The question about the Dockerfile that this is instead of a build (`--check`, `--call`).
    pub(crate) fn subrequest(&self) -> Option<&str> {
        self.delegated.get(SUBREQUEST).map(String::as_str)
    }

    /// The stage that is built; none for the last one.
    pub(crate) fn target(&self) -> Option<&str> {
        self.delegated.get("target").map(String::as_str)
    }

    /// The options of the build that a subrequest is about, without the checks that answer it. No syntax line is
    /// followed: another osderive would not only make the LLB but build.
    pub(crate) fn unasked(&self) -> Self {
        let mut options = self.clone();
        options.delegated.remove(SUBREQUEST);
        options.delegated.entry(CMDLINE.to_owned()).or_default();
        let (key, value) = NO_CHECKS;
        options.delegated.insert(key.to_owned(), value.to_owned());
        options
    }

    /// The caches to look steps up in, which the delegated frontend would have passed on itself
    /// had it built (BuildKit `frontend/dockerui/config.go`).
    pub(crate) fn cache_imports(&self) -> Result<Vec<CacheImport>, OptionError> {
        let mut imports = match self.delegated.get("cache-imports") {
            Some(json) if !json.is_empty() => {
                serde_json::from_str(json).map_err(|error| OptionError::CacheImports {
                    reason: error.to_string(),
                })?
            }
            _ => Vec::new(),
        };
        if let Some(refs) = self
            .delegated
            .get("cache-from")
            .filter(|refs| !refs.is_empty())
        {
            imports.extend(refs.split(',').map(|reference| CacheImport {
                kind: "registry".to_owned(),
                attrs: BTreeMap::from([("ref".to_owned(), reference.to_owned())]),
            }));
        }
        Ok(imports)
    }
}

/// One external cache, as the engine's option spells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct CacheImport {
    /// `registry`, `local`, `gha`…
    #[serde(rename = "Type")]
    pub(crate) kind: String,
    /// What the kind needs.
    #[serde(rename = "Attrs", default)]
    pub(crate) attrs: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use osderive_lints::policy::Bootable;

    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Options, OptionError> {
        Options::from_env(options.iter().enumerate().map(|(number, (key, value))| {
            (format!("{ENV_PREFIX}{number}"), format!("{key}={value}"))
        }))
    }

    #[test]
    fn a_build_is_delegated_as_it_is_without_what_started_us() {
        let own = [("build-arg:A", "b=c"), ("filename", "Containerfile")];
        let delegated = |options: &[(&str, &str)]| {
            let options = parse(options).unwrap();
            assert_eq!(options.asked.bootable, Bootable::Auto);
            options.delegated
        };
        let expected = |more: Option<(&str, &str)>| {
            let options = own.into_iter().chain(more);
            let options = options.map(|(key, value)| (key.to_owned(), value.to_owned()));
            options.collect::<BTreeMap<String, String>>()
        };
        let by_line = [
            ("cmdline", "me/osderive --verbose"),
            ("source", "me/osderive"),
        ];
        let by_line = delegated(&[own, by_line].concat());
        assert_eq!(by_line, expected(Some(("cmdline", ""))));
        let as_image = delegated(&[&own[..], &[("source", "me/osderive")]].concat());
        assert_eq!(as_image, expected(None));
    }

    #[test]
    fn another_osderive_may_be_behind_a_syntax_line_that_was_not_followed() {
        let may = |options: &[(&str, &str)]| parse(options).unwrap().may_delegate_to_osderive();
        assert!(may(&[("source", "osderive")]));
        assert!(!may(&[("source", "osderive"), ("cmdline", "osderive")]));
        assert!(may(&[("cmdline", "osderive --dockerfile-frontend=o")]));
    }

    #[test]
    fn variables_of_other_names_are_no_options() {
        let vars = [("PATH".to_owned(), "cmdline=x --bootable=on".to_owned())];
        assert_eq!(
            Options::from_env(vars).unwrap().asked.bootable,
            Bootable::Auto
        );
    }

    #[test]
    fn the_syntax_line_carries_flags() {
        let options = parse(&[(
            "cmdline",
            "osderive:1 --bootable=on  --dockerfile-frontend=docker/dockerfile:1.9 --verbose",
        )])
        .unwrap();
        assert_eq!(options.asked.bootable, Bootable::On);
        assert_eq!(
            options.asked.dockerfile_frontend.as_deref(),
            Some("docker/dockerfile:1.9")
        );
        assert!(options.asked.verbose);
    }

    #[test]
    fn a_subrequest_is_about_a_build_of_the_same_options() {
        let options = parse(&[("requestid", "frontend.lint"), ("target", "a")]).unwrap();
        assert_eq!(options.subrequest(), Some("frontend.lint"));
        let build = options.unasked();
        assert_eq!((build.subrequest(), build.target()), (None, Some("a")));
        assert!(!build.may_delegate_to_osderive(), "it would build");
    }

    #[test]
    fn a_build_argument_wins_over_the_syntax_line_and_is_not_passed_on() {
        let options = parse(&[
            ("cmdline", "osderive --bootable=on"),
            ("build-arg:OSDERIVE_BOOTABLE", "off"),
        ])
        .unwrap();
        assert_eq!(options.asked.bootable, Bootable::Off);
        assert!(!options.delegated.keys().any(|key| key.contains("OSDERIVE")));
        let unfollowed = parse(&[("build-arg:OSDERIVE_BOOTABLE", "off")]).unwrap();
        assert_eq!(unfollowed.asked.bootable, Bootable::Off);
        let passed_on = &unfollowed.delegated["build-arg:OSDERIVE_BOOTABLE"];
        assert_eq!(passed_on, "off", "to what follows the syntax line");
    }

    #[test]
    fn caches_come_from_both_options() {
        let options = parse(&[
            (
                "cache-imports",
                r#"[{"Type":"local","Attrs":{"src":"/c"}}]"#,
            ),
            ("cache-from", "a,b"),
        ])
        .unwrap();
        let kinds: Vec<_> = options
            .cache_imports()
            .unwrap()
            .into_iter()
            .map(|i| i.kind)
            .collect();
        assert_eq!(kinds, ["local", "registry", "registry"]);
        let broken = parse(&[("cache-imports", "{")]).unwrap();
        assert!(broken.cache_imports().is_err());
    }
}
