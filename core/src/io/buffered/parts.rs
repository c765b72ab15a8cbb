//! Readers of a part of another reader, and of two after one another.

use std::io::{self, BufRead, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead};

/// Returns a reader of the next `limit` bytes of `reader`, which then ends.
///
/// It implements what `reader` does of std's `Read` and `BufRead`, and of futures-io's `AsyncRead` and
/// `AsyncBufRead`. Over `&mut reader` it leaves the rest to its owner.
///
/// ```
/// use twoply::{Wait, io};
///
/// let (ours, theirs) = io::duplex(64);
/// theirs.write_all(b"headbody").wait()?;
/// let mut reader = io::BufReader::new(ours);
/// let mut head = String::new();
/// io::read_to_string(&mut io::take(&mut reader, 4), &mut head, 100).wait()?;
/// assert_eq!(head, "head");
/// assert_eq!(reader.fill_buf().wait()?, b"body");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn take<R>(reader: R, limit: u64) -> Take<R> {
    Take { inner: reader, left: limit }
}

/// The reader of [`take`](take()).
///
/// ```
/// use std::io::Read;
/// use twoply::io;
///
/// let mut part = io::take(&b"headbody"[..], 4);
/// part.read_exact(&mut [0; 3])?;
/// assert_eq!(part.limit(), 1);
/// part.set_limit(2);
/// assert_eq!(part.read(&mut [0; 8])?, 2);
/// assert_eq!(part.into_inner(), b"ody");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Take<R> {
    inner: R,
    /// The number of bytes that may still be read.
    left: u64,
}

impl<R> Take<R> {
    /// Returns the number of bytes that may still be read.
    pub fn limit(&self) -> u64 {
        self.left
    }

    /// Sets the number of bytes that may still be read.
    pub fn set_limit(&mut self, limit: u64) {
        self.left = limit;
    }

    /// Returns the reader that it reads from.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// Returns the reader that it reads from, with all that has not been read.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Returns how many of `len` bytes may be read.
    fn at_most(&self, len: usize) -> usize {
        len.min(usize::try_from(self.left).unwrap_or(usize::MAX))
    }

    /// Counts `n` bytes, and returns them.
    fn count(&mut self, n: usize) -> usize {
        self.left = self.left.saturating_sub(n as u64);
        n
    }
}

impl<R: Read> Read for Take<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.at_most(buf.len()) {
            0 => Ok(0),
            most => {
                let n = self.inner.read(&mut buf[..most])?;
                Ok(self.count(n))
            }
        }
    }
}

impl<R: BufRead> BufRead for Take<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let most = self.at_most(usize::MAX);
        let filled = self.inner.fill_buf()?;
        Ok(&filled[..filled.len().min(most)])
    }

    fn consume(&mut self, n: usize) {
        let n = self.at_most(n);
        let n = self.count(n);
        self.inner.consume(n);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Take<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.at_most(buf.len()) {
            0 => Poll::Ready(Ok(0)),
            most => {
                let n = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf[..most]))?;
                Poll::Ready(Ok(this.count(n)))
            }
        }
    }
}

impl<R: AsyncBufRead + Unpin> AsyncBufRead for Take<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        let most = this.at_most(usize::MAX);
        if most == 0 {
            return Poll::Ready(Ok(&[]));
        }
        let filled = ready!(Pin::new(&mut this.inner).poll_fill_buf(cx))?;
        Poll::Ready(Ok(&filled[..filled.len().min(most)]))
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        let this = self.get_mut();
        let n = this.at_most(n);
        let n = this.count(n);
        Pin::new(&mut this.inner).consume(n);
    }
}

/// Returns a reader of what `first` has up to its end, and then of `second`.
///
/// It implements what both do of std's `Read` and `BufRead`, and of futures-io's `AsyncRead` and
/// `AsyncBufRead`. Once `first` has ended it is not asked again.
///
/// ```
/// use std::io::Read;
/// use twoply::io;
///
/// let mut text = String::new();
/// io::chain(&b"he"[..], &b"llo"[..]).read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn chain<A, B>(first: A, second: B) -> Chain<A, B> {
    Chain { first, second, first_is_over: false }
}

/// The reader of [`chain`](chain()).
///
/// ```
/// use std::io::Read;
/// use twoply::io;
///
/// let mut both = io::chain(&b"ab"[..], &b"cd"[..]);
/// both.read_exact(&mut [0; 3])?;
/// assert_eq!(both.into_inner(), (&b""[..], &b"d"[..]));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Chain<A, B> {
    first: A,
    second: B,
    /// True once the first reader has ended.
    first_is_over: bool,
}

impl<A, B> Chain<A, B> {
    /// Returns both readers, with all that has not been read.
    pub fn into_inner(self) -> (A, B) {
        (self.first, self.second)
    }
}

impl<A: Read, B: Read> Read for Chain<A, B> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.first_is_over {
            let n = self.first.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            self.first_is_over = true;
        }
        self.second.read(buf)
    }
}

impl<A: BufRead, B: BufRead> BufRead for Chain<A, B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.first_is_over {
            self.first_is_over = self.first.fill_buf()?.is_empty();
        }
        match self.first_is_over {
            false => self.first.fill_buf(),
            true => self.second.fill_buf(),
        }
    }

    fn consume(&mut self, n: usize) {
        match self.first_is_over {
            false => self.first.consume(n),
            true => self.second.consume(n),
        }
    }
}

impl<A: AsyncRead + Unpin, B: AsyncRead + Unpin> AsyncRead for Chain<A, B> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.first_is_over {
            let n = ready!(Pin::new(&mut this.first).poll_read(cx, buf))?;
            if n > 0 || buf.is_empty() {
                return Poll::Ready(Ok(n));
            }
            this.first_is_over = true;
        }
        Pin::new(&mut this.second).poll_read(cx, buf)
    }
}

impl<A: AsyncBufRead + Unpin, B: AsyncBufRead + Unpin> AsyncBufRead for Chain<A, B> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if !this.first_is_over {
            this.first_is_over = ready!(Pin::new(&mut this.first).poll_fill_buf(cx))?.is_empty();
        }
        match this.first_is_over {
            false => Pin::new(&mut this.first).poll_fill_buf(cx),
            true => Pin::new(&mut this.second).poll_fill_buf(cx),
        }
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        let this = self.get_mut();
        match this.first_is_over {
            false => Pin::new(&mut this.first).consume(n),
            true => Pin::new(&mut this.second).consume(n),
        }
    }
}
