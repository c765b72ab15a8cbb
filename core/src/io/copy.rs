//! Copying from one stream to another, one way or both.
//!
//! This is for streams of any kind. Between sockets, `net/splice.rs` moves the bytes inside of the kernel;
//! what has happened is told in the same types.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use super::buffered::Buffer;
use crate::kernel::coop;
use crate::kernel::relay::relayed;

/// The size of the buffer of one direction, in bytes.
const BUFFER: usize = 64 * 1024;

/// The bytes that one direction of a copy has moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// The number of bytes that the writer has taken.
    pub written: u64,
    /// The bytes that had been read and that the writer has not taken. There are none, unless the copy has
    /// failed.
    pub unwritten: Vec<u8>,
}

/// The sides of one direction of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopySide {
    /// The stream that was read.
    Reader,
    /// The stream that was written to.
    Writer,
}

/// The two directions of a copy between two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the first to the second.
    There,
    /// From the second to the first.
    Back,
}

/// The error of a copy: what has failed, and what has become of the bytes until then.
///
/// # Examples
/// ```
/// use twoply::{Wait, io::{self, CopySide}};
///
/// let (mut ours, theirs) = io::duplex(64);
/// drop(theirs);
/// let error = io::copy(&mut &b"hello"[..], &mut ours).wait().unwrap_err();
/// assert_eq!(error.side, CopySide::Writer);
/// assert_eq!((error.copied.written, &error.copied.unwritten[..]), (0, &b"hello"[..]));
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{side} has failed after {} bytes: {error}", copied.written)]
#[non_exhaustive]
pub struct CopyError {
    /// The error of the stream.
    pub error: io::Error,
    /// The side that has failed.
    pub side: CopySide,
    /// The bytes until then.
    pub copied: Copied,
}

/// The error of a copy in both directions: what has failed first, and what has become of the bytes of both.
#[derive(Debug, thiserror::Error)]
#[error("{side} has failed on the way {way}, after {} bytes there and {} back: {error}", there.written, back.written)]
#[non_exhaustive]
pub struct CopyBidirectionalError {
    /// The error of the stream.
    pub error: io::Error,
    /// The direction that has failed.
    pub way: Way,
    /// The side of that direction which has failed.
    pub side: CopySide,
    /// The bytes from the first to the second stream.
    pub there: Copied,
    /// The bytes from the second to the first stream.
    pub back: Copied,
}

impl fmt::Display for CopySide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CopySide::Reader => "the reader",
            CopySide::Writer => "the writer",
        })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::There => "there",
            Way::Back => "back",
        })
    }
}

impl From<CopyError> for io::Error {
    /// Returns the error of the stream.
    fn from(error: CopyError) -> io::Error {
        error.error
    }
}

impl From<CopyBidirectionalError> for io::Error {
    /// Returns the error of the stream.
    fn from(error: CopyBidirectionalError) -> io::Error {
        error.error
    }
}

/// Reads from `reader` to its end, writes all of that to `writer`, flushes it, and returns how many bytes
/// that were. The writer is not closed, and is flushed whenever there is nothing to read.
///
/// Between sockets, [`net::copy`](crate::net::copy()) copies nothing. Not cancel-safe: up to 64 KiB that had
/// been read are lost if it is dropped. A loop over a [`BufReader`](super::BufReader) (`fill_buf`, `write`,
/// `consume`) loses nothing.
///
/// # Errors
/// [`CopyError`], with the bytes that had been read and not been written.
///
/// # Examples
/// ```
/// use twoply::{Wait, io};
///
/// let (ours, theirs) = io::duplex(64);
/// theirs.write_all(b"hello").wait()?;
/// drop(theirs);
/// let mut bytes = Vec::new();
/// assert_eq!(io::copy(&mut &ours, &mut bytes).wait()?, 5);
/// assert_eq!(bytes, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn copy<'a, R, W>(
    reader: &'a mut R,
    writer: &'a mut W,
) -> impl Future<Output = Result<u64, CopyError>> + Unpin + use<'a, R, W>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut flow = Flow::new(false);
    relayed(move |cx| {
        let ended = ready!(flow.poll(cx, Pin::new(&mut *reader), Pin::new(&mut *writer)));
        let copied = flow.copied();
        Poll::Ready(match ended {
            Ok(()) => Ok(copied.written),
            Err((side, error)) => Err(CopyError { error, side, copied }),
        })
    })
}

