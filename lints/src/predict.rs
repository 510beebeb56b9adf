//! Which units fail at the first boot of an image, and why: what systemd asks of a unit before it
//! runs anything of it, answered on the [`Machine`] of an image.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::iter;

use crate::Image;
use crate::machine::{History, Machine, Place};
use crate::model::passwd::User;
use crate::model::unit_name::{UnitName, expand};
use crate::model::units::{Command, boolean, commands};
use crate::packages::{self, Package};
use crate::tree::{Kind, MAX_SCRIPT, PROGRAM_START};
use crate::units::{Dependency, Setting, Start, State, Unit};

/// Where systemd and shells look for a program without a path.
const PROGRAM_PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// One unit that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// Its name.
    pub unit: String,
    /// When it is started.
    pub start: Start,
    /// On which machines.
    pub fails_on: FailsOn,
    /// Why.
    pub reason: Reason,
    /// Where that is said.
    pub place: SaidAt,
}

/// Where a unit says something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaidAt {
    /// The absolute path of the unit's file or of a drop-in.
    pub file: String,
    /// The line, from 1; none where no line says it.
    pub line: Option<u32>,
}

/// The machines that a unit fails on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailsOn {
    /// One that is installed with the image.
    pub fresh: bool,
    /// One that is upgraded to it, on which an account was added before.
    pub upgraded: bool,
}

impl FailsOn {
    /// For messages: `on every machine`, `on machines upgraded to the image`.
    pub fn text(self) -> &'static str {
        match (self.fresh, self.upgraded) {
            (true, false) => "on machines installed with the image",
            (false, true) => "on machines upgraded to the image",
            _ => "on every machine",
        }
    }
}

/// Why a unit fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// `User=` names nobody.
    User(String),
    /// `Group=` or `SupplementaryGroups=` names no group.
    Group(String),
    /// A program is missing.
    Program(String),
    /// A program may not be executed.
    NotExecutable(String),
    /// A script's interpreter is missing.
    Interpreter {
        /// The script.
        script: String,
        /// What its first line names.
        interpreter: String,
    },
    /// A directory is missing that the unit is to run in.
    WorkingDirectory(String),
    /// A path is missing that the unit's own view of the file system is made with.
    Namespace {
        /// The setting's name.
        key: &'static str,
        /// The path.
        path: String,
    },
    /// The directory of a file is missing that the unit writes its output to.
    Output(String),
    /// A file of variables is missing.
    Environment(String),
    /// A unit that it cannot do without is missing, or masked.
    Requires {
        /// The unit's name.
        unit: String,
        /// Whether it is there, and masked.
        masked: bool,
    },
    /// A user is missing that the installation of the unit's package has made: nearly all programs
    /// then fail to become that user.
    PackageUser {
        /// The user's name.
        user: String,
        /// The package.
        package: String,
    },
    /// A group is missing that the installation of the unit's package has made and its configuration names.
    PackageGroup {
        /// The group's name.
        group: String,
        /// The package.
        package: String,
    },
    /// A user of the unit may not look into a directory, whose mode or owner the import loses.
    Unreachable {
        /// The directory.
        directory: String,
        /// The user's name.
        user: String,
    },
    /// Something in /var is missing that the unit's package brings, or that the unit says it needs:
    /// some programs fail without, some make it.
    State {
        /// The path.
        path: String,
        /// The package; empty where the unit itself names the path.
        package: String,
        /// Whether that is more than possible: the unit, a script of it or its package's configuration
        /// names the directory.
        is_likely: bool,
    },
}

/// How sure a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// systemd itself refuses to start the unit.
    Certain,
    /// The program of the unit misses what nearly all do not run without.
    Likely,
    /// It misses what its package has made for it, and may do without.
    Possible,
}

impl Reason {
    /// How sure the unit fails.
    pub fn certainty(&self) -> Certainty {
        match self {
            Self::PackageUser { .. } | Self::PackageGroup { .. } | Self::Unreachable { .. } => {
                Certainty::Likely
            }
            Self::State { is_likely, .. } if *is_likely => Certainty::Likely,
            Self::State { .. } => Certainty::Possible,
            _ => Certainty::Certain,
        }
    }

