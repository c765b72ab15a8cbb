//! Connections of the crate [`redis`](https://docs.rs/redis) that block, over streams that are handed over.
//!
//! A stack that waits for the server waits as it can: over a stream of ours, a thread parks, a worker goes on
//! without it, a fiber is suspended. The connections that the crate opens itself have sockets of std's, which
//! hold a worker up. For its asynchronous ones, `twoply::tokio::Io` over a stream is all that is needed.

use std::io::{Read, Write};

use redis::{ConnectionLike, RedisResult, Value};

/// A connection over a stream that blocks. What the crate does with connections works: `Cmd::query`,
/// pipelines, transactions, and the methods of `Commands`.
///
/// It begins as the server begins it: in version 2 of the protocol, as the default user, and in database 0.
/// Whoever wants it otherwise says so with `AUTH` and `SELECT`. What a server sends unasked is not for it:
/// subscribe with a connection of another kind.
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
    /// False once the stream has failed, or has brought what is no answer.
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

    fn send(&mut self, commands: &[u8]) -> RedisResult<()> {
        let sent = self.stream.write_all(commands).and_then(|()| self.stream.flush());
        self.is_open &= sent.is_ok();
        Ok(sent?)
    }

    fn receive(&mut self) -> RedisResult<Value> {
        let value = self.parser.parse_value(&mut self.stream);
        // An error of the server's is a value by itself.
        self.is_open &= value.is_ok();
        value
    }
}

impl<S: Read + Write> ConnectionLike for Connection<S> {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        self.send(command)?;
        self.receive()?.extract_error()
    }

    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.send(commands)?;
        // Each answer is read, or the next question would get what is left.
        let mut refused = Ok(());
        for _ in 0..offset {
            if let Err(error) = self.receive()?.extract_error() {
                refused = refused.and(Err(error));
            }
        }
        let values = (0..count).map(|_| self.receive()).collect::<RedisResult<_>>()?;
        refused.map(|()| values)
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
