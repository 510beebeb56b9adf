//! Where in the user's build file an op comes from, for warnings and errors that point there.
//! The file's name and text are part of the definition, so nothing has to be read again.

use bollard_buildkit_proto::pb;
use prost::Message;

use super::definition::Definition;
use super::digest::Digest;

/// A place in a build file, in the messages that `Warn` of the gateway API takes.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceLocation {
    /// The file: its name, language and text.
    pub info: pb::SourceInfo,
    /// Lines count from 1, characters from 0.
    pub ranges: Vec<pb::Range>,
}

impl Definition {
    /// Where the op comes from. An op that several stages share has several places: this is the
    /// first whose file is known.
    pub fn source_location(&self, digest: &Digest) -> Option<SourceLocation> {
        let range = self.locations.get(digest)?;
        let found = pb::Locations::decode(&self.bytes[range.clone()]).ok()?;
        found.locations.into_iter().find_map(|location| {
            let info = usize::try_from(location.source_index).ok()?;
            let info = self.infos.get(info)?;
            Some(SourceLocation {
                info: pb::SourceInfo::decode(&self.bytes[info.clone()]).ok()?,
                ranges: location.ranges,
            })
        })
    }
}
