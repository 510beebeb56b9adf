//! The SQLite databases of package managers. rpm and dnf keep a log beside theirs and an index of it, for several
//! processes at a time (`-wal`, `-shm`). rpm empties its log when it ends, dnf5 does not, and the index is different in every
//! build. A layer may bring one of the three without the others, and a reader then finds a broken database. So of a
//! database that a RUN has changed the log goes into the file ("Checkpointing"), and it is left alone in its directory:
//! SQLite and rpm open it so on read-only file systems too. Who writes to it next may switch the log on again.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::{
    Change, ChangedFile, EntryKind, knowledge::databases::HISTORIES, model::sqlite::Database,
    packages::RPM_PLACES,
};
use rustix::{
    fs::{FlockOperation, fcntl_lock, fstat},
    io::Errno,
};

use crate::{
    domain::{self, Domain, Phase, Work},
    error::Result,
    handle::errno,
    outcome::{DomainOutcome, Tell},
    paths::shown,
    place::{Meta, Place, Told as _},
    unread::is_of_the_machine,
};

/// What a database begins with ("The Database Header" of <https://sqlite.org/fileformat2.html>).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Where it says for whom it is, to write and to read.
const MODE: u64 = 18;

/// With a log beside it.
const WITH_LOG: [u8; 2] = [2, 2];

/// Alone.
const ALONE: [u8; 2] = [1, 1];

/// The domain.
pub(crate) struct Databases;

/// A database that is not alone.
struct Logged {
    database: PathBuf,
    meta: Meta,
    log: Option<PathBuf>,
    /// The log and its index, those that are there.
    beside: Vec<PathBuf>,
}

impl Logged {
    fn told(&self) -> ChangedFile {
        ChangedFile {
            change: Change::Wrote,
            path: shown(&self.database),
            from: None,
            reason: "its log goes into it, and it is left alone".to_owned(),
        }
    }
}

struct DatabasePlan(Vec<Logged>);

impl Domain for Databases {
    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let mut all = Vec::new();
        let of_rpm = RPM_PLACES.map(|place| Path::new(place).join("rpmdb.sqlite"));
        for database in of_rpm
            .into_iter()
            .chain(HISTORIES.map(|(path, _)| PathBuf::from(path)))
        {
            all.extend(look(work, &database).told("look at", &database)?);
        }
        Ok(Box::new(DatabasePlan(all)))
    }
}

impl domain::Plan for DatabasePlan {
    fn preview(self: Box<Self>) -> DomainOutcome {
        DomainOutcome {
            changed: self.0.iter().map(Logged::told).collect(),
            ..DomainOutcome::default()
        }
    }

    /// Each RUN of a package manager has it, so only who asks for every change hears of it.
    fn apply(self: Box<Self>, work: &Work<'_>, tell: Tell<'_>) -> Result<DomainOutcome> {
        let mut outcome = DomainOutcome::default();
        for logged in &self.0 {
            if leave_alone(work.place, logged).told("change", &logged.database)? {
                tell(&logged.told());
                outcome.is_quietly_changed = true;
            }
        }
        Ok(outcome)
    }
}

/// What there is to do about a database that is new; none where there is nothing, or it has other names.
fn look(work: &Work<'_>, database: &Path) -> Result<Option<Logged>, Errno> {
    let [log, index] = ["-wal", "-shm"].map(|end| beside(database, end));
    let paths = [database, &log, &index].into_iter();
    let Ok([Some(meta), log_meta, index_meta]) = <[_; 3]>::try_from(work.place.metas(paths)?)
    else {
        return Ok(None);
    };
    let is_plain = |meta: &Meta| meta.look.kind == EntryKind::File && !meta.is_mount;
    let is_free = |meta: &Option<Meta>| meta.as_ref().is_none_or(&is_plain);
    let is_usual = is_plain(&meta) && meta.look.links == 1 && is_free(&index_meta);
    if !is_usual || !is_free(&log_meta) {
        return Ok(None);
    }
    let written = log_meta.as_ref().filter(|log| log.look.bytes > 0);
    let is_written = written.map(|meta| is_new(work, &log, meta)).transpose()?;
    if !is_new(work, database, &meta)? && is_written != Some(true) {
        return Ok(None);
    }
    let log = log_meta.map(|_| log);
    let index = index_meta.map(|_| index);
    let beside: Vec<PathBuf> = log.iter().cloned().chain(index).collect();
    let has_log = match mode(work.place, database)? {
        Some(WITH_LOG) => true,
        Some(ALONE) => false,
        _ => return Ok(None),
    };
    Ok((has_log || !beside.is_empty()).then(|| Logged {
        database: database.to_owned(),
        meta,
        log,
        beside,
    }))
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(end);
    path.into()
}

