//! The command `lint` as users and CI run it: on trees that want to break it, on images in files, with
//! configuration, baselines and exit codes.

mod support;

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use osderive_lints::rules::RULES;
use rustix::fs::{CWD, FileType, Mode, mkdirat, mknodat, openat};
use serde_json::Value;
use support::{TOOL, copy_program};
use tempfile::TempDir;

/// The rules that are asked here: a root of a few files would not pass the others.
const ASKED: [&str; 4] = [
    "import-special-file",
    "input-unreadable",
    "kernel-count",
    "unused-suppression",
];

/// A folder with a root file system `root` in it, in which the tool is run.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("a mode");
        let place = Self { folder };
        place.write("root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
        place.write("root/usr/lib/modules/6.12/vmlinuz", "");
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    }

    fn fifo(&self, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(TOOL);
        let others = RULES.iter().filter(|rule| !ASKED.contains(&rule.name));
        command
            .arg("lint")
            .args(words)
            .args(others.flat_map(|rule| ["--skip", rule.name]))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn lint(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("the tool")
    }

    /// What is found, as rules with their first paths.
    fn found(&self, words: &[&str]) -> Vec<(String, String)> {
        let output = self.lint(&[words, &["--format", "json"]].concat());
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let findings = report["findings"].as_array().expect("findings").iter();
        findings
            .map(|finding| (text(&finding["rule"]), text(&finding["paths"][0])))
            .collect()
    }

    fn has(&self, rule: &str, path: &str) -> bool {
        self.found(&["root"])
            .contains(&(rule.to_owned(), path.to_owned()))
    }
}

