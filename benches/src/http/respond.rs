//! What all the servers share: parsing a request and writing its response, without any I/O.
//!
//! So the servers differ only in how they wait for, read and write bytes. Two paths are there to be unfair to
//! other connections: `/work` computes for a while, `/block` blocks its OS thread in a sleep. Both answer as
//! `/` does.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Request, Status};
use rustix::time::{ClockId, clock_gettime};

/// The whole response, but for `Connection: close`. There is no `Date`: it would be a cache of a string.
const HELLO: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// For how long `/work` computes, in CPU time of the thread, and `/block` sleeps.
const UNFAIR: Duration = Duration::from_millis(5);

/// Requests with more headers than this are refused.
const MAX_HEADERS: usize = 32;

/// The room for input that a connection has at first. Most requests fit; for others it is doubled.
const FIRST_ROOM: usize = 1024;

/// Longer heads are refused, so a connection holds no more than this.
const MAX_HEAD: usize = 8 * 1024;

/// How far a buffer of received bytes got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is no whole request in the buffer.
    Partial,
    /// One request was answered; it took that many bytes of the buffer.
    Answered(usize),
    /// This was the last response: the connection closes once it is written.
    Close,
}

/// Answers the first request in `buffer`, if it is there as a whole, by appending a response to `out`.
pub(crate) fn respond(buffer: &[u8], out: &mut Vec<u8>) -> Progress {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    let length = match request.parse(buffer) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if buffer.len() < MAX_HEAD => return Progress::Partial,
        Ok(Status::Partial) | Err(_) => {
            out.extend_from_slice(BAD_REQUEST);
            return Progress::Close;
        }
    };
    let found = match (request.method, request.path) {
        (Some("GET"), Some("/")) => true,
        (Some("GET"), Some("/work")) => {
            compute();
            true
        }
        (Some("GET"), Some("/block")) => {
            thread::sleep(UNFAIR);
            true
        }
        _ => false,
    };
    out.extend_from_slice(if found { HELLO } else { NOT_FOUND });
    let close = request.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close")
    });
    if close { Progress::Close } else { Progress::Answered(length) }
}

/// Computes, without a system call but the look at the clock.
fn compute() {
    let cpu_time = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let end = cpu_time() + UNFAIR;
    while cpu_time() < end {
        (0..1000).for_each(|step| {
            black_box(step);
        });
    }
}

/// One connection without its socket: bytes received and not yet answered, bytes to send.
pub(crate) struct Conversation {
    /// Room for what is read. Its first `received` bytes wait for the rest of their request.
    input: Vec<u8>,
    /// How much of `input` is filled.
    received: usize,
    /// What the server must send next. The server clears it.
    pub(crate) output: Vec<u8>,
}

impl Conversation {
    /// A conversation in which nothing was said.
    pub(crate) fn new() -> Self {
        Self { input: vec![0; FIRST_ROOM], received: 0, output: Vec::with_capacity(256) }
    }

    /// Where the server reads to. Never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.received == self.input.len() {
            self.input.resize(2 * self.received, 0);
        }
        &mut self.input[self.received..]
    }

    /// Answers what is complete after `count` more bytes were read. Answers whether the connection stays open
    /// once `output` is sent; an end of input (`count` of 0) closes it.
    pub(crate) fn received(&mut self, count: usize) -> bool {
        self.received += count;
        let mut done = 0;
        let open = loop {
            match respond(&self.input[done..self.received], &mut self.output) {
                Progress::Partial => break count > 0,
                Progress::Answered(length) => done += length,
                Progress::Close => break false,
            }
            if done == self.received {
                break count > 0;
            }
        };
        self.input.copy_within(done..self.received, 0);
        self.received -= done;
        open
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn fed(pieces: &[&[u8]]) -> (bool, Vec<u8>) {
        let mut conversation = Conversation::new();
        let mut open = true;
        for piece in pieces {
            conversation.space()[..piece.len()].copy_from_slice(piece);
            open = conversation.received(piece.len());
        }
        (open, conversation.output)
    }

    #[test]
    fn a_request_in_pieces_is_answered_once() {
        let (open, output) = fed(&[b"GET / HTTP/1.1\r\nHo", b"st: bench\r\n\r", b"\n"]);
        assert!(open);
        assert_eq!(output, HELLO);
    }

    #[test]
    fn pipelined_requests_are_answered_in_order() {
        let (open, output) = fed(&[b"GET / HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\nGET / HT"]);
        assert!(open);
        assert_eq!(output, [HELLO, NOT_FOUND].concat());
    }

    #[test]
    fn the_unfair_paths_take_their_time_and_answer_as_the_other() {
        for request in [b"GET /work HTTP/1.1\r\n\r\n".as_slice(), b"GET /block HTTP/1.1\r\n\r\n"] {
            let start = Instant::now();
            assert_eq!(fed(&[request]), (true, HELLO.to_vec()));
            assert!(start.elapsed() >= UNFAIR);
        }
    }

    #[test]
    fn close_and_bad_requests_end_the_connection() {
        let (open, output) = fed(&[b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"]);
        assert!(!open && output == HELLO);
        let (open, output) = fed(&[b"\0\0\0\0"]);
        assert!(!open && output == BAD_REQUEST);
    }

    #[test]
    fn an_endless_head_is_refused_when_the_buffer_is_full() {
        let mut conversation = Conversation::new();
        let start = b"GET / HTTP/1.1\r\nName: ";
        let mut sent = 0;
        for open in [true, true, true, false] {
            let space = conversation.space();
            space.fill(b'x');
            if sent == 0 {
                space[..start.len()].copy_from_slice(start);
            }
            let count = space.len();
            sent += count;
            assert_eq!(conversation.received(count), open, "after {sent} bytes");
        }
        assert_eq!(sent, MAX_HEAD);
        assert_eq!(conversation.output, BAD_REQUEST);
    }
}
