//! hyper's traits on streams of futures-io, and those of futures-io on hyper's.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{ReadBuf, ReadBufCursor};

/// The most bytes that one read takes from a stream.
const CHUNK: usize = 8 << 10;

/// Any stream of futures-io, such as one inside TLS, as hyper has them. What it reads is copied once, since
/// futures-io reads into memory that is initialized; for streams of this library there is [`Io`](crate::Io).
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::hyper::ForeignIo;
/// use twoply::io::{DuplexStream, duplex};
///
/// let (ours, _theirs) = duplex(1000);
/// let handshake = hyper::client::conn::http1::handshake::<_, String>(ForeignIo::new(ours));
/// let (_requests, connection) = handshake.wait()?;
/// let _ours: DuplexStream = connection.into_parts().io.into_inner();
/// # Ok::<(), hyper::Error>(())
/// ```
#[derive(Debug)]
pub struct ForeignIo<T>(T);

/// A stream of hyper's, as futures-io has them: what a connection is upgraded to, for instance. Finish its
/// operations by `.await` or `.wait()`.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::hyper::{FuturesIo, Io};
/// use twoply::net::UnixStream;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(b"word").wait()?;
/// drop(theirs);
/// let mut stream = FuturesIo::new(Io::new(ours));
/// let mut words = Vec::new();
/// twoply::io::read_to_end(&mut stream, &mut words, 100).wait()?;
/// assert_eq!(words, b"word");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FuturesIo<T>(T);

impl<T> ForeignIo<T> {
    /// Makes a stream of hyper's kind of `stream`.
    pub fn new(stream: T) -> ForeignIo<T> {
        ForeignIo(stream)
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// Returns the stream itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> FuturesIo<T> {
    /// Makes a stream of futures-io's kind of `stream`.
    pub fn new(stream: T) -> FuturesIo<T> {
        FuturesIo(stream)
    }

    /// Returns the stream itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: futures_io::AsyncRead + Unpin> hyper::rt::Read for ForeignIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; CHUNK];
        let room = buf.remaining().min(CHUNK);
        let read = ready!(Pin::new(&mut self.0).poll_read(cx, &mut chunk[..room]))?;
        // A stream that claims to have read more than there was room for panics here.
        buf.put_slice(&chunk[..room][..read]);
        Poll::Ready(Ok(()))
    }
}

impl<T: hyper::rt::Read + Unpin> futures_io::AsyncRead for FuturesIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, read.unfilled()))?;
        Poll::Ready(Ok(read.filled().len()))
    }
}

impl<T: hyper::rt::Write + Unpin> futures_io::AsyncWrite for FuturesIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
