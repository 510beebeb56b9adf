//! What an engine says about itself: enough to check the floor and to head a test report.
//! Read from `docker version`, the one question that every engine and client answers alike.

use std::fmt;
use std::process::Command;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::process::capture;

/// The versions of an engine and of the client used with it, as they give them (`28.5.2+dfsg4`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The daemon's.
    pub server: String,
    /// The command's.
    pub client: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    client: Part,
    server: Option<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    version: String,
}

impl Version {
    /// Asks through a ready `docker` command.
    pub(super) fn ask(docker: &mut Command) -> Result<Self> {
        let action = "tell its version";
        let text = capture(action, docker.args(["version", "--format", "{{json .}}"]))?;
        let refuse = |message: String| Error::Engine {
            action: action.to_owned(),
            message,
        };
        let answer: Answer =
            serde_json::from_str(&text).map_err(|error| refuse(format!("{error} in {text}")))?;
        let server = answer
            .server
            .ok_or_else(|| refuse("the client reaches no daemon".to_owned()))?;
        Ok(Self {
            server: server.version,
            client: answer.client.version,
        })
    }

    /// The daemon's first number; 0 when it gives none, as a development build may.
    pub fn server_major(&self) -> u32 {
        let digits = self.server.split('.').next().unwrap_or_default();
        digits.parse().unwrap_or_default()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Docker {} (client {})", self.server, self.client)
    }
}
