//! [`BufReader`]: a buffer in front of a reader.

use std::fmt;
use std::future::Future;
use std::io::{self, BufRead, IoSliceMut, Read};
use std::pin::Pin;
use std::str::from_utf8;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead};

use super::{Buffer, CAPACITY, Lines, Split};
use crate::kernel::coop;
use crate::kernel::relay::Relay;

/// The most bytes that a look-ahead, a line or the like may have, unless another limit is set.
const LIMIT: usize = 1024 * 1024;

/// A buffer in front of a reader.
///
/// Over a std `Read` it implements `Read` and `BufRead`, which block the stack as the reader does; over a
/// futures-io `AsyncRead` it implements `AsyncRead` and `AsyncBufRead`, and has the operations below, as
/// futures. The readers of this library implement both.
///
/// # Nothing is lost
/// Bytes that have been read stay in the buffer until an operation that is complete takes it. So each
/// operation may be dropped at any time, as the arm of a select or by a time limit, and the next one finds
/// everything; an error takes nothing either. What is left when the reader is taken out is handed out with it
/// ([`into_parts`](BufReader::into_parts)).
///
/// # Limits
/// An operation that takes all of something or nothing has a limit, 1 MiB unless it is
/// [set](BufReader::set_limit): the buffer grows up to that, and shrinks when it is empty. Beyond it
/// there is an error, which contains [`LimitExceeded`]; the bytes can still be read. Std's and futures-io's
/// traits know of no limit.
///
/// # Examples
/// ```
/// use twoply::{Wait, io::{BufReader, duplex}};
///
/// let (ours, theirs) = duplex(64);
/// theirs.write_all(b"GET /\nbody").wait()?;
/// drop(theirs);
/// let mut reader = BufReader::new(ours);
/// let mut line = String::new();
/// reader.read_line(&mut line).wait()?;
/// assert_eq!(line, "GET /\n");
/// assert_eq!(reader.peek(2).wait()?, b"bo");
/// assert_eq!(reader.fill_buf().wait()?, b"body");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct BufReader<R> {
    inner: R,
    buffer: Buffer,
    /// The most bytes that an operation waits for, or takes at once.
    limit: usize,
    relay: Relay,
}

/// The reason of an error: there is more than a limit allows. What was read is where it was.
///
/// ```
/// use twoply::{Wait, io::{BufReader, LimitExceeded, duplex}};
///
/// let (ours, theirs) = duplex(64);
/// theirs.write_all(b"a long line").wait()?;
/// let mut reader = BufReader::new(ours);
/// reader.set_limit(4);
/// let error = reader.read_line(&mut String::new()).wait().unwrap_err();
/// let reason = error.get_ref().and_then(|reason| reason.downcast_ref::<LimitExceeded>());
/// assert_eq!(reason.map(|reason| reason.limit), Some(4));
/// assert_eq!(reader.buffer(), b"a long line");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is more than the limit of {limit} bytes")]
#[non_exhaustive]
pub struct LimitExceeded {
    /// The limit, in bytes.
    pub limit: usize,
}

impl From<LimitExceeded> for io::Error {
    /// Returns an error of the kind [`InvalidData`](io::ErrorKind::InvalidData) that contains it.
    fn from(error: LimitExceeded) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl<R> BufReader<R> {
    /// Puts a buffer of 8 KiB in front of `inner`. It takes no memory before something is read.
    pub fn new(inner: R) -> BufReader<R> {
        BufReader::with_capacity(CAPACITY, inner)
    }

    /// Puts a buffer of `capacity` bytes, at least one, in front of `inner`.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::BufReader};
    ///
    /// let mut reader = BufReader::with_capacity(4, &b"abcdefgh"[..]);
    /// assert_eq!(reader.fill_buf().wait()?, b"abcd");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_capacity(capacity: usize, inner: R) -> BufReader<R> {
        BufReader { inner, buffer: Buffer::new(capacity), limit: LIMIT, relay: Relay::default() }
    }

