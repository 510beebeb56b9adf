//! What the probe saw in a booted machine, read from the sections that it wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A booted machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What `systemctl is-system-running` says: `running`, `degraded`…
    pub state: String,
    /// Every unit that systemd has loaded, by name.
    pub units: BTreeMap<String, UnitState>,
    /// The lines of `getent passwd`.
    pub users: Vec<String>,
    /// The lines of `getent group`.
    pub groups: Vec<String>,
    /// The shadow line of the user `local`, where there is one, and the lines of /etc/hosts.
    pub local: Vec<String>,
    /// How systemd-sysusers and systemd-tmpfiles ended, and what they said.
    pub declarations: Vec<String>,
    /// Mode, owner and path of what is in /var, /opt and /usr/local, six levels down.
    pub files: Vec<String>,
    /// The journal's messages of priority error and worse.
    pub errors: Vec<String>,
    /// The status of each unit that failed, restarts or still starts, and of each enabled service that does not run.
    pub failures: Vec<String>,
}

/// The state of a unit, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked`…
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`…
    pub active: String,
    /// `running`, `exited`, `auto-restart`…
    pub sub: String,
    /// How often a service was started again by itself.
    #[serde(default)]
    pub restarts: u32,
}

/// Restarts of a service that fails again and again, and is active now and then in between.
const MANY_RESTARTS: u32 = 2;

impl UnitState {
    /// Whether the unit failed, or restarts because it fails.
    pub fn has_failed(&self) -> bool {
        self.active == "failed"
            || self.sub.starts_with("auto-restart")
            || self.restarts >= MANY_RESTARTS
    }

    /// Whether it is active, and not only until it fails again.
    pub fn is_active(&self) -> bool {
        self.active == "active" && !self.has_failed()
    }
}

impl Report {
    /// Reads all that the probe wrote; `None` when it did not reach its end.
    pub fn read(text: &str) -> Option<Self> {
        let mut sections: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut open = "";
        for line in text.lines().map(|line| line.trim_end_matches('\r')) {
            if let Some(name) = line.strip_prefix("@@") {
                open = name;
                sections.insert(open, Vec::new());
            } else if let Some(lines) = sections.get_mut(open) {
                lines.push(line.to_owned());
            }
        }
        sections.remove("end")?;
        let mut take = |name: &str| sections.remove(name).unwrap_or_default();
        let mut units: BTreeMap<_, _> =
            take("units").iter().filter_map(|line| unit(line)).collect();
        for line in take("restarts") {
            if let Some((name, restarts)) = line.split_once(' ')
                && let Some(unit) = units.get_mut(name)
            {
                unit.restarts = restarts.parse().unwrap_or(0);
            }
        }
        Some(Self {
            state: take("state").concat(),
            units,
            users: take("users"),
            groups: take("groups"),
            local: take("local"),
            declarations: take("declarations"),
            files: take("files"),
            errors: take("errors"),
            failures: take("failures"),
        })
    }

    /// The status of a unit of those of [`Self::failures`]; no lines of any other.
    pub fn status(&self, unit: &str) -> &[String] {
        // Each begins with a mark and the name: `x a.service - A`.
        let named = |line: &String| line.split(' ').nth(1) == Some(unit);
        let Some(start) = self.failures.iter().position(named) else {
            return &[];
        };
        let rest = &self.failures[start..];
        let more = rest.iter().skip(1);
        let end = more.take_while(|line| line.is_empty() || line.starts_with(' ') || is_log(line));
        &rest[..=end.count()]
    }

    /// Whether an enabled service was never started, and no condition kept it from that.
    pub fn was_never_started(&self, unit: &str) -> bool {
        let of_process = |line: &String| {
            let line = line.trim_start();
            line.starts_with("Process: ") || line.starts_with("Main PID: ")
        };
        let status = self.status(unit);
        !status.is_empty() && !status.iter().any(of_process) && self.unmet_condition(unit).is_none()
    }

    /// The condition that kept an enabled service from starting, as its status names it.
    pub fn unmet_condition(&self, unit: &str) -> Option<&str> {
        let lines = self.status(unit).iter();
        let mut conditions = lines.filter_map(|line| {
            let named = line.trim_start().strip_prefix("`- ")?;
            named.strip_suffix(" was not met")
        });
        conditions.next_back()
    }

    /// The names of units that failed, in order.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        let failed = self.units.iter().filter(|(_, state)| state.has_failed());
        failed.map(|(name, _)| name.as_str())
    }
}

