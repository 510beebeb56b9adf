//! What akmods could not build in a step. It ends without an error then, and leaves a log.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use osderive_lints::{Finding, rules::kernel_akmod_failed, tree::Tree as _};

use crate::{paths::shown, rootfs::Rootfs, step_start::StepStart};

/// Relative to the root. The cache may be a mount, which has the logs of other builds as well.
const LOGS: &str = "var/cache/akmods";

const FAILED: &[u8] = b".failed.log";

/// The findings about the logs that are the step's.
pub(crate) fn failed(rootfs: &Rootfs, start: StepStart) -> Vec<Finding> {
    let Ok(tree) = rootfs.tree() else {
        return Vec::new();
    };
    let names = |directory: &[u8]| tree.names(directory).unwrap_or_default();
    let mut found = Vec::new();
    for module in names(LOGS.as_bytes()) {
        let directory = [LOGS.as_bytes(), b"/", &module].concat();
        for name in names(&directory)
            .iter()
            .filter(|name| name.ends_with(FAILED))
        {
            let path = [&directory, &b"/"[..], name].concat();
            let path = Path::new(OsStr::from_bytes(&path));
            if rootfs
                .changed(path)
                .is_some_and(|changed| start.is_since(changed))
            {
                found.extend(kernel_akmod_failed::finding(&shown(path)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_logs_of_the_step_are_told() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |path: &str| {
            let path = root.path().join(LOGS).join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, "").expect("a file");
        };
        write("acme/1-for-6.11.failed.log");
        let rootfs = Rootfs::open(root.path()).expect("opens");
        let start = StepStart::after_what_is_there(&rootfs);
        assert_eq!(failed(&rootfs, start), []);
        write("acme/1-for-6.12.failed.log");
        write("acme/1-for-6.12.log");
        std::os::unix::fs::symlink("/etc", root.path().join(LOGS).join("link")).expect("a link");
        let found = failed(&rootfs, start);
        let paths: Vec<_> = found.iter().flat_map(|finding| &finding.paths).collect();
        assert_eq!(paths, ["/var/cache/akmods/acme/1-for-6.12.failed.log"]);
    }
}
