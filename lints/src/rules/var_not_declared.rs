//! # What it does
//! Finds content of /var that nothing brings back. No line of tmpfiles.d makes it, and no factory
//! files are copied there. No unit has it as `StateDirectory=`, `CacheDirectory=` or
//! `LogsDirectory=`. Files that are caches or logs do not count.
//!
//! # Why it breaks
//! A host gets the image's /var only once, on the day when it is installed. New content of /var
//! never reaches upgraded hosts. The service that needs it does not start there.
//!
//! # Example
//! ```dockerfile
//! RUN install -d -o acme -g acme /var/lib/acme
//! ```
//!
//! # Fix
//! Declare it in /usr/lib/tmpfiles.d:
//! ```text
//! d /var/lib/acme 0755 acme acme -
//! ```
//! Put files into /usr/share/factory/var, and add the line `C /var/lib/acme - - - -`.

use super::tmpfiles_only_adjusts::adjusting;
use super::{Check, Rule, absolute, counted};
use crate::tree::Kind;
use crate::var_state::{Lost, hidden, lost};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "var-not-declared",
    aliases: &["var-tmpfiles"],
    severity: Severity::Warning,
    summary: "content of /var does not reach machines that are upgraded",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    // Of what a line would make if it were not hidden or of another type, those rules speak.
    let (adjusting, hidden) = (adjusting(image), hidden(image));
    let lost: Vec<Lost<'_>> = (lost(image).into_iter())
        .filter(|lost| !adjusting.contains_key(lost.path) && !hidden.contains_key(lost.path))
        .collect();
    let Some(first) = lost.first() else {
        return Vec::new();
    };
    let what = counted(lost.len(), "entry of /var is", "entries of /var are");
    let (path, owner) = (absolute(first.path), first.owner(image));
    let line = match first.meta.kind {
        Kind::Directory => format!("d {path} {:04o} {owner} -", first.meta.mode),
        Kind::Symlink => format!("L {path} - - - - TARGET"),
        _ => format!("C {path} - {owner} - /usr/share/factory{path}"),
    };
    vec![RULE.finding(
        format!("{what} not made again on machines that are upgraded"),
        format!("declare each in /usr/lib/tmpfiles.d (`{line}`), or have its service make it"),
        lost.iter().map(|lost| absolute(lost.path)).collect(),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    const CONF: &str = "usr/lib/tmpfiles.d/acme.conf";

    #[test]
    fn only_the_top_of_what_is_lost_is_told() {
        let tree = Fixture::new().file(CONF, "d /var/lib 0755 - - -\nz /var/lib/z\n");
        let tree = tree.file("var/lib/a/b/c", "").file("var/lib/ab", "");
        let tree = tree.link("var/spool", "lib/a");
        let meta = tree.owner("var/lib/a");
        let passwd = format!("acme:x:{}:{}::/:/bin/sh\n", meta.0, meta.1);
        let tree = tree.file("etc/passwd", passwd);
        let tree = tree.file("etc/group", format!("crew:x:{}:\n", meta.1));
        let found = tree.findings_of(&RULE);
        assert_eq!(found[0].paths, ["/var/lib/a", "/var/lib/ab", "/var/spool"]);
        // Root's files are root's whatever the image calls it.
        let owner = |id: u32, name: &str| {
            if id == 0 {
                "root".to_owned()
            } else {
                name.to_owned()
            }
        };
        let (user, group) = (owner(meta.0, "acme"), owner(meta.1, "crew"));
        let line = format!("`d /var/lib/a 0755 {user} {group} -`");
        assert!(found[0].help.contains(&line), "{}", found[0].help);
    }

    #[test]
    fn what_lines_and_units_make_is_right() {
        let lines = "d /var/lib/a/b 0755 - - -\nC /var/lib/c - - - -\nL /var/lib/l - - - - x\n\
                     d /home/u 0700 - - -\nd /usr/local/bin 0755 - - -\n";
        let tree = Fixture::new().file(CONF, lines).link("home", "var/home");
        let tree = tree.link("usr/local", "../var/usrlocal");
        let tree = tree.directory("var/lib/a/b").file("var/lib/c/d/e", "");
        let tree = tree.file("usr/share/factory/var/lib/c/d/e", "");
        let tree = tree.link("var/lib/l", "x").directory("var/home/u");
        let tree = tree.directory("var/usrlocal/bin").directory("var/lib/s/t");
        let unit = "usr/lib/systemd/system/acme.service";
        let tree = tree.file(unit, "[Service]\nStateDirectory=s/t\n");
        let dropin = "etc/systemd/system/acme.service.d/x.conf";
        let tree = tree.file(dropin, "[Service]\nCacheDirectory=acme\n");
        assert_eq!(tree.directory("var/cache/acme").findings_of(&RULE), []);
    }

    #[test]
    fn what_stands_beside_a_copy_does_not_come_from_it() {
        let lines = "C /var/lib/a - - - -\nC /var/lib/b - - - - /usr/share/b\n";
        let tree = Fixture::new().file(CONF, lines);
        let tree = tree.file("usr/share/factory/var/lib/a/x", "");
        let tree = tree.file("usr/share/b/x/y", "");
        let tree = tree.file("var/lib/a/x", "").file("var/lib/a/more", "");
        let tree = tree.file("var/lib/b/x/y", "").file("var/lib/b/x/z", "");
        let lost = ["/var/lib/a/more", "/var/lib/b/x/z"];
        assert_eq!(tree.paths_of(&RULE), lost);
    }

    #[test]
    fn files_that_are_caches_and_logs_do_not_count() {
        let lines = "d /var/cache/apt 0755 - - -\nd /var/log 0755 - - -\nd /var/tmp 1777 - - -\n";
        let tree = Fixture::new().file(CONF, lines).file("var/log/x", "x");
        let tree = tree
            .file("var/cache/apt/pkgcache.bin", "x")
            .file("var/tmp/a/b", "");
        assert_eq!(tree.findings_of(&RULE), []);
        assert_eq!(
            tree.directory("var/cache/b").paths_of(&RULE),
            ["/var/cache/b"]
        );
    }
}
