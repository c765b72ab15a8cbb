//! TCP connections.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::addr::{Query, ToSocketAddrs};
use super::connect::{connect, connect_any};
use super::socket::Socket;
use super::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::sys;
use crate::event::reactor::IoHandle;
use crate::kernel::world;
use crate::time;

/// A TCP connection.
///
/// Reading and writing take `&self`, and any number of tasks and threads may do both at a time. Dropping it
/// closes the connection; [`shutdown`](TcpStream::shutdown) closes one direction.
///
/// # Beside std's traits
/// `read`, `write_all` and their like exist twice, as futures of this type and as methods of
/// [`std::io::Read`] and [`std::io::Write`], which it implements for code that knows nothing else. Where
/// std's traits are in scope, the language takes std's method on a `&mut TcpStream`, and the future on a
/// `TcpStream` or a `&TcpStream`. They do the same, but a future that is neither awaited nor waited for does
/// nothing. To take one for the other does not go unnoticed where the result is looked at, for the types
/// differ; where it is not, the compiler warns of an unused future, which is an error here:
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// use std::io::Write;
///
/// fn greet(stream: twoply::net::TcpStream) {
///     stream.write_all(b"hello");
/// }
/// ```
///
/// `let _ = stream.write_all(b"hello")` silences the compiler, though not clippy (`let_underscore_future`).
/// Code that is written for both kinds says which it means: `stream.write_all(b"hello").wait()?`, or
/// `Write::write_all(&mut &stream, b"hello")?`.
///
/// ```
/// use std::io::{Read, Write};
/// use twoply::{Wait, net::{Shutdown, TcpListener, TcpStream}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let mut client = TcpStream::connect(listener.local_addr()?).wait()?;
/// let (server, _) = listener.accept().wait()?;
///
/// // As futures, on any stack ...
/// server.write_all(b"hello").wait()?;
/// server.shutdown(Shutdown::Write)?;
/// // ... and as std's traits, for code that knows nothing else.
/// let mut text = String::new();
/// client.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpStream {
    /// The descriptor, in blocking mode.
    socket: Socket,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers. Names are resolved on another thread.
    ///
    /// Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// When names cannot be resolved, and the last error when no address answers.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// assert_eq!(client.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect(addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpStream>> + Send {
        let query: Query = addrs.to_query();
        async move {
            let world = world::current();
            let addresses = query.resolve(world.as_deref()).await?;
            Ok(TcpStream::from_handle(connect_any(world.as_deref(), addresses).await?))
        }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// Whatever the operating system says.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect_addr(listener.local_addr()?).wait()?;
    /// assert_eq!(client.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn connect_addr(address: SocketAddr) -> io::Result<TcpStream> {
        let world = world::current();
        Ok(TcpStream::from_handle(connect(world.as_deref(), address).await?))
    }

    /// As [`connect`](TcpStream::connect), for `duration` at most, name resolution included.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is over; else as `connect`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let second = Duration::from_secs(1);
    /// let client = TcpStream::connect_timeout(listener.local_addr()?, second).wait()?;
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_timeout(
        addrs: impl ToSocketAddrs,
        duration: Duration,
    ) -> impl Future<Output = io::Result<TcpStream>> + Send {
        let connect = time::timeout(duration, TcpStream::connect(addrs));
        async move { connect.await? }
    }

    /// As [`connect`](TcpStream::connect), until `deadline` at most.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is over; else as `connect`.
    ///
    /// ```
    /// use std::time::Instant;
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let error = TcpStream::connect_timeout_at("127.0.0.1:1", Instant::now()).wait().unwrap_err();
    /// # let _ = (error, listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect_timeout_at(
        addrs: impl ToSocketAddrs,
        deadline: Instant,
    ) -> impl Future<Output = io::Result<TcpStream>> + Send {
        let connect = time::timeout_at(deadline, TcpStream::connect(addrs));
        async move { connect.await? }
    }

    /// Makes a connection of `io`. A descriptor is in blocking mode.
    pub(super) fn from_handle(io: IoHandle) -> TcpStream {
        TcpStream { socket: Socket::new(io) }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn from_socket(socket: Socket) -> TcpStream {
        TcpStream { socket }
    }

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
    pub fn read<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        self.socket.read(buf)
    }

    /// As [`read`](TcpStream::read), into several buffers in turn. Cancel-safe.
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
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b> {
        self.socket.read_vectored(bufs)
    }

    /// As [`read`](TcpStream::read), but what is read is still there afterwards. Cancel-safe.
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
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        self.socket.peek(buf)
    }

    /// Fills `buf`.
    ///
    /// Not cancel-safe: what had been read when it was dropped is in `buf`, and how much that was is lost.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the stream ends before; else as
    /// [`read`](TcpStream::read).
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
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        let mut rest = buf;
        while !rest.is_empty() {
            match self.read(rest).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => rest = &mut rest[n..],
            }
        }
        Ok(())
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
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        self.socket.write(buf)
    }

    /// As [`write`](TcpStream::write), from several buffers in turn. Cancel-safe.
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
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b> {
        self.socket.write_vectored(bufs)
    }

    /// Writes all of `buf`.
    ///
    /// Not cancel-safe: some of it may have been written when it is dropped, and how much is lost.
    ///
    /// # Errors
    /// As [`write`](TcpStream::write).
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
        let mut rest = buf;
        while !rest.is_empty() {
            match self.write(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => rest = &rest[n..],
            }
        }
        Ok(())
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
        self.socket.shutdown(how)
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
    pub fn split(&self) -> (ReadHalf<'_>, WriteHalf<'_>) {
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
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        (OwnedReadHalf::new(self.socket.clone()), OwnedWriteHalf::new(self.socket))
    }

    /// Turns the connection into one of std's, in blocking mode.
    ///
    /// # Errors
    /// When the descriptor is referred to from elsewhere at this moment, and there is none for a duplicate.
    /// [`Unsupported`](io::ErrorKind::Unsupported) when the connection is one of a [world](crate::world)'s,
    /// which has no descriptor.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let client: std::net::TcpStream = client.into_std()?;
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(sys::into_fd(self.socket.into_handle()?)?.into())
    }
}

