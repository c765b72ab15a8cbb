//! hyper 1.x: servers of both versions, clients with a pool, upgrades and a graceful end, with handlers that
//! block.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::{TlsAcceptor, TlsConnector};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::{Builder, Client};
use tower::Service;
use twoply::future::race;
use twoply::hyper::{Connector, Executor, ForeignIo, FuturesIo, Io, Timer, serve, serve_with};
use twoply::net::{TcpListener, TcpStream};
use twoply::sync::Barrier;
use twoply::time::timeout;
use twoply::{Runtime, Spawner, Wait, channel, spawn};
use twoply_tests::{Systems, laws};

#[path = "support/certificates.rs"]
mod certificates;

use certificates::{Authority, host};

laws! {
    everywhere {
        one_port_serves_both_versions,
        a_client_keeps_its_connections,
        requests_of_http2_share_a_connection,
        a_handler_that_blocks_holds_up_nobody,
        a_large_body_arrives_whole,
        an_upgraded_connection_is_a_stream,
        a_tunnel_of_http2_is_waited_for_at_the_end,
        a_server_inside_tls_knows_its_peers_and_ends,
        a_graceful_end_answers_what_is_under_way,
        a_request_that_has_arrived_by_the_end_is_answered,
    }
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

/// A server that answers with `handler` until the sender goes.
fn start<H, F>(
    on: &Spawner,
    handler: H,
) -> (SocketAddr, channel::oneshot::Sender<()>, twoply::Task<std::io::Result<()>>)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = channel::oneshot();
    let server = on.spawn(serve(listener, service_fn(handler), stopped));
    (address, stop, server)
}

fn client() -> Builder {
    let mut builder = Client::builder(Executor::new());
    builder.pool_timer(Timer).timer(Timer);
    builder
}

async fn get<C>(client: &Client<C, Empty<Bytes>>, uri: Uri) -> (StatusCode, Version, Bytes)
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    let answer = client.get(uri).await.unwrap();
    let (status, version) = (answer.status(), answer.version());
    (status, version, answer.into_body().collect().await.unwrap().to_bytes())
}

fn uri(address: SocketAddr, path: &str) -> Uri {
    format!("http://{address}{path}").parse().unwrap()
}

async fn echo_path(request: Request<Incoming>) -> Answer {
    Ok(Response::new(Full::from(request.uri().path().to_owned())))
}

fn one_port_serves_both_versions(on: &Systems) {
    let spawner = on.here().spawner();
    let (address, stop, server) = start(spawner, echo_path);
    for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        let requests = spawner.spawn(async move {
            let client = client().http2_only(http2).build(Connector::new());
            let answers = (0..20).map(|n| {
                let client = client.clone();
                spawn(async move {
                    let path = format!("/{n}");
                    let answer = get(&client, uri(address, &path)).await;
                    assert_eq!(answer, (StatusCode::OK, version, path.into()));
                })
            });
            for answer in answers.collect::<Vec<_>>() {
                answer.await.unwrap();
            }
        });
        requests.wait().unwrap();
    }
    drop(stop);
    server.wait().unwrap().unwrap();
}

fn a_client_keeps_its_connections(on: &Systems) {
    let spawner = on.here().spawner();
    let (address, stop, server) = start(spawner, echo_path);
    let connects = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connects);
    let requests = spawner.spawn(async move {
        let client = client().build(tower::service_fn(move |uri| {
            counted.fetch_add(1, Ordering::Relaxed);
            Connector::new().call(uri)
        }));
        for _ in 0..10 {
            get(&client, uri(address, "/")).await;
            // The connection goes back to the pool when its task has seen the end of the answer.
            twoply::time::sleep(Duration::from_millis(2)).await;
        }
    });
    requests.wait().unwrap();
    assert!(connects.load(Ordering::Relaxed) < 10, "{connects:?} connections for ten requests");
    drop(stop);
    server.wait().unwrap().unwrap();
}

fn requests_of_http2_share_a_connection(on: &Systems) {
    const REQUESTS: usize = 20;
    let spawner = on.here().spawner();
    let together = Arc::new(Barrier::new(REQUESTS));
    let handler = move |request: Request<Incoming>| {
        let together = Arc::clone(&together);
        async move {
            if request.uri().path() == "/meet" {
                together.wait().await;
            }
            Ok(Response::new(Full::from("all are here")))
        }
    };
    let (address, stop, server) = start(spawner, handler);
    let connects = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connects);
    let requests = spawner.spawn(async move {
        let client = client().http2_only(true).build(tower::service_fn(move |uri| {
            counted.fetch_add(1, Ordering::Relaxed);
            Connector::new().call(uri)
        }));
        // Of several that are the first ones, more than one may connect.
        get(&client, uri(address, "/")).await;
        let answers = (0..REQUESTS).map(|_| {
            let client = client.clone();
            spawn(async move { get(&client, uri(address, "/meet")).await.2 })
        });
        for answer in answers.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap(), "all are here");
        }
    });
    requests.wait().unwrap();
    assert_eq!(connects.load(Ordering::Relaxed), 1);
    drop(stop);
    server.wait().unwrap().unwrap();
}

