//! Shell scripts as lists of commands and their words: enough to see which programs a RUN calls by
//! name. Nothing is expanded: a variable stays its name, and what is in a file is not seen.

use std::iter::Peekable;
use std::str::Chars;

/// Shells, and what hands a script to one.
const SHELLS: [&str; 7] = ["ash", "bash", "dash", "ksh", "sh", "su", "zsh"];

/// The simple commands that a command line runs, in the order of the text: itself, or those of the
/// script that it has a shell run. What is in parentheses or loops stands beside the rest.
pub(crate) fn commands(words: &[String]) -> Vec<Command> {
    commands_of(Command {
        words: words.to_vec(),
        ..Command::default()
    })
}

/// The name of the program that a word is the path of.
pub(crate) fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// A simple command.
#[derive(Debug, Default)]
pub(crate) struct Command {
    pub(crate) words: Vec<String>,
    /// Where its input comes from and its output goes.
    pub(crate) files: Vec<String>,
    /// A heredoc that it reads.
    input: Option<String>,
}

fn commands_of(command: Command) -> Vec<Command> {
    let is_shell = |word: &String| SHELLS.contains(&program(word));
    let Some(shell) = command.words.iter().position(is_shell) else {
        return vec![command];
    };
    // `-c`, also among other letters as in `-euxc`.
    let is_script_next =
        |word: &String| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c');
    let mut arguments = command.words[shell..].iter();
    let script = match arguments.find(|word| is_script_next(word)) {
        Some(_) => arguments.next(),
        None => command.input.as_ref(),
    };
    match script {
        Some(script) => Reader::read(script)
            .into_iter()
            .flat_map(commands_of)
            .collect(),
        None => vec![command],
    }
}

/// A heredoc whose lines are still to come.
struct Heredoc {
    /// The command that reads it, by its place.
    command: usize,
    delimiter: String,
    strips_tabs: bool,
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    commands: Vec<Command>,
    /// The command that is being read.
    words: Vec<String>,
    files: Vec<String>,
    heredocs: Vec<Heredoc>,
}

impl<'a> Reader<'a> {
    fn read(script: &'a str) -> Vec<Command> {
        let mut reader = Self {
            rest: script.chars().peekable(),
            commands: Vec::new(),
            words: Vec::new(),
            files: Vec::new(),
            heredocs: Vec::new(),
        };
        while let Some(next) = reader.rest.next() {
            match next {
                '\n' => {
                    reader.end_command();
                    reader.read_heredocs();
                }
                ';' | '&' | '|' | '(' | ')' | '`' => reader.end_command(),
                '<' | '>' => reader.redirect(next),
                '#' => while reader.rest.next_if(|&next| next != '\n').is_some() {},
                _ if next.is_whitespace() => {}
                // A line that goes on.
                '\\' if reader.rest.next_if_eq(&'\n').is_some() => {}
                _ => {
                    let word = reader.word(Some(next));
                    reader.words.push(word);
                }
            }
        }
        reader.end_command();
        reader.commands
    }

    fn end_command(&mut self) {
        if !self.words.is_empty() || !self.files.is_empty() {
            self.commands.push(Command {
                words: std::mem::take(&mut self.words),
                files: std::mem::take(&mut self.files),
                input: None,
            });
        }
    }

