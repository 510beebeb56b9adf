//! Before a step's command: /var as boot would make it, so that package managers and scriptlets
//! find their directories. Only what is missing is made, best effort, and all of it is remembered.
//!
//! What our own lines say an earlier step had is made inside of directories that WORKDIR or COPY have made anew
//! since, too, and such a directory gets its owner and mode back: a build goes on from what it has made.
//!
//! Done are the types `d D v q Q L f F C`, and `a` and `z` for what these made. Left out are those that change,
//! empty or remove what exists (`e w Z m t T h H A r R x X`, and the `+` of `L+`, `f+` and `C+`),
//! FIFOs and device nodes (`p c b`), which an ostree import refuses, and lines with specifiers that
//! only a running machine knows (`%m`, `%b`, `%v` …).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

use osderive_lints::{EntryKind, model::tmpfiles::Line};
use rustix::{
    io::Errno,
    process::{getegid, geteuid},
};

use crate::{
    attributes::Attributes,
    base::Base,
    error::Result,
    handle::Moment,
    place::{Entries, Handles, Meta, NewOwner, Place, Told as _, moved},
    rootfs::Rootfs,
    snippets::is_own,
    var::{
        VAR,
        boot::{Boot, copy_source, link_target, mode_of},
        known::is_of_others,
        observe,
        run::{self, Run},
        unmade::{self, Unmade},
    },
};

/// The time of files that have none to inherit, so that a write at any moment shows.
const LONG_AGO: Moment = Moment {
    seconds: 1,
    nanoseconds: 0,
};

const DIRECTORY_MODE: u32 = 0o755;
const SETGID: u32 = 0o2000;

/// The bits that mkdir(2) does not give.
const SET_ID: u32 = 0o6000;

/// /var before the command.
#[derive(Debug, Default)]
pub(crate) struct Prelude {
    /// What lower layers have.
    pub(super) lower: Entries,
    /// What is to be settled with all below, although lower layers have it: what stands where a line of ours copies
    /// to, for boot copies into no directory that has something in it.
    settled: BTreeSet<PathBuf>,
    /// What was made, as it was then.
    pub(super) made: Entries,
    /// What lines of ours make.
    declared: BTreeSet<PathBuf>,
    /// What lower layers have and a line makes, too.
    stands: BTreeSet<PathBuf>,
    /// What lines give access control lists.
    listed: BTreeSet<PathBuf>,
    /// What was made in /run, where links lead to.
    run: Option<Run>,
}

impl Prelude {
    /// Makes /var; none when it is no plain directory that may be changed.
    pub(crate) fn make(rootfs: &Rootfs) -> Result<Option<Self>> {
        Self::make_in(&Place::of(rootfs), rootfs)
    }

    pub(super) fn make_in(place: &Place<'_>, rootfs: &Rootfs) -> Result<Option<Self>> {
        if !super::is_open(place) {
            return Ok(None);
        }
        let boot = Boot::read(rootfs);
        let mut lower = observe::walk(place).told("look at", Path::new(VAR))?;
        let unmade = unmade::read(place);
        let mut work = Work {
            place,
            handles: place.handles(),
            boot: &boot,
            unmade: &unmade,
            lower: &lower,
            given_back: Vec::new(),
            owners: (lower
                .iter()
                .map(|(path, meta)| (path.clone(), meta.look.uid)))
            .collect(),
            setgid: (lower.iter())
                .filter(|(_, meta)| meta.look.mode & SETGID != 0)
                .map(|(path, _)| path.clone())
                .collect(),
            made: BTreeMap::new(),
        };
        // As at boot: a line that cannot be done is no reason not to do the others.
        for (path, line) in &boot.lines {
            let _ = work.make(path, line);
        }
        for path in unmade.iter().rev() {
            let _ = work.unmake(path);
        }
        let given_back = std::mem::take(&mut work.given_back);
        let made = work.finish().told("look at", Path::new(VAR))?;
        for path in given_back {
            let meta = place.meta(&path).told("look at", &path)?;
            lower.extend(meta.map(|meta| (path, meta)));
        }
        let own_lines = boot.lines.iter().filter(|(_, line)| is_own(&line.file));
        let own_copies = own_lines.clone().filter(|(_, line)| line.kind == b'C');
        let own_copies = own_copies.map(|(path, _)| path.clone());
        let stands = boot.lines.keys().filter(|path| lower.contains_key(*path));
        Ok(Some(Self {
            run: Run::make(place, lower.iter().chain(&made)),
            stands: stands.cloned().collect(),
            listed: boot.lists.keys().cloned().collect(),
            lower,
            settled: own_copies.collect(),
            declared: own_lines.map(|(path, _)| path.clone()).collect(),
            made,
        }))
    }

