//! A frontend for tests of what lies between frontends and engines. What it does, a build argument says:
//! `ODD_START` starts the frontend image of that name without a command line, as a client that knows images does.
//! `ODD_ANSWERS` starts this frontend so many times for one answer each that no honest frontend gives, and asks for
//! a build from an input of nothing.
//! Without either it builds an image with the file `odd`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use osderive_proto::gateway::{
    Attestation, Attestations, BuildError, Gateway, Ref, RefMap, RefMapDeprecated, Refs,
    SolveRequest, SolveResult, serve,
};
use osderive_proto::llb::Digest;
use osderive_proto::pb;
use prost::Message;

const OPTION_PREFIX: &str = "BUILDKIT_FRONTEND_OPT_";
const START: &str = "build-arg:ODD_START";
const ANSWERS: &str = "build-arg:ODD_ANSWERS";
/// The number of the one answer that is to be given.
const ANSWER: &str = "build-arg:ODD_ANSWER";
/// What the Dockerfile frontend sets when it starts another.
const STARTED_BY: [&str; 3] = ["cmdline", "source", "build-arg:BUILDKIT_SYNTAX"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve(build).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("odd-frontend: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn build(gateway: Gateway) -> Result<SolveResult, BuildError> {
    let mut options: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, _)| name.starts_with(OPTION_PREFIX))
        .filter_map(|(_, option)| {
            let (key, value) = option.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect();
    if let Some(image) = options.remove(START) {
        options.retain(|key, _| !STARTED_BY.contains(&key.as_str()));
        options.insert("source".to_owned(), image);
        return start(&gateway, options).await;
    }
    if let Some(count) = options.remove(ANSWERS) {
        for number in 0..count.parse().unwrap_or(0_u32) {
            let mut options = options.clone();
            options.insert(ANSWER.to_owned(), number.to_string());
            // Refused or taken: what matters is that the engine is there for the next.
            let _ = start(&gateway, options).await;
        }
        // The builtin frontend reads these in the engine itself.
        let empty_input = SolveRequest {
            frontend: "dockerfile.v0".to_owned(),
            frontend_opt: options,
            frontend_inputs: [("context".to_owned(), Vec::new())].into(),
            ..SolveRequest::default()
        };
        let _ = gateway.solve(empty_input).await;
        return gateway.solve(image("odd")).await;
    }
    let real = gateway.solve(image("odd")).await?;
    match options.get(ANSWER).and_then(|number| number.parse().ok()) {
        Some(number) => Ok(odd(number, real)),
        None => Ok(real),
    }
}

async fn start(
    gateway: &Gateway,
    frontend_opt: BTreeMap<String, String>,
) -> Result<SolveResult, BuildError> {
    let request = SolveRequest {
        frontend: "gateway.v0".to_owned(),
        frontend_opt,
        frontend_inputs: gateway.inputs().await?,
        ..SolveRequest::default()
    };
    gateway.solve(request).await
}

/// An image with one file.
fn image(name: &str) -> SolveRequest {
    let mkfile = pb::FileActionMkFile {
        path: format!("/{name}"),
        mode: 0o644,
        timestamp: -1,
        ..pb::FileActionMkFile::default()
    };
    let action = pb::FileAction {
        input: -1,
        secondary_input: -1,
        action: Some(pb::file_action::Action::Mkfile(mkfile)),
        ..pb::FileAction::default()
    };
    let file = pb::FileOp {
        actions: vec![action],
    };
    let file = pb::Op {
        op: Some(pb::op::Op::File(file)),
        ..pb::Op::default()
    };
    let file = file.encode_to_vec();
    let terminal = pb::Op {
        inputs: vec![pb::Input {
            digest: Digest::of(&file).to_string(),
            index: 0,
        }],
        ..pb::Op::default()
    };
    let definition = pb::Definition {
        def: vec![file, terminal.encode_to_vec()],
        ..pb::Definition::default()
    };
    SolveRequest {
        definition: Some(definition.encode_to_vec()),
        ..SolveRequest::default()
    }
}

/// Choices that follow from a number, the same in each run.
struct Choices(u64);

impl Choices {
    /// One of `all`.
    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        // Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (SplitMix64).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let count = u64::try_from(all.len()).unwrap_or(1);
        all[usize::try_from(mixed % count).unwrap_or(0)].clone()
    }

    fn platform(&mut self) -> String {
        self.of(&["", "linux/amd64", "linux/arm64", "no platform"])
            .to_owned()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let all: [&[u8]; 5] = [b"", b"null", b"{}", b"[]", b"\xff\x00"];
        self.of(&all).to_vec()
    }

    fn reference(&mut self, real: &Ref) -> Ref {
        let unknown = Ref {
            id: "no such ref".to_owned(),
            def: Some(Vec::new()),
        };
        self.of(&[Ref::default(), Ref::default(), real.clone(), unknown])
    }

    fn refs(&mut self, real: &Ref) -> Option<Refs> {
        match self.of(&[0, 1, 2, 3, 4, 4, 4]) {
            0 => None,
            1 => Some(Refs::SingleDeprecated(self.reference(real).id)),
            2 => {
                let refs = [(self.platform(), self.reference(real).id)].into();
                Some(Refs::ManyDeprecated(RefMapDeprecated { refs }))
            }
            3 => Some(Refs::Single(self.reference(real))),
            _ => {
                let count = self.of(&[0, 1, 2, 3]);
                let refs = (0..count).map(|_| (self.platform(), self.reference(real)));
                Some(Refs::Many(RefMap {
                    refs: refs.collect(),
                }))
            }
        }
    }

    fn attestation(&mut self, real: &Ref) -> Attestation {
        let reference = self.reference(real);
        let subject = self.bytes();
        Attestation {
            kind: self.of(&[0, 1, -1, 7]),
            metadata: [(self.platform(), self.bytes())].into(),
            r#ref: self.of(&[None, Some(reference)]),
            path: self.of(&["", "/", "../..", "odd"]).to_owned(),
            in_toto_predicate_type: self.of(&["", "https://example.com"]).to_owned(),
            in_toto_subjects: self.of(&[Vec::new(), vec![Vec::new()], vec![subject]]),
        }
    }
}

/// An answer that the types allow and no honest frontend gives.
fn odd(number: u64, real: SolveResult) -> SolveResult {
    let mut choices = Choices(number);
    let real = match real.refs {
        Some(Refs::Single(reference)) => reference,
        _ => Ref::default(),
    };
    let mut result = SolveResult {
        refs: choices.refs(&real),
        ..SolveResult::default()
    };
    for key in [
        "refs.platforms",
        "containerimage.config",
        "containerimage.config/linux/amd64",
        "",
    ] {
        if choices.of(&[true, false]) {
            result.metadata.insert(key.to_owned(), choices.bytes());
        }
    }
    for _ in 0..choices.of(&[0, 1, 2]) {
        let count = choices.of(&[0, 1, 2]);
        let all = (0..count).map(|_| choices.attestation(&real));
        let all = Attestations {
            attestation: all.collect(),
        };
        result.attestations.insert(choices.platform(), all);
    }
    result
}
