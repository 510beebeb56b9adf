//! What the layers of an image tell: which instruction brought a path, and what a directory was before a RUN. The image's
//! history has an entry for each instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use osderive_lints::policy::Instruction;
use osderive_lints::rules::directory_metadata;
use osderive_lints::{Directory, Finding, History, StepReport, unescape_path};

use crate::arguments::Arguments;
use crate::containerfile::Build;
use crate::store::{Kept, Member, Store};

/// Directories above a path that are asked about when the path is nowhere.
const MAX_PARENTS: usize = 8;

/// What begins the name of an entry that takes away what a lower layer has, and the name of one that takes away all that
/// its directory had (the OCI image specification's "whiteouts").
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// An image in the engine's store.
#[derive(Debug)]
pub(crate) struct Stack {
    store: Store,
    /// The ids of its layers, the highest first.
    layers: Vec<String>,
    /// Above its base, in their order.
    own: Vec<Own>,
}

/// An entry of an image's history.
#[derive(Debug)]
struct Own {
    /// None of ours.
    instruction: Option<Instruction>,
    has_layer: bool,
    /// The place of the layer that has what it did: where the engine keeps none for each instruction, of a later one's.
    place: Option<usize>,
}

/// The layers of an image above its base.
#[derive(Debug)]
pub(crate) struct Layers {
    /// The lowest first: what brought each, and the names that it has.
    layers: Vec<(Option<Instruction>, BTreeSet<String>)>,
}

/// What a layer tells of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It has it, with this mode and owner.
    Kept(Kept),
    /// It has something else there, or takes it away.
    Gone,
}

impl Stack {
    /// Of an image to whose history instructions have added entries; none where that does not tell.
    pub(crate) fn of(
        arguments: &Arguments,
        image: &str,
        history: &[History],
        instructions: &[Option<Instruction>],
    ) -> Option<Self> {
        let own = &history[history.len().checked_sub(instructions.len())?..];
        // ONBUILD adds entries that nobody wrote.
        let own = || own.iter().zip(instructions);
        if !own().all(|(entry, instruction)| is_of(entry, instruction.as_ref())) {
            return None;
        }
        let store = Store::of(arguments)?;
        let layers = store.layers(image)?;
        let mut above = 0;
        let mut entries: Vec<Own> = Vec::new();
        for (entry, instruction) in own().rev() {
            let has_layer = !entry.empty_layer;
            above += usize::from(has_layer);
            entries.push(Own {
                instruction: instruction.clone(),
                has_layer,
                place: above.checked_sub(1),
            });
        }
        entries.reverse();
        let stack = Self {
            store,
            layers,
            own: entries,
        };
        (above <= stack.layers.len()).then_some(stack)
    }

    /// Its layers by the names that they have.
    pub(crate) fn by_names(&self) -> Option<Layers> {
        let mut layers = Vec::new();
        for own in self.own.iter().filter(|own| own.has_layer) {
            let mut names = BTreeSet::new();
            let id = self.layers.get(own.place?)?;
            self.store.read(id, &mut |member| {
                names.insert(member.name.to_owned());
            })?;
            layers.push((own.instruction.clone(), names));
        }
        Some(Layers { layers })
    }

    /// For each RUN the paths of those of its directories that it left with another mode or owner than the layers below
    /// its own have.
    pub(crate) fn changed_metadata(
        &self,
        runs: &[(&Instruction, &[Directory])],
    ) -> Option<Vec<Vec<String>>> {
        let all = runs.iter().flat_map(|(_, directories)| *directories);
        let wanted: BTreeSet<&str> = all.map(|directory| inside(&directory.path)).collect();
        // The highest layer below a RUN's own.
        let below = |run: &Instruction| {
            let is_it = |own: &&Own| {
                own.instruction
                    .as_ref()
                    .is_some_and(|one| one.lines == run.lines)
            };
            Some(self.own.iter().find(is_it)?.place? + 1)
        };
        let places: Option<Vec<usize>> = runs.iter().map(|(run, _)| below(run)).collect();
        let places = places?;
        let first = *places.iter().min()?;
        let mut told = Vec::new();
        for id in self.layers.iter().skip(first) {
            let mut layer = BTreeMap::new();
            self.store
                .read(id, &mut |member| tell(&wanted, &member, &mut layer))?;
            told.push(layer);
        }
        let changed = runs.iter().zip(&places).map(|((_, directories), place)| {
            let below = &told[(place - first).min(told.len())..];
            let is_changed = |directory: &&Directory| {
                let path = inside(&directory.path);
                let mut layers = below.iter().filter_map(|layer| layer.get(path));
                let now = Kept {
                    mode: directory.mode,
                    uid: directory.uid,
                    gid: directory.gid,
                };
                matches!(layers.next(), Some(Told::Kept(before)) if *before != now)
            };
            let changed = directories.iter().filter(is_changed);
            changed.map(|directory| directory.path.clone()).collect()
        });
        Some(changed.collect())
    }
}

