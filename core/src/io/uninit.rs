//! Reading into memory that nobody has initialized.

use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll};

/// Streams of this library that read into memory that need not be initialized: sockets, their halves, streams
/// in memory and the pipes of children. It is for those who write adapters to traits of other libraries,
/// whose buffers are not initialized; nobody else implements it, so that they may rely on it in `unsafe`
/// code.
pub trait ReadUninit: sealed::Sealed {
    /// Reads what there is into `buf`, or has `cx`'s task woken when there is something. Returns what has
    /// been read, which are the first bytes of `buf`; none is the end of the stream, or an empty `buf`.
    ///
    /// It shares the waker of the stream's [`AsyncRead`](futures_io::AsyncRead): only the last poll is woken.
    ///
    /// # Errors
    /// Whatever the operating system says, for instance that the peer has reset the connection.
    ///
    /// # Examples
    /// ```
    /// use std::future::poll_fn;
    /// use std::mem::MaybeUninit;
    /// use twoply::io::ReadUninit;
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"abc").wait()?;
    /// let mut room = [MaybeUninit::uninit(); 8];
    /// let read = poll_fn(|cx| ours.poll_read_uninit(cx, &mut room).map_ok(|read| read.to_vec())).wait()?;
    /// assert_eq!(read, b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn poll_read_uninit<'b>(
        &self,
        cx: &mut Context<'_>,
        buf: &'b mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<&'b mut [u8]>>;
}

/// Keeps others from implementing [`ReadUninit`].
pub(crate) mod sealed {
    /// A type of this library's.
    pub trait Sealed {}
}
