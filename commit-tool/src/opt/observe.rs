//! The first stage: how the image has /opt and /usr/local, what stands there, what our own
//! declarations say of it, and the same before a step's command.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind,
    model::{
        group::groups,
        passwd::users,
        tmpfiles::{Config, Line, Snippet},
    },
};
use rustix::fd::AsFd as _;

use super::{AREAS, Area, labels::Equivalences, plan::in_image};
use crate::{
    base::{Base, of_image},
    began::Began,
    error::{Error, Result},
    handle::{Look, read_in_root},
    packages,
    place::{Entries, Meta, Place, Told as _},
    rootfs::Rootfs,
    scratch::resolved,
    settings::Settings,
    snippets::{Folder, TMPFILES_D},
};

/// How deep below a piece of software directories are looked at: `/opt/VENDOR/PRODUCT/log`.
const DEPTH: usize = 3;

/// Directories of software that hold no state, whatever their names below.
const STATIC: [&str; 11] = [
    "bin", "doc", "include", "lib", "lib32", "lib64", "libexec", "man", "sbin", "share", "src",
];

/// The name of a link to a directory in /var until it stands in the place of the directory.
pub(super) const PART_LINK: &str = ".osderive-part";

pub(super) const MAX_FILE_BYTES: u64 = 10 << 20;

/// Where systemd finds that a state overlay is enabled, by systemd's name for the path below.
const OVERLAY_LINKS: [&str; 4] = [
    "etc/systemd/system/local-fs.target.requires",
    "etc/systemd/system/local-fs.target.wants",
    "usr/lib/systemd/system/local-fs.target.requires",
    "usr/lib/systemd/system/local-fs.target.wants",
];

/// How an image has an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// As a link to this directory in /var, which is the machine's own.
    State(PathBuf),
    /// As this directory of the image, read-only at run time.
    Image(PathBuf),
    /// Not at all, or with a writable overlay on it (ostree-state-overlay(8)).
    Free,
}

impl Layout {
    /// How a root file system has an area.
    pub(super) fn of(place: &Place<'_>, area: &Area) -> Self {
        let path = Path::new(area.public);
        let Ok(Some(meta)) = place.meta(path) else {
            return Self::Free;
        };
        let real = match meta.look.kind {
            EntryKind::Directory if !meta.is_mount => path.to_owned(),
            EntryKind::Symlink => match place.link_target(path) {
                Ok(target) => target_of(area.public, &target),
                Err(_) => return Self::Free,
            },
            _ => return Self::Free,
        };
        if real.starts_with("var") {
            return if real == Path::new("var") {
                Self::Free
            } else {
                Self::State(real)
            };
        }
        if has_overlay(place, &real) {
            return Self::Free;
        }
        Self::Image(real)
    }

    /// The directory of the image that holds the area's content.
    pub(super) fn image<'a>(&'a self, area: &'a Area) -> Option<&'a Path> {
        match self {
            Self::State(_) => Some(Path::new(area.image)),
            Self::Image(path) => Some(path),
            Self::Free => None,
        }
    }
}

fn target_of(link: &str, target: &[u8]) -> PathBuf {
    let names = resolved(link, OsStr::from_bytes(target));
    names.into_iter().map(OsStr::from_bytes).collect()
}

fn has_overlay(place: &Place<'_>, path: &Path) -> bool {
    let escaped = path
        .to_string_lossy()
        .replace('-', "\\x2d")
        .replace('/', "-");
    let unit = format!("ostree-state-overlay@{escaped}.service");
    let is_there = |path: PathBuf| matches!(place.meta(&path), Ok(Some(_)));
    OVERLAY_LINKS
        .iter()
        .any(|links| is_there(Path::new(links).join(&unit)))
}

/// What is known before a step's command runs, besides what is in /var.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// Where the areas that are links lead.
    pub(super) links: Vec<(&'static Area, Vec<u8>)>,
    /// The directories of software that state may be in.
    trees: Entries,
    /// What our links lead to and holds something.
    full: BTreeSet<PathBuf>,
}

