//! The first stage: the entries of /boot and of each directory of modules, which of them the base does
//! not have so, and for kernels that were touched what is in their initramfs.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind,
    model::initramfs::{Ostree, ostree},
};
use rustix::io::Errno;

use crate::{
    base::Base,
    error::Result,
    place::{Meta, Place, Told as _},
};

pub(super) const BOOT: &str = "boot";
pub(super) const MODULES: &str = "usr/lib/modules";
pub(super) const VMLINUZ: &str = "vmlinuz";
pub(super) const INITRAMFS: &str = "initramfs.img";

/// Links that Debian's kernel packages make, and kernel-install of old.
const LINKS: [&str; 8] = [
    "vmlinuz",
    "vmlinuz.old",
    "initrd.img",
    "initrd.img.old",
    "boot/vmlinuz",
    "boot/vmlinuz.old",
    "boot/initrd.img",
    "boot/initrd.img.old",
];

/// How a kernel's files are named in /boot around their version, and beside its modules.
pub(super) const PARTS: [(&str, &str, &str); 10] = [
    ("vmlinuz-", "", VMLINUZ),
    ("vmlinux-", "", VMLINUZ),
    ("initrd.img-", "", INITRAMFS),
    ("initramfs-", ".img", INITRAMFS),
    ("System.map-", "", "System.map"),
    ("config-", "", "config"),
    ("symvers-", ".gz", "symvers.gz"),
    // Fedora's, by release.
    ("symvers-", ".xz", "symvers.xz"),
    ("symvers-", ".zst", "symvers.zst"),
    (".vmlinuz-", ".hmac", ".vmlinuz.hmac"),
];

type Names = BTreeMap<OsString, Meta>;

/// The names in a directory, each with whether it is a directory.
type Kinds = BTreeMap<OsString, bool>;

/// Which names the base has in /boot and in the directories of modules.
#[derive(Debug, Default)]
struct Snapshot {
    boot: Kinds,
    /// By version.
    kernels: BTreeMap<String, Kinds>,
}

impl Snapshot {
    /// Lists them.
    fn take(place: &Place<'_>) -> Result<Self> {
        let list = |directory: &Path| place.kinds(directory).told("look at", directory);
        let mut seen = Self {
            boot: list(Path::new(BOOT))?.into_iter().collect(),
            ..Self::default()
        };
        for (name, is_directory) in list(Path::new(MODULES))? {
            if let Ok(version) = name.into_string()
                && is_directory
            {
                let names = list(&Path::new(MODULES).join(&version))?;
                seen.kernels.insert(version, names.into_iter().collect());
            }
        }
        Ok(seen)
    }

    /// The versions that had a kernel.
    fn versions(&self) -> BTreeSet<String> {
        let has_kernel = |(_, names): &(&String, &Kinds)| names.contains_key(OsStr::new(VMLINUZ));
        let kernels = self.kernels.iter().filter(has_kernel);
        kernels.map(|(version, _)| version.clone()).collect()
    }
}

/// The entries of a directory; none behind a mount or a link.
fn entries(place: &Place<'_>, directory: &Path) -> Result<Names> {
    let found = place.entries(directory).told("look at", directory)?;
    Ok(found.into_iter().collect())
}

/// Those of the entries of a directory that the base does not have so; all where there is no base. A
/// directory is another one too when a name came or went in it.
fn new(directory: &Path, entries: &Names, base: Option<&Base>) -> BTreeSet<OsString> {
    let is_new = |(name, meta): &(&OsString, &Meta)| {
        base.is_none_or(|base| !base.has_with_names(&directory.join(name), meta))
    };
    let new = entries.iter().filter(is_new);
    new.map(|(name, _)| name.clone()).collect()
}

/// All that the plan is made from.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The versions that have a kernel in the base; none for a commit by hand.
    pub(super) old_versions: Option<BTreeSet<String>>,
    pub(super) kernels: BTreeMap<String, Kernel>,
    /// The entries of /boot that the base does not have so.
    pub(super) boot: Vec<InBoot>,
    /// Links whose end is the entry of /boot of this name, or is not there at all.
    pub(super) links: Vec<(PathBuf, OsString)>,
    /// The names that stand in /boot.
    pub(super) boot_names: BTreeSet<OsString>,
}

/// A directory of modules.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    pub(super) names: Names,
    /// Those of them that the base does not have so.
    pub(super) new: BTreeSet<OsString>,
    pub(super) is_touched: bool,
    /// Whether its modules were taken away.
    pub(super) has_lost_modules: bool,
    /// What its initramfs has, if the kernel was touched.
    pub(super) initramfs: Option<Ostree>,
}

