//! What the engine answers to a request: refs, the definitions behind them, and the image configs.

use osderive_proto::gateway::{BuildError, Ref, Refs, SolveResult};
use osderive_proto::llb::{Definition, LlbError};

/// Where a result keeps the image config; a multi-platform result appends `/PLATFORM`.
const IMAGE_CONFIG: &str = "containerimage.config";

/// The refs of the final images and the platform of each, which a single-platform result omits.
pub(crate) fn final_refs(result: &SolveResult) -> Vec<(Option<&str>, &Ref)> {
    match &result.refs {
        Some(Refs::Single(single)) => vec![(None, single)],
        Some(Refs::Many(many)) => {
            let refs = many.refs.iter();
            refs.map(|(platform, reference)| (Some(platform.as_str()), reference))
                .collect()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn config_key(platform: Option<&str>) -> String {
    match platform {
        None => IMAGE_CONFIG.to_owned(),
        Some(platform) => format!("{IMAGE_CONFIG}/{platform}"),
    }
}

/// The definition behind a ref; none for an empty image.
pub(crate) fn definition(reference: &Ref) -> Result<Option<Definition>, BuildError> {
    if reference.id.is_empty() {
        return Ok(None);
    }
    let bytes = reference.def.as_deref().ok_or_else(|| {
        BuildError::new(
            "osderive: the engine does not hand out what the Dockerfile frontend made; osderive needs Docker 24 or BuildKit 0.11, or newer",
        )
    })?;
    let definition = Definition::parse(bytes).map_err(|error: LlbError| {
        BuildError::new(format!(
            "osderive: cannot read the build that the Dockerfile frontend made: {error}"
        ))
    })?;
    Ok(Some(definition))
}

/// The one ref that a solved definition gives.
pub(crate) fn single_ref(result: SolveResult) -> Result<Ref, BuildError> {
    match result.refs {
        Some(Refs::Single(reference)) => Ok(reference),
        Some(Refs::SingleDeprecated(id)) => Ok(Ref { id, def: None }),
        _ => Err(BuildError::new(
            "osderive: the engine solved one definition and did not return one result",
        )),
    }
}
