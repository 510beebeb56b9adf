//! What a lint costs: in time against a `find` that prints what it sees of the same tree, and against
//! unpacking and hashing the layers of an archive; in memory, the peak of the process.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use flate2::{Compression, GzBuilder};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{Compared, in_pairs, median, steps};
use crate::base::{Base, large_database};
use crate::error::{Error, Result, io_error};
use crate::places::Places;
use crate::process::capture;
use crate::product::{self, Profile};

/// How many pairs of runs.
const PAIRS: usize = 15;

/// How many pairs on an archive, and with a large database of rpm.
const LARGE_PAIRS: usize = 3;

/// What the large database of rpm has: packages, and files of each.
const LARGE_RPMDB: (usize, usize) = (400, 900);

/// Bytes of the archive's layers without compression, at least.
const ARCHIVE_BYTES: u64 = 1 << 30;

/// How often the peak of a process is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// The figures of [`lint`].
#[derive(Clone, Copy, Debug)]
pub struct Lint {
    /// Time on 100,000 files, in times of that of `find ROOT -xdev -printf '%p %m %U\n'`; warm, the
    /// median over pairs.
    pub vs_find_100k: f64,
    /// The most memory that it had on them, in MiB (`VmHWM`).
    pub peak_mib_100k: f64,
    /// The same on 1,000,000 files.
    pub peak_mib_1m: f64,
    /// Time on an archive of 1 GiB, in times of that of `gzip -dc | sha256sum` on its layers.
    pub archive_vs_hash: f64,
    /// Time on 500,000 files with a database of rpm of 105 MB, in times of that without it.
    pub large_rpmdb: f64,
    /// The most memory that it had with that database, in MiB.
    pub peak_mib_large_rpmdb: f64,
}

/// Measures all of it.
///
/// # Errors
/// When a tree cannot be made or a run fails.
pub fn lint(places: &Places) -> Result<Lint> {
    let base = Base::Ostree.build(places)?;
    let tool = product::tool(Profile::Release, places)?;
    let folder =
        tempfile::tempdir_in(places.state()).map_err(io_error("make a root in", places.state()))?;
    let bench = Bench {
        root: folder.path().join("root"),
        tool,
    };
    let archive_vs_hash = bench.archive(&base.archive, folder.path())?;
    steps::unpack(&base.archive, &bench.root)?;
    let many = bench.root.join("usr/share/many");
    let files = steps::count(&bench.root)?;
    steps::fill(&many, files, 100_000)?;
    let vs_find_100k = bench.against_find()?;
    let peak_mib_100k = bench.peak()?;
    steps::fill(&many, files.max(100_000), 500_000)?;
    let (large_rpmdb, peak_mib_large_rpmdb) = bench.with_large_rpmdb(places)?;
    steps::fill(&many, files.max(500_000), 1_000_000)?;
    Ok(Lint {
        vs_find_100k,
        peak_mib_100k,
        peak_mib_1m: bench.peak()?,
        archive_vs_hash,
        large_rpmdb,
        peak_mib_large_rpmdb,
    })
}

/// Measures another build of the tool beside this one, on 100,000 files.
///
/// # Errors
/// As of [`lint`].
pub fn lint_against(other: &Path, places: &Places) -> Result<Compared> {
    let base = Base::Ostree.build(places)?;
    let other = steps::folder_with(other, places)?;
    let ours = steps::folder_with(&product::tool(Profile::Release, places)?, places)?;
    let folder =
        tempfile::tempdir_in(places.state()).map_err(io_error("make a root in", places.state()))?;
    let root = folder.path().join("root");
    steps::unpack(&base.archive, &root)?;
    let files = steps::count(&root)?;
    steps::fill(&root.join("usr/share/many"), files, 100_000)?;
    let by = |folder: &TempDir| {
        let mut tool = Command::new(folder.path().join(steps::TOOL));
        Ok(1e3 * timed(tool.arg("lint").arg(&root))?)
    };
    let times = in_pairs(2 * PAIRS, || by(&other), || by(&ours))?;
    Ok(Compared::of("lint_ms_100k", times))
}

struct Bench {
    root: PathBuf,
    tool: PathBuf,
}

impl Bench {
    fn tool(&self, input: &Path) -> Command {
        let mut command = Command::new(&self.tool);
        command.arg("lint").arg(input);
        command
    }

    fn against_find(&self) -> Result<f64> {
        let find = || {
            let mut find = Command::new("find");
            find.arg(&self.root)
                .args(["-xdev", "-printf", "%p %m %U\\n"]);
            timed(&mut find)
        };
        let times = in_pairs(PAIRS, find, || timed(&mut self.tool(&self.root)))?;
        Ok(median(
            times.iter().map(|(find, lint)| lint / find).collect(),
        ))
    }