fn a_handler_that_blocks_holds_up_nobody(on: &Systems) {
    let spawner = on.here().spawner();
    let (release, released) = channel::bounded(1);
    let handler = move |request: Request<Incoming>| {
        let (release, released) = (release.clone(), released.clone());
        async move {
            match request.uri().path() {
                // Straight-line code, in the middle of a handler.
                "/wait" => released.recv().wait().unwrap(),
                _ => release.send(()).wait().unwrap(),
            }
            Ok(Response::new(Full::from("done")))
        }
    };
    let (address, stop, server) = start(spawner, handler);
    let requests = ["/wait", "/release"].map(|path| {
        spawner.spawn(async move { get(&client().build(Connector::new()), uri(address, path)).await.2 })
    });
    for request in requests {
        assert_eq!(request.wait().unwrap(), "done");
    }
    drop(stop);
    server.wait().unwrap().unwrap();
}

fn a_large_body_arrives_whole(on: &Systems) {
    let spawner = on.here().spawner();
    let reverse = async |request: Request<Incoming>| {
        let mut body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
        body.reverse();
        Ok(Response::new(Full::from(body)))
    };
    let (address, stop, server) = start(spawner, move |request| {
        Box::pin(reverse(request)) as std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>
    });
    let request = spawner.spawn(async move {
        let mut body: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 7) as u8).collect();
        let client = client().build::<_, Full<Bytes>>(Connector::new());
        let request = Request::post(uri(address, "/")).body(Full::from(body.clone())).unwrap();
        let answer = client.request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        body.reverse();
        assert!(answer == body);
    });
    request.wait().unwrap();
    drop(stop);
    server.wait().unwrap().unwrap();
}

fn an_upgraded_connection_is_a_stream(on: &Systems) {
    let spawner = on.here().spawner();
    let handler = async |mut request: Request<Incoming>| {
        // Straight-line code, once hyper has handed the connection over.
        twoply::spawn_fn(move || {
            let mut stream = FuturesIo::new(hyper::upgrade::on(&mut request).wait().unwrap());
            let mut word = [0; 4];
            stream.read_exact(&mut word).wait().unwrap();
            stream.write_all(&word).wait().unwrap();
            stream.close().wait().unwrap();
        })
        .detach();
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        Ok(answer)
    };
    let (address, stop, server) = start(spawner, move |request| {
        Box::pin(handler(request)) as std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>
    });
    let client = spawner.spawn(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut requests, connection) = http1::handshake::<_, Empty<Bytes>>(Io::new(stream)).await.unwrap();
        spawn(connection.with_upgrades()).detach();
        let request = Request::get("/").header("host", "x").header(UPGRADE, "echo");
        let request = request.header(CONNECTION, "upgrade").body(Empty::new()).unwrap();
        let answer = requests.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut stream = FuturesIo::new(hyper::upgrade::on(answer).await.unwrap());
        stream.write_all(b"ping").await.unwrap();
        let mut word = Vec::new();
        stream.read_to_end(&mut word).await.unwrap();
        assert_eq!(word, b"ping");
    });
    client.wait().unwrap();
    drop(stop);
    server.wait().unwrap().unwrap();
}

/// Ends the server while a tunnel is open, which belongs to its connection and not to the handler.
fn a_tunnel_of_http2_is_waited_for_at_the_end(on: &Systems) {
    let spawner = on.here().spawner();
    let handler = move |mut request: Request<Incoming>| async move {
        assert_eq!((request.method(), request.version()), (&Method::CONNECT, Version::HTTP_2));
        twoply::spawn_fn(move || {
            let mut stream = FuturesIo::new(hyper::upgrade::on(&mut request).wait().unwrap());
            let mut word = [0; 4];
            while stream.read_exact(&mut word).wait().is_ok() {
                stream.write_all(&word).wait().unwrap();
                stream.flush().wait().unwrap();
            }
            stream.close().wait().unwrap();
        })
        .detach();
        Ok(Response::default())
    };
    let (address, stop, mut server) = start(spawner, handler);
    let ((open, opened), (go_on, goes_on)) = (channel::bounded(1), channel::bounded(1));
    let client = spawner.spawn(async move {
        let stream = Io::new(TcpStream::connect(address).await.unwrap());
        let (mut requests, connection) =
            http2::Builder::new(Executor::new()).timer(Timer).handshake(stream).await.unwrap();
        spawn(connection).detach();
        let request = Request::connect("somewhere:7").body(Empty::<Bytes>::new()).unwrap();
        let answer = requests.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut stream = FuturesIo::new(hyper::upgrade::on(answer).await.unwrap());
        for word in [b"ping", b"pong"] {
            stream.write_all(word).await.unwrap();
            stream.flush().await.unwrap();
            let mut echo = [0; 4];
            stream.read_exact(&mut echo).await.unwrap();
            assert_eq!(&echo, word);
            if word == b"ping" {
                open.send(()).await.unwrap();
                goes_on.recv().await.unwrap();
            }
        }
        stream.close().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    });
    opened.recv().wait().unwrap();
    drop(stop);
    assert!(timeout(Duration::from_millis(50), &mut server).wait().is_err(), "it waits for the tunnel");
    go_on.send(()).wait().unwrap();
    client.wait().unwrap();
    server.wait().unwrap().unwrap();
}

