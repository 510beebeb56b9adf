//! What the engine's gateway can do. An engine that lists nothing is older than the list, and has
//! exactly what existed when the list was invented (BuildKit `grpcclient/client.go`,
//! `defaultCaps`, which is frozen).

use std::collections::BTreeSet;

use bollard_buildkit_proto::moby::buildkit::v1::apicaps::ApiCap;

/// A capability of the gateway that this crate makes use of
/// (BuildKit `frontend/gateway/pb/caps.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// `Solve`.
    Solve,
    /// `ReadFile`.
    ReadFile,
    /// `StatFile`.
    StatFile,
    /// `Return`.
    Return,
    /// `SolveRequest.CacheImports`.
    ImportCaches,
    /// Refs as messages instead of ids.
    RefArray,
    /// Refs carry their definition.
    RefDefinition,
    /// `Inputs`.
    FrontendInputs,
    /// `SolveRequest.Evaluate`.
    EvaluateOnSolve,
    /// `Warn`.
    Warnings,
}

impl Capability {
    const ALL: [Self; 10] = [
        Self::Solve,
        Self::ReadFile,
        Self::StatFile,
        Self::Return,
        Self::ImportCaches,
        Self::RefArray,
        Self::RefDefinition,
        Self::FrontendInputs,
        Self::EvaluateOnSolve,
        Self::Warnings,
    ];

    /// What an engine that lists no capabilities has, of those above.
    const FROZEN_DEFAULTS: [Self; 2] = [Self::Solve, Self::ReadFile];

    /// The name on the wire.
    pub fn id(self) -> &'static str {
        match self {
            Self::Solve => "solve.base",
            Self::ReadFile => "readfile",
            Self::StatFile => "statfile",
            Self::Return => "return",
            Self::ImportCaches => "importcaches",
            Self::RefArray => "proto.refarray",
            Self::RefDefinition => "reference.output",
            Self::FrontendInputs => "frontend.inputs",
            Self::EvaluateOnSolve => "gateway.solve.evaluate",
            Self::Warnings => "gateway.warnings",
        }
    }
}

/// The capabilities that an engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// Reads the list of a `PongResponse`.
    pub(super) fn from_pong(listed: &[ApiCap]) -> Self {
        if listed.is_empty() {
            return Self(Capability::FROZEN_DEFAULTS.into());
        }
        let enabled: BTreeSet<&str> = listed
            .iter()
            .filter(|cap| cap.enabled)
            .map(|cap| cap.id.as_str())
            .collect();
        Self(
            Capability::ALL
                .into_iter()
                .filter(|capability| enabled.contains(capability.id()))
                .collect(),
        )
    }

    /// Whether the engine has `capability`.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(id: &str, enabled: bool) -> ApiCap {
        ApiCap {
            id: id.to_owned(),
            enabled,
            ..ApiCap::default()
        }
    }

    #[test]
    fn an_engine_that_lists_nothing_has_the_frozen_defaults() {
        let caps = Capabilities::from_pong(&[]);
        assert!(caps.has(Capability::Solve));
        assert!(caps.has(Capability::ReadFile));
        assert!(!caps.has(Capability::Return));
        assert!(!caps.has(Capability::Warnings));
    }

    #[test]
    fn a_listed_but_disabled_capability_is_not_there() {
        let caps = Capabilities::from_pong(&[
            cap("gateway.warnings", false),
            cap("return", true),
            cap("from.the.future", true),
        ]);
        assert!(caps.has(Capability::Return));
        assert!(!caps.has(Capability::Warnings));
        assert!(!caps.has(Capability::Solve));
    }
}
