//! The bundle of a step (OCI runtime specification, `config.json`): its command becomes the tool's, which is mounted
//! beside it and runs it as its user. What is not ours stays as it is.

use std::{
    env, fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use osderive_lints::{
    BUILD_ARGUMENT, BuildArgument, REPORT_MOUNT, StepUser, TOOL,
    oci_runtime::{REPORT_FOLDER, REPORTS, RUN_FILE},
};
use serde_json::{Map, Value, json};

use super::{Failure, in_file, selinux};

const CONFIG: &str = "config.json";

/// Prepares the bundle of a step that asks for a commit, or for a /var as at boot; answers with its root if it is committed.
pub(super) fn prepare(bundle: &Path) -> Result<Option<PathBuf>, Failure> {
    let path = bundle.join(CONFIG);
    let config = fs::read(&path).map_err(in_file(&path))?;
    let mut config: Value = serde_json::from_slice(&config).map_err(|error| Failure::Config {
        path: path.clone(),
        what: error.to_string(),
    })?;
    let Some(argument) = take_argument(&mut config) else {
        return Ok(None);
    };
    let argument = BuildArgument::parse(&argument)?;
    let is_committed = !argument.prepare;
    let tool = fs::canonicalize("/proc/self/exe").map_err(in_file(Path::new("/proc/self/exe")))?;
    let report = env::var_os(REPORTS)
        .filter(|directory| is_committed && !directory.is_empty())
        .map(|directory| report_directory(Path::new(&directory), &config, argument.copied))
        .transpose()?;
    let tool = selinux::tool(&config, tool, bundle)?;
    let wrapped = wrap(&mut config, argument, &tool, report.as_deref());
    wrapped.ok_or_else(|| Failure::Config {
        path: path.clone(),
        what: "it is no configuration of a container as podman and buildah write it".to_owned(),
    })?;
    let beside = bundle.join(".config.json.osderive-new");
    let json = serde_json::to_vec(&config).unwrap_or_default();
    fs::write(&beside, json).map_err(in_file(&beside))?;
    fs::rename(&beside, &path).map_err(in_file(&path))?;
    let rootfs = config["root"]["path"].as_str().filter(|_| is_committed);
    Ok(rootfs.map(|rootfs| bundle.join(rootfs)))
}

/// The value of our build argument, which the command does not get to see. An empty one asks for nothing.
fn take_argument(config: &mut Value) -> Option<String> {
    let environment = config.pointer_mut("/process/env")?.as_array_mut()?;
    let value = |variable: &Value| {
        let (name, value) = variable.as_str()?.split_once('=')?;
        (name == BUILD_ARGUMENT).then(|| value.to_owned())
    };
    let found = environment.iter().rev().find_map(value)?;
    environment.retain(|variable| value(variable).is_none());
    Some(found).filter(|value| !value.is_empty())
}

/// Makes the command the tool's; none if the configuration is not what it should be.
fn wrap(
    config: &mut Value,
    argument: BuildArgument,
    tool: &Path,
    report: Option<&Path>,
) -> Option<()> {
    let process = config.get_mut("process")?.as_object_mut()?;
    let environment = process.get("env").and_then(Value::as_array);
    let is_home = |variable: &Value| variable.as_str().is_some_and(|it| it.starts_with("HOME="));
    // Where it is not set, runtimes take it from the image's own files, which the tool does for its user.
    let has_home = environment.is_some_and(|environment| environment.iter().any(is_home));
    let user = other_user(process.get("user")?, has_home)?;
    let args = process.get_mut("args")?.as_array_mut()?;
    // The commit at the end of a build is the tool's own command.
    if args.first().is_none_or(|first| first != TOOL) {
        let mut step = argument.step();
        step.user.clone_from(&user);
        step.report = report.map(|_| REPORT_MOUNT.to_owned());
        let words = [TOOL.to_owned()].into_iter().chain(step.to_args());
        args.splice(0..0, words.map(Value::String));
    }
    if user.is_some() {
        become_root(process);
    }
    let mounts = config
        .as_object_mut()?
        .entry("mounts")
        .or_insert_with(|| json!([]))
        .as_array_mut()?;
    // Behind the one of /dev, which would hide them.
    mounts.push(mount(tool, TOOL, "ro")?);
    if let Some(report) = report {
        mounts.push(mount(report, REPORT_MOUNT, "rw")?);
    }
    Some(())
}

fn mount(source: &Path, destination: &str, access: &str) -> Option<Value> {
    Some(json!({
        "destination": destination,
        "type": "bind",
        "source": source.to_str()?,
        "options": ["bind", "private", "nosuid", "nodev", access],
    }))
}

/// The user that the tool has to run the command as; none for root. The outer `None` is for what is no user.
#[expect(clippy::option_option, reason = "no user and nobody are two things")]
fn other_user(user: &Value, keep_home: bool) -> Option<Option<StepUser>> {
    let id = |name: &str| user.get(name).map_or(Some(0), Value::as_u64);
    let (uid, gid) = (id("uid")?, id("gid")?);
    if uid == 0 {
        return Some(None);
    }
    let groups = user.get("additionalGids").and_then(Value::as_array);
    let groups = groups.into_iter().flatten();
    Some(Some(StepUser {
        name: format!("{uid}:{gid}"),
        keep_home,
        directory: None,
        groups: groups
            .map(|group| u32::try_from(group.as_u64()?).ok())
            .collect::<Option<_>>()?,
    }))
}

/// Has the tool begin as root with all capabilities that the container has; it gives them up for the command.
fn become_root(process: &mut Map<String, Value>) {
    if let Some(user) = process.get_mut("user").and_then(Value::as_object_mut) {
        user.insert("uid".to_owned(), json!(0));
        user.insert("gid".to_owned(), json!(0));
        user.insert("additionalGids".to_owned(), json!([0]));
    }
    let capabilities = process.get_mut("capabilities");
    if let Some(sets) = capabilities.and_then(Value::as_object_mut) {
        let bounding = sets.get("bounding").cloned().unwrap_or_else(|| json!([]));
        sets.insert("effective".to_owned(), bounding.clone());
        sets.insert("permitted".to_owned(), bounding);
        sets.remove("ambient");
        sets.remove("inheritable");
    }
}

/// Makes a directory for a step's report that the container's root may write to. Their numbers rise in the order of
/// the steps.
fn report_directory(all: &Path, config: &Value, copied: u32) -> Result<PathBuf, Failure> {
    let directory = (0_u32..)
        .map(|number| all.join(format!("{number:04}")))
        .find_map(|path| match fs::create_dir(&path) {
            Ok(()) => Some(Ok(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            Err(error) => Some(Err(in_file(&path)(error))),
        });
    let directory = directory.unwrap_or_else(|| Ok(all.to_owned()))?;
    let run = directory.join(RUN_FILE);
    let json = json!({ "args": config["process"]["args"], "copied": copied });
    fs::write(&run, json.to_string()).map_err(in_file(&run))?;
    let inside = directory.join(REPORT_FOLDER);
    fs::create_dir(&inside).map_err(in_file(&inside))?;
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o700)).map_err(in_file(&inside))?;
    let metadata = fs::metadata(&inside).map_err(in_file(&inside))?;
    let root = |ids: &str| host_id_of_root(config.pointer(ids));
    let owner = (root("/linux/uidMappings"), root("/linux/gidMappings"));
    if owner != (Some(metadata.uid()), Some(metadata.gid())) && owner != (None, None) {
        chown(&inside, owner.0, owner.1).map_err(in_file(&inside))?;
    }
    if let Some(label) = selinux::mount_label(config) {
        selinux::set_label(&inside, label)?;
    }
    Ok(inside)
}

/// The id outside that root has inside; none without a mapping.
fn host_id_of_root(mappings: Option<&Value>) -> Option<u32> {
    let mappings = mappings?.as_array()?.iter();
    let mut of_root = mappings.filter(|mapping| mapping["containerID"] == 0);
    u32::try_from(of_root.next()?["hostID"].as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use osderive_lints::BASE_MOUNT;

    use super::*;

    /// As buildah writes it, shortened.
    fn config(uid: u32, args: &[&str]) -> Value {
        json!({
            "process": {
                "user": {"uid": uid, "gid": uid, "additionalGids": [7, uid]},
                "args": args,
                "env": ["PATH=/usr/bin", "OSDERIVE=a1&verbose", "A=OSDERIVE=no"],
                "capabilities": {
                    "bounding": ["CAP_CHOWN", "CAP_SETUID"],
                    "effective": [], "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"],
                },
            },
            "mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
            "linux": {"uidMappings": [{"containerID": 1, "hostID": 5, "size": 1}, {"containerID": 0, "hostID": 1000, "size": 1}]},
            "annotations": {"unknown": 18_446_744_073_709_551_615_u64},
        })
    }

    fn wrapped(uid: u32, args: &[&str]) -> Value {
        let mut config = config(uid, args);
        let argument = take_argument(&mut config).expect("an argument");
        let argument = BuildArgument::parse(&argument).expect("a value");
        let tool = Path::new("/usr/libexec/osderive/ostree-container");
        wrap(&mut config, argument, tool, Some(Path::new("/reports/0"))).expect("a container");
        config
    }

    #[test]
    fn the_command_of_root_becomes_the_tools_and_all_else_stays() {
        let mut expected = config(0, &[]);
        expected["process"]["env"] = json!(["PATH=/usr/bin", "A=OSDERIVE=no"]);
        expected["process"]["args"] = json!([
            "/dev/.osderive/ostree-container",
            "step",
            "--detect",
            "-v",
            "--report",
            "/dev/.osderive-out",
            "--",
            "/bin/sh",
            "-c",
            "make"
        ]);
        let options = |access| json!(["bind", "private", "nosuid", "nodev", access]);
        expected["mounts"] = json!([
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": TOOL, "type": "bind", "source": "/usr/libexec/osderive/ostree-container", "options": options("ro")},
            {"destination": REPORT_MOUNT, "type": "bind", "source": "/reports/0", "options": options("rw")},
        ]);
        assert_eq!(wrapped(0, &["/bin/sh", "-c", "make"]), expected);
    }

    #[test]
    fn another_user_gets_its_groups_from_the_tool_which_begins_as_root() {
        let wrapped = wrapped(33, &["id"]);
        let process = &wrapped["process"];
        assert_eq!(
            process["user"],
            json!({"uid": 0, "gid": 0, "additionalGids": [0]})
        );
        let all = json!(["CAP_CHOWN", "CAP_SETUID"]);
        let sets = json!({"bounding": all, "effective": all, "permitted": all});
        assert_eq!(process["capabilities"], sets);
        let args: Vec<_> = process["args"]
            .as_array()
            .expect("words")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let words = args.join(" ");
        assert!(
            words.contains("step --detect -v --user 33:33 --groups 7,33 --report"),
            "{words}"
        );
    }

    #[test]
    fn the_commit_at_the_end_is_the_tools_already() {
        let command = [TOOL, "commit", "--base", BASE_MOUNT];
        assert_eq!(wrapped(0, &command)["process"]["args"], json!(command));
    }

    #[test]
    fn a_step_that_does_not_ask_is_nobodys() {
        let mut plain = config(0, &["make"]);
        for env in [
            json!(["PATH=/usr/bin", "OSDERIVE="]),
            json!([]),
            json!(["OSDERIVES=1"]),
        ] {
            plain["process"]["env"] = env;
            assert_eq!(take_argument(&mut plain), None);
        }
        assert_eq!(take_argument(&mut json!({})), None);
    }

    #[test]
    fn the_report_is_for_the_root_inside() {
        let config = config(0, &[]);
        let id = |name: &str| host_id_of_root(config.pointer(name));
        assert_eq!(
            (id("/linux/uidMappings"), id("/linux/gidMappings")),
            (Some(1000), None)
        );
    }
}
