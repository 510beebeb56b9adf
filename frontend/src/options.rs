//! What the user and the engine ask of a build. The engine passes options in the environment;
//! the user sets osderive's own in the `# syntax=IMAGE --flag` line or by `--build-arg`.

use std::collections::BTreeMap;

use osderive_lints::{PathSettings, Severity};
use serde::Deserialize;
use thiserror::Error;

/// What BuildKit puts before an option's number (BuildKit `frontend/gateway/gateway.go`).
const ENV_PREFIX: &str = "BUILDKIT_FRONTEND_OPT_";
/// The option that holds the whole value of the syntax line.
const CMDLINE: &str = "cmdline";
/// The option that names the frontend image that is started: ours.
const SOURCE: &str = "source";
/// The option that makes a request a question (BuildKit `frontend/dockerui/requests.go`).
const QUESTION: &str = "requestid";
/// Keeps the Dockerfile frontend's own checks from warning (BuildKit `frontend/dockerui/config.go`).
const NO_CHECKS: (&str, &str) = ("build-arg:BUILDKIT_DOCKERFILE_CHECK", "skip=all");

/// Which builds are committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bootable {
    /// Those whose base or result is labelled bootable; a rootfs without a base image decides by
    /// what is in it.
    #[default]
    Auto,
    /// Every build.
    On,
    /// None.
    Off,
}

/// From which severity on a finding fails the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailOn {
    /// What keeps the image from booting or a service from starting.
    Error,
    /// Every warning too.
    Warning,
    /// Nothing that is found.
    Never,
}

impl FailOn {
    /// The least severity that fails; none if nothing does.
    pub(crate) fn severity(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Never => None,
        }
    }
}

/// The options of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Which builds are committed.
    pub(crate) bootable: Bootable,
    /// The Dockerfile frontend image to delegate to instead of the engine's builtin one.
    pub(crate) dockerfile_frontend: Option<String>,
    /// From which severity on a finding that the base image does not have fails the build; none if
    /// `osderive.toml` may say it.
    pub(crate) fail_on: Option<FailOn>,
    /// What people say of paths.
    pub(crate) paths: PathSettings,
    /// The id ledger's path in the build context.
    pub(crate) ids: Option<String>,
    /// The previous image, whose ids are compared.
    pub(crate) previous: Option<String>,
    /// Each removed path is shown in the step's log.
    pub(crate) verbose: bool,
    /// The engine's options for the delegated frontend, osderive's own taken out.
    pub(crate) delegated: BTreeMap<String, String>,
}

/// An option that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum OptionError {
    #[error(
        "osderive: unknown option `{option}` in the `# syntax=` line; known are --bootable=auto|on|off, --dockerfile-frontend=IMAGE, --fail-on=error|warning|never, --first-start=PATH, --ids=PATH, --previous=IMAGE, --read-only=PATH, --verbose and --writable=PATH"
    )]
    Unknown { option: String },
    #[error("osderive: {name} is `{value}`; it takes {takes}")]
    Value {
        name: &'static str,
        value: String,
        takes: &'static str,
    },
    #[error("osderive: the engine's option `cache-imports` is no list of caches: {reason}")]
    CacheImports { reason: String },
}

/// An option of osderive's own, as a flag of the syntax line and as a build argument.
struct Setting {
    flag: &'static str,
    build_arg: &'static str,
    set: fn(&mut Options, &'static str, &str) -> Result<(), OptionError>,
}

const SETTINGS: [Setting; 9] = [
    Setting {
        flag: "--bootable",
        build_arg: "OSDERIVE_BOOTABLE",
        set: set_bootable,
    },
    Setting {
        flag: "--dockerfile-frontend",
        build_arg: "OSDERIVE_DOCKERFILE_FRONTEND",
        set: set_dockerfile_frontend,
    },
    Setting {
        flag: "--fail-on",
        build_arg: "OSDERIVE_FAIL_ON",
        set: set_fail_on,
    },
    Setting {
        flag: "--first-start",
        build_arg: "OSDERIVE_FIRST_START",
        set: add_first_start,
    },
    Setting {
        flag: "--ids",
        build_arg: "OSDERIVE_IDS",
        set: set_ids,
    },
    Setting {
        flag: "--previous",
        build_arg: "OSDERIVE_PREVIOUS",
        set: set_previous,
    },
    Setting {
        flag: "--read-only",
        build_arg: "OSDERIVE_READ_ONLY",
        set: add_read_only,
    },
    Setting {
        flag: "--verbose",
        build_arg: "OSDERIVE_VERBOSE",
        set: set_verbose,
    },
    Setting {
        flag: "--writable",
        build_arg: "OSDERIVE_WRITABLE",
        set: add_writable,
    },
];

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

