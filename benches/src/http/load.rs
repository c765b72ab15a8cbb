//! The load generator: one thread, one `epoll` instance, a closed loop.
//!
//! Each connection has one request under way and sends the next as soon as the response is there. So the load
//! adapts to the server, and a stall of the server hides the requests that an open loop would have sent
//! meanwhile: the high quantiles are a lower bound of what independent clients would see.
//!
//! It shares the machine's cores with the server, as `wrk` would. Every response is compared with the first.
//!
//! Some connections may be *odd*: they ask for another path, one that is unfair to the rest, and have the
//! same answer. Then the latencies are those of the others.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use httparse::{EMPTY_HEADER, Response, Status};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

/// The connections that are not as the others.
#[derive(Clone, Copy)]
pub(crate) struct Odd {
    /// One in that many.
    pub(crate) every: usize,
    /// What they ask for.
    pub(crate) path: &'static str,
}

/// What is asked for. About what `wrk` sends.
fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into()
}

/// What the servers must answer.
const BODY: &[u8] = b"Hello, world!";

/// How often the clock is looked at while nothing arrives.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// How many connections are opened before the next ones are: fewer than wait in the backlog of any of the
/// servers.
const GROUP: usize = 1000;

/// How long the first responses of a group may take: a slow server's kernel asks the client to come back in a
/// second, in three, and in seven.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may go without a response once the measuring is done.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client with its connections.
pub(crate) struct Load {
    /// Watches all connections, level-triggered, by their index.
    epoll: OwnedFd,
    /// What one wait has found.
    events: Vec<Event>,
    /// The connections, each with a request under way while the loop is closed.
    clients: Vec<Client>,
    /// What most connections ask, and what the odd ones do.
    requests: [Vec<u8>; 2],
    /// The response that each must be.
    expected: Vec<u8>,
}

/// One connection.
struct Client {
    /// Non-blocking, and registered with the load's epoll instance.
    stream: TcpStream,
    /// How much of the response has come and was right.
    matched: usize,
    /// When the request was sent.
    sent: Instant,
    /// Whether it is one of the odd ones.
    odd: bool,
}

/// What a window has seen.
pub(crate) struct Window {
    /// The responses that arrived in it, those to the odd connections not counted.
    pub(crate) responses: usize,
    /// The responses to the odd connections.
    pub(crate) odd_responses: usize,
    /// How long it really was.
    pub(crate) took: Duration,
    /// From the sending of a request to its whole response, in nanoseconds, without those of the odd
    /// connections.
    pub(crate) latency: Histogram<u64>,
}

impl Window {
    /// Makes this one as long as it and `next` are together, which begins where it ends.
    pub(crate) fn extend(&mut self, next: &Self) -> Result<()> {
        self.responses += next.responses;
        self.odd_responses += next.odd_responses;
        self.took += next.took;
        Ok(self.latency.add(&next.latency)?)
    }
}

impl Load {
    /// Opens the connections, and lets each of them have one response before the measuring: who has to accept
    /// ten thousand of them should not do so in competition with those that it has accepted already.
    pub(crate) fn start(server: SocketAddr, connections: usize, odd: Option<Odd>) -> Result<Self> {
        let requests = [request("/"), request(odd.map_or("/", |odd| odd.path))];
        let expected = first_response(server)?;
        let events = Vec::with_capacity(connections.clamp(1, 256));
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut load = Self { epoll, events, clients: Vec::with_capacity(connections), requests, expected };
        while load.clients.len() < connections {
            let group = (connections - load.clients.len()).min(GROUP);
            for _ in 0..group {
                load.connect(server, odd)?;
            }
            load.collect(group)?;
        }
        Ok(load)
    }

