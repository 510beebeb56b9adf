//! A session against a fake engine: what a real one cannot be made to do on demand. The real one
//! is in the end-to-end tests.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::moby::buildkit::v1::apicaps::ApiCap;
use bollard_buildkit_proto::moby::buildkit::v1::frontend as fb;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_server::{
    LlbBridge, LlbBridgeServer,
};
use osderive_proto::gateway::{
    BuildError, FileStat, Gateway, ServeError, SolveRequest, SolveResult, serve_over,
};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

type Answer = Arc<Mutex<Vec<fb::ReturnRequest>>>;
type Reply<T> = Result<Response<T>, Status>;

/// What the fake engine does out of the ordinary.
#[derive(Clone, Copy, Default)]
struct Engine {
    caps: &'static [&'static str],
    refuses_ping: bool,
}

struct Bridge {
    engine: Engine,
    answers: Answer,
}

const EVERY_CAP: &[&str] = &[
    "solve.base",
    "return",
    "proto.refarray",
    "gateway.warnings",
    "frontend.inputs",
];

/// The detail that a real engine attaches to a failed RUN.
fn failure() -> Status {
    let whole = rpc::Status {
        code: 2,
        message: "process \"/bin/sh -c false\" did not complete successfully: exit code: 1".into(),
        details: vec![bollard_buildkit_proto::google::protobuf::Any {
            type_url: "github.com/moby/buildkit/errdefs.Vertex+json".into(),
            value: br#"{"digest":"sha256:00"}"#.to_vec(),
        }],
    };
    Status::with_details(
        tonic::Code::Unknown,
        whole.message.clone(),
        whole.encode_to_vec().into(),
    )
}

macro_rules! unused {
    ($($name:ident: $request:ident => $response:ident),* $(,)?) => {
        $(
            fn $name<'a: 'c, 'c>(&'a self, _: Request<fb::$request>) -> Pin<Box<dyn Future<Output = Reply<fb::$response>> + Send + 'c>>
            where Self: 'c {
                Box::pin(async { Err(Status::unimplemented("not in this fake")) })
            }
        )*
    };
}

#[tonic::async_trait]
impl LlbBridge for Bridge {
    async fn ping(&self, _: Request<fb::PingRequest>) -> Reply<fb::PongResponse> {
        if self.engine.refuses_ping {
            return Err(Status::permission_denied("not you"));
        }
        let listed = self.engine.caps.iter().map(|id| ApiCap {
            id: (*id).to_owned(),
            enabled: true,
            ..ApiCap::default()
        });
        Ok(Response::new(fb::PongResponse {
            frontend_api_caps: listed.collect(),
            ..fb::PongResponse::default()
        }))
    }

    async fn solve(&self, request: Request<fb::SolveRequest>) -> Reply<fb::SolveResponse> {
        match request.get_ref().frontend.as_str() {
            "failing" => Err(failure()),
            _ => Ok(Response::new(fb::SolveResponse::default())),
        }
    }

    async fn r#return(&self, request: Request<fb::ReturnRequest>) -> Reply<fb::ReturnResponse> {
        self.answers.lock().unwrap().push(request.into_inner());
        Ok(Response::new(fb::ReturnResponse {}))
    }

    type ExecProcessStream = Pin<
        Box<
            dyn tonic::codegen::tokio_stream::Stream<Item = Result<fb::ExecMessage, Status>> + Send,
        >,
    >;

    async fn exec_process(
        &self,
        _: Request<Streaming<fb::ExecMessage>>,
    ) -> Reply<Self::ExecProcessStream> {
        Err(Status::unimplemented("not in this fake"))
    }

    async fn stat_file(
        &self,
        request: Request<fb::StatFileRequest>,
    ) -> Reply<fb::StatFileResponse> {
        match request.get_ref().path.as_str() {
            "there" => Ok(Response::new(fb::StatFileResponse {
                stat: Some(FileStat {
                    size: 7,
                    ..FileStat::default()
                }),
            })),
            // As engines say it.
            "gone" => Err(Status::unknown("lstat gone: no such file or directory")),
            "file/below" => Err(Status::unknown("lstat file/below: not a directory")),
            _ => Err(Status::unknown("failed to mount")),
        }
    }

    unused! {
        resolve_image_config: ResolveImageConfigRequest => ResolveImageConfigResponse,
        resolve_source_meta: ResolveSourceMetaRequest => ResolveSourceMetaResponse,
        read_file: ReadFileRequest => ReadFileResponse,
        read_dir: ReadDirRequest => ReadDirResponse,
        evaluate: EvaluateRequest => EvaluateResponse,
        inputs: InputsRequest => InputsResponse,
        new_container: NewContainerRequest => NewContainerResponse,
        release_container: ReleaseContainerRequest => ReleaseContainerResponse,
        read_file_container: ReadFileRequest => ReadFileResponse,
        read_dir_container: ReadDirRequest => ReadDirResponse,
        stat_file_container: StatFileRequest => StatFileResponse,
        warn: WarnRequest => WarnResponse,
    }
}

