//! What Debian's most used service packages ship, unpacked into one tree beside a systemd that reads it.

use std::path::PathBuf;

use crate::error::Result;
use crate::machine::Systemd;
use crate::places::Places;
use crate::roots::{Recipe, Shape, Suite};

/// Puts the list of packages where the script looks for it, and runs that.
const UNPACK: &str = concat!(
    "cat >\"$1/srv/packages.txt\" <<'END'\n",
    include_str!("../../fixtures/packages.txt"),
    "END\n",
    include_str!("unpack.sh"),
);

/// A tree with all that the packages ship; none of them is configured.
#[derive(Debug)]
pub struct Shipped {
    /// The systemd of Debian 13 (257) with all of its tools.
    pub systemd: Systemd,
    /// The tree, below the root of that systemd.
    pub tree: PathBuf,
    /// A file with the names of the packages, one a line.
    pub packages: PathBuf,
}

impl Shipped {
    /// The tree, fetched now (300 MB, two minutes) unless that was done before.
    ///
    /// # Errors
    /// When this machine cannot make a root for it; see [`Recipe::build`].
    pub fn obtain(places: &Places) -> Result<Self> {
        let recipe = Recipe {
            name: "shipped-trixie",
            suite: Suite::Trixie,
            packages: vec!["systemd".to_owned()],
            prepare: "",
            finish: UNPACK,
            shape: Shape::Directory,
        };
        let root = recipe.build(places)?;
        let within = root.path.join("srv");
        Ok(Self {
            systemd: Systemd(root),
            tree: within.join("shipped"),
            packages: within.join("unpacked.txt"),
        })
    }
}
