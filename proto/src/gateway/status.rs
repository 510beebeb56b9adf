//! Errors as the engine and its clients exchange them: a `google.rpc.Status` whose details are
//! JSON, among them the source lines that buildx prints below the message
//! (BuildKit `util/grpcerrors` and `solver/errdefs/errdefs.proto`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bollard_buildkit_proto::google::{protobuf::Any, rpc::Status};
use prost::Message;
use serde_json::json;

use crate::llb::SourceLocation;

/// gRPC code 2, which clients show without a prefix of its own.
const UNKNOWN: i32 = 2;

const SOURCE_DETAIL: &str = "github.com/moby/buildkit/errdefs.Source+json";

/// Lines of a Containerfile, as an error detail.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSnippet(Any);

impl From<&SourceLocation> for SourceSnippet {
    fn from(location: &SourceLocation) -> Self {
        let position = |position: &Option<crate::pb::Position>| {
            let position = position.unwrap_or_default();
            json!({"line": position.line, "character": position.character})
        };
        let ranges: Vec<_> = location
            .ranges
            .iter()
            .map(|range| json!({"start": position(&range.start), "end": position(&range.end)}))
            .collect();
        let value = json!({
            "info": {
                "filename": location.info.filename,
                "data": BASE64.encode(&location.info.data),
                "language": location.info.language,
            },
            "ranges": ranges,
        });
        Self(Any {
            type_url: SOURCE_DETAIL.to_owned(),
            value: value.to_string().into_bytes(),
        })
    }
}

/// A failed build, as it is returned to the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildError(Status);

impl BuildError {
    /// An error of our own.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Status {
            code: UNKNOWN,
            message: message.into(),
            details: Vec::new(),
        })
    }

    /// The same error with the lines that it is about.
    #[must_use]
    pub fn at(mut self, snippet: SourceSnippet) -> Self {
        self.0.details.push(snippet.0);
        self
    }

    /// The same error with its message changed; the details stay.
    #[must_use]
    pub fn map_message(mut self, change: impl FnOnce(&str) -> String) -> Self {
        self.0.message = change(&self.0.message);
        self
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The `google.rpc.Status` on the wire.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for BuildError {}

impl From<tonic::Status> for BuildError {
    /// A failure that the engine reported, details and all; where it sent none
    /// (`grpc-status-details-bin`), code and message.
    fn from(status: tonic::Status) -> Self {
        match Status::decode(status.details()) {
            Ok(whole) if whole.code != 0 => Self(whole),
            _ => Self(Status {
                code: status.code() as i32,
                message: status.message().to_owned(),
                details: Vec::new(),
            }),
        }
    }
}
