//! A frontend that builds nothing: it delegates the Dockerfile like osderive does and returns the
//! definitions that it got as files, so that the golden tests work on what real engines make.

use std::process::ExitCode;

use osderive_proto::gateway::{BuildError, Gateway, Ref, Refs, SolveRequest, SolveResult, serve};
use osderive_proto::llb::Digest;
use osderive_proto::pb;
use prost::Message;

const OPTION_PREFIX: &str = "BUILDKIT_FRONTEND_OPT_";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve(capture).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("capture-frontend: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn capture(gateway: Gateway) -> Result<SolveResult, BuildError> {
    let mut frontend_opt: std::collections::BTreeMap<String, String> = std::env::vars()
        .filter(|(name, _)| name.starts_with(OPTION_PREFIX))
        .filter_map(|(_, option)| {
            option
                .split_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        })
        .collect();
    frontend_opt.entry("cmdline".to_owned()).or_default();
    let delegated = SolveRequest {
        frontend: "dockerfile.v0".to_owned(),
        frontend_opt,
        frontend_inputs: gateway.inputs().await?,
        ..SolveRequest::default()
    };
    let result = gateway.solve(delegated).await?;
    let files = SolveRequest {
        definition: Some(files_definition(definitions(result.refs))),
        ..SolveRequest::default()
    };
    gateway.solve(files).await
}

/// The definitions by file name, which is the platform's where there are several.
fn definitions(refs: Option<Refs>) -> Vec<(String, Vec<u8>)> {
    let bytes = |reference: Ref| reference.def.unwrap_or_default();
    match refs {
        Some(Refs::Single(single)) => vec![("definition.pb".to_owned(), bytes(single))],
        Some(Refs::Many(many)) => many
            .refs
            .into_iter()
            .map(|(platform, reference)| {
                (
                    format!("{}.pb", platform.replace('/', "-")),
                    bytes(reference),
                )
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// An LLB definition of a file system with just these files.
fn files_definition(files: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let count = i64::try_from(files.len()).unwrap_or(i64::MAX);
    let actions = files.into_iter().zip(0..).map(|((name, data), number)| {
        let mkfile = pb::FileActionMkFile {
            path: format!("/{name}"),
            mode: 0o644,
            data,
            timestamp: -1,
            owner: None,
        };
        pb::FileAction {
            input: number - 1,
            secondary_input: -1,
            output: if number + 1 == count { 0 } else { -1 },
            action: Some(pb::file_action::Action::Mkfile(mkfile)),
        }
    });
    let file = pb::Op {
        op: Some(pb::op::Op::File(pb::FileOp {
            actions: actions.collect(),
        })),
        ..pb::Op::default()
    }
    .encode_to_vec();
    let terminal = pb::Op {
        inputs: vec![pb::Input {
            digest: Digest::of(&file).to_string(),
            index: 0,
        }],
        ..pb::Op::default()
    };
    pb::Definition {
        def: vec![file, terminal.encode_to_vec()],
        ..pb::Definition::default()
    }
    .encode_to_vec()
}
