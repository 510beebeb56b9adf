//! Base images made of Debian packages: some that boot under ostree, one of them as Debian has it and the others as Fedora
//! and its kin, and a plain one that does not. All are tar archives in the state directory, imported into whichever engine a test uses.

mod fedora;
mod rpms;

use std::path::PathBuf;
use std::process::Command;

use crate::engine::Engine;
use crate::error::Result;
use crate::places::Places;
use crate::process::capture;
use crate::roots::{Recipe, Shape, Suite, debian_architecture};

pub use fedora::Shaped;
pub use rpms::{large_database, repository, twins, with_package_managers};

const BOOTABLE_PACKAGES: &[&str] = &[
    "ca-certificates",
    "dbus",
    "dracut",
    "iproute2",
    "kmod",
    "login",
    "mount",
    "ostree",
    "ostree-boot",
    "passwd",
    "procps",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
    "zstd",
];

const PREPARE: &str = include_str!("prepare.sh");

/// The base images that tests and examples derive from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// `debian-ostree-base`: Debian 13 with a kernel, laid out for ostree, labelled bootable.
    Ostree,
    /// As Fedora's bootable images are, of the same packages with rpm and dnf.
    Fedora(Shaped),
    /// `debian-plain`: Debian 13 with apt and nothing else; an ordinary container image.
    Plain,
}

/// A base image that has been built, not yet loaded anywhere.
#[derive(Debug, Clone)]
pub struct BaseImage {
    base: Base,
    /// The root file system as a tar archive.
    pub archive: PathBuf,
    /// Twelve hexadecimal digits that change with the image's inputs; also a tag of the loaded image.
    pub hash: String,
}

impl Base {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Ostree,
        Self::Fedora(Shaped::ALL[0]),
        Self::Fedora(Shaped::ALL[1]),
        Self::Fedora(Shaped::ALL[2]),
        Self::Plain,
    ];

    /// The image's name, to be followed by `:latest` or `:HASH`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ostree => "debian-ostree-base",
            Self::Fedora(shaped) => shaped.name(),
            Self::Plain => "debian-plain",
        }
    }

    /// The image's tar archive, built now unless it was before.
    ///
    /// # Errors
    /// When this machine cannot build it; see [`Recipe::build`].
    pub fn build(self, places: &Places) -> Result<BaseImage> {
        let root = match self {
            Self::Fedora(shaped) => self.recipe().build_with(&shaped.files(places)?, places)?,
            Self::Ostree | Self::Plain => self.recipe().build(places)?,
        };
        Ok(BaseImage {
            base: self,
            archive: root.path,
            hash: root.hash,
        })
    }

    fn recipe(self) -> Recipe {
        let bootable = || {
            let kernel = format!("linux-image-cloud-{}", debian_architecture());
            let packages = BOOTABLE_PACKAGES.iter().map(ToString::to_string);
            packages.chain([kernel])
        };
        let (suite, packages, prepare, finish) = match self {
            Self::Ostree => (
                Suite::Trixie,
                bootable().collect(),
                PREPARE,
                include_str!("finish.sh"),
            ),
            Self::Fedora(shaped) => {
                let more = shaped.packages().iter().map(ToString::to_string);
                (
                    shaped.suite(),
                    bootable().chain(more).collect(),
                    PREPARE,
                    concat!(
                        include_str!("selinux.sh"),
                        include_str!("finish.sh"),
                        include_str!("fedora.sh")
                    ),
                )
            }
            Self::Plain => (Suite::Trixie, vec!["ca-certificates".to_owned()], "", ""),
        };
        Recipe {
            name: self.name(),
            suite,
            packages,
            prepare,
            finish,
            shape: Shape::Tar,
        }
    }

    fn changes(self) -> &'static [&'static str] {
        match self {
            Self::Ostree | Self::Fedora(_) => &[
                "LABEL containers.bootc=1",
                "LABEL ostree.bootable=true",
                "CMD [\"/sbin/init\"]",
            ],
            Self::Plain => &["CMD [\"/bin/sh\"]"],
        }
    }
}

/// Has a client's `import` read an image.
fn import(mut client: Command, image: &BaseImage, tag: &str) -> Result<()> {
    for change in image.base.changes() {
        client.args(["--change", change]);
    }
    client.arg(&image.archive).arg(tag);
    capture(&format!("import {tag}"), &mut client).map(drop)
}

impl Engine {
    /// Builds a base image if need be and sees to it that the engine has it as `NAME:latest` and `NAME:HASH`.
    ///
    /// # Errors
    /// When the image cannot be built or the engine refuses it.
    pub fn load_base(&self, base: Base, places: &Places) -> Result<BaseImage> {
        let image = base.build(places)?;
        let tagged = format!("{}:{}", base.name(), image.hash);
        let known = capture("look", self.docker().args(["image", "inspect", &tagged])).is_ok();
        if !known {
            let mut docker = self.docker();
            docker.arg("import");
            import(docker, &image, &tagged)?;
        }
        let latest = format!("{}:latest", base.name());
        capture(
            &format!("tag {latest}"),
            self.docker().args(["image", "tag", &tagged, &latest]),
        )?;
        Ok(image)
    }

    /// The same for podman, whose store is buildah's as well.
    ///
    /// # Errors
    /// As of [`load_base`](Self::load_base).
    pub fn load_base_for_podman(&self, base: Base, places: &Places) -> Result<BaseImage> {
        let image = base.build(places)?;
        let tagged = format!("{}:{}", base.name(), image.hash);
        let podman = |arguments: &[&str]| {
            let mut command = self.command("podman");
            command.args(arguments);
            command
        };
        if capture("look", &mut podman(&["image", "exists", &tagged])).is_err() {
            import(podman(&["import", "--quiet"]), &image, &tagged)?;
        }
        let latest = format!("{}:latest", base.name());
        let mut tag = podman(&["tag", &tagged, &latest]);
        capture(&format!("tag {latest}"), &mut tag)?;
        Ok(image)
    }
}
