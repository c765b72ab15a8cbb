//! [`BufWriter`]: a buffer behind a writer.

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncWrite;

use super::CAPACITY;
use crate::kernel::coop;
use crate::kernel::relay::Relay;

/// A buffer in which bytes are gathered before they are written.
///
/// Over a std `Write` it implements `Write`, which blocks the stack as the writer does; over a futures-io
/// `AsyncWrite` it implements `AsyncWrite`, and has the operations below, as futures. All of them are
/// cancel-safe: what has been accepted is in the buffer until the writer has taken it, also after an error,
/// and the next operation goes on with it.
///
/// # Dropping it
/// Bytes that have not been written are lost when it is dropped: a destructor can neither wait nor tell of an
/// error. [`flush`](BufWriter::flush) or [`close`](BufWriter::close) comes before, or
/// [`into_parts`](BufWriter::into_parts), which hands the rest out.
///
/// # Examples
/// ```
/// use twoply::{Wait, io::{BufWriter, duplex}};
///
/// let (ours, theirs) = duplex(64);
/// let mut writer = BufWriter::new(ours);
/// writer.write_all(b"one ").wait()?;
/// writer.write_all(b"two").wait()?;
/// writer.close().wait()?;
/// let mut buf = [0; 64];
/// let n = theirs.read(&mut buf).wait()?;
/// assert_eq!(&buf[..n], b"one two");
/// assert_eq!(theirs.read(&mut buf).wait()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct BufWriter<W> {
    inner: W,
    /// The bytes that have been accepted, of which those before `written` have been written.
    bytes: Vec<u8>,
    written: usize,
    capacity: usize,
    relay: Relay,
}

impl<W> BufWriter<W> {
    /// Puts a buffer of 8 KiB behind `inner`. It takes no memory before something is written.
    pub fn new(inner: W) -> BufWriter<W> {
        BufWriter::with_capacity(CAPACITY, inner)
    }

    /// Puts a buffer of `capacity` bytes behind `inner`.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::BufWriter};
    ///
    /// let mut writer = BufWriter::with_capacity(4, Vec::new());
    /// writer.write_all(b"abc").wait()?;
    /// assert_eq!((writer.buffer(), writer.get_ref().len()), (&b"abc"[..], 0));
    /// writer.write_all(b"de").wait()?;
    /// assert_eq!((writer.buffer(), &writer.get_ref()[..]), (&b"de"[..], &b"abc"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_capacity(capacity: usize, inner: W) -> BufWriter<W> {
        BufWriter { inner, bytes: Vec::new(), written: 0, capacity, relay: Relay::default() }
    }

    /// Returns what has been accepted and not been written.
    pub fn buffer(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Returns the writer behind the buffer.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Returns the writer. What is written to it directly comes before what is in the buffer.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Takes it apart, into the writer and what has been accepted and not been written.
    ///
    /// ```
    /// use twoply::{Wait, io::BufWriter};
    ///
    /// let mut writer = BufWriter::new(Vec::new());
    /// writer.write_all(b"in the buffer").wait()?;
    /// let (written, rest) = writer.into_parts();
    /// assert!(written.is_empty());
    /// assert_eq!(rest, b"in the buffer");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_parts(self) -> (W, Vec<u8>) {
        let rest = self.buffer().to_vec();
        (self.inner, rest)
    }

    /// Returns whether `len` bytes more go into the buffer before something has to be written.
    fn has_room(&self, len: usize) -> bool {
        self.buffer().len() + len <= self.capacity
    }

    /// Takes `bytes` into the buffer.
    fn accept(&mut self, bytes: &[u8]) {
        if self.written > 0 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Records that the writer has taken `n` bytes.
    fn wrote(&mut self, n: usize) -> io::Result<()> {
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written += n.min(self.buffer().len());
        if self.buffer().is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(self.capacity);
            self.written = 0;
        }
        Ok(())
    }
}

