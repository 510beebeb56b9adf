//! What a package brings and its installation runs: dpkg's list of its files, its script, its unit, its configuration.
//! They stand one after the other, with a NUL between, and go through all rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::{Selection, lint};
use osderive_lints_fuzz::{archive, digest, in_proportion, open};

const MANIFEST: &[u8] = br#"[{"Config":"c.json","Layers":["l.tar"]}]"#;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(5, |&byte| byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (list, script, unit, configuration, program) = (part(), part(), part(), part(), part());
    let list = [
        &b"/usr/lib/systemd/system/a.service\n/etc/a.conf\n"[..],
        list,
    ]
    .concat();
    let layer = archive(&[
        (
            "etc/passwd",
            b"root:x:0:0::/root:/bin/sh\na:x:999:999::/:/bin/sh\n",
        ),
        ("etc/group", b"a:x:999:\nb:x:998:\n"),
        ("etc/a.conf", configuration),
        ("usr/bin/a", program),
        ("usr/lib/systemd/system/a.service", unit),
        (
            "usr/lib/systemd/system/default.target",
            b"[Unit]\nRequires=a.service\n",
        ),
        ("var/lib/dpkg/info/a.list", &list),
        ("var/lib/dpkg/info/a.postinst", script),
    ]);
    let config = format!(r#"{{"rootfs":{{"diff_ids":["{}"]}}}}"#, digest(&layer));
    let image = archive(&[
        ("manifest.json", MANIFEST),
        ("c.json", config.as_bytes()),
        ("l.tar", &layer),
    ]);
    in_proportion(&image, 4000, || {
        let opened = open("docker-archive", &image).expect("an image");
        let _ = lint(&*opened.tree, opened.config.as_ref(), &Selection::default());
    });
});
