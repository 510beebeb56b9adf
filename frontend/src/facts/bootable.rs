//! Is this image meant to boot? The image config's labels say so, its own or inherited from the
//! base; where there is no base image, only the rootfs can tell, inside the exec.

use osderive_lints::policy::Bootable;
use osderive_lints::{ImageConfig, Ordinary};
use osderive_proto::llb::{Base, Lineage};

/// What begins the name of a source that is an image in a folder (BuildKit `source/types/types.go`).
const OCI_LAYOUT: &str = "oci-layout://";

/// What happens to the RUNs of a final image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing: the build is as without us.
    LeaveAlone,
    /// Each is committed.
    Commit,
    /// Each is committed if the rootfs turns out to be a bootable one.
    Detect,
}

impl Decision {
    /// What happens where something may be `missing` that a commit needs. An image that is known to be bootable
    /// cannot be built then; any other passes as it is.
    ///
    /// # Errors
    /// What is missing for an image that is to be committed.
    pub(crate) fn given<E>(self, missing: impl FnOnce() -> Option<E>) -> Result<Self, E> {
        match self {
            Self::LeaveAlone => Ok(self),
            Self::Commit => missing().map_or(Ok(self), Err),
            Self::Detect => Ok(missing().map_or(self, |_| Self::LeaveAlone)),
        }
    }

    /// What the tool is to do with a rootfs that is no bootable one.
    pub(crate) fn ordinary(self) -> Ordinary {
        match self {
            Self::Commit => Ordinary::Commit,
            Self::Detect | Self::LeaveAlone => Ordinary::Leave,
        }
    }
}

/// Decides from the user's option, the image's config and what the image is built on.
///
/// # Errors
/// When the config is no JSON of an image config.
pub(crate) fn decide(
    option: Bootable,
    config: Option<&[u8]>,
    lineage: &Lineage,
) -> Result<Decision, serde_json::Error> {
    match option {
        Bootable::Off => return Ok(Decision::LeaveAlone),
        Bootable::On => return Ok(Decision::Commit),
        Bootable::Auto => {}
    }
    let config: Option<ImageConfig> = config.map(serde_json::from_slice).transpose()?;
    if config.is_some_and(|config| config.is_bootable()) {
        return Ok(Decision::Commit);
    }
    Ok(match &lineage.base {
        // Its labels did not come with it.
        _ if lineage.is_flattened() => Decision::Detect,
        Base::Image { .. } => Decision::LeaveAlone,
        Base::Other { identifier } if identifier.starts_with(OCI_LAYOUT) => Decision::LeaveAlone,
        _ => Decision::Detect,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTC: &[u8] = br#"{"config":{"Labels":{"containers.bootc":"1"}}}"#;
    const PLAIN: &[u8] = br#"{"config":{"Labels":{"maintainer":"x"},"Healthcheck":{}}}"#;

    fn upon(base: Base) -> Lineage {
        Lineage {
            runs: Vec::new(),
            steps: Vec::new(),
            base,
            stopped: None,
            copied: 0,
        }
    }

    fn image() -> Lineage {
        upon(Base::Image {
            identifier: "docker-image://docker.io/library/debian:trixie".to_owned(),
        })
    }

    #[test]
    fn a_label_of_the_base_or_the_result_is_enough() {
        let decision = decide(Bootable::Auto, Some(BOOTC), &image()).unwrap();
        assert_eq!(decision, Decision::Commit);
        let ostree = br#"{"config":{"Labels":{"ostree.bootable":"true"}}}"#;
        let decision = decide(Bootable::Auto, Some(ostree), &upon(Base::Scratch)).unwrap();
        assert_eq!(decision, Decision::Commit);
    }

    #[test]
    fn an_image_base_without_a_label_is_left_alone() {
        for config in [
            Some(PLAIN),
            Some(br#"{"config":{"Labels":null}}"#.as_slice()),
            None,
        ] {
            let decision = decide(Bootable::Auto, config, &image()).unwrap();
            assert_eq!(decision, Decision::LeaveAlone);
        }
    }

    #[test]
    fn an_image_in_a_folder_is_an_image() {
        let base = upon(Base::Other {
            identifier: "oci-layout://osderive/base@sha256:0".to_owned(),
        });
        let decision = |config| decide(Bootable::Auto, Some(config), &base).unwrap();
        assert_eq!(decision(PLAIN), Decision::LeaveAlone);
        assert_eq!(decision(BOOTC), Decision::Commit);
    }

    #[test]
    fn without_a_base_image_the_rootfs_decides() {
        let folder = Base::Other {
            identifier: "local://root".to_owned(),
        };
        for base in [Base::Scratch, folder] {
            let decision = decide(Bootable::Auto, Some(PLAIN), &upon(base)).unwrap();
            assert_eq!(decision, Decision::Detect);
        }
    }

    #[test]
    fn where_a_stage_was_copied_whole_its_labels_are_not_known() {
        let flattened = Lineage {
            copied: 1,
            ..image()
        };
        let decision = |config| decide(Bootable::Auto, Some(config), &flattened).unwrap();
        assert_eq!(decision(PLAIN), Decision::Detect);
        assert_eq!(decision(BOOTC), Decision::Commit);
    }

    #[test]
    fn without_a_tool_only_what_is_known_to_be_bootable_fails() {
        let missing = |decision: Decision| decision.given(|| Some("no tool"));
        assert_eq!(missing(Decision::LeaveAlone), Ok(Decision::LeaveAlone));
        assert_eq!(missing(Decision::Detect), Ok(Decision::LeaveAlone));
        assert_eq!(missing(Decision::Commit), Err("no tool"));
        for decision in [Decision::LeaveAlone, Decision::Detect, Decision::Commit] {
            assert_eq!(decision.given(|| None::<&str>), Ok(decision));
        }
    }

    #[test]
    fn the_option_has_the_last_word() {
        assert_eq!(
            decide(Bootable::Off, Some(BOOTC), &image()).unwrap(),
            Decision::LeaveAlone
        );
        assert_eq!(
            decide(Bootable::On, Some(PLAIN), &image()).unwrap(),
            Decision::Commit
        );
    }
}
