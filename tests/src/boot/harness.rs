//! The ways by which a machine comes to an image, and what it became of it by each: boots of one image, on disks
//! that go when they were booted.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::archive::Archive;
use super::base;
use super::disk::Disk;
use super::forecast::{self, Forecast};
use super::layout::Layout;
use super::nspawn;
use super::pins::Pin;
use super::probe::LocalChange;
use super::qemu::{Accelerator, Boot};
use super::report::Report;
use super::workshop::Workshop;
use crate::base::Base;
use crate::engine::Engine;
use crate::error::{Error, Result, io_error};
use crate::places::{FileLock, Places};
use crate::roots::remove;

/// How long a boot with KVM may take before emulation is used instead. It takes a few seconds where it works.
const PATIENCE_WITH_KVM: Duration = Duration::from_secs(40);

/// How a machine comes to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Installed: /var is empty.
    Fresh,
    /// Updated from the base image; the machine has a user of its own with a password and a changed file in /etc.
    Upgraded,
    /// As [`Upgraded`](Self::Upgraded), and that user has a uid and gid that the image pins.
    TakenId,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Upgraded, Self::TakenId];

    /// The name in reports and of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Upgraded => "upgraded",
            Self::TakenId => "taken-id",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What runs a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Runner {
    /// QEMU: the image's own kernel and initramfs, in a minute or two.
    #[default]
    Qemu,
    /// systemd-nspawn: the image's systemd on the kernel that runs here, in seconds.
    Nspawn,
}

/// The boots of a machine by one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boots {
    /// What the machine was before it got the image; `None` of a fresh one.
    pub before: Option<Report>,
    /// The first boot of the image.
    pub first: Report,
    /// The boot after that.
    pub second: Report,
}

/// Boots images of one engine.
#[derive(Debug)]
pub struct Harness<'a> {
    engine: &'a Engine,
    folder: PathBuf,
    processors: u8,
    runner: Runner,
    common: Arc<Common>,
}

/// What harnesses side by side have in common.
#[derive(Debug)]
struct Common {
    workshop: Workshop,
    folder: PathBuf,
    accelerator: OnceLock<Accelerator>,
    /// The base image that was asked for last.
    taken: Mutex<Option<Arc<Taken>>>,
    /// Another harness of the same name waits for it.
    _lock: FileLock,
}

/// A base image, and what all machines that come from it are clones of.
#[derive(Debug)]
struct Taken {
    name: String,
    layout: Layout,
    /// A disk with its layers.
    disk: Disk,
    /// A machine that had it and got a user, once one is asked for.
    used: Mutex<Option<(Disk, Report)>>,
}

/// An image outside of its engine, to be booted and looked at; it goes with the value.
#[derive(Debug)]
pub struct Saved {
    image: String,
    base: Arc<Taken>,
    layout: Layout,
}

impl Saved {
    /// What the lints say of its first boot.
    ///
    /// # Errors
    /// When they cannot read it.
    pub fn forecast(&self) -> Result<Forecast> {
        forecast::of(&self.layout)
    }

    /// As [`forecast`](Self::forecast), of the base image.
    ///
    /// # Errors
    /// When the lints cannot read it.
    pub fn forecast_of_base(&self) -> Result<Forecast> {
        forecast::of(&self.base.layout)
    }
}

impl<'a> Harness<'a> {
    /// A harness that keeps consoles in `boot/NAME` below the state directory. The first one makes the workshop
    /// and the importer, which takes some minutes.
    ///
    /// # Errors
    /// When this machine cannot make them; see [`Recipe::build`](crate::roots::Recipe::build).
    pub fn new(engine: &'a Engine, places: &Places, name: &str) -> Result<Self> {
        let folder = places.directory("boot")?.join(name);
        let lock = FileLock::wait(&folder.with_extension("lock"))?;
        remove(&folder)?;
        fs::create_dir_all(&folder).map_err(io_error("make", &folder))?;
        let common = Common {
            workshop: Workshop::obtain(places)?,
            folder: folder.clone(),
            accelerator: OnceLock::new(),
            taken: Mutex::default(),
            _lock: lock,
        };
        Ok(Self {
            engine,
            folder,
            processors: 2,
            runner: Runner::default(),
            common: Arc::new(common),
        })
    }

