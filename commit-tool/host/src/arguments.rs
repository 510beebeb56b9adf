//! The command line of `podman build` and `buildah build`. All of it goes to the engine as it came, but for what this
//! command does itself: the Containerfile, the runtime, and names of the image, which it gets once it is found right.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use crate::error::Error;

/// Long options with a value in the next word, of podman 4.3 to 5.8 and buildah 1.28 to 1.43 (`build --help`, and
/// `--help` for those before the verb). `--pull` takes one behind a sign only.
const WITH_VALUE: &[&str] = &[
    "add-host",
    "annotation",
    "arch",
    "authfile",
    "build-arg",
    "build-arg-file",
    "build-context",
    "cache-from",
    "cache-to",
    "cache-ttl",
    "cap-add",
    "cap-drop",
    "cdi-spec-dir",
    "cert-dir",
    "cgroup-manager",
    "cgroup-parent",
    "cgroupns",
    "config",
    "conmon",
    "connection",
    "cpp-flag",
    "cpu-period",
    "cpu-quota",
    "cpu-shares",
    "cpuset-cpus",
    "cpuset-mems",
    "creds",
    "cw",
    "decryption-key",
    "device",
    "dns",
    "dns-option",
    "dns-search",
    "env",
    "events-backend",
    "file",
    "format",
    "from",
    "group-add",
    "hooks-dir",
    "identity",
    "ignorefile",
    "iidfile",
    "imagestore",
    "ipc",
    "isolation",
    "jobs",
    "label",
    "layer-label",
    "log-level",
    "logfile",
    "manifest",
    "memory",
    "memory-swap",
    "metadata-file",
    "module",
    "network",
    "network-cmd-path",
    "network-config-dir",
    "os",
    "os-feature",
    "os-version",
    "out",
    "output",
    "pid",
    "platform",
    "registries-conf",
    "registries-conf-dir",
    "retry",
    "retry-delay",
    "root",
    "runroot",
    "runtime",
    "runtime-flag",
    "sbom",
    "sbom-image-output",
    "sbom-image-purl-output",
    "sbom-merge-strategy",
    "sbom-output",
    "sbom-purl-output",
    "sbom-scanner-command",
    "sbom-scanner-image",
    "secret",
    "security-opt",
    "shm-size",
    "short-name-alias-conf",
    "sign-by",
    "signature-policy",
    "source-date-epoch",
    "source-policy-file",
    "ssh",
    "storage-driver",
    "storage-opt",
    "tag",
    "target",
    "timestamp",
    "tls-ca",
    "tls-cert",
    "tls-key",
    "tmpdir",
    "transient-run",
    "ulimit",
    "unsetannotation",
    "unsetenv",
    "unsetlabel",
    "url",
    "userns",
    "userns-gid-map",
    "userns-gid-map-group",
    "userns-uid-map",
    "userns-uid-map-user",
    "uts",
    "variant",
    "volume",
    "volumepath",
];

/// Short options with a value, and their long names.
const SHORT: &[(u8, &str)] = &[
    (b'c', "cpu-shares"),
    (b'f', "file"),
    (b'm', "memory"),
    (b'o', "output"),
    (b't', "tag"),
    (b'v', "volume"),
];

/// The program that builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Podman,
    Buildah,
}

impl Engine {
    /// The program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Buildah => "buildah",
        }
    }

    /// Whether a word, behind those before it, is the verb of a build.
    fn begins_build(self, word: &OsStr, before: Option<&OsStr>) -> bool {
        let is = |names: &[&str]| names.iter().any(|name| word == *name);
        match self {
            Self::Podman => {
                let groups = ["image", "buildx"];
                is(&["build"])
                    && before.is_none_or(|group| groups.iter().any(|name| group == *name))
            }
            Self::Buildah => is(&["build", "bud", "build-using-dockerfile"]) && before.is_none(),
        }
    }
}

/// One option, or something that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    /// The long name of an option.
    name: Option<String>,
    value: Option<OsString>,
    /// As it was written, one word or two.
    written: Vec<OsString>,
}

/// A command line that builds.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    pub(crate) engine: Engine,
    /// Before the verb.
    global: Vec<Word>,
    /// The verb, with its group.
    verb: Vec<OsString>,
    words: Vec<Word>,
    /// As they came.
    pub(crate) raw: Vec<OsString>,
}

