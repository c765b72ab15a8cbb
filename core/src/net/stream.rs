//! Streams of bytes, of either family: reading, writing, and the two directions.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;

use super::endpoint::{Endpoint, Family, Stream};
use super::reading::Reading;
use super::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use crate::io::implement::{impl_read, impl_write};
use crate::kernel::io::ByteStream;

/// Streams: connections of [TCP](super::TcpStream) and of [Unix sockets](super::UnixStream).
impl<F: Family> Endpoint<F, Stream> {
    /// Reads what there is into `buf`, and returns how many bytes that were. Waits until there are some; zero
    /// means that the peer has closed its side, or that `buf` is empty. Cancel-safe.
    ///
    /// # Errors
    /// Whatever the operating system says, for instance that the peer has reset the connection.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// server.write(b"abc").wait()?;
    /// let mut buf = [0; 8];
    /// let n = client.read(&mut buf).wait()?;
    /// assert_eq!(&buf[..n], b"abc");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> Reading<'a, usize> {
        self.socket().reading(buf)
    }

    /// As [`read`](Endpoint::read), into several buffers in turn. Cancel-safe.
    ///
    /// # Errors
    /// As `read`.
    ///
    /// ```
    /// use std::io::IoSliceMut;
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// server.write(b"abc").wait()?;
    /// let (mut first, mut rest) = ([0; 1], [0; 8]);
    /// let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut rest)];
    /// assert_eq!(client.read_vectored(&mut bufs).wait()?, 3);
    /// assert_eq!((&first, &rest[..2]), (b"a", &b"bc"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_vectored<'a, 'b>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'b>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b, F> {
        self.socket().read_vectored(bufs)
    }

    /// As [`read`](Endpoint::read), but what is read is still there afterwards. Cancel-safe.
    ///
    /// # Errors
    /// As `read`.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// server.write(b"abc").wait()?;
    /// let mut buf = [0; 8];
    /// assert_eq!(client.peek(&mut buf).wait()?, 3);
    /// assert_eq!(client.read(&mut buf).wait()?, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peek<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, F> {
        self.socket().peek(buf)
    }

    /// Fills `buf`.
    ///
    /// Not cancel-safe: what had been read when it was dropped is in `buf`, and how much that was is lost;
    /// [`io::read_exact`](crate::io::read_exact()) keeps it.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the stream ends before; else as
    /// [`read`](Endpoint::read).
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// server.write_all(b"abcd").wait()?;
    /// let mut length = [0; 2];
    /// client.read_exact(&mut length).wait()?;
    /// assert_eq!(&length, b"ab");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_exact<'a>(&'a self, buf: &'a mut [u8]) -> Reading<'a, ()> {
        self.socket().reading_exact(buf)
    }

    /// Writes as much of `buf` as there is room for, and returns how many bytes that were. Waits until there
    /// is room for some. They have then been handed to the system; whether they arrive is not known.
    /// Cancel-safe.
    ///
    /// # Errors
    /// The operating system's: [`BrokenPipe`](io::ErrorKind::BrokenPipe) or
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the peer is gone.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// assert_eq!(server.write(b"abc").wait()?, 3);
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, F> {
        self.socket().write(buf)
    }

    /// As [`write`](Endpoint::write), from several buffers in turn. Cancel-safe.
    ///
    /// # Errors
    /// As `write`.
    ///
    /// ```
    /// use std::io::IoSlice;
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// let bufs = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    /// assert_eq!(server.write_vectored(&bufs).wait()?, 8);
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_vectored<'a, 'b>(
        &'a self,
        bufs: &'a [IoSlice<'b>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b, F> {
        self.socket().write_vectored(bufs)
    }

    /// Writes all of `buf`.
    ///
    /// Not cancel-safe: some of it may have been written when it is dropped, and how much is lost;
    /// [`io::write_all`](crate::io::write_all()) keeps that.
    ///
    /// # Errors
    /// As [`write`](Endpoint::write).
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// server.write_all(&[7; 1000]).wait()?;
    /// client.read_exact(&mut [0; 1000]).wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        self.socket().write_all(buf).await
    }

    /// Closes one direction, or both, at once and for everybody who shares the connection. Those who wait are
    /// woken: reads then find the end of the stream, writes fail.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when the connection is gone already.
    ///
    /// ```
    /// use twoply::{Wait, net::{Shutdown, TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// server.shutdown(Shutdown::Write)?;
    /// assert_eq!(client.read(&mut [0]).wait()?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket().shutdown(how)
    }

    /// Splits the connection into a reading and a writing half that borrow it.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// let (mut reader, mut writer) = client.split();
    /// writer.write_all(b"question")?;
    /// server.write_all(b"answer").wait()?;
    /// reader.read_exact(&mut [0; 6])?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn split(&self) -> (ReadHalf<'_, F>, WriteHalf<'_, F>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Splits the connection into a reading and a writing half that own it. Dropping the writing half closes
    /// that direction; dropping both closes the connection.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// let (reader, writer) = client.into_split();
    /// drop(writer);
    /// assert_eq!(server.read(&mut [0]).wait()?, 0);
    /// server.write_all(b"still open").wait()?;
    /// reader.read_exact(&mut [0; 10]).wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_split(self) -> (OwnedReadHalf<F>, OwnedWriteHalf<F>) {
        let (socket, _) = self.into_socket();
        (OwnedReadHalf::new(socket.clone()), OwnedWriteHalf::new(socket))
    }
}

impl_read!([F: Family] Endpoint<F, Stream>, |stream| stream.socket());
impl_read!([F: Family] &Endpoint<F, Stream>, |stream| stream.socket());
impl_write!([F: Family] Endpoint<F, Stream>, |stream| stream.socket());
impl_write!([F: Family] &Endpoint<F, Stream>, |stream| stream.socket());
