//! A file of a folder that the client shares with the build, as a source of a definition.

use bollard_buildkit_proto::pb;
use serde_json::json;

use super::source;

/// A file of a folder on the client's side (BuildKit `source/local`).
#[derive(Clone, Copy, Debug)]
pub struct LocalFile<'a> {
    /// The name that the client shares the folder under, such as `context`.
    pub folder: &'a str,
    /// The client's session.
    pub session: &'a str,
    /// The file's path in the folder; links on the way are followed.
    pub path: &'a str,
    /// What the client's progress shows.
    pub title: &'a str,
}

impl LocalFile<'_> {
    /// The `pb.Definition` of a root that holds the file, or is empty where the client has none.
    pub fn definition(&self) -> Vec<u8> {
        let attrs = [
            ("local.followpaths", json!([self.path]).to_string()),
            ("local.session", self.session.to_owned()),
            // A file of its own: what the engine keeps of the folder for others stays as it is.
            ("local.sharedkeyhint", format!("osderive:{}", self.path)),
        ];
        let source = pb::SourceOp {
            identifier: format!("local://{}", self.folder),
            attrs: attrs.map(|(key, value)| (key.to_owned(), value)).into(),
        };
        source::definition(source, None, self.title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llb::{Definition, Digest};

    #[test]
    fn the_definition_is_one_source() {
        let file = LocalFile {
            folder: "context",
            session: "s",
            path: "dir/osderive.ids",
            title: "[internal] load osderive.ids",
        };
        let definition = Definition::parse(&file.definition()).unwrap();
        let output = definition.output().unwrap();
        let digests: Vec<Digest> = definition.digests().collect();
        assert_eq!((digests.len(), digests[0]), (2, output.digest));
    }
}
