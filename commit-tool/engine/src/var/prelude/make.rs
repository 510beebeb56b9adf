//! Makes what lines say and is not there, and completes what lines of ours say of directories of lower layers.
//!
//! Done are the types `d D v q Q L f F C`, and `a` and `z` for what these made. Left out are those that change,
//! empty or remove what exists (`e w Z m t T h H A r R x X`, and the `+` of `L+`, `f+` and `C+`),
//! FIFOs and device nodes (`p c b`), which an ostree import refuses, and lines with specifiers that
//! only a running machine knows (`%m`, `%b`, `%v` …).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
};

use osderive_lints::{EntryKind, model::tmpfiles::Line};
use rustix::{
    io::Errno,
    process::{getegid, geteuid},
};

use crate::{
    handle::Moment,
    place::{Entries, Handles, Meta, NewOwner, Place, moved},
    snippets::is_own,
    var::{
        boot::{Boot, copy_source, link_target, mode_of},
        unmade::Unmade,
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

/// Makes what is missing; answers with what was made, and the directories of lower layers that got the owner and mode of
/// a line of ours.
pub(super) fn make(
    place: &Place<'_>,
    boot: &Boot,
    unmade: &Unmade,
    lower: &Entries,
) -> Result<(Entries, Vec<PathBuf>), Errno> {
    let mut work = Work {
        place,
        handles: place.handles(),
        boot,
        unmade,
        lower,
        given_back: Vec::new(),
        owners: (lower.iter())
            .map(|(path, meta)| (path.clone(), meta.look.uid))
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
    Ok((work.finish()?, given_back))
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
