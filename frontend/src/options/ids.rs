//! The id ledger: a file of the build context that says which account has which id. Each committed
//! step gets its lines as an argument, so that a step runs again when the ledger changes.

use osderive_lints::model::ledger::{Ledger, LedgerError};
use osderive_proto::gateway::{BuildError, SourceSnippet};
use osderive_proto::pb;

use crate::facts::location::in_file;
use crate::options::context::{Context, Unread};

/// A ledger above this size in bytes is refused: it is an argument of each step, and the kernel takes
/// 128 KiB (`MAX_ARG_STRLEN`).
const MAX_BYTES: usize = 100_000;

/// Reads the ledger that the options name; none when they name none.
///
/// # Errors
/// When it cannot be read, or when a line makes no sense; the line is pointed at.
pub(crate) async fn read(context: &Context<'_>) -> Result<Option<Ledger>, BuildError> {
    let Some(path) = context.options.asked.ids.as_deref() else {
        return Ok(None);
    };
    let what = format!("the id ledger {path}");
    let unread =
        |reason: &str| format!("osderive: cannot read {what} from the build context: {reason}");
    let file = match context.file(path, MAX_BYTES + 1, &what).await {
        Ok(Some(file)) => file,
        Ok(None) => return Err(BuildError::new(unread("there is no such file"))),
        Err(Unread::Elsewhere(place)) => {
            return Err(BuildError::new(format!(
                "osderive: {what} cannot be read from the build context {place}, only from a folder: check it out and build that"
            )));
        }
        Err(Unread::Failed(error)) => return Err(error.map_message(unread)),
    };
    if file.len() > MAX_BYTES {
        return Err(BuildError::new(format!(
            "osderive: {what} has more than {MAX_BYTES} bytes"
        )));
    }
    match Ledger::parse(&file) {
        Ok(ledger) => Ok(Some(ledger)),
        Err(error) => Err(mistake(path, file, &error)),
    }
}

/// A mistake with the line of the ledger below it, as clients show it.
fn mistake(path: &str, file: Vec<u8>, error: &LedgerError) -> BuildError {
    let info = pb::SourceInfo {
        filename: path.to_owned(),
        data: file,
        ..pb::SourceInfo::default()
    };
    let location = in_file(&info, (error.line, error.line));
    BuildError::new(format!(
        "osderive: {path}:{}: {}",
        error.line, error.message
    ))
    .at(SourceSnippet::from(&location))
}
