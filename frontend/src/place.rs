//! Lines of files that people write, as the engine takes them.

use osderive_proto::llb::SourceLocation;
use osderive_proto::pb;

/// Lines from and to, counted from 1.
pub(crate) fn in_file(info: &pb::SourceInfo, (start, end): (u32, u32)) -> SourceLocation {
    let position = |line: u32| {
        Some(pb::Position {
            line: i32::try_from(line).unwrap_or(i32::MAX),
            character: 0,
        })
    };
    let range = pb::Range {
        start: position(start),
        end: position(end),
    };
    SourceLocation {
        info: info.clone(),
        ranges: vec![range],
    }
}
