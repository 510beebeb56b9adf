//! What the user and the engine ask of a build. The engine passes options in the environment;
//! the user sets osderive's own in the `# syntax=IMAGE --flag` line or by `--build-arg`.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

/// What BuildKit puts before an option's number (BuildKit `frontend/gateway/gateway.go`).
const ENV_PREFIX: &str = "BUILDKIT_FRONTEND_OPT_";
/// The option that holds the whole value of the syntax line.
const CMDLINE: &str = "cmdline";

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

/// The options of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Which builds are committed.
    pub(crate) bootable: Bootable,
    /// The Dockerfile frontend image to delegate to instead of the engine's builtin one.
    pub(crate) dockerfile_frontend: Option<String>,
    /// Each removed path is shown in the step's log.
    pub(crate) verbose: bool,
    /// The engine's options for the delegated frontend, osderive's own taken out.
    pub(crate) delegated: BTreeMap<String, String>,
}

/// An option that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum OptionError {
    #[error(
        "osderive: unknown option `{option}` in the `# syntax=` line; known are --bootable=auto|on|off, --dockerfile-frontend=IMAGE and --verbose"
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

const SETTINGS: [Setting; 3] = [
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
        flag: "--verbose",
        build_arg: "OSDERIVE_VERBOSE",
        set: set_verbose,
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
        for setting in &SETTINGS {
            if let Some(value) = engine.remove(&format!("build-arg:{}", setting.build_arg)) {
                (setting.set)(&mut options, setting.build_arg, &value)?;
            }
        }
        // Without it the builtin frontend would read the syntax line again and start us again.
        engine.insert(CMDLINE.to_owned(), cmdline);
        options.delegated = engine;
        Ok(options)
    }

    /// Whether this is a question about the Dockerfile (`--check`, `--call`), not a build.
    pub(crate) fn is_subrequest(&self) -> bool {
        self.delegated.contains_key("requestid")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Options, OptionError> {
        Options::from_env(options.iter().enumerate().map(|(number, (key, value))| {
            (format!("{ENV_PREFIX}{number}"), format!("{key}={value}"))
        }))
    }

    #[test]
    fn a_plain_build_is_delegated_as_it_is_with_the_command_line_set() {
        let options = parse(&[("filename", "Containerfile"), ("build-arg:A", "b=c")]).unwrap();
        let expected = [
            ("build-arg:A", "b=c"),
            ("cmdline", ""),
            ("filename", "Containerfile"),
        ];
        assert_eq!(
            options.delegated,
            expected
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into()
        );
        assert_eq!(options.bootable, Bootable::Auto);
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
    fn a_build_argument_wins_over_the_syntax_line_and_is_not_passed_on() {
        let options = parse(&[
            ("cmdline", "osderive --bootable=on"),
            ("build-arg:OSDERIVE_BOOTABLE", "off"),
        ])
        .unwrap();
        assert_eq!(options.bootable, Bootable::Off);
        assert!(!options.delegated.keys().any(|key| key.contains("OSDERIVE")));
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
