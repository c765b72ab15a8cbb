//! TLS by rustls, both ways: its blocking `StreamOwned` in straight-line code, and futures-rustls, over the
//! same sockets. Neither needs anything of ours but the traits that each stream has.
//!
//! What becomes of a stream that is just dropped is the same for both: its socket is closed, and nothing is
//! said before. The peer cannot tell that from somebody who cut the connection, so its read fails with
//! `UnexpectedEof`. An end that is meant is told: by `close()` of the asynchronous stream, by
//! `conn.send_close_notify()` and `flush()` of the blocking one.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use futures::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::{TlsAcceptor, TlsConnector};
use rustls::{
    ClientConfig, ClientConnection, CommonState, HandshakeKind, ServerConfig, ServerConnection, StreamOwned,
};
use twoply::net::{TcpListener, TcpStream};
use twoply::{Task, Wait};
use twoply_tests::{Systems, laws};

#[path = "support/certificates.rs"]
mod certificates;

use certificates::{Authority, host};

laws! {
    and_mixed {
        blocking_streams_talk,
        asynchronous_streams_talk,
        a_blocking_stream_talks_to_an_asynchronous_one,
        both_sides_may_have_to_prove_who_they_are,
        who_trusts_somebody_else_hears_so,
        a_second_connection_resumes_the_session,
        an_end_that_is_told_is_the_end,
        a_stream_that_is_dropped_says_nothing,
    }
}

/// Some records of TLS, and no multiple of anything.
const LENGTH: usize = 300_007;

/// What a blocking client sends before it reads the echo.
const PART: usize = 10_000;

fn text() -> Vec<u8> {
    (0..LENGTH).map(|n| (n * 31) as u8).collect()
}

/// Returns the ends of a connection: the client's, and the server's.
fn connect() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
    let server = listener.accept().wait().unwrap().0;
    // Whoever answers at once is not to wait for an acknowledgement.
    [&client, &server].into_iter().for_each(|stream| stream.set_nodelay(true).unwrap());
    (client, server)
}

type BlockingServer = StreamOwned<ServerConnection, TcpStream>;
type BlockingClient = StreamOwned<ClientConnection, TcpStream>;

fn blocking_server(stream: TcpStream, config: Arc<ServerConfig>) -> BlockingServer {
    StreamOwned::new(ServerConnection::new(config).unwrap(), stream)
}

fn blocking_client(stream: TcpStream, config: Arc<ClientConfig>) -> BlockingClient {
    StreamOwned::new(ClientConnection::new(config, host()).unwrap(), stream)
}

/// What a handshake has come to: its kind, and the number of certificates that the peer has shown.
type Met = (Option<HandshakeKind>, usize);

fn met(connection: &CommonState) -> Met {
    (connection.handshake_kind(), connection.peer_certificates().map_or(0, <[_]>::len))
}

/// Sends back what comes until the peer says that it was all, in straight-line code.
fn echo(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Met> {
    let mut stream = blocking_server(stream, config);
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part)? {
            0 => return Ok(met(&stream.conn)),
            length => stream.write_all(&part[..length])?,
        }
    }
}

/// Sends the text, part by part, and wants it back.
fn ask(stream: TcpStream, config: Arc<ClientConfig>) -> io::Result<Met> {
    let mut stream = blocking_client(stream, config);
    for part in text().chunks(PART) {
        let mut back = vec![0; part.len()];
        stream.write_all(part)?;
        stream.read_exact(&mut back)?;
        assert!(part == back);
    }
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(met(&stream.conn))
}