    /// A word, without its quotes.
    fn word(&mut self, first: Option<char>) -> String {
        let mut word = String::new();
        let mut next = first;
        loop {
            let ends = |next: &char| next.is_whitespace() || ";&|()`<>".contains(*next);
            next = next.or_else(|| self.rest.next_if(|next| !ends(next)));
            match next.take() {
                None => return word,
                Some('\\') => {
                    let escaped = self.rest.next();
                    word.extend(escaped.filter(|&escaped| escaped != '\n'));
                }
                Some('\'') => word.extend(self.rest.by_ref().take_while(|&quoted| quoted != '\'')),
                Some('"') => self.double_quoted(&mut word),
                Some(plain) => word.push(plain),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut String) {
        while let Some(quoted) = self.rest.next() {
            match quoted {
                '"' => return,
                '\\' => match self.rest.next() {
                    Some('\n') | None => {}
                    Some(escaped) if "$`\"\\".contains(escaped) => word.push(escaped),
                    Some(other) => word.extend(['\\', other]),
                },
                _ => word.push(quoted),
            }
        }
    }

    /// Goes past where a command's input comes from or its output goes.
    fn redirect(&mut self, first: char) {
        let mut operator = String::from(first);
        while let Some(more) = self.rest.next_if(|&next| "<>&|".contains(next)) {
            operator.push(more);
        }
        let is_heredoc = operator == "<<";
        let strips_tabs = is_heredoc && self.rest.next_if_eq(&'-').is_some();
        while self.rest.next_if(|next| " \t".contains(*next)).is_some() {}
        let target = self.word(None);
        if is_heredoc {
            self.heredocs.push(Heredoc {
                command: self.commands.len(),
                delimiter: target,
                strips_tabs,
            });
        } else if operator != "<<<" {
            self.files.push(target);
        }
    }

    fn read_heredocs(&mut self) {
        for heredoc in std::mem::take(&mut self.heredocs) {
            let mut text = String::new();
            while self.rest.peek().is_some() {
                let line: String = self.rest.by_ref().take_while(|&c| c != '\n').collect();
                let line = if heredoc.strips_tabs {
                    line.trim_start_matches('\t')
                } else {
                    &line
                };
                if line == heredoc.delimiter {
                    break;
                }
                text.push_str(line);
                text.push('\n');
            }
            if let Some(command) = self.commands.get_mut(heredoc.command) {
                command.input = Some(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let commands = commands(&words).into_iter();
        commands.map(|command| command.words.join("|")).collect()
    }

    #[test]
    fn scripts_are_read_as_commands_of_words() {
        for (script, commands) in [
            ("", &[][..]),
            ("a -b c", &["a|-b|c"]),
            ("a && b || c; d | e & f", &["a", "b", "c", "d", "e", "f"]),
            ("a\nb \\\n c\\\nd\n", &["a", "b|cd"]),
            ("a 'b  ; c' \"d && 'e'\" f\\ g", &["a|b  ; c|d && 'e'|f g"]),
            ("a \"b\\\"c\" \"\" 'd'\"e\"f", &["a|b\"c||def"]),
            ("(a; b) && { c; }", &["a", "b", "{|c", "}"]),
            ("a $(b c) `d`", &["a|$", "b|c", "d"]),
            ("if a; then b; fi", &["if|a", "then|b", "fi"]),
            ("a # b; c\n# d\ne f#g", &["a", "e|f#g"]),
            ("a >b 2>&1 c </dev/null d", &["a|2|c|d"]),
            ("a <<<\"b c\" d", &["a|d"]),
            ("X=1 a \"$B\" ${C}", &["X=1|a|$B|${C}"]),
            ("a 'b", &["a|b"]),
            ("a \"b", &["a|b"]),
            ("a \\", &["a|"]),
        ] {
            assert_eq!(read(&["/bin/sh", "-c", script]), commands, "{script}");
        }
    }

    #[test]
    fn files_of_redirections_are_known() {
        let words = ["sh", "-c", "a >b 2>>'c d' <e; : <<EOF >f\nEOF\n>g"].map(str::to_owned);
        let files: Vec<String> = (commands(&words).iter())
            .map(|command| command.files.join("|"))
            .collect();
        assert_eq!(files, ["b|c d|e", "f", "g"]);
    }

    #[test]
    fn what_a_shell_is_given_to_run_is_read_too() {
        for (words, commands) in [
            (&["a", "-c", "b; c"][..], &["a|-c|b; c"][..]),
            (&["/bin/bash", "-o", "pipefail", "-c", "a;b"], &["a", "b"]),
            (&["/usr/bin/env", "bash", "-euxc", "a;b"], &["a", "b"]),
            (&["sh", "-c", "sudo sh -c 'a; b' && c"], &["a", "b", "c"]),
            (&["sh", "-c", "su -c \"a 'b c'\" d"], &["a|b c"]),
            (&["sh", "script.sh"], &["sh|script.sh"]),
            (&["sh", "-c"], &["sh|-c"]),
            (&["sh", "--norc"], &["sh|--norc"]),
        ] {
            assert_eq!(read(words), commands, "{words:?}");
        }
    }

    #[test]
    fn heredocs_are_commands_only_to_a_shell() {
        for (script, commands) in [
            ("cat <<EOF >a && b\nc d\nEOF\ne", &["cat", "b", "e"][..]),
            ("bash -eu <<'EOF'\na; b\nEOF\nc", &["a", "b", "c"]),
            ("a <<-X <<Y\n\tb\n\tX\nc\nY\nd", &["a", "d"]),
            ("sh <<EOF\na", &["a"]),
        ] {
            assert_eq!(read(&["/bin/sh", "-c", script]), commands, "{script}");
        }
    }
}