    /// Opens a connection and sends a request as of those that are not odd.
    fn connect(&mut self, server: SocketAddr, odd: Option<Odd>) -> Result<()> {
        let index = self.clients.len();
        let mut stream = TcpStream::connect(server).context("connecting to the server")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(&self.epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        stream.write_all(&self.requests[0])?;
        // Not the first ones, which would make them the first to be served.
        let odd = odd.is_some_and(|odd| index % odd.every == odd.every / 2);
        self.clients.push(Client { stream, matched: 0, sent: Instant::now(), odd });
        Ok(())
    }

    /// Waits for that many responses and asks for nothing more.
    fn collect(&mut self, wanted: usize) -> Result<()> {
        let start = Instant::now();
        let mut responses = 0;
        while responses < wanted {
            ensure!(start.elapsed() < FIRST_PATIENCE, "{responses} of {wanted} connections had a response");
            self.wait()?;
            for event in &self.events {
                let client = &mut self.clients[event.data.u64() as usize];
                responses += usize::from(client.turn(&[], &self.expected)?.is_some());
            }
        }
        Ok(())
    }

    /// Closes the loop: sends a request on each connection.
    pub(crate) fn close_loop(&mut self) -> Result<()> {
        for client in &mut self.clients {
            client.stream.write_all(&self.requests[usize::from(client.odd)])?;
            client.sent = Instant::now();
        }
        Ok(())
    }

    /// Answers each response with the next request for that long.
    pub(crate) fn run(&mut self, length: Duration) -> Result<Window> {
        let mut latency = Histogram::new(3)?;
        let start = Instant::now();
        let (mut responses, mut odd_responses) = (0, 0);
        while start.elapsed() < length {
            self.wait()?;
            for event in &self.events {
                let client = &mut self.clients[event.data.u64() as usize];
                let request = &self.requests[usize::from(client.odd)];
                let Some(took) = client.turn(request, &self.expected)? else { continue };
                if client.odd {
                    odd_responses += 1;
                } else {
                    latency.record(took.as_nanos() as u64)?;
                    responses += 1;
                }
            }
        }
        Ok(Window { responses, odd_responses, took: start.elapsed(), latency })
    }

    /// Waits for responses, for a tick at most.
    fn wait(&mut self) -> Result<()> {
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&TICK)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting for responses"),
        }
    }

    /// Checks that each connection has had a response since the loop was closed. Those that have waited in
    /// vain up to now get some more time: the machine may be slow, but nobody may be forgotten.
    pub(crate) fn check_all_served(&mut self, closed: Instant) -> Result<()> {
        let starved = |load: &Self| load.clients.iter().filter(|client| client.sent <= closed).count();
        let limit = Instant::now() + PATIENCE;
        while starved(self) > 0 && Instant::now() < limit {
            self.run(Duration::from_millis(100))?;
        }
        let starved = starved(self);
        ensure!(starved == 0, "{starved} of {} connections never had a response", self.clients.len());
        Ok(())
    }
}

impl Client {
    /// Reads what has come. When the response is complete, sends the next request and answers how long it
    /// took.
    fn turn(&mut self, request: &[u8], expected: &[u8]) -> Result<Option<Duration>> {
        let mut buffer = [0; 1024];
        let count = match self.stream.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("reading a response"),
        };
        ensure!(count > 0, "the server closed a connection");
        let matched = self.matched + count;
        let right = expected.get(self.matched..matched) == Some(&buffer[..count]);
        ensure!(right, "a wrong response: {:?}", String::from_utf8_lossy(&buffer[..count]));
        if matched < expected.len() {
            self.matched = matched;
            return Ok(None);
        }
        let now = Instant::now();
        let took = now - self.sent;
        self.stream.write_all(request).context("sending a request")?;
        self.matched = 0;
        self.sent = now;
        Ok(Some(took))
    }
}

/// Asks once on a connection of its own and checks that the response is what it should be.
fn first_response(server: SocketAddr) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).context("connecting to the server")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&request("/"))?;
    let mut response = Vec::new();
    loop {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).context("reading the first response")?;
        ensure!(count > 0, "the server closed the connection after {:?}", String::from_utf8_lossy(&response));
        response.extend_from_slice(&buffer[..count]);

        let mut headers = [EMPTY_HEADER; 32];
        let mut parsed = Response::new(&mut headers);
        let Status::Complete(head) = parsed.parse(&response)? else { continue };
        ensure!(parsed.code == Some(200), "the server answered with status {:?}", parsed.code);
        if response.len() >= head + BODY.len() {
            let body = &response[head..];
            ensure!(body == BODY, "the server answered with the body {:?}", String::from_utf8_lossy(body));
            return Ok(response);
        }
    }
}