/// Runs one session of `build` with `engine` and returns its outcome and the answers it sent.
async fn session<F, B>(engine: Engine, build: F) -> (Result<(), ServeError>, Vec<fb::ReturnRequest>)
where
    F: FnOnce(Gateway) -> B,
    B: Future<Output = Result<SolveResult, BuildError>> + Send + 'static,
{
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let answers = Answer::default();
    let bridge = Bridge {
        engine,
        answers: answers.clone(),
    };
    let incoming = tonic::codegen::tokio_stream::once(Ok::<_, std::io::Error>(theirs));
    let server = tonic::transport::Server::builder()
        .add_service(LlbBridgeServer::new(bridge))
        .serve_with_incoming(incoming);
    let server = tokio::spawn(server);
    let outcome = serve_over(ours, build).await;
    server.abort();
    let answers = answers.lock().unwrap().clone();
    (outcome, answers)
}

fn only(answers: &[fb::ReturnRequest]) -> &fb::ReturnRequest {
    assert_eq!(answers.len(), 1, "one answer: {answers:?}");
    &answers[0]
}

#[tokio::test]
async fn a_result_is_returned_once_and_keeps_its_metadata() {
    let engine = Engine {
        caps: EVERY_CAP,
        ..Engine::default()
    };
    let (outcome, answers) = session(engine, |_| async {
        let mut result = SolveResult::default();
        result
            .metadata
            .insert("result.txt".into(), b"hello".to_vec());
        Ok(result)
    })
    .await;
    outcome.expect("a session");
    let result = only(&answers).result.as_ref().expect("a result");
    assert_eq!(result.metadata["result.txt"], b"hello");
}

#[tokio::test]
async fn a_panic_becomes_an_error_that_names_it() {
    let (outcome, answers) = session(Engine::default(), |_| async {
        panic!("index out of bounds")
    })
    .await;
    outcome.expect("a session");
    let error = only(&answers).error.as_ref().expect("an error");
    assert!(
        error.message.contains("index out of bounds"),
        "{}",
        error.message
    );
    assert!(
        error.message.contains("bug in osderive"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_delegated_failure_is_returned_with_its_details() {
    let (outcome, answers) = session(Engine::default(), |gateway| async move {
        let request = SolveRequest {
            frontend: "failing".into(),
            ..SolveRequest::default()
        };
        gateway.solve(request).await
    })
    .await;
    outcome.expect("a session");
    let error = only(&answers).error.as_ref().expect("an error");
    assert_eq!(error.details.len(), 1);
    assert_eq!(error.details[0].value, br#"{"digest":"sha256:00"}"#);
    assert_eq!(error.code, 2);
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_cannot_be_looked_at() {
    let (outcome, answers) = session(Engine::default(), |gateway| async move {
        let there = gateway.stat_file("ref", "there").await?;
        assert_eq!(there.map(|stat| stat.size), Some(7));
        for path in ["gone", "file/below"] {
            assert_eq!(gateway.stat_file("ref", path).await?, None);
        }
        let error = gateway.stat_file("ref", "other").await;
        assert!(error.is_err(), "{error:?}");
        Ok(SolveResult::default())
    })
    .await;
    outcome.expect("a session");
    assert!(only(&answers).result.is_some(), "{answers:?}");
}

#[tokio::test]
async fn an_engine_without_inputs_is_not_asked_for_them() {
    let (outcome, answers) = session(Engine::default(), |gateway| async move {
        assert!(gateway.inputs().await?.is_empty());
        Ok(SolveResult::default())
    })
    .await;
    outcome.expect("a session");
    assert!(only(&answers).result.is_some());
}

#[tokio::test]
async fn an_engine_that_refuses_is_quoted() {
    let engine = Engine {
        refuses_ping: true,
        ..Engine::default()
    };
    let (outcome, answers) = session(engine, |_| async { Ok(SolveResult::default()) }).await;
    let error = outcome.expect_err("no session").to_string();
    assert!(error.contains("not you"), "{error}");
    assert!(answers.is_empty());
}

#[tokio::test]
async fn a_peer_that_is_no_engine_is_an_error_and_no_hang() {
    for garbage in [
        b"".as_slice(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0xff; 4096],
    ] {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let peer = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            theirs.write_all(garbage).await.expect("room");
        });
        let outcome = serve_over(ours, |_| async { Ok(SolveResult::default()) }).await;
        assert!(outcome.is_err());
        peer.await.expect("the peer wrote");
    }
}
