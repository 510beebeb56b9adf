//! Which of the packages that share an image a unit belongs to: those that brought it, themselves or by what they
//! depend on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Result;
use crate::process::capture;

/// Prints what dpkg knows, in an image: packages with what they provide and what they ask for, then the files that
/// units are made of. The base image's /var is empty.
const ASK: &str = r"
cd /usr/lib/sysimage/dpkg
dpkg-query --admindir=. --show \
    --showformat='${Package};${Provides};${Pre-Depends}, ${Depends}, ${Recommends}\n'
echo ---
cd info
grep -E '/systemd/system/[^/]*[.]|^/etc/init.d/.' -- *.list
";

/// The owners of units among some packages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owners {
    /// The packages by unit; of one that is not here nobody knows.
    by_unit: BTreeMap<String, BTreeSet<String>>,
}

impl Owners {
    /// Those in an image that was built on a base image.
    ///
    /// # Errors
    /// When the engine does not run them.
    pub(super) fn of(engine: &Engine, image: &str, base: &str, packages: &str) -> Result<Self> {
        let ask = |image: &str| {
            let mut run = engine.docker();
            run.args(["run", "--rm", "--network=none", "--entrypoint=/bin/sh"])
                .args([image, "-c", ASK]);
            capture(&format!("ask dpkg in {image}"), &mut run)
        };
        Ok(Self::read(&ask(image)?, &ask(base)?, packages))
    }

    fn read(known: &str, base: &str, packages: &str) -> Self {
        let parts = |known| str::split_once(known, "---\n").unwrap_or((known, ""));
        let name = |line: &'_ str| line.split(';').next().unwrap_or_default().to_owned();
        // What the base has nobody brought, and what it would like to have neither.
        let of_base: BTreeSet<String> = parts(base).0.lines().map(name).collect();
        let (installed, files) = parts(known);
        let mut providers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in installed.lines() {
            let mut fields = line.splitn(3, ';');
            let name = fields.next().unwrap_or_default();
            let mut field = || names(fields.next().unwrap_or_default());
            for provided in field() {
                providers.entry(provided).or_default().push(name);
            }
            wanted.insert(name, field());
        }
        let mut brings: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for package in packages.split_whitespace() {
            let mut queue = vec![package];
            while let Some(name) = queue.pop() {
                if !of_base.contains(name) && brings.entry(name).or_default().insert(package) {
                    queue.extend(providers.get(name).into_iter().flatten());
                    queue.extend(wanted.get(name).into_iter().flatten());
                }
            }
        }
        let mut by_unit: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in files.lines() {
            let Some((list, path)) = line.split_once(":/") else {
                continue;
            };
            let owner = list.strip_suffix(".list").unwrap_or(list);
            let owner = owner.split(':').next().unwrap_or(owner);
            let name = path.rsplit('/').next().unwrap_or(path);
            let unit = match path.strip_prefix("etc/init.d/") {
                Some(script) => format!("{script}.service"),
                None => name.to_owned(),
            };
            let packages = brings.get(owner).into_iter().flatten();
            let owners = by_unit.entry(unit).or_default();
            owners.extend(packages.map(|&package| package.to_owned()));
        }
        Self { by_unit }
    }

    /// Whether a unit is a package's. One that nobody brought, or only the base, is everybody's.
    pub(super) fn is_of(&self, unit: &str, package: &str) -> bool {
        let owners = self.packages(unit);
        owners.is_none_or(|owners| owners.is_empty() || owners.contains(package))
    }

    /// Whether a package brought a unit.
    pub(super) fn is_brought_by(&self, unit: &str, package: &str) -> bool {
        self.packages(unit)
            .is_some_and(|owners| owners.contains(package))
    }

    fn packages(&self, unit: &str) -> Option<&BTreeSet<String>> {
        self.by_unit.get(unit).or_else(|| {
            let (name, instance) = unit.split_once('@')?;
            let (_, kind) = instance.rsplit_once('.')?;
            self.by_unit.get(&format!("{name}@.{kind}"))
        })
    }
}

/// The names in a list of dependencies, alternatives too, without versions and architectures.
fn names(list: &str) -> Vec<&str> {
    let words = list.split([',', '|']).map(str::trim_start);
    let names = words.filter_map(|word| word.split([' ', ':', '(']).next());
    names.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "base;;, daemon\n---\n";

    const KNOWN: &str = "\
base;;, daemon\n\
web;;, base (>= 1), web-daemon:any (= 2) | other, mta\n\
web-daemon;;, , \n\
mail;mta (= 1), mail;, base, \n\
sql;;, base, sql-common\n\
sql-common;;, , \n\
time;daemon;, , \n\
---\n\
base.list:/usr/lib/systemd/system/base.service\n\
web-daemon.list:/usr/lib/systemd/system/web.service\n\
mail.list:/etc/init.d/mail\n\
time.list:/usr/lib/systemd/system/time.service\n\
sql-common:amd64.list:/usr/lib/systemd/system/sql@.service\n";

    fn owners(unit: &str) -> Vec<&'static str> {
        let owners = Owners::read(KNOWN, BASE, "web sql time");
        let all = ["web", "sql", "time"].into_iter();
        all.filter(|package| owners.is_of(unit, package)).collect()
    }

    #[test]
    fn a_unit_is_of_the_package_that_depends_on_its_owner() {
        assert_eq!(owners("web.service"), ["web"]);
        assert_eq!(owners("sql@17-main.service"), ["sql"]);
    }

    #[test]
    fn a_provided_package_is_depended_on_and_init_scripts_are_units() {
        assert_eq!(owners("mail.service"), ["web"]);
    }

    #[test]
    fn what_nobody_brought_is_everybodys() {
        assert_eq!(owners("base.service"), ["web", "sql", "time"]);
        assert_eq!(owners("unknown.service"), ["web", "sql", "time"]);
        let owners = Owners::read(KNOWN, BASE, "web");
        assert!(owners.is_brought_by("web.service", "web"));
        assert!(!owners.is_brought_by("base.service", "web"));
    }

    #[test]
    fn what_the_base_would_like_to_have_is_not_of_all_who_need_the_base() {
        assert_eq!(owners("time.service"), ["time"]);
    }
}
