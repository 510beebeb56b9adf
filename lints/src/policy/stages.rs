//! The stages of a Containerfile: which of its instructions an image is made by. Names that are made of
//! build arguments are not known here; such a stage is taken for an image from elsewhere.

use super::{Containerfile, Instruction};

struct Stage<'a> {
    /// Lower-case, as names are compared; empty without one.
    name: String,
    /// What it is built on, in lower case.
    base: String,
    /// With its FROM.
    instructions: &'a [Instruction],
}

impl Containerfile {
    /// The instructions of the image that a target names, or of the last one, from the lowest stage that
    /// it is built on to its own end.
    pub fn lineage(&self, target: Option<&str>) -> Vec<&Instruction> {
        let stages = self.stages();
        let target = target.filter(|name| !name.is_empty());
        let end = match target.map(str::to_ascii_lowercase) {
            None => stages.len().checked_sub(1),
            Some(name) => find(&stages, &name).or_else(|| name.parse().ok()),
        };
        let mut chain = Vec::new();
        let mut at = end;
        while let Some((below, stage)) = at.and_then(|at| Some((at, stages.get(at)?))) {
            chain.push(stage.instructions);
            // A stage is built on one above it, or on an image from elsewhere.
            at = find(&stages[..below], &stage.base);
        }
        chain.into_iter().rev().flatten().collect()
    }

    fn stages(&self) -> Vec<Stage<'_>> {
        let all = &self.instructions;
        let is_from = |instruction: &Instruction| instruction.keyword() == "FROM";
        let begins = (0..all.len()).filter(|&place| is_from(&all[place]));
        let begins: Vec<usize> = begins.collect();
        let ends = begins.iter().copied().skip(1).chain([all.len()]);
        let stages = begins.iter().zip(ends).map(|(&begin, end)| {
            let mut words = all[begin].words().filter(|word| !word.starts_with("--"));
            let base = words.next().unwrap_or_default();
            let is_named = words
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case("as"));
            let name = words.next().filter(|_| is_named).unwrap_or_default();
            Stage {
                name: name.to_ascii_lowercase(),
                base: base.to_ascii_lowercase(),
                instructions: &all[begin..end],
            }
        });
        stages.collect()
    }
}

fn find(stages: &[Stage<'_>], name: &str) -> Option<usize> {
    let is_it = |stage: &Stage<'_>| !name.is_empty() && stage.name == name;
    stages.iter().rposition(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
ARG BASE=os
FROM --platform=linux/amd64 $BASE AS Lower
ENV A=1
FROM alpine as builder
RUN make
FROM lower
RUN one
";

    fn lines(target: Option<&str>) -> Vec<u32> {
        let file = Containerfile::parse("Containerfile", TEXT.as_bytes()).expect("a file");
        let lineage = file.lineage(target).into_iter();
        lineage.map(|instruction| instruction.lines.0).collect()
    }

    #[test]
    fn an_image_is_made_by_the_stages_that_it_is_built_on() {
        assert_eq!(lines(None), [2, 3, 6, 7]);
        assert_eq!(lines(Some("")), [2, 3, 6, 7]);
        assert_eq!(lines(Some("BUILDER")), [4, 5]);
        assert_eq!(lines(Some("0")), [2, 3]);
        assert_eq!(lines(Some("unknown")), [0; 0]);
    }

    #[test]
    fn a_stage_that_has_the_name_of_its_own_base_is_built_on_an_image() {
        let file =
            Containerfile::parse("Containerfile", b"FROM os AS os\nRUN a\n").expect("a file");
        assert_eq!(file.lineage(None).len(), 2);
    }
}
