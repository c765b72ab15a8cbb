//! WebSockets: tungstenite in straight-line code and async-tungstenite over the same sockets, plain and
//! inside TLS, and a page in a browser that talks to both.

use std::convert::Infallible;
use std::io::{Read, Write};

use async_tungstenite::WebSocketStream;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt, StreamExt};
use futures_rustls::{TlsAcceptor, TlsConnector};
use hyper::Response;
use hyper::service::service_fn;
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Error, Message, Result, WebSocket};
use twoply::net::{TcpListener, TcpStream};
use twoply::{Task, Wait, channel};
use twoply_integrations::browser;
use twoply_tests::{Kind, System, Systems, laws};

#[path = "support/certificates.rs"]
mod certificates;

use certificates::{Authority, host};

laws! {
    and_mixed {
        blocking_sockets_echo,
        asynchronous_sockets_echo,
        a_blocking_socket_talks_to_an_asynchronous_one,
        sockets_echo_inside_tls,
    }
}

/// What a client says as it leaves.
const FAREWELL: &str = "all came back";

/// Returns the ends of a connection: the client's, and the server's.
fn connect() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    let server = listener.accept().wait().unwrap().0;
    // Whoever answers at once is not to wait for an acknowledgement.
    [&client, &server].into_iter().for_each(|stream| stream.set_nodelay(true).unwrap());
    (client, server)
}

/// Sends each message back until the peer leaves. Returns what it said then.
fn echo(socket: &mut WebSocket<impl Read + Write>) -> Result<Option<CloseFrame>> {
    let mut farewell = None;
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => farewell = frame,
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message)?,
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return Ok(farewell),
            Err(error) => return Err(error),
        }
    }
}

/// As [`echo`], by `.await`.
async fn async_echo(
    socket: &mut WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>,
) -> Result<Option<CloseFrame>> {
    let mut farewell = None;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Close(frame) => farewell = frame,
            message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).await?,
            _ => {}
        }
    }
    Ok(farewell)
}

/// Returns what a client sends, and what comes back.
fn messages() -> [(Message, Message); 4] {
    let question = Bytes::from_static(b"are you there");
    let echoed = [Message::text("hello"), Message::text(""), Message::binary(vec![7; 200_000])];
    let [text, empty, long] = echoed.map(|message| (message.clone(), message));
    [text, empty, long, (Message::Ping(question.clone()), Message::Pong(question))]
}

fn farewell() -> Option<CloseFrame> {
    Some(CloseFrame { code: CloseCode::Normal, reason: FAREWELL.into() })
}

fn ask(mut socket: WebSocket<impl Read + Write>) -> Result<()> {
    for (message, answer) in messages() {
        socket.send(message)?;
        assert_eq!(socket.read()?, answer);
    }
    socket.close(farewell())?;
    assert_eq!(socket.read()?, Message::Close(farewell()));
    match socket.read() {
        Err(Error::ConnectionClosed) => Ok(()),
        other => panic!("after the end: {other:?}"),
    }
}

async fn async_ask(mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>) -> Result<()> {
    for (message, answer) in messages() {
        socket.send(message).await?;
        assert_eq!(socket.next().await.unwrap()?, answer);
    }
    socket.close(farewell()).await?;
    assert_eq!(socket.next().await.unwrap()?, Message::Close(farewell()));
    assert!(socket.next().await.is_none());
    Ok(())
}

/// Waits for both sides, which part as the client wants it.
fn both(client: Task<Result<()>>, server: Task<Result<Option<CloseFrame>>>) {
    client.wait().unwrap().unwrap();
    assert_eq!(server.wait().unwrap().unwrap(), farewell());
}

fn blocking_client(stream: TcpStream) -> Result<()> {
    ask(tungstenite::client("ws://localhost/", stream).unwrap().0)
}

fn blocking_server(stream: TcpStream) -> Result<Option<CloseFrame>> {
    echo(&mut tungstenite::accept(stream).unwrap())
}

async fn async_client(stream: TcpStream) -> Result<()> {
    async_ask(async_tungstenite::client_async("ws://localhost/", stream).await?.0).await
}

async fn async_server(stream: TcpStream) -> Result<Option<CloseFrame>> {
    async_echo(&mut async_tungstenite::accept_async(stream).await?).await
}

fn blocking_sockets_echo(on: &Systems) {
    let (client, server) = connect();
    let server = on.here().spawn_fn(move || blocking_server(server));
    both(on.there().spawn_fn(move || blocking_client(client)), server);
}

fn asynchronous_sockets_echo(on: &Systems) {
    let (client, server) = connect();
    let server = on.here().spawn(async_server(server));
    both(on.there().spawn(async_client(client)), server);
}

