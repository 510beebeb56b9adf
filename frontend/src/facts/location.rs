//! Lines of files that people write, as the engine takes them.

use osderive_proto::llb::{Definition, Lineage, SourceLocation};
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

/// The lines of a location, from and to.
pub(crate) fn lines(location: &SourceLocation) -> Option<(u32, u32)> {
    let lines = location
        .ranges
        .iter()
        .flat_map(|range| [range.start, range.end]);
    let lines = lines
        .flatten()
        .filter_map(|position| u32::try_from(position.line).ok());
    Some((lines.clone().min()?, lines.max()?))
}

/// The first line of a location, from 1.
pub(crate) fn first_line(location: &SourceLocation) -> Option<i32> {
    Some(location.ranges.first()?.start?.line)
}

/// The Containerfile, at some op of the image.
pub(crate) fn containerfile(definition: &Definition, lineage: &Lineage) -> Option<SourceLocation> {
    let steps = lineage.steps.iter().rev();
    let mut located = steps.filter_map(|step| definition.source_location(&step.digest));
    located.next()
}
