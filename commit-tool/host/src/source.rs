//! Where the engine takes the Containerfile and the context from, by its own rules (buildah `pkg/cli/build.go`,
//! `imagebuildah/build.go`).

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _, stdin};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::arguments::Arguments;
use crate::error::{Error, in_file};

/// What a build begins with.
#[derive(Debug)]
pub(crate) struct Source {
    /// The context, absolute.
    pub(crate) context: PathBuf,
    /// The first Containerfile, from the current folder where it is below that; `-` is the standard input.
    pub(crate) name: PathBuf,
    /// The text of all of them.
    pub(crate) text: Vec<u8>,
    /// The ignore file that the engine would find beside the Containerfile.
    pub(crate) ignore_file: Option<PathBuf>,
}

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// When there is no Containerfile, or the context is remote.
    pub(crate) fn read(arguments: &Arguments) -> Result<Self, Error> {
        let given = arguments.positional();
        let given = given.first().copied().unwrap_or(OsStr::new("."));
        require_local(given)?;
        if given == "-" {
            return Err(Error::Unsupported {
                what: "a context from the standard input".to_owned(),
                instead: "name a folder, and give the Containerfile with `-f -`",
            });
        }
        let path = fs::canonicalize(given).map_err(in_file(Path::new(given)))?;
        let named: Vec<&Path> = arguments.values("file").map(Path::new).collect();
        for file in &named {
            require_local(file.as_os_str())?;
        }
        // A context that is a file is the Containerfile.
        let (context, found) = if path.is_dir() {
            (path, None)
        } else {
            let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
            (folder, Some(path))
        };
        let files: Vec<PathBuf> = match (named.is_empty(), found) {
            (false, _) => named.iter().map(|file| located(file, &context)).collect(),
            (true, Some(file)) => vec![file],
            (true, None) => vec![discovered(&context)?],
        };
        let mut text = Vec::new();
        for file in &files {
            let one = content(file)?;
            let is_template = file.extension().is_some_and(|extension| extension == "in");
            let one = if is_template {
                preprocessed(file, &one, &context, arguments)?
            } else {
                one
            };
            text.extend_from_slice(&one);
            if !text.ends_with(b"\n") {
                text.push(b'\n');
            }
        }
        let end = text.trim_ascii_end();
        if end.ends_with(b"\\") {
            return Err(Error::Containerfile {
                file: files.last().cloned().unwrap_or_default(),
                what: "its last line ends with a backslash, so its last instruction does not end"
                    .to_owned(),
            });
        }
        let ignore_file = files.iter().find_map(|file| {
            let beside = |ending: &str| {
                let mut name = file.clone().into_os_string();
                name.push(ending);
                Some(PathBuf::from(name)).filter(|path| path.exists())
            };
            beside(".dockerignore").or_else(|| beside(".containerignore"))
        });
        Ok(Self {
            context,
            name: shown(&files.into_iter().next().unwrap_or_default()),
            text,
            ignore_file,
        })
    }
}

fn require_local(word: &OsStr) -> Result<(), Error> {
    let text = word.to_string_lossy();
    let schemes = [
        "http://",
        "https://",
        "git://",
        "ssh://",
        "github.com/",
        "git@",
    ];
    if schemes.iter().any(|scheme| text.starts_with(scheme)) {
        return Err(Error::Unsupported {
            what: format!("a remote context or Containerfile ({text})"),
            instead: "fetch it, and build in its folder",
        });
    }
    Ok(())
}

fn located(file: &Path, context: &Path) -> PathBuf {
    if file == Path::new("-") || file.exists() {
        return file.to_owned();
    }
    context.join(file)
}

/// A path as programs that annotate a repository know it: from the current folder, if it is below that.
fn shown(path: &Path) -> PathBuf {
    let current = std::env::current_dir().unwrap_or_default();
    let path = path.strip_prefix(current).unwrap_or(path);
    path.strip_prefix(".").unwrap_or(path).to_owned()
}

fn discovered(context: &Path) -> Result<PathBuf, Error> {
    let names = ["Containerfile", "Dockerfile"].map(|name| context.join(name));
    let mut found = names.into_iter().filter(|path| path.exists());
    found
        .next()
        .ok_or_else(|| Error::NoContainerfile(context.to_owned()))
}

fn content(file: &Path) -> Result<Vec<u8>, Error> {
    if file != Path::new("-") {
        return fs::read(file).map_err(in_file(file));
    }
    let mut text = Vec::new();
    stdin().read_to_end(&mut text).map_err(in_file(file))?;
    Ok(text)
}

/// What the C preprocessor makes of it, called as buildah calls it.
fn preprocessed(
    file: &Path,
    text: &[u8],
    context: &Path,
    arguments: &Arguments,
) -> Result<Vec<u8>, Error> {
    let of_environment = std::env::var("BUILDAH_CPPFLAGS").unwrap_or_default();
    let mut cpp = Command::new("cpp");
    cpp.arg("-E")
        .arg("-iquote")
        .arg(context)
        .args(["-traditional", "-undef", "-"])
        .args(of_environment.split_whitespace())
        .args(arguments.values("cpp-flag"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let no_engine = |source| Error::NoEngine {
        program: "cpp".to_owned(),
        source,
    };
    let mut child = cpp.spawn().map_err(no_engine)?;
    let mut input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.as_mut().map(|input| input.write_all(text)));
        child.wait_with_output()
    });
    let output = output.map_err(no_engine)?;
    if !output.status.success() {
        return Err(Error::Containerfile {
            file: file.to_owned(),
            what: "cpp does not take it; its message is above".to_owned(),
        });
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::arguments::Engine;

    fn read(folder: &Path, line: &[&str]) -> Result<Source, Error> {
        let context = folder.as_os_str().to_owned();
        let words = line.iter().map(OsString::from).chain([context]);
        Source::read(&Arguments::read(Engine::Buildah, words.collect())?)
    }

    #[test]
    fn a_template_is_what_the_preprocessor_makes_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let write =
            |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("writes");
        write(
            "Containerfile.in",
            "FROM os\n#include \"more\"\nRUN make WHAT\n",
        );
        write("more", "RUN more\n");
        let source = read(
            folder.path(),
            &["build", "-f", "Containerfile.in", "--cpp-flag=-DWHAT=it"],
        );
        let text = String::from_utf8(source.expect("a source").text).expect("a text");
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        assert_eq!(lines, ["FROM os", "RUN more", "RUN make it"]);
    }

    #[test]
    fn the_ignore_file_beside_a_containerfile_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let write =
            |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("writes");
        write("Dockerfile", "FROM os");
        write("Dockerfile.dockerignore", "x");
        let source = read(folder.path(), &["bud"]).expect("a source");
        assert_eq!(source.text, b"FROM os\n");
        assert!(
            source
                .ignore_file
                .is_some_and(|file| file.ends_with("Dockerfile.dockerignore"))
        );
        write("Containerfile", "FROM os\nRUN a \\\n");
        let error = read(folder.path(), &["bud"])
            .expect_err("an error")
            .to_string();
        assert!(error.contains("backslash"), "{error}");
        let error =
            read(folder.path(), &["bud", "-f", "https://example.com/x"]).expect_err("an error");
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
}
