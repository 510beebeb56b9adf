//! The instructions that an image is made by, and what stands beside them.

use std::collections::BTreeMap;

use osderive_lints::policy::{Instruction, Stage};

/// What an image is made by, from its lowest stage on.
#[derive(Debug)]
pub(crate) struct Lineage {
    /// None for a FROM.
    pub(crate) instructions: Vec<Option<Instruction>>,
    pub(crate) beside: Vec<Beside>,
    /// The build arguments above all stages.
    pub(crate) arguments: BTreeMap<String, String>,
}

/// The first RUN of a stage beside the image that goes on from a committed one. It needs /var as at boot, which the commits
/// have emptied.
#[derive(Debug)]
pub(crate) struct Beside {
    /// The instructions up to it, from those of the image on; none for a FROM.
    pub(crate) before: Vec<Option<Instruction>>,
    pub(crate) run: Instruction,
}

impl Lineage {
    /// The lineage of the stages of a chain.
    pub(crate) fn of(
        stages: &[Stage<'_>],
        chain: &[usize],
        arguments: BTreeMap<String, String>,
    ) -> Self {
        let of_image = chain.iter().flat_map(|at| stages[*at].instructions);
        Self {
            instructions: of_image.map(but_from).collect(),
            beside: beside(stages, chain),
            arguments,
        }
    }
}

/// An instruction that is no FROM.
fn but_from(instruction: &Instruction) -> Option<Instruction> {
    Some(instruction.clone()).filter(|one| one.keyword() != "FROM")
}

/// The first RUN of each stage that goes on from a committed stage of the image, or from a stage without a RUN that does.
fn beside(stages: &[Stage<'_>], chain: &[usize]) -> Vec<Beside> {
    let mut found = Vec::new();
    // What a stage leaves to those that are built on it: the instructions since the base, if the last commit of them is
    // the image's.
    let mut left: Vec<Option<Vec<Option<Instruction>>>> = Vec::new();
    // What comes after the image's own stage is not built.
    let built = chain.last().map_or(0, |last| last + 1);
    for (number, stage) in stages[..built].iter().enumerate() {
        let below = stage.built_on.map(|below| left[below].clone());
        let all = stage.instructions.iter();
        let is_run = |one: &&Instruction| one.keyword() == "RUN";
        if chain.contains(&number) {
            let mut before = below.flatten().unwrap_or_default();
            before.extend(all.map(but_from));
            left.push(Some(before));
            continue;
        }
        let is_committed =
            |before: &Vec<Option<Instruction>>| before.iter().flatten().any(|one| is_run(&one));
        let Some(mut before) = below.flatten().filter(is_committed) else {
            left.push(None);
            continue;
        };
        before.extend(all.clone().take_while(|one| !is_run(one)).map(but_from));
        let run = all.clone().find(is_run);
        left.push(run.is_none().then(|| before.clone()));
        found.extend(run.cloned().map(|run| Beside { before, run }));
    }
    found
}