    /// The status that systemd tells (systemd.exec(5), "Process Exit Codes"); none where the unit
    /// fails by other means.
    pub fn status(&self) -> Option<&'static str> {
        match self {
            Self::User(_) => Some("217/USER"),
            Self::Group(_) => Some("216/GROUP"),
            Self::Program(_) | Self::NotExecutable(_) | Self::Interpreter { .. } => {
                Some("203/EXEC")
            }
            Self::WorkingDirectory(_) => Some("200/CHDIR"),
            Self::Namespace { .. } => Some("226/NAMESPACE"),
            Self::Output(_) => Some("209/STDOUT"),
            Self::Environment(_)
            | Self::Requires { .. }
            | Self::PackageUser { .. }
            | Self::PackageGroup { .. }
            | Self::Unreachable { .. }
            | Self::State { .. } => None,
        }
    }
}

/// The units that fail at the first boot, by name: on a machine that is installed with the image,
/// and on one that is upgraded to it. What the base image has already is told as well: a caller
/// who knows the base subtracts what it predicts of that one.
pub fn predict(image: &Image<'_>) -> Vec<Prediction> {
    let packages = packages::by_unit(image);
    let mut found: BTreeMap<(String, Reason), Prediction> = BTreeMap::new();
    for history in [History::Fresh, History::Upgraded] {
        let machine = Machine::boot(image, history);
        for (unit, start) in image.units().starting() {
            let trial = Trial {
                image,
                machine: &machine,
                unit,
            };
            for (reason, place) in trial.failures(
                start,
                packages.get(unit_file(unit)).map(|package| &**package),
            ) {
                let key = (unit.name.as_str().to_owned(), reason.clone());
                let prediction = found.entry(key).or_insert_with(|| Prediction {
                    unit: unit.name.as_str().to_owned(),
                    start,
                    fails_on: FailsOn::default(),
                    reason,
                    place,
                });
                match history {
                    History::Fresh => prediction.fails_on.fresh = true,
                    History::Upgraded => prediction.fails_on.upgraded = true,
                }
            }
        }
    }
    found.into_values().collect()
}

/// The file name of the unit or its template.
fn unit_file(unit: &Unit) -> &str {
    let file = unit.files.first().map_or("", String::as_str);
    file.rsplit('/').next().unwrap_or(file)
}

type Failures = Vec<(Reason, SaidAt)>;

/// One unit on one machine.
struct Trial<'a> {
    image: &'a Image<'a>,
    machine: &'a Machine<'a>,
    unit: &'a Unit,
}

