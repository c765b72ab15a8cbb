//! The server of the example `http_pull`, its own source, on every backend: the application answers in its
//! own order and each client hears in that of its requests; errors harm nobody else, and leave nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use twoply::net::TcpListener;
use twoply::{Wait, time};
use twoply_tests::{Resources, Systems, eventually, laws};

#[path = "../../examples/http_pull/connection.rs"]
mod connection;
#[path = "../../examples/http/head.rs"]
mod head;
#[path = "../../examples/http_pull/server.rs"]
mod server;

use connection::{Request, Settings};
use server::{Closer, Server, Starter};

laws! {
    mixed { clients_and_the_application_run_elsewhere }
    everywhere {
        answers_leave_in_the_order_of_the_requests,
        nobody_waits_for_the_answer_of_another_client,
        what_cannot_be_served_is_refused_in_its_turn,
        a_client_that_is_too_slow_is_refused,
        a_request_that_nobody_answers_gets_an_answer,
        a_client_that_does_not_read_is_cut_off,
        a_client_runs_ahead_of_its_answers_only_so_far,
        a_server_that_ends_finishes_what_has_begun,
        nothing_is_left_of_clients_that_break_off,
    }
}

/// How long anybody may take, unless the test is about that.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long those may take that the test is about.
const SHORT: Duration = Duration::from_millis(600);

const GET: &str = "GET / HTTP/1.1\r\n\r\n";
const LAST: &str = "GET /last HTTP/1.1\r\nConnection: close\r\n\r\n";

fn settings() -> Settings {
    Settings { patience: PATIENCE, idle: PATIENCE, answer_within: PATIENCE, pipeline: 8, backlog: 8 }
}

/// A running server, whose application is the test.
struct Running {
    server: Server,
    closer: Closer,
    address: SocketAddr,
}

impl Running {
    fn start(on: &Systems, settings: Settings) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let address = listener.local_addr().unwrap();
        let starter = Starter { spawner: on.here().spawner().clone(), straight: on.kind().is_fibers() };
        let (server, closer) = Server::start(listener, starter, settings);
        Running { server, closer, address }
    }

    /// Connects, and sends this.
    fn send(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    }

    fn next(&self) -> Request {
        time::timeout(PATIENCE, self.server.next()).wait().expect("a request comes").expect("the server runs")
    }

    /// Pulls this many requests.
    fn pull(&self, count: usize) -> Vec<Request> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Ends the server; then nothing is left of it.
    fn end(self, on: &Systems) {
        drop(self.closer);
        assert!(self.server.next().wait().is_none());
        self.server.ended().wait().unwrap();
        eventually("no client is left", || on.here().tasks() == 0);
    }
}

/// Reads to the end.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the server closes in order");
    String::from_utf8(bytes).unwrap()
}

/// Reads one answer, and returns its status and its body.
fn answer(stream: &mut TcpStream) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("there is more to come");
        head.push(byte[0] as char);
    }
    let field = |name: &str| head.split_once(name).unwrap().1.split_once("\r\n").unwrap().0.to_owned();
    let mut body = vec![0; field("content-length: ").parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (field("HTTP/1.1 "), String::from_utf8(body).unwrap())
}

fn answers_leave_in_the_order_of_the_requests(on: &Systems) {
    let running = Running::start(on, settings());
    let requests: String = (0..5).map(|n| format!("GET /{n} HTTP/1.1\r\n\r\n")).collect();
    let mut client = running.send(&requests);
    for round in 0..3 {
        let mut requests = running.pull(5);
        match round {
            0 => requests.reverse(),
            1 => requests.swap(0, 3),
            _ => requests.rotate_left(2),
        }
        for request in requests {
            let (method, body) = if round == 0 { ("GET", &b""[..]) } else { ("POST", &b"ab"[..]) };
            assert_eq!((request.method.as_str(), request.body.as_slice()), (method, body));
            let path = request.path.clone();
            assert!(request.reply("200 OK", path));
        }
        for n in 0..5 {
            assert_eq!(answer(&mut client), ("200 OK".to_owned(), format!("/{n}")));
        }
        if round < 2 {
            let again: String =
                (0..5).map(|n| format!("POST /{n} HTTP/1.1\r\nContent-Length: 2\r\n\r\nab")).collect();
            client.write_all(again.as_bytes()).unwrap();
        }
    }
    drop(client);
    running.end(on);
}

