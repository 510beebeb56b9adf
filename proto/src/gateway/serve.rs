//! One session from hello to answer. The engine must get exactly one answer: without it, users
//! see only "frontend grpc server closed unexpectedly", so a panic becomes an error too.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::client::Gateway;
use super::messages::SolveResult;
use super::status::BuildError;
use super::transport::{TransportError, connect, stdio};

/// How long an engine may take to say hello, as in BuildKit `grpcclient/client.go`.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);

/// Why no answer could be given.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no session.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The engine says nothing.
    #[error("the engine did not answer within {} seconds", HELLO_TIMEOUT.as_secs())]
    Silent,
    /// The session broke before the answer.
    #[error("the engine broke off: {0}")]
    BrokenOff(#[from] BuildError),
}

/// Connects to the engine over stdin and stdout, runs `build` and answers with what it returns.
///
/// The process should then exit with 0, also when the answer is an error: another exit code would
/// override the answer (BuildKit `frontend/gateway/gateway.go`).
///
/// # Errors
/// When there is no engine at the other end, or it broke off before the answer.
pub async fn serve<F, B>(build: F) -> Result<(), ServeError>
where
    F: FnOnce(Gateway) -> B,
    B: Future<Output = Result<SolveResult, BuildError>> + Send + 'static,
{
    serve_over(stdio().map_err(TransportError::from)?, build).await
}

/// As [`serve`], over another stream.
///
/// # Errors
/// As [`serve`].
pub async fn serve_over<F, B>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    build: F,
) -> Result<(), ServeError>
where
    F: FnOnce(Gateway) -> B,
    B: Future<Output = Result<SolveResult, BuildError>> + Send + 'static,
{
    let hello = async { Ok(Gateway::open(connect(stream).await?).await?) };
    let gateway = tokio::time::timeout(HELLO_TIMEOUT, hello)
        .await
        .unwrap_or(Err(ServeError::Silent))?;
    let outcome = tokio::spawn(build(gateway.clone()))
        .await
        .unwrap_or_else(|error| Err(BuildError::new(crash_message(error))));
    Ok(gateway.answer(outcome).await?)
}

fn crash_message(error: tokio::task::JoinError) -> String {
    let cause = match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message")
            .to_owned(),
        Err(error) => error.to_string(),
    };
    format!("osderive's frontend crashed, which is a bug in osderive: {cause}")
}
