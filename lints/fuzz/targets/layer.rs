//! A layer of an image as a tar archive, through all rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::{Selection, lint};
use osderive_lints_fuzz::{archive, open, with_check_sums};

const MANIFEST: &[u8] = br#"[{"Config":"c.json","Layers":["l.tar","l.tar"]}]"#;
const CONFIG: &[u8] = br#"{"architecture":"amd64","os":"linux","config":{},"history":[]}"#;

fuzz_target!(|layer: &[u8]| {
    let layer = with_check_sums(layer.to_vec());
    let image = archive(&[
        ("manifest.json", MANIFEST),
        ("c.json", CONFIG),
        ("l.tar", &layer),
    ]);
    if let Some(opened) = open("docker-archive", &image) {
        let _ = lint(&*opened.tree, opened.config.as_ref(), &Selection::default());
    }
});
