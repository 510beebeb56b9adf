//! What the tool adds to a step: on the base image's own root file system, which is the lower layer
//! of an overlay as with an engine, with as many more files as a figure says.
//!
//! The step's own layer is in memory, so that the tool is measured and not the disk: a file system that discards at
//! once what is freed (ext4 with `discard` and without a journal, on virtual machines) waits for the disk whenever one
//! of the directories goes that the tool has made for the command. One more figure says what comes of that here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::{Compared, in_pairs, median};
use crate::base::Base;
use crate::error::{Error, Result, io_error};
use crate::places::Places;
use crate::process::{capture, copy_program};
use crate::product::{self, Profile};

/// How many files the root file system has, by the names that figures have.
const SIZES: [(&str, usize); 3] = [("10k", 10_000), ("100k", 100_000), ("1m", 1_000_000)];

/// How old a base image is at least: in what changed seconds before a step, the tool looks for the step's own changes,
/// since engines take a while between a layer and its step.
const AGE: Duration = Duration::from_secs(12);

/// How many files a directory of those has that are there for their number only.
const FILES_IN_DIRECTORY: usize = 1000;

pub(super) const TOOL: &str = "ostree-container";

/// A command of a step, and how many pairs of runs.
struct Case {
    script: &'static str,
    pairs: usize,
}

const NOOP: Case = Case {
    script: "true",
    pairs: 40,
};

/// What the installation of a service's package does.
const PACKAGE: Case = Case {
    script: "groupadd -r acme && useradd -r -g acme -d /var/lib/acme acme
        mkdir -p /var/opt
        mkdir -p /usr/lib/acme /opt/acme/bin /var/log/acme /etc/acme
        for n in 1 2 3 4 5 6 7 8 9; do
            echo $n > /usr/lib/acme/$n; echo $n > /opt/acme/bin/$n; echo $n > /etc/acme/$n
        done
        install -d -o acme -g acme -m 750 /var/lib/acme /var/lib/acme/data
        echo seed > /var/lib/acme/data/seed
        echo log > /var/log/dpkg.log",
    pairs: 10,
};

const MANY_FILES: Case = Case {
    script: "mkdir -p /var/opt
        mkdir -p /opt/many /var/lib/many
        seq -f /opt/many/%g 5000 | xargs touch
        seq -f /var/lib/many/%g 5000 | xargs touch",
    pairs: 5,
};

/// Mounts the overlay, notes the time and becomes the step.
const ENTER: &str = r#"
set -e
[ "$4" = disk ] || mount -t tmpfs tmpfs "$2/layer"
mkdir "$2/layer/upper" "$2/layer/work"
mount -t overlay -o "lowerdir=$1,upperdir=$2/layer/upper,workdir=$2/layer/work" overlay "$2/root"
mount -t proc proc "$2/root/proc"
mount -t tmpfs tmpfs "$2/root/dev"
mknod -m 666 "$2/root/dev/null" c 1 3
mkdir "$2/root/dev/out" "$2/root/dev/tool"
mount --bind "$2/out" "$2/root/dev/out"
mount --bind "$3" "$2/root/dev/tool"
cd "$2/root"
shift 4
date +%s%N > dev/out/entered
exec chroot . "$@"
"#;

/// What the tool adds, in milliseconds; medians over pairs of a step with and one without it. Not
/// counted is the time of the step's own command.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// How many files the root file system has: `10k`, `100k` or `1m`.
    pub size: &'static str,
    /// For a command that changes nothing.
    pub noop_ms: f64,
    /// The same with the step's layer on the disk.
    pub noop_on_disk_ms: f64,
    /// For what the installation of a service's package does.
    pub package_ms: f64,
    /// For 10,000 new files, half of them in /opt and half in /var/lib.
    pub many_files_ms: f64,
}

/// Measures at each size.
///
/// # Errors
/// When the root cannot be made or a step fails.
pub fn steps(places: &Places) -> Result<Vec<Steps>> {
    at_each_size(places, |bench, size| {
        Ok(Steps {
            size,
            noop_ms: bench.added_by_tool(&NOOP, Storage::Memory)?,
            noop_on_disk_ms: bench.added_by_tool(&NOOP, Storage::Disk)?,
            package_ms: bench.added_by_tool(&PACKAGE, Storage::Memory)?,
            many_files_ms: bench.added_by_tool(&MANY_FILES, Storage::Memory)?,
        })
    })
}

/// Measures another build of the tool beside this one, at each size: the milliseconds before and after a step's own command.
///
/// # Errors
/// As of [`steps`].
pub fn steps_against(other: &Path, places: &Places) -> Result<Vec<Compared>> {
    let other = folder_with(other, places)?;
    let ours = folder_with(&product::tool(Profile::Release, places)?, places)?;
    let compared = at_each_size(places, |bench, size| {
        let cases = [
            ("noop", &NOOP),
            ("package", &PACKAGE),
            ("10kfiles", &MANY_FILES),
        ];
        let compare = |(name, case): (&str, &Case)| {
            let by =
                |tool: &Path| bench.beside_the_command(case.script, Storage::Memory, Some(tool));
            let times = in_pairs(case.pairs, || by(other.path()), || by(ours.path()))?;
            Ok(Compared::of(&format!("commit_{name}_ms_{size}"), times))
        };
        cases.into_iter().map(compare).collect::<Result<Vec<_>>>()
    });
    Ok(compared?.into_iter().flatten().collect())
}