    /// Sets the most bytes that a line, a part or a look-ahead may have, its delimiter included.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Returns the most bytes that a line, a part or a look-ahead may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns what has been read and not been taken. It reads nothing.
    pub fn buffer(&self) -> &[u8] {
        self.buffer.filled()
    }

    /// Takes the first `n` bytes out of the buffer, or all there are.
    pub fn consume(&mut self, n: usize) {
        self.buffer.consume(n);
    }

    /// Puts bytes back: they are what is read next. There may be any number of them.
    ///
    /// ```
    /// use std::io::Read;
    /// use twoply::io::BufReader;
    ///
    /// let mut reader = BufReader::new(&b" world"[..]);
    /// reader.unread(b"hello");
    /// let mut text = String::new();
    /// reader.read_to_string(&mut text)?;
    /// assert_eq!(text, "hello world");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unread(&mut self, bytes: &[u8]) {
        self.buffer.unread(bytes);
    }

    /// Returns the reader behind the buffer.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// Returns the reader. What is read from it directly comes after what is in the buffer.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::BufReader};
    ///
    /// let mut reader = BufReader::with_capacity(4, &b"abcdef"[..]);
    /// reader.fill_buf().wait()?;
    /// assert_eq!((reader.buffer(), *reader.get_ref()), (&b"abcd"[..], &b"ef"[..]));
    /// *reader.get_mut() = b"!";
    /// reader.consume(4);
    /// assert_eq!(reader.fill_buf().wait()?, b"!");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Takes it apart, into the reader and what has been read and not been taken.
    ///
    /// ```
    /// use twoply::{Wait, io::{BufReader, duplex}};
    ///
    /// let (ours, theirs) = duplex(64);
    /// theirs.write_all(b"CONNECT\nrest").wait()?;
    /// let mut reader = BufReader::new(ours);
    /// reader.read_line(&mut String::new()).wait()?;
    /// let (_ours, rest) = reader.into_parts();
    /// assert_eq!(rest, b"rest");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_parts(self) -> (R, Vec<u8>) {
        let rest = self.buffer.filled().to_vec();
        (self.inner, rest)
    }
}

