//! The lines that a client sends, as a source that an actor attaches.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_io::AsyncRead;
use twoply::channel::{RecvError, Source, TryRecvError, WaitKey};
use twoply::net::TcpStream;

/// The longest line, in bytes. Whoever sends a longer one has sent the last.
const LONGEST: usize = 4096;

/// The lines of a connection, without their ends.
pub(crate) struct Lines {
    /// The connection.
    stream: Arc<TcpStream>,
    /// What has been received of lines that have not been given.
    received: Mutex<Vec<u8>>,
}

impl Lines {
    pub(crate) fn new(stream: Arc<TcpStream>) -> Lines {
        Lines { stream, received: Mutex::default() }
    }
}

/// The stream knows who waits for it, so no place in a line is needed. One receives at a time.
impl Source<String> for Lines {
    fn poll_recv(&self, _: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<String, RecvError>> {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(end) = received.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = received.drain(..=end).collect();
                return Poll::Ready(Ok(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            let mut chunk = [0; 1024];
            match ready!(Pin::new(&mut &*self.stream).poll_read(cx, &mut chunk)) {
                Ok(count @ 1..) if received.len() < LONGEST => received.extend_from_slice(&chunk[..count]),
                // The end, an error, or no line at all.
                _ => return Poll::Ready(Err(RecvError)),
            }
        }
    }

    fn stop_recv(&self, _: &mut WaitKey) {}

    fn try_recv(&self) -> Result<String, TryRecvError> {
        Err(TryRecvError::Empty)
    }
}
