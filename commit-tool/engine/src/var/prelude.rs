//! Before a step's command: /var as boot would make it, so that package managers and scriptlets
//! find their directories. Only what is missing is made, best effort, and all of it is remembered.
//!
//! What our own lines say an earlier step had is made inside of directories that WORKDIR or COPY have made anew
//! since, too, and such a directory gets its owner and mode back: a build goes on from what it has made.

mod make;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use osderive_lints::EntryKind;

use crate::{
    attributes::Attributes,
    base::Base,
    error::Result,
    place::{Entries, Meta, Place, Told as _},
    rootfs::Rootfs,
    snippets::is_own,
    var::{
        VAR,
        boot::Boot,
        known::is_of_others,
        run::{self, Run},
        unmade,
        walk::walk,
    },
};

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
        let mut lower = walk(place).told("look at", Path::new(VAR))?;
        let unmade = unmade::read(place);
        let (made, given_back) =
            make::make(place, &boot, &unmade, &lower).told("look at", Path::new(VAR))?;
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
    pub(crate) fn finish(&self, rootfs: &Rootfs, prelude_state: &PreludeState<'_>) -> Result<()> {
        let place = Place::of(rootfs);
        self.take_away_of(&place, prelude_state.stuck.iter())?;
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
    pub(crate) fn take_away(&self, rootfs: &Rootfs) -> Result<PreludeState<'_>> {
        self.take_away_in(&Place::of(rootfs))
    }

    pub(super) fn take_away_in(&self, place: &Place<'_>) -> Result<PreludeState<'_>> {
        if let Some(run) = &self.run {
            run.take_away(place).told("tidy", Path::new(run::RUN))?;
        }
        let (mut gone, stuck) = self.take_away_of(place, self.made.keys())?;
        let standing = place.metas(self.stands.iter().map(PathBuf::as_path));
        let standing = standing.told("look at", Path::new(VAR))?;
        let fallen = self.stands.iter().zip(standing);
        gone.extend(fallen.filter_map(|(path, now)| now.is_none().then(|| path.clone())));
        let retracted = self.retracted(place, &gone)?;
        Ok(PreludeState {
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
pub(crate) struct PreludeState<'a> {
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

impl PreludeState<'_> {
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
