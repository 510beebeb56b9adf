//! A layer of an image as a tar archive, through all rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::{Selection, lint};
use osderive_lints_fuzz::{archive, digest, in_proportion, open, with_check_sums};

const MANIFEST: &[u8] = br#"[{"Config":"c.json","Layers":["l.tar","l.tar"]}]"#;

fuzz_target!(|layer: &[u8]| {
    let layer = with_check_sums(layer.to_vec());
    let digest = digest(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"history":[],
            "rootfs":{{"diff_ids":["{digest}","{digest}"]}}}}"#
    );
    let image = archive(&[
        ("manifest.json", MANIFEST),
        ("c.json", config.as_bytes()),
        ("l.tar", &layer),
    ]);
    in_proportion(&image, 4000, || {
        if let Some(opened) = open("docker-archive", &image) {
            let _ = lint(&*opened.tree, opened.config.as_ref(), &Selection::default());
        }
    });
});
