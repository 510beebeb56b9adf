//! /opt and /usr/local, and how an image has each of them.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::EntryKind;

use crate::{
    place::{Place, moved},
    scratch::resolved,
};

/// A directory that software is installed into beside /usr. Paths are relative to the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Area {
    /// As users know it.
    pub(super) public: &'static str,
    /// Where its content is part of the image.
    pub(super) image: &'static str,
    /// Where what is written at run time goes.
    pub(super) state: &'static str,
    /// Directories in it that belong to nobody, so that only what is in them moves.
    pub(super) shared: &'static [&'static str],
}

pub(super) const AREAS: [Area; 2] = [
    Area {
        public: "opt",
        image: "usr/lib/opt",
        state: "var/lib/opt",
        shared: &[],
    },
    Area {
        public: "usr/local",
        image: "usr/lib/usrlocal",
        state: "var/lib/usrlocal",
        // Filesystem Hierarchy Standard 3.0, 4.9.2; libexec is in use without it.
        shared: &[
            "bin", "etc", "games", "include", "lib", "lib32", "lib64", "libexec", "man", "sbin",
            "share", "src",
        ],
    },
];

/// Where systemd finds that a state overlay is enabled, by systemd's name for the path below.
const OVERLAY_LINKS: [&str; 4] = [
    "etc/systemd/system/local-fs.target.requires",
    "etc/systemd/system/local-fs.target.wants",
    "usr/lib/systemd/system/local-fs.target.requires",
    "usr/lib/systemd/system/local-fs.target.wants",
];

/// How an image has an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// As a link to this directory in /var, which is the machine's own.
    State(PathBuf),
    /// As this directory of the image, read-only at run time.
    Image(PathBuf),
    /// Not at all, or with a writable overlay on it (ostree-state-overlay(8)).
    Free,
}

impl Layout {
    /// How a root file system has an area.
    pub(super) fn of(place: &Place<'_>, area: &Area) -> Self {
        let path = Path::new(area.public);
        let Ok(Some(meta)) = place.meta(path) else {
            return Self::Free;
        };
        let real = match meta.look.kind {
            EntryKind::Directory if !meta.is_mount => path.to_owned(),
            EntryKind::Symlink => match place.link_target(path) {
                Ok(target) => target_of(area.public, &target),
                Err(_) => return Self::Free,
            },
            _ => return Self::Free,
        };
        if real.starts_with("var") {
            return if real == Path::new("var") {
                Self::Free
            } else {
                Self::State(real)
            };
        }
        if has_overlay(place, &real) {
            return Self::Free;
        }
        Self::Image(real)
    }

    /// The directory of the image that holds the area's content.
    pub(super) fn image<'a>(&'a self, area: &'a Area) -> Option<&'a Path> {
        match self {
            Self::State(_) => Some(Path::new(area.image)),
            Self::Image(path) => Some(path),
            Self::Free => None,
        }
    }
}

fn target_of(link: &str, target: &[u8]) -> PathBuf {
    let names = resolved(link, OsStr::from_bytes(target));
    names.into_iter().map(OsStr::from_bytes).collect()
}

fn has_overlay(place: &Place<'_>, path: &Path) -> bool {
    let escaped = path
        .to_string_lossy()
        .replace('-', "\\x2d")
        .replace('/', "-");
    let unit = format!("ostree-state-overlay@{escaped}.service");
    let is_there = |path: PathBuf| matches!(place.meta(&path), Ok(Some(_)));
    OVERLAY_LINKS
        .iter()
        .any(|links| is_there(Path::new(links).join(&unit)))
}

/// Where the commit moves what a path of /opt or /usr/local names, relative to the root.
pub(crate) fn image_path(path: &Path) -> Option<PathBuf> {
    AREAS.iter().find_map(|area| {
        let below = path.strip_prefix(area.public).ok()?;
        Some(Path::new(area.image).join(below))
    })
}

/// Where a path in /var is kept in the image.
pub(super) fn in_image(area: &Area, state: &Path, path: &Path) -> PathBuf {
    moved(path, state, Path::new(area.image))
}
