//! The second stage: what goes because the machine makes it anew, the units that see to it, and
//! what can only be told. A pure function.

use std::path::{Path, PathBuf};

use osderive_lints::{
    knowledge::machine::{MADE_ANEW, SNAKEOIL_CERTIFICATE, SNAKEOIL_KEY, SSH_KEYS},
    rules::{identity_shared, secret_in_image},
};

use super::observe::{Seen, UNITS};
use crate::{outcome::FilePlan, paths::shown};

/// Runs before anything that may need the keys, sockets too: hence no default dependencies, which
/// would order it after them. `|` means that one missing file is enough.
const SSH_UNIT: (&str, &str) = (
    "osderive-ssh-host-keys.service",
    "\
# Written by osderive: the image has no ssh host keys, each machine makes its own.
[Unit]
Description=Make missing SSH host keys
DefaultDependencies=no
ConditionPathExists=|!/etc/ssh/ssh_host_ecdsa_key
ConditionPathExists=|!/etc/ssh/ssh_host_ed25519_key
ConditionPathExists=|!/etc/ssh/ssh_host_rsa_key
After=local-fs.target systemd-sysusers.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/ssh-keygen -A
",
);

const SNAKEOIL_UNIT: (&str, &str) = (
    "osderive-snakeoil.service",
    "\
# Written by osderive: the image has no snakeoil certificate, each machine makes its own.
[Unit]
Description=Make the missing snakeoil certificate
DefaultDependencies=no
ConditionPathExists=|!/etc/ssl/certs/ssl-cert-snakeoil.pem
ConditionPathExists=|!/etc/ssl/private/ssl-cert-snakeoil.key
After=local-fs.target systemd-sysusers.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=DEBIAN_FRONTEND=noninteractive
ExecStart=/usr/sbin/make-ssl-cert generate-default-snakeoil
",
);

/// Makes the plan.
pub(super) fn plan(seen: &Seen) -> FilePlan {
    let mut plan = FilePlan::default();
    plan_machine_id(seen, &mut plan);
    for (path, reason, _) in MADE_ANEW {
        if seen.changed.contains_key(Path::new(path)) {
            plan.remove(path, reason);
        }
    }
    plan_build_leftovers(seen, &mut plan);
    let mut own = plan_host_keys(seen, &mut plan);
    own.extend(plan_snakeoil(seen, &mut plan));
    let secrets: Vec<String> = (seen.secrets.iter())
        .filter(|path| !own.contains(path))
        .map(|path| shown(path))
        .collect();
    plan.outcome
        .findings
        .extend(secret_in_image::finding(&secrets));
    plan
}

/// An empty file gets an id at boot without that being a first boot, `uninitialized` makes it one
/// (machine-id(5)): the base's choice is kept.
fn plan_machine_id(seen: &Seen, plan: &mut FilePlan) {
    let Some(id) = seen.machine_id.as_deref().map(<[u8]>::trim_ascii) else {
        return;
    };
    let old = seen.old_machine_id.as_deref();
    if id.is_empty() || id == b"uninitialized" || old == seen.machine_id.as_deref() {
        return;
    }
    let path = Path::new(seen.etc).join("machine-id");
    plan.write(
        path,
        old.unwrap_or_default().to_owned(),
        "each machine gets its own id at boot",
    );
}

/// Build engines make empty files to mount their own on; systemd-tmpfiles would take an empty
/// resolv.conf for the machine's.
fn plan_build_leftovers(seen: &Seen, plan: &mut FilePlan) {
    for name in ["hostname", "resolv.conf"] {
        let path = Path::new(seen.etc).join(name);
        if seen
            .changed
            .get(&path)
            .is_some_and(|meta| meta.look.bytes == 0)
        {
            plan.remove(path, "an empty file that a build engine left");
        }
    }
}

/// Answers with the keys that are dealt with.
fn plan_host_keys(seen: &Seen, plan: &mut FilePlan) -> Vec<PathBuf> {
    let keys: Vec<PathBuf> = changed_of(seen, &SSH_KEYS.map(|(path, _)| path));
    if keys.is_empty() {
        return keys;
    }
    if !seen.makes_host_keys {
        if let Some(missing) = seen.host_keys_need {
            let paths = keys.iter().map(|path| shown(path)).collect();
            let finding = identity_shared::finding("the ssh host key", missing, paths);
            plan.outcome.findings.push(finding);
            return keys;
        }
        plan_unit(plan, SSH_UNIT, "it makes the ssh host keys at boot");
    }
    for key in &keys {
        plan.remove(with_pub(key), "public half of an ssh host key");
        plan.remove(
            key.clone(),
            "each machine makes its own ssh host keys at boot",
        );
    }
    keys
}

fn with_pub(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn plan_snakeoil(seen: &Seen, plan: &mut FilePlan) -> Vec<PathBuf> {
    let files = changed_of(seen, &[SNAKEOIL_CERTIFICATE, SNAKEOIL_KEY]);
    if files.is_empty() {
        return files;
    }
    if let Some(missing) = seen.snakeoil_needs {
        let paths = files.iter().map(|path| shown(path)).collect();
        let finding = identity_shared::finding("the snakeoil certificate", missing, paths);
        plan.outcome.findings.push(finding);
        return files;
    }
    plan_unit(
        plan,
        SNAKEOIL_UNIT,
        "it makes the snakeoil certificate at boot",
    );
    for path in &seen.snakeoil_links {
        plan.remove(
            path.clone(),
            "named after a certificate that each machine makes for itself",
        );
    }
    for path in &files {
        plan.remove(
            path.clone(),
            "each machine makes its own snakeoil certificate at boot",
        );
    }
    files
}

fn changed_of(seen: &Seen, paths: &[&str]) -> Vec<PathBuf> {
    let paths = paths.iter().map(|path| Path::new(seen.etc).join(path));
    paths
        .filter(|path| seen.changed.contains_key(path))
        .collect()
}

fn plan_unit(plan: &mut FilePlan, (name, content): (&str, &str), reason: &str) {
    plan.write(
        format!("{UNITS}/{name}"),
        content.as_bytes().to_owned(),
        reason,
    );
    let link = format!("{UNITS}/sysinit.target.wants/{name}");
    plan.link(
        link,
        format!("../{name}"),
        "it is enabled in every image of this kind",
    );
}
