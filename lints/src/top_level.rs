//! What derived layers have at the top level of an image, and what becomes of it on a machine.

use crate::Image;
use crate::model::prepare_root;
use crate::rules::config_ostree_labels::LABEL;
use crate::rules::layout_composefs::first_of;
use crate::tree::Kind;

/// What the importer keeps, what is mounted over, and what other rules speak of (/boot).
const KEPT: [&[u8]; 11] = [
    b"boot", b"dev", b"etc", b"ostree", b"proc", b"run", b"sys", b"sysroot", b"tmp", b"usr", b"var",
];

/// What every base has, a directory for mounts or a link into /usr or /var; only what is in them counts.
const USUAL: [&[u8]; 13] = [
    b"bin", b"efi", b"home", b"lib", b"lib32", b"lib64", b"libx32", b"media", b"mnt", b"opt",
    b"root", b"sbin", b"srv",
];

/// The names at the top level that are dropped when the image is imported. Of an encapsulated commit without composefs and
/// without a transient root the importer keeps the rest, and of other images all (ostree-ext, `container/store.rs`).
pub(crate) fn dropped(image: &Image<'_>) -> Vec<Vec<u8>> {
    if !is_on_commit(image) || keeps_top_level(image) {
        return Vec::new();
    }
    let names = image.tree.names(b"").unwrap_or_default().into_iter();
    names
        .filter(|name| !KEPT.contains(&name.as_slice()) && !is_of_commit(image, name))
        .filter(|name| !USUAL.contains(&name.as_slice()) || has_content(image, name))
        .collect()
}

fn is_on_commit(image: &Image<'_>) -> bool {
    match image.config {
        Some(config) => config.config.labels.contains_key(LABEL),
        None => image.exists("sysroot/ostree/repo/config"),
    }
}

/// Whether a layer of the base's commit has it: what such layers have is in the commit. Where no layers are known,
/// nothing is.
fn is_of_commit(image: &Image<'_>, name: &[u8]) -> bool {
    let last = image.config.and_then(|config| {
        let last = config.config.labels.get(LABEL)?;
        let mut layers = config.rootfs.diff_ids.iter();
        layers.position(|layer| layer == last)
    });
    let layer = image.tree.layer_of(name);
    matches!((layer, last), (Some(layer), Some(last)) if layer <= last)
}

fn keeps_top_level(image: &Image<'_>) -> bool {
    let file = first_of(image, &prepare_root::PATHS);
    file.is_some_and(|(_, content)| prepare_root::keeps_top_level(&content))
}

fn has_content(image: &Image<'_>, name: &[u8]) -> bool {
    let is_directory =
        matches!(image.tree.look(name), Ok(Some(meta)) if meta.kind == Kind::Directory);
    is_directory && (image.tree.names(name)).is_ok_and(|names| !names.is_empty())
}
