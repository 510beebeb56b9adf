//! The reference implementation of ostree's container images, as its authors' own command line: what clients do
//! when they import and deploy. A program of its own, because it links libostree, which only the boot tests'
//! private root has.

use std::process::ExitCode;

fn main() -> ExitCode {
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(ostree_ext::cli::run_from_iter(std::env::args_os())));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
