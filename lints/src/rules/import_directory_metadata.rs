//! # What it does
//! Finds directories to which a layer gives another mode or owner than the first layer that has
//! them. If a line of tmpfiles.d sets it at boot, that is fine. The rule needs the layers of the
//! image: an OCI layout or an archive.
//!
//! # Why it breaks
//! The import takes mode and owner from the first layer that has the directory. Debian's ssl-cert
//! opens /etc/ssl/private to its group, and a database reads its key there. On the host it may not.
//! The image runs as a container and fails on a host.
//!
//! # Example
//! ```dockerfile
//! RUN chgrp ssl-cert /etc/ssl/private && chmod 710 /etc/ssl/private
//! ```
//!
//! # Fix
//! In /etc, have boot set it. The commit of osderive writes such lines itself:
//! ```ini
//! # /usr/lib/tmpfiles.d/ssl-cert.conf
//! z /etc/ssl/private 0710 root ssl-cert
//! ```
//! In /usr, make a new directory for what you want to protect.

use super::{Check, MAX_NAMED, Need, Rule, Scope};
use crate::predict::Reason;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-directory-metadata",
    severity: Severity::Warning,
    summary: "the import loses a directory's mode or owner",
    scope: Scope::Import,
    needs: Need::Layers,
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let lost = image.lost_access().iter().take(MAX_NAMED);
    lost.map(|lost| {
        let path = lost.path();
        let (is, becomes) = (lost.is, lost.becomes);
        let mut message = format!(
            "{path} is {:04o} {}:{} here and {:04o} {}:{} after the import, as in the first layer that has it",
            is.mode, is.uid, is.gid, becomes.mode, becomes.uid, becomes.gid
        );
        for prediction in image.predictions() {
            if let Reason::Unreachable { directory, user } = &prediction.reason
                && *directory == path
            {
                let (unit, on) = (&prediction.unit, prediction.fails_on.text());
                let told = format!("; {unit} probably fails {on}: {user} may not look into it");
                message.push_str(&told);
            }
        }
        let help = if path.starts_with("/usr") {
            "make a directory of its own for what is to be protected".to_owned()
        } else {
            format!("add a line to tmpfiles.d: `z {path} {:04o} USER GROUP`", is.mode)
        };
        RULE.finding(message, help, vec![path])
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{LayerTar, TestImage};
    use crate::{Selection, lint};

    fn found(image: &TestImage) -> Vec<String> {
        let tree = image.read().expect("an image");
        let found = lint(&tree, None, &Selection::default()).findings;
        let found = found
            .into_iter()
            .filter(|finding| finding.rule == RULE.name);
        found.map(|finding| finding.message).collect()
    }

    fn base() -> LayerTar {
        ["etc", "etc/ssl", "etc/ssl/private", "usr", "usr/lib", "var"]
            .into_iter()
            .fold(LayerTar::new(), LayerTar::directory)
    }

    #[test]
    fn a_changed_directory_is_found_unless_boot_sets_it() {
        let change = || {
            LayerTar::new()
                .directory("etc/ssl")
                .directory_of("etc/ssl/private", 0o710, 105)
                .directory_of("var", 0o700, 0)
        };
        let image = TestImage::new().layer(base()).layer(change());
        let message = "/etc/ssl/private is 0710 0:105 here and 0755 0:0 after the import, as in the first layer \
                       that has it";
        assert_eq!(found(&image), [message]);
        let line = "z /etc/ssl/private 0710 root ssl-cert\n";
        let repaired = change().file("usr/lib/tmpfiles.d/a.conf", line);
        let image = TestImage::new().layer(base()).layer(repaired);
        assert_eq!(found(&image), [""; 0]);
        let back = LayerTar::new().directory("etc/ssl/private");
        let image = TestImage::new().layer(base()).layer(change()).layer(back);
        assert_eq!(found(&image), [""; 0]);
    }

    #[test]
    fn a_directory_that_went_meanwhile_is_a_new_one() {
        let gone = LayerTar::new().file("etc/ssl/.wh.private", "");
        let again = LayerTar::new().directory_of("etc/ssl/private", 0o700, 0);
        let image = TestImage::new().layer(base()).layer(gone).layer(again);
        assert_eq!(found(&image), [""; 0]);
    }

    #[test]
    fn a_service_whose_user_may_no_longer_look_into_it_is_told() {
        let info = "usr/lib/sysimage/dpkg/info";
        let unit = "usr/lib/systemd/system/sql.service";
        let target = "usr/lib/systemd/system/default.target";
        let wants = "etc/systemd/system/default.target.wants";
        let sql = [info, "usr/bin", "usr/lib/systemd/system", wants]
            .into_iter()
            .fold(LayerTar::new(), LayerTar::directory)
            .file("etc/passwd", "postgres:x:104:106::/:/bin/sh\n")
            .file("etc/group", "ssl-cert:x:105:postgres\npostgres:x:106:\n")
            .file("usr/lib/sysusers.d/a.conf", "u postgres 104\n")
            .program("usr/bin/sql", "")
            .file(target, "[Unit]\n")
            .file(unit, "[Service]\nExecStart=/usr/bin/sql\n")
            .symlink(&format!("{wants}/sql.service"), &format!("/{unit}"))
            .file(&format!("{info}/sql.list"), format!("/{unit}\n"))
            .file(
                &format!("{info}/sql.postinst"),
                "adduser postgres ssl-cert\n",
            );
        let closed = LayerTar::new()
            .directory("etc")
            .directory("etc/ssl")
            .directory_of("etc/ssl/private", 0o700, 0);
        let opened = LayerTar::new().directory_of("etc/ssl/private", 0o710, 105);
        let image = TestImage::new().layer(closed).layer(sql).layer(opened);
        let found = found(&image);
        let told = "; sql.service probably fails on every machine: postgres may not look into it";
        assert!(found[0].ends_with(told), "{found:?}");
    }
}
