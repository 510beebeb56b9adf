//! Puts a changed definition together: new ops, and the old metadata and source map under new keys.
//! Fields that are none of these, and entries whose op kept its digest, are copied as they are.

use super::definition::{Definition, map_entry, number};
use super::digest::Digest;
use super::edit;
use super::error::{DefinitionPart, LlbError};
use super::wire::{self, WireError};

/// What becomes of the map entries of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Keep,
    /// Kept, without the mark that the op is to be made without the cache.
    Solved,
    Become(Digest),
    Drop,
}

/// `ignore_cache` of `pb.OpMetadata`.
const IGNORE_CACHE: u32 = 1;

/// The fields that a changed definition gets.
pub(super) struct Parts<'a, F: Fn(&str) -> Key> {
    /// All ops, as `def` fields.
    pub(super) ops: &'a [u8],
    /// `metadata` fields to add.
    pub(super) metadata: &'a [u8],
    /// What becomes of the entries under a key of the old definition.
    pub(super) key: F,
}

impl<F: Fn(&str) -> Key> Parts<'_, F> {
    /// The bytes of `old` with these parts.
    pub(super) fn assemble(&self, old: &Definition) -> Result<Vec<u8>, LlbError> {
        self.definition(&old.bytes)
            .map_err(LlbError::wire(DefinitionPart::Definition))
    }

    fn definition(&self, old: &[u8]) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::with_capacity(old.len() + self.ops.len() / 2);
        let mut ops = Some(self.ops);
        let mut metadata = Some(self.metadata);
        for field in wire::fields(old) {
            let field = field?;
            match field.number {
                number::DEF => out.extend_from_slice(ops.take().unwrap_or_default()),
                number::METADATA => {
                    self.entry(&mut out, &field)?;
                }
                number::SOURCE => {
                    out.extend_from_slice(metadata.take().unwrap_or_default());
                    wire::put_bytes(&mut out, number::SOURCE, &self.source(field.bytes()?)?);
                }
                _ => out.extend_from_slice(field.raw),
            }
        }
        out.extend_from_slice(metadata.take().unwrap_or_default());
        Ok(out)
    }

    fn source(&self, source: &[u8]) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::with_capacity(source.len());
        for field in wire::fields(source) {
            let field = field?;
            if field.number == number::LOCATIONS {
                self.entry(&mut out, &field)?;
            } else {
                out.extend_from_slice(field.raw);
            }
        }
        Ok(out)
    }

    fn entry(&self, out: &mut Vec<u8>, field: &wire::Field<'_>) -> Result<(), WireError> {
        let entry = field.bytes()?;
        let (key, _) = map_entry(entry)?;
        match (self.key)(key) {
            Key::Solved if field.number == number::METADATA => {
                let without_mark =
                    |metadata: &[u8]| edit::replace(metadata, IGNORE_CACHE, &[]).map(Some);
                let entry = edit::map(entry, number::VALUE, without_mark)?;
                wire::put_bytes(out, field.number, &entry);
            }
            Key::Keep | Key::Solved => out.extend_from_slice(field.raw),
            Key::Drop => {}
            Key::Become(digest) => {
                let mut encoded = Vec::new();
                wire::put_text(&mut encoded, number::KEY, &digest.to_string());
                let entry = edit::replace(entry, number::KEY, &encoded)?;
                wire::put_bytes(out, field.number, &entry);
            }
        }
        Ok(())
    }
}
