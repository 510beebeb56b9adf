//! A RUN for tests.

use osderive_proto::llb::{Digest, Run};

/// A RUN of these words, as root in /, with no mount but its root.
pub(crate) fn run(args: &[&str]) -> Run {
    Run {
        digest: Digest::of(b""),
        name: String::new(),
        command: String::new(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: Vec::new(),
        cwd: String::new(),
        user: String::new(),
        mounts: Vec::new(),
        platform: None,
    }
}

/// A RUN in shell form.
pub(crate) fn shell(script: &str) -> Run {
    run(&["/bin/sh", "-c", script])
}