    /// Machines that are run by this, and not by QEMU.
    #[must_use]
    pub fn in_runner(mut self, runner: Runner) -> Self {
        self.runner = runner;
        self
    }

    /// Machines of which `count` may run side by side: more than one have one processor each, for two that wait
    /// for each other cost more than they gain where none of the real ones is idle.
    #[must_use]
    pub fn for_boots_beside(mut self, count: usize) -> Self {
        if count > 1 {
            self.processors = 1;
        }
        self
    }

    /// What runs its machines.
    pub(super) fn runner(&self) -> Runner {
        self.runner
    }

    /// Another harness for work beside this one's, with a folder `NAME` in this one's.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn beside(&self, name: &str) -> Result<Self> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(io_error("make", &folder))?;
        Ok(Self {
            engine: self.engine,
            folder,
            processors: self.processors,
            runner: self.runner,
            common: Arc::clone(&self.common),
        })
    }

    /// Sees to it that the engine has a bootable base as [`encapsulated`](base::encapsulated) names it.
    ///
    /// # Errors
    /// When it cannot be made, or the engine refuses it.
    pub fn load_base(&self, base: Base, places: &Places) -> Result<()> {
        base::load(base, self.engine, &self.common.workshop, places)
    }

    /// Where consoles are kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes an image and the one that it is built on out of the engine. `name` is the harness's own for it.
    ///
    /// # Errors
    /// When the engine does not give them, or the importer takes no images of their kind.
    pub fn save(&self, image: &str, base: &str, name: &str) -> Result<Saved> {
        let base = self.base(base)?;
        let folder = self.folder.join(name);
        let layout = Layout::save(self.engine, image, &folder, Some(&base.layout))?;
        require_importable(image, &layout)?;
        Ok(Saved {
            image: image.to_owned(),
            base,
            layout,
        })
    }

    /// Whether there is an id that somebody else may have taken: without one no machine comes to the image by
    /// [`Way::TakenId`].
    ///
    /// # Errors
    /// When the engine does not tell.
    pub fn pins_an_id(&self, image: &str) -> Result<bool> {
        Ok(Pin::of(self.engine, image)?.is_some())
    }

    /// A machine that has come to an image by a way, from the base where that is an update; not booted yet.
    ///
    /// # Errors
    /// When the importer refuses an image, the machine does not report before its update, or the image pins no id for
    /// one to be taken.
    pub fn machine(&self, saved: &Saved, way: Way) -> Result<Machine<'_>> {
        let folder = self.folder.join(format!("{way}-disk"));
        let base = &*saved.base;
        let (disk, before) = match way {
            Way::Fresh => (base.disk.copy(&folder)?, None),
            Way::Upgraded => {
                let mut kept = base.used.lock().unwrap_or_else(PoisonError::into_inner);
                let known = kept.take();
                let (used, report) = kept.insert(match known {
                    Some(used) => used,
                    None => self.used(base)?,
                });
                (used.copy(&folder)?, Some(report.clone()))
            }
            Way::TakenId => {
                let pin = Pin::of(self.engine, &saved.image)?;
                let pin = pin.ok_or_else(|| Error::Engine {
                    action: format!("tell an id that {} pins", saved.image),
                    message: "it pins no user with a group of its own".to_owned(),
                })?;
                let disk = base.disk.copy(&folder)?;
                let change = LocalChange::User(Some((pin.uid, pin.gid)));
                let before = self.use_base(&disk, base, change, "taken-id-before")?;
                (disk, Some(before))
            }
        };
        let start = Instant::now();
        disk.deploy(&self.common.workshop, &saved.layout)?;
        Ok(Machine {
            harness: self,
            disk,
            way,
            before,
            deployment: start.elapsed(),
            boots: 0,
        })
    }

    /// The same image by one way, booted twice.
    ///
    /// # Errors
    /// As [`machine`](Self::machine), or when it does not report.
    pub fn boot(&self, image: &str, base: &str, way: Way) -> Result<Boots> {
        let saved = self.save(image, base, &format!("{way}-image"))?;
        let mut machine = self.machine(&saved, way)?;
        let (first, second) = (machine.boot()?, machine.boot()?);
        let before = machine.before.take();
        Ok(Boots {
            before,
            first,
            second,
        })
    }

    /// The root file system of an image as an ordinary mutable system, booted once.
    ///
    /// # Errors
    /// When the engine does not give it, or the machine does not report.
    pub fn boot_mutable(&self, image: &str) -> Result<Report> {
        let disk = Disk::empty(&self.folder.join("mutable-disk"))?;
        let tree = Archive::of_tree(self.engine, image, &self.folder.join("tree.tar"))?;
        disk.install(&self.common.workshop, &tree)?;
        drop(tree);
        self.run(&disk, self.runner, LocalChange::None, "mutable")
    }

    fn base(&self, name: &str) -> Result<Arc<Taken>> {
        let taken = &self.common.taken;
        let mut kept = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = kept.as_ref().filter(|base| base.name == name) {
            return Ok(Arc::clone(base));
        }
        let folder = &self.common.folder;
        let layout = Layout::save(self.engine, name, &folder.join("base-image"), None)?;
        require_importable(name, &layout)?;
        let disk = Disk::prepared(&folder.join("base-disk"), &self.common.workshop, &layout)?;
        let base = Taken {
            name: name.to_owned(),
            layout,
            disk,
            used: Mutex::default(),
        };
        Ok(Arc::clone(kept.insert(Arc::new(base))))
    }

    /// The machine that those that are updated are clones of.
    fn used(&self, base: &Taken) -> Result<(Disk, Report)> {
        let disk = base.disk.copy(&self.common.folder.join("used-disk"))?;
        let report = self.use_base(&disk, base, LocalChange::User(None), "before")?;
        Ok((disk, report))
    }

    fn use_base(
        &self,
        disk: &Disk,
        base: &Taken,
        change: LocalChange,
        console: &str,
    ) -> Result<Report> {
        disk.deploy(&self.common.workshop, &base.layout)?;
        self.run(disk, self.runner, change, console)
    }

    fn run(
        &self,
        disk: &Disk,
        runner: Runner,
        change: LocalChange,
        console: &str,
    ) -> Result<Report> {
        let common = &self.common;
        let console = self.folder.join(format!("{console}.console"));
        if runner == Runner::Nspawn {
            return nspawn::boot(&common.workshop, disk, change, &console);
        }
        let accelerator = *common.accelerator.get_or_init(|| self.choose(disk));
        let boot = Boot::new(&self.common.workshop, disk, accelerator);
        boot.changed(change)
            .with_processors(self.processors)
            .run(&console)
    }

    /// KVM only after a boot with it: there are machines whose KVM starts and then kills stock kernels.
    fn choose(&self, disk: &Disk) -> Accelerator {
        if !Path::new("/dev/kvm").exists() {
            return Accelerator::Tcg;
        }
        let console = self.folder.join("kvm.console");
        let trial = Boot::new(&self.common.workshop, disk, Accelerator::Kvm)
            .within(PATIENCE_WITH_KVM)
            .without_a_trace();
        match trial.run(&console) {
            Ok(_) => Accelerator::Kvm,
            Err(_) => Accelerator::Tcg,
        }
    }
}