/// Whether this commit is about it: a database of a lower layer would be copied into this one. By hand nothing else tells
/// than that the layer is older.
fn is_new(work: &Work<'_>, path: &Path, meta: &Meta) -> Result<bool, Errno> {
    match work.phase {
        Phase::Step => {
            let start = work.start.as_ref();
            Ok(start.is_none_or(|start| start.has_changed(&meta.look)))
        }
        Phase::End => Ok(!work.base.is_some_and(|base| base.has(path, meta))),
        Phase::ByHand => Ok(fstat(work.rootfs)?.st_ctime <= meta.look.changed.seconds),
    }
}

/// For whom a database is; none where it is no database that SQLite reads.
fn mode(place: &Place<'_>, path: &Path) -> Result<Option<[u8; 2]>, Errno> {
    match place.open_file(path) {
        Err(errno) if is_of_the_machine(errno) => Err(errno),
        Err(_) => Ok(None),
        Ok(file) => Ok(mode_of(&file)),
    }
}

fn mode_of(file: &File) -> Option<[u8; 2]> {
    let mut start = [0; 20];
    let is_database = file.read_exact_at(&mut start, 0).is_ok() && start.starts_with(MAGIC);
    is_database.then(|| [start[18], start[19]])
}

/// Leaves a database alone in its directory; whether that is done. What stands in the way leaves it as it is: a process that
/// has it open, such a one holds a lock; a log that cannot be read; a full disk. Killed in between, it is a database with
/// a log that says again what is in the file, or one without a log.
fn leave_alone(place: &Place<'_>, logged: &Logged) -> Result<bool, Errno> {
    let file = match place.open_file_to_change(&logged.database) {
        Err(errno) if is_of_the_machine(errno) => return Err(errno),
        Err(_) => return Ok(false),
        Ok(file) => file,
    };
    let lock = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    if lock.is_err() || !matches!(checkpoint(place, logged, &file), Ok(true)) {
        return Ok(false);
    }
    let beside = logged.beside.iter();
    let stuck = place.remove_each(beside.map(|path| (&**path, EntryKind::File)));
    if stuck.is_empty() && mode_of(&file) == Some(WITH_LOG) {
        let written = file.write_all_at(&ALONE, MODE);
        written.map_err(|error| errno(&error))?;
    }
    place.set_modified(&logged.database, logged.meta.look.modified)?;
    Ok(true)
}

