//! The previous image, when the user names it: the ids of its accounts are compared with those of the new image. It is
//! looked at beside the build, so that nothing of the new image depends on it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use osderive_lints::model::ids::{FILES, Ids};
use osderive_lints::rules::account_id_changed;
use osderive_lints::{Finding, StepReport};

use crate::arguments::Arguments;
use crate::engine;
use crate::inspect;
use crate::reports::Store;

/// As much of an account file as is read.
const MAX_BYTES: u64 = 10 << 20;

/// The image that machines run now.
pub(crate) struct Previous<'a> {
    arguments: &'a Arguments,
    name: &'a str,
    /// None where the engine cannot have it.
    id: Option<String>,
}

impl<'a> Previous<'a> {
    /// Has the engine fetch it, before the build may give its name to another image.
    pub(crate) fn find(arguments: &'a Arguments, name: &'a str) -> Self {
        Self {
            arguments,
            name,
            id: inspect::resolved(arguments, name),
        }
    }

    /// The accounts that have another id in an image, with the places of the RUNs that made them. A previous image that
    /// cannot be read is told and no more: the first build of all has none.
    pub(crate) fn compare(
        &self,
        image: &str,
        steps: &[Option<StepReport>],
    ) -> Vec<(Option<usize>, Finding)> {
        let unread = |why: &str| {
            eprintln!(
                "osderive: the ids of the previous image {} are not compared: {why}\nLeave the option out where there is \
                 no previous image",
                self.name
            );
            Vec::new()
        };
        let Some(id) = &self.id else {
            return unread("the engine cannot have it; its message is above");
        };
        let ids = |image: &str| ids(self.arguments, image).filter(|ids| !ids.is_empty());
        let (Some(before), Some(now)) = (ids(id), ids(image)) else {
            return unread("the accounts of an image cannot be read");
        };
        let made = steps.iter().map(|step| match step {
            Some(report) => report.accounts.as_slice(),
            None => &[],
        });
        let made: Vec<_> = made.collect();
        account_id_changed::by_step(&now.changed_from(&before), &made)
    }
}

/// The ids of an image, which never change, so they are kept.
fn ids(arguments: &Arguments, image: &str) -> Option<Ids> {
    let store = Store::open();
    let key = ["accounts", image];
    let files: [Vec<u8>; FILES.len()] = store.get(&key).or_else(|| {
        let files = files(arguments, image)?;
        store.keep(&key, &files);
        Some(files)
    })?;
    Some(Ids::of(files.each_ref().map(Vec::as_slice)))
}

/// The account files of an image by its id. An engine hands out what an image has as the result of a build alone.
fn files(arguments: &Arguments, image: &str) -> Option<[Vec<u8>; FILES.len()]> {
    let image = image.strip_prefix("sha256:").unwrap_or(image);
    let folder = tempfile::Builder::new()
        .prefix("osderive-")
        .tempdir()
        .ok()?;
    let at = |name: &str| folder.path().join(name);
    // As patterns, of which one at least has to match: only /etc/passwd is in every image.
    let text = format!(
        "FROM scratch\n\
         COPY --from={image} /etc/passw[d] /etc/grou[p] /etc/\n\
         COPY --from={image} /usr/lib/passw[d] /usr/lib/grou[p] /usr/lib/os-releas[e] /etc/os-releas[e] /usr/lib/\n"
    );
    fs::write(at("Containerfile"), text).ok()?;
    let mut build = arguments.global();
    build.extend(["build", "--quiet", "--layers=false"].map(OsString::from));
    let mut add = |option: &str, path: &Path| {
        let mut word = OsString::from(option);
        word.push(path);
        build.push(word);
    };
    add("--file=", &at("Containerfile"));
    add("--iidfile=", &at("image"));
    add("--output=type=local,dest=", &at("root"));
    add("", folder.path());
    if !engine::quietly(arguments.engine, &build).ok()? {
        return None;
    }
    if let Ok(copy) = fs::read_to_string(at("image")) {
        let mut remove = arguments.global();
        remove.extend(["rmi".into(), copy.trim().into()]);
        engine::output(arguments.engine, &remove);
    }
    let root = at("root");
    Some(FILES.map(|(_, path)| content(&root.join(path)).unwrap_or_default()))
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if fs::symlink_metadata(path)?.is_file() {
        File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
