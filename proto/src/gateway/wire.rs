//! The messages as they go over the wire.
//! Wire format: BuildKit `frontend/gateway/pb/gateway.proto`.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

use super::keyed::{EncodedEntry, Entry, encoded_entries, encoded_map, entries, map};
use super::messages::{self, Attestations, CacheOptionsEntry, Ref, RefMapDeprecated};

/// [`messages::SolveRequest`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct SolveRequest {
    #[prost(bytes = "vec", optional, tag = "1")]
    definition: Option<Vec<u8>>,
    #[prost(string, tag = "2")]
    frontend: String,
    #[prost(btree_map = "string, string", tag = "3")]
    frontend_opt: BTreeMap<String, String>,
    #[prost(bool, tag = "5")]
    allow_result_return: bool,
    #[prost(bool, tag = "6")]
    allow_result_array_ref: bool,
    #[prost(message, repeated, tag = "12")]
    cache_imports: Vec<CacheOptionsEntry>,
    #[prost(message, repeated, tag = "13")]
    frontend_inputs: Vec<EncodedEntry>,
    #[prost(bool, tag = "14")]
    evaluate: bool,
}

/// The engine's answer to a [`SolveRequest`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct SolveResponse {
    #[prost(message, optional, tag = "3")]
    pub(super) result: Option<SolveResult>,
}

/// [`messages::SolveResult`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct SolveResult {
    #[prost(oneof = "Refs", tags = "1, 2, 3, 4")]
    refs: Option<Refs>,
    #[prost(btree_map = "string, bytes", tag = "10")]
    metadata: BTreeMap<String, Vec<u8>>,
    #[prost(message, repeated, tag = "12")]
    attestations: Vec<Entry<Attestations>>,
}

/// [`messages::Refs`].
#[derive(Clone, PartialEq, Oneof)]
enum Refs {
    #[prost(string, tag = "1")]
    SingleDeprecated(String),
    #[prost(message, tag = "2")]
    ManyDeprecated(RefMapDeprecated),
    #[prost(message, tag = "3")]
    Single(Ref),
    #[prost(message, tag = "4")]
    Many(RefMap),
}

/// [`messages::RefMap`].
#[derive(Clone, PartialEq, Message)]
struct RefMap {
    #[prost(message, repeated, tag = "1")]
    refs: Vec<Entry<Ref>>,
}

/// The frontend's one answer: a result, or a `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReturnRequest {
    #[prost(message, optional, tag = "1")]
    result: Option<SolveResult>,
    #[prost(bytes = "vec", optional, tag = "2")]
    error: Option<Vec<u8>>,
}

impl ReturnRequest {
    /// An answer that has either, for an engine ends with one that has neither.
    pub(super) fn of(outcome: Result<messages::SolveResult, Vec<u8>>) -> Self {
        let (result, error) = match outcome {
            Ok(result) => (Some(result.into()), None),
            Err(status) => (None, Some(status)),
        };
        Self { result, error }
    }
}

/// The frontend's inputs, each a `pb.Definition`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct InputsResponse {
    #[prost(message, repeated, tag = "1")]
    definitions: Vec<EncodedEntry>,
}

impl InputsResponse {
    /// The inputs by name.
    pub(super) fn definitions(self) -> BTreeMap<String, Vec<u8>> {
        encoded_map(self.definitions)
    }
}

/// A message without fields: the answers that say no more than "done", and `InputsRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

impl From<messages::SolveRequest> for SolveRequest {
    fn from(request: messages::SolveRequest) -> Self {
        Self {
            definition: request.definition,
            frontend: request.frontend,
            frontend_opt: request.frontend_opt,
            allow_result_return: request.allow_result_return,
            allow_result_array_ref: request.allow_result_array_ref,
            cache_imports: request.cache_imports,
            frontend_inputs: encoded_entries(request.frontend_inputs),
            evaluate: request.evaluate,
        }
    }
}

impl From<messages::SolveResult> for SolveResult {
    fn from(result: messages::SolveResult) -> Self {
        let refs = result.refs.map(|refs| match refs {
            messages::Refs::SingleDeprecated(id) => Refs::SingleDeprecated(id),
            messages::Refs::ManyDeprecated(map) => Refs::ManyDeprecated(map),
            messages::Refs::Single(reference) => Refs::Single(reference),
            messages::Refs::Many(map) => Refs::Many(RefMap {
                refs: entries(map.refs),
            }),
        });
        Self {
            refs,
            metadata: result.metadata,
            attestations: entries(result.attestations),
        }
    }
}