/// Serves inside TLS, asks, and ends the server while the answer is under way, and while somebody else has
/// not said anything yet.
fn a_server_inside_tls_knows_its_peers_and_ends(on: &Systems) {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let address = listener.local_addr().unwrap();
    let ((begun, begins), (release, released)) = (channel::unbounded(), channel::unbounded::<()>());
    let acceptor = TlsAcceptor::from(authority.server());
    let connect = move |stream: TcpStream, peer: SocketAddr| {
        let (accepting, begun, released) = (acceptor.accept(stream), begun.clone(), released.clone());
        async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let (begun, released) = (begun.clone(), released.clone());
                async move {
                    begun.send(()).await.unwrap();
                    let _ = released.recv().await;
                    Answer::Ok(Response::new(Full::from(peer.to_string())))
                }
            });
            Ok((ForeignIo::new(accepting.await?), service))
        }
    };
    let (stop, stopped) = channel::oneshot::<()>();
    let mut server = on.here().spawn(serve_with(listener, connect, stopped));
    let silent = TcpStream::connect(address).wait().unwrap();
    let connector = TlsConnector::from(authority.client());
    let client = on.here().spawn(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let own = stream.local_addr().unwrap();
        let stream = connector.connect(host(), stream).await.unwrap();
        let (mut requests, connection) = http1::handshake(ForeignIo::new(stream)).await.unwrap();
        spawn(connection).detach();
        let request = Request::get("/").header("host", "x").body(Empty::<Bytes>::new()).unwrap();
        let answer = requests.send_request(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), own.to_string());
    });
    begins.recv().wait().unwrap();
    drop(stop);
    // Nobody waits for one that has not been let in, nor is it let in any more.
    assert_eq!(silent.read(&mut [0]).wait().unwrap(), 0);
    assert!(timeout(Duration::from_millis(50), &mut server).wait().is_err(), "it waits for the answer");
    drop(release);
    client.wait().unwrap();
    server.wait().unwrap().unwrap();
}

fn a_graceful_end_answers_what_is_under_way(on: &Systems) {
    let spawner = on.here().spawner().clone();
    ends_gracefully(on, move |uri| {
        let client = client().build(Connector::new());
        spawner.spawn(async move { get(&client, uri).await.2 }).wait().unwrap()
    });
    // hyper's client takes a request of HTTP/2 for failed when another of its tasks hears of the end while
    // the request is being sent. Here all of them share a thread, so that is not seen.
    ends_gracefully(on, |uri| {
        let alone = Runtime::builder().build_local().unwrap();
        let client = client().http2_only(true).build(Connector::new());
        let answer = alone.spawn(async move { get(&client, uri).await.2 });
        alone.block_on(answer).unwrap().unwrap()
    });
}

fn ends_gracefully(on: &Systems, ask: impl FnOnce(Uri) -> Bytes + Send + 'static) {
    let ((begun, begins), (release, released)) = (channel::unbounded(), channel::unbounded::<()>());
    let handler = move |_: Request<Incoming>| {
        let (begun, released) = (begun.clone(), released.clone());
        async move {
            begun.send(()).await.unwrap();
            let _ = released.recv().await;
            Ok(Response::new(Full::from("late")))
        }
    };
    let (address, stop, mut server) = start(on.here().spawner(), handler);
    let answer = std::thread::spawn(move || ask(uri(address, "/")));
    begins.recv().wait().unwrap();
    drop(stop);
    assert!(timeout(Duration::from_millis(50), &mut server).wait().is_err(), "it waits for the answer");
    drop(release);
    assert_eq!(answer.join().unwrap(), "late");
    server.wait().unwrap().unwrap();
    assert!(TcpStream::connect(address).wait().is_err(), "nobody listens any more");
}

fn a_request_that_has_arrived_by_the_end_is_answered(on: &Systems) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    client.write_all(b"GET /here HTTP/1.1\r\nhost: here\r\n\r\n").wait().unwrap();
    let ((arrived, arrives), (end, ended)) = (channel::unbounded(), channel::unbounded::<()>());
    let connect = move |stream: TcpStream, _| {
        let (arrived, ended) = (arrived.clone(), ended.clone());
        async move {
            stream.peek(&mut [0]).await?;
            arrived.send(()).await.unwrap();
            // This blocks, so that the end comes within a poll.
            let _ = ended.recv().wait();
            Ok((Io::new(stream), service_fn(echo_path)))
        }
    };
    let server = serve_with(listener, connect, pending::<()>());
    let dropped = on.here().spawner().spawn(async move {
        race((async { server.await.unwrap() }, async { arrives.recv().await.unwrap() })).await
    });
    dropped.wait().unwrap();
    drop(end);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).wait().unwrap();
    assert!(answer.ends_with(b"/here"), "{}", String::from_utf8_lossy(&answer));
}
