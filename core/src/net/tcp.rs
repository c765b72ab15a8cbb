//! TCP: connections and listeners.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::addr::ToSocketAddrs;
use super::builder::{Options, TcpSocket};
use super::connect::connect;
use super::convert::{std_counterpart, std_listener};
use super::endpoint::{Endpoint, Ip, Listener, Stream};
use super::sys;
use crate::event::reactor::{Direction, IoHandle, Progress};
use crate::kernel::io::Op;
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
pub type TcpStream = Endpoint<Ip, Stream>;

impl TcpStream {
    /// Connects to the first of the addresses that answers. Names are resolved on another thread, or by the
    /// [resolver](super::set_resolver) of the program.
    ///
    /// Where there are several addresses they are tried in turn, IPv6 and IPv4 alternating, and whenever one
    /// has not answered for 250 ms the next is tried beside it ("happy eyeballs", [RFC 8305]). All names of a
    /// host are known before the first attempt, unlike there, and a name's order of addresses is the
    /// system's (RFC 6724).
    ///
    /// Dropping the future gives all attempts up.
    ///
    /// [RFC 8305]: https://www.rfc-editor.org/rfc/rfc8305
    ///
    /// # Errors
    /// When a name cannot be resolved, which the error says, and the last error when no address answers.
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
        TcpSocket::new().connect(addrs)
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
        Ok(TcpStream::new(connect(world.as_deref(), &address.into(), &Options::default()).await?, Stream))
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
}

/// Urgent data, one byte at a time.
impl TcpStream {
    /// Sends one byte as urgent data (`MSG_OOB`), after all that has been written before. Waits until there
    /// is room for it. Cancel-safe.
    ///
    /// TCP has one such byte under way at a time: the one before it becomes an ordinary byte when a second is
    /// sent. The receiver takes it with [`try_recv_urgent`](TcpStream::try_recv_urgent), or in the order of
    /// the other data ([`set_urgent_inline`](TcpStream::set_urgent_inline)). New protocols should not use it
    /// (RFC 6093); telnet and rlogin do.
    ///
    /// # Errors
    /// As [`write`](TcpStream::write); [`Unsupported`](io::ErrorKind::Unsupported) on a connection of a
    /// [world]'s.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// client.write_all(b"data").wait()?;
    /// client.send_urgent(b'!').wait()?;
    /// // The urgent byte is not among the others.
    /// let mut buf = [0; 8];
    /// assert_eq!(server.read(&mut buf).wait()?, 4);
    /// assert_eq!(server.try_recv_urgent()?, Some(b'!'));
    /// assert_eq!(server.try_recv_urgent()?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_urgent(&self, byte: u8) -> impl Future<Output = io::Result<()>> + Send + Unpin + use<'_> {
        Op::new(self.source(), Direction::Write, None, move |io: &IoHandle| {
            sys::send_urgent(io, byte).map(Progress::More)
        })
    }

    /// Returns the urgent byte that has come, if one has, and has not been taken yet. It waits for none. A
    /// read ends where its place is, and the next one goes past it: then it is lost.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn try_recv_urgent(&self) -> io::Result<Option<u8>> {
        sys::recv_urgent(self.io())
    }
}

std_counterpart! {
    TcpStream, std::net::TcpStream,
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let client: std::net::TcpStream = client.into_std()?;
    /// # drop(client);
}

/// A socket that accepts TCP connections.
///
/// Any number of tasks and threads may accept from one listener at a time. Dropping it closes it.
///
/// ```
/// use twoply::{Wait, net::{TcpListener, TcpStream}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let client = TcpStream::connect(listener.local_addr()?).wait()?;
/// let (server, peer) = listener.accept().wait()?;
/// assert_eq!(peer, client.local_addr()?);
/// # drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type TcpListener = Endpoint<Ip, Listener>;

impl TcpListener {
    /// Listens on the first of the addresses that can be had, with the default options of
    /// [`TcpSocket`].
    ///
    /// # Errors
    /// When names cannot be resolved, and the last error when no address can be had.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpListener};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpListener>> + Send {
        TcpListener::builder().bind(addrs)
    }

    /// Returns a builder with the default options.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpListener};
    ///
    /// let listener = TcpListener::builder().backlog(16).bind("127.0.0.1:0").wait()?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> TcpSocket {
        TcpSocket::new()
    }
}

std_listener! {
    TcpListener, std::net::TcpListener,
    /// use twoply::net::TcpListener;
    ///
    /// let listener = TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// let listener: std::net::TcpListener = listener.into_std()?;
    /// # drop(listener);
}
