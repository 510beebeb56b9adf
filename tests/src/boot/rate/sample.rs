//! A sample that nobody chose: packages drawn from all of an archive that ship a system unit.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::super::base::BASE;
use crate::engine::Engine;
use crate::error::{Result, io_error};
use crate::process::capture;

const CONTENTS: &str = include_str!("contents.sh");

/// How many packages share an image: few, so that one which does not install costs little to find.
const TOGETHER: usize = 5;

/// Which packages are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How many.
    pub number: usize,
    /// What decides which: the same for the same seed.
    pub seed: u64,
}

impl Sample {
    /// The drawn packages as lines of those that share an image. They are kept as `sample-SEED-NUMBER.txt` in `folder`, so
    /// that a run that goes on has the same ones though the archive has changed.
    ///
    /// # Errors
    /// When the base image's archive cannot be reached.
    pub(super) fn lines(self, engine: &Engine, folder: &Path) -> Result<Vec<String>> {
        let Self { number, seed } = self;
        let file = folder.join(format!("sample-{seed}-{number}.txt"));
        if let Ok(known) = fs::read_to_string(&file) {
            return Ok(super::packages(&known));
        }
        eprintln!("» ask Debian's archive which packages ship a system unit");
        let mut run = engine.docker();
        run.args(["run", "--rm", "--entrypoint=/bin/sh", BASE, "-c", CONTENTS]);
        let contents = capture("read the archive's indexes of contents", &mut run)?;
        let lines = self.draw(&shipping(&contents));
        let text = lines.join("\n") + "\n";
        fs::write(&file, text).map_err(io_error("write", &file))?;
        Ok(lines)
    }

    /// The packages whose names have the lowest SHA-256 after the seed and a space, in that order: what is drawn of an
    /// archive hardly changes with it, and a greater number draws the same ones and more.
    fn draw(self, packages: &BTreeSet<String>) -> Vec<String> {
        let rank = |package: &&String| Sha256::digest(format!("{} {package}", self.seed));
        let mut packages: Vec<&String> = packages.iter().collect();
        packages.sort_by_cached_key(rank);
        packages.truncate(self.number);
        let together = packages.chunks(TOGETHER);
        together
            .map(|some| {
                let names: Vec<&str> = some.iter().map(|name| name.as_str()).collect();
                names.join(" ")
            })
            .collect()
    }
}

/// The packages in lines of an index of contents: each has a path and, after the last white space, the packages that ship
/// it with their sections, separated by commas (DebianRepository/Format).
fn shipping(contents: &str) -> BTreeSet<String> {
    let lists = contents
        .lines()
        .filter_map(|line| line.split_whitespace().next_back());
    let packages = lists.flat_map(|list| list.split(','));
    packages
        .filter_map(|package| package.rsplit('/').next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: &str = "\
usr/lib/systemd/system/nginx.service                    httpd/nginx-common
usr/lib/systemd/system/ssh.socket\tnet/openssh-server,contrib/net/other-ssh
usr/lib/systemd/system/ssh.service                      net/openssh-server
";

    fn many() -> BTreeSet<String> {
        (0..100).map(|number| format!("package-{number}")).collect()
    }

    fn drawn(number: usize, seed: u64) -> Vec<String> {
        let lines = Sample { number, seed }.draw(&many());
        lines
            .iter()
            .flat_map(|line| line.split(' '))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_package_that_ships_any_unit_is_one_to_draw_from() {
        let packages: Vec<String> = shipping(CONTENTS).into_iter().collect();
        assert_eq!(packages, ["nginx-common", "openssh-server", "other-ssh"]);
    }

    #[test]
    fn the_same_seed_draws_the_same_packages_and_another_one_others() {
        assert_eq!(drawn(20, 1), drawn(20, 1));
        assert_ne!(drawn(20, 1), drawn(20, 2));
        // Made once: whoever gets others cannot compare with published tables.
        assert_eq!(drawn(3, 1), ["package-46", "package-8", "package-59"]);
    }

    #[test]
    fn a_larger_sample_has_the_smaller_one_first() {
        assert_eq!(drawn(40, 7)[..20], drawn(20, 7));
    }

    #[test]
    fn a_new_package_changes_a_draw_by_one_at_most() {
        let mut more = many();
        more.insert("new".to_owned());
        let sample = Sample {
            number: 20,
            seed: 3,
        };
        let before: BTreeSet<String> = drawn(20, 3).into_iter().collect();
        let lines = sample.draw(&more);
        let after: BTreeSet<String> = lines
            .iter()
            .flat_map(|line| line.split(' '))
            .map(str::to_owned)
            .collect();
        assert!(before.difference(&after).count() <= 1);
    }

    #[test]
    fn a_sample_of_more_than_there_is_is_all_of_it() {
        assert_eq!(drawn(1000, 1).len(), 100);
    }
}