impl<W: AsyncWrite + Unpin> BufWriter<W> {
    /// Accepts all of `bytes` at once, and waits for room before: until they go into the buffer, or, if they
    /// are more than it holds, until that is empty. They are copied in either case. Cancel-safe: if it is
    /// dropped, none of them have been accepted.
    ///
    /// # Errors
    /// Those of the writer, about what was accepted before; then none of `bytes` have been accepted.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.has_room(bytes.len()) {
            true => coop::consume().await,
            false => self.operate(|this, cx| this.poll_drain(cx)).await?,
        }
        self.accept(bytes);
        Ok(())
    }

    /// Writes all that has been accepted, and has the writer flush it. Cancel-safe.
    ///
    /// # Errors
    /// Those of the writer; what has not been written stays in the buffer.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::{BufWriter, duplex}};
    ///
    /// let (ours, theirs) = duplex(64);
    /// let mut writer = BufWriter::new(ours);
    /// writer.write_all(b"question").wait()?;
    /// writer.flush().wait()?; // Or nobody would answer.
    /// assert_eq!(theirs.read(&mut [0; 64]).wait()?, 8);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn flush(&mut self) -> io::Result<()> {
        self.operate(|this, cx| Pin::new(this).poll_flush(cx)).await
    }

    /// Writes all that has been accepted, and closes the writer: a stream is shut down in this direction, and
    /// the other side reads the end. Cancel-safe.
    ///
    /// # Errors
    /// As [`flush`](BufWriter::flush).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::{BufWriter, duplex}};
    ///
    /// let (ours, theirs) = duplex(64);
    /// let mut writer = BufWriter::new(ours);
    /// writer.write_all(b"bye").wait()?;
    /// writer.close().wait()?;
    /// let mut buf = [0; 64];
    /// assert_eq!(theirs.read(&mut buf).wait()?, 3);
    /// assert_eq!(theirs.read(&mut buf).wait()?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn close(&mut self) -> io::Result<()> {
        self.operate(|this, cx| Pin::new(this).poll_close(cx)).await
    }

    /// Returns the future of an operation, which leaves no waker behind.
    fn operate<F>(&mut self, poll: F) -> Operation<'_, W, F>
    where
        F: FnMut(&mut BufWriter<W>, &mut Context<'_>) -> Poll<io::Result<()>>,
    {
        Operation { writer: self, poll }
    }

    /// Writes until the buffer is empty.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.buffer().is_empty() {
            let n = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.bytes[self.written..]))?;
            self.wrote(n)?;
        }
        Poll::Ready(Ok(()))
    }
}

/// The future of an operation of a [`BufWriter`].
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
struct Operation<'a, W, F> {
    writer: &'a mut BufWriter<W>,
    poll: F,
}

// The function is never pinned.
impl<W, F> Unpin for Operation<'_, W, F> {}

impl<W, F> Future for Operation<'_, W, F>
where
    F: FnMut(&mut BufWriter<W>, &mut Context<'_>) -> Poll<io::Result<()>>,
{
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Operation { writer, poll } = self.get_mut();
        let unit = ready!(coop::proceed(cx));
        let mut relay = std::mem::take(&mut writer.relay);
        let polled = relay.poll(cx, |cx| poll(writer, cx));
        writer.relay = relay;
        if polled.is_ready() {
            unit.spend();
        }
        polled
    }
}

impl<W, F> Drop for Operation<'_, W, F> {
    fn drop(&mut self) {
        self.writer.relay.stop();
    }
}

impl<W: Write> BufWriter<W> {
    /// Writes until the buffer is empty, and blocks the stack as the writer does.
    fn drain_blocking(&mut self) -> io::Result<()> {
        while !self.buffer().is_empty() {
            match self.inner.write(&self.bytes[self.written..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => self.wrote(written?)?,
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for BufWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.has_room(bytes.len()) {
            self.drain_blocking()?;
        }
        if bytes.len() >= self.capacity {
            return self.inner.write(bytes);
        }
        self.accept(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain_blocking()?;
        self.inner.flush()
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for BufWriter<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.has_room(bytes.len()) {
            ready!(this.poll_drain(cx))?;
        }
        if bytes.len() >= this.capacity {
            return Pin::new(&mut this.inner).poll_write(cx, bytes);
        }
        this.accept(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_close(cx)
    }
}

impl<W: fmt::Debug> fmt::Debug for BufWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufWriter")
            .field("inner", &self.inner)
            .field("buffered", &self.buffer().len())
            .finish_non_exhaustive()
    }
}
