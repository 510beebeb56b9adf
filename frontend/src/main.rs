//! The BuildKit frontend `osderive`: it has the engine's own Dockerfile frontend make the build,
//! and has the RUNs of a bootable final image committed in their own layers.

mod bootable;
mod branches;
mod build;
mod check;
mod context;
mod decisions;
mod finish;
mod ids;
mod options;
mod origins;
mod place;
mod previous;
mod questions;
mod reports;
mod solve;
mod splices;
mod tool;
mod unfold;
mod verdict;
mod wrap;

use std::process::ExitCode;

/// Set by every engine for the frontends that it starts (BuildKit `frontend/gateway/gateway.go`).
const SESSION: &str = "BUILDKIT_SESSION_ID";

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
    let options = options::Options::from_env(vars);
    match osderive_proto::gateway::serve(|gateway| build::build(gateway, options)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Stdout is the session; this reaches only the daemon's log or a person's terminal.
            eprintln!("osderive-frontend: {error}");
            ExitCode::FAILURE
        }
    }
}