/// A copy of a tool in a folder of its own, as a step mounts it: how a file was written counts in how fast it starts.
pub(super) fn folder_with(tool: &Path, places: &Places) -> Result<TempDir> {
    let folder = tempfile::tempdir_in(places.state())
        .map_err(io_error("make a folder in", places.state()))?;
    copy_program(tool, &folder.path().join(TOOL))?;
    Ok(folder)
}

fn at_each_size<T>(
    places: &Places,
    mut measure: impl FnMut(&Bench<'_>, &'static str) -> Result<T>,
) -> Result<Vec<T>> {
    let base = Base::Ostree.build(places)?;
    let tool = product::tool(Profile::Release, places)?;
    let folder =
        tempfile::tempdir_in(places.state()).map_err(io_error("make a root in", places.state()))?;
    let bench = Bench {
        lower: folder.path().join("lower"),
        folder: folder.path(),
        tool: tool.parent().unwrap_or(Path::new("/")).to_owned(),
    };
    unpack(&base.archive, &bench.lower)?;
    let mut files = count(&bench.lower)?;
    let mut figures = Vec::new();
    for (size, wanted) in SIZES {
        fill(&bench.lower.join("usr/share/many"), files, wanted)?;
        files = files.max(wanted);
        // What is still on its way to the disk would be measured with the steps.
        capture("wait for the disk", &mut Command::new("sync"))?;
        thread::sleep(AGE);
        figures.push(measure(&bench, size)?);
    }
    Ok(figures)
}

/// Unpacks a root file system into a new folder.
pub(super) fn unpack(archive: &Path, root: &Path) -> Result<()> {
    make(root)?;
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--xattrs", "-xpf"])
        .arg(archive)
        .arg("-C")
        .arg(root);
    capture("unpack the base image", &mut tar)?;
    Ok(())
}

fn make(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(io_error("make", path))
}

pub(super) fn count(root: &Path) -> Result<usize> {
    let mut find = Command::new("find");
    find.arg(root).args(["-printf", "."]);
    Ok(capture("count files", &mut find)?.len())
}

/// Makes empty files until there are `wanted`, when there are `have`.
pub(super) fn fill(folder: &Path, have: usize, wanted: usize) -> Result<()> {
    for number in have..wanted {
        let directory = folder.join((number / FILES_IN_DIRECTORY).to_string());
        if number == have || number % FILES_IN_DIRECTORY == 0 {
            make(&directory)?;
        }
        let path = directory.join(number.to_string());
        fs::write(&path, "").map_err(io_error("write", path))?;
    }
    Ok(())
}

/// Where a step's layer is.
#[derive(Clone, Copy)]
enum Storage {
    Memory,
    Disk,
}

impl Storage {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

struct Bench<'a> {
    folder: &'a Path,
    lower: PathBuf,
    tool: PathBuf,
}

impl Bench<'_> {
    fn added_by_tool(&self, case: &Case, storage: Storage) -> Result<f64> {
        let step = |tool| self.beside_the_command(case.script, storage, tool);
        let times = in_pairs(case.pairs, || step(None), || step(Some(&self.tool)))?;
        Ok(median(
            times.iter().map(|(without, with)| with - without).collect(),
        ))
    }

    /// Milliseconds that a step takes before and after its own command.
    fn beside_the_command(
        &self,
        script: &str,
        storage: Storage,
        tool: Option<&Path>,
    ) -> Result<f64> {
        let run = tempfile::tempdir_in(self.folder).map_err(io_error("use", self.folder))?;
        for directory in ["layer", "root", "out"] {
            make(&run.path().join(directory))?;
        }
        let timed =
            format!("date +%s%N > /dev/out/begun; set -e; {script}; date +%s%N > /dev/out/done");
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--pid", "--mount", "--fork", "sh", "-c", ENTER, "sh"])
            .args([&self.lower, run.path(), tool.unwrap_or(&self.tool)])
            .arg(storage.name());
        if tool.is_some() {
            let tool = format!("/dev/tool/{TOOL}");
            unshare.args([&tool, "step", "--report", "/dev/out", "--"]);
        }
        unshare.args(["/bin/sh", "-c", &timed]).stdin(Stdio::null());
        let output = (unshare.output()).map_err(io_error("run unshare on", run.path()))?;
        let ended = now();
        if !output.status.success() {
            return Err(Error::Engine {
                action: "run a step for the bench".to_owned(),
                message: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let moment = |name: &str| moment(&run.path().join("out").join(name));
        let before = moment("begun")? - moment("entered")?;
        Ok(before + ended - moment("done")?)
    }
}

/// Milliseconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64() * 1e3
}

/// A moment that `date` wrote, in milliseconds since 1970.
fn moment(file: &Path) -> Result<f64> {
    let text = fs::read_to_string(file).map_err(io_error("read", file))?;
    let nanoseconds: f64 = text.trim().parse().unwrap_or(f64::NAN);
    Ok(nanoseconds / 1e6)
}
