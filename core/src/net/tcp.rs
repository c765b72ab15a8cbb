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
use crate::kernel::world::{self, SocketOption};
use crate::time;

/// A TCP connection.
///
/// Reading and writing take `&self`, and any number of tasks and threads may do both at a time. Dropping it closes the
/// connection; [`shutdown`](TcpStream::shutdown) closes one direction.
///
/// # Beside std's traits
/// `read`, `write_all` and their like exist twice, as futures of this type and as methods of [`std::io::Read`] and
/// [`std::io::Write`], which it implements for code that knows nothing else. Where std's traits are in scope, the language
/// takes std's method on a `&mut TcpStream`, and the future on a `TcpStream` or a `&TcpStream`. They do the same, but a
/// future that is neither awaited nor waited for does nothing. To take one for the other does not go unnoticed where the
/// result is looked at, for the types differ; where it is not, the compiler warns of an unused future, which is an
/// error here:
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
/// `let _ = stream.write_all(b"hello")` silences the compiler, though not clippy (`let_underscore_future`). Code that is
/// written for both kinds says which it means: `stream.write_all(b"hello").wait()?`, or
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
    /// What the operating system says.
    pub async fn connect_addr(address: SocketAddr) -> io::Result<TcpStream> {
        let world = world::current();
        Ok(TcpStream::from_handle(connect(world.as_deref(), address).await?))
    }

    /// As [`connect`](TcpStream::connect), for `duration` at most, name resolution included.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is over; else as `connect`.
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
    pub fn connect_deadline(
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
    /// What the operating system says, for instance that the peer has reset the connection.
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

    /// Writes as much of `buf` as there is room for, and returns how many bytes that were. Waits until there is
    /// room for some. They have then been handed to the system; whether they arrive is not known. Cancel-safe.
    ///
    /// # Errors
    /// What the operating system says: [`BrokenPipe`](io::ErrorKind::BrokenPipe) or
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the peer is gone.
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

    /// Closes one direction, or both, at once and for everybody who shares the connection. Those who wait are woken:
    /// reads then find the end of the stream, writes fail.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when the connection is gone already.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// A reading and a writing half that borrow the connection.
    pub fn split(&self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// A reading and a writing half that own the connection. Dropping the writing half closes that direction;
    /// dropping both closes the connection.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        (OwnedReadHalf::new(self.socket.clone()), OwnedWriteHalf::new(self.socket))
    }

    /// The connection as one of std's, in blocking mode.
    ///
    /// # Errors
    /// When the descriptor is referred to from elsewhere at this moment, and there is none for a duplicate.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(sys::into_fd(self.socket.into_handle()?)?.into())
    }
}

/// Options and addresses. All of them return what the operating system says as their error.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl TcpStream {
    /// Our address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sys::local_addr(self.socket.io())
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        sys::peer_addr(self.socket.io())
    }

    /// The error that has happened on the connection since this was last asked, if one has.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        sys::take_error(self.socket.io())
    }

    /// Whether small segments are sent at once instead of being gathered (`TCP_NODELAY`).
    pub fn nodelay(&self) -> io::Result<bool> {
        sys::nodelay(self.socket.io())
    }

    /// Sets [`nodelay`](TcpStream::nodelay).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.set_option(SocketOption::NoDelay(nodelay))
    }

    /// How many routers a packet may pass (`IP_TTL`).
    pub fn ttl(&self) -> io::Result<u32> {
        sys::ttl(self.socket.io())
    }

    /// Sets [`ttl`](TcpStream::ttl), from 1 to 255.
    pub fn set_ttl(&self, routers: u32) -> io::Result<()> {
        // The system takes -1 for "as usual", which is what the largest number would become.
        match u8::try_from(routers) {
            Ok(routers) => self.set_option(SocketOption::Ttl(routers.into())),
            Err(_) => Err(out_of_range("a packet passes 255 routers at most")),
        }
    }

    /// How long closing waits for what has been written to arrive; `None`: the system sees to it in the
    /// background; zero: closing resets the connection (`SO_LINGER`).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        sys::linger(self.socket.io())
    }

    /// Sets [`linger`](TcpStream::linger). The system counts in seconds: part of one counts as a whole one. A time that
    /// it cannot represent, of more than 2^31 - 1 seconds, is [`InvalidInput`](io::ErrorKind::InvalidInput). Other values
    /// than `None` and zero make closing block the thread it happens on.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set_option(SocketOption::Linger(linger.map(whole_seconds).transpose()?))
    }

    /// The idle time after which the system asks whether the peer is still there; `None`: never.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        sys::keepalive(self.socket.io())
    }

    /// Sets [`keepalive`](TcpStream::keepalive). The system counts in seconds: part of one counts as a whole one. It refuses
    /// zero and, on Linux, more than 32767.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        self.set_option(SocketOption::KeepAlive(idle.map(whole_seconds).transpose()?))
    }

    /// The size of the system's buffer for what has arrived, in bytes.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        sys::recv_buffer_size(self.socket.io())
    }

    /// Asks for a size of that buffer, in bytes; Linux doubles it, and has a limit of its own.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set_option(SocketOption::ReceiveBuffer(as_size(bytes)))
    }

    /// The size of the system's buffer for what has been written, in bytes.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        sys::send_buffer_size(self.socket.io())
    }

    /// Asks for a size of that buffer, in bytes; Linux doubles it, and has a limit of its own.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set_option(SocketOption::SendBuffer(as_size(bytes)))
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        sys::set_option(self.socket.io(), option)
    }
}

/// The time in whole seconds, rounded up, if the system can represent that: it takes a C `int`.
fn whole_seconds(time: Duration) -> io::Result<Duration> {
    let seconds = time.as_secs().checked_add(u64::from(time.subsec_nanos() > 0));
    match seconds.and_then(|seconds| i32::try_from(seconds).ok()) {
        Some(seconds) => Ok(Duration::from_secs(seconds.unsigned_abs().into())),
        None => Err(out_of_range("the system counts up to 2^31 - 1 seconds")),
    }
}

/// A size that the system takes as a C `int`. It has a limit of its own that is far below.
fn as_size(bytes: usize) -> usize {
    bytes.min(i32::MAX as usize)
}

fn out_of_range(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<std::net::TcpStream> for TcpStream {
    /// Puts the connection into blocking mode, in which our streams are kept.
    fn from(stream: std::net::TcpStream) -> TcpStream {
        let io = IoHandle::Descriptor(stream.into());
        // Where a sandbox forbids even this, a stream in non-blocking mode works, too: see `Socket::blocking`.
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
