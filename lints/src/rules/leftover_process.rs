//! # What it does
//! Finds processes that the command of a step started and left running.
//!
//! # Why it breaks
//! A build step ends with its command. Before the commit, osderive ends what still runs, in the
//! middle of its work. A database that is still writing leaves a torn file in the layer. The daemon
//! does not run on the host either, because only units start daemons there.
//!
//! # Example
//! ```dockerfile
//! RUN service postgresql start && psql -c 'CREATE USER web'
//! ```
//!
//! # Fix
//! Stop what the step started before its command ends: `service postgresql stop`,
//! `gpgconf --kill all`. Enable the unit if it is to run on the host.

use super::{MAX_NAMED, Rule, counted};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "leftover-process",
    severity: Severity::Warning,
    summary: "a process of the step still ran when its command had ended",
    ..Rule::STEP
};

/// A process that had to be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its command name as the kernel has it, escaped.
    pub comm: String,
    /// Its id in the step's pid namespace.
    pub pid: i32,
}

/// The finding about all processes that a step left, none if there is none.
pub fn finding(leftovers: &[Leftover]) -> Option<Finding> {
    if leftovers.is_empty() {
        return None;
    }
    let mut named: Vec<String> = leftovers
        .iter()
        .take(MAX_NAMED)
        .map(|process| format!("{} (pid {})", process.comm, process.pid))
        .collect();
    if leftovers.len() > MAX_NAMED {
        named.push(format!("and {} more", leftovers.len() - MAX_NAMED));
    }
    Some(
        RULE.finding(
            format!(
                "{} left running by the step had to be ended: {}",
                counted(leftovers.len(), "process", "processes"),
                named.join(", ")
            ),
            "stop it before the RUN's command ends; to run it on the machine, enable its unit"
                .to_owned(),
            Vec::new(),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leftover(pid: i32) -> Leftover {
        Leftover {
            comm: "gpg-agent".to_owned(),
            pid,
        }
    }

    #[test]
    fn each_process_is_named() {
        let finding = finding(&[leftover(7), leftover(9)]).expect("a finding");
        assert_eq!(
            finding.message,
            "2 processes left running by the step had to be ended: gpg-agent (pid 7), gpg-agent \
             (pid 9)"
        );
    }

    #[test]
    fn a_fork_bomb_is_counted_not_listed() {
        let many: Vec<Leftover> = (2..1002).map(leftover).collect();
        let message = finding(&many).expect("a finding").message;
        assert!(message.ends_with(", and 980 more"), "{message}");
    }

    #[test]
    fn none_left_is_no_finding() {
        assert_eq!(finding(&[]), None);
    }
}