impl<R: AsyncRead + Unpin> BufReader<R> {
    /// Reads what there is into `buf`, and returns how many bytes that were. Waits until there are some; zero
    /// is the end, or says that `buf` is empty. Cancel-safe.
    ///
    /// # Errors
    /// Those of the reader.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::BufReader};
    ///
    /// let mut reader = BufReader::new(&b"abc"[..]);
    /// let mut buf = [0; 2];
    /// assert_eq!(reader.read(&mut buf).wait()?, 2);
    /// assert_eq!(reader.read(&mut buf).wait()?, 1);
    /// assert_eq!(reader.read(&mut buf).wait()?, 0, "that was the end");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let is_enough = buf.is_empty();
        self.until(|buffer, ended| (is_enough || ended || !buffer.is_empty()).then_some(Ok(()))).await?;
        Ok(self.buffer.take(buf))
    }

    /// Waits until there is something in the buffer, and returns that; nothing at all is the end.
    /// [`consume`](BufReader::consume) takes it. Cancel-safe.
    ///
    /// # Errors
    /// Those of the reader.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::BufReader};
    ///
    /// let mut reader = BufReader::new(&b"   text"[..]);
    /// let spaces = reader.fill_buf().wait()?.iter().take_while(|byte| **byte == b' ').count();
    /// reader.consume(spaces);
    /// assert_eq!(reader.buffer(), b"text");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.until(|buffer, ended| (ended || !buffer.is_empty()).then_some(Ok(()))).await?;
        Ok(self.buffer.filled())
    }

    /// Waits until the next `n` bytes are there, and returns them; fewer mean that the end comes before. They
    /// stay in the buffer: with [`consume`](BufReader::consume) after it, this is a `read_exact` that loses
    /// nothing when it is given up. Cancel-safe.
    ///
    /// # Errors
    /// Those of the reader; [`LimitExceeded`] if `n` is beyond the [limit](BufReader::set_limit).
    ///
    /// ```
    /// use twoply::{Wait, io::{BufReader, duplex}};
    ///
    /// let (ours, theirs) = duplex(64);
    /// theirs.write_all(b"\x00\x03abcd").wait()?;
    /// let mut reader = BufReader::new(ours);
    /// let head = reader.peek(2).wait()?;
    /// let len = usize::from(u16::from_be_bytes([head[0], head[1]]));
    /// let frame = reader.peek(2 + len).wait()?;
    /// assert_eq!(&frame[2..], b"abc");
    /// reader.consume(2 + len);
    /// assert_eq!(reader.buffer(), b"d");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        let limit = self.limit;
        if n > limit {
            return Err(LimitExceeded { limit }.into());
        }
        self.until(|buffer, ended| (ended || buffer.filled().len() >= n).then_some(Ok(()))).await?;
        let filled = self.buffer.filled();
        Ok(&filled[..filled.len().min(n)])
    }

    /// Reads up to the next `delimiter` and with it, or up to the end, appends that to `bytes`, and returns
    /// how many bytes that were; zero is the end. Cancel-safe.
    ///
    /// # Errors
    /// Those of the reader; [`LimitExceeded`] when the delimiter does not come within the
    /// [limit](BufReader::set_limit). Nothing has been taken then.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::BufReader};
    ///
    /// let mut reader = BufReader::new(&b"key=value"[..]);
    /// let (mut key, mut value) = (Vec::new(), Vec::new());
    /// reader.read_until(b'=', &mut key).wait()?;
    /// reader.read_until(b'=', &mut value).wait()?;
    /// assert_eq!((&key[..], &value[..]), (&b"key="[..], &b"value"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn read_until(&mut self, delimiter: u8, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let len = self.find(delimiter).await?;
        bytes.extend_from_slice(&self.buffer.filled()[..len]);
        self.buffer.consume(len);
        Ok(len)
    }

    /// Reads up to the end of the line and with it, or up to the end, appends that to `line`, and returns how
    /// many bytes that were; zero is the end. Cancel-safe.
    ///
    /// # Errors
    /// As [`read_until`](BufReader::read_until); [`InvalidData`](io::ErrorKind::InvalidData) for what is not
    /// UTF-8, which can still be read as bytes.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::BufReader};
    ///
    /// let mut reader = BufReader::new(&b"one\ntwo"[..]);
    /// let mut line = String::new();
    /// while reader.read_line(&mut line).wait()? > 0 {
    ///     println!("{}", line.trim_end());
    ///     line.clear();
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        let len = self.find(b'\n').await?;
        line.push_str(text(&self.buffer.filled()[..len])?);
        self.buffer.consume(len);
        Ok(len)
    }

    /// Returns the lines as a stream, without what ends them (`\n` or `\r\n`). As a
    /// [source](crate::stream::Stream::into_source), it serves several tasks, or is attached to an actor.
    ///
    /// ```
    /// use twoply::{Wait, io::{BufReader, duplex}, stream::Stream};
    ///
    /// let (ours, theirs) = duplex(64);
    /// theirs.write_all(b"one\r\ntwo\nthree").wait()?;
    /// drop(theirs);
    /// let lines = BufReader::new(ours).lines().map(Result::unwrap).collect::<Vec<_>>();
    /// assert_eq!(lines.wait(), ["one", "two", "three"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lines(self) -> Lines<R> {
        Lines::new(self)
    }

    /// Returns the parts between delimiters as a stream, without the delimiters.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, io::BufReader, stream::Stream};
    ///
    /// let parts = BufReader::new(&b"one\0two\0"[..]).split(b'\0').map(Result::unwrap).collect::<Vec<_>>();
    /// assert_eq!(parts.wait(), [b"one", b"two"]);
    /// ```
    pub fn split(self, delimiter: u8) -> Split<R> {
        Split::new(self, delimiter)
    }

    async fn find(&mut self, delimiter: u8) -> io::Result<usize> {
        let (limit, mut searched) = (self.limit, 0);
        self.until(|buffer, ended| buffer.find(delimiter, &mut searched, limit, ended)).await
    }

    /// Reads until `look` finds in the buffer what it looks for. It is told when the end has come, and then
    /// makes do with what there is.
    fn until<T, F>(&mut self, look: F) -> Until<'_, R, F>
    where
        F: FnMut(&mut Buffer, bool) -> Option<io::Result<T>>,
    {
        Until { reader: self, look }
    }

    /// Does the work of [`until`](BufReader::until). Whoever gives up calls [`stop`](BufReader::stop).
    pub(super) fn poll_until<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut Buffer, bool) -> Option<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let unit = ready!(coop::proceed(cx));
        let BufReader { inner, buffer, relay, .. } = self;
        let mut ended = false;
        loop {
            if let Some(found) = look(buffer, ended) {
                unit.spend();
                return Poll::Ready(found);
            }
            let more = relay.poll(cx, |cx| Pin::new(&mut *inner).poll_read(cx, buffer.room()));
            let n = ready!(more)?;
            buffer.filled_more(n);
            ended = n == 0;
        }
    }

    pub(super) fn stop(&mut self) {
        self.relay.stop();
    }
}