impl AsFd for TcpStream {
    /// Returns the descriptor of the connection. One of a [world](crate::world)'s has none: the number that
    /// it returns is no open descriptor, and the system refuses every call of sockets on it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<std::net::TcpStream> for TcpStream {
    /// Puts the connection into blocking mode, in which our streams are kept.
    fn from(stream: std::net::TcpStream) -> TcpStream {
        let io = IoHandle::Descriptor(stream.into());
        // A stream in non-blocking mode works, too, where a sandbox forbids even this: see
        // `Socket::blocking`.
        let _ = sys::set_nonblocking(&io, false);
        TcpStream::from_handle(io)
    }
}

impl TryFrom<TcpStream> for std::net::TcpStream {
    type Error = io::Error;

    fn try_from(stream: TcpStream) -> io::Result<std::net::TcpStream> {
        stream.into_std()
    }
}

/// Implements std's and futures-io's reading for a type, through the socket that `$socket` finds in it.
macro_rules! impl_read {
    ($kind:ty, |$this:ident| $socket:expr) => {
        impl std::io::Read for $kind {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                let $this = &*self;
                $socket.read_blocking(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                let $this = &*self;
                $socket.read_vectored_blocking(bufs)
            }
        }

        impl futures_io::AsyncRead for $kind {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $socket.poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $socket.poll_read_vectored(cx, bufs)
            }
        }
    };
}

/// Implements std's and futures-io's writing for a type, through the socket that `$socket` finds in it.
macro_rules! impl_write {
    ($kind:ty, |$this:ident| $socket:expr) => {
        impl std::io::Write for $kind {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                let $this = &*self;
                $socket.write_blocking(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                let $this = &*self;
                $socket.write_vectored_blocking(bufs)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl futures_io::AsyncWrite for $kind {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $socket.poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                $socket.poll_write_vectored(cx, bufs)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                _cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                std::task::Poll::Ready($socket.close_write())
            }
        }
    };
}

pub(super) use {impl_read, impl_write};

impl_read!(TcpStream, |stream| stream.socket);
impl_read!(&TcpStream, |stream| stream.socket);
impl_write!(TcpStream, |stream| stream.socket);
impl_write!(&TcpStream, |stream| stream.socket);
