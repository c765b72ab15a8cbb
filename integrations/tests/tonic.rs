//! gRPC by tonic: a service over our listener, beside HTTP on the same port, and its client over our
//! connector. The service is the health check that gRPC defines, whose code tonic-health has.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::routing::get;
use futures::{Stream, StreamExt};
use hyper_util::service::TowerToHyperService;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use twoply::channel::Source;
use twoply::hyper::{Connector, Executor, serve};
use twoply::net::TcpListener;
use twoply::sync::Barrier;
use twoply::{Runtime, Wait, channel};
use twoply_tests::{Systems, facade, laws};

#[path = "support/plain_client.rs"]
mod plain_client;

laws! {
    everywhere {
        a_handler_that_blocks_answers,
        an_error_has_its_code_and_message,
        calls_share_a_connection,
        a_stream_ends_with_its_source_or_its_reader,
        a_deadline_ends_a_call,
        grpc_and_http_share_a_port,
    }
}

/// The number of calls that are there at a time.
const CALLS: usize = 20;

/// Tells that it is dropped.
struct Gone(channel::Sender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.try_send("gone");
    }
}

/// A service whose answer depends on the name that is asked for.
struct Service {
    /// Meets all calls of `together`.
    together: Barrier,
    /// Hears what becomes of calls and streams.
    tell: channel::Sender<&'static str>,
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match request.into_inner().service.as_str() {
            // Straight-line code waits for a task.
            "block" => {
                let status = twoply::spawn_fn(|| ServingStatus::NotServing).wait().unwrap();
                Ok(Response::new(answer(status)))
            }
            "together" => {
                self.together.wait().await;
                Ok(Response::new(answer(ServingStatus::Serving)))
            }
            "never" => {
                let _gone = Gone(self.tell.clone());
                std::future::pending().await
            }
            other => Err(Status::not_found(format!("nobody knows {other}"))),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (changes, received) = channel::bounded(1);
        let count: Option<usize> = request.into_inner().service.parse().ok();
        twoply::spawn(async move {
            for n in 0..count.unwrap_or(100) {
                let status = if n % 2 == 0 { ServingStatus::Serving } else { ServingStatus::NotServing };
                if changes.send(Ok(answer(status))).await.is_err() {
                    return;
                }
            }
            if count.is_none() {
                std::future::pending().await
            }
        })
        .detach();
        let (mut received, gone) = (received.into_stream(), Gone(self.tell.clone()));
        let stream = futures::stream::poll_fn(move |cx| {
            let _ = &gone;
            twoply::stream::Stream::poll_next(&mut received, cx)
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// Runs `client` against the service, with what that tells, and sees the server end.
fn with_server<F: Future<Output: Send> + Send + 'static>(
    on: &Systems,
    client: impl FnOnce(SocketAddr, HealthClient<Channel>, channel::Receiver<&'static str>) -> F + Send + 'static,
) {
    // For tonic's timers.
    let runtime: Runtime = facade!(on.kind()).tokio().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel::unbounded();
    let service = HealthServer::new(Service { together: Barrier::new(CALLS), tell });
    let routes = Routes::new(service).into_axum_router().route("/", get(async || "plain HTTP"));
    let (stop, stopped) = channel::oneshot::<()>();
    let server = runtime.spawn(serve(listener, TowerToHyperService::new(routes), stopped));
    let calls = runtime.spawn(async move {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().executor(Executor::new());
        let channel = endpoint.connect_with_connector(Connector::new()).await.unwrap();
        client(address, HealthClient::new(channel), told).await
    });
    calls.wait().unwrap();
    drop(stop);
    server.wait().unwrap().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

fn ask(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

fn a_handler_that_blocks_answers(on: &Systems) {
    with_server(on, async |_, mut client, _| {
        let answer = client.check(ask("block")).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::NotServing);
        // So does a client, in straight-line code.
        let answer = twoply::spawn_fn(move || client.check(ask("block")).wait().unwrap()).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::NotServing);
    });
}

fn an_error_has_its_code_and_message(on: &Systems) {
    with_server(on, async |_, mut client, _| {
        let error = client.check(ask("me")).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::NotFound, "nobody knows me"));
    });
}

fn calls_share_a_connection(on: &Systems) {
    with_server(on, async |_, client, _| {
        let calls = (0..CALLS).map(|_| {
            let mut client = client.clone();
            twoply::spawn(async move { client.check(ask("together")).await })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap().unwrap().into_inner().status(), ServingStatus::Serving);
        }
    });
}

fn a_stream_ends_with_its_source_or_its_reader(on: &Systems) {
    with_server(on, async |_, mut client, told| {
        let changes = client.watch(ask("5")).await.unwrap().into_inner();
        let changes: Vec<_> = changes.map(|change| change.unwrap().status()).collect().await;
        let (up, down) = (ServingStatus::Serving, ServingStatus::NotServing);
        assert_eq!(changes, [up, down, up, down, up]);
        assert_eq!(told.recv().await.unwrap(), "gone");
        let mut endless = client.watch(ask("endless")).await.unwrap().into_inner();
        for _ in 0..100 {
            endless.next().await.unwrap().unwrap();
        }
        assert!(told.try_recv().is_err());
        drop(endless);
        // Only because nobody reads it any more.
        assert_eq!(told.recv().await.unwrap(), "gone");
    });
}

fn a_deadline_ends_a_call(on: &Systems) {
    with_server(on, async |_, mut client, told| {
        let mut limit = Duration::from_millis(20);
        loop {
            let mut request = Request::new(ask("never"));
            request.set_timeout(limit);
            let error = client.check(request).await.unwrap_err();
            assert!(matches!(error.code(), Code::Cancelled | Code::DeadlineExceeded), "{error}");
            // One that has reached the handler ends that, too.
            if told.try_recv().is_ok() {
                break;
            }
            limit *= 2;
        }
    });
}

fn grpc_and_http_share_a_port(on: &Systems) {
    with_server(on, async |address, mut client, _| {
        assert_eq!(
            plain_client::client()
                .get(format!("http://{address}/"))
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap(),
            "plain HTTP"
        );
        client.check(ask("block")).await.unwrap();
    });
}
