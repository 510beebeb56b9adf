//! SELinux on the machine of a build: what a container may run there, and the labels of what it gets.
//!
//! A container may run what is in /usr, and not what is in somebody's home directory. The tool may be in either. The
//! kernel is asked, as its policy is the machine's (selinuxfs: `access` and `class`, Linux `security/selinux/selinuxfs.c`).

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{XattrFlags, getxattr, setxattr},
    io::Errno,
};
use serde_json::Value;

use super::{Failure, in_file};

const LABEL: &str = "security.selinux";

/// Where the kernel has its policy.
const POLICY: &str = "/sys/fs/selinux";

/// The tool's copy in a bundle, which the engine removes with it.
const COPY: &str = ".osderive-tool";

/// More than any label has, in bytes.
const MAX_LABEL: usize = 4096;

/// What a container does with the tool: it begins with it, and the tool reads itself.
const NEEDED: [&str; 3] = ["entrypoint", "execute", "read"];

/// The tool as a container may run it: the file itself, or a copy in the bundle with the label of the container's files.
pub(super) fn tool(config: &Value, tool: PathBuf, bundle: &Path) -> Result<PathBuf, Failure> {
    let process = config
        .pointer("/process/selinuxLabel")
        .and_then(Value::as_str);
    let (Some(process), Some(label)) = (process, mount_label(config)) else {
        return Ok(tool);
    };
    let is_denied = label_of(&tool)
        .is_some_and(|own| may_run(Path::new(POLICY), process, &own).is_ok_and(|may| !may));
    if !is_denied {
        return Ok(tool);
    }
    let copy = bundle.join(COPY);
    let bytes = fs::read(&tool).map_err(in_file(&tool))?;
    fs::write(&copy, bytes).map_err(in_file(&copy))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).map_err(in_file(&copy))?;
    set_label(&copy, label)?;
    Ok(copy)
}

/// The label that the engine gives to what it mounts into a container; none where it gives none.
pub(super) fn mount_label(config: &Value) -> Option<&str> {
    let label = config.pointer("/linux/mountLabel").and_then(Value::as_str);
    label.filter(|label| !label.is_empty())
}

/// Gives a label to a file.
pub(super) fn set_label(path: &Path, label: &str) -> Result<(), Failure> {
    let label = format!("{label}\0");
    match setxattr(path, LABEL, label.as_bytes(), XattrFlags::empty()) {
        // A file system that has no labels has one for all that it holds (mount(8), "context").
        Ok(()) | Err(Errno::NOTSUP) => Ok(()),
        Err(error) => Err(in_file(path)(error.into())),
    }
}

fn label_of(path: &Path) -> Option<String> {
    let mut bytes = vec![0; MAX_LABEL];
    let length = getxattr(path, LABEL, &mut bytes[..]).ok()?;
    bytes.truncate(length);
    let label = String::from_utf8(bytes).ok()?;
    Some(label.trim_end_matches('\0').to_owned())
}

/// Whether the policy lets a process with a label begin with a file of another.
fn may_run(policy: &Path, process: &str, file: &str) -> io::Result<bool> {
    let class = policy.join("class/file");
    let number = |path: &Path| {
        let text = fs::read_to_string(path)?;
        text.trim().parse::<u32>().map_err(io::Error::other)
    };
    let index = number(&class.join("index"))?;
    let mut needed = 0_u32;
    for permission in NEEDED {
        // Counted from 1.
        let bit = number(&class.join("perms").join(permission))?.wrapping_sub(1);
        needed |= 1_u32.checked_shl(bit).unwrap_or_default();
    }
    let access = policy.join("access");
    let mut access = OpenOptions::new().read(true).write(true).open(access)?;
    access.write_all(format!("{process} {file} {index}").as_bytes())?;
    let mut answer = String::new();
    access.read_to_string(&mut answer)?;
    let allowed = answer.split_whitespace().next().unwrap_or_default();
    let allowed = u32::from_str_radix(allowed, 16).map_err(io::Error::other)?;
    Ok(allowed & needed == needed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Labels are the kernel's where it has SELinux; elsewhere they are bytes that root may set.
    #[test]
    fn a_label_that_is_set_is_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let label = "system_u:object_r:container_file_t:s0:c1,c2";
        set_label(file.path(), label).expect("root may");
        assert_eq!(label_of(file.path()).as_deref(), Some(label));
    }

    #[test]
    fn where_the_engine_gives_no_labels_the_tool_is_itself() {
        let bundle = tempfile::tempdir().expect("a directory");
        for config in [
            json!({}),
            json!({"process": {"selinuxLabel": ""}, "linux": {"mountLabel": ""}}),
        ] {
            let own = PathBuf::from("/usr/libexec/osderive/ostree-container");
            let found = tool(&config, own.clone(), bundle.path()).expect("a tool");
            assert_eq!(found, own);
        }
    }

    /// Real answers are a kernel's with SELinux (docs/podman.md says where that was tried).
    #[test]
    fn what_the_kernel_answers_are_bits() {
        let policy = tempfile::tempdir().expect("a directory");
        let class = policy.path().join("class/file");
        fs::create_dir_all(class.join("perms")).expect("directories");
        fs::write(class.join("index"), "6").expect("writes");
        for (name, number) in [("read", "2"), ("execute", "14\n"), ("entrypoint", "19")] {
            fs::write(class.join("perms").join(name), number).expect("writes");
        }
        let question = "a_u:r:container_t:s0 a_u:object_r:bin_t:s0 6";
        let ask = |answer: &str| {
            // A question and its answer have a file of their own in the kernel; here one is behind the other.
            let text = format!("{}{answer}", "x".repeat(question.len()));
            fs::write(policy.path().join("access"), text).expect("writes");
            may_run(
                policy.path(),
                "a_u:r:container_t:s0",
                "a_u:object_r:bin_t:s0",
            )
            .ok()
        };
        assert_eq!(ask("42002 ffffffff 0 ffffffff 1 0"), Some(true));
        assert_eq!(ask("2002 ffffffff 0 ffffffff 1 0"), Some(false));
        assert_eq!(ask("?"), None);
    }
}