impl From<SolveResult> for messages::SolveResult {
    fn from(result: SolveResult) -> Self {
        let refs = result.refs.map(|refs| match refs {
            Refs::SingleDeprecated(id) => messages::Refs::SingleDeprecated(id),
            Refs::ManyDeprecated(map) => messages::Refs::ManyDeprecated(map),
            Refs::Single(reference) => messages::Refs::Single(reference),
            Refs::Many(refs) => messages::Refs::Many(messages::RefMap {
                refs: map(refs.refs),
            }),
        });
        Self {
            refs,
            metadata: result.metadata,
            attestations: map(result.attestations),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    /// A map as Go's decoder sees it: a message that is not there is nil.
    #[derive(Clone, PartialEq, Message)]
    struct Seen {
        #[prost(string, tag = "1")]
        key: String,
        #[prost(bytes = "vec", optional, tag = "2")]
        value: Option<Vec<u8>>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct SeenMap {
        #[prost(message, repeated, tag = "1")]
        refs: Vec<Seen>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct SeenResult {
        #[prost(message, optional, tag = "4")]
        refs: Option<SeenMap>,
        #[prost(message, repeated, tag = "12")]
        attestations: Vec<Seen>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct SeenAnswer {
        #[prost(message, optional, tag = "1")]
        result: Option<SeenResult>,
        #[prost(bytes = "vec", optional, tag = "2")]
        error: Option<Vec<u8>>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct SeenRequest {
        #[prost(message, repeated, tag = "13")]
        frontend_inputs: Vec<Seen>,
    }

    fn is_whole(entries: &[Seen]) -> bool {
        entries.iter().all(|entry| entry.value.is_some())
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            Just("linux/amd64".to_owned()),
            ".{0,9}"
        ]
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![Just(Vec::new()), vec(any::<u8>(), 0..9)]
    }

    fn reference() -> impl Strategy<Value = Ref> {
        (name(), proptest::option::of(bytes())).prop_map(|(id, def)| Ref { id, def })
    }

    fn attestations() -> impl Strategy<Value = Attestations> {
        let attestation = (
            any::<i32>(),
            btree_map(name(), bytes(), 0..3),
            proptest::option::of(reference()),
            (name(), name(), vec(bytes(), 0..3)),
        );
        let attestation = attestation.prop_map(|(kind, metadata, r#ref, others)| {
            let (path, in_toto_predicate_type, in_toto_subjects) = others;
            messages::Attestation {
                kind,
                metadata,
                r#ref,
                path,
                in_toto_predicate_type,
                in_toto_subjects,
            }
        });
        vec(attestation, 0..3).prop_map(|attestation| Attestations { attestation })
    }

    fn result() -> impl Strategy<Value = messages::SolveResult> {
        let refs = prop_oneof![
            name().prop_map(messages::Refs::SingleDeprecated),
            btree_map(name(), name(), 0..3)
                .prop_map(|refs| messages::Refs::ManyDeprecated(RefMapDeprecated { refs })),
            reference().prop_map(messages::Refs::Single),
            btree_map(name(), reference(), 0..4)
                .prop_map(|refs| messages::Refs::Many(messages::RefMap { refs })),
        ];
        let result = (
            proptest::option::of(refs),
            btree_map(name(), bytes(), 0..3),
            btree_map(name(), attestations(), 0..3),
        );
        result.prop_map(|(refs, metadata, attestations)| messages::SolveResult {
            refs,
            metadata,
            attestations,
        })
    }

    proptest! {
        #[test]
        fn no_answer_has_what_a_decoder_takes_for_nil(result in result()) {
            let answer = ReturnRequest::of(Ok(result.clone())).encode_to_vec();
            let seen = SeenAnswer::decode(answer.as_slice()).expect("an answer");
            let seen = seen.result.expect("a result");
            prop_assert!(is_whole(&seen.attestations), "{:?}", seen);
            prop_assert!(seen.refs.is_none_or(|map| is_whole(&map.refs)));
            let read = ReturnRequest::decode(answer.as_slice()).expect("an answer");
            prop_assert_eq!(read.result.map(messages::SolveResult::from), Some(result));
        }

        #[test]
        fn no_request_has_it_either(inputs in btree_map(name(), bytes(), 0..4)) {
            let request = messages::SolveRequest {
                frontend_inputs: inputs.clone(),
                ..messages::SolveRequest::default()
            };
            let request = SolveRequest::from(request).encode_to_vec();
            let seen = SeenRequest::decode(request.as_slice()).expect("a request");
            prop_assert!(is_whole(&seen.frontend_inputs), "{:?}", seen);
            let read = SolveRequest::decode(request.as_slice()).expect("a request");
            prop_assert_eq!(encoded_map(read.frontend_inputs), inputs);
        }

        #[test]
        fn an_answer_is_a_result_or_an_error(status in bytes()) {
            let answer = ReturnRequest::of(Err(status.clone())).encode_to_vec();
            let seen = SeenAnswer::decode(answer.as_slice()).expect("an answer");
            prop_assert_eq!((seen.result, seen.error), (None, Some(status)));
        }
    }

    #[test]
    fn empty_images_for_two_platforms_are_refs_without_an_id() {
        let refs = ["linux/amd64", "linux/arm64"].map(|name| (name.to_owned(), Ref::default()));
        let result = messages::SolveResult {
            refs: Some(messages::Refs::Many(messages::RefMap { refs: refs.into() })),
            ..messages::SolveResult::default()
        };
        let bytes = ReturnRequest::of(Ok(result)).encode_to_vec();
        let entry = |name: &str| {
            let name = name.as_bytes();
            [&[0x0a, 15, 0x0a, 11], name, &[0x12, 0]].concat()
        };
        let map = [entry("linux/amd64"), entry("linux/arm64")].concat();
        assert_eq!(bytes, [&[0x0a, 36, 0x22, 34][..], &map].concat());
    }

    /// What would let prost leave a message out again.
    #[test]
    fn prost_is_given_no_map_of_messages() {
        for source in [include_str!("messages.rs"), include_str!("wire.rs")] {
            let (code, _) = source.split_once("mod tests").unwrap_or((source, ""));
            assert!(!code.contains(", message\","), "use keyed.rs");
        }
    }
}
