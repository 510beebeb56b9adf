//! A machine that an image came to: the image's declarations, account files of its own, an empty
//! /var. What becomes of it there is made by the real systemd of Debian 12 (252) or 13 (257).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use osderive_lints::escape_path;
use osderive_lints::model::{group::groups, passwd::users};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::error::{Error, Result, io_error};
use crate::places::Places;
use crate::process::{copy_program, tail};
use crate::roots::{Recipe, Root, Shape, Suite};

/// A machine-id, without which tmpfiles.d lines about the journal mean nothing.
const MACHINE_ID: &str = "5a1e0f6c2d8b4e7fa3c9d0b1e2f34567\n";

/// Puts the account files of the second root in the place of those of the first, and goes on.
const WITH_ACCOUNTS: &str = r#"
for name in passwd group; do
    if [ -e "$1/etc/$name" ] && [ -e "$2/etc/$name" ]; then mount --bind "$2/etc/$name" "$1/etc/$name"; fi
done
shift 2
exec "$@"
"#;

/// The library of access control lists.
const LIBRARY: &str = "libacl.so.1";

/// Exit statuses of systemd-tmpfiles that tell of skipped lines (systemd-tmpfiles(8)).
const SKIPPED: [i32; 2] = [65, 73];

/// systemd-sysusers and systemd-tmpfiles of one Debian release.
#[derive(Debug)]
pub struct Systemd(pub(crate) Root);

impl Systemd {
    /// The releases that images are tested with: systemd 252 and 257.
    pub const RELEASES: [Suite; 2] = [Suite::Bookworm, Suite::Trixie];

    /// The tools of a release, fetched now unless that was done before.
    ///
    /// # Errors
    /// When this machine cannot make a root for them; see [`Recipe::build`].
    pub fn of(suite: Suite, places: &Places) -> Result<Self> {
        let tools = ["systemd-standalone-sysusers", "systemd-standalone-tmpfiles"];
        let recipe = Recipe {
            name: match suite {
                Suite::Bookworm => "systemd-bookworm",
                Suite::Trixie => "systemd-trixie",
                Suite::Sid => "systemd-sid",
            },
            suite,
            packages: tools.map(str::to_owned).to_vec(),
            prepare: "",
            finish: "",
            shape: Shape::Directory,
        };
        recipe.build(places).map(Self)
    }

    /// Where roots for these tools have to be: they run confined to it.
    pub fn folder(&self) -> PathBuf {
        self.0.path.join("tmp")
    }

    /// Gives an image this systemd-tmpfiles and what it sets access control lists with.
    ///
    /// # Errors
    /// When they cannot be copied.
    pub fn put_tmpfiles_in(&self, image: &Path) -> Result<()> {
        let libraries = Path::new("usr/lib/x86_64-linux-gnu");
        let library = fs::canonicalize(self.0.path.join(libraries).join(LIBRARY));
        let library = library.map_err(io_error("find", LIBRARY))?;
        let tool = Path::new("usr/bin/systemd-tmpfiles");
        for (from, to) in [
            (self.0.path.join(tool), tool.to_owned()),
            (library, libraries.join(LIBRARY)),
        ] {
            let to = image.join(to);
            let folder = to.parent().unwrap_or(image);
            fs::create_dir_all(folder).map_err(io_error("make", folder))?;
            copy_program(&from, &to)?;
        }
        Ok(())
    }

