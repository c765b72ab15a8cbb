//! The program `http` itself, as an operator meets it: it is interrupted in the middle of a request, and it
//! runs out of descriptors. What it answers to requests is tested with its source, in `tests/tests/http.rs`.
//!
//! Cargo builds examples before it runs a package's tests; asked for this test alone, it does not.
#![forbid(unsafe_code)]

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is not a hang.
const LIMIT: Duration = Duration::from_secs(20);

/// The backends by their names on the command line.
const BACKENDS: [&str; 3] = ["native", "green", "fibers"];

/// A running server; killed when it is dropped, whatever has become of the test.
struct Server {
    /// The process.
    child: Child,
    /// Where it listens.
    address: SocketAddr,
}

impl Server {
    /// Starts one that has `descriptors` at most.
    fn start(backend: &str, descriptors: u32) -> Server {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")])
            .arg(program())
            .args(["--backend", backend, "--addr", "127.0.0.1:0", "--workers", "2", "--drain", "20"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is text");
        let address = line.strip_prefix("http://").and_then(|rest| rest.split(' ').next());
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{backend}: it says {line:?} instead of its address"));
        Server { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("it is not zero");
        stream
    }

    /// What Ctrl-C does.
    fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(sent.expect("there is `kill`").success());
    }

    /// Waits for its end.
    fn ended(mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(start.elapsed() < LIMIT, "it does not end");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo has put the example, beside this test.
fn program() -> PathBuf {
    let test = env::current_exe().expect("the test knows where it is");
    let folder = test.ancestors().nth(2).expect("it is in `deps`, in the folder of the profile");
    let program = folder.join("examples/http");
    assert!(program.exists(), "{} is missing: `cargo build --example http` makes it", program.display());
    program
}

/// Sends `request` and reads until the answer ends in `end`.
fn ask(stream: &mut TcpStream, request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).expect("it reads");
    read_to(stream, end)
}

/// Reads until `end` has come.
fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {text:?}"));
        text.push(byte[0] as char);
    }
    text
}

const GET: &str = "GET / HTTP/1.1\r\n\r\n";
const HELLO: &str = "Hello from two plies.\n";

#[test]
fn an_interrupted_server_finishes_what_has_begun_and_ends_well() {
    for backend in BACKENDS {
        let server = Server::start(backend, 200);
        let (mut busy, mut idle) = (server.connect(), server.connect());
        ask(&mut idle, GET, HELLO);
        // Ten requests in one piece, and the beginning of one more: its first answers show that it has begun.
        ask(&mut busy, &(GET.repeat(10) + "POST /echo HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"), HELLO);
        for _ in 1..10 {
            read_to(&mut busy, HELLO);
        }
        server.interrupt();
        // The idle client is let go; by then nobody is accepted any more.
        assert_eq!(idle.read(&mut [0]).expect("it is closed in order"), 0, "{backend}");
        let last = ask(&mut busy, "cd", "\r\n\r\nabcd");
        assert!(last.contains("200 OK") && last.contains("connection: close"), "{backend}: {last}");
        assert_eq!(busy.read(&mut [0]).expect("it is closed in order"), 0, "{backend}");
        drop((busy, idle));
        let status = server.ended();
        assert!(status.success(), "{backend}: {status}");
    }
}

#[test]
fn a_server_without_clients_ends_at_once() {
    for backend in BACKENDS {
        let server = Server::start(backend, 200);
        server.interrupt();
        let status = server.ended();
        assert!(status.success(), "{backend}: {status}");
    }
}

#[test]
fn a_server_outlives_a_shortage_of_descriptors() {
    for backend in BACKENDS {
        let server = Server::start(backend, 40);
        let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.write_all(GET.as_bytes()).expect("the system takes it");
        }
        // The first ones are served; the last ones cannot have been accepted.
        for client in &mut clients[..10] {
            read_to(client, HELLO);
        }
        let mut waiting = clients.split_off(40);
        let last = waiting.last_mut().expect("there are 20");
        last.set_read_timeout(Some(Duration::from_millis(50))).expect("it is not zero");
        assert!(last.read(&mut [0]).is_err(), "{backend}: 60 clients on 40 descriptors");
        last.set_read_timeout(Some(LIMIT)).expect("it is not zero");
        // A client that is there goes on; when some go, the others have their turn.
        ask(&mut clients[0], GET, HELLO);
        drop(clients);
        // Each goes when it has been served: on native tasks a connection takes two descriptors.
        for mut client in waiting {
            read_to(&mut client, HELLO);
        }
        server.interrupt();
        let status = server.ended();
        assert!(status.success(), "{backend}: {status}");
    }
}