impl Before {
    /// Looks at the base of an image. What the image still has as it was is told as the image has it.
    pub(crate) fn of_base(base: &Base, image: &Place<'_>) -> Result<Self> {
        let before = Self::take(base.rootfs())?;
        let trees = of_image(before.trees, image, Path::new("opt"))?;
        Ok(Self { trees, ..before })
    }

    /// Looks at a root file system.
    pub(crate) fn take(rootfs: &Rootfs) -> Result<Self> {
        let place = Place::of(rootfs);
        let mut before = Self::default();
        for area in &AREAS {
            if let Ok(target) = place.link_target(Path::new(area.public)) {
                before.links.push((area, target));
            }
            if let Some(image) = Layout::of(&place, area).image(area) {
                before.trees.extend(trees(&place, area, image)?);
            }
        }
        let folder = Folder::read_own(rootfs, TMPFILES_D.directory)?;
        for (_, line) in own_lines(&folder) {
            if let Some(target) = moved_to(&line)
                && holds_something(&place, &target)?
            {
                before.full.insert(target);
            }
        }
        Ok(before)
    }
}

/// The links of ours that are there and lead to directories, with what they lead to.
pub(super) fn linked(place: &Place<'_>, rootfs: &Rootfs) -> Result<Vec<(PathBuf, PathBuf)>> {
    let folder = Folder::read_own(rootfs, TMPFILES_D.directory)?;
    let mut linked = Vec::new();
    for (_, line) in own_lines(&folder) {
        let (Some(path), Some(target)) = (relative(&line.path), moved_to(&line)) else {
            continue;
        };
        let leads = place
            .link_target(&path)
            .is_ok_and(|to| Some(&to) == line.argument.as_ref());
        let meta = place.meta(&target).told("look at", &target)?;
        if leads && meta.is_some_and(|meta| meta.is_open_directory()) {
            linked.push((path, target));
        }
    }
    Ok(linked)
}

/// The paths of a link in /var: its own, and the one that users know.
pub(super) fn names_of(path: &Path, target: &Path) -> [PathBuf; 2] {
    let public = AREAS.iter().find_map(|area| {
        let below = target.strip_prefix(area.image).ok()?;
        Some(Path::new(area.public).join(below))
    });
    [path.to_owned(), public.unwrap_or_else(|| path.to_owned())]
}

/// What stands in the place of a link of ours, with what the link leads to: directories, where both are such.
pub(super) fn replaced(place: &Place<'_>, rootfs: &Rootfs) -> Result<Vec<(PathBuf, PathBuf)>> {
    let folder = Folder::read_own(rootfs, TMPFILES_D.directory)?;
    let mut replaced = Vec::new();
    for (_, line) in own_lines(&folder) {
        let (Some(path), Some(target)) = (relative(&line.path), moved_to(&line)) else {
            continue;
        };
        let is_directory = |path: &Path| {
            let found = place.meta(path).told("look at", path)?;
            let is_free = !place.has_mount_within(path);
            Ok::<bool, Error>(is_free && found.is_some_and(|meta| meta.is_open_directory()))
        };
        if is_directory(&path)? && is_directory(&target)? {
            replaced.push((path, target));
        }
    }
    Ok(replaced)
}

/// Software and its directories, as deep as state is looked for.
fn trees(place: &Place<'_>, area: &Area, image: &Path) -> Result<Entries> {
    place
        .walk_into(image, |path| may_hold_state(area, image, path))
        .told("look at", image)
}

/// Links that a killed commit left beside directories that it was moving to /var.
pub(super) fn unfinished_parts(
    place: &Place<'_>,
    area: &Area,
    image: &Path,
) -> Result<Vec<PathBuf>> {
    let is_link = |(path, meta): &(PathBuf, Meta)| {
        meta.look.kind == EntryKind::Symlink && path.file_name() == Some(OsStr::new(PART_LINK))
    };
    let found = trees(place, area, image)?.into_iter().filter(is_link);
    Ok(found.map(|(path, _)| path).collect())
}

