//! A RUN as podman and buildah read it: its flags, and the command that they start (openshift/imagebuilder
//! `dockerfile/parser`, buildah `imagebuildah/stage_executor.go`, `Run`).

use osderive_lints::policy::Instruction;

/// The descriptor that the script of a here-document is read from.
const SCRIPT: u8 = 9;

/// Shells that know here-documents.
const SHELLS: [&str; 7] = ["ash", "bash", "busybox", "dash", "ksh", "sh", "zsh"];

/// A RUN's flags and command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// As they are written: `--mount=… --network=…`.
    pub(crate) flags: String,
    /// The words that are started.
    pub(crate) command: Vec<String>,
}

impl Run {
    /// Reads a RUN. `shell` is what a command that is no list of words is given to.
    ///
    /// # Errors
    /// Says what of it cannot be told.
    pub(crate) fn read(instruction: &Instruction, shell: &[String]) -> Result<Self, &'static str> {
        let (_, rest) = split(&instruction.line);
        let end = end_of_flags(rest);
        let flags = rest[..end].trim().trim_end_matches(" --");
        let flags = if flags == "--" { "" } else { flags };
        let rest = rest[end..].trim();
        let words = || {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Vec<String>>();
            values.next()?.ok()
        };
        if let Some(command) = words() {
            return Ok(Self {
                flags: flags.to_owned(),
                command,
            });
        }
        let text = match &instruction.documents[..] {
            [] => rest.to_owned(),
            [only] if is_document(rest) => match only.content.strip_prefix("#!") {
                Some(script) => {
                    let name = shell.first().and_then(|shell| shell.rsplit('/').next());
                    if !name.is_some_and(|name| SHELLS.contains(&name)) {
                        return Err("a script as a here-document, with a SHELL of its own");
                    }
                    let interpreter = script.lines().next().unwrap_or_default().trim();
                    let end = free_word(&only.content);
                    format!(
                        "exec {interpreter} /dev/fd/{SCRIPT} {SCRIPT}<<'{end}'\n{}{end}\n",
                        only.content
                    )
                }
                None => only.content.clone(),
            },
            documents => {
                let below = documents
                    .iter()
                    .map(|document| format!("\n{}{}", document.content, document.end));
                rest.to_owned() + &below.collect::<String>()
            }
        };
        Ok(Self {
            flags: flags.to_owned(),
            command: shell.iter().cloned().chain([text]).collect(),
        })
    }
}

/// The keyword, and what comes after it.
pub(crate) fn split(line: &str) -> (&str, &str) {
    let line = line.trim();
    line.split_once(char::is_whitespace).unwrap_or((line, ""))
}

/// Where a RUN's flags end: words at its beginning that begin with two dashes, in which quotes and backslashes hold
/// blanks together; `--` ends them.
fn end_of_flags(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let begin = at + rest.len() - rest.trim_start().len();
        if !text[begin..].starts_with("--") {
            return at;
        }
        at = begin + end_of_word(&text[begin..]);
        if &text[begin..at] == "--" {
            return at;
        }
    }
}

fn end_of_word(text: &str) -> usize {
    let mut quote = None;
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match (quote, sign) {
            (_, '\\') => {
                signs.next();
            }
            (Some(open), sign) if sign == open => quote = None,
            (None, '\'' | '"') => quote = Some(sign),
            (None, sign) if sign.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

/// Whether a command is nothing but a here-document, whose content is the command then.
fn is_document(command: &str) -> bool {
    let command = command.trim_start_matches(|sign: char| sign.is_ascii_digit());
    command
        .strip_prefix("<<")
        .is_some_and(|word| !word.contains('<') && !word.contains(char::is_whitespace))
}

/// A word that is no line of a text.
fn free_word(text: &str) -> String {
    let mut word = "OSDERIVE".to_owned();
    while text.lines().any(|line| line == word) {
        word.push('_');
    }
    word
}

#[cfg(test)]
mod tests {
    use osderive_lints::policy::Containerfile;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Run {
        let file = Containerfile::parse("Containerfile", text.as_bytes()).expect("a file");
        let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
        Run::read(&file.instructions[0], &shell).expect("a command")
    }

    fn shell(text: &str) -> [String; 3] {
        ["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()]
    }

    #[test]
    fn a_command_is_told_from_its_flags() {
        for (text, flags, command) in [
            ("RUN  a  'b  c' ", "", "a  'b  c'"),
            (
                "RUN --mount=type=cache,target=/x \\\n  --network=none\\\n  a --b",
                "--mount=type=cache,target=/x   --network=none",
                "a --b",
            ),
            ("RUN --mount='a b' -- --c", "--mount='a b'", "--c"),
            ("RUN -- a", "", "a"),
            ("RUN --mount=a\\ b c", "--mount=a\\ b", "c"),
            ("RUN [ -e /x ] && a", "", "[ -e /x ] && a"),
        ] {
            let run = read(text);
            assert_eq!(run.flags, flags, "{text}");
            assert_eq!(run.command, shell(command), "{text}");
        }
    }

    #[test]
    fn a_list_of_words_is_no_text_for_a_shell() {
        assert_eq!(
            read("RUN --network=none [\"a\", \"b c\"]").command,
            ["a", "b c"]
        );
    }

    #[test]
    fn here_documents_are_a_command_or_belong_to_one() {
        assert_eq!(
            read("RUN <<E\nset -e\n\ta\nE\n").command,
            shell("set -e\n\ta\n")
        );
        assert_eq!(read("RUN <<-E\n\ta\n\tE\n").command, shell("a\n"));
        assert_eq!(
            read("RUN cat <<A <<'B' >/x\none\nA\ntwo\nB\n").command,
            shell("cat <<A <<'B' >/x\none\nA\ntwo\nB")
        );
        assert_eq!(
            read("RUN <<E\n#!/usr/bin/env python3\nOSDERIVE\nE\n").command,
            shell(
                "exec /usr/bin/env python3 /dev/fd/9 9<<'OSDERIVE_'\n#!/usr/bin/env python3\nOSDERIVE\nOSDERIVE_\n"
            )
        );
    }

    proptest! {
        #[test]
        fn any_text_is_flags_and_a_command(text in "[-a \\\\'\"é\t=<\\[\\],]{0,24}") {
            let line = format!("RUN {text}");
            let instruction = Instruction { line, ..Instruction::default() };
            let shell = ["sh".to_owned()];
            let run = Run::read(&instruction, &shell).expect("a command");
            prop_assert!(text.trim().starts_with(&run.flags));
            if run.command.first() == shell.first() {
                prop_assert!(text.trim().ends_with(&run.command[1]));
            }
        }
    }

    #[test]
    fn a_script_for_an_unknown_shell_is_refused() {
        let text = "RUN <<E\n#!/bin/x\nE\n";
        let file = Containerfile::parse("Containerfile", text.as_bytes()).expect("a file");
        let shell = ["/usr/bin/python3".to_owned(), "-c".to_owned()];
        assert!(Run::read(&file.instructions[0], &shell).is_err());
    }
}
