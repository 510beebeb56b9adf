//! What the packages that a step installed own in /var and the step has not: a mount hid it, or the command emptied the
//! directory around it. Lines make such directories and links at boot, as the package has them: rpm's database tells, and of
//! dpkg's packages what stands in the mount. Files are told, and what nothing is known of.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use osderive_lints::{
    Finding,
    model::tmpfiles::{Line, Mode, Owner},
    packages::Moment,
    rules::package_files_missing,
    tree::Kind,
};

use super::{
    PreludeState, VAR,
    boot::Boot,
    known::{CACHE, LOG, is_of_others, is_package_cache, leftover_reason},
    walk::MAX_PATH,
};
use crate::{
    domain::{Phase, Work},
    packages::{self, Entry},
    paths::{absolute, shown},
    place::Entries,
};

/// What packages own that the step installed; nothing where it installed none.
pub(super) fn installed(work: &Work<'_>, then: Option<Moment>) -> Vec<Entry> {
    let then = then.filter(|_| work.phase == Phase::Step);
    let step = then.zip(work.start);
    step.map_or_else(Vec::new, |(then, start)| {
        packages::installed_since(work.rootfs, then, start)
    })
}

/// The lines of directories and links of packages that are not there, but for what the command took away by itself.
pub(super) fn lines(
    entries: &[Entry],
    now: &Entries,
    prelude_state: Option<&PreludeState<'_>>,
    boot: &Boot,
) -> BTreeMap<PathBuf, Line> {
    let is_lost = |entry: &&Entry| {
        let path = &entry.path;
        path.starts_with(VAR)
            && path.as_os_str().len() <= MAX_PATH
            && !is_of_others(path)
            && !is_package_cache(path)
            && leftover_reason(path).is_none()
            && !now.contains_key(path)
            && !is_made(boot, path)
            && is_taken_along(path, now, prelude_state)
    };
    let lost = entries.iter().filter(is_lost);
    lost.filter_map(|entry| Some((entry.path.clone(), line(entry, boot)?)))
        .collect()
}

/// Whether boot makes something at a path.
fn is_made(boot: &Boot, path: &Path) -> bool {
    boot.lines.contains_key(path) || boot.copy_above(path).is_some()
}

/// Whether a mount hides a path, or what is missing above it went with all that stood beside it. Right in /var that is
/// always so: it is emptied by habit, but for what is made again at once.
fn is_taken_along(path: &Path, now: &Entries, prelude_state: Option<&PreludeState<'_>>) -> bool {
    let find = |path| now.get(path).or_else(|| prelude_state?.stands(path));
    let mut above = path.ancestors().skip(1);
    let there = above.find_map(|above| Some((above, find(above)?)));
    let Some((there, meta)) = there else {
        return false;
    };
    if there == Path::new(VAR) || meta.is_mount {
        return true;
    }
    // What a link leads to is asked for by its own path.
    if !meta.is_open_directory() {
        return false;
    }
    let is_child = |path: &Path| path.parent() == Some(there);
    let mut beside = now
        .range(there.to_owned()..)
        .take_while(|(path, _)| path.starts_with(there))
        .filter(|(path, meta)| is_child(path) && !meta.is_mount);
    let made = prelude_state
        .is_some_and(|prelude_state| prelude_state.standing().any(|path| is_child(path)));
    beside.next().is_none() && !made
}

fn line(entry: &Entry, boot: &Boot) -> Option<Line> {
    let metadata = entry.metadata.as_ref()?;
    let mode = Mode {
        bits: metadata.mode,
        masked: false,
        only_created: false,
    };
    let (kind, mode, argument) = match entry.kind {
        Kind::Directory => (b'd', Some(mode), None),
        Kind::Symlink => (b'L', None, Some(metadata.target.clone()?)),
        _ => return None,
    };
    let mut line = Line {
        kind,
        modifiers: Vec::new(),
        path: absolute(&entry.path),
        mode,
        user: Some(match &metadata.user {
            Owner::Id(uid) => boot.names.user(*uid),
            name @ Owner::Name(_) => name.clone(),
        }),
        group: Some(match &metadata.group {
            Owner::Id(gid) => boot.names.group(*gid),
            name @ Owner::Name(_) => name.clone(),
        }),
        age: None,
        argument,
        file: Vec::new(),
        number: 0,
    };
    // rpm gives root what belongs to nobody that it knows.
    let root = || Some(Owner::Name(b"root".to_vec()));
    let with = |user, group| Line {
        user,
        group,
        ..line.clone()
    };
    let is_known = |line: &Line| boot.names.owner_of(line).is_some();
    let has_user = is_known(&with(line.user.clone(), None));
    let has_group = is_known(&with(None, line.group.clone()));
    if !has_user {
        line.user = root();
    }
    if !has_group {
        line.group = root();
    }
    Some(line)
}

/// What is told of files that are not there: a finding for each package. Caches and logs are nobody's loss.
pub(super) fn findings(work: &Work<'_>, entries: &[Entry], boot: &Boot) -> Vec<Finding> {
    let is_asked = |entry: &&Entry| {
        let path = &entry.path;
        !path.starts_with(CACHE) && !path.starts_with(LOG) && !is_made(boot, path)
    };
    let missing = packages::missing(work.rootfs, entries.iter().filter(is_asked));
    let mut of_packages: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in missing {
        let paths = of_packages.entry(&entry.package).or_default();
        paths.push(shown(&entry.path));
    }
    let found = of_packages.iter();
    found
        .filter_map(|(package, paths)| package_files_missing::finding(package, paths))
        .collect()
}