    /// A tool that works on a root below [`folder`](Self::folder), with /proc and the root's accounts, as it needs at
    /// boot: libacl knows no other root than its own.
    pub fn tool(&self, program: &str, root: &Path) -> Command {
        let inside = root.strip_prefix(&self.0.path).unwrap_or(root);
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation=private",
                "sh",
                "-ec",
                WITH_ACCOUNTS,
                "sh",
            ])
            .args([&self.0.path, root])
            .args([
                "unshare",
                "--pid",
                "--mount",
                "--fork",
                "--mount-proc=/proc",
            ])
            .arg(format!("--root={}", self.0.path.display()))
            .arg(program)
            .arg(format!("--root=/{}", inside.display()));
        command
    }

    /// A machine with an empty root file system, which goes with the value.
    ///
    /// # Errors
    /// When its directories cannot be made.
    pub fn machine(&self) -> Result<Machine<'_>> {
        let beside = self.folder();
        let folder =
            tempfile::tempdir_in(&beside).map_err(io_error("make a folder in", &beside))?;
        let machine = Machine {
            systemd: self,
            folder,
        };
        let etc = machine.root().join("etc");
        fs::create_dir_all(&etc).map_err(io_error("make", &etc))?;
        let id = etc.join("machine-id");
        fs::write(&id, MACHINE_ID).map_err(io_error("write", &id))?;
        Ok(machine)
    }
}

/// A machine's root file system.
#[derive(Debug)]
pub struct Machine<'a> {
    systemd: &'a Systemd,
    folder: TempDir,
}

impl Machine<'_> {
    /// The root directory.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Makes the accounts that sysusers.d declares.
    ///
    /// # Errors
    /// When systemd-sysusers fails.
    pub fn make_accounts(&self) -> Result<()> {
        let (status, log) = self.run("systemd-sysusers", &[])?;
        self.expect(status.success(), "systemd-sysusers", status, log)
    }

    /// Makes what tmpfiles.d declares, as at boot; returns what systemd-tmpfiles complained about.
    ///
    /// # Errors
    /// When it fails as a whole.
    pub fn make_files(&self) -> Result<String> {
        let options = ["--create", "--boot", "--exclude-prefix=/dev"];
        let (status, log) = self.run("systemd-tmpfiles", &options)?;
        let lived = status.success() || status.code().is_some_and(|code| SKIPPED.contains(&code));
        self.expect(lived, "systemd-tmpfiles", status, log.clone())?;
        fs::read_to_string(&log).map_err(io_error("read", log))
    }

    fn run(&self, program: &'static str, options: &[&str]) -> Result<(ExitStatus, PathBuf)> {
        let log = self.folder.path().join(program);
        let write = |path: &Path| File::create(path).map_err(io_error("write", path));
        let status = self
            .systemd
            .tool(program, &self.root())
            .args(options)
            .stderr(write(&log)?)
            .status()
            .map_err(|source| Error::Program {
                program: "unshare",
                package: "util-linux",
                source,
            })?;
        Ok((status, log))
    }

    fn expect(&self, lived: bool, program: &str, status: ExitStatus, log: PathBuf) -> Result<()> {
        if lived {
            return Ok(());
        }
        Err(Error::Command {
            action: format!("run {program} on {}", self.root().display()),
            status: status.to_string(),
            tail: tail(&log),
            log,
        })
    }
}

/// The users, groups and memberships of a root file system, one a line.
///
/// # Errors
/// When an account file cannot be read.
pub fn accounts(root: &Path) -> Result<BTreeSet<String>> {
    let read = |name: &str| {
        let path = root.join("etc").join(name);
        fs::read(&path).map_err(io_error("read", path))
    };
    let mut lines = BTreeSet::new();
    for user in users(&read("passwd")?) {
        let [name, gecos, home, shell] =
            [user.name, user.gecos, user.home, user.shell].map(escape_path);
        let (uid, gid) = (user.uid, user.gid);
        lines.insert(format!("user {name}:{uid}:{gid}:{gecos}:{home}:{shell}"));
    }
    for group in groups(&read("group")?) {
        let name = escape_path(group.name);
        lines.insert(format!("group {name}:{}", group.gid));
        let member = |member: &&[u8]| format!("member {name}:{}", escape_path(member));
        lines.extend(group.members.iter().map(member));
    }
    Ok(lines)
}

