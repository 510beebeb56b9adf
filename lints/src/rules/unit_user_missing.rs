//! # What it does
//! Finds accounts that a host does not have, be it newly installed or upgraded:
//!
//! - users and groups that a service starts as
//! - owners of sockets (`SocketUser=`, `SocketGroup=`)
//! - users that a package made for its service, as Debian's installation scripts tell
//!
//! It is an error if no host has the account. Then neither files of the image nor sysusers.d have
//! it, and nsswitch.conf sets up no other source of accounts. An account that is only in
//! /etc/passwd is missing only on hosts that changed their own file. That is a warning. A unit that
//! its package ships like this gets a warning only. It fails on ordinary systems too.
//!
//! # Why it breaks
//! systemd does not start the service: 217/USER or 216/GROUP. A host that ever changed its
//! /etc/passwd gets the accounts of a newer image from sysusers.d alone. It lacks an account that
//! only the image's /etc/passwd has.
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system acme && systemctl enable acme.service
//! ```
//!
//! # Fix
//! Declare the account, with its id:
//! ```ini
//! # /usr/lib/sysusers.d/acme.conf
//! u acme 950 "Acme" /var/lib/acme
//! ```

use super::{Check, Rule};
use crate::Certainty;
use crate::predict::Reason;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-user-missing",
    severity: Severity::Error,
    summary: "a service starts as a user or group that the machine does not have",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let mut findings = RULE.predicted(image, |prediction| {
        let (what, name, letter) = match &prediction.reason {
            Reason::User(name) => ("user", name, 'u'),
            Reason::Group(name) => ("group", name, 'g'),
            _ => return None,
        };
        let message = format!("there is no {what} {name}");
        let help = format!(
            "declare it in sysusers.d, with the id that the image's files have: `{letter} {name} \
             ID`"
        );
        Some((message, help))
    });
    findings.extend(image.predictions().iter().filter_map(|prediction| {
        let (what, name, package, letter) = match &prediction.reason {
            Reason::PackageUser { user, package } => ("user", user, package, 'u'),
            Reason::PackageGroup { group, package } => ("group", group, package, 'g'),
            _ => return None,
        };
        let (unit, on) = (&prediction.unit, prediction.fails_on.text());
        let (fails, severity) = match prediction.certainty() {
            Certainty::Possible => ("may fail", Severity::Info),
            _ => ("probably fails", Severity::Warning),
        };
        let finding = RULE.finding(
            format!("{unit} {fails} {on}: there is no {what} {name}, made by package {package}"),
            format!(
                "declare it in sysusers.d, with the id that the image has: `{letter} {name} ID`"
            ),
            vec![prediction.place.file.clone()],
        );
        Some(Finding {
            severity,
            ..finding
        })
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn service(text: &str) -> Fixture {
        Fixture::new()
            .file("etc/passwd", "local:x:950:950::/:/bin/sh\n")
            .file("etc/group", "local:x:950:\n")
            .file(
                "usr/lib/sysusers.d/a.conf",
                "u declared 951\nu nogroup-of 952:gone\n",
            )
            .program("usr/bin/true")
            .program("bin/sh")
            .file_with("usr/sbin/daemon", "\x7fELF", 0o755)
            .service(
                "acme",
                &format!("[Service]\nExecStart=/usr/bin/true\n{text}"),
            )
    }

    fn messages(text: &str) -> Vec<String> {
        let found = service(text).findings_of(&RULE).into_iter();
        found.map(|finding| finding.message).collect()
    }

    #[test]
    fn an_unknown_user_is_found() {
        let message = "acme.service fails on every machine (217/USER): there is no user gone";
        assert_eq!(messages("User=gone"), [message]);
        assert_eq!(messages("User=nogroup-of").len(), 1);
        let waiting = "User=gone\nType=forking\nExecStart=\nExecStart=-/usr/bin/true";
        assert_eq!(messages(waiting), [message]);
        let message = "acme.service fails on every machine (216/GROUP): there is no group gone";
        assert_eq!(messages("SupplementaryGroups=declared gone"), [message]);
        let paths = service("User=gone").paths_of(&RULE);
        assert_eq!(paths, ["/usr/lib/systemd/system/acme.service"]);
    }

    #[test]
    fn a_user_of_passwd_alone_is_missing_after_an_upgrade() {
        let message = "acme.service fails on machines upgraded to the image (217/USER): there is \
                       no user local";
        assert_eq!(messages("User=local"), [message]);
    }

    #[test]
    fn only_a_user_that_no_machine_has_fails_a_build() {
        let severity = |fixture: Fixture| fixture.findings_of(&RULE)[0].severity;
        assert_eq!(severity(service("User=gone")), Severity::Error);
        assert_eq!(
            severity(service("SupplementaryGroups=gone")),
            Severity::Error
        );
        assert_eq!(severity(service("User=local")), Severity::Warning);
        // A package's own unit fails wherever it is installed.
        let list = "/lib/systemd/system/acme.service\n";
        let packaged = |text: &str| service(text).file("var/lib/dpkg/info/acme.list", list);
        assert_eq!(severity(packaged("User=gone")), Severity::Warning);
        let drop_in = "usr/lib/systemd/system/acme.service.d/user.conf";
        let mine = packaged("").file(drop_in, "[Service]\nUser=gone\n");
        assert_eq!(severity(mine), Severity::Error);
        let nsswitch = |line: &str| service("User=gone").file("etc/nsswitch.conf", line);
        let of_files = "passwd: files altfiles [SUCCESS=merge] sss systemd # ldap\nhosts: dns\n";
        assert_eq!(severity(nsswitch(of_files)), Severity::Error);
        let directory = nsswitch(of_files).file("etc/sssd/sssd.conf", "[sssd]\n");
        assert_eq!(severity(directory), Severity::Warning);
        assert_eq!(
            severity(nsswitch("group: files winbind\n")),
            Severity::Warning
        );
        let dynamic = "[Service]\nExecStart=/usr/bin/true\nDynamicUser=yes\nUser=gone\n";
        let shared = service("User=gone").service("other", dynamic);
        assert_eq!(severity(shared), Severity::Warning);
        let message = "acme.service fails on every machine (217/USER): there is no user gone, \
                       unless `ldap` of nsswitch.conf knows it";
        let found = nsswitch("passwd: files ldap\n").messages_of(&RULE);
        assert_eq!(found, [message]);
    }

    #[test]
    fn a_user_that_the_package_has_made_is_missed_by_its_services() {
        let postinst = "#!/bin/sh\n# not declared\nadduser --system --group local\n";
        let packaged = service("ExecStart=\nExecStart=/usr/sbin/daemon")
            .file(
                "var/lib/dpkg/info/acme.list",
                "/usr/lib/systemd/system/acme.service\n",
            )
            .file("var/lib/dpkg/info/acme.postinst", postinst);
        let found = packaged.findings_of(&RULE);
        assert_eq!(
            found[0].message,
            "acme.service probably fails on machines upgraded to the image: there is no user \
             local, made by package acme"
        );
        assert_eq!((found.len(), found[0].severity), (1, Severity::Warning));
        let drop_in = |condition: &str| {
            let packaged = service("ExecStart=\nExecStart=/usr/sbin/daemon")
                .file(
                    "var/lib/dpkg/info/acme.list",
                    "/usr/lib/systemd/system/acme.service\n",
                )
                .file("var/lib/dpkg/info/acme.postinst", postinst)
                .file(
                    "etc/systemd/system/acme.service.d/a.conf",
                    format!("[Unit]\n{condition}\n"),
                );
            packaged.findings_of(&RULE)[0].severity
        };
        let special = "ConditionKernelCommandLine=acme";
        assert_eq!(drop_in(special), Severity::Info);
        let ordinary = "ConditionVirtualization=!container";
        assert_eq!(drop_in(ordinary), Severity::Warning);
    }

    #[test]
    fn a_user_that_a_plugin_of_the_package_has_made_is_missed_too() {
        let found = |plugin: &str, object: &str, setting: &str| {
            let info = |package: &str, kind| format!("var/lib/dpkg/info/{package}.{kind}");
            service(&format!("{setting}ExecStart=\nExecStart=/usr/sbin/daemon"))
                .file(
                    &info("acme", "list"),
                    "/usr/lib/systemd/system/acme.service\n",
                )
                .file(&info(plugin, "list"), format!("{object}\n"))
                .file(&info(plugin, "postinst"), "adduser --system local\n")
                .messages_of(&RULE)
        };
        let object = "/usr/lib/x86_64-linux-gnu/acme/drive.so";
        let message = "acme.service probably fails on machines upgraded to the image: there is no user local, made by \
                       package acme-drive";
        assert_eq!(found("acme-drive", object, ""), [message]);
        assert_eq!(found("acme-drive", object, "Type=oneshot\n"), [""; 0]);
        assert_eq!(found("acme-drive", "/usr/bin/acme-drive", ""), [""; 0]);
        assert_eq!(found("acmedrive", object, ""), [""; 0]);
    }

    #[test]
    fn a_user_that_a_script_does_not_name_is_not_missed() {
        let found = |script: &str, conf: &str| {
            let list = "/etc/acme/acme.conf\n/usr/lib/systemd/system/acme.service\n";
            service("ExecStart=\nExecStart=/usr/sbin/acmed -F")
                .file_with("usr/sbin/acmed", script, 0o755)
                .file("usr/lib/acme/common.sh", "ACME_USER=\"local\"\n")
                .file("etc/acme/acme.conf", conf)
                .file("var/lib/dpkg/info/acme.list", list)
                .file(
                    "var/lib/dpkg/info/acme.postinst",
                    "adduser --system local\n",
                )
                .messages_of(&RULE)
                .len()
        };
        let wrapper = "#!/bin/sh\n# for local\n. /etc/local/local.conf\nexec /lib/local/acmed\n";
        assert_eq!(found(wrapper, ""), 0);
        assert_eq!(found(wrapper, "# user local\n"), 0);
        assert_eq!(found(wrapper, "user local\n"), 1);
        assert_eq!(found("#!/bin/sh\nexec /lib/acmed -u local\n", ""), 1);
        assert_eq!(
            found("#!/bin/sh\n. \"/usr/lib/acme/common.sh\"\nstart\n", ""),
            1
        );
        assert_eq!(found("\x7fELF", ""), 1);
    }

    #[test]
    fn a_user_that_a_service_starts_without_is_not_missed() {
        let found = |package: &str| {
            let info = |kind| format!("var/lib/dpkg/info/{package}.{kind}");
            service("ExecStart=\nExecStart=/usr/sbin/daemon")
                .file("etc/passwd", "ftp:x:950:950::/:/bin/sh\n")
                .file(&info("list"), "/usr/lib/systemd/system/acme.service\n")
                .file(&info("postinst"), "adduser --system ftp\n")
                .messages_of(&RULE)
        };
        assert_eq!((found("acme").len(), found("vsftpd").len()), (1, 0));
    }

    #[test]
    fn a_group_that_the_package_has_made_and_configured_is_missed_too() {
        let list = "/etc/acme.conf\n/usr/lib/systemd/system/acme.service\n";
        let found = |setting: &str, conf: &str| {
            service(&format!("{setting}ExecStart=\nExecStart=/usr/sbin/daemon"))
                .file("etc/group", "local:x:950:\nadmins:x:951:\n")
                .file("etc/acme.conf", conf)
                .file("var/lib/dpkg/info/acme.list", list)
                .file(
                    "var/lib/dpkg/info/acme.postinst",
                    "addgroup --system admins\n",
                )
                .messages_of(&RULE)
        };
        let message = "acme.service probably fails on machines upgraded to the image: there is no group admins, \
                       made by package acme";
        assert_eq!(found("", "SystemGroup admins"), [message]);
        assert_eq!(found("Type=oneshot\n", "SystemGroup admins"), [""; 0]);
        assert_eq!(found("", "# SystemGroup admins"), [""; 0]);
    }

    #[test]
    fn an_unknown_owner_of_a_socket_is_found() {
        let socket = |text: &str| {
            let directory = "usr/lib/systemd/system";
            service("")
                .file(
                    &format!("{directory}/call.socket"),
                    format!("[Socket]\nListenStream=/run/call\nService=acme.service\n{text}\n"),
                )
                .file(&format!("{directory}/sockets.target"), "[Unit]\n")
                .file(
                    &format!("{directory}/basic.target"),
                    "[Unit]\nWants=sockets.target\n",
                )
                .file(
                    &format!("{directory}/multi-user.target"),
                    "[Unit]\nRequires=basic.target\n",
                )
                .link(
                    "etc/systemd/system/sockets.target.wants/call.socket",
                    "/usr/lib/systemd/system/call.socket",
                )
                .messages_of(&RULE)
        };
        let message = "call.socket fails on machines upgraded to the image (217/USER): there is no user local";
        assert_eq!(socket("SocketUser=local\nSocketGroup=root"), [message]);
        for there in ["SocketGroup=declared", "SocketGroup=of-a-dynamic-user"] {
            assert_eq!(socket(there), [""; 0], "{there}");
        }
    }

    #[test]
    fn a_unit_that_waits_for_configuration_does_not_fail() {
        let text = "User=gone\n[Unit]\nConditionPathExists=|/etc/acme.conf\n\
                    ConditionDirectoryNotEmpty=|/etc/acme.d\n";
        let skipped = service(text).directory("etc/acme.d");
        assert_eq!(skipped.messages_of(&RULE), [""; 0]);
        let started = service(text).file("etc/acme.d/a", "");
        assert_eq!(started.messages_of(&RULE).len(), 1);
    }

    #[test]
    fn users_that_are_declared_or_made_on_the_spot_are_there() {
        for text in [
            "User=declared\nGroup=declared",
            "User=root\nGroup=nogroup",
            "User=gone\nDynamicUser=yes",
            "User=950",
            "User=gone\nUser=",
            "User=%m",
            "User=gone\nExecStart=\nExecStart=-/usr/bin/true",
            "User=gone\nExecStart=\nExecStart=-/usr/bin/true\nType=oneshot",
        ] {
            assert_eq!(messages(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_service_that_does_not_start_does_not_fail() {
        let masked = service("User=gone").link("etc/systemd/system/acme.service", "/dev/null");
        assert_eq!(masked.findings_of(&RULE), []);
        let skipped = service("User=gone\n[Unit]\nConditionPathExists=/etc/acme");
        assert_eq!(skipped.findings_of(&RULE), []);
        let drop_in = "[Service]\nUser=root\n";
        let mended = service("User=gone").file("etc/systemd/system/service.d/a.conf", drop_in);
        assert_eq!(mended.findings_of(&RULE), []);
    }
}
