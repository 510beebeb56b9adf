//! What becomes of what a step left below /var: lines of tmpfiles.d that make it anew, files in the
//! factory, and nothing in the layer's /var. A pure function of what was observed.

pub(super) mod action;
mod finish;
mod lists;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind,
    model::tmpfiles::{Line, Mode, Owner},
};

use self::action::{VarAction, VarPlan};
use super::{
    boot::{factory_of, relative},
    entry::{Entry, Kind, Made},
    known::{CACHE, LOG, is_shared, leftover_reason, scratch_reason},
    observe::Observed,
    obstacles::{LINE_BREAK, UNSAFE, is_way_safe, is_writable, obstacle},
};
use crate::{
    domain::Phase,
    handle::Look,
    paths::{absolute, shown, single_path},
    place::is_unfinished_link,
    settings::Settings,
};

const NEEDED: &str = "/var is empty on a new machine";
const MADE_AT_BOOT: &str = "made at boot";
const FIRST_START: &str = "a service makes it at its first start, as --first-start says";

/// What an entry becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is not ours to touch.
    Stays,
    /// It goes for this reason.
    Goes(&'static str),
    /// It goes at the end of the build; until then later RUNs find it.
    Waits,
    /// It goes at the end, and boot makes an empty file of a service's.
    EmptyLog,
    /// It is kept: declared, or moved to the factory.
    Kept,
}

/// Makes the plan.
pub(super) fn plan(seen: &Observed, settings: &Settings) -> VarPlan {
    let mut planner = Planner::new(seen, settings);
    planner.look_at_tops();
    for (path, entry) in &seen.entries {
        planner.visit(path, entry);
    }
    planner.declare_brought();
    planner.move_databases();
    planner.finish()
}

struct Planner<'a> {
    seen: &'a Observed,
    settings: &'a Settings,
    /// What is not wanted any more of what earlier RUNs declared, or waited for the end.
    dropped: BTreeSet<PathBuf>,
    /// What stays, and all above it, besides what the observation says.
    fixed: BTreeSet<PathBuf>,
    /// What our own lines copy already.
    copied: BTreeSet<PathBuf>,
    /// What others' lines copy and holds more than that, by hand: boot copies into no directory that
    /// has something in it, so the copy has to stay.
    mixed: BTreeSet<&'a Path>,
    /// Directories with a kept file, or with what only a copy can make, somewhere below.
    holding: BTreeSet<&'a Path>,
    /// Directories with such right in them.
    holding_directly: BTreeSet<&'a Path>,
    /// Trees that boot copies, with our own older ones that get new content.
    tops: BTreeSet<PathBuf>,
    /// Lines that make something, one for each path.
    wanted: BTreeMap<PathBuf, Line>,
    /// Lines about access control lists, one for each path.
    lists: BTreeMap<PathBuf, Line>,
    /// Our older lines about lists, by what they are about.
    older_lists: BTreeMap<PathBuf, &'a Line>,
    /// Of these, what was looked at: the older line counts no more.
    looked_at: BTreeSet<PathBuf>,
    /// Factory copies that lose their lists.
    plain: Vec<VarAction>,
    removes: Vec<VarAction>,
    /// Directories that a first start makes; they go before what is around them moves.
    prelude_state: Vec<VarAction>,
    moves: Vec<VarAction>,
    /// What is taken away last: what has its line now.
    emptied: Vec<VarAction>,
    stuck: Vec<(String, String)>,
    kept: usize,
    left_bytes: u64,
    has_emptied: bool,
    bytes: BTreeMap<PathBuf, u64>,
}

