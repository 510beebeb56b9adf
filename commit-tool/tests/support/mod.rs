//! A bootable image's root file system in a folder, and the tool run in it as a build engine runs
//! it: in a mount and pid namespace of its own, as process 1, below /dev.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    fs,
    os::unix::{fs::symlink, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use osderive_lints::{Finding, StepReport};

pub(crate) const TOOL: &str = env!("CARGO_BIN_EXE_ostree-container");

/// Mounts what a container has, then what the test asks for, and becomes the tool.
const ENTER: &str = r#"
set -e
export ROOT="$1" TOOL="$2" SETUP="$3"
shift 3
mount --bind "$ROOT" "$ROOT"
mount --rbind /usr "$ROOT/usr"
mount -t proc proc "$ROOT/proc"
mount -t tmpfs tmpfs "$ROOT/dev"
mknod -m 666 "$ROOT/dev/null" c 1 3
ln -s /proc/self/fd "$ROOT/dev/fd"
ln -s /proc/self/fd/1 "$ROOT/dev/stdout"
mkdir "$ROOT/dev/.osderive" "$ROOT/dev/.osderive-out" "$ROOT/dev/.osderive-base"
touch "$ROOT/dev/.osderive/ostree-container"
mount --bind "$TOOL" "$ROOT/dev/.osderive/ostree-container"
mount --bind "$ROOT.out" "$ROOT/dev/.osderive-out"
mount --bind "$ROOT.base" "$ROOT/dev/.osderive-base"
sh -ec "$SETUP"
cd "$ROOT"
unset ROOT TOOL SETUP OLDPWD
exec chroot . "$@"
"#;

pub(crate) struct Image {
    _folder: tempfile::TempDir,
    root: PathBuf,
    setup: String,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Image {
    /// A bootable image whose /usr is this machine's.
    pub(crate) fn bootable() -> Self {
        let image = Self::ordinary();
        image.mkdir("sysroot/ostree");
        symlink("sysroot/ostree", image.path("ostree")).expect("a link");
        image
    }

    /// An image that no machine could boot.
    pub(crate) fn ordinary() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests mount and change users: run them as root"
        );
        let folder = tempfile::tempdir().expect("a directory");
        let root = folder.path().join("root");
        let image = Self {
            root,
            _folder: folder,
            setup: String::new(),
        };
        for path in [
            "usr",
            "dev",
            "proc",
            "run",
            "tmp",
            "var/tmp",
            "var/cache",
            "root",
        ] {
            image.mkdir(path);
        }
        fs::create_dir(image.out()).expect("a directory");
        fs::create_dir(image.root.with_extension("base")).expect("a directory");
        for link in ["bin", "sbin", "lib", "lib64"] {
            if Path::new("/usr").join(link).exists() {
                symlink(format!("usr/{link}"), image.path(link)).expect("a link");
            }
        }
        image.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        image.write("etc/group", "root:x:0:\n");
        image
    }

    /// Shell commands that mount more, with the root at `$ROOT`.
    pub(crate) fn with_mounts(mut self, setup: &str) -> Self {
        setup.clone_into(&mut self.setup);
        self
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn out(&self) -> PathBuf {
        self.root.with_extension("out")
    }

    pub(crate) fn mkdir(&self, path: &str) {
        fs::create_dir_all(self.path(path)).expect("directories");
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    }

    /// The names in a directory, sorted.
    pub(crate) fn list(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(path))
            .expect("lists")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// `unshare` with the tool in it, ready to be started.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        // Whoever runs the tests may ignore signals, as nohup does.
        let mut command = Command::new("env");
        command
            .args([
                "--default-signal",
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--propagation",
                "private",
            ])
            .args(["sh", "-c", ENTER, "enter"])
            .args([self.root.as_os_str(), TOOL.as_ref(), self.setup.as_ref()])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .stdin(Stdio::null());
        command
    }

    /// Runs words in the image as they are.
    pub(crate) fn exec(&self, words: &[&str]) -> Run {
        Run::from(
            self.command(words)
                .output()
                .expect("unshare, of util-linux"),
        )
    }

    /// Runs a step with flags and a command.
    pub(crate) fn step(&self, flags: &[&str], command: &[&str]) -> Run {
        let tool = [
            "/dev/.osderive/ostree-container",
            "step",
            "--report",
            "/dev/.osderive-out",
        ];
        self.exec(&[&tool, flags, &["--"], command].concat())
    }

    /// Runs a step that is a shell script.
    pub(crate) fn sh(&self, script: &str) -> Run {
        self.step(&[], &["sh", "-c", script])
    }

    /// Ends the build, on a base image that has nothing.
    pub(crate) fn end(&self, flags: &[&str]) -> Run {
        let tool = [
            "/dev/.osderive/ostree-container",
            "commit",
            "--base",
            "/dev/.osderive-base",
            "--report",
            "/dev/.osderive-out",
        ];
        self.exec(&[&tool, flags].concat())
    }

    pub(crate) fn report(&self) -> StepReport {
        let json = fs::read(self.out().join("report.json")).expect("a report");
        StepReport::from_json(&json).expect("a valid report")
    }

    pub(crate) fn has_report(&self) -> bool {
        self.out().join("report.json").exists()
    }

    /// The one finding of a rule, if there is one.
    pub(crate) fn finding(&self, rule: &str) -> Option<Finding> {
        let mut found = self
            .report()
            .findings
            .into_iter()
            .filter(|one| one.rule == rule);
        let first = found.next();
        assert_eq!(found.next(), None);
        first
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let signal = output.status.signal().map(|signal| 1000 + signal);
        Self {
            code: output.status.code().or(signal).expect("an end"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Run {
    /// Insists on an exit code, and shows stderr otherwise.
    #[track_caller]
    pub(crate) fn ended_with(&self, code: i32) -> &Self {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }
}

/// Copies a program that is then to be executed. Another process writes it: what this one has open for writing, a child
/// that another thread forks meanwhile has open too, and as long as that is so, nobody can execute it.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--").args([from, to]).status();
    assert!(copied.expect("cp").success());
}

/// `ostree-container commit` on a root file system, from outside.
pub(crate) fn commit(root: &Path, flags: &[&str]) -> Run {
    Run::from(
        Command::new(TOOL)
            .args(["container", "commit", "--rootfs"])
            .arg(root)
            .args(flags)
            .output()
            .expect("the tool"),
    )
}
