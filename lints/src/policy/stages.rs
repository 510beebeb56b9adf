//! The stages of a Containerfile: which of its instructions an image is made by.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::{Containerfile, Instruction};

/// A stage of a Containerfile.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// Lower-case, as names are compared; empty without one.
    pub name: String,
    /// What it is built on, with the values of arguments.
    pub base: String,
    /// The stage above it that it is built on, by its number; none of an image from elsewhere.
    pub built_on: Option<usize>,
    /// The stage above it that it is a copy of: `FROM scratch`, `COPY --from=STAGE / /`. It has the files of that stage, and
    /// nothing of its configuration and history.
    pub copy_of: Option<usize>,
    /// With its FROM.
    pub instructions: &'a [Instruction],
}

impl Stage<'_> {
    /// Whether it begins with nothing.
    pub fn is_from_scratch(&self) -> bool {
        self.built_on.is_none() && self.base == "scratch"
    }
}

impl Containerfile {
    /// The instructions of the image that a target names, or of the last one, from the lowest stage that
    /// it is built on to its own end. Names that are made of build arguments have the arguments' defaults.
    pub fn lineage(&self, target: Option<&str>) -> Vec<&Instruction> {
        let stages = self.stages(&|_| None);
        let chain = chain(&stages, target).into_iter();
        chain.flat_map(|at| stages[at].instructions).collect()
    }

    /// Its stages in their order. `given` has the values of build arguments that are not left to their defaults.
    pub fn stages(&self, given: &dyn Fn(&str) -> Option<String>) -> Vec<Stage<'_>> {
        let all = &self.instructions;
        let begins: Vec<usize> = (0..all.len())
            .filter(|&place| is_from(&all[place]))
            .collect();
        let arguments = self.arguments(given);
        let value = |name: &str| arguments.get(name).cloned().or_else(|| given(name));
        let ends = begins.iter().copied().skip(1).chain([all.len()]);
        let mut stages: Vec<Stage<'_>> = Vec::new();
        for (&begin, end) in begins.iter().zip(ends) {
            let mut words = all[begin].words().filter(|word| !word.starts_with("--"));
            let base = words.next().unwrap_or_default();
            let is_named = words
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case("as"));
            let name = words.next().filter(|_| is_named).unwrap_or_default();
            let base = expanded(base, &value).unwrap_or_default();
            let mut stage = Stage {
                name: name.to_ascii_lowercase(),
                built_on: find(&stages, &base.to_ascii_lowercase()),
                copy_of: None,
                base,
                instructions: &all[begin..end],
            };
            if stage.is_from_scratch() {
                stage.copy_of = copied_whole(stage.instructions)
                    .and_then(|name| named(&stages, &name.to_ascii_lowercase()));
            }
            stages.push(stage);
        }
        stages
    }

    /// The build arguments that stand above all stages, with what they are given.
    pub fn arguments(&self, given: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
        let mut arguments = BTreeMap::new();
        let above = self.instructions.iter().take_while(|one| !is_from(one));
        for instruction in above.filter(|one| one.keyword() == "ARG") {
            for word in instruction.words() {
                let (name, default) = word.split_once('=').unwrap_or((word, ""));
                let default = expanded(default, &|name| arguments.get(name).cloned());
                let value = given(name).or(default).unwrap_or_default();
                arguments.insert(name.to_owned(), value);
            }
        }
        arguments
    }
}

fn is_from(instruction: &Instruction) -> bool {
    instruction.keyword() == "FROM"
}