    /// The same with what the base image has in place of what lower layers have.
    pub(crate) fn upon(self, image: &Place<'_>, base: &Base) -> Result<Self> {
        let lower = base.entries(image, Path::new(VAR))?;
        Ok(Self { lower, ..self })
    }

    /// What layers below have in /var.
    pub(crate) fn lower(&self) -> &Entries {
        &self.lower
    }

    /// Takes away what is still as it was made, once all else has been taken away, and gives
    /// directories that hold what they held their time again.
    pub(crate) fn finish(&self, rootfs: &Rootfs, left: &Left<'_>) -> Result<()> {
        let place = Place::of(rootfs);
        self.take_away_of(&place, left.stuck.iter())?;
        let directories = self
            .lower
            .iter()
            .filter(|(_, meta)| meta.is_open_directory());
        let paths = directories.clone().map(|(path, _)| path.as_path());
        let metas = place.metas(paths).told("look at", Path::new(VAR))?;
        for ((path, before), now) in directories.zip(metas) {
            let Some(now) = now else { continue };
            let is_other = now.look.modified != before.look.modified && !now.look.is_locked;
            if is_other && self.holds_what_it_held(&place, path) {
                place
                    .set_modified(path, before.look.modified)
                    .told("restore the time of", path)?;
            }
        }
        Ok(())
    }