#[track_caller]
fn ended_with(output: &Output, code: i32) -> (String, String) {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn a_finding_at_the_wanted_severity_ends_with_1() {
    let place = Folder::new();
    place.fifo("root/usr/lib/fifo");
    let words = |fail_on: &'static str| ["root", "--fail-on", fail_on];
    ended_with(&place.lint(&["root"]), 1);
    ended_with(&place.lint(&words("error")), 1);
    ended_with(
        &place.lint(&["root", "--skip", "import-special-file", "--skip", "kernel"]),
        0,
    );
    ended_with(&place.lint(&["missing"]), 2);
    ended_with(&place.lint(&["root", "--skip", "no-such-rule"]), 2);
    ended_with(&place.lint(&["root", "--no-such-flag"]), 2);
    let (stdout, _) = ended_with(&place.lint(&["--explain", "kernel"]), 0);
    assert!(stdout.starts_with("# What it does"), "{stdout}");
    let (stdout, _) = ended_with(&place.lint(&["--list"]), 0);
    assert!(stdout.contains("kernel-count, kernel:"), "{stdout}");
}

#[test]
fn no_form_passes_on_names_and_versions_that_steer_a_terminal_or_a_ci_system() {
    let hostile = "a\x1b[31m\u{202e}\n::error::b [x](y) ##[c]";
    let place = Folder::new();
    place.fifo(&format!("root/usr/lib/{hostile}"));
    place.write(&format!("root/usr/lib/modules/{hostile}/vmlinuz"), "");
    for format in ["human", "json", "sarif", "github", "junit"] {
        let output = place.lint(&["root", "--format", format]);
        let (stdout, stderr) = ended_with(&output, 1);
        let text = stdout + &stderr;
        // JSON has escapes of its own, for what it cannot hold.
        let turns = |sign: char| sign == '\u{202e}' && format != "json";
        let steers = |sign: char| (sign.is_control() && sign != '\n') || turns(sign);
        assert_eq!(text.chars().find(|sign| steers(*sign)), None, "{text}");
        let titled = ["::error title=", "::warning title=", "::notice title="];
        let own =
            |line: &&str| format == "github" && titled.iter().any(|own| line.starts_with(own));
        let commands = text
            .lines()
            .filter(|line| line.trim_start().starts_with("::"));
        assert_eq!(commands.filter(|line| !own(line)).count(), 0, "{text}");
    }
    let (_, stderr) = ended_with(&place.lint(&[&format!("{hostile}.tar")]), 2);
    assert!(stderr.contains(r"a\x1b[31m"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn ostree_container_lint_and_bootc_container_lint_are_the_same() {
    let place = Folder::new();
    place.fifo("root/usr/lib/fifo");
    let bootc = place.path("bootc");
    symlink(TOOL, &bootc).expect("a link");
    for program in [Path::new(TOOL), &bootc] {
        let mut command = Command::new(program);
        command
            .args(["container", "lint", "--fatal-warnings", "--no-truncate"])
            .args(["--skip", "var-log", "--rootfs"])
            .arg(place.path("root"));
        let (stdout, _) = ended_with(&command.output().expect("the tool"), 1);
        assert!(stdout.contains("error[import-special-file]"), "{stdout}");
    }
}

#[test]
fn a_configuration_decides_and_says_why() {
    let place = Folder::new();
    place.fifo("root/usr/lib/fifo");
    place.write(
        "osderive.toml",
        "[[allow]]\nrule = \"import-special-file\"\npath = \"/usr/lib/fifo\"\nreason = \"a test\"\n",
    );
    let (stdout, _) = ended_with(&place.lint(&["root"]), 0);
    assert!(stdout.contains("1 suppressed"), "{stdout}");
    fs::remove_file(place.path("root/usr/lib/fifo")).expect("a file");
    let (stdout, _) = ended_with(&place.lint(&["root", "--fail-on", "warning"]), 1);
    assert!(stdout.contains("warning[unused-suppression]"), "{stdout}");
    place.write("other.toml", "[rules]\nkernel = \"worse\"\n");
    let (_, stderr) = ended_with(&place.lint(&["root", "--config", "other.toml"]), 2);
    assert!(stderr.contains("other.toml:2:10"), "{stderr}");
}

#[test]
fn comments_of_a_containerfile_decide() {
    let place = Folder::new();
    place.fifo("root/usr/lib/fifo");
    let comment = "FROM base\n# osderive: allow=import-special-file -- a test\nRUN true\n";
    place.write("Containerfile", comment);
    let words = ["root", "--containerfile", "Containerfile"];
    ended_with(&place.lint(&words), 0);
    place.write(
        "Containerfile",
        "# osderive: allow=import-special-file\nFROM base\n",
    );
    let (_, stderr) = ended_with(&place.lint(&words), 2);
    assert!(
        stderr.contains("needs a reason") && stderr.contains("Containerfile:1"),
        "{stderr}"
    );
}

#[test]
fn what_the_base_has_never_fails() {
    let place = Folder::new();
    place.fifo("root/usr/lib/old");
    place.write("base/etc/passwd", "");
    place.fifo("base/usr/lib/old");
    place.write("base/usr/lib/modules/6.12/vmlinuz", "");
    let words = ["root", "--baseline", "base"];
    let (stdout, _) = ended_with(&place.lint(&words), 0);
    assert!(stdout.contains("In the base image already"), "{stdout}");
    let report = ["base", "--format", "json", "--output", "base.json"];
    ended_with(&place.lint(&report), 1);
    ended_with(&place.lint(&["root", "--baseline", "base.json"]), 0);
    place.fifo("root/usr/lib/new");
    for words in [words, ["root", "--baseline", "base.json"]] {
        let (stdout, _) = ended_with(&place.lint(&words), 1);
        assert!(
            stdout.contains("1 error") && stdout.contains("1 of the base image"),
            "{stdout}"
        );
    }
    place.write("base.json", "{\"version\": 9, \"findings\": []}");
    ended_with(&place.lint(&["root", "--baseline", "base.json"]), 2);
}

#[test]
fn each_form_is_written() {
    let place = Folder::new();
    place.fifo("root/usr/lib/fifo");
    for (format, begin) in [
        ("human", "error[import-special-file]"),
        ("json", "{\n  \"version\": 1,"),
        ("sarif", "{\n  \"$schema\""),
        ("github", "::error title=import-special-file::"),
        ("junit", "<?xml"),
    ] {
        let (stdout, _) = ended_with(&place.lint(&["root", "--format", format]), 1);
        assert!(
            stdout.contains(begin) && !stdout.contains('\x1b'),
            "{stdout}"
        );
        let words = ["root", "--format", format, "--output", "file"];
        let (human, _) = ended_with(&place.lint(&words), 1);
        assert!(human.contains("error[import-special-file]"), "{human}");
        let written = fs::read_to_string(place.path("file")).expect("a file");
        assert_eq!(written, stdout);
    }
}

#[test]
fn an_archive_of_the_real_tar_is_an_image() {
    let place = Folder::new();
    place.fifo("root/usr/lib/fifo");
    let tar = |words: &[&str]| {
        let mut tar = Command::new("tar");
        let done = tar
            .args(words)
            .current_dir(place.folder.path())
            .status()
            .expect("tar");
        assert!(done.success());
    };
    tar(&["-C", "root", "-czf", "layer.tar.gz", "."]);
    let hash = Command::new("sh")
        .args(["-c", "zcat layer.tar.gz | sha256sum"])
        .current_dir(place.folder.path())
        .output()
        .expect("sha256sum")
        .stdout;
    let hash = String::from_utf8_lossy(&hash[..64]).into_owned();
    let config = format!(
        "{{\"history\": [{{\"created_by\": \"RUN make it\"}}], \"rootfs\": {{\"diff_ids\": [\"sha256:{hash}\"]}}}}"
    );
    place.write("config.json", &config);
    let manifest =
        "[{\"Config\": \"config.json\", \"RepoTags\": null, \"Layers\": [\"layer.tar.gz\"]}]";
    place.write("manifest.json", manifest);
    tar(&[
        "-cf",
        "image.tar",
        "layer.tar.gz",
        "config.json",
        "manifest.json",
    ]);
    for input in ["image.tar", "docker-archive:image.tar"] {
        let (stdout, _) = ended_with(&place.lint(&[input]), 1);
        let heading = format!("in layer sha256:{}: RUN make it", &hash[..12]);
        assert!(stdout.contains(&heading), "{stdout}");
    }
    ended_with(&place.lint(&["oci-archive:image.tar"]), 2);
    let whole = fs::read(place.path("image.tar")).expect("an archive");
    fs::write(place.path("image.tar"), &whole[..700]).expect("a file");
    let (_, stderr) = ended_with(&place.lint(&["image.tar"]), 2);
    assert!(stderr.contains("ends early"), "{stderr}");
}

#[test]
fn links_in_a_circle_and_a_fifo_for_a_file_stop_nothing() {
    let place = Folder::new();
    symlink("loop", place.path("root/usr/lib/loop")).expect("a link");
    symlink("..", place.path("root/usr/lib/up")).expect("a link");
    symlink("b", place.path("root/etc/group")).expect("a link");
    symlink("group", place.path("root/etc/b")).expect("a link");
    fs::remove_file(place.path("root/etc/passwd")).expect("a file");
    place.fifo("root/etc/passwd");
    place.fifo("root/usr/lib/sysusers.d/a.conf");
    assert!(place.has("input-unreadable", "/etc/passwd"));
    assert!(place.has("input-unreadable", "/usr/lib/sysusers.d/a.conf"));
}

#[test]
fn a_passwd_of_2_gib_is_not_read() {
    let place = Folder::new();
    let passwd = File::create(place.path("root/etc/passwd")).expect("a file");
    passwd.set_len(2 << 30).expect("a sparse file");
    assert!(place.has("input-unreadable", "/etc/passwd"));
}

#[test]
fn directories_1000_deep_and_any_names_are_looked_at() {
    let place = Folder::new();
    let root = File::open(place.path("root/usr")).expect("a directory");
    let mut directory: rustix::fd::OwnedFd = root.into();
    for _ in 0..1000 {
        mkdirat(&directory, "a-name-of-some-length", Mode::RWXU).expect("a directory");
        let flags = rustix::fs::OFlags::DIRECTORY;
        directory = openat(&directory, "a-name-of-some-length", flags, Mode::empty()).expect("it");
    }
    mknodat(&directory, "fifo", FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
    for name in [&b"line\nfeed\x1b[31m"[..], b"no\xffutf8"] {
        let path = place.path("root/usr").join(OsStr::from_bytes(name));
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
    }
    let output = place.lint(&["root", "--no-truncate"]);
    let (stdout, _) = ended_with(&output, 1);
    assert!(stdout.contains("3 special files stop"), "{stdout}");
    assert!(stdout.contains(r"/usr/line\x0afeed\x1b[31m"), "{stdout}");
    assert!(stdout.contains(r"/usr/no\xffutf8"), "{stdout}");
}

#[test]
fn what_another_user_may_not_read_is_told() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test becomes another user: run it as root"
    );
    let place = Folder::new();
    place.write("root/usr/lib/closed/file", "");
    for path in ["root/usr/lib/closed", "root/etc/passwd"] {
        fs::set_permissions(place.path(path), Permissions::from_mode(0o000)).expect("a mode");
    }
    // Nobody may not come to where the tool is built.
    let tool = place.path("tool");
    copy_program(TOOL.as_ref(), &tool);
    let output = as_nobody(&tool, &place.path("root"));
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let findings = report["findings"].as_array().expect("findings").iter();
    let unreadable = findings.filter(|finding| finding["rule"] == "input-unreadable");
    let paths: Vec<_> = unreadable
        .map(|finding| finding["paths"][0].as_str())
        .collect();
    assert!(paths.contains(&Some("/usr/lib/closed")), "{paths:?}");
    assert!(paths.contains(&Some("/etc/passwd")), "{paths:?}");
}

fn as_nobody(tool: &Path, root: &Path) -> Output {
    let mut command = Command::new(tool);
    command.arg("lint").arg(root).args(["--format", "json"]);
    command
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .output()
        .expect("the tool")
}
