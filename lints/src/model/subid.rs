//! Subordinate ids as /etc/subuid and /etc/subgid have them (subuid(5)).

use super::{fields, id, number, records};

/// A range of ids that a user may map in user namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// A login name or a user id as text.
    pub owner: &'a [u8],
    /// The first id.
    pub start: u32,
    /// How many.
    pub count: u32,
    /// The line that the range stands in, from 1.
    pub line: u32,
}

/// The ranges of a subuid or subgid file, in its order.
pub fn ranges(file: &[u8]) -> impl Iterator<Item = Range<'_>> {
    records(file).filter_map(|(line, record)| {
        let [owner, start, count] = fields(record);
        Some(Range {
            owner,
            start: id(start)?,
            count: number(count)?,
            line,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    #[test]
    fn ranges_are_read() {
        let found: Vec<Range> = ranges(b"web:100000:65536\nodd:x:1\n1000:165536:65536").collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].start, found[0].count), (100_000, 65_536));
        assert_eq!((found[1].owner, found[1].line), (&b"1000"[..], 3));
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            let _ = ranges(&file).count();
        }
    }
}
