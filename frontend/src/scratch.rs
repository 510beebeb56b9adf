//! What later steps need of /run, /tmp, /var/tmp and /var/cache, which each step empties: files that COPY
//! brought there for some RUN, and what one RUN leaves there for another.

use std::collections::{BTreeSet, HashSet};

use osderive_proto::llb::{Mount, MountKind, Run};

use crate::shell::{self, program};

/// The directories, also by another name, and their names here.
const AREAS: [(&str, &str); 5] = [
    ("/run", "/run"),
    ("/tmp", "/tmp"),
    ("/var/cache", "/var/cache"),
    ("/var/run", "/run"),
    ("/var/tmp", "/var/tmp"),
];

/// Where programs are that know nothing of what an image's author put anywhere.
const PROGRAMS: [&str; 4] = ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"];

/// What a shell or a program may make of it, not a name.
const PATTERN: &[char] = &['*', '?', '[', '{', '$', '`'];

/// A RUN, and the paths that COPY and ADD gave files since the RUN before it.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) run: &'a Run,
    pub(crate) copied_to: Vec<String>,
}

/// What a step leaves, most of them nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// What lower layers have.
    pub(crate) lower: bool,
    /// What the step makes at these paths.
    pub(crate) paths: BTreeSet<String>,
}

/// What each step leaves. What COPY brought stays up to the last RUN that may need it: one that names something in
/// the directory, or runs what cannot be seen here. What a RUN makes at a path stays up to the last RUN that names
/// it too.
pub(crate) fn of_steps(steps: &[Step<'_>]) -> Vec<Left> {
    let mut left = vec![Left::default(); steps.len()];
    let uses: Vec<Uses> = steps.iter().map(|step| Uses::of(step.run)).collect();
    for (later, need) in uses.iter().enumerate() {
        let copied = steps[..=later].iter().position(|step| {
            let areas = step.copied_to.iter().flat_map(|path| Name::all_in(path));
            areas
                .into_iter()
                .any(|name| need.has_unseen || need.needed.iter().any(|own| own.area == name.area))
        });
        for between in &mut left[copied.unwrap_or(later)..later] {
            between.lower = true;
        }
        for (earlier, maker) in uses[..later].iter().enumerate() {
            let pairs =
                (maker.made.iter()).flat_map(|made| need.needed.iter().map(move |own| (made, own)));
            let shared: BTreeSet<String> = pairs
                .filter_map(|(made, own)| shared(made, own, maker, need))
                .collect();
            if shared.is_empty() {
                continue;
            }
            left[earlier].paths.extend(shared);
            for between in &mut left[earlier + 1..later] {
                between.lower = true;
            }
        }
    }
    left
}

/// The path that both a RUN, which makes something there, and a later one mean.
fn shared(made: &Name, needed: &Name, maker: &Uses, need: &Uses) -> Option<String> {
    if made.area != needed.area {
        return None;
    }
    let only_if = |holds: bool, name| holds.then_some(name);
    let name = match (made.below.first(), needed.below.first()) {
        (Some(_), Some(_)) if made.below.starts_with(&needed.below) => needed,
        (Some(_), Some(_)) => only_if(needed.below.starts_with(&made.below), made)?,
        (Some(first), None) => only_if(needed.may_mean(first, need), made)?,
        (None, Some(first)) => only_if(made.may_mean(first, maker), needed)?,
        (None, None) => {
            let alike = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
            let patterns = made.pattern.as_ref().zip(needed.pattern.as_ref());
            let may_meet = patterns.is_some_and(|(one, other)| alike(one, other));
            only_if(may_meet || maker.shares_names_with(need), made)?
        }
    };
    Some(name.path())
}

/// A path in one of the directories, as far as it is spelt out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    area: &'static str,
    below: Vec<String>,
    /// Where a pattern or variable stands next: the letters before it.
    pattern: Option<String>,
    /// Whether that is all there is.
    is_all: bool,
}

impl Name {
    /// The paths in a word: the word itself, or in an option, an assignment, a URL.
    fn all_in(word: &str) -> Vec<Self> {
        let mut names = Vec::new();
        for (spelling, area) in AREAS {
            for (at, _) in word.match_indices(spelling) {
                let (before, after) = (&word[..at], &word[at + spelling.len()..]);
                let is_inner = |letter: char| letter.is_alphanumeric() || "_-.~/}".contains(letter);
                if before.ends_with(is_inner) && !before.ends_with("://") {
                    continue;
                }
                if after
                    .starts_with(|letter: char| letter.is_alphanumeric() || "_-.".contains(letter))
                {
                    continue;
                }
                names.push(Self::of(area, after));
            }
        }
        names
    }

