//! Which instruction brought a path, and what it changed: the states of a lineage are asked what they
//! have there. RUN, COPY and ADD are alike to this.

use osderive_lints::Directory;
use osderive_proto::gateway::{BuildError, FileStat, Gateway, SolveRequest};
use osderive_proto::llb::{Definition, Digest, Edge};

use crate::errors::broken;
use crate::facts::lineage;
use crate::facts::result::single_ref;

/// Go's `fs.ModeDir`, which is what the engine's modes are made of.
const DIRECTORY: u32 = 1 << 31;

/// Go's `fs.ModeSetuid`, `fs.ModeSetgid` and `fs.ModeSticky`, with the bits of chmod(2).
const SPECIAL_BITS: [(u32, u32); 3] = [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)];

/// Directories above a path that are asked about when the path is nowhere.
const MAX_PARENTS: usize = 8;

/// The states of an image, from its base to its end, and the engine's handles on them as far as they
/// were asked for.
pub(crate) struct Provenance<'a> {
    gateway: &'a Gateway,
    image: &'a Definition,
    states: Vec<State>,
}

struct State {
    /// An empty root where there is none.
    edge: Option<Edge>,
    handle: Option<String>,
}

/// What is at a path, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Nothing,
    /// A directory changes with all that comes into it, which is nothing of its own.
    Directory,
    Entry(FileStat),
}

impl<'a> Provenance<'a> {
    /// Of an image.
    pub(crate) fn of(gateway: &'a Gateway, image: &'a Definition) -> Self {
        let lineage = image.lineage();
        let base = lineage::base(&lineage);
        let own = lineage.steps.iter().copied().map(Some);
        let mut edges = vec![base];
        edges.extend(own.filter(|edge| *edge != base));
        let states = edges.into_iter().map(|edge| State { edge, handle: None });
        Self {
            gateway,
            image,
            states: states.collect(),
        }
    }

    /// The instruction that made what is at an absolute path at the end, or took it away; none if the
    /// base has it so. A path that is nowhere stands for the directory that it would be in. Of a path
    /// that several instructions made alike it is any one of them. Takes time in proportion to the
    /// logarithm of the lineage's length.
    ///
    /// # Errors
    /// When a state cannot be looked at.
    pub(crate) async fn brought(&mut self, path: &str) -> Result<Option<Digest>, BuildError> {
        let mut path = plain(path);
        for _ in 0..MAX_PARENTS {
            let last = self.states.len() - 1;
            let end = self.look(last, path).await?;
            let base = self.look(0, path).await?;
            if base != end {
                return self.since(path, &end).await;
            }
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if end != Seen::Nothing || parent.is_empty() {
                return Ok(None);
            }
            path = parent;
        }
        Ok(None)
    }

    /// Whether what is at a path at the end is not what an instruction left there.
    ///
    /// # Errors
    /// When a state cannot be looked at.
    pub(crate) async fn changed_after(
        &mut self,
        digest: &Digest,
        path: &str,
    ) -> Result<bool, BuildError> {
        let Some(then) = self.position(digest) else {
            return Ok(false);
        };
        let path = plain(path);
        let end = self.look(self.states.len() - 1, path).await?;
        Ok(self.look(then, path).await? != end)
    }

    /// The paths of those of the directories that an instruction left with another mode or owner than the state
    /// before it has.
    ///
    /// # Errors
    /// When a state cannot be looked at.
    pub(crate) async fn changed_metadata(
        &mut self,
        digest: &Digest,
        directories: &[Directory],
    ) -> Result<Vec<String>, BuildError> {
        let Some(before) = self.position(digest).and_then(|then| then.checked_sub(1)) else {
            return Ok(Vec::new());
        };
        let mut changed = Vec::new();
        for directory in directories {
            let path = &directory.path;
            if plain(path) == path
                && let Some(old) = self.stat(before, path).await?
                && old.mode & DIRECTORY != 0
                && (permissions(old.mode), old.uid, old.gid)
                    != (directory.mode, directory.uid, directory.gid)
            {
                changed.push(path.clone());
            }
        }
        Ok(changed)
    }

    /// The number of the state that an op made.
    fn position(&self, digest: &Digest) -> Option<usize> {
        let is_after = |state: &State| state.edge.is_some_and(|edge| edge.digest == *digest);
        self.states.iter().position(is_after)
    }

    /// The op of the first state with `end` at the path, the state before it being another.
    async fn since(&mut self, path: &str, end: &Seen) -> Result<Option<Digest>, BuildError> {
        let (mut other, mut same) = (0, self.states.len() - 1);
        while same - other > 1 {
            let middle = usize::midpoint(other, same);
            if self.look(middle, path).await? == *end {
                same = middle;
            } else {
                other = middle;
            }
        }
        Ok(self.states[same].edge.map(|edge| edge.digest))
    }

    async fn look(&mut self, state: usize, path: &str) -> Result<Seen, BuildError> {
        Ok(match self.stat(state, path).await? {
            None => Seen::Nothing,
            Some(stat) if stat.mode & DIRECTORY != 0 => Seen::Directory,
            Some(stat) => Seen::Entry(stat),
        })
    }

    async fn stat(&mut self, state: usize, path: &str) -> Result<Option<FileStat>, BuildError> {
        let State { edge, handle } = &self.states[state];
        let id = match (edge, handle) {
            (None, _) => return Ok(None),
            (Some(_), Some(id)) => id.clone(),
            (Some(edge), None) => self.handle(edge).await?,
        };
        self.states[state].handle = Some(id.clone());
        self.gateway.stat_file(&id, path).await
    }

    async fn handle(&self, edge: &Edge) -> Result<String, BuildError> {
        let state = self.image.subgraph(edge).map_err(broken)?;
        let request = SolveRequest {
            definition: Some(state.to_bytes()),
            ..SolveRequest::default()
        };
        let reference = self.gateway.solve(request).await.and_then(single_ref)?;
        Ok(reference.id)
    }
}

/// The twelve permission bits of an engine's mode.
fn permissions(mode: u32) -> u32 {
    let special = SPECIAL_BITS.into_iter().filter(|(bit, _)| mode & bit != 0);
    special.fold(mode & 0o777, |bits, (_, bit)| bits | bit)
}

/// A path up to the first name that is not written as it is.
fn plain(path: &str) -> &str {
    let Some(escape) = path.find("\\x").or_else(|| path.find('…')) else {
        return path;
    };
    path[..escape]
        .rsplit_once('/')
        .map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::{permissions, plain};

    #[test]
    fn an_engines_mode_has_gos_bits() {
        // `os.ModeDir | os.ModeSetgid | os.ModeSticky | 0o775` of Go.
        assert_eq!(permissions(0x8050_01fd), 0o3775);
        assert_eq!(permissions(1 << 23 | 0o700), 0o4700);
    }

    #[test]
    fn a_name_that_no_text_can_hold_stands_for_its_directory() {
        assert_eq!(plain("/etc/a b"), "/etc/a b");
        assert_eq!(plain(r"/etc/dir/a\xff/c"), "/etc/dir");
        assert_eq!(plain("/usr/long…"), "/usr");
        assert_eq!(plain(r"\x0a"), "");
    }
}