    /// Of a lint with a large database of rpm: its time in times of that without it, and its peak of memory in MiB.
    fn with_large_rpmdb(&self, places: &Places) -> Result<(f64, f64)> {
        let (packages, files) = LARGE_RPMDB;
        let database = large_database(places, packages, files)?;
        let folder = self.root.join("usr/lib/sysimage/rpm");
        fs::create_dir_all(&folder).map_err(io_error("make", &folder))?;
        let [here, away] = [
            folder.join("rpmdb.sqlite"),
            database.path().join("rpmdb.sqlite"),
        ];
        let moved = |from: &Path, to: &Path| fs::rename(from, to).map_err(io_error("move", from));
        let lint = || timed(&mut self.tool(&self.root));
        lint()?;
        let mut ratios = Vec::new();
        for _ in 0..LARGE_PAIRS {
            let without = lint()?;
            moved(&away, &here)?;
            ratios.push(lint()? / without);
            moved(&here, &away)?;
        }
        moved(&away, &here)?;
        let peak = self.peak()?;
        moved(&here, &away)?;
        Ok((median(ratios), peak))
    }

    /// MiB at the most that the process had; what it takes in its last moments may be missed.
    fn peak(&self) -> Result<f64> {
        let mut command = self.tool(&self.root);
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(io_error("run", &self.tool))?;
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut peak: f64 = 0.0;
        while child
            .try_wait()
            .map_err(io_error("wait for", &self.tool))?
            .is_none()
        {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
            peak = peak.max(kib.unwrap_or_default() / 1024.0);
            sleep(LOOK);
        }
        Ok(peak)
    }

    /// Layers of the base image's files each, as many as make the size, in an OCI archive.
    fn archive(&self, base: &Path, folder: &Path) -> Result<f64> {
        let size = fs::metadata(base)
            .map_err(io_error("look at", base))?
            .len()
            .max(1);
        let layer = folder.join("layer.tar.gz");
        let mut gzip = Command::new("sh");
        gzip.args(["-ec", "gzip -c \"$0\" > \"$1\""])
            .args([base, &layer]);
        capture("compress a layer", &mut gzip)?;
        let count = usize::try_from(ARCHIVE_BYTES.div_ceil(size)).unwrap_or(1);
        let archive = folder.join("image.tar");
        write_archive(&archive, &layer, count)?;
        let hash = || {
            let layer = layer.display().to_string();
            let mut shell = Command::new("sh");
            let script = "for n in $(seq $1); do gzip -dc \"$0\" | sha256sum; done";
            shell.args(["-ec", script, &layer, &count.to_string()]);
            timed(&mut shell)
        };
        hash()?;
        timed(&mut self.tool(&archive))?;
        let mut ratios = Vec::new();
        for _ in 0..LARGE_PAIRS {
            let without = hash()?;
            ratios.push(timed(&mut self.tool(&archive))? / without);
        }
        fs::remove_file(&archive).map_err(io_error("remove", &archive))?;
        Ok(median(ratios))
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(io_error("make", path))
}

fn write_archive(path: &Path, layer: &Path, count: usize) -> Result<()> {
    let failed = || io_error("write", path);
    let mut archive = tar::Builder::new(create(path)?);
    let mut layers = Vec::new();
    let layer = fs::read(layer).map_err(io_error("read", layer))?;
    for number in 0..count {
        // A digest of its own, for nothing may be read once and used often: another, empty member of gzip with that name.
        let name = format!("layer {number}");
        let end = GzBuilder::new()
            .filename(name)
            .write(Vec::new(), Compression::none());
        let blob = [&layer[..], &end.finish().map_err(failed())?].concat();
        let digest = hex(&blob);
        add(&mut archive, &format!("blobs/sha256/{digest}"), &blob).map_err(failed())?;
        layers.push(json!({ "digest": format!("sha256:{digest}") }));
    }
    let config = json!({}).to_string();
    let config_digest = hex(config.as_bytes());
    let manifest =
        json!({ "config": { "digest": format!("sha256:{config_digest}") }, "layers": layers });
    let manifest = manifest.to_string();
    let manifest_digest = hex(manifest.as_bytes());
    let index = json!({ "manifests": [{ "digest": format!("sha256:{manifest_digest}") }] });
    for (name, content) in [
        (format!("blobs/sha256/{config_digest}"), config),
        (format!("blobs/sha256/{manifest_digest}"), manifest),
        ("index.json".to_owned(), index.to_string()),
    ] {
        add(&mut archive, &name, content.as_bytes()).map_err(failed())?;
    }
    let mut file = archive.into_inner().map_err(failed())?;
    file.flush().map_err(failed())
}

fn add(archive: &mut tar::Builder<File>, name: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, name, content)
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    (digest.iter()).fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Seconds that a command takes, whose output nobody reads. A lint that finds something ends with 1.
fn timed(command: &mut Command) -> Result<f64> {
    let program = PathBuf::from(command.get_program());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let output = command.output().map_err(io_error("run", &program))?;
    let time = start.elapsed();
    if !matches!(output.status.code(), Some(0 | 1)) {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Engine {
            action: "run for the bench".to_owned(),
            message: format!("{}: {}: {errors}", program.display(), output.status),
        });
    }
    Ok(time.as_secs_f64())
}
