//! One client: a loop that reads its requests, and one that writes the answers in their order, whatever the
//! order in which the application gives them.
//!
//! The two have a queue of what the client is owed between them, whose length limits how far a client may run
//! ahead. Neither knows what it runs on.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use twoply::channel::{self, Receiver, Sender, oneshot};
use twoply::future::{OneOf, select};
use twoply::io::{BufReader, BufWriter};
use twoply::net::{Shutdown, TcpStream};
use twoply::time::{self, timeout, timeout_at};

use crate::head::{Head, MAX_HEAD};

/// The longest body, in bytes.
const MAX_BODY: usize = 1024 * 1024;
/// How long a client whose connection is being closed may take to read the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// How long everybody may take, and how much may be under way.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long a client may take to send a request, and to read an answer.
    pub(crate) patience: Duration,
    /// How long a client may keep a connection on which nothing happens.
    pub(crate) idle: Duration,
    /// How long the application may take to answer a request.
    pub(crate) answer_within: Duration,
    /// The most requests of one client that have not been answered.
    pub(crate) pipeline: usize,
    /// The most requests that the application has not pulled.
    pub(crate) backlog: usize,
}

/// A request. The client waits until it is answered, or dropped, or its time is over.
#[must_use = "the client waits for a reply"]
pub(crate) struct Request {
    /// `GET`, `POST` and so on.
    pub(crate) method: String,
    /// What is asked for.
    pub(crate) path: String,
    /// What came with it.
    pub(crate) body: Vec<u8>,
    /// Where the answer goes.
    answer: oneshot::Sender<Response>,
}

impl Request {
    /// Answers it. False: it comes too late, or the client has gone.
    pub(crate) fn reply(self, status: &'static str, body: impl Into<Vec<u8>>) -> bool {
        self.answer.send(Response { status, body: body.into() }).is_ok()
    }

    /// Whether somebody still waits for the answer.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.answer.is_closed()
    }
}

/// An answer.
struct Response {
    /// The code and its name.
    status: &'static str,
    /// What comes with it.
    body: Vec<u8>,
}

/// What a client is owed, in the order of what it has sent.
enum Owed {
    /// The answer to a request, which may not be there yet.
    Answer {
        /// Where it comes from.
        answer: oneshot::Receiver<Response>,
        /// When it has to be there.
        by: Instant,
        /// Whether the body is sent, too.
        with_body: bool,
        /// Whether the connection stays open after it.
        keep_alive: bool,
    },
    /// Leave to send the body of a request.
    Continue,
    /// The last answer, to what is no request.
    Refusal(&'static str),
}

/// Why there is no request.
enum Failure {
    /// The client has gone, or is to go.
    Over,
    /// The client is told so, and the connection closed.
    Refused(&'static str),
}

/// Serves one client to its end. Its requests go to the application by `requests`; `closing` is closed when
/// the server is to end. An error means that the client has broken the connection off.
pub(crate) async fn serve(
    stream: TcpStream,
    requests: Sender<Request>,
    closing: Receiver<Infallible>,
    settings: Settings,
) -> io::Result<()> {
    let (owed, owing) = channel::bounded(settings.pipeline);
    let mut reader = BufReader::new(&stream);
    reader.set_limit(MAX_HEAD + MAX_BODY);
    let reading = Reading { reader, requests, closing, owed, settings: &settings }.run();
    let mut writing = pin!(write_answers(&stream, owing, &settings));
    // What has been read is answered. A client that cannot be written to is not read from any more.
    match select((reading, writing.as_mut())).await {
        OneOf::First(()) => writing.await?,
        OneOf::Second(written) => written?,
    }
    // Closing at once, with bytes of the client's unread, would reset the connection, and the client might
    // lose the last answer.
    stream.shutdown(Shutdown::Write)?;
    let mut rest = [0; 4096];
    let read = async {
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    };
    timeout(LINGER, read).await.unwrap_or(Ok(()))
}

/// The loop that reads.
struct Reading<'a> {
    /// What the client sends.
    reader: BufReader<&'a TcpStream>,
    /// The way to the application.
    requests: Sender<Request>,
    /// Closed when the server is to end.
    closing: Receiver<Infallible>,
    /// The way to the loop that writes.
    owed: Sender<Owed>,
    /// How long the client may take.
    settings: &'a Settings,
}

impl Reading<'_> {
    /// Reads requests until there will be none.
    async fn run(mut self) {
        loop {
            match self.next().await {
                Ok(true) => {}
                Ok(false) | Err(Failure::Over) => return,
                Err(Failure::Refused(status)) => {
                    // It fails only when nobody writes any more.
                    let _ = self.owed.send(Owed::Refusal(status)).await;
                    return;
                }
            }
        }
    }

