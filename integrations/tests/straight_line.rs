//! The protocols of PostgreSQL and Redis in straight-line code, over our sockets: a driver that blocks is
//! whatever reads and writes by the traits of std. A stack that waits for a server holds nobody up but
//! itself, without `offload`: a fiber is suspended, and a green thread gives its worker away.

use std::io::{self, Read, Write};
use std::sync::OnceLock;

use bytes::BytesMut;
use postgres::fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use redis::{Commands, ConnectionLike, InfoDict};
use twoply::net::TcpStream;
use twoply::redis::Connection;
use twoply::{Wait, channel};
use twoply_integrations::Server;
use twoply_tests::{Kind, Systems, eventually};

/// The port of the server that the laws ask, while their test runs.
static POSTGRES: OnceLock<u16> = OnceLock::new();
static REDIS: OnceLock<u16> = OnceLock::new();

/// A law and its name.
type Law = (&'static str, fn(&Systems));

/// Checks laws on all systems, with a server that lasts as long as they do.
fn check(port: &OnceLock<u16>, server: io::Result<Option<Server>>, laws: &[Law]) {
    let Some(server) = server.expect("a server that is installed starts") else { return };
    port.set(server.port).unwrap();
    for (name, law) in laws {
        for kind in [Kind::Native, Kind::Green1, Kind::Green2, Kind::Fibers1, Kind::Fibers2] {
            Systems::check(name, kind, *law);
        }
    }
}

#[test]
fn postgres_is_asked_in_straight_line_code() {
    check(
        &POSTGRES,
        twoply_integrations::postgres(),
        &[("many_sessions", postgres_answers_many), ("a_lock", postgres_makes_some_wait)],
    );
}

#[test]
fn redis_is_asked_in_straight_line_code() {
    check(
        &REDIS,
        twoply_integrations::redis(),
        &[
            ("commands", redis_obeys),
            ("a_list", redis_makes_some_wait),
            ("a_password", redis_asks_for_a_password),
            ("a_database", redis_has_several_databases),
        ],
    );
}

fn connect(port: &OnceLock<u16>) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", *port.get().expect("the server runs"))).wait()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Has a stack on each worker `wait` in a call that a server answers when it is told to. A task on the same
/// workers asks `count` how many of them the server knows to be waiting, and lets them go by `release` when
/// all are. The watchdog has no part in that: it would have taken a worker from a stack that is stuck in a
/// call of the system's.
fn wait_on_each_worker<S: Send + 'static>(
    on: &Systems,
    wait: impl Fn() + Clone + Send + 'static,
    mut session: S,
    count: impl Fn(&mut S) -> usize + Send + 'static,
    release: impl FnOnce(&mut S, usize) + Send + 'static,
) {
    let stacks = on.kind().workers().max(1);
    let ((tell, told), (go_on, goes_on)) = (channel::bounded(1), channel::bounded(1));
    let waiting: Vec<_> = (0..stacks).map(|_| on.here().spawn_fn(wait.clone())).collect();
    let releasing = on.here().spawn_fn(move || {
        while count(&mut session) < stacks {}
        tell.send(()).wait().unwrap();
        goes_on.recv().wait().unwrap();
        release(&mut session, stacks);
    });
    told.recv().wait().unwrap();
    if on.kind().is_green() {
        // A thread that was slow for another reason is not stuck for long.
        eventually("no thread is stuck", || on.here().metrics().stuck == 0);
    }
    if on.kind().is_fibers() {
        let metrics = on.here().metrics();
        assert!(metrics.blocked_fibers >= stacks, "{metrics:?}");
        assert!(metrics.workers.iter().all(|worker| worker.handovers == 0), "{metrics:?}");
    }
    go_on.send(()).wait().unwrap();
    releasing.wait().unwrap();
    waiting.into_iter().for_each(|stack| stack.wait().unwrap());
}

/// A session with PostgreSQL over a stream that blocks: the messages are those of the `postgres` crate.
struct Session<S> {
    stream: S,
    received: BytesMut,
}

fn open_session() -> Session<TcpStream> {
    Session::begin(connect(&POSTGRES).unwrap()).unwrap()
}

