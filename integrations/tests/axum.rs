//! axum: a router with state and extractors, tower's limits and timeouts, events, WebSockets, and handlers
//! that block; reqwest as its client. What of it wants tokio finds it on the runtime's threads.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use futures::{SinkExt, StreamExt, TryStreamExt};
use http_body_util::StreamBody;
use hyper::StatusCode;
use hyper::body::Frame;
use hyper_util::service::TowerToHyperService;
use tokio_tungstenite::tungstenite;
use tower::limit::ConcurrencyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use twoply::hyper::{Io, serve, serve_with};
use twoply::net::{TcpListener, TcpStream};
use twoply::time::{self, timeout};
use twoply::{Runtime, Wait, channel};
use twoply_tests::{Systems, facade, laws};

#[path = "support/plain_client.rs"]
mod plain_client;

use plain_client::client;

laws! {
    everywhere {
        extractors_state_and_blocking_handlers_work,
        layers_of_tower_limit_and_time_out,
        events_come_one_by_one,
        an_event_arrives_as_it_happens,
        a_web_socket_echoes,
        a_web_socket_outlives_the_accept_loop,
        bodies_are_streams_both_ways,
        a_handler_knows_who_asks,
        a_server_that_ends_lets_answers_out,
    }
}

/// All of what the routes share.
#[derive(Clone, Default)]
struct Shop(Arc<AtomicU64>);

fn router() -> Router {
    let slow = || async {
        time::sleep(Duration::from_secs(60)).await;
    };
    let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_millis(20));
    Router::new()
        .route("/add/{number}", post(add))
        .route("/sum", post(sum))
        .route("/greet", get(greet))
        .route("/slow", get(slow).layer(timeout))
        .route("/limited", get(limited).layer(ConcurrencyLimitLayer::new(1)))
        .route("/events", get(events))
        .route("/echo", any(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }))
        .with_state(Shop::default())
}

async fn add(State(Shop(sum)): State<Shop>, Path(number): Path<u64>) -> String {
    (sum.fetch_add(number, Ordering::Relaxed) + number).to_string()
}

/// Waits in straight-line code for a task that it starts.
async fn sum(Json(numbers): Json<Vec<u64>>) -> Json<u64> {
    Json(twoply::spawn_fn(move || numbers.iter().sum()).wait().unwrap())
}

async fn greet(Query(names): Query<Vec<(String, String)>>) -> String {
    names.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(" and ")
}

async fn limited(State(Shop(inside)): State<Shop>) -> String {
    let others = inside.fetch_add(1 << 32, Ordering::Relaxed) >> 32;
    time::sleep(Duration::from_millis(1)).await;
    inside.fetch_sub(1 << 32, Ordering::Relaxed);
    others.to_string()
}

async fn events() -> Sse<impl futures::Stream<Item = Result<Event, Infallible>>> {
    let numbers = futures::stream::unfold(0, |n| async move {
        time::sleep(Duration::from_millis(1)).await;
        (n < 3).then(|| (Ok(Event::default().data(n.to_string())), n + 1))
    });
    Sse::new(numbers).keep_alive(KeepAlive::default())
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        socket.send(Message::Text(text)).await.unwrap();
    }
}

/// Runs `client` against the router, and sees the server end.
fn with_server<F: Future<Output: Send> + Send + 'static>(
    on: &Systems,
    client: impl FnOnce(SocketAddr) -> F + Send + 'static,
) {
    with_router(on, router(), client);
}

/// As [`with_server`], for another router.
fn with_router<F: Future<Output: Send> + Send + 'static>(
    on: &Systems,
    router: Router,
    client: impl FnOnce(SocketAddr) -> F + Send + 'static,
) {
    let runtime: Runtime = facade!(on.kind()).tokio().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = channel::oneshot::<()>();
    let server = runtime.spawn(serve(listener, TowerToHyperService::new(router), stopped));
    runtime.spawn(async move { client(address).await }).wait().unwrap();
    drop(stop);
    server.wait().unwrap().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

fn extractors_state_and_blocking_handlers_work(on: &Systems) {
    with_server(on, |address| async move {
        let client = client();
        let url = move |path: &str| format!("http://{address}{path}");
        let text =
            async |request: reqwest::RequestBuilder| request.send().await.unwrap().text().await.unwrap();
        assert_eq!(text(client.post(url("/add/3"))).await, "3");
        assert_eq!(text(client.post(url("/add/4"))).await, "7");
        assert_eq!(text(client.post(url("/sum")).json(&[1, 2, 3])).await, "6");
        assert_eq!(text(client.get(url("/greet?a=Ann&b=Bob"))).await, "Ann and Bob");
        let wrong = client.post(url("/add/x")).send().await.unwrap();
        assert_eq!(wrong.status(), 400);
        // The client's future finished in straight-line code, as its library knows nothing of.
        let blocking =
            twoply::spawn_fn(move || client.get(url("/greet?a=Eve")).send().wait().unwrap().text().wait());
        assert_eq!(blocking.await.unwrap().unwrap(), "Eve");
    });
}

fn layers_of_tower_limit_and_time_out(on: &Systems) {
    with_server(on, |address| async move {
        let client = client();
        let slow = client.get(format!("http://{address}/slow")).send().await.unwrap();
        assert_eq!(slow.status(), 408);
        let tasks = (0..4).map(|_| twoply::spawn(client.get(format!("http://{address}/limited")).send()));
        for task in tasks.collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().unwrap().text().await.unwrap(), "0");
        }
    });
}

