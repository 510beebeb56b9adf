//! Which steps keep apt's package lists. A step that installs leaves none behind, unless a later RUN
//! needs lists and does not fetch any itself.

use std::path::Path;

use osderive_proto::llb::{Digest, Run};

use crate::shell::{commands, program};

/// Where apt keeps its lists.
const LISTS: &str = "/var/lib/apt/lists";

/// The programs that install from them.
const PROGRAMS: [&str; 3] = ["apt", "apt-get", "aptitude"];

/// What gets packages, or their sources, from where the lists say (apt-get(8), apt(8), aptitude(8)).
const NEEDING: [&str; 11] = [
    "build-dep",
    "dist-upgrade",
    "download",
    "dselect-upgrade",
    "full-upgrade",
    "install",
    "reinstall",
    "safe-upgrade",
    "satisfy",
    "source",
    "upgrade",
];

/// Options whose value is the next word.
const VALUED: [&str; 6] = [
    "--config-file",
    "--default-release",
    "--host-architecture",
    "--option",
    "--target-release",
    "--snapshot",
];

/// The letters of such.
const VALUED_LETTERS: &str = "acotS";

/// What the tool does with all package lists after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PackageLists {
    /// A later step needs them.
    Keep,
    /// They were kept up to this step.
    Remove,
}

impl PackageLists {
    /// As the tool's command line names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Remove => "remove",
        }
    }
}

/// What the steps of an image are told of package lists, most of them nothing. The nearest RUN before
/// that fetches lists serves a need, and all that run in between keep them: scripts may fetch too,
/// which cannot be seen. Where none fetches, any may have. The RUNs that `must_leave` them are followed
/// by another stage with such a need.
pub(crate) fn of_steps(
    runs: &[Run],
    must_leave: impl Fn(&Digest) -> bool,
) -> Vec<Option<PackageLists>> {
    let mut told = vec![None; runs.len()];
    let (mut fetching, mut would_go) = (0, false);
    for (place, run) in runs.iter().enumerate() {
        let uses = Uses::of(run);
        if uses.needs {
            told[fetching..place].fill(Some(PackageLists::Keep));
        }
        let were_kept = place > 0 && told[place - 1] == Some(PackageLists::Keep);
        if were_kept && would_go {
            // What stays without being told to is left where it is.
            told[place] = Some(PackageLists::Remove);
        }
        if uses.fetches {
            (fetching, would_go) = (place, uses.installs);
        }
        if must_leave(&run.digest) {
            told[fetching..=place].fill(Some(PackageLists::Keep));
        }
    }
    told
}

/// What a RUN does with the package lists of the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// It works on lists that it has not fetched by then.
    pub(crate) needs: bool,
    pub(crate) fetches: bool,
    installs: bool,
}

impl Uses {
    pub(crate) fn of(run: &Run) -> Self {
        let is_over_lists = |dest: &str| dest != "/" && Path::new(LISTS).starts_with(dest);
        if run.mounts.iter().any(|mount| is_over_lists(&mount.dest)) {
            return Self::default();
        }
        Self::of_command(&run.args)
    }

    fn of_command(args: &[String]) -> Self {
        let mut uses = Self::default();
        for call in commands(args)
            .iter()
            .filter_map(|command| Call::of(&command.words))
        {
            uses.fetches |= call.fetches;
            uses.needs |= call.installs && !uses.fetches;
            uses.installs |= call.installs;
        }
        uses
    }
}

/// A call of apt.
struct Call {
    fetches: bool,
    installs: bool,
}

impl Call {
    /// The call in a command, which may have others run it (`sudo`, `env`, `xargs`).
    fn of(words: &[String]) -> Option<Self> {
        let apt = words
            .iter()
            .position(|word| PROGRAMS.contains(&program(word)))?;
        if words[..apt]
            .iter()
            .any(|word| ["echo", "printf"].contains(&word.as_str()))
        {
            return None;
        }
        let arguments = &words[apt + 1..];
        let verb = verb(arguments)?;
        let updates_first = |word: &String| ["-U", "--update"].contains(&word.as_str());
        Some(Self {
            fetches: verb == "update" || arguments.iter().any(updates_first),
            installs: NEEDING.contains(&verb),
        })
    }
}

