//! What the engine tells of an image in its store.

use std::ffi::OsString;

use osderive_lints::ImageConfig;
use serde_json::{Value, json};

use crate::arguments::{Arguments, Engine};
use crate::engine;
use crate::error::Error;

/// Options of a build that say how its images are fetched, and are those of `pull` as well (podman-pull(1),
/// buildah-pull(1)).
const OF_PULL: [&str; 10] = [
    "arch",
    "authfile",
    "cert-dir",
    "creds",
    "decryption-key",
    "os",
    "platform",
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

/// The configuration of the image that a build is upon, which is fetched if it is not in the store.
///
/// # Errors
/// When there is no such image.
pub(crate) fn base_config(arguments: &Arguments, image: &str) -> Result<ImageConfig, Error> {
    let found = config(arguments, image).or_else(|| {
        let mut pull = arguments.global();
        pull.extend(["pull".into(), "--quiet".into()]);
        pull.extend(arguments.written(&OF_PULL));
        pull.push(image.into());
        let is_there = engine::quietly(arguments.engine, &pull).ok()?;
        is_there.then(|| config(arguments, image))?
    });
    found.ok_or_else(|| Error::NoBase(image.to_owned()))
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