/// Whether directories that are written at run time may be in a directory below `top`.
pub(super) fn may_hold_state(area: &Area, top: &Path, path: &Path) -> bool {
    let Ok(below) = path.strip_prefix(top) else {
        return false;
    };
    let mut names = below.iter().filter_map(OsStr::to_str);
    let is_shared = names.next().is_some_and(|name| area.shared.contains(&name));
    below.iter().count() < DEPTH && !is_shared && !names.any(|name| STATIC.contains(&name))
}

/// The tmpfiles.d lines of ours, as they stand and as they are read.
fn own_lines(folder: &Folder) -> Vec<(Vec<u8>, Line)> {
    let parse = |text: &[u8]| {
        let snippet = Snippet {
            directory: 0,
            name: b".conf".to_vec(),
            content: text.to_vec(),
        };
        Some((text.to_vec(), Config::read(&[snippet]).lines.pop()?))
    };
    folder.own_lines().filter_map(parse).collect()
}

/// What a line of ours links to, if that is something that was moved.
pub(super) fn moved_to(line: &Line) -> Option<PathBuf> {
    let target = (line.kind == b'L').then_some(line.argument.as_deref()?)?;
    let target = relative(target)?;
    let below = |area: &Area| target.starts_with(area.image);
    AREAS.iter().any(below).then_some(target)
}

/// An absolute path as one that is relative to the root.
pub(super) fn relative(path: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path)).strip_prefix("/").ok()?;
    Some(path.to_owned())
}

/// Whether there is more than directories and our own links to where state is.
fn holds_something(place: &Place<'_>, top: &Path) -> Result<bool> {
    let Some(meta) = place.meta(top).told("look at", top)? else {
        return Ok(false);
    };
    if !meta.is_open_directory() {
        return Ok(true);
    }
    let mut open = vec![top.to_owned()];
    while let Some(directory) = open.pop() {
        for name in place.names(&directory).unwrap_or_default() {
            let path = directory.join(name);
            match place.meta(&path).told("look at", &path)? {
                Some(meta) if meta.is_open_directory() => open.push(path),
                Some(meta) if meta.look.kind == EntryKind::Symlink && is_part(place, &path) => {}
                None => {}
                Some(_) => return Ok(true),
            }
        }
    }
    Ok(false)
}

fn is_part(place: &Place<'_>, link: &Path) -> bool {
    let target = place.link_target(link).unwrap_or_default();
    relative(&target).is_some_and(|target| AREAS.iter().any(|area| target.starts_with(area.state)))
}

/// Accounts other than root, by id.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Accounts {
    fn read(rootfs: &Rootfs) -> Self {
        let read = |path: &str| {
            let mut content = Vec::new();
            // Where nss-altfiles has the base's accounts.
            for path in [path.replace("etc/", "usr/lib/"), path.to_owned()] {
                let file = read_in_root(rootfs.as_fd(), path.as_ref(), MAX_FILE_BYTES);
                content.extend(file.unwrap_or_default());
                content.push(b'\n');
            }
            content
        };
        let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let (passwd, group) = (read("etc/passwd"), read("etc/group"));
        let users = users(&passwd).map(|user| (user.uid, name(user.name)));
        let groups = groups(&group).map(|group| (group.gid, name(group.name)));
        Self {
            users: users.filter(|(id, _)| *id != 0).collect(),
            groups: groups.filter(|(id, _)| *id != 0).collect(),
        }
    }

    /// Who besides root may write; none when only ids say so that belong to nobody, as they come
    /// out of an archive.
    pub(super) fn writer(&self, look: &Look) -> Option<String> {
        let can = |bit: u32| look.kind != EntryKind::Symlink && look.mode & bit != 0;
        let user = self.users.get(&look.uid).filter(|_| can(0o200));
        let group = self.groups.get(&look.gid).filter(|_| can(0o020));
        user.or(group)
            .cloned()
            .or_else(|| can(0o002).then(|| "everybody".to_owned()))
    }
}