/// The first word that is neither an option nor the value of one; what a variable holds is taken for
/// options.
fn verb(arguments: &[String]) -> Option<&str> {
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if takes_next(word) {
            words.next();
        } else if !word.starts_with(['-', '$']) {
            return Some(word);
        }
    }
    None
}

/// Whether an option's value is the next word, as of `-o`, `-qqo` and `--option`.
fn takes_next(word: &str) -> bool {
    match word.strip_prefix('-') {
        Some(letters) if !letters.starts_with('-') => {
            let valued = letters.find(|letter| VALUED_LETTERS.contains(letter));
            valued.is_some_and(|at| at + 1 == letters.len())
        }
        _ => VALUED.contains(&word),
    }
}

#[cfg(test)]
mod tests {
    use osderive_proto::llb::{Mount, MountKind};

    use super::*;
    use crate::fixture::{run, shell};

    /// `n` for a need, `f` for lists fetched, `i` for something installed.
    fn uses(run: &Run) -> String {
        let uses = Uses::of(run);
        let letters = [(uses.needs, 'n'), (uses.fetches, 'f'), (uses.installs, 'i')];
        let letters = letters.into_iter().filter(|(holds, _)| *holds);
        letters.map(|(_, letter)| letter).collect()
    }

    #[test]
    fn commands_need_and_fetch_lists() {
        for (script, found) in [
            ("apt-get update && apt-get install -y a", "fi"),
            ("apt-get update", "f"),
            ("apt-get install -y a", "ni"),
            ("apt-get install -y a && apt-get update", "nfi"),
            ("DEBIAN_FRONTEND=noninteractive apt-get install -y a", "ni"),
            ("apt-get -qq -o X=Y -t sid install a", "ni"),
            (
                "apt-get -oX=Y -qqo X::Y=z --option X=Y --yes install a",
                "ni",
            ),
            ("apt-get $OPTIONS ${MORE} \"$QUOTED\" install a", "ni"),
            ("/usr/bin/apt-get install a", "ni"),
            ("sudo -E -u root apt install a", "ni"),
            ("cat packages | xargs apt-get install -y", "ni"),
            ("apt-get install -y $(cat packages)", "ni"),
            ("(apt-get update; apt-get install a)", "fi"),
            ("if ! apt-get upgrade -y; then exit 1; fi", "ni"),
            ("set -e\n\napt-get \\\n  install a", "ni"),
            ("apt-get -y 'install' \"a\"", "ni"),
            ("bash -c 'apt-get install -y a'", "ni"),
            ("bash <<EOF\napt-get install -y a\nEOF", "ni"),
            ("aptitude -y safe-upgrade", "ni"),
            ("apt update; apt full-upgrade -y", "fi"),
            ("apt-get build-dep -y a", "ni"),
            ("apt-get source a", "ni"),
            ("apt-get download a", "ni"),
            ("apt satisfy 'a (>= 1)'", "ni"),
            ("apt-get install -U a", "fi"),
            ("apt install --update a", "fi"),
            ("apt-get install -y ./a.deb", "ni"),
            ("apt-get -f install", "ni"),
            ("apt-get install -y apt aptitude", "ni"),
            // None of these needs lists.
            ("true", ""),
            ("apt-get remove install", ""),
            ("apt-get purge -y --auto-remove a", ""),
            ("apt-get clean && apt-get autoremove && apt-mark hold a", ""),
            ("apt-get -t install", ""),
            ("dpkg -i a.deb; dpkg -l apt", ""),
            ("echo apt-get install a", ""),
            ("echo 'apt-get install a'", ""),
            ("then printf apt-get install a", ""),
            ("# apt-get install a", ""),
            ("cat <<EOF >script\napt-get install a\nEOF", ""),
            ("command -v apt-get", ""),
            ("rm -rf /var/lib/apt/lists /etc/apt", ""),
            ("./install.sh", ""),
            ("dnf install -y a && apk add b", ""),
        ] {
            assert_eq!(uses(&shell(script)), found, "{script}");
        }
    }

