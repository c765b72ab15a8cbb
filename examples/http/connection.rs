//! HTTP/1.1 on one connection, as a stream of requests that the application pulls and answers.
//!
//! It keeps the promises that a server makes to the outside: limits on what a client may send and on how long
//! it may take, answers in order, bad requests refused. It starts no task and does not know what it runs on.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::ops::Range;
use std::time::{Duration, Instant};

use twoply::channel::Receiver;
use twoply::future::{OneOf, select};
use twoply::net::{Shutdown, TcpStream};
use twoply::time;

use crate::head::Head;

/// The longest body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// The memory for what is received from a client that sends little, in bytes.
const BUFFER: usize = 4096;
/// Answers to pipelined requests are gathered up to this many bytes.
const MAX_OUTPUT: usize = 64 * 1024;
/// How long a client may keep a connection on which nothing happens.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client whose connection is being closed may take to read the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// A client's connection.
pub(crate) struct Connection {
    /// The connection itself.
    stream: TcpStream,
    /// Closed when the server wants to end.
    closing: Receiver<Infallible>,
    /// How long the client may take to send a request, and to read what is written at a time.
    patience: Duration,
    /// What has been received lies in front, at `unread`; behind it is room.
    input: Vec<u8>,
    /// Received bytes that belong to no request yet.
    unread: Range<usize>,
    /// Answers that have not been written.
    output: Vec<u8>,
    /// Whether there is another request after this one.
    keep_alive: bool,
}

/// A request. It waits for its [`reply`](Request::reply).
#[must_use = "the client waits for a reply"]
pub(crate) struct Request<'a> {
    /// `GET`, `POST` and so on.
    pub(crate) method: &'a str,
    /// What is asked for.
    pub(crate) path: &'a str,
    /// What came with it.
    pub(crate) body: &'a [u8],
    /// Where the answer goes.
    output: &'a mut Vec<u8>,
    /// Whether the connection stays open after it.
    keep_alive: bool,
}

/// Why there is no request.
enum Failure {
    /// The connection is of no use any more.
    Io(io::Error),
    /// The client is told so, and the connection closed.
    Refused(&'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, closing: Receiver<Infallible>, patience: Duration) -> Connection {
        let (input, output) = (vec![0; BUFFER], Vec::new());
        Connection { stream, closing, patience, input, unread: 0..0, output, keep_alive: true }
    }

    /// The next request. `None` when there will be none, because the client or the server is done.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Request<'_>>> {
        if !self.keep_alive {
            self.finish().await?;
            return Ok(None);
        }
        let head = match self.receive().await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(None),
            Err(Failure::Io(error)) => return Err(error),
            Err(Failure::Refused(status)) => {
                reply(&mut self.output, status, status.as_bytes(), true, false);
                self.finish().await?;
                return Ok(None);
            }
        };
        self.keep_alive = head.keep_alive && !self.closing.is_closed();
        let request = &self.input[self.unread.start..][..head.len + head.body];
        self.unread.start += request.len();
        let text = |place| std::str::from_utf8(&request[place]).unwrap_or_default();
        let (method, path) = (text(head.method), text(head.path));
        let (body, keep_alive) = (&request[head.len..], self.keep_alive);
        Ok(Some(Request { method, path, body, output: &mut self.output, keep_alive }))
    }

    /// Receives until the next request is complete.
    async fn receive(&mut self) -> Result<Option<Head>, Failure> {
        if self.unread.is_empty() {
            self.flush().await?;
            // One large request does not make the connection keep its memory.
            self.input.truncate(BUFFER);
            self.input.shrink_to_fit();
            self.output.shrink_to(MAX_OUTPUT);
            let idle = select((self.closing.recv(), time::timeout(IDLE, self.stream.read(&mut self.input))));
            match idle.await {
                OneOf::Second(Ok(read)) => self.unread = 0..read?,
                // The server is done with it, and so is the client that is in the middle of nothing.
                OneOf::First(_) | OneOf::Second(Err(_)) => return Ok(None),
            }
            if self.unread.is_empty() {
                return Ok(None);
            }
        }
        if self.output.len() > MAX_OUTPUT {
            self.flush().await?;
        }
        let deadline = time::now() + self.patience;
        let head = loop {
            match Head::parse(&self.input[self.unread.clone()]).map_err(Failure::Refused)? {
                Some(head) => break head,
                None => self.read_more(deadline).await?,
            }
        };
        if head.body > MAX_BODY {
            return Err(Failure::Refused("413 Content Too Large"));
        }
        if head.expects_continue && self.unread.len() == head.len {
            self.output.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        while self.unread.len() < head.len + head.body {
            self.read_more(deadline).await?;
        }
        Ok(Some(head))
    }

    /// Receives some more bytes of a request that has begun.
    async fn read_more(&mut self, deadline: Instant) -> Result<(), Failure> {
        self.flush().await?;
        if self.unread.end == self.input.len() {
            self.input.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            if 2 * self.unread.end > self.input.len() {
                self.input.resize(2 * self.input.len(), 0);
            }
        }
        let read = self.stream.read(&mut self.input[self.unread.end..]);
        match time::timeout_at(deadline, read).await {
            Ok(Ok(0)) => return Err(Failure::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => self.unread.end += read?,
            Err(_) => return Err(Failure::Refused("408 Request Timeout")),
        }
        Ok(())
    }

    /// Writes the answers.
    async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            time::timeout(self.patience, self.stream.write_all(&self.output)).await??;
            self.output.clear();
        }
        Ok(())
    }

    /// Closes our side, and waits a moment for the client's: closing at once, with bytes of the client's
    /// unread, would reset the connection, and the client might lose the answer.
    async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown(Shutdown::Write)?;
        let rest = async {
            while self.stream.read(&mut self.input).await? > 0 {}
            Ok(())
        };
        time::timeout(LINGER, rest).await.unwrap_or(Ok(()))
    }
}

impl Request<'_> {
    /// Answers it.
    pub(crate) fn reply(self, status: &str, body: &[u8]) {
        reply(self.output, status, body, self.method != "HEAD", self.keep_alive);
    }
}

fn reply(output: &mut Vec<u8>, status: &str, body: &[u8], with_body: bool, keep_alive: bool) {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let length = body.len();
    let head = format_args!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: {connection}\r\n\r\n"
    );
    // Writing to memory does not fail.
    let _ = output.write_fmt(head);
    output.extend(if with_body { body } else { &[] });
}