fn events_come_one_by_one(on: &Systems) {
    with_server(on, |address| async move {
        let answer = client().get(format!("http://{address}/events")).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.text().await.unwrap(), "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    });
}

fn an_event_arrives_as_it_happens(on: &Systems) {
    let (said, heard) = channel::bounded::<String>(1);
    let say = async move |Path(word): Path<String>| said.send(word).await.unwrap();
    let hear = async move || {
        let words = futures::stream::unfold(heard, |heard| async move {
            let word = heard.recv().await.ok()?;
            Some((Ok::<_, Infallible>(Event::default().data(word)), heard))
        });
        Sse::new(words)
    };
    let router = Router::new().route("/say/{word}", post(say)).route("/hear", get(hear));
    with_router(on, router, |address| async move {
        let client = client();
        let mut events = client.get(format!("http://{address}/hear")).send().await.unwrap();
        for word in ["one", "two", "three"] {
            client.post(format!("http://{address}/say/{word}")).send().await.unwrap();
            assert_eq!(events.chunk().await.unwrap().unwrap(), format!("data: {word}\n\n"));
        }
        // Nothing ends the events but that nobody listens any more.
        drop(events);
    });
}

type Socket = tokio_tungstenite::WebSocketStream<twoply::tokio::Io<TcpStream>>;

/// Opens a socket to the router.
async fn open(address: SocketAddr) -> Socket {
    let stream = twoply::tokio::Io::new(TcpStream::connect(address).await.unwrap());
    tokio_tungstenite::client_async(format!("ws://{address}/echo"), stream).await.unwrap().0
}

async fn ask_for_echoes(socket: &mut Socket) {
    for word in ["one", "two"] {
        socket.send(tungstenite::Message::text(word)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), tungstenite::Message::text(word));
    }
}

fn a_web_socket_echoes(on: &Systems) {
    with_server(on, |address| async move {
        let mut socket = open(address).await;
        ask_for_echoes(&mut socket).await;
        socket.close(None).await.unwrap();
    });
}

fn a_web_socket_outlives_the_accept_loop(on: &Systems) {
    let runtime: Runtime = facade!(on.kind()).tokio().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = channel::oneshot::<()>();
    let server = runtime.spawn(serve(listener, TowerToHyperService::new(router()), stopped));
    let opening = runtime.spawn(async move {
        let mut socket = open(address).await;
        ask_for_echoes(&mut socket).await;
        socket
    });
    let mut socket = opening.wait().unwrap();
    drop(stop);
    server.wait().unwrap().unwrap();
    assert!(TcpStream::connect(address).wait().is_err(), "nobody listens any more");
    // It is its handler's own.
    let asking = runtime.spawn(async move {
        ask_for_echoes(&mut socket).await;
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    });
    asking.wait().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

fn bodies_are_streams_both_ways(on: &Systems) {
    // Each piece of the question is answered before the next one is asked.
    let answer = async |body: Body| {
        Body::from_stream(body.into_data_stream().map_ok(|piece| piece.to_ascii_uppercase()))
    };
    with_router(on, Router::new().route("/shout", post(answer)), |address| async move {
        let (ask, asked) = channel::bounded::<&'static str>(1);
        let pieces = futures::stream::unfold(asked, |asked| async move {
            let word = asked.recv().await.ok()?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(word))), asked))
        });
        let request = client().post(format!("http://{address}/shout"));
        let mut answer = request.body(reqwest::Body::wrap(StreamBody::new(pieces))).send().await.unwrap();
        for word in ["one", "two", "three"] {
            ask.send(word).await.unwrap();
            assert_eq!(answer.chunk().await.unwrap().unwrap(), word.to_uppercase());
        }
        drop(ask);
        assert_eq!(answer.chunk().await.unwrap(), None);
    });
}

fn a_handler_knows_who_asks(on: &Systems) {
    let runtime: Runtime = facade!(on.kind()).tokio().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let who = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string();
    let router = Router::new().route("/who", get(who));
    let connect = move |stream: TcpStream, peer: SocketAddr| {
        let service = router.clone().layer(Extension(ConnectInfo(peer)));
        ready(Ok((Io::new(stream), TowerToHyperService::new(service))))
    };
    let (stop, stopped) = channel::oneshot::<()>();
    let server = runtime.spawn(serve_with(listener, connect, stopped));
    let asking = runtime.spawn(async move {
        let answer = client().get(format!("http://{address}/who")).send().await.unwrap();
        let (own, told) = (answer.remote_addr(), answer.text().await.unwrap());
        assert_eq!(own, Some(address));
        let told: SocketAddr = told.parse().unwrap();
        assert!(told.ip().is_loopback() && told != address);
    });
    asking.wait().unwrap();
    drop(stop);
    server.wait().unwrap().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}

fn a_server_that_ends_lets_answers_out(on: &Systems) {
    let runtime: Runtime = facade!(on.kind()).tokio().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let ((begun, begins), (release, released)) = (channel::unbounded(), channel::unbounded::<()>());
    let late = async move || {
        begun.send(()).await.unwrap();
        let _ = released.recv().await;
        "late"
    };
    let service = TowerToHyperService::new(Router::new().route("/late", get(late)));
    let (stop, stopped) = channel::oneshot::<()>();
    let mut server = runtime.spawn(serve(listener, service, stopped));
    let asking = client().get(format!("http://{address}/late")).send();
    let asking = runtime.spawn(async { asking.await.unwrap().text().await.unwrap() });
    begins.recv().wait().unwrap();
    drop(stop);
    assert!(timeout(Duration::from_millis(50), &mut server).wait().is_err(), "it waits for the answer");
    drop(release);
    assert_eq!(asking.wait().unwrap(), "late");
    server.wait().unwrap().unwrap();
    runtime.shutdown(Duration::from_secs(10)).unwrap();
}