impl Trial<'_> {
    fn failures(&self, start: Start, package: Option<&Package>) -> Failures {
        if self.unit.is_refused || self.is_skipped() {
            return Vec::new();
        }
        let mut failures = self.requires();
        match self.unit.name.kind() {
            "service" => {}
            "socket" => {
                let owners = [("Socket.SocketUser", true), ("Socket.SocketGroup", false)];
                let missing = self.owners(owners).into_iter();
                // Others are made on the machine, for a service with `DynamicUser=` (cockpit-session.socket).
                failures.extend(missing.filter(|(reason, _)| self.is_of_image(reason)));
                return failures;
            }
            _ => return failures,
        }
        let commands = self.commands();
        // The manager reads these itself, before any process: a `-` before a command is no help.
        failures.extend(self.environment());
        if commands.iter().any(|(_, command)| !command.may_fail) {
            failures.extend(self.accounts());
            failures.extend(self.directories());
            failures.extend(commands.iter().filter_map(|command| self.program(command)));
            if failures.is_empty() && start == Start::AtBoot {
                failures.extend(self.state(package, &commands));
            }
        }
        failures
    }

    fn requires(&self) -> Failures {
        let units = self.image.units();
        let dependencies = units.dependencies(&self.unit.name).into_iter();
        dependencies
            .filter(|(to, dependency)| *dependency == Dependency::Requires && is_from_file(to))
            .filter_map(|(to, _)| {
                let masked = match units.state(&to) {
                    State::There => return None,
                    State::Masked => true,
                    State::Missing if units.may_be_generated(self.image, &to) => return None,
                    State::Missing => false,
                };
                let unit = to.as_str().to_owned();
                Some((Reason::Requires { unit, masked }, self.as_a_whole()))
            })
            .collect()
    }

    fn accounts(&self) -> Failures {
        let accounts = &self.machine.accounts;
        let mut failures = if self.is_true("Service.DynamicUser") {
            Vec::new()
        } else {
            self.owners([("Service.User", true), ("Service.Group", false)])
        };
        let groups = self.unit.words("Service.SupplementaryGroups").into_iter();
        let missing = groups.filter(|(_, name)| !accounts.has_group(name));
        failures
            .extend(missing.map(|(setting, name)| (Reason::Group(text(&name)), self.at(setting))));
        failures
    }

    /// The accounts that settings name, of users and of groups, and that are missing.
    fn owners(&self, settings: [(&str, bool); 2]) -> Failures {
        let accounts = &self.machine.accounts;
        let missing = settings.into_iter().filter_map(|(key, is_user)| {
            let (setting, name) = self.value(key)?;
            let reason = match is_user {
                true if !accounts.has_user(&name) => Reason::User(text(&name)),
                false if !accounts.has_group(&name) => Reason::Group(text(&name)),
                _ => return None,
            };
            Some((reason, self.at(setting)))
        });
        missing.collect()
    }

    fn environment(&self) -> Failures {
        let files = self.unit.list("Service.EnvironmentFile").into_iter();
        files
            .filter_map(|setting| {
                let path = expand(&setting.value, &self.unit.name)?;
                let is_pattern = path.iter().any(|byte| b"*?[".contains(byte));
                // `-` tolerates, and systemd ignores what is not absolute.
                let is_missing = path.starts_with(b"/") && !is_pattern && self.machine.lacks(&path);
                is_missing.then(|| (Reason::Environment(text(&path)), self.at(setting)))
            })
            .collect()
    }

    fn directories(&self) -> Failures {
        let mut failures = Vec::new();
        let has_own_root = self.unit.last("Service.RootImage").is_some();
        for key in ["Service.RootDirectory", "Service.WorkingDirectory"] {
            let Some((setting, path)) = self.value(key) else {
                continue;
            };
            if path.starts_with(b"/") && !has_own_root && self.machine.lacks(&path) {
                let reason = Reason::WorkingDirectory(text(&path));
                failures.push((reason, self.at(setting)));
            }
            if key.ends_with("RootDirectory") && path != b"/" {
                return failures;
            }
        }
        if has_own_root {
            return failures;
        }
        for key in [
            "ReadWritePaths",
            "ReadWriteDirectories",
            "ReadOnlyPaths",
            "ReadOnlyDirectories",
            "InaccessiblePaths",
            "InaccessibleDirectories",
            "ExecPaths",
            "NoExecPaths",
            "BindPaths",
            "BindReadOnlyPaths",
        ] {
            for (setting, word) in self.unit.words(&format!("Service.{key}")) {
                let path = word.split(|&byte| byte == b':').next().unwrap_or_default();
                let path = path.strip_prefix(b"+").unwrap_or(path);
                if path.starts_with(b"/") && self.machine.lacks(path) {
                    let path = text(path);
                    let reason = Reason::Namespace { key, path };
                    failures.push((reason, self.at(setting)));
                }
            }
        }
        for key in ["Service.StandardOutput", "Service.StandardError"] {
            let Some((setting, value)) = self.value(key) else {
                continue;
            };
            let file = ["file:", "append:", "truncate:"]
                .iter()
                .find_map(|kind| value.strip_prefix(kind.as_bytes()));
            let Some(file) = file.filter(|file| file.starts_with(b"/")) else {
                continue;
            };
            let slash = file.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            if self.machine.lacks(&file[..slash]) {
                failures.push((Reason::Output(text(file)), self.at(setting)));
            }
        }
        failures
    }

    /// Whether the image has the account that is missing on the machine.
    fn is_of_image(&self, reason: &Reason) -> bool {
        match reason {
            Reason::User(name) => (self.image.users()).any(|(_, user)| text(user.name) == *name),
            Reason::Group(name) => {
                (self.image.groups()).any(|(_, group)| text(group.name) == *name)
            }
            _ => false,
        }
    }

    /// `Type=` of a service.
    fn service_type(&self) -> Option<&[u8]> {
        let setting = self.unit.last("Service.Type")?;
        Some(&setting.value)
    }

    /// The commands that run when the unit starts. A failing `ExecCondition=` only skips it.
    fn commands(&self) -> Vec<(&Setting, Command)> {
        let keys = [
            "Service.ExecStartPre",
            "Service.ExecStart",
            "Service.ExecStartPost",
        ];
        let settings = keys.iter().flat_map(|key| self.unit.list(key));
        // Where systemd waits for a word of the program, that it may fail does not help.
        let waited_for: [&[u8]; 4] = [b"forking", b"notify", b"notify-reload", b"dbus"];
        let has_to_tell = self
            .service_type()
            .is_some_and(|kind| waited_for.contains(&kind));
        settings
            .flat_map(|setting| {
                let is_main = has_to_tell && setting.key == "Service.ExecStart";
                let commands = commands(&setting.value).into_iter();
                commands.map(move |mut command| {
                    command.may_fail &= !is_main;
                    (setting, command)
                })
            })
            .collect()
    }

    fn program(&self, (setting, command): &(&Setting, Command)) -> Option<(Reason, SaidAt)> {
        let own_root = ["Service.RootImage", "Service.RootDirectory"];
        let has_own_root = own_root.iter().any(|key| self.unit.last(key).is_some());
        let searches_elsewhere = self.unit.last("Service.ExecSearchPath").is_some();
        if command.may_fail || command.in_shell || has_own_root {
            return None;
        }
        let program = expand(&command.program, &self.unit.name)?;
        let reason = if program.starts_with(b"/") {
            self.program_at(&program)?
        } else if !searches_elsewhere && !program.contains(&b'/') && !self.is_in_path(&program) {
            Reason::Program(text(&program))
        } else {
            return None;
        };
        Some((reason, self.at(setting)))
    }

    fn program_at(&self, program: &[u8]) -> Option<Reason> {
        let path = text(program);
        match self.machine.place(program) {
            Place::Missing => Some(Reason::Program(path)),
            Place::Directory => Some(Reason::NotExecutable(path)),
            Place::File(Some((_, meta))) if !meta.is_executable() => {
                Some(Reason::NotExecutable(path))
            }
            Place::File(Some((at, _))) => {
                let file = self.image.tree.open(&at).ok()??;
                let mut start = Vec::new();
                file.take(PROGRAM_START).read_to_end(&mut start).ok()?;
                let interpreter = text(&self.missing_interpreter(&start)?);
                let script = path;
                Some(Reason::Interpreter {
                    script,
                    interpreter,
                })
            }
            Place::File(None) | Place::Unknown => None,
        }
    }

    /// What the first line of a script names and nothing brings (execve(2), "Interpreter scripts").
    fn missing_interpreter(&self, script: &[u8]) -> Option<Vec<u8>> {
        let line = script.strip_prefix(b"#!")?;
        let line = line.split(|&byte| byte == b'\n').next()?;
        let mut words = line
            .split(|byte| b" \t".contains(byte))
            .filter(|word| !word.is_empty());
        let interpreter = words.next()?;
        if interpreter.starts_with(b"/") && self.machine.lacks(interpreter) {
            return Some(interpreter.to_vec());
        }
        if !interpreter.ends_with(b"/env") {
            return None;
        }
        let name = words.next()?;
        let is_name = !name.starts_with(b"-") && !name.iter().any(|byte| b"=/".contains(byte));
        (is_name && !self.is_in_path(name)).then(|| name.to_vec())
    }

    fn is_in_path(&self, program: &[u8]) -> bool {
        PROGRAM_PATH.iter().any(|directory| {
            let path = [directory.as_bytes(), b"/", program].concat();
            !matches!(self.machine.place(&path), Place::Missing)
        })
    }

    /// What is missing in /var although the unit's package brings it, or the unit needs it mounted.
    fn state(&self, package: Option<&Package>, commands: &[(&Setting, Command)]) -> Failures {
        let made = |path: &[u8]| is_made_by(commands, path);
        let mut failures = Vec::new();
        // systemd's own units make what they name.
        let is_own = self.unit.name.prefix().starts_with("systemd-");
        let needed = self.unit.words("Unit.RequiresMountsFor");
        for (setting, path) in needed.into_iter().filter(|_| !is_own) {
            if path.starts_with(b"/var/") {
                failures.extend(self.named(&path, setting, commands));
            }
        }
        failures.extend(self.named_by_scripts(commands));
        let Some(package) = package.filter(|_| !is_dummy(commands)) else {
            return failures;
        };
        // What runs once is no daemon, which would load a plugin and give something to a group.
        let is_daemon = self.service_type() != Some(b"oneshot");
        let plugins = package.plugins.iter().filter(|_| is_daemon);
        for package in iter::once(package).chain(plugins.map(|plugin| &**plugin)) {
            for user in package.users(self.image) {
                if self.machine.accounts.users.contains(user.name) {
                    failures.extend(self.unreachable_by(&user));
                } else {
                    let (user, package) = (text(user.name), package.name.clone());
                    let reason = Reason::PackageUser { user, package };
                    failures.push((reason, self.as_a_whole()));
                }
            }
        }
        let groups = if is_daemon {
            package.configured_groups(self.image)
        } else {
            Vec::new()
        };
        for group in groups {
            if !self.machine.accounts.groups.contains(group) {
                let (group, package) = (text(group), package.name.clone());
                let reason = Reason::PackageGroup { group, package };
                failures.push((reason, self.as_a_whole()));
            }
        }
        for path in &package.var {
            if self.machine.lacks(path) && !made(path) {
                let is_likely = package.configures(self.image, path);
                let (path, package) = (text(path), package.name.clone());
                let reason = Reason::State {
                    path,
                    package,
                    is_likely,
                };
                failures.push((reason, self.as_a_whole()));
            }
        }
        failures
    }

    /// The directories that a user may look into in the image, by a group that was given to it for that, and may
    /// not on a machine.
    fn unreachable_by(&self, user: &User<'_>) -> Failures {
        let mut failures = Vec::new();
        for changed in self.image.lost_access() {
            let groups = self.image.groups().map(|(_, group)| group);
            let groups = groups.filter(|group| group.members.contains(&user.name));
            let gids: Vec<u32> = groups.map(|group| group.gid).collect();
            let [is, becomes] = [changed.is, changed.becomes];
            let is_for_members = gids.contains(&is.gid) && is.may_enter(user.uid, &gids);
            if is_for_members && !becomes.may_enter(user.uid, &gids) {
                let (directory, user) = (changed.path(), text(user.name));
                let reason = Reason::Unreachable { directory, user };
                failures.push((reason, self.as_a_whole()));
            }
        }
        failures
    }

    /// The directories of the image's /var that scripts of the unit name, and that are missing; where the script is
    /// in the unit itself, also those of files that it names.
    fn named_by_scripts(&self, commands: &[(&Setting, Command)]) -> Failures {
        let mut failures = Vec::new();
        for (setting, command) in commands.iter().filter(|(_, command)| !command.may_fail) {
            let own = command.shell_script();
            let script =
                own.map_or_else(|| self.script(&command.program), |own| Some(own.to_vec()));
            for path in script
                .iter()
                .flat_map(|script| packages::named_by_script(script))
            {
                let parent = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                let parent = own.map(|_| &path[..parent]);
                let mut directories = [Some(&path[..]), parent].into_iter().flatten();
                if let Some(directory) = directories.find(|path| self.is_directory_of_var(path)) {
                    failures.extend(self.named(directory, setting, commands));
                }
            }
        }
        failures
    }

    fn is_directory_of_var(&self, path: &[u8]) -> bool {
        let of_image = path
            .get(1..)
            .and_then(|path| self.image.gathered.var.get(path));
        of_image.is_some_and(|meta| meta.kind == Kind::Directory)
    }

    /// That a directory which the unit names is missing, if it is.
    fn named(
        &self,
        path: &[u8],
        setting: &Setting,
        commands: &[(&Setting, Command)],
    ) -> Option<(Reason, SaidAt)> {
        let is_missing = is_state(path) && self.machine.lacks(path) && !is_made_by(commands, path);
        let reason = Reason::State {
            path: text(path),
            package: String::new(),
            is_likely: true,
        };
        is_missing.then(|| (reason, self.at(setting)))
    }

    /// The content of a program, if it is a script.
    fn script(&self, program: &[u8]) -> Option<Vec<u8>> {
        let program = expand(program, &self.unit.name)?;
        let Place::File(Some((at, meta))) = self.machine.place(&program) else {
            return None;
        };
        let mut file = self.image.tree.open(&at).ok()??;
        let mut script = Vec::new();
        // Most programs are none, and of these no more is read.
        let mut start = file.by_ref().take(PROGRAM_START);
        start.read_to_end(&mut script).ok()?;
        if !script.starts_with(b"#!") || meta.size > MAX_SCRIPT {
            return None;
        }
        file.read_to_end(&mut script).ok()?;
        Some(script)
    }

    /// Whether a condition keeps the unit from starting, as far as files decide it: such a unit
    /// does not fail. Of those with `|` one has to hold, of the others all.
    fn is_skipped(&self) -> bool {
        let mut alternatives = Vec::new();
        for prefix in ["Unit.Condition", "Unit.Assert"] {
            for kind in [
                "PathExists",
                "PathIsDirectory",
                "PathIsSymbolicLink",
                "PathIsReadWrite",
                "DirectoryNotEmpty",
                "FileNotEmpty",
                "FileIsExecutable",
            ] {
                for setting in self.unit.list(&format!("{prefix}{kind}")) {
                    let (is_alternative, holds) = self.holds(setting, kind);
                    match (is_alternative, holds) {
                        (false, Some(false)) => return true,
                        (false, _) => {}
                        (true, holds) => alternatives.push(holds),
                    }
                }
            }
        }
        // Another kind of alternative may hold.
        let has_others = ["ConditionKernelCommandLine", "ConditionVirtualization"]
            .iter()
            .any(|key| !self.unit.list(&format!("Unit.{key}")).is_empty());
        !alternatives.is_empty()
            && !has_others
            && alternatives.iter().all(|holds| *holds == Some(false))
    }

    /// Whether a condition is one of several alternatives, and whether it holds if that is known.
    fn holds(&self, setting: &Setting, kind: &str) -> (bool, Option<bool>) {
        let mut value = &setting.value[..];
        let (mut is_alternative, mut is_negated) = (false, false);
        while let Some((sign @ (b'|' | b'!'), rest)) = value.split_first() {
            is_alternative |= *sign == b'|';
            is_negated |= *sign == b'!';
            value = rest.trim_ascii_start();
        }
        let Some(path) = expand(value, &self.unit.name) else {
            return (is_alternative, None);
        };
        let holds = match (self.machine.place(&path), kind) {
            (Place::Unknown, _) => None,
            (Place::Missing, _)
            | (Place::Directory, "FileIsExecutable" | "FileNotEmpty")
            | (Place::File(_), "PathIsDirectory" | "DirectoryNotEmpty") => Some(false),
            (_, "PathExists") | (Place::Directory, "PathIsDirectory") => Some(true),
            // What is in /etc is the image's, but for what people put there.
            (Place::Directory, "DirectoryNotEmpty") if path.starts_with(b"/etc/") => {
                let names = self
                    .image
                    .tree
                    .names(path.strip_prefix(b"/").unwrap_or(&path));
                names.ok().map(|names| !names.is_empty())
            }
            (Place::File(Some((_, meta))), "FileIsExecutable") => Some(meta.is_executable()),
            (Place::File(Some((_, meta))), "FileNotEmpty") => Some(meta.size > 0),
            _ => None,
        };
        (is_alternative, holds.map(|holds| holds != is_negated))
    }

    fn at(&self, setting: &Setting) -> SaidAt {
        let file = self.unit.files.get(setting.file);
        SaidAt {
            file: file.map_or(String::new(), |file| format!("/{file}")),
            line: Some(setting.line),
        }
    }

    fn as_a_whole(&self) -> SaidAt {
        let file = self.unit.files.first();
        SaidAt {
            file: file.map_or(String::new(), |file| format!("/{file}")),
            line: None,
        }
    }

    fn is_true(&self, key: &str) -> bool {
        let setting = self.unit.last(key);
        setting.is_some_and(|setting| boolean(&setting.value) == Some(true))
    }

    /// The value of a setting with its specifiers; none if only a running machine knows.
    fn value(&self, key: &str) -> Option<(&Setting, Vec<u8>)> {
        let setting = self.unit.last(key)?;
        Some((setting, expand(&setting.value, &self.unit.name)?))
    }
}

/// Whether a directory of /var is none of a cache or of logs, which programs make when they miss it, as those of
/// apparmor and unattended-upgrades do.
fn is_state(path: &[u8]) -> bool {
    !path.starts_with(b"/var/cache/") && !path.starts_with(b"/var/log/")
}

/// Whether a unit of this name comes from a file only: mounts, devices, slices and scopes are made
/// on the machine.
fn is_from_file(name: &UnitName) -> bool {
    ["service", "socket", "target", "timer", "path"].contains(&name.kind())
}

/// Whether a command that runs before the unit's program has a path among its arguments, to make it.
fn is_made_by(commands: &[(&Setting, Command)], path: &[u8]) -> bool {
    let makers = commands
        .iter()
        .filter(|(setting, _)| setting.key.ends_with("Pre"));
    let mut arguments = makers.flat_map(|(_, command)| &command.arguments);
    arguments.any(|argument| contains(argument, path))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Whether a unit runs nothing of its own: postgresql.service stands for its instances.
fn is_dummy(commands: &[(&Setting, Command)]) -> bool {
    commands
        .iter()
        .all(|(_, command)| command.program.ends_with(b"/true"))
}

fn text(bytes: &[u8]) -> String {
    crate::escape_path(bytes)
}