/// What the first stage saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) areas: Vec<SeenArea>,
    pub(super) folder: Folder,
    /// The lines of ours, as they stand and as they are read.
    pub(super) own: Vec<(Vec<u8>, Line)>,
    /// Directories that tmpfiles.d makes, so that they are nobody's own.
    pub(super) declared: BTreeSet<PathBuf>,
    pub(super) accounts: Accounts,
    /// What our lines link to and is there, and whether it holds something.
    pub(super) targets: BTreeMap<PathBuf, bool>,
    /// What they linked to and held something; none without a step.
    pub(super) full_before: Option<BTreeSet<PathBuf>>,
    /// Links of ours that the step took away, and of what they lead to no package owns anything.
    pub(super) disowned: BTreeSet<PathBuf>,
    pub(super) equivalences: Option<Equivalences>,
}

/// An area as it was seen.
#[derive(Debug)]
pub(super) struct SeenArea {
    pub(super) area: &'static Area,
    pub(super) layout: Layout,
    /// Whether nothing is known of before, so that all counts as new.
    pub(super) is_bare: bool,
    /// What is in /var.
    pub(super) state: Entries,
    /// Where the links in it lead.
    pub(super) links: BTreeMap<PathBuf, Vec<u8>>,
    /// What layers below have in /var; none without a step.
    pub(super) lower: Option<Entries>,
    /// What is in the image.
    pub(super) image: Entries,
    /// The same before the step.
    pub(super) image_before: Entries,
    /// What links led to in whose place the step put directories.
    pub(super) replaced: Entries,
    /// Paths of the image that a mount is on or in.
    pub(super) mounts: BTreeSet<PathBuf>,
}

/// Looks at a root file system; none when a step touched neither area.
pub(super) fn observe(
    place: &Place<'_>,
    rootfs: &Rootfs,
    before: Option<(&Before, Option<&Entries>)>,
    began: Option<Began>,
    settings: &Settings,
) -> Result<Option<Seen>> {
    let mut areas = Vec::new();
    for area in &AREAS {
        let mut seen = look(place, area, before)?;
        seen.look_at_named(place, &settings.writable)?;
        areas.push(seen);
    }
    if areas.iter().all(SeenArea::is_untouched) {
        return Ok(None);
    }
    let folder = Folder::read(rootfs, TMPFILES_D.directory)?;
    let mut targets = BTreeMap::new();
    let own = own_lines(&folder);
    for (_, line) in &own {
        if let Some(target) = moved_to(line)
            && place.meta(&target).told("look at", &target)?.is_some()
        {
            let is_full = holds_something(place, &target)?;
            targets.insert(target, is_full);
        }
    }
    Ok(Some(Seen {
        declared: declared(&folder),
        folder,
        accounts: Accounts::read(rootfs),
        targets,
        full_before: before.map(|(before, _)| before.full.clone()),
        disowned: disowned(rootfs, &areas, &own, began),
        equivalences: Equivalences::read(rootfs),
        areas,
        own,
    }))
}

/// The links that a step took away with all that stood beside them, where it removed packages and none owns what they led
/// to.
fn disowned(
    rootfs: &Rootfs,
    areas: &[SeenArea],
    own: &[(Vec<u8>, Line)],
    began: Option<Began>,
) -> BTreeSet<PathBuf> {
    let mut links = BTreeMap::new();
    for (_, line) in own {
        let (Some(path), Some(target)) = (relative(&line.path), moved_to(line)) else {
            continue;
        };
        if areas.iter().any(|area| area.has_lost_all_beside(&path)) {
            let [_, public] = names_of(&path, &target);
            links.insert(Path::new("/").join(public), path);
        }
    }
    let have_changed = || began.is_some_and(|began| packages::have_changed(rootfs, began));
    if links.is_empty() || !have_changed() {
        return BTreeSet::new();
    }
    let unowned = packages::unowned(rootfs, links.keys().cloned().collect());
    links.retain(|public, _| unowned.contains(public));
    links.into_values().collect()
}

impl SeenArea {
    /// Whether a path was there before the step and is not any more, in a directory that is there and has nothing.
    fn has_lost_all_beside(&self, path: &Path) -> bool {
        let is_beside = |other: &&PathBuf| other.parent() == path.parent();
        let had = |lower: &Entries| lower.contains_key(path);
        self.lower.as_ref().is_some_and(had)
            && path
                .parent()
                .is_some_and(|directory| self.state.contains_key(directory))
            && !self.state.keys().any(|other| is_beside(&other))
    }