    /// Takes away what is still as it was made, directories when they are empty.
    pub(crate) fn take_away(&self, rootfs: &Rootfs) -> Result<Left<'_>> {
        self.take_away_in(&Place::of(rootfs))
    }

    pub(super) fn take_away_in(&self, place: &Place<'_>) -> Result<Left<'_>> {
        if let Some(run) = &self.run {
            run.take_away(place).told("tidy", Path::new(run::RUN))?;
        }
        let (mut gone, stuck) = self.take_away_of(place, self.made.keys())?;
        let standing = place.metas(self.stands.iter().map(PathBuf::as_path));
        let standing = standing.told("look at", Path::new(VAR))?;
        let fallen = self.stands.iter().zip(standing);
        gone.extend(fallen.filter_map(|(path, now)| now.is_none().then(|| path.clone())));
        let retracted = self.retracted(place, &gone)?;
        Ok(Left {
            lower: &self.lower,
            made: &self.made,
            settled: &self.settled,
            retracted,
            gone,
            stuck,
        })
    }

    /// What the command took away because it is not wanted, of what is `gone`. Directories that many share may be
    /// emptied to clean up: what went with all of its kin there is still wanted on a machine.
    fn retracted(&self, place: &Place<'_>, gone: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>> {
        let mut retracted = BTreeSet::new();
        for path in gone.iter().filter(|path| !is_of_others(path)) {
            let above = path.parent().unwrap_or(Path::new(""));
            let is_wanted = if gone.contains(above) {
                !retracted.contains(above)
            } else {
                let is_of_many = is_top(path) && !self.declared.contains(path);
                is_of_many || is_shared(above) && self.went_with_kin(place, path, gone)?
            };
            if !is_wanted {
                retracted.insert(path.clone());
            }
        }
        Ok(retracted)
    }

    /// Whether nothing is left of what stood beside an entry before the command, and something did.
    fn went_with_kin(
        &self,
        place: &Place<'_>,
        path: &Path,
        gone: &BTreeSet<PathBuf>,
    ) -> Result<bool> {
        let directory = path.parent();
        let is_kin = |other: &&PathBuf| other.parent() == directory && **other != path;
        let made: Vec<&PathBuf> = self.made.keys().filter(is_kin).collect();
        let lower: Vec<&PathBuf> = self.lower.keys().filter(is_kin).collect();
        if made.is_empty() && lower.is_empty() || made.iter().any(|kin| !gone.contains(*kin)) {
            return Ok(false);
        }
        let metas = place.metas(lower.iter().map(|kin| kin.as_path()));
        let metas = metas.told("look at", Path::new(VAR))?;
        Ok(metas.iter().all(Option::is_none))
    }

    /// Answers with those that were gone already and those that cannot go.
    fn take_away_of<'p>(
        &self,
        place: &Place<'_>,
        paths: impl Iterator<Item = &'p PathBuf> + Clone,
    ) -> Result<(BTreeSet<PathBuf>, Vec<PathBuf>)> {
        // All are looked at before one goes: a hard link is changed when its twin is removed.
        let metas = place.metas(paths.clone().map(PathBuf::as_path));
        let metas = metas.told("look at", Path::new(VAR))?;
        let (mut gone, mut same) = (BTreeSet::new(), Vec::new());
        for (path, now) in paths.zip(metas) {
            match now {
                None => drop(gone.insert(path.clone())),
                Some(now)
                    if now.is_same(&self.made[path]) && !self.is_other(place, path, &now)? =>
                {
                    same.push((path.as_path(), now.look.kind));
                }
                Some(_) => {}
            }
        }
        // A directory that is not empty, or is a mount now, stays.
        let mut stuck = place.remove_each(same.into_iter().rev());
        stuck.reverse();
        Ok((gone, stuck))
    }

    /// Whether a directory of the same mode and owner may have other attributes, which it has to be asked for.
    fn is_other(&self, place: &Place<'_>, path: &Path, now: &Meta) -> Result<bool> {
        let is_touched = now.look.kind == EntryKind::Directory
            && now.look.changed != self.made[path].look.changed;
        if !is_touched || self.listed.contains(path) {
            return Ok(is_touched);
        }
        let attributes = place.attributes(path).told("look at", path)?;
        Ok(attributes != Attributes::default())
    }

    fn holds_what_it_held(&self, place: &Place<'_>, path: &Path) -> bool {
        let held: Vec<_> = self
            .lower
            .range(path.to_owned()..)
            .take_while(|(below, _)| below.starts_with(path))
            .filter(|(below, _)| below.parent() == Some(path))
            .filter_map(|(below, _)| below.file_name().map(ToOwned::to_owned))
            .collect();
        place.names(path).is_some_and(|names| names == held)
    }
}

/// What a command's /var is compared with.
#[derive(Debug)]
pub(crate) struct Left<'a> {
    /// What lower layers have.
    pub(super) lower: &'a Entries,
    made: &'a Entries,
    settled: &'a BTreeSet<PathBuf>,
    /// What was made, or stood where a line makes it, and the command took away.
    pub(super) gone: BTreeSet<PathBuf>,
    /// What of it is not wanted any more.
    pub(super) retracted: BTreeSet<PathBuf>,
    /// What was made, is as it was, and could not be taken away: directories with something in them.
    stuck: Vec<PathBuf>,
}

impl Left<'_> {
    /// What was made and stood there when the command ended.
    pub(super) fn standing(&self) -> impl Iterator<Item = &PathBuf> {
        self.made.keys().filter(|path| !self.gone.contains(*path))
    }

    /// What of it stood at a path, as it was made.
    pub(super) fn stands(&self, path: &Path) -> Option<&Meta> {
        let made = self.made.get(path);
        made.filter(|_| !self.gone.contains(path))
    }

    /// Whether the step is to settle what lower layers have at a path.
    pub(super) fn is_settled(&self, path: &Path) -> bool {
        !self.settled.is_empty() && path.ancestors().any(|above| self.settled.contains(above))
    }
}

/// Whether a path stands right in /var.
fn is_top(path: &Path) -> bool {
    path.parent() == Some(Path::new(VAR))
}

/// Whether many parties have their own in a directory, such as /var/lib.
fn is_shared(path: &Path) -> bool {
    path == Path::new(VAR) || is_top(path)
}

