//! The first stage: which of the files that a machine has for itself, and of those that hold
//! secrets, are there, and which of them the base does not have so. A few dozen names are looked at.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind,
    knowledge::{
        machine::{MADE_ANEW, SNAKEOIL_CERTIFICATE, SNAKEOIL_KEY, SSH_KEYS},
        secrets::{HOMES, IN_ETC, IN_HOMES, Mark, ROOT_HOMES},
    },
    model::secrets,
};
use rustix::io::Errno;

use crate::{
    base::Base,
    error::Result,
    place::{Meta, Place, Told as _},
};

pub(super) const UNITS: &str = "usr/lib/systemd/system";

const MAX_ID_BYTES: u64 = 4096;

/// The directory of configuration: `etc`, or `usr/etc` where there is no other.
fn etc(place: &Place<'_>) -> &'static str {
    let is_directory = |path: &&str| is_open_directory(place, Path::new(path));
    let etc = ["etc", "usr/etc"].into_iter().find(is_directory);
    etc.unwrap_or("etc")
}

fn is_open_directory(place: &Place<'_>, path: &Path) -> bool {
    let found = place.meta(path);
    found.is_ok_and(|found| found.is_some_and(|meta| meta.is_open_directory()))
}

fn machine_id(place: &Place<'_>, etc: &str) -> Result<Option<Vec<u8>>> {
    read(place, &Path::new(etc).join("machine-id"), MAX_ID_BYTES)
}

/// What the base has; nothing for a commit by hand.
#[derive(Clone, Copy)]
struct Known<'a>(Option<&'a Base>);

impl Known<'_> {
    fn is_new(self, path: &Path, meta: &Meta) -> bool {
        self.0.is_none_or(|base| !base.has(path, meta))
    }
}

/// The files in question that the base does not have so, regular ones that are no mounts.
#[derive(Default)]
struct Changed {
    files: BTreeMap<PathBuf, Meta>,
    /// Of those, and of directories of such, those that may hold secrets.
    secrets: BTreeMap<PathBuf, Mark>,
}

impl Changed {
    fn look(place: &Place<'_>, known: Known<'_>, etc: &str) -> Result<Self> {
        let mut seen = Self {
            secrets: secret_places(place, etc),
            ..Self::default()
        };
        let own = own_files(etc);
        let paths = own.into_iter().chain(seen.secrets.keys().cloned());
        let directories = seen.add(place, known, paths.collect())?;
        let in_directories = directories.into_iter().flat_map(|path| {
            let names = place.names(&path).unwrap_or_default().into_iter();
            names.map(move |name| path.join(name))
        });
        seen.add(place, known, in_directories.collect())?;
        Ok(seen)
    }

    /// Takes in the changed files among what stands at the paths; answers with the directories.
    fn add(
        &mut self,
        place: &Place<'_>,
        known: Known<'_>,
        paths: Vec<PathBuf>,
    ) -> Result<Vec<PathBuf>> {
        let metas = place.metas(paths.iter().map(PathBuf::as_path));
        let metas = metas.told("look at", Path::new("etc"))?;
        let mut directories = Vec::new();
        for (path, meta) in paths.into_iter().zip(metas) {
            match meta.filter(|meta| !meta.is_mount) {
                Some(meta) if meta.look.kind == EntryKind::Directory => directories.push(path),
                Some(meta) if meta.look.kind == EntryKind::File && known.is_new(&path, &meta) => {
                    self.files.insert(path, meta);
                }
                _ => {}
            }
        }
        Ok(directories)
    }

    /// Those of the files that hold a secret.
    fn secrets(&self, place: &Place<'_>) -> Result<Vec<PathBuf>> {
        let mark_of = |path: &Path| {
            let mark = self.secrets.get(path);
            mark.or_else(|| self.secrets.get(path.parent()?)).copied()
        };
        let mut secrets = Vec::new();
        for path in self.files.keys() {
            let Some(mark) = mark_of(path) else { continue };
            let content = read(place, path, secrets::MAX_BYTES)?;
            if content.is_some_and(|content| mark.is_in(&content)) {
                secrets.push(path.clone());
            }
        }
        Ok(secrets)
    }
}

fn own_files(etc: &str) -> Vec<PathBuf> {
    let etc = Path::new(etc);
    let in_etc = [
        "hostname",
        "resolv.conf",
        SNAKEOIL_KEY,
        SNAKEOIL_CERTIFICATE,
    ];
    let ssh_keys = SSH_KEYS.into_iter().map(|(path, _)| path);
    let in_etc = ssh_keys.chain(in_etc).map(|name| etc.join(name));
    let anew = MADE_ANEW.map(|(path, _, _)| PathBuf::from(path));
    anew.into_iter().chain(in_etc).collect()
}

/// The files, and the directories of files, that may hold secrets.
fn secret_places(place: &Place<'_>, etc: &str) -> BTreeMap<PathBuf, Mark> {
    let in_top = |top: &&str| {
        let names = place.names(Path::new(top)).unwrap_or_default();
        let top = PathBuf::from(top);
        names.into_iter().map(move |name| top.join(name))
    };
    let homes = ROOT_HOMES.iter().map(PathBuf::from);
    let homes = homes.chain(HOMES.iter().flat_map(in_top));
    let homes = homes.map(|home| (home, IN_HOMES.as_slice()));
    (std::iter::once((PathBuf::from(etc), IN_ETC.as_slice())))
        .chain(homes)
        .flat_map(|(directory, places)| {
            (places.iter()).map(move |row| (directory.join(row.path), row.mark))
        })
        .collect()
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
    /// What the base's /etc/machine-id is; empty for a commit by hand.
    pub(super) old_machine_id: Option<Vec<u8>>,
    pub(super) machine_id: Option<Vec<u8>>,
    /// Files that the base does not have so.
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
    /// Looks at what is new; none when that is nothing.
    pub(super) fn look(place: &Place<'_>, base: Option<&Base>) -> Result<Option<Self>> {
        let etc = etc(place);
        let old_machine_id = match base {
            Some(base) => machine_id(&base.place(), etc)?,
            None => Some(Vec::new()),
        };
        let machine_id = machine_id(place, etc)?;
        let changed = Changed::look(place, Known(base), etc)?;
        if changed.files.is_empty() && machine_id == old_machine_id {
            return Ok(None);
        }
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
        let certificate = Path::new(etc).join(SNAKEOIL_CERTIFICATE);
        let snakeoil_links = if changed.files.contains_key(&certificate) {
            links_to_snakeoil(place, &certificate)
        } else {
            Vec::new()
        };
        Ok(Some(Self {
            etc,
            old_machine_id,
            machine_id,
            secrets: changed.secrets(place)?,
            changed: changed.files,
            snakeoil_links,
            makes_host_keys: exists(&format!("{UNITS}/sshd-keygen@.service")),
            host_keys_need: needed("/usr/bin/ssh-keygen"),
            snakeoil_needs: needed("/usr/sbin/make-ssl-cert"),
        }))
    }
}

fn links_to_snakeoil(place: &Place<'_>, certificate: &Path) -> Vec<PathBuf> {
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