impl<'a> Planner<'a> {
    fn new(seen: &'a Observed, settings: &'a Settings) -> Self {
        let stuck = seen.entries.iter();
        let stuck = stuck.filter(|(path, entry)| obstacle(seen, settings, path, entry).is_some());
        Self {
            seen,
            settings,
            dropped: dropped(seen, settings),
            fixed: stuck
                .flat_map(|(path, _)| path.ancestors().map(Path::to_owned))
                .collect(),
            copied: (seen.own.iter())
                .filter(|(_, line)| line.kind == b'C')
                .filter_map(|(_, line)| relative(&line.path))
                .collect(),
            mixed: (seen.entries.iter())
                .filter(|(_, entry)| seen.phase == Phase::ByHand && entry.made == Made::No)
                .filter_map(|(path, _)| Some(seen.boot.copy_above(path)?.0))
                .collect(),
            holding: BTreeSet::new(),
            holding_directly: BTreeSet::new(),
            tops: BTreeSet::new(),
            wanted: BTreeMap::new(),
            lists: BTreeMap::new(),
            older_lists: (seen.own.iter())
                .filter(|(_, line)| line.kind == b'a')
                .filter_map(|(_, line)| Some((relative(&single_path(&line.path)?)?, line)))
                .collect(),
            looked_at: BTreeSet::new(),
            plain: Vec::new(),
            removes: Vec::new(),
            prelude_state: Vec::new(),
            moves: Vec::new(),
            emptied: Vec::new(),
            stuck: Vec::new(),
            kept: 0,
            left_bytes: 0,
            has_emptied: false,
            bytes: BTreeMap::new(),
        }
    }

    /// Which directories hold something that has to be copied.
    fn look_at_tops(&mut self) {
        for (path, entry) in &self.seen.entries {
            if self.fate(path, entry) != Fate::Kept || entry.made != Made::No {
                continue;
            }
            let is_copied =
                entry.kind == Kind::File || !is_writable(path) || !is_way_safe(self.seen, path);
            // Of many files in a directory the first says it all.
            if is_copied
                && path
                    .parent()
                    .is_some_and(|above| self.holding_directly.insert(above))
            {
                self.holding.extend(path.ancestors().skip(1));
            }
        }
    }

    fn is_fixed(&self, path: &Path) -> bool {
        self.fixed.contains(path) || self.seen.fixed.contains(path)
    }

    fn fate(&self, path: &Path, entry: &Entry) -> Fate {
        if self.is_fixed(path) {
            return Fate::Stays;
        }
        if entry.made == Made::ByOthers
            && let Some((top, _)) = self.seen.boot.copy_above(path)
            && self.mixed.contains(top)
        {
            return Fate::Stays;
        }
        let is_directory = entry.kind == Kind::Directory;
        if is_unfinished_link(path, entry.meta.look.kind) {
            return self.at_the_end("a link that a killed commit had not finished");
        }
        let leftover = if is_directory {
            scratch_reason(path).filter(|_| entry.made == Made::No)
        } else {
            leftover_reason(path)
        };
        if let Some(reason) = leftover {
            return self.at_the_end(reason);
        }
        if entry.made == Made::No && self.settings.leaves_to_first_start(path, is_directory) {
            return self.at_the_end(FIRST_START);
        }
        if entry.kind == Kind::File && path.starts_with(LOG) {
            let is_made = self.seen.boot.line_of_others(path).is_some();
            return if is_made || entry.meta.look.uid == 0 {
                self.at_the_end("a log of the build")
            } else {
                Fate::EmptyLog
            };
        }
        match entry.made {
            Made::ByOthers | Made::ByUs => Fate::Goes(MADE_AT_BOOT),
            Made::No if entry.kind == Kind::Socket => Fate::Goes("a socket, made by its service"),
            Made::No => Fate::Kept,
        }
    }

    /// What is known to go may be needed by later RUNs, but for what a killed commit left.
    fn at_the_end(&self, reason: &'static str) -> Fate {
        if self.seen.phase == Phase::Step {
            Fate::Waits
        } else {
            Fate::Goes(reason)
        }
    }