impl<R> BufReader<R> {
    pub(super) fn buffer_mut(&mut self) -> &mut Buffer {
        &mut self.buffer
    }
}

/// Returns the bytes as text.
pub(super) fn text(bytes: &[u8]) -> io::Result<&str> {
    from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The future of [`BufReader::until`].
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
struct Until<'a, R: AsyncRead + Unpin, F> {
    reader: &'a mut BufReader<R>,
    look: F,
}

// The function is never pinned.
impl<R: AsyncRead + Unpin, F> Unpin for Until<'_, R, F> {}

impl<R, F, T> Future for Until<'_, R, F>
where
    R: AsyncRead + Unpin,
    F: FnMut(&mut Buffer, bool) -> Option<io::Result<T>>,
{
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        this.reader.poll_until(cx, &mut this.look)
    }
}

impl<R: AsyncRead + Unpin, F> Drop for Until<'_, R, F> {
    fn drop(&mut self) {
        self.reader.stop();
    }
}

impl<R: Read> Read for BufReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() && buf.len() >= self.buffer.capacity() {
            return self.inner.read(buf);
        }
        if !buf.is_empty() {
            BufRead::fill_buf(self)?;
        }
        Ok(self.buffer.take(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().any(|buf| !buf.is_empty()) {
            BufRead::fill_buf(self)?;
        }
        Ok(bufs.iter_mut().map(|buf| self.buffer.take(buf)).sum())
    }
}

impl<R: Read> BufRead for BufReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffer.is_empty() {
            let n = self.inner.read(self.buffer.room())?;
            self.buffer.filled_more(n);
        }
        Ok(self.buffer.filled())
    }

    fn consume(&mut self, n: usize) {
        self.buffer.consume(n);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for BufReader<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.buffer.is_empty() && buf.len() >= this.buffer.capacity() {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        if !buf.is_empty() {
            ready!(Pin::new(&mut *this).poll_fill_buf(cx))?;
        }
        Poll::Ready(Ok(this.buffer.take(buf)))
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for BufReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.buffer.is_empty() {
            let n = ready!(Pin::new(&mut this.inner).poll_read(cx, this.buffer.room()))?;
            this.buffer.filled_more(n);
        }
        Poll::Ready(Ok(this.buffer.filled()))
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        self.get_mut().buffer.consume(n);
    }
}

impl<R: fmt::Debug> fmt::Debug for BufReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufReader")
            .field("inner", &self.inner)
            .field("buffered", &self.buffer.filled().len())
            .finish_non_exhaustive()
    }
}
