//! The Containerfile that the engine gets: the user's, in which each stage of the image asks for a commit of its RUNs and
//! the last one ends with a RUN of ours, which commits the finished image upon its base. Where no OCI runtime is called,
//! the RUNs are rewritten instead. Nothing else is changed, and builder stages are the very same text.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use osderive_lints::policy::{Containerfile, Instruction, Stage, chain_of_files};
use osderive_lints::{BASE_MOUNT, BUILD_ARGUMENT, BuildArgument, EndRequest, TOOL};

use crate::lineage::{Lineage, Step};
use crate::rewrite::{Rewrite, as_root};

/// The name of a stage of ours that is the base image alone, to be mounted at the end.
const BASE_STAGE: &str = "osderive-base";

/// A Containerfile and the image in it that is built.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) file: Containerfile,
    /// The numbers of the stages that the image is made by, the lowest first, and how many of those above it are a copy of
    /// what is below them.
    chain: Vec<(usize, u32)>,
    /// The lines that each stage begins and ends at, from 1.
    stages: Vec<(u32, u32)>,
    /// The FROM of the lowest stage in one line, without a name; none of `scratch`.
    base: Option<String>,
    /// The image that it names.
    base_image: String,
    /// The lines of the first FROM and its text, where the command line has another image for it.
    replaced: Option<((u32, u32), String)>,
    /// The number of the stage that is built, where that is not the last.
    target: Option<usize>,
    /// The RUNs that the image is made by, in the order in which they run.
    runs: Vec<Instruction>,
    pub(crate) lineage: Lineage,
    /// The user that they end in, if the commit at the end may not be made as that one: it need not be in the image
    /// (`FROM scratch`, `USER nobody`).
    user: Option<String>,
    /// The working directory that they end in, if they tell and it is the same wherever it stands. The engine would make it
    /// for the commit as root's.
    directory: Option<String>,
}

