//! The second stage: what moves where, which lines say so at boot, which of ours no longer hold. A
//! pure function.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::{
    Change, ChangedFile, EntryKind, Finding, KeptEntry, escape_path,
    model::tmpfiles::Line,
    rules::{
        merged, name_not_utf8, opt_left_over, opt_not_declarable, opt_read_only, var_not_kept,
    },
};

use super::{
    area::{AREAS, Area, Layout, in_image},
    labels::Equivalences,
    links::{moved_to, relative},
    observe::{Seen, SeenArea, may_hold_state},
};
use crate::{
    domain::Phase,
    files,
    outcome::DomainOutcome,
    paths::{absolute, shown},
    place::{Entries, Meta, is_unfinished_link, moved},
    scratch::MOUNT_POINT,
    settings::Settings,
    snippets::TMPFILES_D,
};

/// Names of directories that software writes to at run time.
const STATE_NAMES: [&str; 9] = [
    "cache", "data", "log", "logs", "run", "spool", "state", "tmp", "var",
];

const LOCKED: &str = "it is immutable or append-only (chattr(1)), or something in it is";
const MOVED: &str = "in /var it would be missing after an upgrade";

/// One thing to do; paths are relative to the root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OptAction {
    /// Take away what is left of removed software: directories and links.
    Prune(PathBuf),
    /// Write or remove a file of declarations.
    Declare(files::FileAction),
    /// Bring what stands somewhere elsewhere, over what is there.
    Move { from: PathBuf, to: PathBuf },
    /// Leave a link unless something is there.
    Link { path: PathBuf, target: Vec<u8> },
    /// Bring a directory to /var and leave a link to it.
    Part {
        from: PathBuf,
        to: PathBuf,
        reason: String,
    },
}

impl OptAction {
    /// The action for people; of links nobody needs to hear.
    pub(super) fn as_changed_file(&self) -> Option<ChangedFile> {
        let moved = |from: &Path, to: &Path, reason: &str| ChangedFile {
            change: Change::Moved,
            path: shown(to),
            from: Some(shown(from)),
            reason: reason.to_owned(),
        };
        match self {
            Self::Prune(top) => Some(ChangedFile {
                change: Change::Removed,
                path: shown(top),
                from: None,
                reason: "nothing is left of it".to_owned(),
            }),
            Self::Declare(action) => Some(action.as_changed_file()),
            Self::Move { from, to } => Some(moved(from, to, MOVED)),
            Self::Part { from, to, reason } => Some(moved(from, to, reason)),
            Self::Link { .. } => None,
        }
    }
}

/// What shall be done, and what cannot be.
#[derive(Debug, Default)]
pub(super) struct OptPlan {
    /// In the order in which they are applied: killed between any two, another run ends alike.
    pub(super) actions: Vec<OptAction>,
    /// What is left alone, and what was found.
    pub(super) outcome: DomainOutcome,
}

/// Makes the plan.
pub(super) fn plan(seen: &Seen, settings: &Settings, phase: Phase) -> OptPlan {
    let mut work = Work {
        seen,
        settings,
        phase,
        lines: BTreeMap::new(),
        moves: Vec::new(),
        links: Vec::new(),
        parts: Vec::new(),
        pruned: BTreeSet::new(),
        kept: Vec::new(),
        findings: Vec::new(),
    };
    for area in &seen.areas {
        if let Layout::State(state) = &area.layout {
            work.plan_directory(area, state, state);
        }
        work.plan_parts(area);
    }
    let stale = work.stale();
    work.finish(&stale)
}

struct Work<'a> {
    seen: &'a Seen,
    settings: &'a Settings,
    phase: Phase,
    /// Where links have to lead at boot, by their path in /var.
    lines: BTreeMap<PathBuf, Vec<u8>>,
    moves: Vec<(PathBuf, PathBuf)>,
    links: Vec<(PathBuf, Vec<u8>)>,
    parts: Vec<OptAction>,
    pruned: BTreeSet<PathBuf>,
    kept: Vec<KeptEntry>,
    findings: Vec<Finding>,
}

