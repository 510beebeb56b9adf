//! What an image says of itself, read once for all rules: accounts, declarations, its configuration.
//! A file that cannot be read as what it should be becomes a finding, never an end of the run.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::io;

use crate::budget::is_spent;
use crate::knowledge::quirks::Quirks;
use crate::lost_access::{LostAccess, lost_access};
use crate::machine::History;
use crate::machine::accounts::Accounts;
use crate::model::group::{Group, groups};
use crate::model::initramfs::{Ostree, ostree_within};
use crate::model::passwd::{User, users};
use crate::model::{sysusers, tmpfiles};
use crate::predict::{self, Prediction};
use crate::rules::input_unreadable;
use crate::top_level;
use crate::tree::{Gathered, Kind, Tree};
use crate::units::Units;
use crate::var_state::Makers;
use crate::{Finding, ImageConfig, escape_path};

/// Bytes of a configuration file at most. A machine reads larger ones; nobody writes them.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// The account databases: the machine's own and that of nss-altfiles, in which ostree systems keep the
/// image's.
const PASSWD: [&str; 2] = ["etc/passwd", "usr/lib/passwd"];
const GROUP: [&str; 2] = ["etc/group", "usr/lib/group"];

/// Where kernels are, each with its modules.
pub(crate) const MODULES: &str = "usr/lib/modules";

/// Where systemd-sysusers reads, the first file of a name only (sysusers.d(5)).
const SYSUSERS: [&str; 4] = [
    "etc/sysusers.d",
    "run/sysusers.d",
    "usr/local/lib/sysusers.d",
    "usr/lib/sysusers.d",
];

/// A configuration file that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path relative to the root.
    pub path: String,
    /// What it says; nothing of a link to /dev/null, which masks its name.
    pub content: Vec<u8>,
}

/// The image under the rules' eyes.
pub struct Image<'a> {
    /// Its files.
    pub tree: &'a dyn Tree,
    /// What the walk over all of them gathered.
    pub gathered: Gathered,
    /// The image's configuration, where it is known.
    pub config: Option<&'a ImageConfig>,
    pub(crate) quirks: Quirks,
    passwd: Vec<File>,
    group: Vec<File>,
    sysusers: Vec<(File, sysusers::Parsed)>,
    tmpfiles: tmpfiles::Config,
    pub(crate) var_makers: OnceCell<Makers>,
    lost_access: OnceCell<Vec<LostAccess>>,
    dropped_top_level: OnceCell<Vec<Vec<u8>>>,
    fresh_accounts: OnceCell<Accounts>,
    upgraded_accounts: OnceCell<Accounts>,
    initramfs: OnceCell<Vec<(String, Ostree)>>,
    units: OnceCell<Units>,
    predictions: OnceCell<Vec<Prediction>>,
    problems: RefCell<Vec<Finding>>,
}

impl<'a> Image<'a> {
    /// Reads what most rules ask for.
    pub fn read(tree: &'a dyn Tree, gathered: Gathered, config: Option<&'a ImageConfig>) -> Self {
        let mut image = Self {
            tree,
            gathered,
            config,
            quirks: Quirks::default(),
            passwd: Vec::new(),
            group: Vec::new(),
            sysusers: Vec::new(),
            tmpfiles: tmpfiles::Config::default(),
            var_makers: OnceCell::new(),
            lost_access: OnceCell::new(),
            dropped_top_level: OnceCell::new(),
            fresh_accounts: OnceCell::new(),
            upgraded_accounts: OnceCell::new(),
            initramfs: OnceCell::new(),
            units: OnceCell::new(),
            predictions: OnceCell::new(),
            problems: RefCell::default(),
        };
        image.passwd = PASSWD.iter().filter_map(|path| image.one(path)).collect();
        image.group = GROUP.iter().filter_map(|path| image.one(path)).collect();
        image.sysusers = (image.files(&SYSUSERS, ".conf").into_iter())
            .map(|file| {
                let parsed = sysusers::parse(&file.content);
                (file, parsed)
            })
            .collect();
        image.tmpfiles = tmpfiles::Config::read(&image.tmpfiles_snippets());
        image
    }

    /// The same image for predictions that know no package by its name: without what boots have shown of
    /// single ones.
    #[must_use]
    pub fn without_quirks(mut self) -> Self {
        self.quirks = Quirks::Ignored;
        self.predictions = OnceCell::new();
        self
    }

