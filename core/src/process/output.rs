//! Collecting what a child writes.

use std::io;
use std::process::ExitStatus;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::io::pipe::Pipe;
use crate::io::poll_read_to_end;
use crate::kernel::io::ByteStream;

/// The error of waiting for all that a child writes; it keeps what was read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The system has refused something: to start the child, to read from it, or to tell its status.
    #[error("{error}")]
    Io {
        /// The error of the system.
        error: io::Error,
        /// The bytes of the standard output until then.
        stdout: Vec<u8>,
        /// The bytes of the standard error until then.
        stderr: Vec<u8>,
    },
    /// The child has written more than the [limit](super::Command::output_limit), and has been killed.
    #[error("the child has written more than {limit} bytes, and has been killed")]
    TooLong {
        /// The limit, in bytes of both together.
        limit: usize,
        /// The status of the child, which tells how it has ended.
        status: ExitStatus,
        /// The bytes of the standard output up to the limit.
        stdout: Vec<u8>,
        /// The bytes of the standard error up to the limit.
        stderr: Vec<u8>,
    },
    /// The [time](super::Command::timeout) of the child was over, and it has been killed.
    #[error("the child has not ended, or its output has not, within {limit:?}, and it has been killed")]
    TimedOut {
        /// The time that it had.
        limit: Duration,
        /// The status of the child, which tells how it has ended.
        status: ExitStatus,
        /// The bytes of the standard output until then.
        stdout: Vec<u8>,
        /// The bytes of the standard error until then.
        stderr: Vec<u8>,
    },
}

impl From<OutputError> for io::Error {
    /// Returns the error of the system, or one of the kind [`TimedOut`](io::ErrorKind::TimedOut) or
    /// [`Other`](io::ErrorKind::Other).
    fn from(error: OutputError) -> io::Error {
        match error {
            OutputError::Io { error, .. } => error,
            too_long @ OutputError::TooLong { .. } => io::Error::other(too_long),
            late @ OutputError::TimedOut { .. } => io::Error::new(io::ErrorKind::TimedOut, late),
        }
    }
}

/// Both outputs of a child, and what has come out of them.
pub(super) struct Collected {
    pipes: [Option<Pipe>; 2],
    bytes: [Vec<u8>; 2],
    /// The most bytes that are kept of both together.
    limit: usize,
}

impl Collected {
    pub(super) fn new(stdout: Option<Pipe>, stderr: Option<Pipe>, limit: usize) -> Collected {
        Collected { pipes: [stdout, stderr], bytes: Default::default(), limit }
    }

    /// Reads until both have ended, and returns true; or until there is more than the limit, and returns
    /// false.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut is_pending = false;
        for at in 0..self.pipes.len() {
            let Some(pipe) = &self.pipes[at] else { continue };
            let limit = self.limit - self.bytes[1 - at].len();
            match poll_read_to_end(cx, &mut self.bytes[at], limit, |cx, buf| pipe.poll_read(cx, buf))? {
                Poll::Pending => is_pending = true,
                Poll::Ready(true) => self.pipes[at] = None,
                Poll::Ready(false) => {
                    self.bytes[at].truncate(limit);
                    return Poll::Ready(Ok(false));
                }
            }
        }
        if is_pending { Poll::Pending } else { Poll::Ready(Ok(true)) }
    }

    /// Returns the bytes of the standard output and of the standard error.
    pub(super) fn into_bytes(self) -> (Vec<u8>, Vec<u8>) {
        let [stdout, stderr] = self.bytes;
        (stdout, stderr)
    }
}
