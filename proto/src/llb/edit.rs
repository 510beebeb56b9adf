//! Edits of one protobuf message that leave every other byte as it is.
//! A field that is new goes where Go's marshaller would put it, because `BuildKit` 0.18 and later
//! marshal every op again and look its metadata up by the digest of the result.

use super::wire::{self, Field, WireError};

/// Rewrites each length-delimited field `number` for which `edit` returns other bytes.
///
/// # Errors
/// When `message` or one of the fields is not what it should be, or `edit` fails.
pub(super) fn map(
    message: &[u8],
    number: u32,
    mut edit: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, WireError>,
) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(message.len());
    for field in wire::fields(message) {
        let field = field?;
        let edited = if field.number == number {
            edit(field.bytes()?)?
        } else {
            None
        };
        match edited {
            Some(value) => wire::put_bytes(&mut out, number, &value),
            None => out.extend_from_slice(field.raw),
        }
    }
    Ok(out)
}

/// Puts `encoded`, whole fields numbered `number`, in the place of all that have this number.
pub(super) fn replace(message: &[u8], number: u32, encoded: &[u8]) -> Result<Vec<u8>, WireError> {
    let fields = collect(message)?;
    let place = fields
        .iter()
        .position(|field| field.number == number)
        .unwrap_or_else(|| place_of(&fields, number));
    Ok(join(&fields, place, encoded, |field| {
        field.number != number
    }))
}

/// Puts `encoded`, whole fields numbered `number`, behind the last that has this number.
pub(super) fn append(message: &[u8], number: u32, encoded: &[u8]) -> Result<Vec<u8>, WireError> {
    let fields = collect(message)?;
    let place = fields
        .iter()
        .rposition(|field| field.number == number)
        .map_or_else(|| place_of(&fields, number), |last| last + 1);
    Ok(join(&fields, place, encoded, |_| true))
}

fn collect(message: &[u8]) -> Result<Vec<Field<'_>>, WireError> {
    wire::fields(message).collect()
}

/// Where Go puts a field that is not there yet: before the first with a higher number. Members of a
/// oneof come last whatever their number, but none of the fields that are spliced is one.
fn place_of(fields: &[Field<'_>], number: u32) -> usize {
    fields
        .iter()
        .position(|field| field.number > number)
        .unwrap_or(fields.len())
}

fn join(
    fields: &[Field<'_>],
    place: usize,
    encoded: &[u8],
    keep: impl Fn(&Field<'_>) -> bool,
) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        if index == place {
            out.extend_from_slice(encoded);
        }
        if keep(field) {
            out.extend_from_slice(field.raw);
        }
    }
    if place >= fields.len() {
        out.extend_from_slice(encoded);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(u32, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, value) in fields {
            wire::put_bytes(&mut out, *number, value.as_bytes());
        }
        out
    }

    #[test]
    fn a_replaced_field_stays_in_its_place() {
        let before = message(&[(1, "a"), (1, "b"), (3, "c"), (99, "kept")]);
        let after = replace(&before, 1, &message(&[(1, "x")])).expect("a message");
        assert_eq!(after, message(&[(1, "x"), (3, "c"), (99, "kept")]));
    }

    #[test]
    fn a_new_field_goes_before_the_first_with_a_higher_number() {
        let before = message(&[(1, "a"), (3, "c"), (99, "kept")]);
        let after = replace(&before, 4, &message(&[(4, "u")])).expect("a message");
        assert_eq!(
            after,
            message(&[(1, "a"), (3, "c"), (4, "u"), (99, "kept")])
        );
        let first = append(
            &message(&[(10, "p"), (2, "oneof")]),
            1,
            &message(&[(1, "i")]),
        );
        assert_eq!(
            first.expect("a message"),
            message(&[(1, "i"), (10, "p"), (2, "oneof")])
        );
    }

    #[test]
    fn an_appended_field_follows_its_like() {
        let before = message(&[(1, "a"), (10, "p"), (2, "oneof")]);
        let after = append(&before, 1, &message(&[(1, "b")])).expect("a message");
        assert_eq!(
            after,
            message(&[(1, "a"), (1, "b"), (10, "p"), (2, "oneof")])
        );
        assert_eq!(
            append(&[], 1, &message(&[(1, "b")])),
            Ok(message(&[(1, "b")]))
        );
    }

    #[test]
    fn a_map_changes_only_what_it_is_told_to() {
        let before = message(&[(1, "a"), (2, "a"), (1, "b")]);
        let after = map(&before, 1, |value| {
            Ok((value == b"a").then(|| b"long".to_vec()))
        });
        assert_eq!(after, Ok(message(&[(1, "long"), (2, "a"), (1, "b")])));
    }
}