    /// Build arguments win over the syntax line: they are nearer to the one build.
    fn from_engine(mut engine: BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let cmdline = engine.get(CMDLINE).cloned().unwrap_or_default();
        // The first word is the frontend image itself.
        for word in cmdline.split_whitespace().skip(1) {
            let (flag, value) = word.split_once('=').unwrap_or((word, ""));
            let setting = SETTINGS.iter().find(|setting| setting.flag == flag);
            let setting = setting.ok_or_else(|| OptionError::Unknown {
                option: word.to_owned(),
            })?;
            (setting.set)(&mut options, setting.flag, value)?;
        }
        // Where no syntax line was followed, the one that will be may name osderive, which they are for, too.
        let is_followed = engine.contains_key(CMDLINE);
        for setting in &SETTINGS {
            let key = format!("build-arg:{}", setting.build_arg);
            let value = engine.get(&key).cloned();
            if let Some(value) = value {
                (setting.set)(&mut options, setting.build_arg, &value)?;
            }
            if is_followed {
                engine.remove(&key);
            }
        }
        // What started us is no argument of the build that we delegate, and must not be in its provenance. But
        // the Dockerfile frontend must know that the syntax line was followed, or it would start us again.
        engine.remove(SOURCE);
        if let Some(cmdline) = engine.get_mut(CMDLINE) {
            cmdline.clear();
        }
        options.delegated = engine;
        Ok(options)
    }

    /// Whether the frontend that we delegate to may be another osderive, which has done all that we would. One
    /// that the user names may be; and without a command line, when we were started as an image and not by a syntax
    /// line, the Dockerfile frontend follows that line (BuildKit `frontend/dockerfile/builder/build.go`, `Build`).
    pub(crate) fn may_delegate_to_osderive(&self) -> bool {
        self.dockerfile_frontend.is_some() || !self.delegated.contains_key(CMDLINE)
    }

    /// The question about the Dockerfile that this is instead of a build (`--check`, `--call`).
    pub(crate) fn question(&self) -> Option<&str> {
        self.delegated.get(QUESTION).map(String::as_str)
    }

    /// The stage that is built; none for the last one.
    pub(crate) fn target(&self) -> Option<&str> {
        self.delegated.get("target").map(String::as_str)
    }