impl<S: Read + Write> Session<S> {
    fn begin(stream: S) -> io::Result<Session<S>> {
        let mut session = Session { stream, received: BytesMut::new() };
        let mut request = BytesMut::new();
        frontend::startup_message([("user", "postgres"), ("database", "postgres")], &mut request)?;
        session.answer_to(&request)?;
        Ok(session)
    }

    /// Asks a question with one parameter, and returns the first column of each row.
    fn ask(&mut self, question: &str, parameter: &str) -> io::Result<Vec<String>> {
        let mut request = BytesMut::new();
        frontend::parse("", question, [], &mut request)?;
        let write = |value: &str, buf: &mut BytesMut| {
            buf.extend_from_slice(value.as_bytes());
            Ok(IsNull::No)
        };
        let bound = frontend::bind("", "", [], [parameter], write, [], &mut request);
        bound.map_err(|_| io::ErrorKind::InvalidInput)?;
        frontend::execute("", 0, &mut request)?;
        frontend::sync(&mut request);
        self.answer_to(&request)
    }

    /// Sends a request, and reads until the server is ready for the next one.
    fn answer_to(&mut self, request: &[u8]) -> io::Result<Vec<String>> {
        self.stream.write_all(request)?;
        let mut answer = Ok(Vec::new());
        loop {
            match self.receive()? {
                Message::DataRow(row) => {
                    if let Ok(rows) = &mut answer {
                        rows.push(first_column(&row)?);
                    }
                }
                Message::ErrorResponse(error) => answer = Err(read_error(&error)?),
                Message::ReadyForQuery(_) => return answer,
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = Message::parse(&mut self.received)? {
                return Ok(message);
            }
            let mut part = [0; 4096];
            match self.stream.read(&mut part)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.received.extend_from_slice(&part[..length]),
            }
        }
    }
}

fn first_column(row: &DataRowBody) -> io::Result<String> {
    let range = row.ranges().next()?.flatten();
    Ok(range.map_or_else(String::new, |range| String::from_utf8_lossy(&row.buffer()[range]).into_owned()))
}

/// Returns an error of the server's, with its code as the text.
fn read_error(error: &ErrorResponseBody) -> io::Result<io::Error> {
    let code = error.fields().find(|field| Ok(field.type_() == b'C'))?;
    Ok(io::Error::other(
        code.map_or_else(String::new, |code| String::from_utf8_lossy(code.value_bytes()).into_owned()),
    ))
}

fn postgres_answers_many(on: &Systems) {
    let sessions = (0..5).map(|n| {
        on.here().spawn_fn(move || {
            let mut session = open_session();
            for m in 0..10 {
                let row = session.ask("SELECT $1::int4 * 2", &(n * m).to_string()).unwrap();
                assert_eq!(row, [(n * m * 2).to_string()]);
            }
            let many = session.ask("SELECT n FROM generate_series(1, $1::int4) n", "5000").unwrap();
            assert_eq!((many.len(), many.last().map(String::as_str)), (5000, Some("5000")));
            // A question that fails leaves the session as it was.
            assert_eq!(session.ask("SELECT 1 / $1::int4", "0").unwrap_err().to_string(), "22012");
            assert_eq!(session.ask("SELECT $1::text", "on").unwrap(), ["on"]);
        })
    });
    for session in sessions.collect::<Vec<_>>() {
        session.wait().unwrap();
    }
}

fn postgres_makes_some_wait(on: &Systems) {
    // A lock of the server's: whoever waits for it is held up in the midst of a call.
    let mut holding = open_session();
    holding.ask("SELECT pg_advisory_lock($1::int8)", "1").unwrap();
    let wait = || {
        let mut session = open_session();
        session.ask("SELECT pg_advisory_lock_shared($1::int8)", "1").unwrap();
        assert_eq!(session.ask("SELECT $1::int4 * 2", "21").unwrap(), ["42"]);
    };
    let count = |session: &mut Session<TcpStream>| {
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = $1 AND NOT granted";
        session.ask(waiting, "advisory").unwrap()[0].parse().unwrap()
    };
    wait_on_each_worker(on, wait, holding, count, |session, _| {
        assert_eq!(session.ask("SELECT pg_advisory_unlock($1::int8)", "1").unwrap(), ["t"]);
    });
}

