//! Connections of the crate [`redis`](https://docs.rs/redis) that block, over streams that are handed over.
//!
//! A stack that waits for the server waits as it can: over a stream of ours, a thread parks, a worker goes on
//! without it, a fiber is suspended. The connections that the crate opens itself have sockets of std's, which
//! hold a worker up. For its asynchronous ones, `twoply::tokio::Io` over a stream is all that is needed.

use std::io::{self, Read, Write};
use std::mem;

use redis::{ConnectionLike, RedisResult, Value};

/// A connection over a stream that blocks. What the crate does with connections works: `Cmd::query`,
/// pipelines, transactions, and the methods of `Commands`.
///
/// It begins as the server begins it: in version 2 of the protocol, as the default user, and in database 0.
/// Whoever wants it otherwise says so with `AUTH` and `SELECT`. What a server sends unasked is not for it:
/// subscribe with a connection of another kind.
///
/// A question that fails by the stream, or unwinds, is the last one: its answer may come yet, and would be
/// taken for the next one's. Whoever asks nevertheless gets an error of the kind `NotConnected`.
///
/// # Examples
/// ```no_run
/// use redis::Commands;
/// use twoply::Wait;
/// use twoply::net::TcpStream;
/// use twoply::redis::Connection;
///
/// let mut connection = Connection::new(TcpStream::connect("127.0.0.1:6379").wait()?);
/// redis::cmd("AUTH").arg("a password").exec(&mut connection)?;
/// connection.set::<_, _, ()>("key", 41)?;
/// assert_eq!(connection.incr::<_, _, u32>("key", 1)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connection<S> {
    stream: S,
    parser: redis::Parser,
    /// False while an answer is to come, and from then on if the stream fails, brings what is no answer, or
    /// unwinds.
    is_open: bool,
}

impl<S: Read + Write> Connection<S> {
    /// Makes a connection of a stream that leads to a server.
    pub fn new(stream: S) -> Connection<S> {
        Connection { stream, parser: redis::Parser::new(), is_open: true }
    }

    /// Returns the stream, for its settings.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Sends commands, and returns as many answers, those of the server's that are errors among them.
    fn ask(&mut self, commands: &[u8], answers: usize) -> RedisResult<Vec<Value>> {
        if !mem::take(&mut self.is_open) {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        }
        self.stream.write_all(commands)?;
        self.stream.flush()?;
        let values =
            (0..answers).map(|_| self.parser.parse_value(&mut self.stream)).collect::<Result<_, _>>()?;
        self.is_open = true;
        Ok(values)
    }
}

impl<S: Read + Write> ConnectionLike for Connection<S> {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        self.ask(command, 1)?.remove(0).extract_error()
    }

    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut values = self.ask(commands, offset + count)?;
        let wanted = values.split_off(offset);
        values.into_iter().try_for_each(|value| value.extract_error().map(drop))?;
        Ok(wanted)
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        self.is_open
    }
}

impl<S> std::fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("is_open", &self.is_open).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::{self, Read, Write};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use redis::{ConnectionLike, Value};

    use super::Connection;

    /// A server that has its answers ready. Where it has no more, a wait for it unwinds.
    struct Answers(VecDeque<&'static [u8]>);

    impl Read for Answers {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.pop_front() {
                Some(mut answer) => answer.read(buf),
                None => resume_unwind(Box::new("nobody answers")),
            }
        }
    }

    impl Write for Answers {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            Ok(buf.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_question_that_unwinds_is_the_last_one() {
        let answers: [&[u8]; 3] = [b"+OK\r\n", b"-ERR no\r\n", b"+QUEUED\r\n:1\r\n:2\r\n"];
        let mut connection = Connection::new(Answers(answers.into()));
        assert_eq!(connection.req_packed_command(b""), Ok(Value::Okay));
        assert!(connection.req_packed_command(b"").is_err());
        assert_eq!(connection.req_packed_commands(b"", 1, 2), Ok(vec![Value::Int(1), Value::Int(2)]));
        assert!(connection.is_open(), "an error of the server's is an answer");

        let asking = AssertUnwindSafe(|| connection.req_packed_command(b""));
        assert!(catch_unwind(asking).is_err());
        assert!(!connection.is_open());
        // It comes too late, and is nobody's.
        connection.stream.0.push_back(b"+OK\r\n");
        assert!(connection.req_packed_command(b"").unwrap_err().is_io_error());
        assert!(!connection.is_open());
    }
}