struct Work<'a> {
    place: &'a Place<'a>,
    handles: Handles<'a>,
    boot: &'a Boot,
    unmade: &'a Unmade,
    lower: &'a Entries,
    /// Directories of lower layers that got the owner and mode of a line of ours.
    given_back: Vec<PathBuf>,
    /// Who owns what is there, by path.
    owners: HashMap<PathBuf, u32>,
    /// Directories that hand their group and their setgid bit down.
    setgid: HashSet<PathBuf>,
    /// What was made, of directories with the mode that they shall have.
    made: BTreeMap<PathBuf, Option<Wanted>>,
}

/// The permission bits of a directory; none where it gets those of a line without a mode, 0755 and
/// the setgid bit that its parent hands down.
type Wanted = Option<u32>;

impl Work<'_> {
    /// Makes what a line says, unless something is there already.
    fn make(&mut self, path: &Path, line: &Line) -> Result<(), Errno> {
        let kind = line.kind;
        if !line.makes_directory() && !matches!(kind, b'L' | b'f' | b'F' | b'C') {
            return Err(Errno::NOTSUP);
        }
        if self.unmade.contains(path) {
            return Ok(());
        }
        let owner = self.boot.names.owner_of(line).ok_or(Errno::NOENT)?;
        if self.owners.contains_key(path) {
            return self.go_on(path, line, owner);
        }
        if kind == b'C' && self.place.meta(&copy_source(line))?.is_none() {
            return Err(Errno::NOENT);
        }
        self.make_parents(path)?;
        self.refuse_unsafe_way(path)?;
        match kind {
            b'C' => self.copy(path, line, owner),
            b'L' => {
                let given = self.given(path, owner);
                let outcome = self.handles.make_link(path, &link_target(line), given);
                if outcome != Err(Errno::EXIST) {
                    self.remember(path, owner, None);
                }
                outcome
            }
            b'f' | b'F' => {
                self.remember(path, owner, None);
                let content = line.argument.as_deref().unwrap_or_default();
                let mode = mode_of(line, false).unwrap_or(0o644);
                self.place.write_file(path, content, mode, owner)?;
                self.place.set_modified(path, LONG_AGO)
            }
            _ => self.make_directory(path, mode_of(line, true), owner),
        }
    }

    /// Takes away again what came with a tree that a line copies.
    fn unmake(&mut self, path: &Path) -> Result<(), Errno> {
        if self.made.remove(path).is_some()
            && let Some(meta) = self.place.meta(path)?
        {
            self.owners.remove(path);
            self.place.remove(path, meta.look.kind)?;
        }
        Ok(())
    }

    /// Completes a directory of a lower layer that a line of ours is about. Of what others' lines are about, one
    /// that WORKDIR made as a user on its way to something of the user's becomes again whose it is.
    fn go_on(&mut self, path: &Path, line: &Line, owner: NewOwner) -> Result<(), Errno> {
        let lower = self.lower.get(path);
        let Some(meta) = lower.filter(|meta| meta.is_open_directory()) else {
            return Ok(());
        };
        let is_own = is_own(&line.file);
        if line.makes_directory() && (is_own || meta.look.uid != 0) {
            return self.give_back(path, line);
        }
        let source = copy_source(line);
        let copies = || {
            Ok(self
                .place
                .meta(&source)?
                .is_some_and(|meta| meta.is_open_directory()))
        };
        if line.kind == b'C' && is_own && copies()? {
            self.give_back(path, line)?;
            self.copy_missing(path, &source, owner)?;
        }
        Ok(())
    }

    fn give_back(&mut self, path: &Path, line: &Line) -> Result<(), Errno> {
        let is_adjusted = self.adjust(path, line)?;
        if self.give_lists(path)? || is_adjusted {
            self.given_back.push(path.to_owned());
        }
        Ok(())
    }

    fn copy_missing(&mut self, path: &Path, source: &Path, owner: NewOwner) -> Result<(), Errno> {
        // What is below it is there or is copied with it.
        let mut settled = PathBuf::new();
        for (from, meta) in &self.place.walk(source)? {
            let to = moved(from, source, path);
            if !settled.as_os_str().is_empty() && to.starts_with(&settled) {
                continue;
            }
            let is_directory = meta.look.kind == EntryKind::Directory;
            match self.lower.get(&to) {
                Some(there) if is_directory && there.is_open_directory() => {}
                Some(_) => settled = to,
                None => {
                    self.copy_tree(from, &to, owner)?;
                    settled = to;
                }
            }
        }
        Ok(())
    }

    /// What is to be given of an owner: nothing when that is who it gets anyway.
    fn given(&self, path: &Path, owner: NewOwner) -> NewOwner {
        let inherits = (path.parent()).is_some_and(|above| self.setgid.contains(above));
        let is_own = owner.uid.is_none_or(|uid| uid == geteuid().as_raw())
            && owner.gid.is_none_or(|gid| gid == getegid().as_raw());
        if is_own && !inherits {
            NewOwner::default()
        } else {
            owner
        }
    }

    fn remember(&mut self, path: &Path, owner: NewOwner, wanted: Option<Wanted>) {
        self.owners.insert(path.to_owned(), owner.uid.unwrap_or(0));
        self.made.insert(path.to_owned(), wanted);
    }

    /// What is half made when the step is killed goes with its layer.
    fn make_directory(
        &mut self,
        path: &Path,
        wanted: Wanted,
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let mode = wanted.unwrap_or(DIRECTORY_MODE);
        let given = self.given(path, owner);
        let outcome = self.handles.make_directory(path, mode, given);
        if outcome != Err(Errno::EXIST) {
            self.remember(path, owner, Some(wanted));
        }
        outcome?;
        let inherits = path
            .parent()
            .is_some_and(|above| self.setgid.contains(above));
        if wanted.map_or(inherits, |mode| mode & SETGID != 0) {
            self.setgid.insert(path.to_owned());
        }
        // What is made in there next must not inherit another bit.
        if wanted.is_some() && (inherits || mode & SET_ID != 0) {
            self.place.set_mode(path, mode)?;
        }
        Ok(())
    }

    /// Makes the missing directories above a path, root's and 0755 as systemd makes them.
    fn make_parents(&mut self, path: &Path) -> Result<(), Errno> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.pop();
        for directory in above.into_iter().rev() {
            if !self.owners.contains_key(directory) {
                self.make_directory(directory, Some(DIRECTORY_MODE), NewOwner::default())?;
            }
        }
        Ok(())
    }

    /// What was made, as it is then, with the modes that the umask did not give and what later lines
    /// say of it.
    fn finish(mut self) -> Result<Entries, Errno> {
        let metas = self.place.metas(self.made.keys().map(PathBuf::as_path))?;
        let mut made: Entries = (self.made.keys().cloned().zip(metas))
            .filter_map(|(path, meta)| Some((path, meta?)))
            .collect();
        let mut changed = Vec::new();
        for (path, meta) in &made {
            let Some(Some(wanted)) = self.made.get(path) else {
                continue;
            };
            let wanted = wanted.unwrap_or(DIRECTORY_MODE | meta.look.mode & SETGID);
            if meta.is_open_directory() && meta.look.mode != wanted {
                let _ = self.place.set_mode(path, wanted);
                changed.push(path.as_path());
            }
        }
        let boot = self.boot;
        for path in boot.lists.keys().filter(|path| made.contains_key(*path)) {
            if self.give_lists(path) != Ok(false) {
                changed.push(path);
            }
        }
        for (path, line) in &boot.owners {
            if made.contains_key(path) && self.adjust(path, line) != Ok(false) {
                changed.push(path);
            }
        }
        // A file may have a twin, which changes with it.
        let is_directory = |path: &&Path| made[*path].look.kind == EntryKind::Directory;
        let again: Vec<PathBuf> = if changed.iter().all(is_directory) {
            changed.into_iter().map(ToOwned::to_owned).collect()
        } else {
            made.keys().cloned().collect()
        };
        let metas = self.place.metas(again.iter().map(PathBuf::as_path))?;
        for (path, meta) in again.into_iter().zip(metas) {
            match meta {
                Some(meta) => drop(made.insert(path, meta)),
                None => drop(made.remove(&path)),
            }
        }
        Ok(made)
    }

    /// Gives an entry the owner and mode that a line says; answers whether it changed.
    fn adjust(&mut self, path: &Path, line: &Line) -> Result<bool, Errno> {
        let owner = self.boot.names.owner_of(line).ok_or(Errno::NOENT)?;
        // The way includes the entry itself: no one gets what another's directory holds.
        self.refuse_unsafe_way(&path.join("-"))?;
        let Meta { look, .. } = self.place.meta(path)?.ok_or(Errno::NOENT)?;
        let is_directory = look.kind == EntryKind::Directory;
        let mode = match line.mode {
            Some(mode) if look.kind != EntryKind::Symlink => {
                mode.applied_to(look.mode, is_directory)
            }
            _ => look.mode,
        };
        let is_owned = owner.uid.is_none_or(|uid| uid == look.uid)
            && owner.gid.is_none_or(|gid| gid == look.gid);
        if is_owned && mode == look.mode {
            return Ok(false);
        }
        self.place.set_owner(path, owner)?;
        if let Some(uid) = owner.uid {
            self.owners.insert(path.to_owned(), uid);
        }
        if look.kind != EntryKind::Symlink {
            // A change of owner takes the setuid bit away.
            self.place.set_mode(path, mode)?;
        }
        Ok(true)
    }

    /// Gives an entry the access control lists that lines say; answers whether they changed.
    fn give_lists(&mut self, path: &Path) -> Result<bool, Errno> {
        if !self.boot.lists.contains_key(path) {
            return Ok(false);
        }
        self.refuse_unsafe_way(&path.join("-"))?;
        let Meta { look, .. } = self.place.meta(path)?.ok_or(Errno::NOENT)?;
        if look.kind == EntryKind::Symlink {
            return Ok(false);
        }
        let old = self.place.attributes(path)?.lists;
        let entry = (look.mode, look.kind == EntryKind::Directory);
        let lists = self.boot.lists_of(path, old.clone(), entry, |_| true);
        if lists == old {
            return Ok(false);
        }
        self.place.set_lists(path, &lists)?;
        Ok(true)
    }

    /// systemd leaves out what stands below a user's directory in another user's (`CHASE_SAFE`).
    fn refuse_unsafe_way(&self, path: &Path) -> Result<(), Errno> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.pop();
        let mut owner = 0;
        for directory in above.into_iter().rev() {
            let found = *self.owners.get(directory).ok_or(Errno::NOENT)?;
            if owner != 0 && found != owner {
                return Err(Errno::PERM);
            }
            owner = found;
        }
        Ok(())
    }

    fn copy_tree(&mut self, from: &Path, to: &Path, owner: NewOwner) -> Result<(), Errno> {
        let created = &mut self.made;
        let mut copied = Vec::new();
        let source = self.place.walk(from)?;
        let mut made = |path: &Path| {
            created.insert(path.to_owned(), None);
            copied.push(path.to_owned());
        };
        let outcome = (self.place).copy_tree(&source, from, to, owner, &mut made);
        for path in copied {
            let meta = self.place.meta(&path)?.ok_or(Errno::NOENT)?;
            if meta.look.mode & SETGID != 0 {
                self.setgid.insert(path.clone());
            }
            self.owners.insert(path, meta.look.uid);
        }
        outcome
    }

    fn copy(&mut self, path: &Path, line: &Line, owner: NewOwner) -> Result<(), Errno> {
        self.copy_tree(&copy_source(line), path, owner)?;
        let copy = self.place.meta(path)?.ok_or(Errno::NOENT)?;
        match line.mode {
            Some(mode) if copy.look.kind != EntryKind::Symlink => {
                let mode = mode.applied_to(copy.look.mode, copy.look.kind == EntryKind::Directory);
                self.place.set_mode(path, mode)?;
                if mode & SETGID == 0 {
                    self.setgid.remove(path);
                } else {
                    self.setgid.insert(path.to_owned());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
