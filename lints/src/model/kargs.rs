//! /usr/lib/bootc/kargs.d: kernel arguments as TOML (bootc's `bootc_kargs.rs` and its documentation,
//! "Kernel arguments"). Unknown keys are errors, as they are to bootc.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

/// Where the files are, relative to the root; only names that end in `.toml` are read.
pub const DIRECTORY: &str = "usr/lib/bootc/kargs.d";

/// What one file says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[serde(rename = "kargs")]
    _kargs: Vec<String>,
    match_architectures: Option<Vec<Spanned<String>>>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there, as a sentence without its full stop.
    pub message: String,
    /// Whether bootc stops because of it.
    pub is_fatal: bool,
}

/// Looks at one file: the error that ends its reading, or architectures that bootc will never be on.
pub fn problems(file: &[u8]) -> Vec<Problem> {
    let text = match std::str::from_utf8(file) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            return vec![Problem {
                line: line_of(file, at),
                message: "it is no UTF-8".to_owned(),
                is_fatal: true,
            }];
        }
    };
    let parsed: File = match toml::from_str(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let Range { start, .. } = error.span().unwrap_or_default();
            return vec![Problem {
                line: line_of(file, start),
                message: error.message().replace('\n', " "),
                is_fatal: true,
            }];
        }
    };
    let architectures = parsed.match_architectures.unwrap_or_default().into_iter();
    architectures
        .filter_map(|name| {
            let meant = rust_name(name.get_ref())?;
            Some(Problem {
                line: line_of(file, name.span().start),
                message: format!("bootc calls {} {meant}", name.get_ref()),
                is_fatal: false,
            })
        })
        .collect()
}

/// What Rust calls an architecture that has another name elsewhere.
fn rust_name(name: &str) -> Option<&'static str> {
    match name {
        "amd64" | "x86-64" | "x64" => Some("x86_64"),
        "arm64" => Some("aarch64"),
        "ppc64le" | "ppc64el" => Some("powerpc64"),
        _ => None,
    }
}

fn line_of(file: &[u8], at: usize) -> usize {
    let before = &file[..at.min(file.len())];
    before.split(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    #[test]
    fn what_bootc_reads_is_right() {
        for file in [
            "kargs = []\n",
            "kargs = [\"console=ttyS0,115200\", \"quiet\"]\n",
            "# c\nkargs = ['a']\nmatch-architectures = [\"x86_64\", \"riscv64\"]\n",
        ] {
            assert_eq!(problems(file.as_bytes()), [], "{file}");
        }
    }

    #[test]
    fn errors_have_their_lines() {
        let cases = [
            ("kargs = [\"a\"]\n\nmatch-architecture = [\"x86_64\"]\n", 3),
            ("\nkargs = \"quiet\"\n", 2),
            ("kargs = [\n  \"a\",\n  5\n]\n", 3),
            ("kargs = [\"a\"\n", 1),
            ("", 1),
            ("kargs = []\n[section]\n", 2),
        ];
        for (file, line) in cases {
            let found = problems(file.as_bytes());
            assert_eq!(found.len(), 1, "{file}");
            assert!(found[0].is_fatal);
            assert_eq!(found[0].line, line, "{file}: {found:?}");
        }
        assert_eq!(problems(b"kargs = []\n# \xff")[0].line, 2);
    }

    #[test]
    fn names_of_architectures_are_those_of_rust() {
        let found = problems(b"kargs = []\nmatch-architectures = [\n\"arm64\"]\n");
        assert_eq!(found[0].message, "bootc calls arm64 aarch64");
        assert_eq!((found[0].line, found[0].is_fatal), (3, false));
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            problems(&file);
        }
        problems("[".repeat(100_000).as_bytes());
        problems(format!("kargs = {}", "[".repeat(100_000)).as_bytes());
    }
}
