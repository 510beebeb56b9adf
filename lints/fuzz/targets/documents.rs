//! The documents that say what an image consists of: they stand one after the other, with a NUL between. `@3` in one
//! is the digest of the third, and so on, so that each may name those that follow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints_fuzz::{archive, digest, in_proportion, open};

fuzz_target!(|documents: &[u8]| {
    let mut parts: Vec<Vec<u8>> = documents
        .splitn(4, |&byte| byte == 0)
        .map(<[u8]>::to_vec)
        .collect();
    parts.resize(4, Vec::new());
    for named in (1..parts.len()).rev() {
        let digest = digest(&parts[named]);
        for part in &mut parts[..named] {
            *part = replaced(part, &[b'@', b'1' + named as u8], digest.as_bytes());
        }
    }
    let names: Vec<String> = parts
        .iter()
        .map(|part| digest(part).replace(':', "/"))
        .collect();
    let names: Vec<String> = names.iter().map(|name| format!("blobs/{name}")).collect();
    let mut files: Vec<(&str, &[u8])> = vec![("index.json", &parts[0])];
    files.extend(
        names
            .iter()
            .zip(&parts)
            .skip(1)
            .map(|(name, part)| (name.as_str(), &part[..])),
    );
    let layout = archive(&files);
    let saved = archive(&[
        ("manifest.json", &parts[0]),
        ("a", &parts[1]),
        ("b", &parts[2]),
    ]);
    in_proportion(&layout, 2000, || {
        let _ = open("oci-archive", &layout);
        let _ = open("docker-archive", &saved);
    });
});

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|part| part == from) {
        replaced.extend([&rest[..at], to].concat());
        rest = &rest[at + from.len()..];
        if replaced.len() > 1 << 20 {
            break;
        }
    }
    replaced.extend(rest);
    replaced
}