/// As [`echo`], by `.await`.
async fn async_echo(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Met> {
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let met = met(stream.get_ref().1);
    let (reading, mut writing) = stream.split();
    futures::io::copy(reading, &mut writing).await?;
    writing.close().await?;
    Ok(met)
}

/// As [`ask`], with everything under way at a time.
async fn async_ask(stream: TcpStream, config: Arc<ClientConfig>) -> io::Result<Met> {
    let stream = TlsConnector::from(config).connect(host(), stream).await?;
    let met = met(stream.get_ref().1);
    let (mut reading, mut writing) = stream.split();
    let (text, mut back) = (text(), vec![0; LENGTH]);
    futures::try_join!(writing.write_all(&text), reading.read_exact(&mut back))?;
    assert!(text == back);
    writing.close().await?;
    Ok(met)
}

/// Waits for both sides, which have to succeed.
fn both(client: Task<io::Result<Met>>, server: Task<io::Result<Met>>) -> [Met; 2] {
    [client, server].map(|side| side.wait().unwrap().unwrap())
}

/// The ways in which the two sides wait, the client's and the server's: in straight-line code or by `.await`.
const WAYS: [[bool; 2]; 4] = [[true, true], [true, false], [false, true], [false, false]];

/// Has a client and a server meet, each of which blocks or does not.
fn meet(
    on: &Systems,
    [client_blocks, server_blocks]: [bool; 2],
    to: &Arc<ClientConfig>,
    by: &Arc<ServerConfig>,
) -> [Task<io::Result<Met>>; 2] {
    let ((client, server), to, by) = (connect(), Arc::clone(to), Arc::clone(by));
    let server = match server_blocks {
        true => on.here().spawn_fn(move || echo(server, by)),
        false => on.here().spawn(async_echo(server, by)),
    };
    let client = match client_blocks {
        true => on.there().spawn_fn(move || ask(client, to)),
        false => on.there().spawn(async_ask(client, to)),
    };
    [client, server]
}

fn blocking_streams_talk(on: &Systems) {
    let (authority, (client, server)) = (Authority::new(), connect());
    let (to, by) = (authority.client(), authority.server());
    let server = on.here().spawn_fn(move || echo(server, by));
    let client = on.there().spawn_fn(move || ask(client, to));
    both(client, server);
}

fn asynchronous_streams_talk(on: &Systems) {
    let (authority, (client, server)) = (Authority::new(), connect());
    let server = on.here().spawn(async_echo(server, authority.server()));
    let client = on.there().spawn(async_ask(client, authority.client()));
    both(client, server);
}

fn a_blocking_stream_talks_to_an_asynchronous_one(on: &Systems) {
    let (authority, (client, server)) = (Authority::new(), connect());
    let config = authority.server();
    let server = on.here().spawn_fn(move || echo(server, config));
    let client = on.there().spawn(async_ask(client, authority.client()));
    both(client, server);
    let (client, server) = connect();
    let config = authority.client();
    let server = on.here().spawn(async_echo(server, authority.server()));
    let client = on.there().spawn_fn(move || ask(client, config));
    both(client, server);
}

fn both_sides_may_have_to_prove_who_they_are(on: &Systems) {
    let (authority, other) = (Authority::new(), Authority::new());
    let by = authority.server_for_members();
    let clients = [
        (authority.member(&authority), true),
        (authority.client(), false),
        (authority.member(&other), false),
    ];
    for (way, (to, is_member)) in
        WAYS.into_iter().flat_map(|way| clients.iter().map(move |client| (way, client)))
    {
        let [client, server] = meet(on, way, to, &by);
        if *is_member {
            assert_eq!(both(client, server).map(|(_, certificates)| certificates), [1, 1]);
        } else {
            assert_eq!(server.wait().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
            assert!(client.wait().unwrap().is_err(), "it is told so, or cut off");
        }
    }
}

fn who_trusts_somebody_else_hears_so(on: &Systems) {
    let (authority, other) = (Authority::new(), Authority::new());
    let ((client, server), by) = (connect(), authority.server());
    let server = on.here().spawn_fn(move || echo(server, by));
    let client = on.there().spawn_fn(move || ask(client, other.client()));
    assert_eq!(client.wait().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(server.wait().unwrap().is_err(), "it is told so, or cut off");
}

fn a_second_connection_resumes_the_session(on: &Systems) {
    let authority = Authority::new();
    for way in WAYS {
        let (to, by) = (authority.client(), authority.server());
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let [client, server] = meet(on, way, &to, &by);
            assert_eq!(both(client, server).map(|(kind, _)| kind), [Some(kind); 2], "{way:?}");
        }
    }
}

/// Returns what a blocking and an asynchronous client read after their server has left its stream.
fn reads_after(
    on: &Systems,
    leave: impl Fn(BlockingServer) + Copy + Send + 'static,
    leave_async: impl AsyncFn(futures_rustls::server::TlsStream<TcpStream>),
) -> [io::Result<usize>; 2] {
    let authority = Authority::new();
    let ((client, server), to, by) = (connect(), authority.client(), authority.server());
    let server = on.here().spawn_fn(move || {
        let mut stream = blocking_server(server, by);
        stream.read_exact(&mut [0]).unwrap();
        leave(stream);
    });
    let client = on.there().spawn_fn(move || {
        let mut stream = blocking_client(client, to);
        stream.write_all(b"x").unwrap();
        stream.read(&mut [0])
    });
    let read = client.wait().unwrap();
    server.wait().unwrap();
    let (client, server) = connect();
    let connector = TlsConnector::from(authority.client());
    let client = on.there().spawn(async move {
        let mut stream = connector.connect(host(), client).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        stream.read(&mut [0]).await
    });
    // On the stack of the test, which is one of its own kind.
    let serve = async {
        let mut stream = TlsAcceptor::from(authority.server()).accept(server).await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
        leave_async(stream).await;
    };
    serve.wait();
    [read, client.wait().unwrap()]
}

fn an_end_that_is_told_is_the_end(on: &Systems) {
    let tell = |mut stream: BlockingServer| {
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    };
    for read in reads_after(on, tell, async |mut stream| stream.close().await.unwrap()) {
        assert_eq!(read.unwrap(), 0);
    }
}

fn a_stream_that_is_dropped_says_nothing(on: &Systems) {
    for read in reads_after(on, drop, async |stream| drop(stream)) {
        assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
