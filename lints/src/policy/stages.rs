//! The stages of a Containerfile: which of its instructions an image is made by.

use std::collections::BTreeMap;

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
            stages.push(Stage {
                name: name.to_ascii_lowercase(),
                built_on: find(&stages, &base.to_ascii_lowercase()),
                base,
                instructions: &all[begin..end],
            });
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

/// The numbers of the stages that an image is made by: of the one that a target names, or of the last one, and of
/// those that it is built on, the lowest first. None if there is no such stage.
pub fn chain(stages: &[Stage<'_>], target: Option<&str>) -> Vec<usize> {
    let target = target.filter(|name| !name.is_empty());
    let end = match target.map(str::to_ascii_lowercase) {
        None => stages.len().checked_sub(1),
        Some(name) => find(stages, &name).or_else(|| name.parse().ok()),
    };
    let mut chain = Vec::new();
    let mut at = end.filter(|end| *end < stages.len());
    while let Some(place) = at {
        chain.push(place);
        at = stages[place].built_on;
    }
    chain.reverse();
    chain
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