    #[test]
    fn commands_are_known_in_every_form() {
        for args in [
            &["apt-get", "install", "-y", "a"][..],
            &["/bin/bash", "-o", "pipefail", "-c", "apt-get install a"],
            &["/bin/bash", "-lc", "true && apt-get install a"],
            &["/bin/sh", "-c", "bash <<EOF\napt-get install a\nEOF"],
        ] {
            assert_eq!(uses(&run(args)), "ni", "{args:?}");
        }
        assert_eq!(uses(&run(&["python3", "-c", "apt-get install a"])), "");
        assert_eq!(uses(&run(&["/dev/pipes/EOF"])), "");
    }

    #[test]
    fn lists_in_a_mount_are_none_of_the_image() {
        for (dest, found) in [
            ("/var/lib/apt", ""),
            ("/var/lib/apt/lists", ""),
            ("/var/lib/apt/lists/", ""),
            ("/var/cache/apt", "ni"),
            ("/", "ni"),
        ] {
            let mut run = shell("apt-get install a");
            run.mounts.push(Mount {
                dest: dest.to_owned(),
                kind: MountKind::Cache,
                source: None,
                selector: String::new(),
                readonly: false,
                output: None,
            });
            assert_eq!(uses(&run), found, "{dest}");
        }
    }

    /// `k` for a step that keeps them, `r` for one that removes them, `-` for what it is without us.
    fn letters(told: Vec<Option<PackageLists>>) -> String {
        let letter = |told| match told {
            None => '-',
            Some(PackageLists::Keep) => 'k',
            Some(PackageLists::Remove) => 'r',
        };
        told.into_iter().map(letter).collect()
    }

    #[test]
    fn lists_are_kept_from_the_step_that_fetches_to_the_last_that_needs_them() {
        const BOTH: &str = "apt-get update && apt-get install a";
        const FETCH: &str = "apt-get update";
        const NEED: &str = "apt-get install a";
        const OTHER: &str = "make";
        for (scripts, told) in [
            (&[][..], ""),
            (&[BOTH, BOTH, OTHER], "---"),
            (&[BOTH, OTHER, BOTH, OTHER], "----"),
            (&[NEED, OTHER], "--"),
            (&[BOTH, NEED], "kr"),
            (&[BOTH, NEED, OTHER], "kr-"),
            (&[BOTH, NEED, NEED], "kkr"),
            (&[BOTH, OTHER, NEED], "kkr"),
            (&[BOTH, BOTH, NEED], "-kr"),
            (&[BOTH, NEED, BOTH, OTHER, NEED], "krkkr"),
            (&[FETCH, NEED], "k-"),
            (&[FETCH, NEED, NEED, BOTH], "kk--"),
            (&[OTHER, OTHER, NEED], "kk-"),
            (&[BOTH, "apt-get install a && apt-get update", NEED], "kkr"),
        ] {
            let runs: Vec<Run> = scripts.iter().map(|script| shell(script)).collect();
            let found = letters(of_steps(&runs, |_| false));
            assert_eq!(found, told, "{scripts:?}");
        }
    }

    #[test]
    fn lists_are_left_for_another_stage_and_removed_in_the_next_step() {
        const BOTH: &str = "apt-get update && apt-get install a";
        const FETCH: &str = "apt-get update";
        const NEED: &str = "apt-get install a";
        const OTHER: &str = "make";
        // `*` stands before the step that the other stage goes on from.
        for (scripts, told) in [
            (&["*", BOTH][..], "k"),
            (&["*", BOTH, OTHER, OTHER], "kr-"),
            (&[BOTH, "*", OTHER, OTHER], "kkr"),
            (&["*", BOTH, BOTH], "kr"),
            (&["*", BOTH, NEED, OTHER], "kr-"),
            (&["*", BOTH, OTHER, NEED], "kkr"),
            (&[BOTH, "*", NEED, OTHER], "kkr"),
            (&["*", FETCH, OTHER], "k-"),
            (&["*", OTHER, OTHER], "k-"),
        ] {
            let (mut runs, mut left) = (Vec::new(), Vec::new());
            for script in scripts {
                let digest = Digest::of(runs.len().to_string().as_bytes());
                if *script == "*" {
                    left.push(digest);
                } else {
                    let run = shell(script);
                    runs.push(Run { digest, ..run });
                }
            }
            let found = of_steps(&runs, |run| left.contains(run));
            assert_eq!(letters(found), told, "{scripts:?}");
        }
    }
}