    fn visit(&mut self, path: &Path, entry: &Entry) {
        let look = &entry.meta.look;
        match self.fate(path, entry) {
            Fate::Stays => {
                if let Some(why) = obstacle(self.seen, self.settings, path, entry) {
                    self.keep_in_place(path, why);
                }
            }
            Fate::Goes(reason) => {
                if entry.made == Made::ByUs
                    && entry.kind == Kind::Directory
                    && self.becomes_top(path)
                {
                    self.begin_top(path, entry);
                    return;
                }
                self.remember_own(path);
                if reason == MADE_AT_BOOT {
                    self.settle_lists(path, entry);
                }
                let by_hand = self.seen.phase == Phase::ByHand;
                self.has_emptied |= by_hand && entry.made == Made::ByOthers;
                self.take_away(path, look, reason);
            }
            Fate::Waits => {
                self.left_bytes += look.bytes;
                if self.is_in_top(path) {
                    self.move_to_factory(path, entry);
                }
            }
            Fate::EmptyLog => {
                let is_wanted = self.want(path, self.line(b'f', path, look, None));
                if is_wanted {
                    self.settle_lists(path, entry);
                }
                if self.seen.phase == Phase::Step {
                    self.left_bytes += look.bytes;
                } else if is_wanted {
                    self.take_away(path, look, "a log of the build; boot makes it anew, empty");
                }
            }
            Fate::Kept if self.is_in_top(path) && entry.kind != Kind::Fifo => {
                self.settle_lists(path, entry);
                self.move_to_factory(path, entry);
            }
            Fate::Kept => self.keep(path, entry),
        }
    }

    fn keep(&mut self, path: &Path, entry: &Entry) {
        let look = &entry.meta.look;
        let line = match &entry.kind {
            Kind::Directory if self.becomes_top(path) => return self.begin_top(path, entry),
            Kind::File => return self.begin_top(path, entry),
            Kind::Directory => self.line(b'd', path, look, None),
            Kind::Fifo => self.line(b'p', path, look, None),
            Kind::Link(target) => Line {
                mode: None,
                ..self.line(b'L', path, look, Some(target.clone()))
            },
            Kind::Socket | Kind::Node => return,
        };
        if self.want(path, line) {
            self.settle_lists(path, entry);
            self.take_away(path, look, MADE_AT_BOOT);
        }
    }

    /// Whether a directory is copied as a whole: a new one that holds a file anywhere, or one that an
    /// earlier step declared and that now has one right in it.
    fn becomes_top(&self, path: &Path) -> bool {
        // Of a cache single files are kept.
        if is_shared(path) || !is_writable(path) || path.starts_with(CACHE) {
            return false;
        }
        let boot = &self.seen.boot;
        // What has attributes can only be copied.
        let entry = self.seen.entries.get(path);
        let has_others =
            |entry: &Entry| entry.made == Made::No && !entry.attributes.user.is_empty();
        if entry.is_some_and(has_others) && boot.line_of_others(path).is_none() {
            return true;
        }
        match boot.own_line(path) {
            Some(line) if line.makes_directory() => self.holding_directly.contains(path),
            Some(_) => self.holding.contains(path),
            None => boot.line_of_others(path).is_none() && self.holding.contains(path),
        }
    }

    /// Whether an entry is below a tree that boot copies, or is that tree.
    fn is_in_top(&self, path: &Path) -> bool {
        path.ancestors().any(|above| self.tops.contains(above)) || self.own_top(path).is_some()
    }

