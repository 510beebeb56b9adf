//! What a user asks of a build: by flags of the syntax line (`# syntax=IMAGE --flag`), and by build arguments, which are
//! nearer to the one build and win.

use thiserror::Error;

use super::FailOn;
use crate::PathSettings;

/// Which builds are committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bootable {
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
pub struct BuildOptions {
    /// Which builds are committed.
    pub bootable: Bootable,
    /// The Dockerfile frontend image to delegate to instead of the engine's builtin one.
    pub dockerfile_frontend: Option<String>,
    /// From which severity on a finding that the base image does not have fails the build; none if
    /// `osderive.toml` may say it.
    pub fail_on: Option<FailOn>,
    /// Accounts of services go where nss-altfiles reads them.
    pub altfiles: bool,
    /// What people say of paths.
    pub paths: PathSettings,
    /// The id ledger's path in the build context.
    pub ids: Option<String>,
    /// The previous image, whose ids are compared.
    pub previous: Option<String>,
    /// Each removed path is shown in the step's log.
    pub verbose: bool,
}

/// An option that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BuildOptionError {
    /// A flag that there is not.
    #[error(
        "unknown option `{option}` in the `# syntax=` line; known are --altfiles, --bootable=auto|on|off, --dockerfile-frontend=IMAGE, --fail-on=error|warning|never, --first-start=PATH, --ids=PATH, --previous=IMAGE, --read-only=PATH, --verbose and --writable=PATH"
    )]
    Unknown {
        /// The word.
        option: String,
    },
    /// A value that makes no sense.
    #[error("{name} is `{value}`; it takes {takes}")]
    Value {
        /// The flag or build argument.
        name: &'static str,
        /// What it was given.
        value: String,
        /// What it takes.
        takes: &'static str,
    },
}

/// An option of osderive's own, as a flag of the syntax line and as a build argument.
struct Setting {
    flag: &'static str,
    build_arg: &'static str,
    set: fn(&mut BuildOptions, &'static str, &str) -> Result<(), BuildOptionError>,
}

const SETTINGS: [Setting; 10] = [
    Setting {
        flag: "--altfiles",
        build_arg: "OSDERIVE_ALTFILES",
        set: set_altfiles,
    },
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

impl BuildOptions {
    /// Reads the words of a syntax line behind the image, and build arguments by their names.
    ///
    /// # Errors
    /// For a flag that there is not, and for a value that makes no sense.
    pub fn read<'a>(
        words: impl IntoIterator<Item = &'a str>,
        build_argument: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BuildOptionError> {
        let mut options = Self::default();
        for word in words {
            let (flag, value) = word.split_once('=').unwrap_or((word, ""));
            let setting = SETTINGS.iter().find(|setting| setting.flag == flag);
            let setting = setting.ok_or_else(|| BuildOptionError::Unknown {
                option: word.to_owned(),
            })?;
            (setting.set)(&mut options, setting.flag, value)?;
        }
        for setting in &SETTINGS {
            if let Some(value) = build_argument(setting.build_arg) {
                (setting.set)(&mut options, setting.build_arg, &value)?;
            }
        }
        Ok(options)
    }

    /// The names of the build arguments.
    pub fn build_arguments() -> impl Iterator<Item = &'static str> {
        SETTINGS.iter().map(|setting| setting.build_arg)
    }
}

fn set_bootable(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
    options.bootable = match value {
        "auto" => Bootable::Auto,
        "on" => Bootable::On,
        "off" => Bootable::Off,
        _ => {
            return Err(BuildOptionError::Value {
                name,
                value: value.to_owned(),
                takes: "auto, on or off",
            });
        }
    };
    Ok(())
}

fn set_dockerfile_frontend(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
    if value.is_empty() {
        return Err(BuildOptionError::Value {
            name,
            value: value.to_owned(),
            takes: "an image, such as docker/dockerfile:1",
        });
    }
    options.dockerfile_frontend = Some(value.to_owned());
    Ok(())
}

fn set_fail_on(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
    let wrong = || BuildOptionError::Value {
        name,
        value: value.to_owned(),
        takes: FailOn::WORDS,
    };
    options.fail_on = Some(FailOn::named(value).ok_or_else(wrong)?);
    Ok(())
}

fn set_ids(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
    let names = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !value.split('/').all(names) {
        return Err(BuildOptionError::Value {
            name,
            value: value.to_owned(),
            takes: "the path of a file in the build context, such as osderive.ids",
        });
    }
    options.ids = Some(value.to_owned());
    Ok(())
}

/// An empty name is none, so that a script can pass what it may not have.
fn set_previous(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
    if value.contains(char::is_whitespace) || value.contains("://") {
        return Err(BuildOptionError::Value {
            name,
            value: value.to_owned(),
            takes: "the name of an image, such as registry.example.com/os:latest",
        });
    }
    options.previous = (!value.is_empty()).then(|| value.to_owned());
    Ok(())
}

fn set_verbose(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
    options.verbose = is_on(name, value)?;
    Ok(())
}

fn set_altfiles(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
    options.altfiles = is_on(name, value)?;
    Ok(())
}

/// A flag that stands alone is on.
fn is_on(name: &'static str, value: &str) -> Result<bool, BuildOptionError> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(BuildOptionError::Value {
            name,
            value: value.to_owned(),
            takes: "1 or 0",
        }),
    }
}

fn add_first_start(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
    options
        .paths
        .first_start
        .extend(paths(name, value, &IN_VAR)?);
    Ok(())
}

fn add_writable(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
    options.paths.writable.extend(paths(name, value, &IN_OPT)?);
    Ok(())
}

fn add_read_only(
    options: &mut BuildOptions,
    name: &'static str,
    value: &str,
) -> Result<(), BuildOptionError> {
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
fn paths(name: &'static str, value: &str, place: &Where) -> Result<Vec<String>, BuildOptionError> {
    let plain = value.split(',').map(|path| path.trim_end_matches('/'));
    let is_there = |path: &&str| place.tops.iter().any(|top| path.starts_with(top));
    let all: Vec<&str> = plain.collect();
    if !all.iter().all(is_there) {
        return Err(BuildOptionError::Value {
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

    fn parse(options: &[(&str, &str)]) -> Result<BuildOptions, BuildOptionError> {
        let value = |name: &str| {
            options
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        };
        let words = value("cmdline")
            .unwrap_or_default()
            .split_whitespace()
            .skip(1);
        BuildOptions::read(words, |name| {
            value(&format!("build-arg:{name}")).map(str::to_owned)
        })
    }

    #[test]
    fn what_fails_a_build_may_be_said() {
        let fail_on = |value: &str| {
            let options = parse(&[("build-arg:OSDERIVE_FAIL_ON", value)]);
            options.map(|options| options.fail_on)
        };
        assert_eq!(BuildOptions::default().fail_on, None);
        assert_eq!(fail_on("warning"), Ok(Some(FailOn::Warning)));
        assert_eq!(fail_on("never"), Ok(Some(FailOn::Never)));
        assert!(fail_on("off").is_err());
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
            "OSDERIVE_BOOTABLE is `yes`; it takes auto, on or off"
        );
    }
}