fn open_connection() -> Connection<TcpStream> {
    Connection::new(connect(&REDIS).unwrap())
}

fn redis_obeys(on: &Systems) {
    let key = format!("{:?} obeys", on.kind());
    let mut connection = open_connection();
    let _: () = connection.set(&key, 41).unwrap();
    let adding = (0..5).map(|_| {
        let key = key.clone();
        on.here().spawn_fn(move || {
            let mut connection = open_connection();
            assert!(connection.check_connection());
            // Many commands in one message.
            let mut pipeline = redis::pipe();
            for _ in 0..10 {
                pipeline.incr(&key, 1).ignore();
            }
            pipeline.exec(&mut connection).unwrap();
            assert!(connection.lpop::<_, ()>(&key, None).is_err(), "it is a number");
            assert!(connection.is_open());
        })
    });
    for task in adding.collect::<Vec<_>>() {
        task.wait().unwrap();
    }
    assert_eq!(connection.get::<_, u32>(&key).unwrap(), 91);
    // A transaction that is refused leaves no answer behind, which the next question would get.
    let mut transaction = redis::pipe();
    transaction.atomic().cmd("SET").arg(&key).ignore().incr(&key, 1);
    assert!(transaction.exec(&mut connection).is_err(), "a value is missing");
    assert_eq!(connection.get::<_, u32>(&key).unwrap(), 91);
    assert!(connection.is_open());
}

fn redis_makes_some_wait(on: &Systems) {
    let key = format!("{:?} waits in a list", on.kind());
    let waited = key.clone();
    // A call that the server answers when somebody else has something for it.
    let wait = move || {
        let answer: (String, u32) = open_connection().blpop(&waited, 60.0).unwrap();
        assert_eq!(answer, (waited.clone(), 5));
    };
    let count = |connection: &mut Connection<TcpStream>| {
        let info: InfoDict = redis::cmd("INFO").arg("clients").query(connection).unwrap();
        info.get("blocked_clients").unwrap()
    };
    wait_on_each_worker(on, wait, open_connection(), count, move |connection, stacks| {
        connection.rpush::<_, _, ()>(key, vec![5; stacks]).unwrap();
    });
}

fn redis_asks_for_a_password(on: &Systems) {
    let mut administrator = open_connection();
    let secret = |text: &str, connection: &mut Connection<TcpStream>| {
        redis::cmd("CONFIG").arg("SET").arg("requirepass").arg(text).exec(connection).unwrap();
    };
    secret("open sesame", &mut administrator);
    let stranger = on.here().spawn_fn(|| {
        let mut connection = open_connection();
        let key = "whoever asks";
        let code = |error: redis::RedisError| error.code().map(str::to_owned);
        assert_eq!(code(connection.get::<_, ()>(key).unwrap_err()).as_deref(), Some("NOAUTH"));
        let enter = |word: &str, connection: &mut Connection<TcpStream>| {
            redis::cmd("AUTH").arg(word).exec(connection)
        };
        assert_eq!(code(enter("please", &mut connection).unwrap_err()).as_deref(), Some("WRONGPASS"));
        // What is refused is an answer: the connection goes on.
        assert!(connection.is_open());
        enter("open sesame", &mut connection).unwrap();
        connection.set::<_, _, ()>(key, 7).unwrap();
        assert_eq!(connection.get::<_, u32>(key).unwrap(), 7);
    });
    let outcome = stranger.wait();
    secret("", &mut administrator);
    outcome.unwrap();
}

fn redis_has_several_databases(on: &Systems) {
    let key = format!("{:?} has several", on.kind());
    let task = on.here().spawn_fn(move || {
        let select = |number: u8, connection: &mut Connection<TcpStream>| {
            redis::cmd("SELECT").arg(number).exec(connection).unwrap();
        };
        let (mut elsewhere, mut here) = (open_connection(), open_connection());
        select(1, &mut elsewhere);
        elsewhere.set::<_, _, ()>(&key, 1).unwrap();
        assert_eq!(here.get::<_, Option<u32>>(&key).unwrap(), None);
        select(1, &mut here);
        assert_eq!(here.get::<_, Option<u32>>(&key).unwrap(), Some(1));
    });
    task.wait().unwrap();
}
