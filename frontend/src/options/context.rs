//! Small files of the build context, which are read beside the Dockerfile.

use std::collections::BTreeMap;

use osderive_proto::gateway::{BuildError, Gateway, SolveRequest};
use osderive_proto::llb::LocalFile;

use crate::facts::result::single_ref;
use crate::options::environment::{Options, SESSION};

/// The name of the main context among the inputs, and of the folder that the client shares
/// (BuildKit `frontend/dockerui/config.go`); the option of this name says that it is elsewhere.
const CONTEXT: &str = "context";
/// The option that gives the folder another name.
const CONTEXT_KEY: &str = "contextkey";

/// The build context.
pub(crate) struct Context<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) options: &'a Options,
    pub(crate) inputs: &'a BTreeMap<String, Vec<u8>>,
}

/// Why a file of the context could not be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The context is no folder but what this says, such as a git URL.
    Elsewhere(String),
    /// The engine could not.
    Failed(BuildError),
}

impl Context<'_> {
    /// The first `limit` bytes of a file; none where there is none. `what` it is, is shown.
    pub(crate) async fn file(
        &self,
        path: &str,
        limit: usize,
        what: &str,
    ) -> Result<Option<Vec<u8>>, Unread> {
        let definition = match self.inputs.get(CONTEXT) {
            Some(input) => input.clone(),
            None => shared_by_client(self.options, path, what).map_err(Unread::Elsewhere)?,
        };
        let request = SolveRequest {
            definition: Some(definition),
            ..SolveRequest::default()
        };
        let reference = self.gateway.solve(request).await.and_then(single_ref);
        let id = reference.map_err(Unread::Failed)?.id;
        let found = self.gateway.find_file(&id, path, limit).await;
        found.map_err(Unread::Failed)
    }
}

/// The definition of a file in the folder that the client shares as the build context; where the context
/// is if it is no folder.
fn shared_by_client(options: &Options, path: &str, what: &str) -> Result<Vec<u8>, String> {
    let option = |name: &str| options.delegated.get(name).map(String::as_str);
    let folder = option(CONTEXT_KEY).unwrap_or(CONTEXT);
    if let Some(place) = option(folder).filter(|place| !place.is_empty()) {
        return Err(place.to_owned());
    }
    let file = LocalFile {
        folder,
        session: &std::env::var(SESSION).unwrap_or_default(),
        path,
        title: &format!("[internal] load {what}"),
    };
    Ok(file.definition())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(delegated: &[(&str, &str)]) -> Result<Vec<u8>, String> {
        let delegated = delegated
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let options = Options {
            delegated: delegated.collect(),
            ..Options::default()
        };
        shared_by_client(&options, "osderive.ids", "the id ledger")
    }

    #[test]
    fn a_context_that_is_no_folder_is_named() {
        let remote = [("context", "https://example.com/os.git#main")];
        let place = definition(&remote).unwrap_err();
        assert_eq!(place, "https://example.com/os.git#main");
    }

    #[test]
    fn the_folder_may_have_another_name() {
        assert_eq!(
            definition(&[]),
            definition(&[("contextkey", "context"), ("context", "")])
        );
        assert_ne!(definition(&[]), definition(&[("contextkey", "other")]));
    }
}