/// An entry of /boot.
#[derive(Debug)]
pub(super) struct InBoot {
    pub(super) path: PathBuf,
    pub(super) is_mount: bool,
    /// The version and the name beside its modules, if it is a file of a kernel in the image.
    pub(super) part: Option<(String, &'static str)>,
    /// Whether a file with the same content stands there.
    pub(super) is_there: bool,
    /// What it has, if it is an initramfs.
    pub(super) initramfs: Option<Ostree>,
}

impl Seen {
    /// Looks at what is new; none when that is nothing.
    pub(super) fn look(place: &Place<'_>, base: Option<&Base>) -> Result<Option<Self>> {
        let before = base.map(|base| Snapshot::take(&base.place())).transpose()?;
        let boot = entries(place, Path::new(BOOT))?;
        let mut seen = Self {
            old_versions: before.as_ref().map(Snapshot::versions),
            boot_names: boot.keys().cloned().collect(),
            links: links(place),
            ..Self::default()
        };
        let absent = Kinds::new();
        for (name, meta) in entries(place, Path::new(MODULES))? {
            if let Ok(version) = name.into_string()
                && meta.is_open_directory()
            {
                let directory = Path::new(MODULES).join(&version);
                let names = entries(place, &directory)?;
                let new = new(&directory, &names, base);
                let old = before.as_ref();
                let old = old.map(|before| before.kernels.get(&version).unwrap_or(&absent));
                seen.kernels
                    .insert(version, Kernel::compare(names, new, old));
            }
        }
        let new = new(Path::new(BOOT), &boot, base);
        let is_as_before = before.as_ref().is_some_and(|before| {
            let is_there = |version: &String| seen.kernels.contains_key(version);
            new.is_empty()
                && before.boot.keys().eq(boot.keys())
                && before.kernels.keys().all(is_there)
                && !seen.kernels.values().any(|kernel| kernel.is_touched)
        });
        if is_as_before {
            return Ok(None);
        }
        for (name, meta) in boot.iter().filter(|(name, _)| new.contains(*name)) {
            let entry = in_boot(place, name, meta, &seen.kernels)?;
            if let Some(kernel) =
                (entry.part.as_ref()).and_then(|(version, _)| seen.kernels.get_mut(version))
            {
                kernel.is_touched = true;
            }
            seen.boot.push(entry);
        }
        for (version, kernel) in &mut seen.kernels {
            let path = Path::new(MODULES).join(version).join(INITRAMFS);
            if kernel.is_touched && kernel.is_file(INITRAMFS) {
                kernel.initramfs = Some(look_into(place, &path)?);
            }
        }
        Ok(Some(seen))
    }
}

impl Kernel {
    /// `old` is none when nothing is known of before.
    fn compare(names: Names, new: BTreeSet<OsString>, old: Option<&Kinds>) -> Self {
        let had_directory = old.is_some_and(|old| old.values().any(|&kind| kind));
        let is_gone = |name: &OsString| !names.contains_key(name);
        Self {
            is_touched: !new.is_empty() || old.is_none_or(|old| old.keys().any(is_gone)),
            has_lost_modules: had_directory && !names.values().any(Meta::is_open_directory),
            names,
            new,
            initramfs: None,
        }
    }

    /// Whether it has a regular file of that name that is no mount.
    pub(super) fn is_file(&self, name: &str) -> bool {
        let meta = self.names.get(Path::new(name).as_os_str());
        meta.is_some_and(|meta| meta.look.kind == EntryKind::File && !meta.is_mount)
    }

    pub(super) fn is_new(&self, name: &str) -> bool {
        self.new.contains(Path::new(name).as_os_str())
    }

    pub(super) fn directories(&self) -> impl Iterator<Item = &Meta> {
        self.names
            .values()
            .filter(|meta| meta.look.kind == EntryKind::Directory)
    }
}

fn in_boot(
    place: &Place<'_>,
    name: &OsString,
    meta: &Meta,
    kernels: &BTreeMap<String, Kernel>,
) -> Result<InBoot> {
    let path = Path::new(BOOT).join(name);
    let part = (name.to_str())
        .and_then(part_of)
        .filter(|(version, _)| meta.look.kind == EntryKind::File && kernels.contains_key(*version))
        .map(|(version, file)| (version.to_owned(), file));
    let mut entry = InBoot {
        is_mount: meta.is_mount,
        part: None,
        is_there: false,
        initramfs: None,
        path,
    };
    if let Some((version, file)) = part.filter(|_| !meta.is_mount) {
        let target = Path::new(MODULES).join(&version).join(file);
        if file == INITRAMFS {
            entry.initramfs = Some(look_into(place, &entry.path)?);
        } else {
            entry.is_there = is_same_file(place, &entry.path, &target)?;
        }
        entry.part = Some((version, file));
    }
    Ok(entry)
}

fn part_of(name: &str) -> Option<(&str, &'static str)> {
    PARTS.iter().find_map(|(begin, end, file)| {
        let version = name.strip_prefix(begin)?.strip_suffix(end)?;
        (!version.is_empty()).then_some((version, *file))
    })
}

fn look_into(place: &Place<'_>, path: &Path) -> Result<Ostree> {
    Ok(ostree(place.open_file(path).told("read", path)?))
}

/// As much of a kernel as is compared; the largest have less.
const MAX_KERNEL_BYTES: u64 = 256 << 20;

fn is_same_file(place: &Place<'_>, one: &Path, other: &Path) -> Result<bool> {
    let read = |path: &Path| match place.read(path, MAX_KERNEL_BYTES) {
        Err(Errno::NOENT | Errno::FBIG) => Ok(None),
        read => read.told("read", path),
    };
    let one = read(one)?;
    Ok(one.is_some() && one == read(other)?)
}

fn links(place: &Place<'_>) -> Vec<(PathBuf, OsString)> {
    let end = |link: &str| {
        let target = place.link_target(Path::new(link)).ok()?;
        let target = Path::new(OsStr::from_bytes(&target));
        let directory = target.parent()?;
        let in_boot =
            directory.ends_with(BOOT) || link.starts_with(BOOT) && directory == Path::new("");
        in_boot.then(|| target.file_name().map(OsStr::to_owned))?
    };
    (LINKS.iter())
        .filter_map(|link| Some((PathBuf::from(link), end(link)?)))
        .collect()
}