/// Writes what stands in the log alone into the database; whether nothing is left there.
fn checkpoint(place: &Place<'_>, logged: &Logged, file: &File) -> io::Result<bool> {
    let Some(log) = &logged.log else {
        return Ok(true);
    };
    let log = place.open_file(log)?;
    if log.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut database = Database::open(file, Some(&log))?;
    let size = database.checkpoint(|place, page| file.write_all_at(page, place))?;
    let Some(size) = size else {
        return Ok(false);
    };
    file.set_len(size)?;
    file.sync_data()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::fcntl::FcntlArg;
    use osderive_lints::PlannedAction;

    use super::*;
    use crate::{
        commit::{Snapshot, preview, testing::settle_alone},
        rootfs::Rootfs,
        settings::Settings,
    };

    const DATABASE: &str = "usr/lib/sysimage/rpm/rpmdb.sqlite";

    fn database(mode: [u8; 2]) -> Vec<u8> {
        [&MAGIC[..], &[16, 0], &mode, &[0; 4076]].concat()
    }

    /// A root with a database in this mode, and the two files beside it: that many bytes of a log.
    fn root(mode: [u8; 2], log: usize) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join(DATABASE);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, database(mode)).expect("a database");
        fs::write(format!("{}-wal", path.display()), vec![0; log]).expect("a log");
        fs::write(format!("{}-shm", path.display()), "index").expect("an index");
        root
    }

    fn commit(root: &tempfile::TempDir, before: Option<&Snapshot>) -> bool {
        let rootfs = Rootfs::open(root.path()).expect("opens");
        settle_alone(
            |_| Box::new(Databases),
            &rootfs,
            before,
            &Settings::default(),
        )
        .is_changed()
    }

    /// What is in the directory of the database, and its mode.
    fn left(root: &tempfile::TempDir) -> (Vec<String>, [u8; 2]) {
        let path = root.path().join(DATABASE);
        let names = fs::read_dir(path.parent().expect("a parent")).expect("lists");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            let name = entry.expect("an entry").file_name();
            name.into_string().expect("text")
        };
        let mut names: Vec<String> = names.map(name).collect();
        names.sort();
        let content = fs::read(path).expect("reads");
        assert_eq!(content.len(), 4096);
        (names, [content[18], content[19]])
    }

    const ALL: [&str; 3] = ["rpmdb.sqlite", "rpmdb.sqlite-shm", "rpmdb.sqlite-wal"];

    #[test]
    fn a_database_is_left_in_one_file_with_its_time() {
        // In the second, a killed commit has come half the way.
        for mode in [WITH_LOG, ALONE] {
            let root = root(mode, 0);
            let time = || {
                let meta = fs::metadata(root.path().join(DATABASE));
                meta.expect("there").modified().expect("a time")
            };
            let before = time();
            let rootfs = Rootfs::open(root.path()).expect("opens");
            let shown = preview(&rootfs, &Settings::default())
                .expect("looks")
                .actions;
            let of_database = |planned: &PlannedAction| planned.path == format!("/{DATABASE}");
            assert!(shown.iter().any(of_database), "{shown:?}");
            assert!(commit(&root, None));
            assert_eq!(left(&root), (vec![ALL[0].to_owned()], ALONE));
            assert_eq!(time(), before);
            assert!(!commit(&root, None), "a second commit has nothing to do");
        }
    }

    #[test]
    fn a_log_that_sqlite_does_not_read_stays() {
        let root = root(WITH_LOG, 32);
        assert!(!commit(&root, None));
        assert_eq!(left(&root), (ALL.map(str::to_owned).to_vec(), WITH_LOG));
    }

    #[test]
    fn what_a_process_has_open_stays() {
        let root = root(WITH_LOG, 0);
        let path = root.path().join(DATABASE);
        let open = fs::File::open(&path).expect("opens");
        // SQLite's lock of readers (os.h, `SHARED_FIRST`), by another owner than this process.
        let lock = |kind: i32| {
            let range = nix::libc::flock {
                l_type: kind.try_into().expect("a kind"),
                l_whence: 0,
                l_start: 0x4000_0002,
                l_len: 510,
                l_pid: 0,
            };
            nix::fcntl::fcntl(&open, FcntlArg::F_OFD_SETLK(&range)).expect("locks");
        };
        lock(nix::libc::F_RDLCK);
        assert!(!commit(&root, None));
        assert_eq!(left(&root), (ALL.map(str::to_owned).to_vec(), WITH_LOG));
        lock(nix::libc::F_UNLCK);
        assert!(commit(&root, None));
    }

    #[test]
    fn what_a_step_has_not_changed_stays() {
        let root = root(WITH_LOG, 0);
        let rootfs = Rootfs::open(root.path()).expect("opens");
        std::thread::sleep(std::time::Duration::from_millis(50));
        let before = Snapshot::of_step(&rootfs, None).expect("looks");
        assert!(!commit(&root, Some(&before)));
        assert_eq!(left(&root), (ALL.map(str::to_owned).to_vec(), WITH_LOG));
        fs::write(root.path().join(DATABASE), database(WITH_LOG)).expect("writes");
        assert!(commit(&root, Some(&before)));
        assert_eq!(left(&root), (vec![ALL[0].to_owned()], ALONE));
    }

    #[test]
    fn other_files_by_that_name_stay() {
        let root = root(WITH_LOG, 0);
        let path = root.path().join(DATABASE);
        fs::write(&path, vec![b'x'; 4096]).expect("writes");
        commit(&root, None);
        assert_eq!(fs::read(&path).expect("reads"), vec![b'x'; 4096]);
        fs::write(&path, database(WITH_LOG)).expect("writes");
        fs::hard_link(&path, root.path().join("other")).expect("links");
        assert!(!commit(&root, None));
        assert_eq!(left(&root), (ALL.map(str::to_owned).to_vec(), WITH_LOG));
    }
}
