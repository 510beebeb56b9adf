//! The calls a frontend makes on the engine.

use std::collections::BTreeMap;
use std::time::Instant;

pub use bollard_buildkit_proto::fsutil::types::Stat as FileStat;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    FileRange, PingRequest, PongResponse, ReadFileRequest, ReadFileResponse, StatFileRequest,
    StatFileResponse, WarnRequest,
};
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tracing::debug;

use super::caps::{Capabilities, Capability};
use super::messages::{Ref, RefMap, Refs, SolveRequest, SolveResult};
use super::status::BuildError;
use super::transport::MAX_MESSAGE_BYTES;
use super::wire::{self, Empty, InputsResponse, ReturnRequest, SolveResponse};
use crate::llb::{Digest, SourceLocation};

/// The path of a call on the gateway service.
macro_rules! rpc {
    ($method:literal) => {
        concat!("/moby.buildkit.v1.frontend.LLBBridge/", $method)
    };
}

/// A warning that clients show with the build's result.
#[derive(Clone, Debug)]
pub struct Warning {
    /// The op that it is about.
    pub digest: Digest,
    /// One line: buildx shows nothing else without `--debug`.
    pub short: String,
    /// Further lines.
    pub detail: Vec<String>,
    /// Where more is said about it.
    pub url: Option<String>,
    /// The Containerfile's lines that it is about.
    pub location: Option<SourceLocation>,
}

/// A session with the engine. Clones share the connection and may call side by side.
#[derive(Clone, Debug)]
pub struct Gateway {
    channel: Channel,
    capabilities: Capabilities,
}

impl Gateway {
    /// Says hello and learns what the engine can do.
    pub(super) async fn open(channel: Channel) -> Result<Self, BuildError> {
        let pong: PongResponse = call(&channel, rpc!("Ping"), PingRequest {}).await?;
        Ok(Self {
            channel,
            capabilities: Capabilities::from_pong(&pong.frontend_api_caps),
        })
    }

    /// What the engine can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The inputs of this build by name, each a `pb.Definition`; none on an engine that has no
    /// such thing.
    ///
    /// # Errors
    /// When the engine refuses or the session broke.
    pub async fn inputs(&self) -> Result<BTreeMap<String, Vec<u8>>, BuildError> {
        if !self.capabilities.has(Capability::FrontendInputs) {
            return Ok(BTreeMap::new());
        }
        let response: InputsResponse = self.call(rpc!("Inputs"), Empty {}).await?;
        Ok(response.definitions())
    }

    /// Solves. An `evaluate` that the engine does not know is made up for by a look at each ref.
    ///
    /// # Errors
    /// When the build fails, with the engine's own details, or when the session broke.
    pub async fn solve(&self, mut request: SolveRequest) -> Result<SolveResult, BuildError> {
        let evaluate_by_stat =
            request.evaluate && !self.capabilities.has(Capability::EvaluateOnSolve);
        request.evaluate &= !evaluate_by_stat;
        request.allow_result_return = true;
        request.allow_result_array_ref = self.capabilities.has(Capability::RefArray);
        let request = wire::SolveRequest::from(request);
        let response: SolveResponse = self.call(rpc!("Solve"), request).await?;
        let result = SolveResult::from(response.result.unwrap_or_default());
        if evaluate_by_stat {
            for id in result.ref_ids() {
                self.stat_root(id).await?;
            }
        }
        Ok(result)
    }

    /// The content of a file of at most `limit` bytes in the result of a solve; of a larger one,
    /// the first `limit` bytes.
    ///
    /// # Errors
    /// When the ref cannot be made, or has no such file.
    pub async fn read_file(
        &self,
        ref_id: &str,
        path: &str,
        limit: usize,
    ) -> Result<Vec<u8>, BuildError> {
        let request = ReadFileRequest {
            r#ref: ref_id.to_owned(),
            file_path: path.to_owned(),
            range: Some(FileRange {
                offset: 0,
                length: i64::try_from(limit).unwrap_or(i64::MAX),
            }),
            ..ReadFileRequest::default()
        };
        let response: ReadFileResponse = self.call(rpc!("ReadFile"), request).await?;
        Ok(response.data)
    }