    /// The tree of an earlier step that a path is in, also when its owner is unknown by now.
    fn own_top<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        if self.copied.is_empty() {
            return None;
        }
        path.ancestors().find(|above| self.copied.contains(*above))
    }

    fn begin_top(&mut self, path: &Path, entry: &Entry) {
        if !is_writable(path) {
            return self.keep_in_place(path, LINE_BREAK);
        }
        if !is_way_safe(self.seen, path) {
            return self.keep_in_place(path, UNSAFE);
        }
        self.tops.insert(path.to_owned());
        self.settle_lists(path, entry);
        self.move_to_factory(path, entry);
    }

    /// Has an entry moved, unless a directory above it is.
    fn move_to_factory(&mut self, path: &Path, entry: &Entry) {
        let look = &entry.meta.look;
        if let Some(own) = self.own_top(path) {
            self.tops.insert(own.to_owned());
        }
        if look.kind == EntryKind::File {
            self.kept += 1;
            let top = path.ancestors().find(|above| self.tops.contains(*above));
            *self
                .bytes
                .entry(top.unwrap_or(path).to_owned())
                .or_default() += look.bytes;
        }
        self.make_plain(path, entry);
        let last = self.moves.last();
        let is_moved = last.is_some_and(
            |action| matches!(action, VarAction::Move { from, .. } if path.starts_with(from)),
        );
        if !is_moved {
            self.moves.push(VarAction::Move {
                from: path.to_owned(),
                to: factory_of(path),
                reason: NEEDED,
            });
        }
    }

    fn keep_in_place(&mut self, path: &Path, why: &str) {
        self.stuck.push((shown(path), why.to_owned()));
    }

    /// Wants a line; tells when it cannot be written or would not be obeyed.
    fn want(&mut self, path: &Path, line: Line) -> bool {
        if line.to_text().is_none() {
            self.keep_in_place(path, LINE_BREAK);
            return false;
        }
        if !is_way_safe(self.seen, path) {
            self.keep_in_place(path, UNSAFE);
            return false;
        }
        self.wanted.insert(path.to_owned(), line);
        true
    }

    /// Of two lines of ours for one path, which a killed commit may leave, one stays.
    fn remember_own(&mut self, path: &Path) {
        let own = self.seen.boot.own_line(path);
        if let Some(line) = own.filter(|line| line.kind != b'C') {
            self.wanted.insert(path.to_owned(), line.clone());
        }
    }

    fn take_away(&mut self, path: &Path, look: &Look, reason: &'static str) {
        if path.starts_with(CACHE) {
            // The commit as a whole empties it.
            return;
        }
        let action = VarAction::Remove {
            path: path.to_owned(),
            kind: look.kind,
            reason,
        };
        if look.kind == EntryKind::Directory && reason == FIRST_START {
            self.prelude_state.push(action);
        } else if look.kind == EntryKind::Directory
            || reason == MADE_AT_BOOT && look.kind != EntryKind::Special
        {
            self.emptied.push(action);
        } else {
            self.removes.push(action);
        }
    }

    fn line(&self, kind: u8, path: &Path, look: &Look, argument: Option<Vec<u8>>) -> Line {
        let (user, group) = self.owner(look.uid, look.gid);
        Line {
            kind,
            modifiers: Vec::new(),
            path: absolute(path),
            mode: Some(Mode {
                bits: look.mode,
                masked: false,
                only_created: false,
            }),
            user: Some(user),
            group: Some(group),
            age: None,
            argument,
            file: Vec::new(),
            number: 0,
        }
    }

    fn owner(&self, uid: u32, gid: u32) -> (Owner, Owner) {
        let names = &self.seen.boot.names;
        (names.user(uid), names.group(gid))
    }

    /// Wants the lines of what packages own and the step has not.
    fn declare_brought(&mut self) {
        for (path, line) in &self.seen.brought {
            if !self.wanted.contains_key(path) {
                self.want(path, line.clone());
            }
        }
    }

    fn move_databases(&mut self) {
        for found in &self.seen.databases {
            let path = Path::new(found.database.path);
            if let Some(blocked) = &found.blocked {
                let why = format!("{} is there already", shown(blocked));
                self.stuck.push((shown(path), why));
                continue;
            }
            let line = Line {
                kind: b'L',
                modifiers: Vec::new(),
                path: absolute(path),
                mode: None,
                user: None,
                group: None,
                age: None,
                argument: Some(found.database.link_target(found.home)),
                file: Vec::new(),
                number: 0,
            };
            self.wanted.insert(path.to_owned(), line);
            self.moves.push(VarAction::Move {
                from: path.to_owned(),
                to: PathBuf::from(found.home),
                reason: "a package database describes /usr",
            });
        }
    }
}

/// What is not wanted of what earlier RUNs declared: what the command took away, and at the end what later RUNs
/// could have needed.
fn dropped(seen: &Observed, settings: &Settings) -> BTreeSet<PathBuf> {
    let mut dropped = seen.retracted.clone();
    if seen.phase == Phase::End {
        let copies = seen.factory.iter().filter(|(path, meta)| {
            let is_directory = meta.look.kind == EntryKind::Directory;
            !is_directory && leftover_reason(path).is_some()
                || settings.leaves_to_first_start(path, is_directory)
        });
        dropped.extend(copies.map(|(path, _)| path.clone()));
    }
    dropped
}

/// A line without its end, as it stands in a file.
fn raw(line: &Line) -> Option<Vec<u8>> {
    let mut text = line.to_text()?;
    text.pop();
    Some(text)
}
