//! The protobuf wire format: fields read as borrowed slices and written byte by byte.
//! Every field keeps the bytes it came in, so that what is not understood can be copied as it is.

use thiserror::Error;

/// Bytes that are not a protobuf message, and where they stop being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{fault} at byte {at}")]
pub struct WireError {
    /// The offset of the field that cannot be read, in bytes from the start of its message.
    pub at: usize,
    /// What is wrong with it.
    pub fault: WireFault,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireFault {
    /// The bytes end within a field.
    #[error("truncated field")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("varint too long")]
    VarintTooLong,
    /// Field number 0, or one above 2^29 - 1.
    #[error("invalid field number")]
    FieldNumber,
    /// A group, deprecated and unused by `BuildKit`, or a wire type that does not exist.
    #[error("unsupported wire type")]
    WireType,
    /// A field that should hold bytes, a string or a message and does not.
    #[error("expected a length-delimited field")]
    NotBytes,
    /// A string that is not UTF-8.
    #[error("expected UTF-8 text")]
    NotText,
}

/// The value of a field; fixed-width numbers occur nowhere in LLB and are only copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint,
    Fixed,
    Bytes(&'a [u8]),
}

/// One field of a message, with the bytes it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
    /// Tag and value.
    pub(super) raw: &'a [u8],
    /// The offset of `raw` in its message.
    pub(super) at: usize,
}

impl<'a> Field<'a> {
    /// The value, for a field that must be length-delimited.
    pub(super) fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint | Value::Fixed => Err(self.fault(WireFault::NotBytes)),
        }
    }

    /// The value, for a field that must be a string.
    pub(super) fn text(&self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.fault(WireFault::NotText))
    }

    /// Where the value of a length-delimited field starts in its message.
    pub(super) fn value_at(&self) -> usize {
        let end = self.at + self.raw.len();
        match self.value {
            Value::Bytes(bytes) => end - bytes.len(),
            Value::Varint | Value::Fixed => end,
        }
    }

    fn fault(&self, fault: WireFault) -> WireError {
        WireError { at: self.at, fault }
    }
}

/// The fields of `message` in their order, up to the first that cannot be read.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { message, at: 0 }
}

/// See [`fields`].
pub(super) struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.message.len() {
            return None;
        }
        let at = self.at;
        let field = read_field(self.message, at).map_err(|fault| WireError { at, fault });
        self.at = match &field {
            Ok(field) => at + field.raw.len(),
            Err(_) => self.message.len(),
        };
        Some(field)
    }
}

fn read_field(message: &[u8], at: usize) -> Result<Field<'_>, WireFault> {
    let (tag, start) = read_varint(message, at)?;
    let number = u32::try_from(tag >> 3).map_err(|_| WireFault::FieldNumber)?;
    if number == 0 || number >= 1 << 29 {
        return Err(WireFault::FieldNumber);
    }
    let (value, end) = match tag & 7 {
        0 => (Value::Varint, read_varint(message, start)?.1),
        1 => (Value::Fixed, advance(message, start, 8)?),
        5 => (Value::Fixed, advance(message, start, 4)?),
        2 => {
            let (length, start) = read_varint(message, start)?;
            let end = advance(message, start, length)?;
            (Value::Bytes(&message[start..end]), end)
        }
        _ => return Err(WireFault::WireType),
    };
    Ok(Field {
        number,
        value,
        raw: &message[at..end],
        at,
    })
}

fn advance(message: &[u8], start: usize, length: u64) -> Result<usize, WireFault> {
    usize::try_from(length)
        .ok()
        .and_then(|length| start.checked_add(length))
        .filter(|end| *end <= message.len())
        .ok_or(WireFault::Truncated)
}

/// The varint at `at` and the offset behind it.
fn read_varint(message: &[u8], at: usize) -> Result<(u64, usize), WireFault> {
    let mut value = 0;
    for (count, byte) in message[at..].iter().enumerate() {
        let bits = u64::from(byte & 0x7f);
        if count == 9 && *byte > 1 {
            return Err(WireFault::VarintTooLong);
        }
        value |= bits << (7 * count);
        if byte & 0x80 == 0 {
            return Ok((value, at + count + 1));
        }
    }
    Err(WireFault::Truncated)
}

/// Appends `value` as a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a length-delimited field.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends an `int64` field, or nothing for 0, as proto3 leaves out defaults.
pub(super) fn put_int(out: &mut Vec<u8>, number: u32, value: i64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, value.cast_unsigned());
    }
}

/// Appends a string field, or nothing for an empty one.
pub(super) fn put_text(out: &mut Vec<u8>, number: u32, value: &str) {
    if !value.is_empty() {
        put_bytes(out, number, value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault_of(message: &[u8]) -> WireFault {
        fields(message)
            .find_map(Result::err)
            .expect("a fault")
            .fault
    }

    #[test]
    fn minus_one_takes_ten_bytes_as_in_go() {
        let mut out = Vec::new();
        put_int(&mut out, 1, -1);
        assert_eq!(out, [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[test]
    fn what_is_not_a_message_is_named() {
        assert_eq!(fault_of(&[0x08]), WireFault::Truncated);
        assert_eq!(fault_of(&[0x08, 0x80]), WireFault::Truncated);
        assert_eq!(fault_of(&[0x0a, 5, 1]), WireFault::Truncated);
        assert_eq!(fault_of(&[0x0d, 1, 2, 3]), WireFault::Truncated);
        assert_eq!(fault_of(&[0x09, 1, 2, 3]), WireFault::Truncated);
        assert_eq!(fault_of(&[0x02, 0]), WireFault::FieldNumber);
        assert_eq!(fault_of(&[0x0b, 0x0c]), WireFault::WireType);
        assert_eq!(fault_of(&[0x0e]), WireFault::WireType);
        assert_eq!(fault_of(&[0xff; 11]), WireFault::VarintTooLong);
        let sixty_five_bits = [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2];
        assert_eq!(fault_of(&sixty_five_bits), WireFault::VarintTooLong);
        let mut huge = vec![0x0a];
        put_varint(&mut huge, u64::MAX);
        assert_eq!(fault_of(&huge), WireFault::Truncated);
    }

    proptest! {
        #[test]
        fn the_raw_fields_put_together_are_the_message(
            message in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut copy = Vec::new();
            for field in fields(&message).map_while(Result::ok) {
                prop_assert_eq!(copy.len(), field.at);
                copy.extend_from_slice(field.raw);
            }
            prop_assert!(message.starts_with(&copy));
        }

        #[test]
        fn a_varint_reads_as_written(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(read_varint(&out, 0), Ok((value, out.len())));
        }
    }
}
