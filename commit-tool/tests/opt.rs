//! What a lower layer has in /opt cannot be renamed there: it is copied with all that it has, and a
//! full disk loses nothing. Real overlay mounts, as build engines make them.

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use support::{Run, TOOL};

/// A layer of 8 MiB above `$LOWER`, mounted at `$ROOT`.
const MOUNT: &str = r#"
mount -t tmpfs -o size=8m tmpfs "$UPPER"
mkdir "$UPPER/upper" "$UPPER/work"
mount -t overlay -o "lowerdir=$LOWER,upperdir=$UPPER/upper,workdir=$UPPER/work" overlay "$ROOT"
cd "$ROOT"
"#;

/// A base image with software in /var/opt, which the script changes in a layer above it.
fn in_layer(folder: &Path, prepare: impl FnOnce(&Path), script: &str) -> Run {
    let path = |name: &str| folder.join(name);
    for directory in [
        "lower/sysroot/ostree",
        "lower/usr/lib",
        "lower/var/opt/acme",
        "upper",
        "root",
    ] {
        fs::create_dir_all(path(directory)).expect("directories");
    }
    for (target, link) in [("sysroot/ostree", "ostree"), ("var/opt", "opt")] {
        std::os::unix::fs::symlink(target, path("lower").join(link)).expect("a link");
    }
    prepare(&path("lower/var/opt/acme"));
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec"])
        .arg([MOUNT, script].concat())
        .env("TOOL", TOOL)
        .env("LOWER", path("lower"))
        .env("UPPER", path("upper"))
        .env("ROOT", path("root"))
        .stdin(Stdio::null())
        .output();
    Run::from(output.expect("unshare, of util-linux"))
}

#[test]
fn what_a_lower_layer_has_is_copied_with_all_that_it_has() {
    // cap_net_raw+ep as capabilities(7) keeps it, version 2.
    let capability = [[1, 0, 0, 2], [0, 0x20, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
    let prepare = |acme: &Path| {
        fs::create_dir(acme.join("bin")).expect("a directory");
        for name in ["bin/helper", "bin/ping", "twin"] {
            fs::write(acme.join(name), name).expect("a file");
        }
        let ping = acme.join("bin/ping");
        setxattr(
            &ping,
            "security.capability",
            &capability,
            XattrFlags::empty(),
        )
        .expect("an attribute");
        let seven = std::time::UNIX_EPOCH + std::time::Duration::from_secs(7);
        let twin = fs::File::open(acme.join("twin")).expect("opens");
        twin.set_modified(seven).expect("a time");
        let helper = acme.join("bin/helper");
        fs::set_permissions(helper, fs::Permissions::from_mode(0o4755)).expect("a mode");
        fs::hard_link(acme.join("twin"), acme.join("other")).expect("a hard link");
        let sparse = fs::File::create(acme.join("sparse")).expect("a file");
        sparse.set_len(1 << 30).expect("a size");
    };
    let folder = tempfile::tempdir().expect("a directory");
    let run = in_layer(
        folder.path(),
        prepare,
        r#"
        echo new > var/opt/acme/new
        "$TOOL" commit --rootfs .
        readlink var/opt/acme
        cd usr/lib/opt/acme
        ls -A
        stat -c '%n %a %s %Y' bin/helper twin
        [ twin -ef other ] && echo linked
        stat -c '%s' sparse
        [ $(stat -c '%b' sparse) -lt 64 ] && echo sparse
        cp -a bin/ping "$LOWER/../ping"
        "#,
    );
    run.ended_with(0);
    let shown: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(shown[0], "/usr/lib/opt/acme");
    assert_eq!(shown[1..6], ["bin", "new", "other", "sparse", "twin"]);
    assert!(shown[6].starts_with("bin/helper 4755 10 "), "{shown:?}");
    assert_eq!(shown[7], "twin 644 4 7");
    assert_eq!(shown[8..11], ["linked", "1073741824", "sparse"]);
    let mut value = [0; 64];
    let ping = folder.path().join("ping");
    let length = getxattr(ping, "security.capability", &mut value).expect("an attribute");
    assert_eq!(value[..length], capability);
}

#[test]
fn a_full_disk_loses_nothing_and_leaves_no_half_copy() {
    let prepare = |acme: &Path| {
        fs::write(acme.join("large"), vec![b'x'; 12 << 20]).expect("a file");
    };
    let folder = tempfile::tempdir().expect("a directory");
    let run = in_layer(
        folder.path(),
        prepare,
        r#"
        echo new > var/opt/acme/new
        "$TOOL" commit --rootfs . && exit 9
        ls -A usr/lib/opt
        cat var/opt/acme/new
        stat -c '%s' var/opt/acme/large
        mount -o remount,size=32m "$UPPER"
        "$TOOL" commit --rootfs .
        stat -c '%s' usr/lib/opt/acme/large
        "#,
    );
    assert!(run.stderr.contains("No space left on device"), "{run:?}");
    assert_eq!(run.ended_with(0).stdout, "new\n12582912\n12582912\n");
}

#[test]
fn special_files_of_software_come_along() {
    let folder = tempfile::tempdir().expect("a directory");
    let prepare = |acme: &Path| fs::write(acme.join("old"), "").expect("a file");
    let script = r#"
        mkfifo -m 622 var/opt/acme/fifo
        mknod -m 640 var/opt/acme/null c 1 3
        chown 7:8 var/opt/acme/fifo
        "$TOOL" commit --rootfs .
        cd usr/lib/opt/acme
        stat -c "%n %F %a %u:%g %t:%T" fifo null
    "#;
    let run = in_layer(folder.path(), prepare, script);
    let copied = "fifo fifo 622 7:8 0:0\nnull character special file 640 0:0 1:3\n";
    assert_eq!(run.ended_with(0).stdout, copied);
}

#[test]
fn without_the_capability_for_a_set_group_id_bit_nothing_moves_and_it_is_told() {
    let folder = tempfile::tempdir().expect("a directory");
    let prepare = |acme: &Path| {
        let shared = acme.join("shared");
        fs::create_dir(&shared).expect("a directory");
        std::os::unix::fs::chown(&shared, Some(0), Some(8)).expect("a group");
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o2775)).expect("a mode");
    };
    let script = r#"
        touch var/opt/acme/new
        setpriv --bounding-set -fsetid --inh-caps=-all "$TOOL" commit --rootfs . || echo "failed $?"
        stat -c "%n %a" var/opt/acme/shared
        ls -A usr/lib/opt
    "#;
    let run = in_layer(folder.path(), prepare, script);
    let stays = "failed 1\nvar/opt/acme/shared 2775\n";
    assert_eq!(run.ended_with(0).stdout, stays, "{run:?}");
    assert!(run.stderr.contains("Operation not permitted"), "{run:?}");
}
