//! What the programs of a unit miss that systemd does not ask for: accounts and directories of /var that the
//! installation of its package has made.

use std::io::Read as _;
use std::iter;

use super::trial::{Failures, Trial, text};
use super::{Reason, SaidAt};
use crate::machine::Resolved;
use crate::model::passwd::User;
use crate::model::unit_name::expand;
use crate::model::units::Command;
use crate::packages::{self, Package};
use crate::tree::{Kind, MAX_SCRIPT, PROGRAM_START};
use crate::units::Setting;

impl Trial<'_> {
    /// What is missing in /var although the unit's package brings it, or a script of the unit names it.
    pub(super) fn state(
        &self,
        package: Option<&Package>,
        commands: &[(&Setting, Command)],
    ) -> Failures {
        let made = |path: &[u8]| is_made_by(commands, path);
        let mut failures = Vec::new();
        failures.extend(self.named_by_scripts(commands));
        let Some(package) = package.filter(|_| !is_dummy(commands)) else {
            return failures;
        };
        // What runs once is no daemon, which would load a plugin and give something to a group.
        let is_daemon = self.service_type() != Some(b"oneshot");
        let plugins = package.plugins.iter().filter(|_| is_daemon);
        let own = package;
        for package in iter::once(package).chain(plugins.map(|plugin| &**plugin)) {
            for user in package.users(self.image) {
                if package == own && !self.may_become(user.name, package, commands) {
                    continue;
                }
                if self.machine.accounts.users.contains(user.name) {
                    failures.extend(self.unreachable_by(&user));
                } else {
                    let (user, package) = (text(user.name), package.name.clone());
                    let reason = Reason::PackageUser { user, package };
                    failures.push((reason, self.as_a_whole()));
                }
            }
        }
        for name in self.image.dropped_top_level() {
            let path = [b"/", &name[..]].concat();
            if own.installs_with(self.image, &path) {
                let (path, package) = (text(&path), own.name.clone());
                let reason = Reason::TopLevel { path, package };
                failures.push((reason, self.as_a_whole()));
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
        let of_script = package.made_by_script(self.image).into_iter();
        // What a script names may be there for others: it counts where the configuration names it, too.
        let of_script = of_script.filter(|path| {
            self.machine.lacks(path)
                && self.is_directory_of_image(path)
                && package.configures(self.image, path)
        });
        for path in of_script.chain(package.var.iter().cloned()) {
            if self.machine.lacks(&path) && !made(&path) {
                let is_likely = package.configures(self.image, &path);
                let (path, package) = (text(&path), package.name.clone());
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

    /// Whether a program of the unit may become a user of its package. Of a binary that is taken for granted; a script
    /// names the user, or an argument or the configuration does, if it is to start something as that one at all (upsd of
    /// nut starts nothing until it is configured).
    fn may_become(&self, user: &[u8], package: &Package, commands: &[(&Setting, Command)]) -> bool {
        let main = commands
            .iter()
            .filter(|(setting, _)| setting.key == "Service.ExecStart");
        let mut scripts = Vec::new();
        for (_, command) in main {
            let Some(script) = self.script(&command.program) else {
                return true;
            };
            let others = packages::taken_in(&script).into_iter();
            scripts.extend(others.filter_map(|path| self.script_or_part(&path, false)));
            scripts.push(script);
        }
        let names = |text: &Vec<u8>| packages::names_account(text, user);
        let mut arguments = commands.iter().flat_map(|(_, command)| &command.arguments);
        scripts.iter().any(names)
            || arguments.any(names)
            || package.configures_account(self.image, user)
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

    /// Whether the image has a directory in /var, or declares it.
    fn is_directory_of_image(&self, path: &[u8]) -> bool {
        let mut lines = self.image.tmpfiles().lines.iter();
        self.is_directory_of_var(path)
            || lines.any(|line| line.path == path && line.makes_something())
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
        self.script_or_part(program, true)
    }

    /// The same, or of what a script takes in, which need not begin as one does.
    fn script_or_part(&self, program: &[u8], is_program: bool) -> Option<Vec<u8>> {
        let program = expand(program, &self.unit.name)?;
        let Resolved::File(Some((at, meta))) = self.machine.place(&program) else {
            return None;
        };
        let mut file = self.image.tree.open(&at).ok()??;
        let mut script = Vec::new();
        // Most programs are none, and of these no more is read.
        let mut start = file.by_ref().take(PROGRAM_START);
        start.read_to_end(&mut script).ok()?;
        let is_script = script.starts_with(b"#!") || !is_program;
        if !is_script || meta.size > MAX_SCRIPT {
            return None;
        }
        file.read_to_end(&mut script).ok()?;
        Some(script)
    }
}

/// Whether a directory of /var is none of a cache or of logs, which programs make when they miss it, as those of
/// apparmor and unattended-upgrades do.
fn is_state(path: &[u8]) -> bool {
    !path.starts_with(b"/var/cache/") && !path.starts_with(b"/var/log/")
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