/// The directories of /usr whose new mode or owner is lost, with the places of the RUNs that changed them. `stack` is asked
/// if there may be some; where it does not tell, there are none.
pub(crate) fn lost_metadata<'a>(
    build: &Build,
    steps: &[Option<StepReport>],
    stack: &dyn Fn() -> Option<&'a Stack>,
) -> Vec<(Option<usize>, Finding)> {
    let of_runs = build.runs().iter().zip(steps).enumerate();
    let suspects = of_runs
        .skip(build.copied_runs())
        .filter_map(|(place, (run, report))| {
            let directories = report.as_ref()?.directories.as_slice();
            (!directories.is_empty()).then_some((place, (run, directories)))
        });
    let (places, suspects): (Vec<_>, Vec<_>) = suspects.unzip();
    if suspects.is_empty() {
        return Vec::new();
    }
    let changed = stack().and_then(|stack| stack.changed_metadata(&suspects));
    let changed = places.into_iter().zip(changed.unwrap_or_default());
    changed
        .filter_map(|(place, paths)| Some((Some(place), directory_metadata::finding(&paths)?)))
        .collect()
}

/// Notes what a member of a layer tells of wanted directories. What the layer has itself counts before what it takes away.
fn tell<'a>(wanted: &BTreeSet<&'a str>, member: &Member<'_>, layer: &mut BTreeMap<&'a str, Told>) {
    let (parent, name) = member.name.rsplit_once('/').unwrap_or(("", member.name));
    let gone = match name.strip_prefix(WHITEOUT) {
        None => member.name.to_owned(),
        Some(_) if name == OPAQUE => format!("{parent}/"),
        Some(name) => format!("{parent}/{name}"),
    };
    let gone = gone.trim_start_matches('/');
    let is_at_or_below = |path: &&&str| {
        let rest = &path[gone.len()..];
        rest.is_empty() || rest.starts_with('/') || gone.is_empty() || gone.ends_with('/')
    };
    let concerned = wanted.range::<str, _>((Bound::Included(gone), Bound::Unbounded));
    let concerned = concerned.take_while(|path| path.starts_with(gone));
    let mut concerned = concerned.filter(is_at_or_below).peekable();
    if concerned.peek().is_none() {
        return;
    }
    if let Some(kept) = member.directory() {
        if let Some(path) = wanted.get(member.name) {
            layer.insert(path, Told::Kept(kept));
        }
        return;
    }
    for path in concerned {
        layer.entry(path).or_insert(Told::Gone);
    }
}

/// A path as layers have it.
fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}

impl Layers {
    /// The last instruction that has an escaped path in its layer. A path that is in none stands for the directory that
    /// it would be in.
    pub(crate) fn brought(&self, path: &str) -> Option<&Instruction> {
        let path = unescape_path(path);
        let path = String::from_utf8_lossy(&path).into_owned();
        let mut path = path.trim_matches('/');
        for _ in 0..MAX_PARENTS {
            if let Some(instruction) = self.named(path) {
                return Some(instruction);
            }
            path = path.rsplit_once('/')?.0;
        }
        None
    }

    /// The same of nothing but the path itself.
    pub(crate) fn brought_itself(&self, path: &str) -> Option<&Instruction> {
        let path = unescape_path(path);
        self.named(String::from_utf8_lossy(&path).trim_matches('/'))
    }

    fn named(&self, path: &str) -> Option<&Instruction> {
        let with_it = self.layers.iter().rev();
        let mut with_it = with_it.filter(|(_, names)| names.contains(path));
        // The commit at the end touches much; what was there before it is whose.
        with_it.find_map(|(instruction, _)| instruction.as_ref())
    }
}

