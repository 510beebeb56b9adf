//! Links of the base, such as /opt and /home, in whose place the build has put a directory: `COPY --link`
//! does, since it knows nothing of the base. What is in the directory goes where the link leads, and the
//! link comes back.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::{Change, ChangedFile, EntryKind, rules::layout_link_replaced};

use crate::{
    domain::{self, Domain, Work},
    error::Result,
    opt::relocate,
    outcome::{DomainOutcome, Tell},
    paths::shown,
    place::{NewOwner, Place, Told as _},
    scratch::resolved,
};

/// The one link of a base that is not at the top.
const LOCAL: &str = "usr/local";

/// The domain. It has nothing to do but at the end of a build, where the base is known.
pub(crate) struct Links;

/// What shall be done.
#[derive(Default)]
struct LinkPlan(Vec<Replaced>);

/// A link that became a directory. Paths are relative to the root.
struct Replaced {
    path: PathBuf,
    /// As the base has it.
    target: Vec<u8>,
    /// Where it leads.
    end: PathBuf,
}

impl Domain for Links {
    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let Some(base) = work.base else {
            return Ok(Box::new(LinkPlan::default()));
        };
        let base = base.place();
        let top = Path::new("");
        let names = base.entries(top).told("look at", top)?.into_iter();
        let names = names.map(|(name, _)| PathBuf::from(name));
        let paths = names.chain([PathBuf::from(LOCAL)]);
        let replaced = paths.filter_map(|path| replaced(&base, work.place, path));
        Ok(Box::new(LinkPlan(replaced.collect())))
    }
}

fn replaced(base: &Place<'_>, image: &Place<'_>, path: PathBuf) -> Option<Replaced> {
    let target = base.link_target(&path).ok()?;
    let meta = image.meta(&path).ok()??;
    if !meta.is_open_directory() || image.has_mount_within(&path) {
        return None;
    }
    let end = resolved(path.to_str()?, OsStr::from_bytes(&target));
    let end: PathBuf = end.into_iter().map(OsStr::from_bytes).collect();
    // Where it leads into itself or to the root there is no place for its content.
    let is_apart = !end.starts_with(&path) && !path.starts_with(&end);
    is_apart.then_some(Replaced { path, target, end })
}

impl Replaced {
    fn told(&self) -> ChangedFile {
        ChangedFile {
            change: Change::Moved,
            path: shown(&self.end),
            from: Some(shown(&self.path)),
            reason: "the base has a link there".to_owned(),
        }
    }

    fn undo(&self, place: &Place<'_>) -> Result<()> {
        for name in place.list_names(&self.path).told("list", &self.path)? {
            relocate(place, &self.path.join(&name), &self.end.join(&name))?;
        }
        let removed = place.remove(&self.path, EntryKind::Directory);
        removed.told("remove", &self.path)?;
        let owner = NewOwner {
            uid: Some(0),
            gid: Some(0),
        };
        place
            .make_link(&self.path, &self.target, owner)
            .told("link", &self.path)
    }
}

impl domain::Plan for LinkPlan {
    fn preview(self: Box<Self>) -> DomainOutcome {
        DomainOutcome {
            changed: self.0.iter().map(Replaced::told).collect(),
            ..DomainOutcome::default()
        }
    }

    fn apply(self: Box<Self>, work: &Work<'_>, tell: Tell<'_>) -> Result<DomainOutcome> {
        let mut outcome = DomainOutcome::default();
        for replaced in &self.0 {
            replaced.undo(work.place)?;
            let told = replaced.told();
            tell(&told);
            outcome.changed.push(told);
            let finding = layout_link_replaced::finding(&shown(&replaced.path), &replaced.target);
            outcome.findings.push(finding);
        }
        Ok(outcome)
    }
}