impl Arguments {
    /// Reads the words behind the engine's name.
    ///
    /// # Errors
    /// When they are no build.
    pub(crate) fn read(engine: Engine, words: Vec<OsString>) -> Result<Self, Error> {
        let not_a_build = || Error::NotABuild {
            engine: engine.name(),
        };
        let raw = words.clone();
        let mut words = words.into_iter();
        let mut global = Vec::new();
        let mut verb: Vec<OsString> = Vec::new();
        loop {
            let word = words.next().ok_or_else(not_a_build)?;
            if word.as_bytes().starts_with(b"-") {
                global.extend(option(word, &mut words));
                continue;
            }
            let is_build = engine.begins_build(&word, verb.last().map(OsString::as_os_str));
            verb.push(word);
            if is_build {
                break;
            }
            if verb.len() > 1 {
                return Err(not_a_build());
            }
        }
        let mut own = Vec::new();
        let mut is_over = false;
        while let Some(word) = words.next() {
            let is_option = word.len() > 1 && word.as_bytes().starts_with(b"-") && !is_over;
            if word == "--" && !is_over {
                is_over = true;
            } else if is_option {
                own.extend(option(word, &mut words));
            } else {
                own.push(Word {
                    name: None,
                    value: Some(word.clone()),
                    written: vec![word],
                });
            }
        }
        Ok(Self {
            engine,
            global,
            verb,
            words: own,
            raw,
        })
    }

    /// All values of an option, those before the verb first.
    pub(crate) fn values<'a>(
        &'a self,
        name: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a OsStr> {
        let all = self.global.iter().chain(&self.words);
        all.filter(move |word| word.name.as_deref() == Some(name))
            .filter_map(|word| word.value.as_deref())
    }

    /// The last value of an option, which counts.
    pub(crate) fn value<'a>(&'a self, name: &'a str) -> Option<&'a OsStr> {
        self.values(name).next_back()
    }

    /// The same, or what the engine takes from the environment instead.
    pub(crate) fn value_or(&self, name: &str, variable: &str) -> Option<OsString> {
        let given = self.value(name).map(OsStr::to_owned);
        given.or_else(|| std::env::var_os(variable))
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.switch(name) == Some(true)
    }