    fn of(area: &'static str, rest: &str) -> Self {
        let ends = |letter: char| letter.is_whitespace() || "\"';:,()<>|&=}]".contains(letter);
        let rest = rest.split(ends).next().unwrap_or_default();
        let mut name = Self {
            area,
            below: Vec::new(),
            pattern: None,
            is_all: false,
        };
        for part in rest.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if let Some(at) = part.find(PATTERN) {
                name.pattern = Some(part[..at].to_owned());
                name.is_all = part == "*";
                break;
            }
            if part == ".." {
                name.pattern = Some(String::new());
                name.below.pop();
                break;
            }
            name.below.push(part.to_owned());
        }
        name
    }

    fn path(&self) -> String {
        let names = [self.area]
            .into_iter()
            .chain(self.below.iter().map(String::as_str));
        names.collect::<Vec<_>>().join("/")
    }

    /// Whether what stands at a path goes with this one.
    fn covers(&self, other: &Self) -> bool {
        self.area == other.area
            && other.below.starts_with(&self.below)
            && (self.pattern.is_none() || self.is_all)
    }

    /// Whether a directory that is named alone, or with a pattern, stands for this entry of it.
    fn may_mean(&self, entry: &str, uses: &Uses) -> bool {
        match &self.pattern {
            Some(start) => entry.starts_with(start),
            None => uses.names.contains(entry),
        }
    }
}

/// What a RUN has to do with these directories.
#[derive(Debug, Default)]
struct Uses {
    /// What it may leave.
    made: Vec<Name>,
    /// What it may find there.
    needed: Vec<Name>,
    /// What files it names anywhere, without where they are.
    names: HashSet<String>,
    /// Whether it runs what cannot be seen here.
    has_unseen: bool,
}

impl Uses {
    fn of(run: &Run) -> Self {
        let mounts: Vec<Name> = (run.mounts.iter())
            .flat_map(|mount| Name::all_in(&mount.dest))
            .collect();
        let in_areas = |word: &String| {
            let mut names = Name::all_in(word);
            names.retain(|name| !mounts.iter().any(|mount| mount.covers(name)));
            names
        };
        let is_bind = |mount: &Mount| mount.kind == MountKind::Bind && mount.dest != "/";
        let mut uses = Self {
            has_unseen: run.mounts.iter().any(is_bind),
            ..Self::default()
        };
        let in_cwd = in_areas(&run.cwd);
        uses.made.extend(in_cwd.iter().cloned());
        uses.needed.extend(in_cwd);
        for command in shell::commands(&run.args) {
            let words = command.words.iter().chain(&command.files);
            let named: Vec<Name> = words.clone().flat_map(in_areas).collect();
            uses.names.extend(words.flat_map(|word| file_names(word)));
            uses.has_unseen |= is_unseen(&command.words);
            let removal = Removal::of(&command.words);
            if removal.is_some() {
                let is_gone = |made: &Name| named.iter().any(|gone| gone.covers(made));
                uses.made.retain(|made| !is_gone(made));
            } else {
                uses.made.extend(named.iter().cloned());
            }
            if removal != Some(Removal::MayFind) {
                uses.needed.extend(named);
            }
        }
        uses
    }

    /// Whether both name a file alike, one of them perhaps by its ending.
    fn shares_names_with(&self, later: &Self) -> bool {
        later.names.iter().any(|name| match name.rsplit_once('*') {
            Some((_, ending)) if ending.starts_with('.') => {
                self.names.iter().any(|own| own.ends_with(ending))
            }
            _ => name.contains('.') && self.names.contains(name),
        })
    }
}

/// What `rm` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    /// It fails when there is nothing.
    MustFind,
    /// It does not (`-f`).
    MayFind,
}

impl Removal {
    fn of(words: &[String]) -> Option<Self> {
        let at = words.iter().position(|word| program(word) == "rm")?;
        let is_force = |word: &String| {
            word == "--force"
                || word.starts_with('-') && !word.starts_with("--") && word.contains('f')
        };
        Some(if words[at..].iter().any(is_force) {
            Self::MayFind
        } else {
            Self::MustFind
        })
    }
}

