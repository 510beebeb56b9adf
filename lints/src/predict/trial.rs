//! One unit on one machine: what systemd asks of it before and while it starts its programs.

use std::collections::BTreeSet;
use std::io::Read as _;

use super::holds::Holds;
use super::{Doubt, Reason, SaidAt};
use crate::Image;
use crate::machine::accounts::other_accounts;
use crate::machine::{Machine, Resolved};
use crate::model::unit_name::{UnitName, expand};
use crate::model::units::{Command, boolean, commands};
use crate::packages::Package;
use crate::tree::PROGRAM_START;
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

pub(super) type Failures = Vec<(Reason, SaidAt)>;

/// One unit on one machine.
pub(super) struct Trial<'a> {
    pub(super) image: &'a Image<'a>,
    pub(super) machine: &'a Machine<'a>,
    pub(super) unit: &'a Unit,
}

impl Trial<'_> {
    pub(super) fn failures(&self, start: Start, package: Option<&Package>) -> Failures {
        if self.unit.is_refused {
            return Vec::new();
        }
        if self.conditions() == Holds::No {
            let lost = self.lost_condition(package);
            return lost
                .filter(|_| start == Start::AtBoot)
                .into_iter()
                .collect();
        }
        if let Some(failed) = self.failed_assertion() {
            return vec![failed];
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
                    State::Missing | State::Uncertain => false,
                };
                let unit = to.as_str().to_owned();
                let place = self.requiring(&to);
                Some((Reason::Requires { unit, masked }, place))
            })
            .collect()
    }

    /// Where it is said that the unit does not start without another: by a link, or in one of its files.
    fn requiring(&self, to: &UnitName) -> SaidAt {
        let units = self.image.units();
        if let Some(link) = units.requiring_link(&self.unit.name, to) {
            return SaidAt {
                file: format!("/{}", link.path),
                line: None,
            };
        }
        let keys = ["Unit.Requires", "Unit.Requisite", "Unit.BindsTo"];
        let mut names = keys.iter().flat_map(|key| self.unit.unit_names(key));
        let setting = names.find(|(_, word)| word == to.as_str().as_bytes());
        setting.map_or_else(|| self.as_a_whole(), |(setting, _)| self.at(setting))
    }

    /// What only a machine knows of a failure for a reason.
    pub(super) fn doubts(&self, start: Start, reason: &Reason) -> BTreeSet<Doubt> {
        let units = self.image.units();
        let mut doubts = BTreeSet::new();
        if start == Start::OnDemand || !units.surely_starts(&self.unit.name) {
            doubts.insert(Doubt::NotStarted);
        }
        let conditions = match reason {
            Reason::Condition { .. } => self.other_conditions(),
            _ => self.conditions(),
        };
        if let Holds::Unknown { usually } = conditions.and(self.assertions()) {
            doubts.insert(Doubt::Conditions { usually });
        }
        let is_settled = |path: &str| {
            let path = crate::unescape_path(path);
            path.starts_with(b"/") && self.machine.is_settled(&path)
        };
        let may_be_made = match reason {
            Reason::User(name) | Reason::Group(name) => {
                doubts.extend(other_accounts(self.image).map(Doubt::OtherAccounts));
                doubts.extend(self.dynamic_user(name).map(Doubt::DynamicUser));
                false
            }
            Reason::Requires { unit, .. } => {
                let name = UnitName::parse(unit);
                let maker = name.and_then(|name| match units.state(&name) {
                    State::Uncertain => units.may_be_made_by(&name),
                    _ => None,
                });
                doubts.extend(maker.map(Doubt::Generator));
                false
            }
            Reason::Program(path)
            | Reason::WorkingDirectory(path)
            | Reason::Namespace { path, .. }
            | Reason::Environment(path)
            | Reason::Output(path) => !is_settled(path),
            Reason::Interpreter {
                script,
                interpreter,
            } => !is_settled(script) || !is_settled(interpreter),
            // A file of the image has the image's mode, but what is in /var belongs to the machine.
            Reason::NotExecutable(path) => !is_settled(path) && !path.starts_with("/etc/"),
            // Of a machine's other files somebody may have said when the unit shall start.
            Reason::Assertion { value, .. } | Reason::Condition { value, .. } => {
                let path = value.trim_start_matches(['|', '!', ' ']);
                path.starts_with('/') && !is_settled(path)
            }
            Reason::PackageUser { .. }
            | Reason::PackageGroup { .. }
            | Reason::Unreachable { .. }
            | Reason::TopLevel { .. }
            | Reason::State { .. } => false,
        };
        if may_be_made {
            doubts.insert(Doubt::MadeByOthers);
        }
        doubts
    }

    /// The unit that starts with a user of its own of this name, which others find while it runs (nss-systemd(8)).
    fn dynamic_user(&self, name: &str) -> Option<String> {
        let units = self.image.units();
        let mut dynamic = units.starting().map(|(unit, _)| unit).filter(|unit| {
            let is_on = unit.last("Service.DynamicUser");
            is_on.is_some_and(|setting| boolean(&setting.value) == Some(true))
        });
        let has_name = |unit: &&Unit| match unit.last("Service.User") {
            Some(setting) => text(&setting.value) == name,
            None => unit.name.prefix() == name,
        };
        let unit = dynamic.find(has_name)?;
        Some(unit.name.as_str().to_owned())
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
        for needed in self.namespace() {
            if self.machine.lacks(&needed.path) {
                let (key, path) = (needed.key, text(&needed.path));
                let reason = Reason::Namespace { key, path };
                failures.push((reason, self.at(needed.setting)));
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
    pub(super) fn service_type(&self) -> Option<&[u8]> {
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
            Resolved::Missing => Some(Reason::Program(path)),
            Resolved::Directory => Some(Reason::NotExecutable(path)),
            Resolved::File(Some((_, meta))) if !meta.is_executable() => {
                Some(Reason::NotExecutable(path))
            }
            Resolved::File(Some((at, _))) => {
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
            Resolved::File(None) | Resolved::Unknown => None,
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
            !matches!(self.machine.place(&path), Resolved::Missing)
        })
    }

    pub(super) fn at(&self, setting: &Setting) -> SaidAt {
        let file = self.unit.files.get(setting.file);
        SaidAt {
            file: file.map_or(String::new(), |file| format!("/{file}")),
            line: Some(setting.line),
        }
    }

    pub(super) fn as_a_whole(&self) -> SaidAt {
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

/// Whether a unit of this name comes from a file only: mounts, devices, slices and scopes are made
/// on the machine.
fn is_from_file(name: &UnitName) -> bool {
    ["service", "socket", "target", "timer", "path"].contains(&name.kind())
}

pub(super) fn text(bytes: &[u8]) -> String {
    crate::escape_path(bytes)
}
