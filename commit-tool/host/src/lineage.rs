//! The instructions that an image is made by, and what stands beside them.

use std::collections::BTreeMap;

use osderive_lints::policy::{Instruction, Stage};

/// What an image is made by, from its lowest stage on.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) steps: Vec<Step>,
    pub(crate) beside: Vec<Beside>,
    /// The build arguments above all stages.
    pub(crate) arguments: BTreeMap<String, String>,
}

/// A step of a lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The FROM of a stage that goes on from what is below it.
    From,
    /// The FROM of a stage that is a copy of the one below it: of that one's files, and of nothing else.
    Copy,
    Instruction(Instruction),
}

/// The first RUN of a stage beside the image that goes on from a committed one. It needs /var as at boot, which the commits
/// have emptied.
#[derive(Debug)]
pub(crate) struct Beside {
    /// What comes before it, from the steps of the image on.
    pub(crate) before: Vec<Step>,
    pub(crate) run: Instruction,
}

impl Lineage {
    /// The lineage of the stages of a chain.
    pub(crate) fn of(
        stages: &[Stage<'_>],
        chain: &[usize],
        arguments: BTreeMap<String, String>,
    ) -> Self {
        Self {
            steps: chain.iter().flat_map(|at| steps(&stages[*at])).collect(),
            beside: beside(stages, chain),
            arguments,
        }
    }

    /// The steps that the image's configuration and history come from: those since the last copy.
    pub(crate) fn since_copy(&self) -> &[Step] {
        let copy = self.steps.iter().rposition(|step| *step == Step::Copy);
        &self.steps[copy.unwrap_or_default()..]
    }

    /// Whether the image ends as root, and a RUN at its end can: the engine looks a name up in the image, but no number
    /// (buildah `pkg/chrootuser/user.go`, `GetUser`). A RUN of that user shows that the name is there.
    pub(crate) fn ends_as_root(&self, user: &str) -> bool {
        let is_user = |step: &&Step| {
            let instruction = step.instruction();
            instruction.is_some_and(|one| one.keyword() == "USER")
        };
        let mut since = self
            .since_copy()
            .iter()
            .rev()
            .take_while(|step| !is_user(step));
        is_root(user)
            && (["", "0", "0:0"].contains(&user) || since.any(|step| step.run().is_some()))
    }

    /// The RUNs, in the order in which they run: those of each copy apart, and last those since the last one.
    pub(crate) fn runs(&self) -> Vec<Vec<&Instruction>> {
        let parts = self.steps.split(|step| *step == Step::Copy);
        parts
            .map(|part| part.iter().filter_map(Step::run).collect())
            .collect()
    }
}

/// What a USER may have for root.
pub(crate) fn is_root(user: &str) -> bool {
    ["", "0", "0:0", "0:root", "root", "root:0", "root:root"].contains(&user)
}

impl Step {
    /// The instruction; none for a FROM.
    pub(crate) fn instruction(&self) -> Option<&Instruction> {
        match self {
            Self::From | Self::Copy => None,
            Self::Instruction(instruction) => Some(instruction),
        }
    }

    pub(crate) fn run(&self) -> Option<&Instruction> {
        self.instruction().filter(|one| one.keyword() == "RUN")
    }
}

fn steps<'a>(stage: &Stage<'a>) -> impl Iterator<Item = Step> + use<'a> {
    let is_copy = stage.copy_of.is_some();
    let all = stage.instructions.iter();
    all.map(move |instruction| match instruction.keyword().as_str() {
        "FROM" if is_copy => Step::Copy,
        "FROM" => Step::From,
        _ => Step::Instruction(instruction.clone()),
    })
}

/// The first RUN of each stage that goes on from a committed stage of the image, or from a stage without a RUN that does.
fn beside(stages: &[Stage<'_>], chain: &[usize]) -> Vec<Beside> {
    let mut found = Vec::new();
    // What a stage leaves to those that are built on it: the steps since the base, if the last commit of them is the
    // image's.
    let mut left: Vec<Option<Vec<Step>>> = Vec::new();
    // What comes after the image's own stage is not built.
    let built = chain.last().map_or(0, |last| last + 1);
    for (number, stage) in stages[..built].iter().enumerate() {
        let below = stage.built_on.or(stage.copy_of);
        let below = below.map(|below| left[below].clone());
        if chain.contains(&number) {
            let mut before = below.flatten().unwrap_or_default();
            before.extend(steps(stage));
            left.push(Some(before));
            continue;
        }
        let is_committed = |before: &Vec<Step>| before.iter().any(|step| step.run().is_some());
        let Some(mut before) = below.flatten().filter(is_committed) else {
            left.push(None);
            continue;
        };
        let mut own = steps(stage);
        let run = own.find(|step| {
            let is_run = step.run().is_some();
            if !is_run {
                before.push(step.clone());
            }
            is_run
        });
        left.push(run.is_none().then(|| before.clone()));
        let run = run.as_ref().and_then(Step::run).cloned();
        found.extend(run.map(|run| Beside { before, run }));
    }
    found
}