/// Whether a command runs a file of the image's author.
fn is_unseen(words: &[String]) -> bool {
    let is_assignment = |word: &&String| word.contains('=') && !word.contains('/');
    let Some(program) = words.iter().find(|word| !is_assignment(word)) else {
        return false;
    };
    program.contains('/') && !PROGRAMS.iter().any(|folder| program.starts_with(folder))
}

/// The file that a word names, wherever it is; of a repository also what it is cloned to.
fn file_names(word: &str) -> Vec<String> {
    let path = word.split(['?', '#']).next().unwrap_or_default();
    let name = path
        .trim_end_matches('/')
        .rsplit(['/', '='])
        .next()
        .unwrap_or_default();
    if name.len() < 2 || word.starts_with('-') && !word.contains('=') {
        return Vec::new();
    }
    let cloned = name.strip_suffix(".git");
    [Some(name), cloned]
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::shell;

    fn run(cwd: &str, script: &str) -> Run {
        let cwd = cwd.to_owned();
        Run {
            cwd,
            ..shell(script)
        }
    }

    fn bind(dest: &str, run: Run) -> Run {
        let mount = Mount {
            dest: dest.to_owned(),
            kind: MountKind::Bind,
            source: None,
            selector: String::new(),
            readonly: false,
            output: None,
        };
        let mounts = vec![mount];
        Run { mounts, ..run }
    }

    /// Instructions: `COPY DEST`, `WORKDIR DIR`, `BIND DEST SCRIPT` for a RUN with a mount, and scripts of RUNs.
    fn left(instructions: &[&str]) -> Vec<String> {
        let (mut runs, mut copies, mut copied_to) = (Vec::new(), Vec::new(), Vec::new());
        let mut cwd = "/";
        for instruction in instructions {
            match instruction.split_once(' ') {
                Some(("COPY", to)) => copied_to.push(to.to_owned()),
                Some(("WORKDIR", to)) => cwd = to,
                Some(("BIND", rest)) => {
                    let (to, script) = rest.split_once(' ').expect("a script");
                    runs.push(bind(to, run(cwd, script)));
                    copies.push(std::mem::take(&mut copied_to));
                }
                _ => {
                    runs.push(run(cwd, instruction));
                    copies.push(std::mem::take(&mut copied_to));
                }
            }
        }
        let steps: Vec<Step<'_>> = (runs.iter().zip(copies))
            .map(|(run, copied_to)| Step { run, copied_to })
            .collect();
        let told = of_steps(&steps).into_iter();
        told.map(|Left { lower, paths }| {
            let lower = lower.then(|| "lower".to_owned());
            let all: Vec<String> = lower.into_iter().chain(paths).collect();
            all.join(" ")
        })
        .collect()
    }

    #[test]
    fn what_copy_brought_stays_up_to_the_last_run_that_may_need_it() {
        for (instructions, expected) in [
            (&["COPY /tmp/a.sh", "/tmp/a.sh"][..], &[""][..]),
            (&["COPY /tmp/a.sh", "make", "/tmp/a.sh"], &["lower", ""]),
            (
                &["COPY /tmp/a", "make", "sh /tmp/a", "make"],
                &["lower", "", ""],
            ),
            (
                &["make", "COPY /tmp/", "make", "sh /tmp/x"],
                &["", "lower", ""],
            ),
            (
                &["COPY /tmp/", "sh /tmp/a", "cd /tmp && sh b"],
                &["lower", ""],
            ),
            (
                &["COPY /var/tmp/a", "make", "rpm -i /var/tmp/*.rpm"],
                &["lower", ""],
            ),
            (&["COPY /tmp/a", "make", "rm /tmp/a"], &["lower", ""]),
            (&["COPY /tmp/a", "make", "rm -rf /tmp/*"], &["", ""]),
            (
                &["COPY /tmp/a", "make", "install /opt/tmp/a /tmpfs"],
                &["", ""],
            ),
            (&["COPY /tmp/a", "make", "/var/tmp/a"], &["lower", ""]),
            (&["COPY /etc/a", "make", "sh /tmp/a"], &["", ""]),
            (&["COPY /tmp/a", "make", "/ctx/build.sh"], &["lower", ""]),
            (&["COPY /tmp/a", "make", "X=1 ./build.sh"], &["lower", ""]),
            (
                &["COPY /tmp/a", "make", "BIND /ctx sh /ctx/b"],
                &["lower", ""],
            ),
            (
                &["COPY /tmp/a", "make", "BIND /tmp ls /tmp"],
                &["lower", ""],
            ),
            (&["COPY /tmp/a", "make", "/usr/bin/make"], &["", ""]),
            (&["COPY /run/a", "make", "cat < /var/run/a"], &["lower", ""]),
            (
                &["WORKDIR /tmp/b", "COPY /tmp/b/", "make", "make install"],
                &["lower /tmp/b", ""],
            ),
        ] {
            assert_eq!(left(instructions), expected, "{instructions:?}");
        }
    }

    #[test]
    fn what_a_run_makes_stays_up_to_the_last_that_names_it() {
        const GET: &str = "curl -Lo /tmp/a.deb https://x/a.deb";
        for (scripts, expected) in [
            (&[GET, "dpkg -i /tmp/a.deb"][..], &["/tmp/a.deb", ""][..]),
            (
                &[GET, "make", "dpkg -i /tmp/a.deb"],
                &["/tmp/a.deb", "lower", ""],
            ),
            (
                &[GET, "dpkg -i /tmp/a.deb", "rm /tmp/a.deb"],
                &["/tmp/a.deb", "lower /tmp/a.deb", ""],
            ),
            (&[GET, "dpkg -i /tmp/*.deb"], &["/tmp/a.deb", ""]),
            (&[GET, "dpkg -i /tmp/b*.deb"], &["", ""]),
            (&[GET, "cd /tmp && dpkg -i a.deb"], &["/tmp/a.deb", ""]),
            (&[GET, "cd /tmp && make"], &["", ""]),
            (&["curl x > /tmp/a", "sh </tmp/a"], &["/tmp/a", ""]),
            (
                &[
                    "cd /tmp && curl -LO https://x/a.deb?b=c",
                    "dpkg -i /tmp/a.deb",
                ],
                &["/tmp/a.deb", ""],
            ),
            (
                &[
                    "cd /tmp && curl -LO https://x/a.deb",
                    "cd /tmp; dpkg -i a.deb",
                ],
                &["/tmp", ""],
            ),
            (
                &[
                    "cd /tmp && curl -LO https://x/a-$V.deb",
                    "dpkg -i /tmp/*.deb",
                ],
                &["/tmp", ""],
            ),
            (&["cd /tmp && make a", "cd /tmp && make b"], &["", ""]),
            (
                &["git -C /tmp clone https://x/a.git", "cd /tmp/a && make"],
                &["/tmp/a", ""],
            ),
            (
                &["mkdir /tmp/a && cp b /tmp/a", "sh /tmp/a/b"],
                &["/tmp/a", ""],
            ),
            (
                &["curl -o /tmp/$F x", "tar -xf \"/tmp/${F}\""],
                &["/tmp", ""],
            ),
            (
                &[
                    "python3 -m venv --copies=/var/tmp/v",
                    "VENV=/var/tmp/v make",
                ],
                &["/var/tmp/v", ""],
            ),
            (
                &["dnf config --add file:///tmp/a.repo", "cat /tmp/a.repo"],
                &["/tmp/a.repo", ""],
            ),
            (&["cat /tmp/a/../b", "cat /tmp/b"], &["/tmp/b", ""]),
            // What is gone, or never was.
            (
                &["make -C /tmp/a && rm -rf /tmp/a", "make -C /tmp/a"],
                &["", ""],
            ),
            (
                &["make -C /tmp/a && rm -rf /tmp/*", "make -C /tmp/a"],
                &["", ""],
            ),
            (
                &["make -C /tmp/a && rm -rf /tmp/*.o", "make -C /tmp/a"],
                &["/tmp/a", ""],
            ),
            (
                &["rm -rf /tmp/a; make -C /tmp/a", "make -C /tmp/a"],
                &["/tmp/a", ""],
            ),
            (
                &[
                    "dnf install a && rm -rf /var/cache/*",
                    "dnf install b && rm -rf /var/cache/*",
                ],
                &["", ""],
            ),
            (&["# /tmp/a", "cat /tmp/a"], &["", ""]),
            (
                &["BIND /run/s cat /run/s", "BIND /run/s cat /run/s"],
                &["", ""],
            ),
            (&["BIND /tmp cp a /tmp/a", "cat /tmp/a"], &["", ""]),
            (
                &["WORKDIR /tmp/src", "git clone x .", "make"],
                &["/tmp/src", ""],
            ),
            (
                &["WORKDIR /tmp", "curl -LO x/a.sh", "sh a.sh", "make"],
                &["/tmp", "", ""],
            ),
        ] {
            assert_eq!(left(scripts), expected, "{scripts:?}");
        }
    }
}
