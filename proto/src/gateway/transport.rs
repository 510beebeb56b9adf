//! HTTP/2 over stdin and stdout. `buildkitd` hands the frontend two pipes; anything else
//! (a socket, a file in a test) goes through tokio's threads for standard streams.

use std::io;
use std::os::fd::AsFd;
use std::sync::Mutex;

use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, Join, join};
use tokio::net::unix::pipe;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// The largest gRPC message in bytes, both ways: what containerd and with it BuildKit allow.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Why there is no session with an engine.
#[derive(Debug, Error)]
pub enum TransportError {
    /// Stdin or stdout could not be used.
    #[error("cannot talk to the engine over stdin and stdout: {0}")]
    Stdio(#[from] io::Error),
    /// There is no gRPC server at the other end.
    #[error("no BuildKit engine answers on stdin and stdout: {0}")]
    Connect(#[from] tonic::transport::Error),
}

/// What a session needs of a stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects over `stream`. A second connection attempt, as tonic makes after the first broke,
/// fails: there is one stream only.
pub(super) async fn connect(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Channel, TransportError> {
    let stream: Box<dyn Stream> = Box::new(stream);
    let once = Mutex::new(Some(TokioIo::new(stream)));
    let connector = service_fn(move |_| {
        let stream = once.lock().ok().and_then(|mut once| once.take());
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted)) }
    });
    let channel = Endpoint::from_static("http://buildkitd")
        .initial_stream_window_size(u32::try_from(MAX_MESSAGE_BYTES).ok())
        .initial_connection_window_size(u32::try_from(MAX_MESSAGE_BYTES).ok())
        .connect_with_connector(connector)
        .await?;
    Ok(channel)
}

/// The two ends that the engine gave this process.
pub(super) fn stdio() -> io::Result<Box<dyn Stream>> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let pipes: io::Result<Join<_, _>> = (|| {
        Ok(join(
            pipe::Receiver::from_owned_fd(stdin)?,
            pipe::Sender::from_owned_fd(stdout)?,
        ))
    })();
    Ok(match pipes {
        Ok(pipes) => Box::new(pipes),
        Err(_) => Box::new(join(tokio::io::stdin(), tokio::io::stdout())),
    })
}