/// What a stage copies whole before it does anything else to its files. As it is: no owner, no mode, nothing left out.
fn copied_whole(instructions: &[Instruction]) -> Option<&str> {
    let of_files = ["ADD", "COPY", "RUN", "WORKDIR"];
    let first = instructions
        .iter()
        .find(|one| of_files.contains(&one.keyword().as_str()))?;
    let (flags, paths): (Vec<&str>, Vec<&str>) = first
        .words()
        .filter(|word| !word.is_empty())
        .partition(|word| word.starts_with("--"));
    let mut from = None;
    for flag in flags {
        match flag.split_once('=') {
            Some(("--from", name)) => from = Some(name),
            Some(("--link", _)) => {}
            None if flag == "--link" => {}
            _ => return None,
        }
    }
    let is_root = |path: &str| {
        let mut parts = Path::new(path).components();
        parts.all(|part| matches!(part, Component::RootDir | Component::CurDir))
    };
    match paths.as_slice() {
        [source, target] if is_root(source) && is_root(target) => {
            from.filter(|_| first.keyword() == "COPY")
        }
        _ => None,
    }
}

/// The numbers of the stages that an image is built on: the one that a target names, or the last one, and what is below it,
/// the lowest first. None if there is no such stage.
pub fn chain(stages: &[Stage<'_>], target: Option<&str>) -> Vec<usize> {
    down(stages, target, |stage| stage.built_on)
}

/// The numbers of the stages that the files of an image come from: those of [`chain`], and those that one of them is a copy
/// of.
pub fn chain_of_files(stages: &[Stage<'_>], target: Option<&str>) -> Vec<usize> {
    down(stages, target, |stage| stage.built_on.or(stage.copy_of))
}

fn down(
    stages: &[Stage<'_>],
    target: Option<&str>,
    below: impl Fn(&Stage<'_>) -> Option<usize>,
) -> Vec<usize> {
    let target = target.filter(|name| !name.is_empty());
    let end = match target.map(str::to_ascii_lowercase) {
        None => stages.len().checked_sub(1),
        Some(name) => named(stages, &name),
    };
    let chain = std::iter::successors(end, |place| below(&stages[*place]));
    let mut chain: Vec<usize> = chain.collect();
    chain.reverse();
    chain
}

/// The stage that a name or a number in an instruction means.
fn named(stages: &[Stage<'_>], name: &str) -> Option<usize> {
    let place = find(stages, name).or_else(|| name.parse().ok());
    place.filter(|place| *place < stages.len())
}

fn find(stages: &[Stage<'_>], name: &str) -> Option<usize> {
    let is_it = |stage: &Stage<'_>| !name.is_empty() && stage.name == name;
    stages.iter().rposition(is_it)
}

/// A word with the values of variables (Dockerfile reference, "Environment replacement"): `$A`, `${A}`, `${A:-word}`,
/// `${A:+word}` and these without a colon. None where it has another form, whose value is not known here.
pub fn expanded(word: &str, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = word;
    while let Some(sign) = rest.chars().next() {
        rest = &rest[sign.len_utf8()..];
        match sign {
            '"' | '\'' => {}
            '\\' => {
                let next = rest.chars().next()?;
                out.push(next);
                rest = &rest[next.len_utf8()..];
            }
            '$' if rest.starts_with('{') => {
                let end = closing(rest)?;
                out.push_str(&braced(&rest[1..end], value)?);
                rest = &rest[end + 1..];
            }
            '$' => {
                let end = rest
                    .find(|sign: char| !is_of_name(sign))
                    .unwrap_or(rest.len());
                out.push_str(&value(&rest[..end]).unwrap_or_default());
                rest = &rest[end..];
            }
            sign => out.push(sign),
        }
    }
    Some(out)
}

/// Where the brace that begins a text is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.char_indices().find_map(|(at, sign)| {
        depth += match sign {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        (depth == 0).then_some(at)
    })
}

fn braced(inside: &str, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let end = inside
        .find(|sign: char| !is_of_name(sign))
        .unwrap_or(inside.len());
    let (name, modifier) = inside.split_at(end);
    let value_of = value(name);
    let (ignores_empty, modifier) = match modifier.strip_prefix(':') {
        Some(modifier) => (true, modifier),
        None => (false, modifier),
    };
    let is_set = value_of
        .as_ref()
        .is_some_and(|value| !ignores_empty || !value.is_empty());
    match modifier.chars().next() {
        None if !ignores_empty => Some(value_of.unwrap_or_default()),
        Some('-') if is_set => value_of,
        Some('-') => expanded(&modifier[1..], value),
        Some('+') if is_set => expanded(&modifier[1..], value),
        Some('+') => Some(String::new()),
        _ => None,
    }
}

fn is_of_name(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_'
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

    fn file(text: &str) -> Containerfile {
        Containerfile::parse("Containerfile", text.as_bytes()).expect("a file")
    }

    fn lines(target: Option<&str>) -> Vec<u32> {
        let file = file(TEXT);
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
        assert_eq!(file("FROM os AS os\nRUN a\n").lineage(None).len(), 2);
    }

    #[test]
    fn a_stage_may_be_named_by_build_arguments() {
        let file =
            file("ARG A=one B=${A}\nFROM os AS one\nFROM os AS two\nFROM ${B:-two} AS end\n");
        let built_on = |given: Option<&'static str>| {
            let value = |name: &str| given.filter(|_| name == "A").map(str::to_owned);
            chain(&file.stages(&value), None)
        };
        assert_eq!(built_on(None), [0, 2]);
        assert_eq!(built_on(Some("two")), [1, 2]);
        assert_eq!(built_on(Some("")), [1, 2]);
        assert_eq!(built_on(Some("elsewhere")), [2]);
    }

    #[test]
    fn a_stage_may_be_a_copy_of_another() {
        let of = |copy: &str| {
            let file = file(&format!("FROM os AS one\nRUN a\n{copy}"));
            let stages = file.stages(&|_| None);
            assert_eq!(chain(&stages, None), [1]);
            chain_of_files(&stages, None)
        };
        for copy in [
            "FROM scratch\nLABEL a=b\nENV A=b\nCOPY --from=One / /\nRUN b\n",
            "FROM scratch\nCOPY --link --from=0 . .\n",
            "FROM scratch\nCOPY --from=one  /.  /./\n",
        ] {
            assert_eq!(of(copy), [0, 1], "{copy}");
        }
        for other in [
            "FROM scratch\nCOPY --from=one /usr /\n",
            "FROM scratch\nCOPY --from=one / /usr\n",
            "FROM scratch\nCOPY --from=one / /usr /\n",
            "FROM scratch\nCOPY --from=one --chown=a / /\n",
            "FROM scratch\nCOPY --from=one --exclude=usr / /\n",
            "FROM scratch\nCOPY --from=elsewhere / /\n",
            "FROM scratch\nCOPY --from=1 / /\n",
            "FROM scratch\nCOPY / /\n",
            "FROM scratch\nCOPY x /x\nCOPY --from=one / /\n",
            "FROM scratch\nWORKDIR /x\nCOPY --from=one / /\n",
            "FROM other\nCOPY --from=one / /\n",
        ] {
            assert_eq!(of(other), [1], "{other}");
        }
    }

    #[test]
    fn variables_have_their_values_in_all_forms_that_are_known() {
        let value = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (word, expected) in [
            ("$A-$B.x", Some("a-.x")),
            ("${A}b", Some("ab")),
            ("\"${A:-x}\"", Some("a")),
            ("${B:-x/${A}:1}", Some("x/a:1")),
            ("${EMPTY-x}${EMPTY:-y}", Some("y")),
            ("${A:+x}${A+y}${B+z}", Some("xy")),
            (r"\$A", Some("$A")),
            ("${A%x}", None),
            ("${A", None),
            ("${A:}", None),
            ("a\\", None),
        ] {
            assert_eq!(expanded(word, &value).as_deref(), expected, "{word}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_word_is_expanded_or_not_known(word in "[$a{}:+A\\\\é-]{0,12}") {
            let _ = expanded(&word, &|_| None);
        }
    }
}
