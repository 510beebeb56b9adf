//! Maps whose values are messages, on the wire.
//!
//! prost leaves out a map value that has only defaults. The decoder of an engine, which is generated
//! Go code, then holds a nil pointer, and the engine ends with it (BuildKit
//! `frontend/gateway/gateway.go`, `Return`). So such a map is sent as what it is on the wire: a list
//! of entries, each with a value that is there even if it is empty.

use std::collections::BTreeMap;
use std::fmt::Debug;

use prost::Message;

/// An entry of a map.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry<V: Message + Debug + Default> {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<V>,
}

/// An entry of a map whose values are messages that are held as their bytes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EncodedEntry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

/// A map as it is sent.
pub(super) fn entries<V: Message + Debug + Default>(map: BTreeMap<String, V>) -> Vec<Entry<V>> {
    let entries = map.into_iter();
    let entry = |(key, value)| Entry {
        key,
        value: Some(value),
    };
    entries.map(entry).collect()
}

/// A map as it was received; a value that is not there is an empty message.
pub(super) fn map<V: Message + Debug + Default>(entries: Vec<Entry<V>>) -> BTreeMap<String, V> {
    let entries = entries.into_iter();
    let pair = |entry: Entry<V>| (entry.key, entry.value.unwrap_or_default());
    entries.map(pair).collect()
}

/// As [`entries`].
pub(super) fn encoded_entries(map: BTreeMap<String, Vec<u8>>) -> Vec<EncodedEntry> {
    let entries = map.into_iter();
    let entry = |(key, value)| EncodedEntry {
        key,
        value: Some(value),
    };
    entries.map(entry).collect()
}

/// As [`map`].
pub(super) fn encoded_map(entries: Vec<EncodedEntry>) -> BTreeMap<String, Vec<u8>> {
    let entries = entries.into_iter();
    let pair = |entry: EncodedEntry| (entry.key, entry.value.unwrap_or_default());
    entries.map(pair).collect()
}