    /// The options of the build that a question is about, without the checks that answer it. No syntax line is
    /// followed: another osderive would not only make the LLB but build.
    pub(crate) fn unasked(&self) -> Self {
        let mut options = self.clone();
        options.delegated.remove(QUESTION);
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

fn set_bootable(options: &mut Options, name: &'static str, value: &str) -> Result<(), OptionError> {
    options.bootable = match value {
        "auto" => Bootable::Auto,
        "on" => Bootable::On,
        "off" => Bootable::Off,
        _ => {
            return Err(OptionError::Value {
                name,
                value: value.to_owned(),
                takes: "auto, on or off",
            });
        }
    };
    Ok(())
}

fn set_dockerfile_frontend(
    options: &mut Options,
    name: &'static str,
    value: &str,
) -> Result<(), OptionError> {
    if value.is_empty() {
        return Err(OptionError::Value {
            name,
            value: value.to_owned(),
            takes: "an image, such as docker/dockerfile:1",
        });
    }
    options.dockerfile_frontend = Some(value.to_owned());
    Ok(())
}

fn set_fail_on(options: &mut Options, name: &'static str, value: &str) -> Result<(), OptionError> {
    options.fail_on = Some(match value {
        "error" => FailOn::Error,
        "warning" => FailOn::Warning,
        "never" => FailOn::Never,
        _ => {
            return Err(OptionError::Value {
                name,
                value: value.to_owned(),
                takes: "error, warning or never",
            });
        }
    });
    Ok(())
}

fn set_ids(options: &mut Options, name: &'static str, value: &str) -> Result<(), OptionError> {
    let names = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !value.split('/').all(names) {
        return Err(OptionError::Value {
            name,
            value: value.to_owned(),
            takes: "the path of a file in the build context, such as osderive.ids",
        });
    }
    options.ids = Some(value.to_owned());
    Ok(())
}

/// An empty name is none, so that a script can pass what it may not have.
fn set_previous(options: &mut Options, name: &'static str, value: &str) -> Result<(), OptionError> {
    if value.contains(char::is_whitespace) || value.contains("://") {
        return Err(OptionError::Value {
            name,
            value: value.to_owned(),
            takes: "the name of an image, such as registry.example.com/os:latest",
        });
    }
    options.previous = (!value.is_empty()).then(|| value.to_owned());
    Ok(())
}

fn set_verbose(options: &mut Options, name: &'static str, value: &str) -> Result<(), OptionError> {
    options.verbose = match value {
        "" | "1" | "true" => true,
        "0" | "false" => false,
        _ => {
            return Err(OptionError::Value {
                name,
                value: value.to_owned(),
                takes: "1 or 0",
            });
        }
    };
    Ok(())
}

fn add_first_start(
    options: &mut Options,
    name: &'static str,
    value: &str,
) -> Result<(), OptionError> {
    options
        .paths
        .first_start
        .extend(paths(name, value, &IN_VAR)?);
    Ok(())
}

fn add_writable(options: &mut Options, name: &'static str, value: &str) -> Result<(), OptionError> {
    options.paths.writable.extend(paths(name, value, &IN_OPT)?);
    Ok(())
}

fn add_read_only(
    options: &mut Options,
    name: &'static str,
    value: &str,
) -> Result<(), OptionError> {
    options.paths.read_only.extend(paths(name, value, &IN_OPT)?);
    Ok(())
}

/// Where the paths of an option are.
struct Where {
    tops: &'static [&'static str],
    takes: &'static str,
}

const IN_OPT: Where = Where {
    tops: &["/opt/", "/usr/local/"],
    takes: "paths below /opt or /usr/local with commas between them",
};

/// Nothing of all of `/var/lib` can be left to one service.
const IN_VAR: Where = Where {
    tops: &[
        "/var/cache/",
        "/var/lib/",
        "/var/log/",
        "/var/spool/",
        "/var/www/",
    ],
    takes: "paths below /var/lib, /var/cache, /var/log, /var/spool or /var/www with commas between them",
};

/// Absolute paths with commas between them.
fn paths(name: &'static str, value: &str, place: &Where) -> Result<Vec<String>, OptionError> {
    let plain = value.split(',').map(|path| path.trim_end_matches('/'));
    let is_there = |path: &&str| place.tops.iter().any(|top| path.starts_with(top));
    let all: Vec<&str> = plain.collect();
    if !all.iter().all(is_there) {
        return Err(OptionError::Value {
            name,
            value: value.to_owned(),
            takes: place.takes,
        });
    }
    Ok(all.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
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
            assert_eq!(options.bootable, Bootable::Auto);
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
        assert_eq!(Options::from_env(vars).unwrap().bootable, Bootable::Auto);
    }

    #[test]
    fn the_syntax_line_carries_flags() {
        let options = parse(&[(
            "cmdline",
            "osderive:1 --bootable=on  --dockerfile-frontend=docker/dockerfile:1.9 --verbose",
        )])
        .unwrap();
        assert_eq!(options.bootable, Bootable::On);
        assert_eq!(
            options.dockerfile_frontend.as_deref(),
            Some("docker/dockerfile:1.9")
        );
        assert!(options.verbose);
    }

    #[test]
    fn what_fails_a_build_may_be_said() {
        let severity = |value: &str| {
            let options = parse(&[("build-arg:OSDERIVE_FAIL_ON", value)]);
            options.map(|options| options.fail_on.map(FailOn::severity))
        };
        assert_eq!(Options::default().fail_on, None);
        assert_eq!(severity("warning"), Ok(Some(Some(Severity::Warning))));
        assert_eq!(severity("never"), Ok(Some(None)));
        assert!(severity("info").is_err());
    }

    #[test]
    fn a_question_is_about_a_build_of_the_same_options() {
        let options = parse(&[("requestid", "frontend.lint"), ("target", "a")]).unwrap();
        assert_eq!(options.question(), Some("frontend.lint"));
        let build = options.unasked();
        assert_eq!((build.question(), build.target()), (None, Some("a")));
        assert!(!build.may_delegate_to_osderive(), "it would build");
    }

    #[test]
    fn an_id_ledger_is_in_the_build_context() {
        let ids = |value: &str| parse(&[("build-arg:OSDERIVE_IDS", value)]).map(|found| found.ids);
        assert_eq!(
            ids("os/osderive.ids"),
            Ok(Some("os/osderive.ids".to_owned()))
        );
        for outside in ["", "/osderive.ids", "../osderive.ids", "os//ids", "./ids"] {
            assert!(ids(outside).is_err(), "{outside}");
        }
    }

    #[test]
    fn a_previous_image_is_given_by_its_name_or_not_at_all() {
        let previous = |value: &str| {
            let options = parse(&[("build-arg:OSDERIVE_PREVIOUS", value)]);
            options.map(|options| options.previous)
        };
        assert_eq!(previous("me/os:1"), Ok(Some("me/os:1".to_owned())));
        assert_eq!(previous(""), Ok(None));
        for other in ["docker-image://os", "a b"] {
            assert!(previous(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_build_argument_wins_over_the_syntax_line_and_is_not_passed_on() {
        let options = parse(&[
            ("cmdline", "osderive --bootable=on"),
            ("build-arg:OSDERIVE_BOOTABLE", "off"),
        ])
        .unwrap();
        assert_eq!(options.bootable, Bootable::Off);
        assert!(!options.delegated.keys().any(|key| key.contains("OSDERIVE")));
        let unfollowed = parse(&[("build-arg:OSDERIVE_BOOTABLE", "off")]).unwrap();
        assert_eq!(unfollowed.bootable, Bootable::Off);
        let passed_on = &unfollowed.delegated["build-arg:OSDERIVE_BOOTABLE"];
        assert_eq!(passed_on, "off", "to what follows the syntax line");
    }

    #[test]
    fn paths_may_be_given_together_and_again() {
        let options = parse(&[
            (
                "cmdline",
                "osderive --writable=/opt/a/x,/opt/b/ --writable=/opt/c",
            ),
            ("build-arg:OSDERIVE_READ_ONLY", "/usr/local/app/data"),
        ])
        .unwrap();
        assert_eq!(options.paths.writable, ["/opt/a/x", "/opt/b", "/opt/c"]);
        assert_eq!(options.paths.read_only, ["/usr/local/app/data"]);
        let elsewhere = parse(&[("cmdline", "osderive --writable=/srv/x")]).unwrap_err();
        assert!(elsewhere.to_string().contains("/srv/x"), "{elsewhere}");
        let first = |value: &str| parse(&[("build-arg:OSDERIVE_FIRST_START", value)]);
        let left = first("/var/lib/sql/main/").unwrap().paths.first_start;
        assert_eq!(left, ["/var/lib/sql/main"]);
        for all in ["/var/lib/", "/var", "/var/run/x", ""] {
            assert!(first(all).is_err(), "{all}");
        }
    }

    #[test]
    fn a_wrong_flag_or_value_is_named() {
        let unknown = parse(&[("cmdline", "osderive --boot")]).unwrap_err();
        assert!(unknown.to_string().contains("`--boot`"), "{unknown}");
        let value = parse(&[("build-arg:OSDERIVE_BOOTABLE", "yes")]).unwrap_err();
        assert_eq!(
            value.to_string(),
            "osderive: OSDERIVE_BOOTABLE is `yes`; it takes auto, on or off"
        );
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