impl Build {
    /// Finds the image that a target names, or the last one; none where there is no such stage. `given` has the values
    /// of build arguments; `from` is the image that the first FROM is to have instead of its own.
    pub(crate) fn of(
        mut file: Containerfile,
        target: Option<&str>,
        given: &dyn Fn(&str) -> Option<String>,
        from: Option<&str>,
    ) -> Option<Self> {
        let mut froms = file.instructions.iter_mut();
        let first = froms.find(|one| one.keyword() == "FROM");
        let replaced = first.zip(from).map(|(first, image)| {
            let is_image = |word: &&str| !word.starts_with("--");
            let mut words: Vec<&str> = first.text.split(' ').collect();
            if let Some(own) = words.iter_mut().skip(1).find(|word| is_image(word)) {
                *own = image;
            }
            first.text = words.join(" ");
            (first.lines, first.text.clone())
        });
        let stages = file.stages(given);
        let chain = chain_of_files(&stages, target);
        let last = *chain.last()?;
        let lowest = &stages[*chain.first()?];
        let from = &lowest.instructions[0];
        let words: Vec<&str> = from
            .words()
            .take_while(|word| !word.eq_ignore_ascii_case("as"))
            .collect();
        let mut copied = 0;
        let with_copies = chain.iter().rev().map(|&number| {
            let above = copied;
            copied += u32::from(stages[number].copy_of.is_some());
            (number, above)
        });
        let mut with_copies: Vec<_> = with_copies.collect();
        with_copies.reverse();
        let base = (!lowest.is_from_scratch()).then(|| format!("FROM {}", words.join(" ")));
        let lines = |stage: &Stage<'_>| {
            let end = stage.instructions.last().map_or(0, |last| last.lines.1);
            (stage.instructions[0].lines.0, end)
        };
        let lineage = Lineage::of(&stages, &chain, file.arguments(given));
        let of_keyword = |keyword: &'static str| {
            let all = lineage.since_copy().iter().filter_map(Step::instruction);
            all.filter(move |instruction| instruction.keyword() == keyword)
        };
        // A variable may have another value by now.
        let user = of_keyword("USER").next_back().and_then(|user| {
            let (_, user) = user.text.split_once(' ')?;
            let user = user.trim();
            (!user.contains('$') && !lineage.ends_as_root(user)).then(|| user.to_owned())
        });
        let directory = of_keyword("WORKDIR").fold(None, |from: Option<PathBuf>, to| {
            let to = to.text.split_once(' ').map_or("", |(_, to)| to.trim());
            let is_plain = !to.contains(['$', '"', '\'', '\\']);
            let whole = if to.starts_with('/') {
                Some(to.into())
            } else {
                from.map(|from| from.join(to))
            };
            whole.filter(|_| is_plain)
        });
        let directory = directory.filter(|directory| directory != Path::new("/"));
        Some(Self {
            directory: directory.map(|directory| directory.to_string_lossy().into_owned()),
            runs: lineage.runs().concat().into_iter().cloned().collect(),
            user,
            stages: stages.iter().map(lines).collect(),
            target: (last + 1 < stages.len()).then_some(last),
            base_image: lowest.base.clone(),
            replaced,
            base,
            chain: with_copies,
            lineage,
            file,
        })
    }

    /// The RUNs that the image is made by, in the order in which they run.
    pub(crate) fn runs(&self) -> &[Instruction] {
        &self.runs
    }

    /// How many of them are of stages that the image is a copy of. It has no layers of these.
    pub(crate) fn copied_runs(&self) -> usize {
        let own = self.lineage.since_copy().iter().filter_map(Step::run);
        self.runs.len() - own.count()
    }

    /// The instructions that the image's configuration comes from, with their FROMs.
    pub(crate) fn configuring(&self) -> Vec<&Instruction> {
        let own = self.chain.iter().filter(|(_, copied)| *copied == 0);
        let own: Vec<_> = own.map(|(stage, _)| self.stages[*stage]).collect();
        let all = self.file.instructions.iter();
        all.filter(|one| is_within(&own, one.lines)).collect()
    }

    /// Whether lines are of a stage that the image is made by.
    pub(crate) fn has(&self, lines: (u32, u32)) -> bool {
        let all: Vec<_> = self
            .chain
            .iter()
            .map(|(stage, _)| self.stages[*stage])
            .collect();
        is_within(&all, lines)
    }

    /// For each entry that [`Build::text`] adds to the image's history, the instruction; none of ours.
    pub(crate) fn history(&self, rewrite: Option<&Rewrite>) -> Vec<Option<Instruction>> {
        let mut history = Vec::new();
        let runs = rewrite.into_iter().flat_map(|rewrite| &rewrite.runs);
        let mut runs = runs.skip(self.copied_runs());
        for step in self.lineage.since_copy() {
            let around = step.run().and_then(|_| runs.next());
            let around = around.map_or(0, |run| run.around);
            let instruction = step.instruction();
            // In place of a FROM there is an ARG of ours.
            if instruction.is_some() || rewrite.is_none() {
                let ours = || std::iter::repeat_n(None, around);
                history.extend(ours().chain([instruction.cloned()]).chain(ours()));
            }
        }
        let (user, directory) = match rewrite {
            None => (&self.user, &self.directory),
            Some(rewrite) => (&rewrite.user, &rewrite.directory),
        };
        let around = usize::from(user.is_some()) + usize::from(directory.is_some());
        history.resize(history.len() + 1 + 2 * around, None);
        history
    }

    /// The image that it is built upon; none where it begins with nothing.
    pub(crate) fn base_image(&self) -> Option<&str> {
        (!self.is_from_scratch()).then_some(self.base_image.as_str())
    }

    /// Whether the image begins with nothing.
    pub(crate) fn is_from_scratch(&self) -> bool {
        self.base.is_none()
    }

    /// Whether its lowest stage of its own is a copy of another.
    pub(crate) fn is_copy(&self) -> bool {
        self.lineage.since_copy().first() == Some(&Step::Copy)
    }

    /// The name that the engine knows the image's stage by in [`Build::text`], where it is not the last.
    pub(crate) fn target(&self) -> Option<String> {
        // Ours comes before it.
        self.target.map(|number| (number + 1).to_string())
    }

    /// The text, with what commits the image at the end. With `again` that is not what a cache has. `asked` is the build
    /// argument: some stages have it with another value than the others.
    pub(crate) fn text(
        &self,
        rewrite: Option<&Rewrite>,
        commit: &EndRequest,
        asked: &BuildArgument,
        again: Option<&str>,
    ) -> String {
        let prepare = BuildArgument {
            prepare: true,
            ..asked.clone()
        };
        let prepare = prepare.to_value();
        let (last, _) = self.chain.last().copied().unwrap_or_default();
        let mut text = String::new();
        let lines = self.file.text.split_inclusive('\n');
        for (number, line) in (1_u32..).zip(lines) {
            if number == self.stages[last].0 {
                let base = self.base.as_deref().unwrap_or("FROM scratch");
                let _ = writeln!(text, "{base} AS {BASE_STAGE}");
            }
            let mut beside = self.lineage.beside.iter().filter(|_| rewrite.is_none());
            let beside = beside.find(|one| (one.run.lines.0..=one.run.lines.1).contains(&number));
            // A stage has the build argument of the stage below it; the environment is stronger.
            if beside.is_some_and(|one| one.run.lines.0 == number) {
                let _ = writeln!(text, "ENV {BUILD_ARGUMENT}=\"{prepare}\"");
            }
            text.push_str(self.in_place_of(number, rewrite).unwrap_or(line));
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            if beside.is_some_and(|one| one.run.lines.1 == number) {
                let _ = writeln!(text, "ENV {BUILD_ARGUMENT}=\"\"");
            }
            let copied = self.copies_above_from(number);
            match copied.filter(|_| rewrite.is_none()) {
                None => {}
                Some(0) => {
                    let _ = writeln!(text, "ARG {BUILD_ARGUMENT}");
                }
                // The configuration of such a stage is not the image's.
                Some(copied) => {
                    let asked = BuildArgument {
                        copied,
                        ..asked.clone()
                    };
                    let asked = asked.to_value();
                    let _ = writeln!(text, "ENV {BUILD_ARGUMENT}=\"{asked}\"");
                }
            }
            if number == self.stages[last].1 {
                if let Some(again) = again {
                    let _ = writeln!(text, "ARG OSDERIVE_AGAIN={again}");
                }
                match rewrite {
                    Some(rewrite) => text.push_str(&rewrite.end(commit, BASE_STAGE).text),
                    None => text.push_str(&self.end(commit)),
                }
            }
        }
        text
    }

    /// What stands in place of a line: all that is in place of an instruction is in its first one.
    fn in_place_of<'a>(&'a self, line: u32, rewrite: Option<&'a Rewrite>) -> Option<&'a str> {
        let rewritten = rewrite
            .into_iter()
            .flat_map(|rewrite| rewrite.runs.iter().chain(&rewrite.beside));
        let beside = self.lineage.beside.iter().map(|one| &one.run);
        let runs = self.runs.iter().chain(beside).zip(rewritten);
        let runs = runs.map(|(run, rewritten)| (run.lines, &rewritten.text));
        let from = self.replaced.iter().map(|(lines, text)| (*lines, text));
        let mut all = runs.chain(from);
        let ((first, _), text) = all.find(|((first, last), _)| (*first..=*last).contains(&line))?;
        Some(if line == first { text } else { "" })
    }

    /// The RUN that commits the image, where a runtime puts the tool there.
    fn end(&self, commit: &EndRequest) -> String {
        let words = [TOOL.to_owned()].into_iter().chain(commit.to_args());
        let words: Vec<String> = words.collect();
        let command = serde_json::to_string(&words).unwrap_or_default();
        let run =
            format!("RUN --mount=type=bind,from={BASE_STAGE},target={BASE_MOUNT} {command}\n");
        as_root(self.user.as_deref(), self.directory.as_deref(), &run).text
    }

    /// If the FROM of one of the image's stages ends at a line: how many stages above it are a copy.
    fn copies_above_from(&self, line: u32) -> Option<u32> {
        let ends_there = |stage: usize| {
            let begin = self.stages[stage].0;
            let mut all = self.file.instructions.iter();
            all.any(|one| one.lines == (begin, line))
        };
        let mut stages = self.chain.iter();
        let found = stages.find(|(stage, _)| ends_there(*stage));
        found.map(|(_, copied)| *copied)
    }
}

/// Whether lines are within one of several ranges.
fn is_within(ranges: &[(u32, u32)], lines: (u32, u32)) -> bool {
    let mut ranges = ranges.iter();
    ranges.any(|(begin, end)| *begin <= lines.0 && lines.1 <= *end)
}

/// What stands behind the image in a syntax line that names osderive: `# syntax=osderive --fail-on=warning`. Parser
/// directives are comments above all else (Dockerfile reference, "Parser directives").
pub(crate) fn words_of_syntax(text: &str) -> Vec<String> {
    for line in text.lines() {
        let Some(comment) = line.trim().strip_prefix('#') else {
            break;
        };
        let Some((name, value)) = comment.split_once('=') else {
            break;
        };
        if name.trim().eq_ignore_ascii_case("syntax") {
            let mut words = value.split_whitespace().map(str::to_owned);
            let image = words.next().unwrap_or_default();
            let image = image.rsplit('/').next().unwrap_or_default();
            let is_ours = image.split([':', '@']).next() == Some("osderive");
            return if is_ours { words.collect() } else { Vec::new() };
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests;
