//! Is this image meant to boot? The image config's labels say so, its own or inherited from the
//! base; where there is no base image, only the rootfs can tell, inside the exec.

use osderive_proto::llb::Base;
use serde::Deserialize;

use crate::options::Bootable;

/// The labels whose presence makes clients deploy an image as an operating system
/// (`ostree-rs-ext` `container/store.rs`, `require_bootable`: it looks at the keys only).
const BOOTABLE_LABELS: [&str; 2] = ["containers.bootc", "ostree.bootable"];

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

/// Decides from the user's option, the image's config and what the image is built on.
///
/// # Errors
/// When the config is no JSON of an image config.
pub(crate) fn decide(
    option: Bootable,
    config: Option<&[u8]>,
    base: &Base,
) -> Result<Decision, serde_json::Error> {
    match option {
        Bootable::Off => return Ok(Decision::LeaveAlone),
        Bootable::On => return Ok(Decision::Commit),
        Bootable::Auto => {}
    }
    if config
        .map(is_labelled_bootable)
        .transpose()?
        .unwrap_or(false)
    {
        return Ok(Decision::Commit);
    }
    Ok(match base {
        Base::Image { .. } => Decision::LeaveAlone,
        _ => Decision::Detect,
    })
}

fn is_labelled_bootable(config: &[u8]) -> Result<bool, serde_json::Error> {
    #[derive(Deserialize)]
    struct Image {
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "Labels")]
        labels: Option<serde_json::Map<String, serde_json::Value>>,
    }
    let image: Image = serde_json::from_slice(config)?;
    let labels = image
        .config
        .and_then(|config| config.labels)
        .unwrap_or_default();
    Ok(BOOTABLE_LABELS
        .iter()
        .any(|label| labels.contains_key(*label)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTC: &[u8] = br#"{"config":{"Labels":{"containers.bootc":"1"}}}"#;
    const PLAIN: &[u8] = br#"{"config":{"Labels":{"maintainer":"x"},"Healthcheck":{}}}"#;

    fn image() -> Base {
        Base::Image {
            identifier: "docker-image://docker.io/library/debian:trixie".to_owned(),
        }
    }

    #[test]
    fn a_label_of_the_base_or_the_result_is_enough() {
        let decision = decide(Bootable::Auto, Some(BOOTC), &image()).unwrap();
        assert_eq!(decision, Decision::Commit);
        let ostree = br#"{"config":{"Labels":{"ostree.bootable":"true"}}}"#;
        let decision = decide(Bootable::Auto, Some(ostree), &Base::Scratch).unwrap();
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
    fn without_a_base_image_the_rootfs_decides() {
        let decision = decide(Bootable::Auto, Some(PLAIN), &Base::Scratch).unwrap();
        assert_eq!(decision, Decision::Detect);
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
