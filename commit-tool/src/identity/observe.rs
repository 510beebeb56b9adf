//! The first stage: which of the files that a machine has for itself, and of those that hold
//! secrets, are there, and which of them the step made or changed. A few dozen names are looked at.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind,
    model::secrets::{self, Mark},
};
use rustix::io::Errno;

use crate::{
    error::Result,
    place::{Meta, Place, Told as _},
};

pub(super) const SSH_KEYS: [&str; 3] = [
    "ssh/ssh_host_ecdsa_key",
    "ssh/ssh_host_ed25519_key",
    "ssh/ssh_host_rsa_key",
];
pub(super) const SNAKEOIL_KEY: &str = "ssl/private/ssl-cert-snakeoil.key";
pub(super) const SNAKEOIL_CERTIFICATE: &str = "ssl/certs/ssl-cert-snakeoil.pem";
pub(super) const UNITS: &str = "usr/lib/systemd/system";

/// Files that appear again by themselves when they are missing, and who makes them.
pub(super) const MADE_ANEW: [(&str, &str); 4] = [
    (
        "var/lib/dbus/machine-id",
        "dbus has the id of /etc/machine-id",
    ),
    (
        "var/lib/systemd/random-seed",
        "systemd-random-seed.service makes it at boot",
    ),
    (
        "var/lib/systemd/credential.secret",
        "systemd makes it when it needs one",
    ),
    (
        "var/lib/NetworkManager/secret_key",
        "NetworkManager makes it at its start",
    ),
];

const MAX_ID_BYTES: u64 = 4096;

/// The files in question at one moment, each without its content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The directory of configuration: `etc`, or `usr/etc` where there is no other.
    pub(super) etc: &'static str,
    pub(super) machine_id: Option<Vec<u8>>,
    /// Regular files that are no mounts.
    files: BTreeMap<PathBuf, Meta>,
}

impl Snapshot {
    /// Looks at them.
    pub(crate) fn take(place: &Place<'_>) -> Result<Self> {
        let is_directory = |path: &&str| {
            let found = place.meta(Path::new(path));
            found.is_ok_and(|found| found.is_some_and(|meta| meta.is_open_directory()))
        };
        let etc = ["etc", "usr/etc"].into_iter().find(is_directory);
        let etc = etc.unwrap_or("etc");
        let machine_id = Path::new(etc).join("machine-id");
        let mut seen = Self {
            etc,
            machine_id: read(place, &machine_id, MAX_ID_BYTES)?,
            files: BTreeMap::new(),
        };
        let secrets = secret_places(place, etc);
        let secrets = secrets.into_iter().map(|(path, _)| path);
        let directories = seen.add(place, own_files(etc).chain(secrets).collect())?;
        let in_directories = directories.into_iter().flat_map(|path| {
            let names = place.names(&path).unwrap_or_default().into_iter();
            names.map(move |name| path.join(name))
        });
        seen.add(place, in_directories.collect())?;
        Ok(seen)
    }

    /// Takes in the regular files among what stands at the paths; answers with the directories.
    fn add(&mut self, place: &Place<'_>, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
        let metas = place.metas(paths.iter().map(PathBuf::as_path));
        let metas = metas.told("look at", Path::new(self.etc))?;
        let mut directories = Vec::new();
        for (path, meta) in paths.into_iter().zip(metas) {
            match meta.filter(|meta| !meta.is_mount) {
                Some(meta) if meta.look.kind == EntryKind::File => {
                    self.files.insert(path, meta);
                }
                Some(meta) if meta.look.kind == EntryKind::Directory => directories.push(path),
                _ => {}
            }
        }
        Ok(directories)
    }
}

fn own_files(etc: &str) -> impl Iterator<Item = PathBuf> {
    let in_etc = SSH_KEYS
        .into_iter()
        .chain([SNAKEOIL_KEY, SNAKEOIL_CERTIFICATE]);
    let etc = PathBuf::from(etc);
    (MADE_ANEW.iter().map(|(path, _)| PathBuf::from(path)))
        .chain(["hostname", "resolv.conf"].map(|name| etc.join(name)))
        .chain(in_etc.map(move |path| etc.join(path)).collect::<Vec<_>>())
}

/// The files, and the directories of files, that may hold secrets.
fn secret_places(place: &Place<'_>, etc: &str) -> Vec<(PathBuf, Mark)> {
    let homes = secrets::HOMES.iter().flat_map(|top| {
        let names = place.names(Path::new(top)).unwrap_or_default();
        names.into_iter().map(|name| Path::new(top).join(name))
    });
    let is_there = |home: &PathBuf| {
        let found = place.meta(home);
        found.is_ok_and(|found| found.is_some_and(|meta| meta.is_open_directory()))
    };
    let homes = (secrets::ROOT_HOMES.iter().map(PathBuf::from))
        .chain(homes)
        .filter(is_there);
    let in_homes =
        homes.flat_map(|home| secrets::IN_HOMES.map(|(path, mark)| (home.join(path), mark)));
    let in_etc = secrets::IN_ETC.map(|(path, mark)| (Path::new(etc).join(path), mark));
    in_etc.into_iter().chain(in_homes).collect()
}

