//! The two directions of a connection, apart.

use std::future::Future;
use std::io;
use std::net::Shutdown;

use super::endpoint::{Endpoint, Family, Ip, Stream};
use super::reading::Reading;
use super::socket::Socket;
use crate::io::implement::{impl_read, impl_write};
use crate::kernel::io::ByteStream;

/// The reading half of a borrowed connection; made by [`split`](Endpoint::split).
///
/// ```
/// use std::net::Shutdown;
/// use twoply::{Wait, io, net::UnixStream};
///
/// let (mut ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(b"hello").wait()?;
/// theirs.shutdown(Shutdown::Write)?;
/// let (mut reader, mut writer) = ours.split();
/// assert_eq!(io::copy(&mut reader, &mut writer).wait()?, 5, "an echo");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ReadHalf<'a, F: Family = Ip>(pub(super) &'a Endpoint<F, Stream>);

/// The writing half of a borrowed connection; made by [`split`](Endpoint::split).
///
/// Dropping it closes nothing: the connection is its owner's. Closing it as an `AsyncWrite` closes that
/// direction.
#[derive(Debug)]
pub struct WriteHalf<'a, F: Family = Ip>(pub(super) &'a Endpoint<F, Stream>);

impl<F: Family> Clone for ReadHalf<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Family> Copy for ReadHalf<'_, F> {}

impl<F: Family> Clone for WriteHalf<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Family> Copy for WriteHalf<'_, F> {}

impl_read!([F: Family] ReadHalf<'_, F>, |half| half.0.socket());
impl_write!([F: Family] WriteHalf<'_, F>, |half| half.0.socket());

/// The reading half of a connection that it owns together with its writing half; made by
/// [`into_split`](Endpoint::into_split).
///
/// ```
/// use twoply::{Wait, net::{TcpListener, TcpStream}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let client = TcpStream::connect(listener.local_addr()?).wait()?;
/// let (server, _) = listener.accept().wait()?;
/// let (reader, _writer) = client.into_split();
/// server.write_all(b"ab").wait()?;
/// reader.read_exact(&mut [0; 2]).wait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct OwnedReadHalf<F: Family = Ip> {
    stream: Endpoint<F, Stream>,
}

/// The writing half of a connection that it owns together with its reading half; made by
/// [`into_split`](Endpoint::into_split).
///
/// Dropping it closes its direction: the peer reads the end of the stream.
///
/// ```
/// use twoply::{Wait, net::{TcpListener, TcpStream}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let client = TcpStream::connect(listener.local_addr()?).wait()?;
/// let (server, _) = listener.accept().wait()?;
/// let (_reader, writer) = client.into_split();
/// writer.write_all(b"ab").wait()?;
/// drop(writer);
/// server.read_exact(&mut [0; 2]).wait()?;
/// assert_eq!(server.read(&mut [0]).wait()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct OwnedWriteHalf<F: Family = Ip> {
    /// The connection; `None` only while [`OwnedWriteHalf::into_stream`] takes it out.
    stream: Option<Endpoint<F, Stream>>,
}

/// The error of [`OwnedReadHalf::reunite`] when the halves belong to different connections. Both are given
/// back.
///
/// ```
/// use twoply::net::UnixStream;
///
/// let ((one, _a), (other, _b)) = (UnixStream::pair()?, UnixStream::pair()?);
/// let ((reader, writer), (other_reader, other_writer)) = (one.into_split(), other.into_split());
/// let error = reader.reunite(other_writer).unwrap_err();
/// assert!(error.0.reunite(writer).is_ok(), "this one was the right one");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the halves belong to different connections")]
#[non_exhaustive]
pub struct ReuniteError<F: Family = Ip>(pub OwnedReadHalf<F>, pub OwnedWriteHalf<F>);

impl<F: Family> OwnedReadHalf<F> {
    pub(super) fn new(socket: Socket) -> OwnedReadHalf<F> {
        OwnedReadHalf { stream: Endpoint::of(socket, Stream) }
    }

    /// Returns the connection, for its addresses, options and futures.
    pub fn stream(&self) -> &Endpoint<F, Stream> {
        &self.stream
    }

    /// As [`Endpoint::read`]. Cancel-safe.
    ///
    /// # Errors
    /// As there.
    pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> Reading<'a, usize> {
        self.stream.read(buf)
    }

    /// As [`Endpoint::read_exact`]. Not cancel-safe.
    ///
    /// # Errors
    /// As there.
    pub fn read_exact<'a>(&'a self, buf: &'a mut [u8]) -> Reading<'a, ()> {
        self.stream.read_exact(buf)
    }

    /// Puts the connection together again.
    ///
    /// # Errors
    /// Gives both halves back when they are not of the same connection.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (reader, writer) = client.into_split();
    /// let client = reader.reunite(writer).expect("two halves of one connection");
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reunite(self, write: OwnedWriteHalf<F>) -> Result<Endpoint<F, Stream>, Box<ReuniteError<F>>> {
        if self.stream.socket().is(write.stream().socket()) {
            Ok(write.into_stream())
        } else {
            Err(Box::new(ReuniteError(self, write)))
        }
    }
}

impl<F: Family> OwnedWriteHalf<F> {
    pub(super) fn new(socket: Socket) -> OwnedWriteHalf<F> {
        OwnedWriteHalf { stream: Some(Endpoint::of(socket, Stream)) }
    }

    /// Returns the connection, for its addresses, options and futures.
    pub fn stream(&self) -> &Endpoint<F, Stream> {
        match &self.stream {
            Some(stream) => stream,
            None => unreachable!("it is taken out only by `into_stream`, which owns the half"),
        }
    }

    /// As [`Endpoint::write`]. Cancel-safe.
    ///
    /// # Errors
    /// As there.
    pub fn write<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, F> {
        self.stream().write(buf)
    }

    /// As [`Endpoint::write_all`]. Not cancel-safe.
    ///
    /// # Errors
    /// As there.
    pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        self.stream().write_all(buf).await
    }

    /// Returns the connection, without closing anything.
    fn into_stream(mut self) -> Endpoint<F, Stream> {
        match self.stream.take() {
            Some(stream) => stream,
            None => unreachable!("it is taken out only here, and this owns the half"),
        }
    }
}

impl<F: Family> Drop for OwnedWriteHalf<F> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // It fails when the connection is gone, which is closed enough.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

impl_read!([F: Family] OwnedReadHalf<F>, |half| half.stream.socket());
impl_write!([F: Family] OwnedWriteHalf<F>, |half| half.stream().socket());
