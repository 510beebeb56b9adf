//! What the engine tells of an image in its store.

use std::ffi::OsString;
use std::fs;

use osderive_lints::ImageConfig;
use serde_json::{Value, json};

use crate::arguments::{Arguments, Engine};
use crate::engine;
use crate::error::Error;

/// Options of a build that say which images it is made from, and how they are fetched.
const OF_FROM: [&str; 14] = [
    "arch",
    "authfile",
    "build-context",
    "cert-dir",
    "creds",
    "decryption-key",
    "os",
    "platform",
    "pull",
    "pull-always",
    "pull-never",
    "retry",
    "tls-verify",
    "variant",
];

/// An image's configuration, with its history.
pub(crate) fn config(arguments: &Arguments, image: &str) -> Option<ImageConfig> {
    let mut json = inspected(arguments, image)?;
    let (config, history) = match arguments.engine {
        Engine::Podman => ("/0/Config", "/0/History"),
        Engine::Buildah => ("/OCIv1/config", "/OCIv1/history"),
    };
    let mut part = |pointer| json.pointer_mut(pointer).map(Value::take);
    let whole = json!({ "config": part(config), "history": part(history) });
    serde_json::from_value(whole).ok()
}

/// The id of an image as a build from it would have it: of the platform that is built for, and fetched by the same
/// options. A build of nothing but a FROM is that image (buildah `imagebuildah/stage_executor.go`, `Execute`).
pub(crate) fn resolved(arguments: &Arguments, image: &str) -> Option<String> {
    let folder = tempfile::Builder::new()
        .prefix("osderive-")
        .tempdir()
        .ok()?;
    let (file, id) = (
        folder.path().join("Containerfile"),
        folder.path().join("image"),
    );
    fs::write(&file, format!("FROM {image}\n")).ok()?;
    let mut build = arguments.global();
    build.extend(["build".into(), "--quiet".into()]);
    build.extend(arguments.written(&OF_FROM));
    build.extend([
        "--file".into(),
        file.into(),
        "--iidfile".into(),
        id.clone().into(),
    ]);
    build.push(folder.path().into());
    let is_there = engine::quietly(arguments.engine, &build).ok()?;
    let id = fs::read_to_string(id).ok().filter(|_| is_there)?;
    Some(id.trim().to_owned())
}

/// The configuration of the image that a build is upon, which is fetched if it is not in the store. A build context of
/// that name counts as the image that it is; where it is none, nothing is known.
///
/// # Errors
/// When there is no such image.
pub(crate) fn base_config(arguments: &Arguments, image: &str) -> Result<ImageConfig, Error> {
    let context = arguments.build_context(image);
    let image = match context.as_deref().map(image_of_context) {
        Some(None) => return Ok(ImageConfig::default()),
        Some(Some(image)) => image,
        None => image,
    };
    // That of another platform may have the same name.
    let has_platform = ["platform", "os", "arch", "variant"]
        .iter()
        .any(|name| arguments.value(name).is_some());
    let known = (!has_platform).then(|| config(arguments, image)).flatten();
    let found = known.or_else(|| config(arguments, &resolved(arguments, image)?));
    found.ok_or_else(|| Error::NoBase(image.to_owned()))
}

/// The image that a build context is (podman-build(1), `--build-context`).
fn image_of_context(source: &str) -> Option<&str> {
    let mut schemes = ["docker-image://", "container-image://", "docker://"].into_iter();
    schemes.find_map(|scheme| source.strip_prefix(scheme))
}

fn inspected(arguments: &Arguments, image: &str) -> Option<Value> {
    let mut inspect = arguments.global();
    let words: &[&str] = match arguments.engine {
        Engine::Podman => &["image", "inspect"],
        Engine::Buildah => &["inspect", "--type", "image"],
    };
    inspect.extend(words.iter().map(OsString::from));
    inspect.push(image.into());
    serde_json::from_str(&engine::output(arguments.engine, &inspect)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_context_may_be_an_image() {
        let line =
            "build --build-context os=docker-image://quay.io/os:1 --build-context=tree=/srv .";
        let words = line.split(' ').map(OsString::from).collect();
        let arguments = Arguments::read(Engine::Podman, words).expect("a build");
        let image = |name| {
            let context = arguments.build_context(name)?;
            Some(image_of_context(&context).map(str::to_owned))
        };
        assert_eq!(image("os"), Some(Some("quay.io/os:1".to_owned())));
        assert_eq!(image("tree"), Some(None));
        assert_eq!(image("other"), None);
        // Nobody is asked for it.
        let config = base_config(&arguments, "tree").expect("a configuration");
        assert_eq!(config, ImageConfig::default());
    }
}
