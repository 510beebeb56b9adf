//! `ostree container commit` by hand: what it refuses, what it removes from hostile trees, and
//! that it can be interrupted anywhere.

mod support;

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{chown, symlink},
    },
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use osderive_lints::{PLAN_VERSION, PlanReport, Planned};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, mkdirat, openat, renameat_with};
use support::{Run, TOOL, commit};

/// A folder that looks like a plain bootc image.
fn bootc_root() -> tempfile::TempDir {
    bootc_root_in(&std::env::temp_dir())
}

/// The same in memory where there is such a place, for trees that a disk takes long to make.
fn bootc_root_in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        return bootc_root_in(memory);
    }
    bootc_root()
}

fn bootc_root_in(place: &Path) -> tempfile::TempDir {
    let root = tempfile::tempdir_in(place).expect("a directory");
    for path in [
        "sysroot",
        "usr/lib/bootc",
        "run",
        "tmp",
        "var/tmp",
        "var/cache",
        "etc",
    ] {
        fs::create_dir_all(root.path().join(path)).expect("directories");
    }
    root
}

fn names(path: &Path) -> usize {
    fs::read_dir(path).expect("lists").count()
}

fn assert_emptied(root: &Path) {
    for area in ["run", "tmp", "var/tmp", "var/cache"] {
        assert_eq!(names(&root.join(area)), 0, "{area}");
    }
}

#[test]
fn an_ordinary_root_is_refused_and_stays_as_it_is() {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("tmp")).expect("a directory");
    fs::write(root.path().join("tmp/x"), "x").expect("a file");
    let run = commit(root.path(), &[]);
    assert!(
        run.ended_with(1).stderr.contains("no bootable image in "),
        "{}",
        run.stderr
    );
    assert!(root.path().join("tmp/x").exists());
}

#[test]
fn a_root_that_does_not_exist_is_told() {
    let run = commit(Path::new("/no/such/root"), &[]);
    assert!(
        run.ended_with(1)
            .stderr
            .starts_with("osderive: cannot open the root file system /no/such/root: "),
        "{}",
        run.stderr
    );
}

#[test]
fn missing_directories_are_not_made() {
    let root = bootc_root();
    fs::remove_dir(root.path().join("var/cache")).expect("removes");
    commit(root.path(), &[]).ended_with(0);
    assert!(!root.path().join("var/cache").exists());
}

#[test]
fn nothing_else_is_touched() {
    let root = bootc_root();
    for path in ["etc/x", "var/opt/y", "opt/z", "srv/w"] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, "x").expect("a file");
    }
    let run = commit(root.path(), &[]);
    assert_eq!(run.ended_with(0).stderr, "");
    for path in ["etc/x", "var/opt/y", "opt/z", "srv/w"] {
        assert!(root.path().join(path).exists(), "{path}");
    }
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let root = bootc_root();
    fs::create_dir(root.path().join("tmp/d")).expect("a directory");
    fs::write(root.path().join("tmp/d/f"), "x").expect("a file");
    let run = commit(root.path(), &["--dry-run"]);
    assert_eq!(
        run.ended_with(0).stdout,
        "remove  /tmp/d    /tmp starts empty at every boot\n\
         remove  /tmp/d/f  /tmp starts empty at every boot\n"
    );
    assert!(root.path().join("tmp/d/f").exists());
}

#[test]
fn a_dry_run_tells_machines_the_same_with_what_it_cannot_settle() {
    let root = bootc_root();
    fs::write(root.path().join("run/x"), "x").expect("a file");
    let accounts = "root:x:0:0::/:/bin/sh\ntwin:x:0:0::/:/bin/false\n";
    fs::write(root.path().join("etc/passwd"), accounts).expect("a file");
    fs::write(root.path().join("etc/group"), "root:x:0:\n").expect("a file");
    let run = commit(root.path(), &["--dry-run", "--json"]);
    let report: PlanReport = serde_json::from_str(&run.ended_with(0).stdout).expect("JSON");
    assert_eq!(report.version, PLAN_VERSION);
    let planned = |path: &str| report.actions.iter().find(|planned| planned.path == path);
    let removal = planned("/run/x").expect("is planned");
    assert_eq!(removal.action, Planned::Remove);
    assert_eq!(removal.reason, "/run starts empty at every boot");
    assert_eq!(report.findings[0].rule, "account-duplicate-id");
    assert!(root.path().join("run/x").exists());
}