/// What is behind a mount or a link is not ours to look at.
fn unless_hidden<T>(found: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match found {
        Err(Errno::NOENT | Errno::XDEV | Errno::LOOP | Errno::NOTDIR) => Ok(None),
        found => found.map(Some),
    }
}

fn read(place: &Place<'_>, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    match unless_hidden(place.read(path, limit)) {
        Err(Errno::FBIG) => Ok(None),
        found => found.map(Option::flatten).told("read", path),
    }
}

/// All that the plan is made from.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) etc: &'static str,
    /// What /etc/machine-id was; empty without a state of before.
    pub(super) old_machine_id: Option<Vec<u8>>,
    pub(super) machine_id: Option<Vec<u8>>,
    /// Files that the step made or changed; all without a state of before.
    pub(super) changed: BTreeMap<PathBuf, Meta>,
    /// Those of them that hold a secret.
    pub(super) secrets: Vec<PathBuf>,
    /// Links to the snakeoil certificate, which are named after its hash.
    pub(super) snakeoil_links: Vec<PathBuf>,
    /// Whether the image makes missing ssh host keys at every boot, as Fedora does.
    pub(super) makes_host_keys: bool,
    /// What a unit that makes ssh host keys needs and the image does not have.
    pub(super) host_keys_need: Option<&'static str>,
    /// The same for the snakeoil certificate.
    pub(super) snakeoil_needs: Option<&'static str>,
}

impl Seen {
    pub(super) fn look(
        place: &Place<'_>,
        before: Option<&Snapshot>,
        after: Snapshot,
    ) -> Result<Self> {
        let is_new = |path: &PathBuf, meta: &Meta| {
            before.is_none_or(|before| before.files.get(path) != Some(meta))
        };
        let mut changed = after.files;
        changed.retain(|path, meta| is_new(path, meta));
        let exists = |path: &str| {
            let found = place.meta(Path::new(path));
            found.is_ok_and(|found| found.is_some_and(|meta| !meta.is_mount))
        };
        let has_units = place.open(Path::new(UNITS)).is_ok();
        let needed = |program: &'static str| match has_units {
            true if exists(program.trim_start_matches('/')) => None,
            true => Some(program),
            false => Some("systemd"),
        };
        let mut seen = Self {
            etc: after.etc,
            old_machine_id: before.map_or(Some(Vec::new()), |before| before.machine_id.clone()),
            machine_id: after.machine_id,
            makes_host_keys: exists(&format!("{UNITS}/sshd-keygen@.service")),
            host_keys_need: needed("/usr/bin/ssh-keygen"),
            snakeoil_needs: needed("/usr/sbin/make-ssl-cert"),
            ..Self::default()
        };
        seen.secrets = secrets(place, after.etc, &changed)?;
        if changed.contains_key(&Path::new(after.etc).join(SNAKEOIL_CERTIFICATE)) {
            seen.snakeoil_links = links_to_snakeoil(place, after.etc);
        }
        seen.changed = changed;
        Ok(seen)
    }
}

fn secrets(
    place: &Place<'_>,
    etc: &str,
    changed: &BTreeMap<PathBuf, Meta>,
) -> Result<Vec<PathBuf>> {
    let marks: BTreeMap<PathBuf, Mark> = secret_places(place, etc).into_iter().collect();
    let mark_of = |path: &Path| {
        marks
            .get(path)
            .or_else(|| marks.get(path.parent()?))
            .copied()
    };
    let mut secrets = Vec::new();
    for path in changed.keys() {
        let Some(mark) = mark_of(path) else { continue };
        if (read(place, path, secrets::MAX_BYTES)?).is_some_and(|content| mark.is_in(&content)) {
            secrets.push(path.clone());
        }
    }
    Ok(secrets)
}

fn links_to_snakeoil(place: &Place<'_>, etc: &str) -> Vec<PathBuf> {
    let certificate = Path::new(etc).join(SNAKEOIL_CERTIFICATE);
    let (Some(directory), Some(name)) = (certificate.parent(), certificate.file_name()) else {
        return Vec::new();
    };
    let names = place.names(directory).unwrap_or_default().into_iter();
    names
        .map(|name| directory.join(name))
        .filter(|path| {
            place
                .link_target(path)
                .is_ok_and(|target| target == name.as_encoded_bytes())
        })
        .collect()
}
