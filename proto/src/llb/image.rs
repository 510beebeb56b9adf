//! An image by its name, as a source of a definition.

use bollard_buildkit_proto::pb;

use super::run::Platform;
use super::source;

/// The registry of names without one, and its folder for names without a slash.
const REGISTRY: &str = "docker.io";
const LIBRARY: &str = "library";
const TAG: &str = "latest";

/// An image (BuildKit `source/containerimage`).
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Its name as users write it.
    pub name: &'a str,
    /// Which of its platforms; the engine's own without one.
    pub platform: Option<&'a Platform>,
    /// What the client's progress shows.
    pub title: &'a str,
}

impl Image<'_> {
    /// The `pb.Definition` of the image's root file system.
    pub fn definition(&self) -> Vec<u8> {
        let source = pb::SourceOp {
            identifier: format!("docker-image://{}", reference(self.name)),
            ..pb::SourceOp::default()
        };
        source::definition(source, self.platform, self.title)
    }
}

/// A name with what engines take for granted (distribution `reference.ParseNormalizedNamed`): sources
/// are given with registry and tag.
fn reference(name: &str) -> String {
    let is_registry = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let full = match name.split_once('/') {
        Some((registry, _)) if is_registry(registry) => name.to_owned(),
        Some(_) => format!("{REGISTRY}/{name}"),
        None => format!("{REGISTRY}/{LIBRARY}/{name}"),
    };
    let last = full.rsplit('/').next().unwrap_or(&full);
    if last.contains([':', '@']) {
        full
    } else {
        format!("{full}:{TAG}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llb::{Base, Definition};

    #[test]
    fn names_are_completed_as_engines_do_it() {
        for (name, full) in [
            ("os", "docker.io/library/os:latest"),
            ("os:v1", "docker.io/library/os:v1"),
            ("me/os", "docker.io/me/os:latest"),
            ("example.com/os", "example.com/os:latest"),
            ("localhost:5000/me/os", "localhost:5000/me/os:latest"),
            ("localhost/os:v1", "localhost/os:v1"),
            ("os@sha256:0", "docker.io/library/os@sha256:0"),
        ] {
            assert_eq!(reference(name), full);
        }
    }

    #[test]
    fn the_definition_is_the_image() {
        let platform = Platform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
            variant: String::new(),
        };
        let image = Image {
            name: "os",
            platform: Some(&platform),
            title: "[internal] load os",
        };
        let definition = Definition::parse(&image.definition()).unwrap();
        let identifier = "docker-image://docker.io/library/os:latest".to_owned();
        assert_eq!(definition.lineage().base, Base::Image { identifier });
    }
}
