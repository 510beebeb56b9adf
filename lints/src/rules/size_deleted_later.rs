//! # What it does
//! Adds up the files of each layer that a later layer deletes or replaces. The rule needs the
//! layers of the image: an OCI layout or an archive.
//!
//! # Why it breaks
//! Every host downloads and keeps content that it never sees. A layer cannot take anything out of a
//! parent layer.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get update && apt-get install -y build-essential
//! RUN make install && apt-get purge -y build-essential
//! ```
//!
//! # Fix
//! Delete the files in the RUN that makes them:
//! ```dockerfile
//! RUN apt-get install -y build-essential && make install && \
//!     apt-get purge -y --autoremove build-essential
//! ```
//! Or make them in a build stage of their own, and copy what you want.

use super::{Check, MAX_NAMED, Need, Rule, absolute, counted};
use crate::tree::{Buried, Layer};
use crate::{Finding, Image, Origin, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "size-deleted-later",
    severity: Severity::Info,
    summary: "a layer carries files that a later one deletes or replaces",
    needs: Need::Layers,
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Bytes from which on they are worth a word.
const WORTH: u64 = 8 << 20;

/// Databases that every installation of a package writes anew; nobody can change that.
const DATABASES: [&[u8]; 4] = [
    b"usr/lib/sysimage/",
    b"usr/share/rpm/",
    b"var/lib/dpkg/",
    b"var/lib/rpm/",
];

/// The finding about all that steps left for later ones and that goes at the end of a build, if it is worth a word:
/// for each step its line, if that is known, and how many bytes it left.
pub fn of_build(steps: &[(Option<i32>, u64)]) -> Option<Finding> {
    let total: u64 = steps.iter().map(|(_, bytes)| bytes).sum();
    if total < WORTH {
        return None;
    }
    let mut largest: Vec<_> = steps
        .iter()
        .filter(|(_, bytes)| *bytes >= WORTH / 8)
        .collect();
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let by_line = largest.iter().filter_map(|(line, bytes)| {
        let line = line.as_ref()?;
        Some(format!("{} of line {line}", mebibytes(*bytes)))
    });
    let by_line: Vec<String> = by_line.take(MAX_NAMED).collect();
    let by_line = if by_line.is_empty() {
        String::new()
    } else {
        format!(": {}", by_line.join(", "))
    };
    let size = mebibytes(total);
    Some(RULE.finding(
        format!("{size} of temporary files, caches, logs and package lists stay in lower layers{by_line}"),
        "delete them in the RUN that makes them, or keep them out of the layer: RUN --mount=type=cache or tmpfs"
            .to_owned(),
        Vec::new(),
    ))
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

fn check(image: &Image<'_>) -> Vec<Finding> {
    let layers = image.tree.layers().map_or(&[][..], |stack| &stack.layers);
    layers.iter().filter_map(finding).collect()
}

fn finding(layer: &Layer) -> Option<Finding> {
    let is_database = |file: &&Buried| DATABASES.iter().any(|place| file.path.starts_with(place));
    let unavoidable = layer.buried.largest.iter().filter(is_database);
    let bytes = unavoidable.fold(layer.buried.bytes, |bytes, file| bytes - file.bytes);
    if bytes < WORTH {
        return None;
    }
    let files = layer
        .buried
        .largest
        .iter()
        .filter(|file| !is_database(file));
    let paths = files
        .take(MAX_NAMED)
        .map(|file| absolute(&file.path))
        .collect();
    let files = counted(layer.buried.count, "file", "files");
    let size = bytes >> 20;
    let mut finding = RULE.finding(
        format!("a layer carries {size} MiB in {files} that later layers delete or replace"),
        "delete them in the RUN that brings them, or build in a stage of its own and COPY the result"
            .to_owned(),
        paths,
    );
    finding.origin = Some(Origin {
        instruction: layer.created_by.clone(),
        layer: layer.digest.clone(),
        ..Origin::default()
    });
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{LayerTar, TestImage};
    use crate::{Selection, lint};

    #[test]
    fn what_a_build_leaves_behind_is_told_by_line_and_only_if_it_is_worth_it() {
        assert_eq!(of_build(&[(Some(3), 1 << 20)]), None);
        let steps = [
            (Some(3), 1 << 20),
            (Some(4), 30 << 20),
            (None, 9 << 20),
            (Some(9), 5),
        ];
        let message = of_build(&steps).expect("a finding").message;
        assert!(message.starts_with("40.0 MiB of "), "{message}");
        assert!(
            message.ends_with(": 30.0 MiB of line 4, 1.0 MiB of line 3"),
            "{message}"
        );
    }

    fn found(image: &TestImage) -> Vec<Finding> {
        let tree = image.read().expect("an image");
        let found = lint(&tree, None, &Selection::default())
            .findings
            .into_iter();
        found.filter(|finding| finding.rule == RULE.name).collect()
    }

    #[test]
    fn a_layer_that_a_later_one_empties_is_found() {
        let lower = LayerTar::new().file("usr/lib/tools/cc", vec![1; 9 << 20]);
        let upper = LayerTar::new().file("usr/lib/.wh.tools", "");
        let found = found(&TestImage::new().gzip(lower).layer(upper));
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message,
            "a layer carries 9 MiB in 1 file that later layers delete or replace"
        );
        assert_eq!(found[0].paths, ["/usr/lib/tools/cc"]);
        let origin = found[0].origin.as_ref().expect("an origin");
        assert_eq!(origin.instruction, "RUN step 0");
    }

    #[test]
    fn a_little_and_a_package_database_are_not() {
        let lower = LayerTar::new()
            .file("usr/share/rpm/rpmdb.sqlite", vec![1; 9 << 20])
            .file("etc/conf", "old");
        let upper = LayerTar::new()
            .file("usr/share/rpm/rpmdb.sqlite", vec![2; 9 << 20])
            .file("etc/conf", "new");
        assert_eq!(found(&TestImage::new().gzip(lower).gzip(upper)), []);
    }
}
