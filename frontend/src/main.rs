//! The BuildKit frontend `osderive`: it has the engine's own Dockerfile frontend make the build,
//! and has the RUNs of a bootable final image committed in their own layers.

mod build;
mod diagnostics;
mod errors;
mod facts;
mod options;
mod solve;
mod splice;
mod subrequests;

use std::process::ExitCode;

use crate::options::environment::{Options, SESSION};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if std::env::var_os(SESSION).is_none() {
        eprintln!(
            "osderive-frontend {} is a BuildKit frontend, which only an engine starts: name its image in the first line of a Containerfile, `# syntax=IMAGE`, and run `docker build`",
            env!("CARGO_PKG_VERSION")
        );
        return ExitCode::FAILURE;
    }
    let vars = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let options = Options::from_env(vars);
    match osderive_proto::gateway::serve(|gateway| build::build(gateway, options)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Stdout is the session; this reaches only the daemon's log or a person's terminal.
            eprintln!("osderive-frontend: {error}");
            ExitCode::FAILURE
        }
    }
}
