//! The invariant that matters most: no mount, nothing below one and no parent of one is ever
//! altered, whatever is mounted, at whatever depth, from whatever device.

mod support;

use std::fs;

use support::Image;

fn kept(image: &Image) -> Vec<String> {
    // /usr is this machine's, mounted.
    let kept = image.report().kept.into_iter();
    let kept = kept.filter(|entry| !entry.path.starts_with("/usr"));
    let kept: Vec<_> = kept.collect();
    assert!(kept.iter().all(|entry| entry.reason == "mount point"));
    kept.into_iter().map(|entry| entry.path).collect()
}

#[test]
fn a_cache_mount_keeps_every_byte() {
    let image =
        Image::bootable().with_mounts("mount --bind \"$ROOT/cache\" \"$ROOT/var/cache/apt\"");
    image.write("cache/archives/x.deb", "package");
    image.mkdir("var/cache/apt");
    image
        .sh("touch /var/cache/apt/archives/y.deb /var/cache/other")
        .ended_with(0);
    assert_eq!(kept(&image), ["/var/cache/apt"]);
    image.end(&[]).ended_with(0);
    assert_eq!(image.list("cache/archives"), ["x.deb", "y.deb"]);
    assert_eq!(
        fs::read_to_string(image.path("cache/archives/x.deb")).expect("reads"),
        "package"
    );
    assert_eq!(image.list("var/cache"), ["apt"]);
    assert_eq!(kept(&image), ["/var/cache/apt"]);
}

#[test]
fn deep_mounts_of_every_kind_stay_and_their_siblings_go() {
    let image = Image::bootable().with_mounts(
        "mount --bind \"$ROOT/data\" \"$ROOT/tmp/a/b/c/d\"
         mount --bind \"$ROOT/data/file\" \"$ROOT/run/secrets/token\"
         mount -t tmpfs tmpfs \"$ROOT/var/tmp/x/y\"; echo t > \"$ROOT/var/tmp/x/y/t\"
         mount --bind \"$ROOT/var/cache/self/on\" \"$ROOT/var/cache/self/on\"",
    );
    image.write("data/file", "secret");
    image.write("data/deep/er", "x");
    for directory in ["tmp/a/b/c/d", "var/tmp/x/y", "var/cache/self/on"] {
        image.mkdir(directory);
    }
    image.write("run/secrets/token", "");
    image.write("var/cache/self/on/inside", "x");
    for sibling in [
        "tmp/a/s/t",
        "tmp/a/b/s",
        "tmp/a/b/c/s",
        "tmp/s",
        "run/secrets/s",
        "var/cache/self/s",
    ] {
        image.write(sibling, "sibling");
    }
    let run = image.sh("cat /run/secrets/token /var/tmp/x/y/t");
    assert_eq!(run.ended_with(0).stdout, "secrett\n");
    image.end(&[]).ended_with(0);
    assert_eq!(
        kept(&image),
        [
            "/run/secrets/token",
            "/tmp/a/b/c/d",
            "/var/cache/self/on",
            "/var/tmp/x/y"
        ]
    );
    assert_eq!(image.list("data"), ["deep", "file"]);
    assert_eq!(image.list("var/cache/self"), ["on"]);
    assert_eq!(image.list("var/cache/self/on"), ["inside"]);
    assert_eq!(image.list("tmp"), ["a"]);
    assert_eq!(image.list("tmp/a"), ["b"]);
    assert_eq!(image.list("tmp/a/b"), ["c"]);
    assert_eq!(image.list("tmp/a/b/c"), ["d"]);
    assert_eq!(image.list("run/secrets"), ["token"]);
}

#[test]
fn an_area_that_is_a_mount_is_left_alone() {
    let image = Image::bootable().with_mounts(
        "mount --bind \"$ROOT/scratch\" \"$ROOT/tmp\"; mount --bind \"$ROOT/state\" \"$ROOT/var\"",
    );
    image.write("scratch/file", "x");
    image.write("state/cache/file", "x");
    image.write("run/gone", "x");
    image.sh("touch /tmp/more").ended_with(0);
    image.end(&[]).ended_with(0);
    assert_eq!(image.list("scratch"), ["file", "more"]);
    assert_eq!(image.list("state/cache"), ["file"]);
    assert_eq!(image.list("run"), [""; 0]);
    assert_eq!(kept(&image), ["/tmp", "/var"]);
}

#[test]
fn a_mount_behind_a_hostile_name_is_seen() {
    let image = Image::bootable().with_mounts(
        "mount --bind \"$ROOT/data\" \"$ROOT/tmp/new
line and \\\\040\"",
    );
    image.write("data/file", "x");
    image.mkdir("tmp/new\nline and \\040");
    image.end(&[]).ended_with(0);
    assert_eq!(image.list("data"), ["file"]);
    assert_eq!(kept(&image), [r"/tmp/new\x0aline and \040"]);
}

#[test]
fn mounts_below_another_root_are_seen_from_outside() {
    let image =
        Image::bootable().with_mounts("mount --bind \"$ROOT/data\" \"$ROOT/other/tmp/a/m\"");
    image.write("data/file", "x");
    image.mkdir("other/tmp/a/m");
    image.write("other/tmp/a/gone", "x");
    image.mkdir("other/sysroot");
    image.write("other/usr/lib/ostree/prepare-root.conf", "");
    let run = image.exec(&[
        "/dev/.osderive/ostree-container",
        "commit",
        "--rootfs",
        "/other",
    ]);
    assert_eq!(
        run.ended_with(0).stderr,
        "osderive: committed: removed 1 entry (1 B) from /tmp\n"
    );
    assert_eq!(image.list("data"), ["file"]);
}

#[test]
fn a_mount_that_the_step_itself_made_is_kept_too() {
    let image = Image::bootable();
    let mount =
        "mkdir -p /var/cache/apt/m /data; echo x > /data/f; mount --bind /data /var/cache/apt/m";
    image.sh(mount).ended_with(0);
    assert_eq!(image.list("data"), ["f"]);
    assert_eq!(kept(&image), ["/var/cache/apt/m"]);
}