impl Work<'_> {
    /// Plans what is in a directory in /var that is nobody's own.
    fn plan_directory(&mut self, area: &SeenArea, state: &Path, directory: &Path) {
        let is_child = |(path, meta): &(&PathBuf, &Meta)| {
            path.parent() == Some(directory) && !is_unfinished_link(path, meta.look.kind)
        };
        let children = below(&area.state, directory).filter(is_child);
        for (path, meta) in children {
            let tree = || below(&area.state, path);
            if meta.is_mount {
                self.keep(path, MOUNT_POINT);
            } else if area.has_changed(path) && tree().any(|(_, meta)| meta.look.is_locked) {
                let locked = [(shown(path), LOCKED.to_owned())];
                self.findings.extend(var_not_kept::finding(&locked));
            } else if meta.is_open_directory()
                && (self.is_shared(area.area, state, path) || tree().any(|(_, meta)| meta.is_mount))
            {
                self.plan_directory(area, state, path);
            } else if area.has_changed(path) || self.must_be_link(path, area) {
                self.plan_entry(area, state, path, meta);
            }
        }
    }

    fn keep(&mut self, path: &Path, reason: &str) {
        self.kept.push(KeptEntry {
            path: shown(path),
            reason: reason.to_owned(),
        });
    }

    fn is_shared(&self, area: &Area, state: &Path, path: &Path) -> bool {
        let name = path.strip_prefix(state).unwrap_or(path);
        let listed = area.shared.iter().any(|shared| name == Path::new(shared));
        listed || self.seen.declared.contains(path)
    }

    /// Whether boot would replace it by a link to older content.
    fn must_be_link(&self, path: &Path, area: &SeenArea) -> bool {
        let is_link = area.links.contains_key(path);
        let path = absolute(path);
        let is_of_path = |line: &Line| line.path == path && moved_to(line).is_some();
        !is_link && self.seen.own.iter().any(|(_, line)| is_of_path(line))
    }

    fn plan_entry(&mut self, area: &SeenArea, state: &Path, path: &Path, meta: &Meta) {
        let to = in_image(area.area, state, path);
        let link = match (meta.look.kind, area.links.get(path)) {
            (EntryKind::Special, _) => return self.keep(path, "no file that an image can have"),
            (_, Some(target)) if *target == absolute(&to) => return,
            (_, Some(target)) => target.clone(),
            _ => absolute(&to),
        };
        if link_line(path, &link).to_text().is_none() {
            let finding = opt_not_declarable::finding(&shown(path));
            return self.findings.push(finding);
        }
        if area.mounts.contains(&to) {
            return self.keep(path, "a mount stands where it belongs in the image");
        }
        self.lines.insert(path.to_owned(), link);
        if !area.links.contains_key(path) {
            self.moves.push((path.to_owned(), to.clone()));
            self.links.push((path.to_owned(), absolute(&to)));
        }
        self.find_left_over(area, &to, path);
    }

    /// Finds what stays in the image although the step put something else in place of the link to it.
    fn find_left_over(&mut self, area: &SeenArea, image: &Path, path: &Path) {
        let is_new = |old: &Path| area.state.contains_key(&moved(old, image, path));
        if below(&area.replaced, image).any(|(old, _)| !is_new(old)) {
            let finding = opt_left_over::finding(&shown(path), &shown(image));
            self.findings.push(finding);
        }
    }

    /// Plans the directories that are written at run time.
    fn plan_parts(&mut self, area: &SeenArea) {
        let Some(image) = area.layout.image(area.area) else {
            return;
        };
        let mut of_account: Option<PathBuf> = None;
        let mut part: Option<PathBuf> = None;
        for (path, (meta, is_new)) in self.candidates(area, image) {
            let depth = path.components().count() - image.components().count();
            let is_within =
                |top: &Option<PathBuf>| top.as_ref().is_some_and(|top| path.starts_with(top));
            if depth == 0 || is_within(&part) || self.is_in_shared(area, image, &path) {
                continue;
            }
            let writer = self.seen.accounts.writer(&meta.look);
            // What belongs to an account as a whole says nothing of its parts.
            let writer = writer.filter(|_| !is_within(&of_account));
            let public = public(area.area, image, &path);
            let reason = self.why_written(&public, writer.as_deref());
            let reason = reason.filter(|_| depth > 1 && is_new && meta.is_open_directory());
            if let Some(reason) = reason {
                part = Some(path.clone());
                self.plan_part(area.area, image, path, reason);
            } else if let Some(writer) = writer.filter(|_| depth == 1 || is_data(&meta)) {
                if is_new && !is_listed(&self.settings.read_only, &public) {
                    let finding = opt_read_only::finding(&escaped(&public), &writer);
                    self.findings.push(finding);
                }
                of_account = (depth == 1).then_some(path).or(of_account);
            }
        }
    }

    /// Later RUNs are to find a directory where there was one, so it moves at the end.
    fn plan_part(&mut self, area: &Area, image: &Path, from: PathBuf, reason: String) {
        if self.phase != Phase::Step {
            let to = moved(&from, image, Path::new(area.state));
            self.parts.push(OptAction::Part { from, to, reason });
        }
    }

    /// What is or will be in the image, and whether it is new.
    fn candidates(&self, area: &SeenArea, image: &Path) -> BTreeMap<PathBuf, (Meta, bool)> {
        let mut candidates = BTreeMap::new();
        for (path, meta) in &area.image {
            let before = area.image_before.get(path);
            let is_new = area.is_bare || before.is_none_or(|before| !meta.is_same(before));
            let is_free = !area.mounts.contains(path);
            candidates.insert(path.clone(), (meta.clone(), is_new && is_free));
        }
        for (from, to) in &self.moves {
            for (path, meta) in below(&area.state, from) {
                let path = moved(path, from, to);
                let parent = path.parent().unwrap_or(image);
                let is_named = is_listed(&self.settings.writable, &public(area.area, image, &path));
                if is_named || may_hold_state(area.area, image, parent) {
                    candidates.insert(path, (meta.clone(), true));
                }
            }
        }
        candidates
    }

    fn is_in_shared(&self, area: &SeenArea, image: &Path, path: &Path) -> bool {
        let mut names = path.strip_prefix(image).unwrap_or(path).iter();
        let top = names.next().and_then(OsStr::to_str);
        let is_shared = top.is_some_and(|top| area.area.shared.contains(&top));
        is_shared && !is_listed(&self.settings.writable, &public(area.area, image, path))
    }

    fn why_written(&self, public: &Path, writer: Option<&str>) -> Option<String> {
        if is_listed(&self.settings.read_only, public) {
            return None;
        }
        if is_listed(&self.settings.writable, public) {
            return Some("named as written at run time".to_owned());
        }
        if let Some(writer) = writer {
            return Some(format!("{writer} may write there at run time"));
        }
        let name = public.file_name().and_then(OsStr::to_str)?;
        let is_state = STATE_NAMES.contains(&name);
        is_state.then(|| "directories of this name are written at run time".to_owned())
    }

    /// Our lines that no longer hold, as they stand; what they leave is taken away or linked again.
    fn stale(&mut self) -> BTreeSet<Vec<u8>> {
        let seen = self.seen;
        let (links, others): (Vec<_>, Vec<_>) =
            seen.own.iter().partition(|(_, line)| line.kind == b'L');
        let links = links.into_iter().filter(|(_, line)| self.is_stale(line));
        let mut stale: BTreeSet<Vec<u8>> = links.map(|(text, _)| text.clone()).collect();
        let of_gone = others
            .iter()
            .filter(|(_, line)| self.is_state_of_pruned(line));
        stale.extend(of_gone.map(|(text, _)| text.clone()));
        stale
    }

    /// Whether a line makes what removed software had in /var.
    fn is_state_of_pruned(&self, line: &Line) -> bool {
        let path = relative(&line.path).unwrap_or_default();
        AREAS.iter().any(|area| {
            let image = moved(&path, Path::new(area.state), Path::new(area.image));
            path.starts_with(area.state) && self.pruned.iter().any(|top| image.starts_with(top))
        })
    }

    fn is_stale(&mut self, line: &Line) -> bool {
        let Some(path) = relative(&line.path) else {
            return false;
        };
        let in_state = |area: &&SeenArea| matches!(&area.layout, Layout::State(state) if path.starts_with(state));
        let Some(area) = self.seen.areas.iter().find(in_state) else {
            return false;
        };
        if let Some(target) = self.lines.get(&path) {
            return Some(target) != line.argument.as_ref();
        }
        let is_there = area.state.contains_key(&path);
        let had_link = area.lower.as_ref().map(|lower| lower.contains_key(&path));
        let Some(target) = moved_to(line) else {
            return had_link == Some(true) && !is_there;
        };
        let was_full = |full: &BTreeSet<PathBuf>| full.contains(&target);
        let is_gone = match self.seen.targets.get(&target) {
            None => true,
            Some(true) => false,
            Some(false) => self.seen.full_before.as_ref().is_some_and(was_full),
        };
        if is_gone {
            if area.links.get(&path) == Some(&absolute(&target)) {
                self.pruned.insert(path);
            }
            if self.seen.targets.contains_key(&target) {
                self.pruned.insert(target);
            }
            return true;
        }
        match had_link {
            // By hand nobody knows what became of it.
            None if !is_there => self.links.push((path, absolute(&target))),
            Some(true) if !is_there => return self.is_retracted(area, &path, target),
            _ => {}
        }
        false
    }

    /// What a command means that took a link of ours away: the software behind it, where other software stays beside it, or
    /// where no package owns it any more. Where all goes, that may be to clean up; then the software stays, which boot links
    /// again.
    fn is_retracted(&mut self, area: &SeenArea, path: &Path, target: PathBuf) -> bool {
        let directory = path.parent();
        let is_kin = |other: &&PathBuf| other.parent() == directory && *other != path;
        let has_kin = area.state.keys().any(|other| is_kin(&other));
        let is_removed = has_kin || self.seen.disowned.contains(path);
        if is_removed && !area.mounts.contains(&target) {
            self.pruned.insert(target);
            return true;
        }
        if directory.is_some_and(|directory| area.state.contains_key(directory)) {
            let finding = opt_left_over::finding(&shown(path), &shown(&target));
            self.findings.push(finding);
        }
        false
    }

    /// What is moved and has a name that is not UTF-8.
    fn odd_names(&self) -> Vec<String> {
        let is_odd = |path: &Path| path.file_name().is_some_and(|name| name.to_str().is_none());
        let areas = self.seen.areas.iter();
        let moved = areas.flat_map(|area| {
            let moves = self.moves.iter();
            moves.flat_map(|(from, _)| below(&area.state, from))
        });
        let odd = moved.filter(|(path, _)| is_odd(path));
        odd.map(|(path, _)| shown(path)).collect()
    }

    fn finish(mut self, stale: &BTreeSet<Vec<u8>>) -> OptPlan {
        let odd_names = name_not_utf8::finding(&self.odd_names());
        self.findings.extend(odd_names);
        let folder = &self.seen.folder;
        let known: BTreeSet<&[u8]> = folder.own_lines().collect();
        let text = |(path, target): (&PathBuf, &Vec<u8>)| {
            let mut text = link_line(path, target).to_text()?;
            text.pop();
            Some(text)
        };
        let wanted: Vec<Vec<u8>> = (self.lines.iter().filter_map(text))
            .filter(|text| !known.contains(&text[..]))
            .collect();
        let wanted: Vec<&[u8]> = wanted.iter().map(Vec::as_slice).collect();
        let reason = "links to what a step put into /opt or /usr/local, for boot to make";
        let declared = folder.plan(&TMPFILES_D, &wanted, reason, |line| !stale.contains(line));
        let equivalences = self.seen.equivalences.as_ref();
        let equivalences = equivalences.filter(|_| !self.moves.is_empty());
        let labels = equivalences.and_then(Equivalences::plan);
        let mut actions: Vec<OptAction> = self.pruned.into_iter().map(OptAction::Prune).collect();
        actions.extend(labels.map(OptAction::Declare));
        actions.extend(declared.into_iter().map(OptAction::Declare));
        let moves = self.moves.into_iter();
        actions.extend(moves.map(|(from, to)| OptAction::Move { from, to }));
        let links = self.links.into_iter();
        actions.extend(links.map(|(path, target)| OptAction::Link { path, target }));
        actions.extend(self.parts);
        OptPlan {
            actions,
            outcome: DomainOutcome {
                kept: self.kept,
                findings: merged(self.findings),
                ..DomainOutcome::default()
            },
        }
    }
}