#[test]
fn a_dry_run_with_nothing_to_do_says_so() {
    let root = bootc_root();
    let run = commit(root.path(), &["--dry-run"]);
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("", "osderive: nothing to do\n")
    );
}

#[test]
fn links_out_of_the_root_are_not_followed() {
    let root = bootc_root();
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("victim"), "x").expect("a file");
    for area in ["tmp", "var/cache"] {
        fs::remove_dir(root.path().join(area)).expect("removes");
        symlink(outside.path(), root.path().join(area)).expect("a link");
    }
    symlink(outside.path(), root.path().join("run/link")).expect("a link");
    let run = commit(root.path(), &[]);
    assert!(
        run.ended_with(0)
            .stderr
            .contains("[commit-not-a-directory]"),
        "{}",
        run.stderr
    );
    assert!(outside.path().join("victim").exists());
    assert!(root.path().join("tmp").is_symlink());
    assert_eq!(names(&root.path().join("run")), 0);
}

#[test]
fn a_process_that_swaps_directories_for_links_gains_nothing() {
    let root = bootc_root_in_memory();
    let outside = tempfile::tempdir().expect("a directory");
    let area = root.path().join("var/tmp");
    symlink(outside.path(), area.join("link")).expect("a link");
    fs::create_dir(area.join("swapped")).expect("a directory");
    for name in 0..200 {
        fs::write(outside.path().join(name.to_string()), "x").expect("a file");
        fs::write(area.join("swapped").join(name.to_string()), "x").expect("a file");
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = renameat_with(
                    CWD,
                    area.join("link"),
                    CWD,
                    area.join("swapped"),
                    RenameFlags::EXCHANGE,
                );
            }
        });
        for _ in 0..20 {
            commit(root.path(), &[]).ended_with(0);
            let _ = fs::create_dir(area.join("swapped"));
            let _ = symlink(outside.path(), area.join("link"));
            for name in 0..200 {
                // Through the link it writes outside, where the file is already.
                let _ = fs::write(area.join("swapped").join(name.to_string()), "x");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(names(outside.path()), 200);
    commit(root.path(), &[]).ended_with(0);
    assert_emptied(root.path());
}

#[test]
fn hostile_names_are_removed_and_shown_escaped() {
    let root = bootc_root();
    for name in [&b"a\nb"[..], b"\xff\xfe", b"-rf", b"*", b"\x1b[2J", b"..."] {
        fs::write(root.path().join("tmp").join(OsStr::from_bytes(name)), "x").expect("a file");
    }
    let run = commit(root.path(), &["-v"]);
    run.ended_with(0);
    assert!(
        run.stderr.contains(r"removed /tmp/a\x0ab:"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains(r"removed /tmp/\xff\xfe:"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains('\x1b'));
    assert_emptied(root.path());
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    const DEPTH: usize = 2_000;
    let root = bootc_root();
    let name = "d".repeat(100);
    let open = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut here = openat(CWD, root.path().join("tmp"), open, Mode::empty()).expect("opens");
    for _ in 0..DEPTH {
        mkdirat(&here, "side", Mode::RWXU).expect("a directory");
        mkdirat(&here, name.as_str(), Mode::RWXU).expect("a directory");
        here = openat(&here, name.as_str(), open, Mode::empty()).expect("opens");
    }
    drop(here);
    let run = commit(root.path(), &[]);
    assert_eq!(
        run.ended_with(0).stderr,
        "osderive: committed: removed 4000 entries (0 B) from /tmp\n"
    );
    assert_emptied(root.path());
}

/// Removes from layers below, as in a container: each directory is copied up on the way.
#[test]
fn on_an_overlay_what_the_layers_below_hold_is_removed_too() {
    let lower = bootc_root();
    let deep = lower
        .path()
        .join("var/cache")
        .join(vec!["d"; 200].join("/"));
    fs::create_dir_all(&deep).expect("directories");
    for directory in deep.ancestors().take(200) {
        fs::write(directory.join("file"), "x").expect("a file");
    }
    let layers = tempfile::tempdir().expect("a directory");
    for layer in ["upper", "work", "merged"] {
        fs::create_dir(layers.path().join(layer)).expect("a directory");
    }
    let script = "cd \"$2\"
        mount -t overlay -o \"lowerdir=$1,upperdir=upper,workdir=work\" overlay merged
        mkdir merged/tmp/new merged/var/cache/d/d/new
        \"$3\" commit --rootfs merged
        find merged/tmp merged/run merged/var -mindepth 1 | sort";
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-ec",
            script,
            "sh",
        ])
        .args([lower.path(), layers.path(), Path::new(TOOL)])
        .output()
        .expect("unshare, of util-linux");
    let told = String::from_utf8_lossy(&output.stderr);
    let first = "osderive: committed: removed 402 entries (200 B) from /tmp, /var/cache\n";
    assert!(told.starts_with(first), "{told}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "merged/var/cache\nmerged/var/tmp\n"
    );
}

fn fill(directory: &Path, entries: usize) {
    for index in 0..entries {
        let folder = directory.join(format!("d{}", index / 500));
        if index % 500 == 0 {
            fs::create_dir_all(&folder).expect("directories");
        }
        fs::write(folder.join(index.to_string()), "").expect("a file");
    }
}

#[test]
fn a_hundred_thousand_entries_are_removed() {
    let root = bootc_root_in_memory();
    fill(&root.path().join("var/cache"), 100_000);
    commit(root.path(), &[]).ended_with(0);
    assert_emptied(root.path());
}

#[test]
fn killed_anywhere_and_run_again_it_ends_in_the_same_place() {
    for delay in [0, 1, 2, 5, 10, 20] {
        let root = bootc_root_in_memory();
        fill(&root.path().join("var/tmp"), 5_000);
        fs::write(root.path().join("etc/kept"), "x").expect("a file");
        let mut first = Command::new(TOOL)
            .args(["commit", "--rootfs"])
            .arg(root.path())
            .spawn()
            .expect("starts");
        thread::sleep(Duration::from_millis(delay));
        first.kill().expect("kills");
        first.wait().expect("ends");
        commit(root.path(), &[]).ended_with(0);
        assert_emptied(root.path());
        assert!(root.path().join("etc/kept").exists());
    }
}

#[test]
fn what_may_not_be_removed_is_told_and_the_rest_goes() {
    let root = bootc_root();
    let pinned = root.path().join("tmp/a/pinned");
    fs::create_dir(root.path().join("tmp/a")).expect("a directory");
    fs::write(&pinned, "x").expect("a file");
    fs::write(root.path().join("tmp/a/other"), "x").expect("a file");
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(&pinned).status();
    assert!(
        chattr("+i").is_ok_and(|status| status.success()),
        "needs root, chattr (e2fsprogs) and a temporary directory with immutable files"
    );
    let run = commit(root.path(), &[]);
    chattr("-i").expect("chattr");
    run.ended_with(0);
    assert!(
        run.stderr.contains("warning: cannot remove /tmp/a/pinned: Operation not permitted (os error 1) [commit-cannot-remove]"),
        "{}",
        run.stderr
    );
    assert_eq!(names(&root.path().join("tmp/a")), 1);
}

/// A /var with everything that a commit treats in its own way.
const STATE: &str = r"
cd $1
mkdir -p var/lib/app/db/deep var/lib/app/empty var/log/app var/spool/q var/lib/dpkg/info var/lib/apt/lists
printf 'root:x:0:0::/:/bin/sh\napp:x:901:902::/:/bin/sh\n' >etc/passwd
printf 'root:x:0:\napp:x:902:\n' >etc/group
echo one >var/lib/app/db/one; echo two >var/lib/app/db/deep/two; ln var/lib/app/db/one var/lib/app/db/twin
ln -s one var/lib/app/db/link; truncate -s 1M var/lib/app/sparse
chown -R 901:902 var/lib/app/db var/log/app; chmod 2750 var/lib/app/db var/log/app
chmod 4750 var/lib/app/db/deep/two
echo log >var/log/app/log; echo log >var/log/dpkg.log; chown 901 var/log/app/log
mkfifo var/lib/app/fifo; ln -s ../x var/lib/link; echo status >var/lib/dpkg/status; echo list >var/lib/apt/lists/x
echo loose >var/lib/loose
mkdir -p usr/share/factory/var/lib/app; echo older >usr/share/factory/var/lib/app/older
";

fn root_with_state() -> tempfile::TempDir {
    let root = bootc_root();
    let mut shell = Command::new("sh");
    shell.args(["-ec", STATE, "sh"]).arg(root.path());
    assert!(shell.status().expect("runs").success());
    root
}

/// All paths with mode, owner, links, size and target, and the content of files.
fn listing(root: &Path) -> String {
    let list = "cd $1 && find . -printf '%p|%M|%U|%G|%n|%l\n' | LC_ALL=C sort; \
        find . -type f | LC_ALL=C sort | xargs sha256sum";
    let output = Command::new("sh")
        .args(["-ec", list, "sh"])
        .arg(root)
        .output()
        .expect("runs");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn accounts_with_other_ids_than_in_the_previous_image_are_told() {
    let (root, previous) = (bootc_root(), bootc_root());
    let passwd = |root: &Path, ids: [u32; 2]| {
        let [web, db] = ids;
        let text = format!("web:x:{web}:{web}::/:/bin/sh\ndb:x:{db}:{db}::/:/bin/sh\n");
        fs::write(root.join("etc/passwd"), text).expect("writes");
    };
    passwd(root.path(), [901, 902]);
    passwd(previous.path(), [901, 903]);
    let option = format!("--previous={}", previous.path().display());
    let run = commit(root.path(), &[&option]);
    let told =
        "1 account has another id than in the previous image: user db has the uid 902, had 903";
    assert!(run.ended_with(0).stderr.contains(told), "{}", run.stderr);
    assert!(run.stderr.contains("\n    u db 903\n"), "{}", run.stderr);

    fs::remove_file(previous.path().join("etc/passwd")).expect("removes");
    let run = commit(root.path(), &[&option]);
    let told = "osderive: no account in ";
    assert!(run.ended_with(1).stderr.starts_with(told), "{}", run.stderr);
}

#[test]
fn what_boot_makes_goes_and_what_it_does_not_make_just_so_stays() {
    let root = bootc_root();
    let write = |path: &str, content: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    };
    write(
        "usr/lib/tmpfiles.d/base.conf",
        "d /var/lib/same 0700\nd /var/lib/full\nf /var/lib/file - - - - said\nL /var/lib/link - - - - said\n\
         d /var/opt\nd /var/usrlocal/bin\n",
    );
    for path in ["var/lib/same", "var/opt", "var/usrlocal/bin"] {
        fs::create_dir_all(root.path().join(path)).expect("directories");
    }
    write("var/lib/full/mine", "mine");
    write("var/lib/file", "changed");
    symlink("changed", root.path().join("var/lib/link")).expect("a link");
    let run = commit(root.path(), &[]);
    let hint = "osderive: /var: took away what boot makes; a later RUN has it again ";
    assert!(run.ended_with(0).stderr.contains(hint), "{}", run.stderr);
    let list = listing(root.path());
    let below_var = list.lines().filter_map(|line| line.strip_prefix("./var/"));
    let below_var: Vec<&str> = below_var
        .filter_map(|line| line.split('|').next())
        .collect();
    assert_eq!(
        below_var,
        ["cache", "opt", "tmp", "usrlocal/bin", "usrlocal"]
    );
    for (kept, content) in [("full/mine", "mine"), ("file", "changed")] {
        let copy = root.path().join("usr/share/factory/var/lib").join(kept);
        assert_eq!(fs::read_to_string(copy).expect("a copy"), content);
    }
    let lines = root.path().join("usr/lib/tmpfiles.d");
    let ours = fs::read_dir(lines)
        .expect("lists")
        .map(|entry| entry.expect("one").path());
    let ours = ours.map(|path| fs::read_to_string(path).expect("reads"));
    assert!(
        ours.into_iter()
            .any(|text| text.contains("L /var/lib/link - root root - changed"))
    );
    commit(root.path(), &[]);
    assert_eq!(listing(root.path()), list, "once more changes nothing");
}

#[test]
fn what_a_step_left_in_var_is_declared_and_kept_outside_of_it() {
    let root = root_with_state();
    let run = commit(root.path(), &[]);
    let list = listing(root.path());
    let below_var = list.lines().filter(|line| line.starts_with("./var/"));
    let below_var: Vec<&str> = below_var.collect();
    // Nothing but the areas, which are emptied.
    assert_eq!(below_var.len(), 2, "{below_var:?}");
    assert!(list.contains("./usr/lib/sysimage/dpkg/status|"), "{list}");
    for kept in [
        "./usr/share/factory/var/lib/app/db/deep/two|-rwsr-x---|901|902|1|",
        "./usr/share/factory/var/lib/app/db/twin|-rw-r--r--|901|902|2|",
        "./usr/share/factory/var/lib/app/older|",
        "./usr/share/factory/var/lib/loose|",
    ] {
        assert!(list.contains(kept), "{kept}: {list}");
    }
    let summary = run.ended_with(0).stderr.clone();
    assert!(summary.contains("osderive: /var: declared "), "{summary}");
    assert!(
        summary.contains("kept 5 files in /usr/share/factory"),
        "{summary}"
    );
}

#[test]
fn of_two_commits_at_once_the_second_waits_and_says_for_whom() {
    let root = bootc_root();
    fs::write(root.path().join("tmp/left"), "").expect("a file");
    let held = fs::File::open(root.path()).expect("opens");
    held.lock().expect("locks");
    let mut second = Command::new(TOOL)
        .args(["commit", "--rootfs"])
        .arg(root.path())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut told = BufReader::new(second.stderr.take().expect("a pipe"));
    let mut line = String::new();
    told.read_line(&mut line).expect("reads");
    let waits = format!(
        "is under way (process {}); waiting for it\n",
        std::process::id()
    );
    assert!(line.ends_with(&waits), "{line}");
    assert!(root.path().join("tmp/left").exists());
    held.unlock().expect("unlocks");
    assert!(second.wait().expect("ends").success());
    assert!(!root.path().join("tmp/left").exists());
}

#[test]
fn what_belongs_to_an_id_that_a_rootless_build_does_not_have_stays_and_is_told() {
    let root = bootc_root();
    let path = |name: &str| root.path().join("var/lib").join(name);
    for name in ["own/file", "foreign/file"] {
        fs::create_dir_all(path(name).parent().expect("a parent")).expect("directories");
        fs::write(path(name), name).expect("a file");
    }
    for name in ["foreign", "foreign/file"] {
        chown(path(name), Some(105), Some(107)).expect("an owner");
    }
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", TOOL, "commit", "--rootfs"])
        .arg(root.path())
        .output();
    let run = Run::from(output.expect("unshare, of util-linux"));
    let told = "is an id that this user namespace does not have";
    assert!(run.ended_with(0).stderr.contains(told), "{run:?}");
    assert!(path("foreign/file").exists());
    assert!(
        root.path()
            .join("usr/share/factory/var/lib/own/file")
            .exists()
    );
    for file in fs::read_dir(root.path().join("usr/lib/tmpfiles.d")).expect("lists") {
        let lines = fs::read_to_string(file.expect("an entry").path()).expect("reads");
        assert!(
            !lines.contains("foreign") && !lines.contains("nobody"),
            "{lines}"
        );
    }
}