    /// As [`Self::read_file`]; none when there is no such file.
    ///
    /// # Errors
    /// When the ref cannot be made, or what is there is no file.
    pub async fn find_file(
        &self,
        ref_id: &str,
        path: &str,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, BuildError> {
        match self.read_file(ref_id, path, limit).await {
            Ok(content) => Ok(Some(content)),
            Err(error) if is_nothing_there(error.message()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is at a path in the result of a solve, all links followed; none when there is nothing.
    ///
    /// # Errors
    /// When the ref cannot be made, or the session broke.
    pub async fn stat_file(
        &self,
        ref_id: &str,
        path: &str,
    ) -> Result<Option<FileStat>, BuildError> {
        match self.stat(ref_id, path).await {
            Ok(found) => Ok(found.stat),
            // The engine has no code for it (BuildKit `cache/util/fsutil.go`, `StatFile`).
            Err(error) if is_nothing_there(error.message()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Shows a warning; an engine that has no warnings shows nothing.
    ///
    /// # Errors
    /// When the engine refuses or the session broke.
    pub async fn warn(&self, warning: Warning) -> Result<(), BuildError> {
        if !self.capabilities.has(Capability::Warnings) {
            return Ok(());
        }
        let (info, ranges) = match warning.location {
            Some(location) => (Some(location.info), location.ranges),
            None => (None, Vec::new()),
        };
        let request = WarnRequest {
            digest: warning.digest.to_string(),
            level: 1,
            short: warning.short.into_bytes(),
            detail: warning.detail.into_iter().map(String::into_bytes).collect(),
            url: warning.url.unwrap_or_default(),
            info,
            ranges,
        };
        let Empty {} = self.call(rpc!("Warn"), request).await?;
        Ok(())
    }

    /// Sends the frontend's one answer.
    pub(super) async fn answer(
        &self,
        outcome: Result<SolveResult, BuildError>,
    ) -> Result<(), BuildError> {
        let outcome = outcome
            .map(|result| self.without_definitions(result))
            .map_err(|error| error.to_bytes());
        let request = ReturnRequest::of(outcome);
        let Empty {} = self.call(rpc!("Return"), request).await?;
        Ok(())
    }

    /// The engine finds refs by their ids; sending their definitions back is only weight.
    fn without_definitions(&self, mut result: SolveResult) -> SolveResult {
        for reference in result.refs_mut() {
            reference.def = None;
        }
        let attestations = result.attestations.values_mut();
        let attestations = attestations.flat_map(|all| &mut all.attestation);
        for reference in attestations.filter_map(|attestation| attestation.r#ref.as_mut()) {
            reference.def = None;
        }
        if result.refs.is_none() && self.capabilities.has(Capability::RefArray) {
            result.refs = Some(Refs::Single(Ref::default()));
        }
        result
    }

    async fn stat_root(&self, ref_id: &str) -> Result<(), BuildError> {
        self.stat(ref_id, ".").await.map(|_| ())
    }

    async fn stat(&self, ref_id: &str, path: &str) -> Result<StatFileResponse, BuildError> {
        let request = StatFileRequest {
            r#ref: ref_id.to_owned(),
            path: path.to_owned(),
            ..StatFileRequest::default()
        };
        self.call(rpc!("StatFile"), request).await
    }

    async fn call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, BuildError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let start = Instant::now();
        let answer = call(&self.channel, method, request).await;
        let failed = answer.as_ref().err().map(BuildError::message);
        debug!(
            method,
            milliseconds = start.elapsed().as_millis(),
            failed,
            "the engine has answered"
        );
        answer
    }
}

/// Whether a message ends as those of ENOENT and ENOTDIR do in Go.
fn is_nothing_there(message: &str) -> bool {
    ["no such file or directory", "not a directory"]
        .iter()
        .any(|end| message.ends_with(end))
}

async fn call<Q, A>(channel: &Channel, method: &'static str, request: Q) -> Result<A, BuildError>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel.clone())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(format!("the engine closed the session: {error}")))?;
    let codec = ProstCodec::<Q, A>::default();
    let response = grpc
        .unary(
            Request::new(request),
            PathAndQuery::from_static(method),
            codec,
        )
        .await?;
    Ok(response.into_inner())
}

impl SolveResult {
    /// The refs, by platform where there are several; those of attestations are not among them.
    pub fn refs_mut(&mut self) -> impl Iterator<Item = &mut Ref> {
        let (single, many) = match &mut self.refs {
            Some(Refs::Single(single)) => (Some(single), None),
            Some(Refs::Many(RefMap { refs })) => (None, Some(refs.values_mut())),
            _ => (None, None),
        };
        single.into_iter().chain(many.into_iter().flatten())
    }

    fn ref_ids(&self) -> Vec<&str> {
        let ids: Vec<&str> = match &self.refs {
            None => Vec::new(),
            Some(Refs::SingleDeprecated(id)) => vec![id],
            Some(Refs::ManyDeprecated(map)) => map.refs.values().map(String::as_str).collect(),
            Some(Refs::Single(single)) => vec![&single.id],
            Some(Refs::Many(map)) => map
                .refs
                .values()
                .map(|reference| reference.id.as_str())
                .collect(),
        };
        ids.into_iter().filter(|id| !id.is_empty()).collect()
    }
}
