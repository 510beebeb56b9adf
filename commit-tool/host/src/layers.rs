//! Which instruction brought a path: the engine keeps, for each layer in its store, the names that the layer has
//! (containers/storage `layers.go`, `NAME.tar-split.gz`), and the image's history has an entry for each instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use osderive_lints::policy::Instruction;
use osderive_lints::{History, unescape_path};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::arguments::{Arguments, Engine};
use crate::engine;

/// Directories above a path that are asked about when the path is nowhere.
const MAX_PARENTS: usize = 8;

/// The layers of an image above its base.
#[derive(Debug)]
pub(crate) struct Layers {
    /// The lowest first: what brought each, and the names that it has.
    layers: Vec<(Option<Instruction>, BTreeSet<String>)>,
}

#[derive(Deserialize)]
struct StoredImage {
    id: String,
    layer: Option<String>,
}

#[derive(Deserialize)]
struct StoredLayer {
    id: String,
    parent: Option<String>,
}

/// A line of tar-split; the names of an archive are in those of type 1.
#[derive(Deserialize)]
struct Member {
    name: Option<String>,
}

impl Layers {
    /// Of an image in the engine's store, to whose history instructions have added entries; none where that does not
    /// tell, as of an image that was built in one layer.
    pub(crate) fn of(
        arguments: &Arguments,
        image: &str,
        history: &[History],
        instructions: &[Option<Instruction>],
    ) -> Option<Self> {
        let own = &history[history.len().checked_sub(instructions.len())?..];
        // A build without layers has one entry for all of its instructions, and ONBUILD adds some that nobody wrote.
        if !own
            .iter()
            .zip(instructions)
            .all(|(entry, instruction)| is_of(entry, instruction.as_ref()))
        {
            return None;
        }
        let with_layer = own
            .iter()
            .zip(instructions)
            .filter(|(entry, _)| !entry.empty_layer);
        let mut with_layer: Vec<Option<Instruction>> = with_layer
            .map(|(_, instruction)| instruction.clone())
            .collect();
        let store = Store::of(arguments)?;
        let mut layers = Vec::new();
        let mut at = store.top(image)?;
        while let Some(instruction) = with_layer.pop() {
            layers.push((instruction, store.names(&at)?));
            if with_layer.is_empty() {
                break;
            }
            at = store.parents.get(&at)?.clone()?;
        }
        layers.reverse();
        Some(Self { layers })
    }

    /// The last instruction that has an escaped path in its layer. A path that is in none stands for the directory that
    /// it would be in.
    pub(crate) fn brought(&self, path: &str) -> Option<&Instruction> {
        let path = unescape_path(path);
        let path = String::from_utf8_lossy(&path).into_owned();
        let mut path = path.trim_matches('/');
        for _ in 0..MAX_PARENTS {
            let mut with_it = self
                .layers
                .iter()
                .rev()
                .filter(|(_, names)| names.contains(path));
            // The commit at the end touches much; what was there before it is whose.
            if let Some(instruction) = with_it.find_map(|(instruction, _)| instruction.as_ref()) {
                return Some(instruction);
            }
            path = path.rsplit_once('/')?.0;
        }
        None
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

/// The engine's store of layers.
struct Store {
    layers: PathBuf,
    images: PathBuf,
    /// Of each layer.
    parents: BTreeMap<String, Option<String>>,
}

impl Store {
    fn of(arguments: &Arguments) -> Option<Self> {
        let mut info = arguments.global();
        info.push("info".into());
        info.push("--format".into());
        info.push(match arguments.engine {
            Engine::Podman => "{{.Store.GraphDriverName}} {{.Store.GraphRoot}}".into(),
            Engine::Buildah => "{{.store.GraphDriverName}} {{.store.GraphRoot}}".into(),
        });
        let info = engine::output(arguments.engine, &info)?;
        let (driver, root) = info.trim_end().split_once(' ')?;
        let root = Path::new(root);
        let layers = root.join(format!("{driver}-layers"));
        let all: Vec<StoredLayer> = json(&layers.join("layers.json"))?;
        Some(Self {
            images: root.join(format!("{driver}-images")),
            parents: all
                .into_iter()
                .map(|layer| (layer.id, layer.parent))
                .collect(),
            layers,
        })
    }

    /// The topmost layer of an image.
    fn top(&self, image: &str) -> Option<String> {
        let id = image.strip_prefix("sha256:").unwrap_or(image);
        let images: Vec<StoredImage> = json(&self.images.join("images.json"))?;
        images.into_iter().find(|image| image.id == id)?.layer
    }

    /// The names in a layer, without a slash at the end.
    fn names(&self, layer: &str) -> Option<BTreeSet<String>> {
        let file = File::open(self.layers.join(format!("{layer}.tar-split.gz"))).ok()?;
        let mut names = BTreeSet::new();
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let member: Member = serde_json::from_str(&line.ok()?).ok()?;
            let name = member.name.unwrap_or_default();
            let name = name.trim_start_matches("./").trim_matches('/');
            if !name.is_empty() {
                names.insert(name.to_owned());
            }
        }
        Some(names)
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
