//! # What it does
//! Finds large files with the same content. Only files of one size are compared, and no more than a
//! limit is read.
//!
//! # Why it breaks
//! Nothing breaks. But each host downloads the content several times.
//!
//! # Example
//! ```dockerfile
//! RUN cp -r /usr/share/acme/models /usr/lib/acme/models
//! ```
//!
//! # Fix
//! Keep one and link to it: `ln -sfr FILE COPY`, or `hardlink -t /usr/share/acme /usr/lib/acme`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use sha2::{Digest as _, Sha256};

use super::{Check, Rule, absolute};
use crate::tree::{Kind, Tree};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "size-duplicate-files",
    severity: Severity::Info,
    summary: "large files have the same content",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Bytes that are read of each file to begin with: most that differ, differ there.
const BEGINNING: u64 = 4096;

/// Bytes that are read in all, at most; the largest files come first.
const MAX_READ: u64 = 256 << 20;

/// Bytes that are saved, at least, for a finding.
const MIN_SAVED: u64 = 4 << 20;

fn check(image: &Image<'_>) -> Vec<Finding> {
    let mut sizes: Vec<u64> = image.gathered.large.keys().copied().collect();
    sizes.sort_unstable();
    let mut left = MAX_READ;
    let mut findings = Vec::new();
    for size in sizes.into_iter().rev() {
        let paths = &image.gathered.large[&size].first;
        if paths.len() < 2 {
            continue;
        }
        for same in equal(image.tree, paths, size, &mut left) {
            let saved = size * (same.len() as u64 - 1);
            if saved >= MIN_SAVED {
                findings.push(finding(&same, saved));
            }
        }
    }
    findings
}

fn finding(same: &[&Vec<u8>], saved: u64) -> Finding {
    let (first, other) = (absolute(same[0]), absolute(same[1]));
    RULE.finding(
        format!(
            "{} files have the same content, {} MiB too many",
            same.len(),
            saved >> 20
        ),
        format!("keep one and link to it: `ln -sfr {first} {other}`"),
        same.iter().map(|path| absolute(path)).collect(),
    )
}

/// The groups of files, each a file of its own, with the same content.
fn equal<'a>(
    tree: &dyn Tree,
    paths: &'a BTreeSet<Vec<u8>>,
    size: u64,
    left: &mut u64,
) -> Vec<Vec<&'a Vec<u8>>> {
    let mut inodes = BTreeSet::new();
    let files = paths.iter().filter(|path| {
        let found = tree.look(path).ok().flatten();
        found.is_some_and(|meta| meta.kind == Kind::File && inodes.insert(meta.inode))
    });
    let mut begin_alike: BTreeMap<Vec<u8>, Vec<&Vec<u8>>> = BTreeMap::new();
    for path in files {
        if let Some(hash) = hash(tree, path, BEGINNING.min(size), left) {
            begin_alike.entry(hash).or_default().push(path);
        }
    }
    let candidates = begin_alike.into_values().filter(|paths| paths.len() > 1);
    let mut alike: BTreeMap<Vec<u8>, Vec<&Vec<u8>>> = BTreeMap::new();
    for path in candidates.flatten() {
        if let Some(hash) = hash(tree, path, size, left) {
            alike.entry(hash).or_default().push(path);
        }
    }
    (alike.into_values())
        .filter(|paths| paths.len() > 1)
        .collect()
}

/// The hash of a file's first bytes; none when they cannot be read, or too much has been read already.
fn hash(tree: &dyn Tree, path: &[u8], bytes: u64, left: &mut u64) -> Option<Vec<u8>> {
    *left = left.checked_sub(bytes)?;
    let file = tree.open(path).ok().flatten()?;
    let mut hash = Sha256::new();
    let read = io::copy(&mut file.take(bytes), &mut Sink(&mut hash));
    (read.ok()? == bytes).then(|| hash.finalize().to_vec())
}

/// What is written goes into a hash.
struct Sink<'a>(&'a mut Sha256);

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn large(last: u8) -> Vec<u8> {
        let mut content = vec![b'x'; 5 << 20];
        content.push(last);
        content
    }

    #[test]
    fn copies_are_told() {
        let tree = Fixture::new()
            .file("usr/a", large(1))
            .file("usr/b", large(1));
        let tree = tree.file("usr/c", large(2));
        let found = tree.findings_of(&RULE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].paths, ["/usr/a", "/usr/b"]);
        assert_eq!(
            found[0].message,
            "2 files have the same content, 5 MiB too many"
        );
    }

    #[test]
    fn hard_links_and_small_files_are_right() {
        let tree = Fixture::new().file("usr/a", large(1));
        let tree = tree.hard_link("usr/b", "usr/a");
        let small = vec![0; 2 << 20];
        let tree = tree.file("usr/c", &small).file("usr/d", &small);
        assert_eq!(tree.findings_of(&RULE), []);
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::write(root.path().join("a"), "abc").expect("a file");
        let tree = crate::tree::Rootfs::open(root.path()).expect("a root");
        let mut left = 5;
        assert!(hash(&tree, b"a", 3, &mut left).is_some());
        assert_eq!(hash(&tree, b"a", 3, &mut left), None);
    }
}