/// Whether an entry of a history is what the engine writes of an instruction: `#(nop) COPY …`, or a RUN's command (buildah
/// `imagebuildah/stage_executor.go`, `getCreatedBy`). Of ours nothing is asked.
fn is_of(entry: &History, instruction: Option<&Instruction>) -> bool {
    let Some(keyword) = instruction.map(Instruction::keyword) else {
        return true;
    };
    let text = entry.created_by.as_str();
    match text.split_once("#(nop) ") {
        Some((before, nop)) if before.trim_end() == "/bin/sh -c" => {
            nop.split_whitespace().next() == Some(keyword.as_str())
        }
        _ => keyword == "RUN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::archive;

    fn instruction(text: &str) -> Instruction {
        Instruction {
            text: text.to_owned(),
            lines: (1, 1),
            ..Instruction::default()
        }
    }

    #[test]
    fn an_entry_is_told_from_another_instructions() {
        let is_of = |text: &str, instruction_text| {
            is_of(
                &History {
                    created_by: text.to_owned(),
                    ..History::default()
                },
                Some(&instruction(instruction_text)),
            )
        };
        assert!(is_of("/bin/sh -c #(nop) COPY file:1 in /x ", "copy x /x"));
        assert!(is_of("|1 OSDERIVE=a /bin/sh -c make", "RUN make"));
        assert!(is_of(
            "/bin/sh -c echo '#(nop) COPY'",
            "RUN echo '#(nop) COPY'"
        ));
        assert!(!is_of("/bin/sh -c make", "COPY x /x"));
        assert!(!is_of("/bin/sh -c #(nop) CMD x", "RUN make"));
    }

    #[test]
    fn a_layer_tells_of_the_directories_that_it_has_or_takes_away() {
        let kept = |mode| {
            Told::Kept(Kept {
                mode,
                uid: 0,
                gid: 7,
            })
        };
        let told = |members: &[(&str, Option<u32>)]| {
            let wanted = BTreeSet::from(["usr", "usr/a", "usr/a/b", "usr/a-b"]);
            let mut layer = BTreeMap::new();
            for (name, mode) in members {
                let pieces = [archive::member(name, *mode, 7)];
                let member = Member::new(name, &pieces);
                tell(&wanted, &member, &mut layer);
            }
            layer.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(told(&[("usr/b", Some(0o755)), ("usr/a/b/c", None)]), []);
        assert_eq!(
            told(&[("usr/a", Some(0o2750)), ("usr/a/x", None)]),
            [("usr/a", kept(0o2750))]
        );
        let gone = |paths: &[&'static str]| {
            let gone = paths.iter().map(|path| (*path, Told::Gone));
            gone.collect::<Vec<_>>()
        };
        assert_eq!(told(&[("usr/.wh.a", None)]), gone(&["usr/a", "usr/a/b"]));
        assert_eq!(told(&[("usr/a", None)]), gone(&["usr/a", "usr/a/b"]));
        assert_eq!(told(&[("usr/a/.wh..wh..opq", None)]), gone(&["usr/a/b"]));
        assert_eq!(told(&[(".wh..wh..opq", None)]).len(), 4);
        let again = [("usr/.wh.a", None), ("usr/a", Some(0o700))];
        let expected = [("usr/a", kept(0o700)), ("usr/a/b", Told::Gone)];
        assert_eq!(told(&again), expected);
        assert_eq!(told(&[again[1], again[0]]), expected);
    }

    #[test]
    fn a_path_is_of_the_last_instruction_that_has_it() {
        let layer = |instruction, names: &[&str]| {
            (
                instruction,
                names.iter().map(|&name| name.to_owned()).collect(),
            )
        };
        let layers = Layers {
            layers: vec![
                layer(Some(instruction("RUN one")), &["etc", "etc/a", "usr/lib/x"]),
                layer(Some(instruction("COPY two")), &["etc", "etc/a"]),
                layer(None, &["etc", "etc/a", "etc/ours"]),
            ],
        };
        let brought = |path| layers.brought(path).map(|one| one.text.as_str());
        assert_eq!(brought("/etc/a"), Some("COPY two"));
        assert_eq!(brought("/usr/lib/x/y/z"), Some("RUN one"));
        assert_eq!(brought("/etc/ours"), Some("COPY two"));
        assert_eq!(brought("/var"), None);
        let itself = |path| layers.brought_itself(path).map(|one| one.text.as_str());
        assert_eq!(itself("/etc/a"), Some("COPY two"));
        assert_eq!(itself("/usr/lib/x/y/z"), None);
    }
}