fn clients_and_the_application_run_elsewhere(on: &Systems) {
    const CLIENTS: usize = 8;
    const EACH: usize = 25;
    let running = Running::start(on, settings());
    let address = running.address;
    let Running { server, closer, .. } = running;
    // It answers each second request before the one that came before it.
    let application = on.there().spawn(async move {
        let mut aside = None;
        for _ in 0..CLIENTS * EACH {
            let request = server.next().await.expect("the server runs");
            let Some(before) = aside.replace(request) else { continue };
            let request = aside.take().unwrap();
            for request in [request, before] {
                let path = request.path.clone();
                assert!(request.reply("200 OK", path));
            }
        }
        server
    });
    let clients = (0..CLIENTS).map(|client| {
        on.there().spawn(async move {
            let stream = twoply::net::TcpStream::connect(address).await.unwrap();
            let request = |n| format!("GET /{client}/{n} HTTP/1.1\r\n\r\n");
            let requests: String = (0..EACH).map(request).collect();
            let write = async { stream.write_all(requests.as_bytes()).await.unwrap() };
            let read = async {
                let mut heard = String::new();
                let mut buf = [0; 100];
                while heard.matches("HTTP/1.1 200").count() < EACH
                    || !heard.ends_with(&format!("/{}", EACH - 1))
                {
                    let len = stream.read(&mut buf).await.unwrap();
                    assert!(len > 0, "the server waits for the next request");
                    heard.push_str(std::str::from_utf8(&buf[..len]).unwrap());
                }
                heard
            };
            let ((), heard) = twoply::future::join((write, read)).await;
            let bodies: Vec<_> =
                heard.split("HTTP/1.1 200").skip(1).map(|it| it.rsplit('\n').next()).collect();
            let expected: Vec<_> = (0..EACH).map(|n| format!("/{client}/{n}")).collect();
            assert!(bodies.iter().map(|body| body.unwrap()).eq(expected.iter()), "{bodies:?}");
        })
    });
    clients.collect::<Vec<_>>().into_iter().for_each(|client| client.wait().unwrap());
    let server = application.wait().unwrap();
    Running { server, closer, address }.end(on);
}

fn nobody_waits_for_the_answer_of_another_client(on: &Systems) {
    let running = Running::start(on, settings());
    let mut patient = running.send(GET);
    let aside = running.next();
    for _ in 0..10 {
        let mut client = running.send(LAST);
        assert!(running.next().reply("200 OK", "at once"));
        assert!(rest(&mut client).ends_with("at once"));
    }
    assert!(aside.is_awaited());
    assert!(aside.reply("200 OK", "at last"));
    assert_eq!(answer(&mut patient).1, "at last");
    drop(patient);
    running.end(on);
}

fn what_cannot_be_served_is_refused_in_its_turn(on: &Systems) {
    let running = Running::start(on, settings());
    let large = "POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n";
    for (bytes, status) in
        [("nonsense\r\n\r\n", "400"), (large, "413"), ("G\u{e9}T / HTTP/1.1\r\n\r\n", "400")]
    {
        let mut client = running.send(&(GET.to_owned() + bytes + GET));
        // The refusal waits for its turn, and is the last.
        let request = running.next();
        client.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert!(client.read(&mut [0]).is_err(), "nothing is said before the first request is answered");
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(request.reply("200 OK", "first"));
        let answers = rest(&mut client);
        let (first, second) = answers.split_once("first").unwrap();
        assert!(
            first.starts_with("HTTP/1.1 200 ") && second.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answers}"
        );
        assert_eq!(answers.matches("HTTP/1.1").count(), 2, "{answers}");
    }
    running.end(on);
}

fn a_client_that_is_too_slow_is_refused(on: &Systems) {
    let running = Running::start(on, Settings { patience: SHORT, idle: SHORT, ..settings() });
    let mut slow: Vec<_> =
        (0..10).map(|_| running.send("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")).collect();
    let mut idle = running.send("");
    let mut quick = running.send(LAST);
    assert!(running.next().reply("200 OK", ""));
    assert!(rest(&mut quick).starts_with("HTTP/1.1 200 "));
    for client in &mut slow {
        assert!(rest(client).starts_with("HTTP/1.1 408 "));
    }
    assert_eq!(rest(&mut idle), "");
    drop((slow, idle, quick));
    running.end(on);
}