/// Copies between two streams in both directions, until both have ended, and returns how many bytes went from
/// the first to the second, and back.
///
/// When one of them ends, the other is closed in that direction, and the copy goes on in the other one.
/// Between sockets, [`net::copy_bidirectional`](crate::net::copy_bidirectional()) copies nothing.
///
/// Not cancel-safe: up to 64 KiB in each direction that had been read are lost if it is dropped.
///
/// # Errors
/// [`CopyBidirectionalError`], with what was copied both ways, and with the bytes that had been read and not
/// been written. A stream that cannot be written to may still have something to say: that is copied to its
/// end before the error is told. One that cannot be read is broken, and the error is told at once; neither
/// stream is closed then, so that nobody takes it for an end.
///
/// # Examples
/// ```
/// use twoply::{Wait, io::{self, duplex}, net::Shutdown};
///
/// let ((client, mut near), (mut far, server)) = (duplex(64), duplex(64));
/// let proxy = twoply::spawn(async move { io::copy_bidirectional(&mut near, &mut far).await });
/// client.write_all(b"question").wait()?;
/// client.shutdown(Shutdown::Write);
/// server.read_exact(&mut [0; 8]).wait()?;
/// assert_eq!(server.read(&mut [0]).wait()?, 0);
/// server.write_all(b"answer").wait()?;
/// drop(server);
/// assert_eq!(proxy.wait().unwrap()?, (8, 6));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn copy_bidirectional<'a, A, B>(
    first: &'a mut A,
    second: &'a mut B,
) -> impl Future<Output = Result<(u64, u64), CopyBidirectionalError>> + Unpin + use<'a, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (mut there, mut back) = (Flow::new(true), Flow::new(true));
    let mut ends = BothEnds::default();
    relayed(move |cx| {
        ready!(ends.poll(cx, |way, cx| match way {
            Way::There => there.poll(cx, Pin::new(&mut *first), Pin::new(&mut *second)),
            Way::Back => back.poll(cx, Pin::new(&mut *second), Pin::new(&mut *first)),
        }));
        Poll::Ready(std::mem::take(&mut ends).into_result(there.copied(), back.copied()))
    })
}

/// The end of one direction.
pub(crate) type CopyEnd = Result<(), (CopySide, io::Error)>;

/// The ends of both directions.
#[derive(Default)]
pub(crate) struct BothEnds {
    there: bool,
    back: bool,
    /// The first error, and where it was.
    error: Option<(Way, CopySide, io::Error)>,
    /// True if the way back is polled first: the other one has spent the budget before.
    back_first: bool,
}

impl BothEnds {
    /// Polls the directions that have not ended with `poll`, until both have.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(Way, &mut Context<'_>) -> Poll<CopyEnd>,
    ) -> Poll<()> {
        let ways = if self.back_first { [Way::Back, Way::There] } else { [Way::There, Way::Back] };
        for way in ways {
            let has_ended = match way {
                Way::There => self.there,
                Way::Back => self.back,
            };
            if !has_ended && let Poll::Ready(end) = poll(way, cx) {
                self.end(way, end);
            }
        }
        if coop::is_spent() {
            self.back_first = !self.back_first;
        }
        if self.there && self.back { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Records the end of a direction. One that cannot be read ends both.
    fn end(&mut self, way: Way, end: CopyEnd) {
        match way {
            Way::There => self.there = true,
            Way::Back => self.back = true,
        }
        if let Err((side, error)) = end {
            self.error.get_or_insert((way, side, error));
            if side == CopySide::Reader {
                (self.there, self.back) = (true, true);
            }
        }
    }

    pub(crate) fn into_result(
        self,
        there: Copied,
        back: Copied,
    ) -> Result<(u64, u64), CopyBidirectionalError> {
        match self.error {
            None => Ok((there.written, back.written)),
            Some((way, side, error)) => Err(CopyBidirectionalError { error, way, side, there, back }),
        }
    }
}

/// One direction of a copy.
struct Flow {
    /// The bytes that have been read and not been written.
    buffer: Buffer,
    written: u64,
    /// True if the writer is closed at the end.
    closes: bool,
    /// True once the reader has ended.
    is_read: bool,
    /// True if the writer may hold bytes that it has not been told to flush.
    is_dirty: bool,
}

impl Flow {
    fn new(closes: bool) -> Flow {
        Flow { buffer: Buffer::new(BUFFER), written: 0, closes, is_read: false, is_dirty: false }
    }

    fn copied(&mut self) -> Copied {
        Copied { written: self.written, unwritten: self.buffer.filled().to_vec() }
    }

    /// Copies until the reader has ended and the writer has been flushed or closed.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
    ) -> Poll<CopyEnd>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        let of_writer = |error| (CopySide::Writer, error);
        loop {
            // Both may be always ready and know of no budget.
            ready!(coop::proceed(cx)).spend();
            while !self.buffer.is_empty() {
                let n = ready!(writer.as_mut().poll_write(cx, self.buffer.filled())).map_err(of_writer)?;
                if n == 0 {
                    return Poll::Ready(Err(of_writer(io::ErrorKind::WriteZero.into())));
                }
                self.buffer.consume(n);
                self.written += n as u64;
                self.is_dirty = true;
            }
            if self.is_read {
                let ended = match self.closes {
                    true => writer.poll_close(cx),
                    false => writer.poll_flush(cx),
                };
                return ended.map_err(of_writer);
            }
            match reader.as_mut().poll_read(cx, self.buffer.room()) {
                Poll::Ready(read) => {
                    let n = read.map_err(|error| (CopySide::Reader, error))?;
                    self.buffer.filled_more(n);
                    self.is_read = n == 0;
                }
                Poll::Pending => {
                    // Whoever is to answer has to get what there is.
                    if self.is_dirty {
                        ready!(writer.as_mut().poll_flush(cx)).map_err(of_writer)?;
                        self.is_dirty = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}