    /// Reads one request and hands it on. False: it was the last one.
    async fn next(&mut self) -> Result<bool, Failure> {
        if self.reader.buffer().is_empty() {
            let idle = select((self.closing.recv(), timeout(self.settings.idle, self.reader.fill_buf())));
            match idle.await {
                OneOf::Second(Ok(Ok([_, ..]))) => {}
                // The client or the server is done, or nothing has come for too long.
                _ => return Err(Failure::Over),
            }
        }
        let by = time::now() + self.settings.patience;
        let head = loop {
            match Head::parse(self.reader.buffer()).map_err(Failure::Refused)? {
                Some(head) => break head,
                None => self.read(self.reader.buffer().len() + 1, by).await?,
            }
        };
        if head.body > MAX_BODY {
            return Err(Failure::Refused("413 Content Too Large"));
        }
        if head.expects_continue && self.reader.buffer().len() == head.len {
            self.owe(Owed::Continue).await?;
        }
        let len = head.len + head.body;
        self.read(len, by).await?;
        let keep_alive = head.keep_alive && !self.closing.is_closed();
        self.hand_on(&head, keep_alive).await?;
        self.reader.consume(len);
        Ok(keep_alive)
    }

    /// Waits until so many bytes of the request are there.
    async fn read(&mut self, len: usize, by: Instant) -> Result<(), Failure> {
        match timeout_at(by, self.reader.peek(len)).await {
            Ok(Ok(bytes)) if bytes.len() == len => Ok(()),
            Ok(_) => Err(Failure::Over),
            Err(_) => Err(Failure::Refused("408 Request Timeout")),
        }
    }

    /// Hands the request in the buffer to the application.
    async fn hand_on(&self, head: &Head, keep_alive: bool) -> Result<(), Failure> {
        let request = self.reader.buffer();
        let text =
            |place: &std::ops::Range<usize>| String::from_utf8_lossy(&request[place.clone()]).into_owned();
        let (method, path) = (text(&head.method), text(&head.path));
        let body = request[head.len..][..head.body].to_vec();
        let (sender, answer) = channel::oneshot();
        let by = time::now() + self.settings.answer_within;
        self.owe(Owed::Answer { answer, by, with_body: method != "HEAD", keep_alive }).await?;
        // It fails when there is no application any more. The client is told, as the answer is dropped.
        let _ = self.requests.send(Request { method, path, body, answer: sender }).await;
        Ok(())
    }

    async fn owe(&self, owed: Owed) -> Result<(), Failure> {
        self.owed.send(owed).await.map_err(|_| Failure::Over)
    }
}

/// Writes answers in the order of the requests, until there are none or one is the last.
async fn write_answers(stream: &TcpStream, owing: Receiver<Owed>, settings: &Settings) -> io::Result<()> {
    let mut writer = BufWriter::new(stream);
    while let Ok(owed) = owing.recv().await {
        let (status, body, with_body, keep_alive) = match owed {
            Owed::Answer { answer, by, with_body, keep_alive } => {
                let (status, body) = match timeout_at(by, answer).await {
                    Ok(Ok(response)) => (response.status, response.body),
                    Ok(Err(_)) => ("500 Internal Server Error", b"It was not answered.\n".to_vec()),
                    Err(_) => ("503 Service Unavailable", b"It was not answered in time.\n".to_vec()),
                };
                (status, body, with_body, keep_alive)
            }
            Owed::Refusal(status) => (status, status.into(), true, false),
            Owed::Continue => {
                writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                timeout(settings.patience, writer.flush()).await??;
                continue;
            }
        };
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: {connection}\r\n\r\n"
        );
        writer.write_all(head.as_bytes()).await?;
        if with_body {
            writer.write_all(&body).await?;
        }
        timeout(settings.patience, writer.flush()).await??;
        if !keep_alive {
            break;
        }
    }
    Ok(())
}
