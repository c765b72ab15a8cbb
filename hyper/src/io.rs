//! hyper's traits on our streams.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection};
use twoply_core::io::ReadUninit;

/// A stream of this library as hyper has them: with its `rt::Read` and `rt::Write`.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::hyper::Io;
/// use twoply::net::UnixStream;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ours, theirs) = UnixStream::pair()?;
/// let handshake = hyper::client::conn::http1::handshake::<_, String>(Io::new(ours));
/// let (_requests, connection) = handshake.wait()?;
/// let stream = connection.into_parts().io.into_inner();
/// drop(theirs);
/// assert_eq!(stream.read(&mut [0]).wait()?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Io<T>(T);

impl<T> Io<T> {
    /// Makes a stream of hyper's kind of `stream`.
    pub fn new(stream: T) -> Io<T> {
        Io(stream)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// Returns the stream itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> AsRef<T> for Io<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T: ReadUninit + Unpin> hyper::rt::Read for Io<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: nothing is written to it but by the call below, which leaves what is initialized so.
        let room = unsafe { buf.as_mut() };
        let read = ready!(self.0.poll_read_uninit(cx, room))?.len();
        // SAFETY: the first `read` bytes are initialized: no other crate implements the trait, whose types
        // return a part of what they are given.
        unsafe { buf.advance(read) };
        Poll::Ready(Ok(()))
    }
}

impl<T> Connection for Io<T> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