fn a_blocking_socket_talks_to_an_asynchronous_one(on: &Systems) {
    let (client, server) = connect();
    let server = on.here().spawn_fn(move || blocking_server(server));
    both(on.there().spawn(async_client(client)), server);
    let (client, server) = connect();
    let server = on.here().spawn(async_server(server));
    both(on.there().spawn_fn(move || blocking_client(client)), server);
}

fn sockets_echo_inside_tls(on: &Systems) {
    let authority = Authority::new();
    let ((client, server), to, by) = (connect(), authority.client(), authority.server());
    let server = on.here().spawn_fn(move || {
        let stream = StreamOwned::new(ServerConnection::new(by).unwrap(), server);
        let mut socket = tungstenite::accept(stream).unwrap();
        let farewell = echo(&mut socket)?;
        // The end of TLS is told for itself, or what the client hears is an error.
        socket.get_mut().conn.send_close_notify();
        socket.get_mut().flush()?;
        Ok(farewell)
    });
    let client = on.there().spawn_fn(move || {
        let stream = StreamOwned::new(ClientConnection::new(to, host()).unwrap(), client);
        ask(tungstenite::client("wss://localhost/", stream).unwrap().0)
    });
    both(client, server);
    let ((client, server), to, by) = (connect(), authority.client(), authority.server());
    let server = on.here().spawn(async move {
        let stream = TlsAcceptor::from(by).accept(server).await?;
        let mut socket = async_tungstenite::accept_async(stream).await?;
        let farewell = async_echo(&mut socket).await?;
        socket.get_mut().close().await?;
        Ok(farewell)
    });
    let client = on.there().spawn(async move {
        let stream = TlsConnector::from(to).connect(host(), client).await?;
        async_ask(async_tungstenite::client_async("wss://localhost/", stream).await?.0).await
    });
    both(client, server);
}

/// The page: it asks each server in turn, and tells it as it leaves how that was.
const PAGE: &str = r#"<!doctype html><script>
async function ask(port) {
    const socket = new WebSocket("ws://127.0.0.1:" + port);
    socket.binaryType = "arraybuffer";
    const arrives = event => new Promise(resolve => socket[event] = resolve);
    await arrives("onopen");
    let answer = "FAREWELL";
    for (const message of ["hello", "ü".repeat(50000), new Uint8Array([1, 2, 3])]) {
        const back = arrives("onmessage");
        socket.send(message);
        const data = (await back).data;
        const same = data === message || String(new Uint8Array(data)) === String(message);
        if (!same) answer = "not the same: " + String(message).slice(0, 20);
    }
    const closed = arrives("onclose");
    socket.close(1000, answer);
    await closed;
}
(async () => { for (const port of [PORTS]) await ask(port); })();
</script>"#;

#[test]
fn a_page_in_a_browser_talks_to_each() {
    twoply_tests::watch("a_page_in_a_browser_talks_to_each", || {
        let kinds = [Kind::Native, Kind::Green1, Kind::Green2, Kind::Fibers1, Kind::Fibers2];
        let systems = kinds.map(Kind::build);
        let (ports, servers): (Vec<_>, Vec<_>) = systems.iter().flat_map(serve).unzip();
        let page = PAGE
            .replace("FAREWELL", FAREWELL)
            .replace("PORTS", &ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "));
        let pages = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let url = format!("http://{}/", pages.local_addr().unwrap());
        let show = service_fn(move |_| std::future::ready(Ok::<_, Infallible>(Response::new(page.clone()))));
        let (stop, stopped) = channel::oneshot::<()>();
        let showing = systems[0].spawn(twoply::hyper::serve(pages, show, stopped));
        let Some(browser) = browser(&url).expect("a browser that is installed starts") else { return };
        for server in servers {
            assert_eq!(server.wait().unwrap().unwrap(), farewell());
        }
        drop((browser, stop));
        showing.wait().unwrap().unwrap();
    });
}

/// Starts a server of each kind for one client. Returns where they listen, and what they return.
fn serve(system: &System) -> [(u16, Task<Result<Option<CloseFrame>>>); 2] {
    let [blocking, asynchronous] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").wait().unwrap());
    let ports = [&blocking, &asynchronous].map(|listener| listener.local_addr().unwrap().port());
    let blocking = system.spawn_fn(move || blocking_server(blocking.accept().wait()?.0));
    let asynchronous = system.spawn(async move { async_server(asynchronous.accept().await?.0).await });
    [(ports[0], blocking), (ports[1], asynchronous)]
}
