//! An entry that is new below /var: what it is, and whether boot makes it just so.

use std::{collections::BTreeMap, path::Path};

use osderive_lints::{
    EntryKind,
    model::{acl::Lists, tmpfiles::Line},
};
use rustix::{fs::FileType, io::Errno};

use super::{
    boot::{Boot, copy_source, link_target, mode_of},
    known::{is_package_cache, leftover_reason},
};
use crate::{
    attributes::Attributes,
    place::{Handles, Meta, Place, moved},
    snippets::is_own,
};

/// What kind of entry it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Link(Vec<u8>),
    Socket,
    Fifo,
    Node,
}

/// Whether boot makes an entry just as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    No,
    /// From a line of ours.
    ByUs,
    /// From a line that the image had from somebody else.
    ByOthers,
}

/// An entry that no lower layer has as it is.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// With the permission bits that it has without its access control list.
    pub(super) meta: Meta,
    pub(super) made: Made,
    pub(super) attributes: Attributes,
}

impl Entry {
    /// Looks at what stands at a path.
    pub(super) fn look(
        boot: &Boot,
        place: &Place<'_>,
        handles: &mut Handles<'_>,
        path: &Path,
        meta: &Meta,
    ) -> Result<Self, Errno> {
        let kind = match meta.look.kind {
            EntryKind::Directory => Kind::Directory,
            EntryKind::File => Kind::File,
            EntryKind::Symlink => Kind::Link(place.link_target(path)?),
            EntryKind::Special => match place.file_type(path)? {
                FileType::Socket => Kind::Socket,
                FileType::Fifo => Kind::Fifo,
                _ => Kind::Node,
            },
        };
        let attributes = attributes(handles, path, &kind)?;
        let mut meta = meta.clone();
        if let Some(list) = &attributes.lists.access {
            meta.look.mode = list.mode_without(meta.look.mode);
        }
        Ok(Self {
            made: made(boot, place, path, &meta, (&kind, &attributes))?,
            kind,
            meta,
            attributes,
        })
    }
}

/// The attributes of an entry that may be kept.
fn attributes(handles: &mut Handles<'_>, path: &Path, kind: &Kind) -> Result<Attributes, Errno> {
    let can_have = matches!(kind, Kind::Directory | Kind::File | Kind::Fifo);
    if !can_have || leftover_reason(path).is_some() || is_package_cache(path) {
        return Ok(Attributes::default());
    }
    handles.attributes(path)
}

/// Whether an entry is as the copy that a line makes of it.
fn is_copy(
    place: &Place<'_>,
    path: &Path,
    meta: &Meta,
    (kind, attributes): (&Kind, &Attributes),
    (top, line): (&Path, &Line),
    boot: &Boot,
) -> Result<bool, Errno> {
    let source = moved(path, top, &copy_source(line));
    let Some(original) = place.meta(&source)? else {
        return Ok(false);
    };
    let is_own = is_own(&line.file);
    let (found, copied) = (&meta.look, &original.look);
    let is_directory = found.kind == EntryKind::Directory;
    let user = match kind {
        Kind::Directory | Kind::File => place.attributes(&source)?.user,
        _ => BTreeMap::new(),
    };
    let lists = boot.lists_of(path, Lists::default(), (found.mode, is_directory), |_| true);
    if attributes.user != user || attributes.lists != lists {
        return Ok(false);
    }
    // A line of others may say another owner or mode than what it copies has.
    let owner_agrees = (line.user.is_some() && !is_own || found.uid == copied.uid)
        && (line.group.is_some() && !is_own || found.gid == copied.gid);
    let mode_agrees = line.mode.is_some() && path == top && !is_own || found.mode == copied.mode;
    if found.kind != copied.kind || !owner_agrees || !mode_agrees {
        return Ok(false);
    }
    match kind {
        Kind::Directory => Ok(true),
        Kind::File => place.hold_the_same(path, &source),
        Kind::Link(target) => Ok(*target == place.link_target(&source)?),
        _ => Ok(false),
    }
}

fn made(
    boot: &Boot,
    place: &Place<'_>,
    path: &Path,
    meta: &Meta,
    (kind, attributes): (&Kind, &Attributes),
) -> Result<Made, Errno> {
    let by = |line: &Line| {
        if is_own(&line.file) {
            Made::ByUs
        } else {
            Made::ByOthers
        }
    };
    let copied = boot.copy_above(path);
    let (line, is_made) = match (boot.lines.get(path), copied) {
        (own, Some((top, line))) if own.is_none_or(|own| own.kind == b'C') => {
            let entry = (kind, attributes);
            let is_copy = is_copy(place, path, meta, entry, (top, line), boot)?;
            (line, is_copy)
        }
        // No such line gives attributes to what it makes.
        (Some(line), _) => {
            let is_made =
                attributes.user.is_empty() && is_made_by(boot, place, path, meta, kind, line)?;
            (line, is_made)
        }
        (None, _) => {
            let plain = (meta.look.mode, meta.look.uid, meta.look.gid) == (0o755, 0, 0);
            let is_made = *kind == Kind::Directory && plain && boot.is_on_a_way(path);
            return Ok(if is_made { Made::ByOthers } else { Made::No });
        }
    };
    Ok(if is_made { by(line) } else { Made::No })
}

/// Whether a line other than a copy makes an entry as it is. What a line of others says
/// outright boot sets, whatever the command made of it.
fn is_made_by(
    boot: &Boot,
    place: &Place<'_>,
    path: &Path,
    meta: &Meta,
    kind: &Kind,
    line: &Line,
) -> Result<bool, Errno> {
    let owner = boot.names.owner_of(line).unwrap_or_default();
    let default_mode = if *kind == Kind::Directory {
        0o755
    } else {
        0o644
    };
    let is_own = is_own(&line.file);
    let agrees = |said: Option<u32>, default: u32, found: u32| match said {
        Some(said) if is_own => said == found,
        Some(_) => true,
        None => default == found,
    };
    let owner_agrees = agrees(owner.uid, 0, meta.look.uid) && agrees(owner.gid, 0, meta.look.gid);
    let mode = mode_of(line, *kind == Kind::Directory);
    let agrees = owner_agrees && agrees(mode, default_mode, meta.look.mode);
    Ok(match (line.kind, kind) {
        (_, Kind::Directory) => line.makes_directory() && agrees,
        (b'L', Kind::Link(target)) => *target == link_target(line) && owner_agrees,
        (b'f' | b'F', Kind::File) => {
            let content = line.argument.as_deref().unwrap_or_default();
            agrees && place.holds(path, content)?
        }
        (b'p', Kind::Fifo) => agrees,
        _ => false,
    })
}
