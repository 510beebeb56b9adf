//! The first stage: how the image has /opt and /usr/local, what stands there, what our own
//! declarations say of it, and the same before a step's command.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind,
    model::tmpfiles::{Config, Line, Snippet},
};

use super::{
    accounts::Accounts,
    area::in_image,
    area::{AREAS, Area, Layout},
    labels::Equivalences,
    links::{link_of, moved_to, names_of, relative},
};
use crate::{
    base::{Base, of_image},
    error::Result,
    packages,
    place::{Entries, Meta, Place, Told as _},
    rootfs::Rootfs,
    settings::Settings,
    snippets::{Folder, TMPFILES_D},
    step_start::StepStart,
};

/// How deep below a piece of software directories are looked at: `/opt/VENDOR/PRODUCT/log`.
const DEPTH: usize = 3;

/// Directories of software that hold no state, whatever their names below.
const STATIC: [&str; 11] = [
    "bin", "doc", "include", "lib", "lib32", "lib64", "libexec", "man", "sbin", "share", "src",
];

/// The name of a link to a directory in /var until it stands in the place of the directory.
pub(super) const PART_LINK: &str = ".osderive-part";

/// What is known before a step's command runs, besides what is in /var.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Where the areas that are links lead.
    pub(super) links: Vec<(&'static Area, Vec<u8>)>,
    /// The directories of software that state may be in.
    trees: Entries,
    /// What our links lead to and holds something.
    full: BTreeSet<PathBuf>,
}

impl Snapshot {
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
        for (_, line) in folder.own_tmpfiles() {
            if let Some(target) = moved_to(&line)
                && holds_something(&place, &target)?
            {
                before.full.insert(target);
            }
        }
        Ok(before)
    }
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
    before: Option<(&Snapshot, Option<&Entries>)>,
    start: Option<StepStart>,
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
    let own = folder.own_tmpfiles();
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
        disowned: disowned(rootfs, &areas, &own, start),
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
    start: Option<StepStart>,
) -> BTreeSet<PathBuf> {
    let mut links = BTreeMap::new();
    for (_, line) in own {
        let Some((path, target)) = link_of(line) else {
            continue;
        };
        if areas.iter().any(|area| area.has_lost_all_beside(&path)) {
            let [_, public] = names_of(&path, &target);
            links.insert(Path::new("/").join(public), path);
        }
    }
    let have_changed = || start.is_some_and(|start| packages::have_changed(rootfs, start));
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
    before: Option<(&Snapshot, Option<&Entries>)>,
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
