//! tokio's traits on our streams, and those of futures-io on tokio's.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use twoply_core::io::ReadUninit;

/// A stream of this library, or a half of one, as tokio has them: with its `AsyncRead` and `AsyncWrite`.
///
/// # Examples
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use twoply::Wait;
/// use twoply::net::UnixStream;
/// use twoply::tokio::Io;
///
/// let (ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(b"question").wait()?;
/// let mut stream = Io::new(ours);
/// let mut question = [0; 8];
/// stream.read_exact(&mut question).wait()?;
/// stream.write_all(b"answer").wait()?;
/// stream.shutdown().wait()?;
/// theirs.read_exact(&mut [0; 6]).wait()?;
/// assert_eq!(theirs.read(&mut [0]).wait()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Io<T>(T);

impl<T> Io<T> {
    /// Makes a stream of tokio's kind of `stream`.
    pub fn new(stream: T) -> Io<T> {
        Io(stream)
    }

    /// Returns the stream itself.
    ///
    /// # Examples
    /// ```
    /// use twoply::{net::UnixStream, tokio::Io};
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let stream = Io::new(ours);
    /// stream.as_ref().try_write(b"hello")?;
    /// let _ours: UnixStream = stream.into_inner();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> AsRef<T> for Io<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T: ReadUninit + Unpin> tokio::io::AsyncRead for Io<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // SAFETY: nothing is written to it but by the call below, which leaves what is initialized so.
        let room = unsafe { buf.unfilled_mut() };
        let read = ready!(self.0.poll_read_uninit(cx, room))?.len();
        // SAFETY: the first `read` bytes of what was unfilled are initialized: no other crate implements
        // the trait, whose types return a part of what they are given.
        unsafe { buf.assume_init(read) };
        buf.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<T: futures_io::AsyncWrite + Unpin> tokio::io::AsyncWrite for Io<T> {
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

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// A stream of tokio's, as futures-io has them. It finds its runtime as it was made; see
/// [`compat`](crate::compat).
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::tokio::{FuturesIo, compat};
///
/// let streams = compat(async { tokio::net::UnixStream::pair() });
/// let (mut ours, theirs) = streams.wait().map(|(ours, theirs)| (FuturesIo::new(ours), theirs))?;
/// # use std::{future::poll_fn, pin::Pin};
/// # use futures_io::AsyncWrite;
/// let written = poll_fn(|cx| Pin::new(&mut ours).poll_write(cx, b"abc")).wait()?;
/// assert_eq!(written, 3);
/// # drop(theirs);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FuturesIo<T>(T);

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

impl<T> AsRef<T> for FuturesIo<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T: tokio::io::AsyncRead + Unpin> futures_io::AsyncRead for FuturesIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl<T: tokio::io::AsyncWrite + Unpin> futures_io::AsyncWrite for FuturesIo<T> {
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