    /// Looks at what people named, however deep it is.
    fn look_at_named(&mut self, place: &Place<'_>, named: &[PathBuf]) -> Result<()> {
        let Some(image) = self.layout.image(self.area).map(Path::to_owned) else {
            return Ok(());
        };
        let named = named.iter().filter_map(|path| {
            let below = path.strip_prefix("/").ok()?.strip_prefix(self.area.public);
            Some(image.join(below.ok()?))
        });
        for path in named.collect::<Vec<_>>() {
            let meta = place.meta(&path).told("look at", &path)?;
            self.image.extend(meta.map(|meta| (path, meta)));
        }
        Ok(())
    }

    /// Whether a step left it as it was, and a `COPY` before it too: that puts files where links
    /// should be.
    fn is_untouched(&self) -> bool {
        let nothing = Entries::new();
        let lower = self.lower.as_ref().unwrap_or(&nothing);
        let is_same = |(path, meta): (&PathBuf, &Meta)| {
            let is_content = !matches!(meta.look.kind, EntryKind::Directory | EntryKind::Symlink);
            !is_content && lower.get(path).is_some_and(|lower| meta.is_same(lower))
        };
        !self.is_bare
            && self.image == self.image_before
            && self.state.len() == lower.len()
            && self.state.iter().all(is_same)
    }
}

fn look(
    place: &Place<'_>,
    area: &'static Area,
    before: Option<(&Before, Option<&Entries>)>,
) -> Result<SeenArea> {
    let layout = Layout::of(place, area);
    let mut seen = SeenArea {
        area,
        layout: layout.clone(),
        is_bare: before.is_none(),
        state: Entries::new(),
        links: BTreeMap::new(),
        lower: None,
        image: Entries::new(),
        image_before: Entries::new(),
        replaced: Entries::new(),
        mounts: BTreeSet::new(),
    };
    let Some(image) = layout.image(area) else {
        return Ok(seen);
    };
    seen.image = trees(place, area, image)?;
    let image_mounts = seen
        .image
        .keys()
        .filter(|path| place.has_mount_within(path));
    seen.mounts = image_mounts.cloned().collect();
    if let Some((before, lower)) = before {
        let within = |entries: &Entries, top: &Path| -> Entries {
            let entries = entries.range(top.to_owned()..);
            let entries = entries.take_while(|(path, _)| path.starts_with(top));
            entries
                .map(|(path, meta)| (path.clone(), meta.clone()))
                .collect()
        };
        seen.image_before = within(&before.trees, image);
        if let Layout::State(state) = &layout {
            seen.lower = Some(lower.map(|lower| within(lower, state)).unwrap_or_default());
        }
    }
    if let Layout::State(state) = &layout {
        look_at_state(place, &mut seen, state)?;
    }
    Ok(seen)
}

fn look_at_state(place: &Place<'_>, seen: &mut SeenArea, state: &Path) -> Result<()> {
    seen.state = place.walk(state).told("look at", state)?;
    for (path, meta) in &seen.state {
        let in_image = in_image(seen.area, state, path);
        let before = seen.lower.as_ref().and_then(|lower| lower.get(path));
        let was_link = before.is_some_and(|before| before.look.kind == EntryKind::Symlink);
        if was_link && meta.is_open_directory() {
            let tree = place.walk(&in_image).told("look at", &in_image)?;
            seen.replaced.extend(tree);
        }
        if place.has_mount_within(&in_image) {
            seen.mounts.insert(in_image);
        }
        if meta.look.kind == EntryKind::Symlink {
            let target = place.link_target(path).told("look at", path)?;
            seen.links.insert(path.clone(), target);
        }
    }
    Ok(())
}

fn declared(folder: &Folder) -> BTreeSet<PathBuf> {
    let snippets = folder.files.iter().map(|(name, content)| Snippet {
        directory: 0,
        name: name.clone(),
        content: content.clone(),
    });
    let config = Config::read(&snippets.collect::<Vec<_>>());
    let directories = config.lines.iter().filter(|line| line.makes_directory());
    directories
        .filter_map(|line| relative(&line.path))
        .collect()
}