    /// Whether a switch is on or off; none where nobody says.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        let all = self.global.iter().chain(&self.words);
        let mut last = all.rev().filter(|word| word.name.as_deref() == Some(name));
        let value = last.next()?.value.as_deref();
        Some(value.is_none_or(|value| value != "false"))
    }

    /// What is no option: the context, and more where somebody is mistaken.
    pub(crate) fn positional(&self) -> Vec<&OsStr> {
        let words = self.words.iter().filter(|word| word.name.is_none());
        words.filter_map(|word| word.value.as_deref()).collect()
    }

    /// The command line for each platform that is built for, where there are several; else it is this one.
    pub(crate) fn by_platform(&self) -> Vec<Self> {
        let mut platforms: Vec<&str> = Vec::new();
        let all = self.values("platform").filter_map(OsStr::to_str);
        for platform in all.flat_map(|value| value.split(',')) {
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        if platforms.len() < 2 {
            return vec![self.clone()];
        }
        let is_platform = |word: &Word| word.name.as_deref() == Some("platform");
        let of = |platform: &&str| {
            let mut one = self.clone();
            one.words.retain(|word| !is_platform(word));
            one.words.push(Word {
                name: Some("platform".to_owned()),
                value: Some(platform.into()),
                written: vec![format!("--platform={platform}").into()],
            });
            one
        };
        platforms.iter().map(of).collect()
    }

    /// The platform that is built for; none where nobody names one.
    pub(crate) fn platform(&self) -> Option<&str> {
        self.value("platform")?.to_str()
    }

    /// A build argument's value; what is given without one has that of the environment. Engines know those of the platform
    /// by themselves.
    pub(crate) fn build_argument(&self, name: &str) -> Option<String> {
        let mut given = self.values("build-arg").rev().filter_map(|word| {
            let word = word.to_str()?;
            match word.split_once('=') {
                Some((key, value)) => (key == name).then(|| value.to_owned()),
                None => (word == name).then(|| std::env::var(name).ok())?,
            }
        });
        let of_platform = || {
            let platform = self.platform()?;
            let mut parts = platform.splitn(3, '/');
            let part = match name {
                "TARGETPLATFORM" => Some(platform),
                "TARGETOS" => parts.next(),
                "TARGETARCH" => parts.nth(1),
                "TARGETVARIANT" => parts.nth(2),
                _ => None,
            };
            part.map(str::to_owned)
        };
        given.next().or_else(of_platform)
    }

    /// What a build context of this name is.
    pub(crate) fn build_context(&self, name: &str) -> Option<String> {
        let mut given = self.values("build-context").rev().filter_map(|word| {
            let (key, source) = word.to_str()?.split_once('=')?;
            key.eq_ignore_ascii_case(name).then(|| source.to_owned())
        });
        given.next()
    }

    /// The words before the verb, for other commands of the engine on the same store.
    pub(crate) fn global(&self) -> Vec<OsString> {
        written(self.global.iter().filter(|word| {
            !["runtime", "runtime-flag"].contains(&word.name.as_deref().unwrap_or_default())
        }))
    }

    /// Some options, as they were written.
    pub(crate) fn written(&self, names: &[&str]) -> Vec<OsString> {
        let is_one = |word: &&Word| {
            word.name
                .as_deref()
                .is_some_and(|name| names.contains(&name))
        };
        written(self.words.iter().filter(is_one))
    }

    /// The engine's arguments, without some options and build arguments and with others, on a context.
    pub(crate) fn with(
        &self,
        left_out: &[&str],
        is_ours: impl Fn(&str) -> bool,
        more: Vec<OsString>,
        context: PathBuf,
    ) -> Vec<OsString> {
        let stays = |word: &&Word| {
            let Some(name) = word.name.as_deref() else {
                return false;
            };
            let value = word.value.as_deref().and_then(OsStr::to_str);
            let argument = value.map(|value| value.split_once('=').map_or(value, |(name, _)| name));
            !(left_out.contains(&name) || name == "build-arg" && argument.is_some_and(&is_ours))
        };
        let mut arguments = written(self.global.iter().filter(stays));
        arguments.extend(self.verb.iter().cloned());
        arguments.extend(written(self.words.iter().filter(stays)));
        arguments.extend(more);
        arguments.push(context.into());
        arguments
    }
}

fn written<'a>(words: impl Iterator<Item = &'a Word>) -> Vec<OsString> {
    words
        .flat_map(|word| word.written.iter().cloned())
        .collect()
}

/// The options that a word and, where it takes a value, the next one are, by the rules of pflag: `--name=value`,
/// `--name value`, `-n value`, `-nvalue`, and switches together in one word.
fn option(word: OsString, rest: &mut impl Iterator<Item = OsString>) -> Vec<Word> {
    let bytes = word.as_bytes().to_vec();
    if let Some(long) = bytes.strip_prefix(b"--") {
        let mut parts = long.splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let mut value = parts.next().map(|value| OsString::from_vec(value.to_vec()));
        let mut written = vec![word];
        if value.is_none() && WITH_VALUE.contains(&name.as_str()) {
            value = rest.next();
            written.extend(value.clone());
        }
        return vec![Word {
            name: Some(name),
            value,
            written,
        }];
    }
    let mut found = Vec::new();
    let mut letters = &bytes[1..];
    while let Some((letter, after)) = letters.split_first() {
        letters = after;
        let long = SHORT.iter().find(|(short, _)| short == letter);
        let own = OsString::from_vec(vec![b'-', *letter]);
        let Some((_, name)) = long else {
            found.push(Word {
                name: Some(char::from(*letter).to_string()),
                value: None,
                written: vec![own],
            });
            continue;
        };
        let value = match letters {
            [] => rest.next(),
            letters => {
                let value = letters.strip_prefix(b"=").unwrap_or(letters);
                Some(OsString::from_vec(value.to_vec()))
            }
        };
        let mut written = vec![own];
        written.extend(value.clone());
        found.push(Word {
            name: Some((*name).to_owned()),
            value,
            written,
        });
        break;
    }
    found
}

#[cfg(test)]
mod tests;
