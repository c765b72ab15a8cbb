//! Operations on readers and writers of any kind, which move more than one call does: futures over
//! futures-io's traits, finished by `.await` or `.wait()`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use super::buffered::LimitExceeded;
use crate::kernel::coop;
use crate::kernel::relay::relayed;

/// The size of a read, in bytes.
const CHUNK: usize = 8 * 1024;

/// Fills `buf` from `filled` on, and counts in `filled` as it does.
///
/// Dropped before it is ready, it has read what `filled` says, and nothing is lost: called again with the
/// same two, it goes on. ([`BufReader::peek`](super::BufReader::peek) is another way, which leaves the bytes
/// in a buffer until all of them are there.)
///
/// # Errors
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the reader ends before; else those of the reader.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, io, time::timeout};
///
/// let (mut ours, theirs) = io::duplex(64);
/// theirs.write_all(b"first ").wait()?;
/// let (mut buf, mut filled) = ([0; 12], 0);
/// let read = io::read_exact(&mut ours, &mut buf, &mut filled);
/// assert!(timeout(Duration::from_millis(1), read).wait().is_err());
/// assert_eq!(filled, 6);
/// theirs.write_all(b"second").wait()?;
/// io::read_exact(&mut ours, &mut buf, &mut filled).wait()?;
/// assert_eq!(&buf, b"first second");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_exact<'a, R: AsyncRead + Unpin + ?Sized>(
    reader: &'a mut R,
    buf: &'a mut [u8],
    filled: &'a mut usize,
) -> impl Future<Output = io::Result<()>> + Unpin + use<'a, R> {
    relayed(move |cx| {
        while let Some(room @ [_, ..]) = buf.get_mut(*filled..) {
            match ready!(Pin::new(&mut *reader).poll_read(cx, room))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                n => *filled += n.min(room.len()),
            }
        }
        Poll::Ready(Ok(()))
    })
}

/// Writes `bytes` from `written` on, and counts in `written` as it does.
///
/// Dropped before it is ready, it has written what `written` says: called again with the same two, it goes
/// on. ([`BufWriter::write_all`](super::BufWriter::write_all) is another way, which takes all or nothing.)
///
/// # Errors
/// Those of the writer; [`WriteZero`](io::ErrorKind::WriteZero) when it takes nothing.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, io, time::timeout};
///
/// let (mut ours, theirs) = io::duplex(4);
/// let mut written = 0;
/// let write = io::write_all(&mut ours, b"hello", &mut written);
/// assert!(timeout(Duration::from_millis(1), write).wait().is_err());
/// assert_eq!(written, 4);
/// theirs.read(&mut [0; 4]).wait()?;
/// io::write_all(&mut ours, b"hello", &mut written).wait()?;
/// assert_eq!(written, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_all<'a, W: AsyncWrite + Unpin + ?Sized>(
    writer: &'a mut W,
    bytes: &'a [u8],
    written: &'a mut usize,
) -> impl Future<Output = io::Result<()>> + Unpin + use<'a, W> {
    relayed(move |cx| {
        while let Some(rest @ [_, ..]) = bytes.get(*written..) {
            match ready!(Pin::new(&mut *writer).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => *written += n.min(rest.len()),
            }
        }
        Poll::Ready(Ok(()))
    })
}

/// Reads to the end, appends it to `bytes`, and returns how many bytes that were: `limit` at most. What has
/// been read when it is dropped or fails is in `bytes`, so called again it goes on.
///
/// # Errors
/// [`LimitExceeded`], as soon as there is more than `limit` bytes: then `bytes` has one more than that. Else
/// those of the reader.
///
/// # Examples
/// ```
/// use twoply::{Wait, io};
///
/// let (mut ours, theirs) = io::duplex(64);
/// theirs.write_all(b"all of it").wait()?;
/// drop(theirs);
/// let mut bytes = Vec::new();
/// assert!(io::read_to_end(&mut ours, &mut bytes, 2).wait().is_err());
/// assert_eq!(bytes, b"all");
/// io::read_to_end(&mut ours, &mut bytes, 100).wait()?;
/// assert_eq!(bytes, b"all of it");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_to_end<'a, R: AsyncRead + Unpin + ?Sized>(
    reader: &'a mut R,
    bytes: &'a mut Vec<u8>,
    limit: usize,
) -> impl Future<Output = io::Result<usize>> + Unpin + use<'a, R> {
    let before = bytes.len();
    relayed(move |cx| {
        let most = before.saturating_add(limit);
        match ready!(poll_read_to_end(cx, bytes, most, |cx, buf| Pin::new(&mut *reader).poll_read(cx, buf)))?
        {
            true => Poll::Ready(Ok(bytes.len() - before)),
            false => Poll::Ready(Err(LimitExceeded { limit }.into())),
        }
    })
}

/// As [`read_to_end`], for text, which is appended to `text` when all of it is there.
///
/// Not cancel-safe: what has been read when it is dropped or fails is lost.
///
/// # Errors
/// As there; [`InvalidData`](io::ErrorKind::InvalidData) for what is not UTF-8.
///
/// # Examples
/// ```
/// use std::io::ErrorKind;
/// use twoply::{Wait, io};
///
/// let mut text = String::from("read: ");
/// assert_eq!(io::read_to_string(&mut &b"hello"[..], &mut text, 100).wait()?, 5);
/// assert_eq!(text, "read: hello");
/// let error = io::read_to_string(&mut &b"\xff"[..], &mut text, 100).wait().unwrap_err();
/// assert_eq!((error.kind(), text.as_str()), (ErrorKind::InvalidData, "read: hello"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read_to_string<R: AsyncRead + Unpin + ?Sized>(
    reader: &mut R,
    text: &mut String,
    limit: usize,
) -> io::Result<usize> {
    let mut bytes = Vec::new();
    let len = read_to_end(reader, &mut bytes, limit).await?;
    let read = std::str::from_utf8(&bytes);
    text.push_str(read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?);
    Ok(len)
}

/// Calls `read` until it has come to the end, and returns true; or until `bytes` has more than `limit`, and
/// returns false. The one that is beyond the limit is kept, too.
pub(crate) fn poll_read_to_end(
    cx: &mut Context<'_>,
    bytes: &mut Vec<u8>,
    limit: usize,
    mut read: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<bool>> {
    let mut chunk = [0; CHUNK];
    while bytes.len() <= limit {
        // The reader may be one that is always ready and knows of no budget.
        ready!(coop::proceed(cx)).spend();
        let room = chunk.len().min((limit - bytes.len()).saturating_add(1));
        match ready!(read(cx, &mut chunk[..room]))? {
            0 => return Poll::Ready(Ok(true)),
            n => bytes.extend_from_slice(&chunk[..n.min(room)]),
        }
    }
    Poll::Ready(Ok(false))
}