/// How a root file system differs from `reference` below `top`: every path that `reference` has there
/// and that software would find otherwise, with what it is in both. A link in the place of a directory
/// or a file is what it leads to, inside of the root.
///
/// # Errors
/// When `reference` cannot be read.
pub fn differences(
    reference: &Path,
    root: &Path,
    top: &str,
) -> Result<Vec<(PathBuf, [String; 2])>> {
    let mut different = Vec::new();
    let mut open = vec![PathBuf::from(top)];
    while let Some(path) = open.pop() {
        let full = reference.join(&path);
        let nofollow = OFlags::NOFOLLOW;
        let expected = look(reference, &path, nofollow).map_err(io_error("look at", &full))?;
        let flags = if expected.starts_with("link") {
            nofollow
        } else {
            OFlags::empty()
        };
        let found = look(root, &path, flags).unwrap_or_else(|error| error.kind().to_string());
        if expected.starts_with("directory") {
            for entry in fs::read_dir(&full).map_err(io_error("list", &full))? {
                let entry = entry.map_err(io_error("list", &full))?;
                open.push(path.join(entry.file_name()));
            }
        }
        if expected != found {
            different.push((path, [expected, found]));
        }
    }
    different.sort();
    Ok(different)
}

/// Type, mode and numeric owner of an entry, and what it holds: a link's target, a file's content by
/// hash, together with its capabilities.
fn look(root: &Path, path: &Path, flags: OFlags) -> io::Result<String> {
    let root = File::open(root)?;
    let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
    // Where a link leads up, the kernel gives up when anything is renamed or mounted meanwhile (openat2(2)).
    let entry = loop {
        let inside = ResolveFlags::IN_ROOT;
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), inside) {
            Err(Errno::AGAIN) => {}
            opened => break opened?,
        }
    };
    let stat = rustix::fs::fstat(&entry)?;
    let (mode, owner) = (stat.st_mode & 0o7777, (stat.st_uid, stat.st_gid));
    let described = |kind: &str| format!("{kind} {mode:o} {}:{}", owner.0, owner.1);
    let through = format!("/proc/self/fd/{}", entry.as_raw_fd());
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => described("directory"),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&entry, "", Vec::new())?;
            format!("link to {}", escape_path(target.as_bytes()))
        }
        FileType::RegularFile => {
            let mut capability = [0; 64];
            let name = "security.capability";
            let length = rustix::fs::getxattr(&through, name, &mut capability).unwrap_or(0);
            let mut content = Sha256::new();
            content.update(fs::read(&through)?);
            content.update(&capability[..length]);
            let hash = content.finalize();
            format!("{} {:02x}{:02x}", described("file"), hash[0], hash[1])
        }
        _ => described("special file"),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A root with these files and directories (`/` at the end), all with the same content.
    fn root(paths: &[&str]) -> TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for path in paths {
            let path = root.path().join(path);
            let parent = path.parent().expect("a parent");
            fs::create_dir_all(parent).expect("directories");
            if path.to_string_lossy().ends_with('/') {
                fs::create_dir_all(path).expect("a directory");
            } else {
                fs::write(path, "content").expect("a file");
            }
        }
        root
    }

    fn different(reference: &TempDir, root: &TempDir) -> Vec<String> {
        let found = differences(reference.path(), root.path(), "var").expect("readable");
        let path = |(path, _): &(PathBuf, _)| path.display().to_string();
        found.iter().map(path).collect()
    }

    #[test]
    fn what_a_root_lacks_or_has_otherwise_is_different() {
        let reference = root(&["var/a/file", "var/empty/", "var/same"]);
        let other = root(&["var/a/file", "var/same", "var/more"]);
        assert_eq!(different(&reference, &other), ["var/empty"]);
        fs::write(other.path().join("var/a/file"), "changed").expect("a file");
        assert_eq!(different(&reference, &other), ["var/a/file", "var/empty"]);
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_what_it_leads_to_inside() {
        let reference = root(&["var/opt/acme/file"]);
        let moved = root(&["var/opt/", "usr/lib/opt/acme/file"]);
        symlink("/usr/lib/opt/acme", moved.path().join("var/opt/acme")).expect("a link");
        assert!(different(&reference, &moved).is_empty());
        assert_eq!(different(&moved, &reference), ["var/opt/acme"]);
    }
}
