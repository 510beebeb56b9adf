//! The ways to build an image of packages.

use serde::{Deserialize, Serialize};

use crate::boot::base::BASE;

/// How an image is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Build {
    /// With osderive.
    Ours,
    /// With the engine's own Dockerfile frontend.
    Plain,
    /// As plain; then the step does what `ostree container commit` does.
    Peer,
}

impl Build {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ours, Self::Plain, Self::Peer];

    /// The name in figures and of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Plain => "plain",
            Self::Peer => "peer",
        }
    }

    /// The build's instructions.
    pub(super) fn containerfile(self, packages: &str) -> String {
        let install = format!("apt-get update && apt-get install -y {packages}");
        // The base image's /var and /run are empty, as those of ostree have it; apt does not make what it misses there,
        // and dpkg takes a link to nothing (/var/lock) for no directory. Ordinary images have both.
        let var = "systemd-tmpfiles --create --prefix=/var --prefix=/run/lock; ";
        let (head, before, tail) = match self {
            Self::Ours => ("# syntax=osderive\n", "", ""),
            Self::Plain => ("", var, ""),
            // ostree-ext 0.15, container/commit.rs: these are emptied, their mounts and what is below left.
            Self::Peer => (
                "",
                var,
                " && find /run /tmp /var/tmp /var/cache -xdev -mindepth 1 -delete",
            ),
        };
        format!("{head}FROM {BASE}\nRUN {before}{install}{tail}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_build_by_us_names_us() {
        let heads = Build::ALL.map(|build| {
            build
                .containerfile("nginx")
                .starts_with("# syntax=osderive")
        });
        assert_eq!(heads, [true, false, false]);
    }
}
