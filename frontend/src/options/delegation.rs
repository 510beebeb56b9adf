//! The build as it is delegated: to the engine's Dockerfile frontend, or to one that the user chose.

use std::collections::BTreeMap;

use osderive_proto::gateway::{BuildError, CacheOptionsEntry, SolveRequest};

use crate::options::environment::Options;

/// The caches to look steps up in, as requests name them.
///
/// # Errors
/// When the engine's option for them is no list of caches.
pub(crate) fn cache_imports(options: &Options) -> Result<Vec<CacheOptionsEntry>, BuildError> {
    let imports = options
        .cache_imports()
        .map_err(|error| BuildError::new(error.to_string()))?;
    let entries = imports.into_iter().map(|import| CacheOptionsEntry {
        r#type: import.kind,
        attrs: import.attrs.into_iter().collect(),
    });
    Ok(entries.collect())
}

/// The request that has the engine's Dockerfile frontend, or the image that the user chose, make
/// the LLB. Nothing is built yet.
pub(crate) fn delegation(
    options: &Options,
    cache_imports: Vec<CacheOptionsEntry>,
    frontend_inputs: BTreeMap<String, Vec<u8>>,
) -> SolveRequest {
    let mut frontend_opt = options.delegated.clone();
    let frontend = match &options.asked.dockerfile_frontend {
        None => "dockerfile.v0",
        Some(image) => {
            frontend_opt.insert("source".to_owned(), image.clone());
            frontend_opt.insert("cmdline".to_owned(), image.clone());
            "gateway.v0"
        }
    };
    SolveRequest {
        frontend: frontend.to_owned(),
        frontend_opt,
        frontend_inputs,
        cache_imports,
        ..SolveRequest::default()
    }
}
