//! A root file system with something for each part of a commit.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, lchown, symlink},
    path::Path,
};

use osderive_lints::model::acl::{ACCESS, DEFAULT};

use crate::lists::{list_of, set};

/// Pieces of the user's that have to be somewhere in the tree at any moment.
pub(crate) const PRECIOUS: [&str; 14] = [
    "precious in etc",
    "redis",
    "tor",
    "the kernel",
    "a dump",
    "seed one",
    "seed two",
    "dpkg's status",
    "new software",
    "older software",
    "first log",
    "second log",
    "product data",
    "local tool",
];

/// A root with something for each part of a commit.
pub(crate) fn busy_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let write = |path: &str, content: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    };
    for path in ["sysroot/ostree", "run", "tmp", "var/tmp", "var/cache/empty"] {
        fs::create_dir_all(root.path().join(path)).expect("directories");
    }
    symlink("sysroot/ostree", root.path().join("ostree")).expect("a link");
    write("run/lock/x", "");
    write("tmp/a/b/c", "waste");
    write("var/cache/man/index", "waste");
    write("etc/mine", "precious in etc");
    write(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\n\
         redis:x:105:107::/var/lib/redis:/usr/sbin/nologin\n\
         tor:x:106:108::/var/lib/tor:/bin/false\n",
    );
    write("etc/group", "root:x:0:\nredis:x:107:\ntor:x:108:redis\n");
    write(
        "etc/shadow",
        "root:*:::::::\nredis:!:20000::::::\ntor:!:20000::::::\ngone:!:1::::::\n",
    );
    write("etc/gshadow", "root:*::\nredis:!::\ngone:!::\n");
    for path in ["usr/bin/ssh-keygen", "usr/lib/systemd/system/ssh.service"] {
        write(path, "");
    }
    write("etc/ssh/ssh_host_rsa_key", "a machine's");
    write("etc/ssh/ssh_host_rsa_key.pub", "a machine's");
    write("boot/vmlinuz-6.12", "the kernel");
    write("boot/System.map-6.12", "");
    write("usr/lib/modules/6.12/modules.builtin", "");
    symlink("boot/vmlinuz-6.12", root.path().join("vmlinuz")).expect("a link");
    write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    fill_var(root.path());
    write("usr/lib/opt/acme/lib/old", "older software");
    write("usr/lib/opt/acme/run", "replaced");
    write("var/opt/acme/run", "new software");
    write("var/opt/acme/log/first", "first log");
    write("var/lib/opt/acme/log/second", "second log");
    write("var/opt/vendor/product/data/x", "product data");
    write("var/usrlocal/bin/tool", "local tool");
    symlink("var/opt", root.path().join("opt")).expect("a link");
    symlink("../var/usrlocal", root.path().join("usr/local")).expect("a link");
    for name in ["passwd-", "group-", ".pwd.lock"] {
        write(&format!("etc/{name}"), "");
    }
    root
}

/// A /var with everything that a commit treats in its own way, into a factory that has some of it.
fn fill_var(root: &Path) {
    let write = |path: &str, content: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    };
    write("var/lib/redis/dump.rdb", "a dump");
    write("var/lib/app/seed/one", "seed one");
    write("var/lib/app/seed/deep/two", "seed two");
    write("var/lib/dpkg/status", "dpkg's status");
    write("var/lib/apt/lists/x", "waste");
    write("var/log/redis/redis.log", "waste");
    write("usr/share/factory/var/lib/app/older", "");
    fs::create_dir_all(root.join("var/spool/queue")).expect("directories");
    symlink("app", root.join("var/lib/link")).expect("a link");
    for path in [
        "var/lib/redis",
        "var/log/redis",
        "var/log/redis/redis.log",
        "var/lib/app/seed/deep",
    ] {
        lchown(root.join(path), Some(105), Some(107)).expect("an owner");
    }
    fs::hard_link(
        root.join("var/lib/app/seed/one"),
        root.join("var/lib/app/twin"),
    )
    .expect("a link");
    // What tells that lists can be set at boot.
    write("usr/bin/systemd-tmpfiles", "+PAM +ACL +BLKID");
    write("usr/lib64/libacl.so.1", "");
    for (path, list) in [
        ("var/lib/app", DEFAULT),
        ("var/lib/app/seed/one", ACCESS),
        ("var/lib/app/seed/deep", ACCESS),
        ("var/spool/queue", ACCESS),
    ] {
        set(&root.join(path), list, &list_of(105));
    }
    let secret = fs::Permissions::from_mode(0o700);
    fs::set_permissions(root.join("var/lib/redis"), secret).expect("a mode");
}