fn a_request_that_nobody_answers_gets_an_answer(on: &Systems) {
    let running = Running::start(on, Settings { answer_within: SHORT, ..settings() });
    let mut client = running.send(&GET.repeat(3));
    let mut requests = running.pull(3);
    drop(requests.pop());
    assert!(requests.pop().unwrap().reply("200 OK", "second"));
    assert!(answer(&mut client).0.starts_with("503 "), "the first is late");
    assert_eq!(answer(&mut client).1, "second");
    assert!(answer(&mut client).0.starts_with("500 "), "the third was dropped");
    let late = requests.pop().unwrap();
    assert!(!late.is_awaited());
    assert!(!late.reply("200 OK", "late"), "who is late is told");
    // The connection goes on.
    client.write_all(LAST.as_bytes()).unwrap();
    assert!(running.next().reply("200 OK", "still here"));
    assert!(rest(&mut client).ends_with("still here"));
    running.end(on);
}

fn a_client_that_does_not_read_is_cut_off(on: &Systems) {
    let running = Running::start(on, Settings { patience: SHORT, ..settings() });
    let mut client = running.send(&GET.repeat(8));
    // More than the buffers of the system take.
    let replies = running.pull(8).into_iter().map(|request| request.reply("200 OK", vec![b'x'; 8 << 20]));
    assert!(replies.count() == 8);
    let mut bytes = Vec::new();
    eventually("it is cut off", || on.here().tasks() == 1);
    // It ends in the middle, or with a reset.
    let _ = client.read_to_end(&mut bytes);
    assert!(bytes.len() < 64 << 20);
    running.end(on);
}

fn a_client_runs_ahead_of_its_answers_only_so_far(on: &Systems) {
    let running = Running::start(on, Settings { pipeline: 2, ..settings() });
    let mut client = running.send(&GET.repeat(20));
    // One that is waited for, two in the queue; the next one is not handed on.
    let first = running.pull(3);
    assert!(time::timeout(SHORT, running.server.next()).wait().is_err());
    first.into_iter().for_each(|request| assert!(request.reply("200 OK", "")));
    for _ in 3..20 {
        assert!(running.next().reply("200 OK", ""));
    }
    (0..20).for_each(|_| assert_eq!(answer(&mut client).0, "200 OK"));
    drop(client);
    running.end(on);
}

fn a_server_that_ends_finishes_what_has_begun(on: &Systems) {
    let running = Running::start(on, settings());
    let (mut idle, mut busy) =
        (running.send(GET), running.send(&(GET.to_owned() + "POST /late HTTP/1.1\r\nCont")));
    running.pull(2).into_iter().for_each(|request| assert!(request.reply("200 OK", "hello")));
    for client in [&mut idle, &mut busy] {
        assert_eq!(answer(client).1, "hello");
    }
    let Running { server, closer, address } = running;
    drop(closer);
    assert_eq!(rest(&mut idle), "", "who asks for nothing is let go");
    busy.write_all(b"ent-Length: 2\r\n\r\nok").unwrap();
    let last = server.next().wait().unwrap();
    assert_eq!((last.path.as_str(), last.body.as_slice()), ("/late", &b"ok"[..]));
    assert!(last.reply("200 OK", "done"));
    let answer = rest(&mut busy);
    assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    drop((idle, busy));
    assert!(server.requests().next().is_none(), "the application is told of the end");
    server.ended().wait().unwrap();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

/// How many sockets this process has. Threads that are kept have descriptors of other kinds.
fn sockets() -> usize {
    let descriptors = Resources::now().descriptors;
    descriptors.iter().filter(|(name, _)| name.starts_with("socket:")).map(|(_, count)| count).sum()
}

fn nothing_is_left_of_clients_that_break_off(on: &Systems) {
    on.alone(|| {
        let rounds = |count: usize| {
            let running = Running::start(on, Settings { patience: PATIENCE, ..settings() });
            for round in 0..count {
                // In the middle of a head, of a body, of an answer; before an answer; with nonsense; reset.
                let _head = running.send("GET / HT");
                let _body = running.send("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf");
                let mut nonsense = running.send("\0\r\n\r\n");
                assert!(rest(&mut nonsense).starts_with("HTTP/1.1 400 "));
                let unread = running.send(GET);
                running.next().reply("200 OK", vec![b'x'; 4 << 20]);
                unread.shutdown(Shutdown::Both).unwrap();
                let gone = running.send(GET);
                let aside = running.next();
                drop(gone);
                if round % 2 == 0 {
                    drop(aside);
                } else {
                    aside.reply("200 OK", "nobody hears this");
                }
            }
            running.end(on);
        };
        rounds(2);
        let before = sockets();
        rounds(20);
        eventually("all sockets are closed", || sockets() <= before);
    });
}