impl SeenArea {
    /// Whether a step changed or added something at or below a path in /var.
    fn has_changed(&self, path: &Path) -> bool {
        let Some(lower) = &self.lower else {
            return true;
        };
        let is_same = |(path, meta): (&PathBuf, &Meta)| {
            lower.get(path).is_some_and(|before| meta.is_same(before))
        };
        !below(&self.state, path).all(is_same)
    }
}

/// Whether it is a file that is no program.
fn is_data(meta: &Meta) -> bool {
    meta.look.kind == EntryKind::File && meta.look.mode & 0o111 == 0
}

fn escaped(path: &Path) -> String {
    escape_path(path.as_os_str().as_bytes())
}

fn is_listed(list: &[PathBuf], path: &Path) -> bool {
    list.iter().any(|listed| listed == path)
}

/// What stands at a path and below it.
fn below<'a>(entries: &'a Entries, top: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a Meta)> {
    let from_top = entries.range(top.to_owned()..);
    from_top.take_while(move |(path, _)| path.starts_with(top))
}

/// The absolute path under which users know something in the image.
fn public(area: &Area, image: &Path, path: &Path) -> PathBuf {
    Path::new("/").join(moved(path, image, Path::new(area.public)))
}

fn link_line(path: &Path, target: &[u8]) -> Line {
    Line {
        kind: b'L',
        modifiers: vec![b'+'],
        path: absolute(path),
        mode: None,
        user: None,
        group: None,
        age: None,
        argument: Some(target.to_vec()),
        file: Vec::new(),
        number: 0,
    }
}