/// The published importer refuses images that are not made of an ostree commit, with a backtrace.
fn require_importable(image: &str, layout: &Layout) -> Result<()> {
    if layout.has_label("ostree.final-diffid")? {
        return Ok(());
    }
    Err(Error::Unimportable {
        image: image.to_owned(),
        base: base::BASE,
    })
}

/// A machine with an image on its disk, which goes with the value.
#[derive(Debug)]
pub struct Machine<'a> {
    harness: &'a Harness<'a>,
    disk: Disk,
    way: Way,
    /// What it was before it got the image; `None` of a fresh one.
    pub before: Option<Report>,
    /// How long the importer took to import and deploy it.
    pub deployment: Duration,
    boots: u32,
}

impl Machine<'_> {
    /// Boots it until it has shut down.
    ///
    /// # Errors
    /// When it does not report.
    pub fn boot(&mut self) -> Result<Report> {
        self.boot_in(self.harness.runner)
    }

    /// As [`boot`](Self::boot), in another runner than the harness's.
    ///
    /// # Errors
    /// As [`boot`](Self::boot).
    pub fn boot_in(&mut self, runner: Runner) -> Result<Report> {
        self.boots += 1;
        let console = format!("{}-{}", self.way, self.boots);
        self.harness
            .run(&self.disk, runner, LocalChange::None, &console)
    }
}
