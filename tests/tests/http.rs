//! The server of the example `http`, its own source, on every backend: requests are pulled and answered, bad
//! and slow clients are refused without harm to others, and nothing of any of them is left.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use twoply::channel::{self, Sender};
use twoply::net::TcpListener;
use twoply::{Task, Wait};
use twoply_tests::{Systems, eventually, laws};

#[path = "../../examples/http/connection.rs"]
mod connection;
#[path = "../../examples/http/head.rs"]
mod head;
#[path = "../../examples/http/server.rs"]
mod server;

laws! {
    everywhere {
        a_connection_serves_request_after_request,
        requests_come_in_pieces_and_in_bunches,
        a_body_comes_back,
        what_cannot_be_served_is_refused,
        a_client_that_is_too_slow_is_refused_and_holds_up_nobody,
        a_client_that_does_not_read_is_cut_off,
        a_server_that_ends_finishes_what_has_begun,
    }
}

/// How long clients may take, unless the test is about that.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
struct Server {
    /// Where it listens.
    address: SocketAddr,
    /// Dropped to end it.
    open: Sender<Infallible>,
    /// Its accept loop.
    accepting: Task<std::io::Result<()>>,
}

impl Server {
    fn start(on: &Systems, patience: Duration) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").wait().expect("there is a port");
        let address = listener.local_addr().expect("it listens");
        let (open, closing) = channel::bounded(1);
        let (spawner, fibers) = (on.here().spawner().clone(), on.kind().is_fibers());
        let start = move |client| match fibers {
            true => spawner.spawn_fn(move || server::serve(client).wait()).detach(),
            false => spawner.spawn(server::serve(client)).detach(),
        };
        let accepting = on.here().spawn(server::accept(listener, closing, patience, start));
        Server { address, open, accepting }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        stream
    }

    /// Sends `request`, and returns all that comes back until the server closes.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).expect("the server reads");
        rest(&mut stream)
    }

    /// Ends the server; then nothing is left of it.
    fn end(self, on: &Systems) {
        drop(self.open);
        self.accepting.wait().expect("it ends by itself").expect("accepting does not fail");
        eventually("no client is left", || on.here().tasks() == 0);
    }
}

fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the server closes in order");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until `end` has come.
fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("there is more to come");
        text.push(byte[0] as char);
    }
    text
}

fn a_connection_serves_request_after_request(on: &Systems) {
    let server = Server::start(on, PATIENCE);
    let mut stream = server.connect();
    for _ in 0..10 {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(read_to(&mut stream, "plies.\n").starts_with("HTTP/1.1 200 OK\r\n"));
    }
    stream.write_all(b"GET /elsewhere HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let last = rest(&mut stream);
    assert!(last.starts_with("HTTP/1.1 404 ") && last.contains("connection: close"), "{last}");
    // HTTP/1.0 closes unless it is asked not to.
    assert!(server.ask(b"GET / HTTP/1.0\r\n\r\n").ends_with("plies.\n"));
    stream = server.connect();
    stream.write_all(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap();
    assert!(read_to(&mut stream, "plies.\n").contains("connection: keep-alive"));
    // A client that goes between two requests is no error.
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream), "");
    server.end(on);
}

fn requests_come_in_pieces_and_in_bunches(on: &Systems) {
    let server = Server::start(on, PATIENCE);
    let many = "GET / HTTP/1.1\r\n\r\n".repeat(1000) + "HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answers = server.ask(many.as_bytes());
    assert_eq!(answers.matches("200 OK").count(), 1001);
    assert_eq!(answers.matches("plies").count(), 1000);
    let mut stream = server.connect();
    for piece in b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc".chunks(5) {
        stream.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    assert!(rest(&mut stream).ends_with("\r\n\r\nabc"));
    server.end(on);
}

fn a_body_comes_back(on: &Systems) {
    let server = Server::start(on, PATIENCE);
    let body = "0123456789abcdef".repeat(64 * 1024);
    let head = format!("POST /echo HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let answer = server.ask((head + &body).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&body));
    let mut stream = server.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").unwrap();
    read_to(&mut stream, "100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    read_to(&mut stream, "\r\n\r\nok");
    drop(stream);
    server.end(on);
}

fn what_cannot_be_served_is_refused(on: &Systems) {
    let server = Server::start(on, PATIENCE);
    let long = format!("GET / HTTP/1.1\r\nLong: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
    let large = format!("POST /echo HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n{}", "x".repeat(1_048_577));
    for (request, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", 400),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        ("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (large.as_str(), 413),
        (long.as_str(), 431),
        (many.as_str(), 431),
    ] {
        let answer = server.ask(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "not {status}, but: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "nothing is served after it: {answer}");
    }
    server.end(on);
}

fn a_client_that_is_too_slow_is_refused_and_holds_up_nobody(on: &Systems) {
    let patience = Duration::from_millis(300);
    let server = Server::start(on, patience);
    let start = Instant::now();
    let mut slow: Vec<_> = (0..20).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(b"GET / HT").unwrap());
    assert!(server.ask(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").contains("200 OK"));
    for stream in &mut slow {
        assert!(rest(stream).starts_with("HTTP/1.1 408 "));
    }
    assert!(start.elapsed() >= patience);
    drop(slow);
    server.end(on);
}

fn a_client_that_does_not_read_is_cut_off(on: &Systems) {
    let server = Server::start(on, Duration::from_millis(300));
    let mut stream = server.connect();
    let body = "x".repeat(1_000_000);
    let request = format!("POST /echo HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    // More than the system's buffers take. It ends with an error, as the server closes the connection.
    let cut_off = (0..100).any(|_| stream.write_all(request.as_bytes()).is_err());
    assert!(cut_off, "100 MB were taken from a client that reads nothing");
    server.end(on);
}

fn a_server_that_ends_finishes_what_has_begun(on: &Systems) {
    let server = Server::start(on, PATIENCE);
    let (mut idle, mut busy) = (server.connect(), server.connect());
    idle.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    read_to(&mut idle, "plies.\n");
    busy.write_all(b"GET / HTTP/1.1\r\n\r\nPOST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\no").unwrap();
    // The first answer shows that the second request has begun to be read.
    read_to(&mut busy, "plies.\n");
    let address = server.address;
    thread::scope(|scope| {
        scope.spawn(|| server.end(on));
        assert_eq!(rest(&mut idle), "", "an idle client is let go");
        busy.write_all(b"k").unwrap();
        let last = rest(&mut busy);
        assert!(last.ends_with("\r\n\r\nok") && last.contains("connection: close"), "{last}");
        drop(busy);
    });
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}