    /// The content of a file; none when there is none, or none that can be read, which is a finding.
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        match self.tree.read(path.as_bytes(), MAX_FILE_BYTES) {
            Ok(content) => content,
            Err(error) => {
                self.unreadable(path, &error);
                None
            }
        }
    }

    /// The names in a directory, sorted; those that are no UTF-8 cannot be configuration.
    pub fn names(&self, directory: &str) -> Vec<String> {
        match self.tree.names(directory.as_bytes()) {
            Ok(names) => (names.into_iter())
                .filter_map(|name| String::from_utf8(name).ok())
                .collect(),
            Err(error) => {
                self.unreadable(directory, &error);
                Vec::new()
            }
        }
    }

    /// The files of configuration directories whose names end in `suffix`, in the order of their
    /// names: of the same name only the one in the first directory.
    pub fn files(&self, directories: &[&str], suffix: &str) -> Vec<File> {
        let mut seen = BTreeSet::new();
        let mut files = Vec::new();
        for directory in directories {
            for name in self.names(directory) {
                if name.ends_with(suffix) && seen.insert(name.clone()) {
                    let path = format!("{directory}/{name}");
                    files.extend(self.one(&path).map(|file| (name, file)));
                }
            }
        }
        files.sort_by(|(left, _), (right, _)| left.cmp(right));
        files.into_iter().map(|(_, file)| file).collect()
    }

    /// One file, unless it is missing; a link to /dev/null is an empty one.
    pub fn one(&self, path: &str) -> Option<File> {
        let path = path.to_owned();
        if self.is_masked(&path) {
            let content = Vec::new();
            return Some(File { path, content });
        }
        let content = self.content(&path)?;
        Some(File { path, content })
    }

    /// Whether a path is a link to /dev/null, by which a file of that name elsewhere is masked.
    pub fn is_masked(&self, path: &str) -> bool {
        self.target(path)
            .is_some_and(|target| target == b"/dev/null")
    }

    /// What is at a path; a link at its end is not followed. None when there is nothing.
    pub fn kind(&self, path: &str) -> Option<Kind> {
        let found = self.tree.look(path.as_bytes());
        found.ok().flatten().map(|meta| meta.kind)
    }

    /// The target of the link at a path, as it stands.
    pub fn target(&self, path: &str) -> Option<Vec<u8>> {
        self.tree.target(path.as_bytes()).ok().flatten()
    }

    /// Whether a path leads to anything.
    pub fn exists(&self, path: &str) -> bool {
        matches!(self.tree.follow(path.as_bytes()), Ok(Some(_)))
    }

    /// Users with the files that name them: the image's own first.
    pub fn users(&self) -> impl Iterator<Item = (&str, User<'_>)> {
        (self.passwd.iter())
            .flat_map(|file| users(&file.content).map(|user| (file.path.as_str(), user)))
    }

    /// Groups with the files that name them: the image's own first.
    pub fn groups(&self) -> impl Iterator<Item = (&str, Group<'_>)> {
        (self.group.iter())
            .flat_map(|file| groups(&file.content).map(|group| (file.path.as_str(), group)))
    }

    /// The files of sysusers.d that count, in the order in which systemd reads them.
    pub fn sysusers(&self) -> &[(File, sysusers::Parsed)] {
        &self.sysusers
    }

    /// tmpfiles.d as systemd reads it.
    pub fn tmpfiles(&self) -> &tmpfiles::Config {
        &self.tmpfiles
    }

    /// The versions below /usr/lib/modules that have a kernel, sorted.
    pub fn kernels(&self) -> Vec<String> {
        let mut versions = self.names(MODULES);
        versions.retain(|version| self.exists(&format!("{MODULES}/{version}/vmlinuz")));
        versions
    }

    /// What the initramfs of each kernel that has one says of ostree, by the kernel's version. Read
    /// once, as a stream.
    pub fn initramfs(&self) -> &[(String, Ostree)] {
        self.initramfs.get_or_init(|| {
            let look = |version: String| {
                let path = format!("{MODULES}/{version}/initramfs.img");
                let found = match self.tree.open(path.as_bytes()) {
                    Ok(None) => return None,
                    Ok(Some(file)) => {
                        let all = self.tree.budget();
                        let own = all.half();
                        let found = ostree_within(file, &own);
                        // It is no more than half of what was left.
                        let _ = all.spend(own.spent());
                        found.unwrap_or_else(|error| {
                            all.note(format!("/{path}").as_bytes(), &error);
                            Ostree::Unreadable(error.to_string())
                        })
                    }
                    Err(error) => Ostree::Unreadable(error.to_string()),
                };
                Some((version, found))
            };
            self.kernels().into_iter().filter_map(look).collect()
        })
    }

    /// The accounts of a machine after systemd-sysusers has run.
    pub fn accounts(&self, history: History) -> &Accounts {
        let accounts = match history {
            History::Fresh => &self.fresh_accounts,
            History::Upgraded => &self.upgraded_accounts,
        };
        accounts.get_or_init(|| Accounts::of(self, history))
    }

    /// The units.
    pub fn units(&self) -> &Units {
        self.units.get_or_init(|| Units::read(self))
    }

    /// The units that would fail at the first boot.
    pub fn predictions(&self) -> &[Prediction] {
        self.predictions.get_or_init(|| predict::predict(self))
    }

    /// The directories whose mode or owner an import loses.
    pub(crate) fn lost_access(&self) -> &[LostAccess] {
        self.lost_access.get_or_init(|| lost_access(self))
    }

    /// The names at the top level that an import drops.
    pub(crate) fn dropped_top_level(&self) -> &[Vec<u8>] {
        self.dropped_top_level
            .get_or_init(|| top_level::dropped(self))
    }

    /// Notes that a file could not be read as what it should be.
    pub fn unreadable(&self, path: &str, error: &io::Error) {
        // What was not read for the budget is told by the rule for that.
        if is_spent(error) {
            return;
        }
        let path = format!("/{}", escape_path(path.as_bytes()));
        self.note(input_unreadable::finding(&path, &error.to_string()));
    }

    /// Notes what came up while something was read.
    pub(crate) fn note(&self, finding: Finding) {
        self.problems.borrow_mut().push(finding);
    }

    /// What has been noted so far.
    pub(crate) fn problems(&self) -> Vec<Finding> {
        self.problems.borrow().clone()
    }

    fn tmpfiles_snippets(&self) -> Vec<tmpfiles::Snippet> {
        let mut snippets = Vec::new();
        for (directory, path) in tmpfiles::DIRECTORIES.iter().enumerate() {
            // Of other names Config::read takes none.
            for name in self.names(path) {
                let file = self.one(&format!("{path}/{name}"));
                snippets.extend(file.map(|file| tmpfiles::Snippet {
                    directory,
                    name: name.into_bytes(),
                    content: file.content,
                }));
            }
        }
        snippets
    }
}