/// Whether a line of a status is one of the journal, which begins with the month; a mark may be a letter, too.
fn is_log(line: &str) -> bool {
    let mut letters = line.chars().take(2);
    letters.all(|letter| letter.is_ascii_alphabetic())
}

fn unit(line: &str) -> Option<(String, UnitState)> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let (name, load, active, sub) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let state = UnitState {
        load,
        active,
        sub,
        restarts: 0,
    };
    Some((name, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "noise\r\n@@state\r\ndegraded\r\n@@units\r\n\
        a.service loaded active running A\r\n\
        b.service loaded activating auto-restart B\r\n\
        c.service not-found inactive dead c.service\r\n\
        @@users\r\nroot:x:0:0::/root:/bin/sh\r\n";

    #[test]
    fn units_are_read_with_their_states() {
        let report = Report::read(&format!("{TEXT}@@end\r\n")).unwrap();
        assert_eq!(report.state, "degraded");
        assert_eq!(report.units["a.service"].active, "active");
        assert_eq!(report.units["c.service"].load, "not-found");
        assert_eq!(report.failed().collect::<Vec<_>>(), ["b.service"]);
        assert_eq!(report.users, ["root:x:0:0::/root:/bin/sh"]);
    }

    #[test]
    fn a_status_is_its_units_alone() {
        let text = "@@failures\n\
            x a.service - A\n     Active: failed\n\nNov 27 10:00:00 localhost a[9]: no user\n\
            * b.service - B\n     Active: activating\n@@end\n";
        let report = Report::read(text).unwrap();
        assert_eq!(report.status("a.service").len(), 4);
        assert_eq!(report.status("b.service").len(), 2);
        assert!(report.status("c.service").is_empty());
    }

    #[test]
    fn a_condition_that_keeps_a_service_from_starting_is_named() {
        let text = "@@failures\n\
            * a.service - A\n     Active: inactive (dead)\n  Condition: start condition unmet at noon; 2s ago\n             \
            `- ConditionVirtualization=!container was not met\n\n* b.service - B\n     Active: inactive (dead)\n@@end\n";
        let report = Report::read(text).unwrap();
        let condition = "ConditionVirtualization=!container";
        assert_eq!(report.unmet_condition("a.service"), Some(condition));
        assert_eq!(report.unmet_condition("b.service"), None);
    }

    #[test]
    fn what_fails_again_and_again_is_not_active_in_between() {
        let text = "@@units\n\
            a.service loaded active running A\n\
            b.service loaded active running B\n\
            @@restarts\na.service 2\nb.service 1\nmissing.service 9\n@@end\n";
        let report = Report::read(text).unwrap();
        assert_eq!(report.failed().collect::<Vec<_>>(), ["a.service"]);
        assert!(!report.units["a.service"].is_active() && report.units["b.service"].is_active());
    }

    #[test]
    fn a_service_that_was_never_started_is_told_from_one_that_ended() {
        let text = "@@failures\n\
            * a.service - A\n     Active: inactive (dead)\n\n\
            * b.service - B\n     Active: inactive (dead)\n    Process: 9 ExecStart=/b (code=exited)\n@@end\n";
        let report = Report::read(text).unwrap();
        assert!(report.was_never_started("a.service"));
        assert!(!report.was_never_started("b.service") && !report.was_never_started("c.service"));
    }

    #[test]
    fn a_report_without_its_end_is_none() {
        assert_eq!(Report::read(TEXT), None);
    }
}
