//! Accepting TCP connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::addr::{Query, ToSocketAddrs};

use super::sys::{self, is_out_of_resources};
use super::tcp::TcpStream;
use crate::event::reactor::{Direction, IoHandle, IoSource, Progress};
use crate::kernel::Wait;
use crate::kernel::io::Op;
use crate::kernel::world::{self, SocketOption, World};
use crate::time::sleep;

/// The pause of an accept loop that is out of descriptors, and the limit to which it is doubled.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The number of failed connections that one accept passes over. A listener that fails so often in a row is
/// broken itself, or is no listener: a socket of another kind gives one of these errors for ever.
const PASSED_OVER: u32 = 64;

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
#[derive(Debug)]
pub struct TcpListener {
    /// The descriptor, in non-blocking mode.
    source: Arc<IoSource>,
}

impl TcpListener {
    /// Listens on the first of the addresses that can be had, with the default options of
    /// [`TcpListenerBuilder`].
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
    pub fn builder() -> TcpListenerBuilder {
        TcpListenerBuilder::default()
    }

    /// Waits for a connection, and returns it with the address of the peer.
    ///
    /// A connection that failed before it was accepted is passed over, up to 64 of them in a row.
    /// Cancel-safe.
    ///
    /// # Errors
    /// Whatever the operating system says: the error of the last connection when that many have failed, so
    /// that a socket which is no listener does not keep this busy for ever. When the process or the system is
    /// out of descriptors or memory ([`is_out_of_resources`]): the connection is still there, and so is the
    /// listener. A loop should pause then; [`incoming`](Self::incoming) does.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, peer) = listener.accept().wait()?;
    /// assert_eq!(server.peer_addr()?, peer);
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send + Unpin + '_ {
        Op::new(&self.source, Direction::Read, None, accept_one)
    }

    /// Returns the connections, one after the other; it pauses through shortages of descriptors.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// for stream in listener.incoming().take(1) {
    ///     assert_eq!(stream?.peer_addr()?, client.local_addr()?);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        let (pause, _) = PAUSE;
        Incoming { listener: self, pause }
    }

    /// Returns the address that it listens on, with the port that the system has chosen.
    ///
    /// # Errors
    /// Whatever the operating system says.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpListener};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// println!("listening on {}", listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sys::local_addr(self.source.handle())
    }

    /// Returns the error that has happened on the socket since the last call, if one has.
    ///
    /// # Errors
    /// Whatever the operating system says to the question.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpListener};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// assert!(listener.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        sys::take_error(self.source.handle())
    }

    /// Turns the listener into one of std's, in blocking mode.
    ///
    /// # Errors
    /// When the mode cannot be changed, or the descriptor must be duplicated and there is none; and when the
    /// listener is one of a [world](crate::world)'s, which has no descriptor.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpListener};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let listener: std::net::TcpListener = listener.into_std()?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        let io = IoSource::into_handle(self.source)?;
        sys::set_nonblocking(&io, false)?;
        Ok(sys::into_fd(io)?.into())
    }

    /// Turns one of std's listeners into one of these.
    ///
    /// # Errors
    /// When it cannot be put into non-blocking mode.
    ///
    /// ```
    /// use twoply::net::TcpListener;
    ///
    /// let listener = TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let io = IoHandle::Descriptor(listener.into());
        sys::set_nonblocking(&io, true)?;
        Ok(TcpListener { source: IoSource::of(io) })
    }
}

impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        TcpListener::from_std(listener)
    }
}

impl TryFrom<TcpListener> for std::net::TcpListener {
    type Error = io::Error;

    fn try_from(listener: TcpListener) -> io::Result<std::net::TcpListener> {
        listener.into_std()
    }
}

impl AsFd for TcpListener {
    /// Returns the descriptor of the listener. One of a [world](crate::world)'s has none: the number that it
    /// returns is no open descriptor, and the system refuses every call of sockets on it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

/// Takes the next connection whose peer is still there.
fn accept_one(io: &IoHandle) -> io::Result<Progress<(TcpStream, SocketAddr)>> {
    let mut failed = 0;
    loop {
        match sys::accept(io) {
            Ok((stream, peer)) => return Ok(Progress::More((TcpStream::from_handle(stream), peer))),
            Err(e) if sys::is_of_connection(&e) && failed < PASSED_OVER => failed += 1,
            Err(e) => return Err(e),
        }
    }
}

/// The connections of a listener, one after the other; made by [`TcpListener::incoming`].
///
/// When descriptors or memory run out it pauses, 5 ms at first and up to a second, and tries again, so that a
/// server outlives the shortage without burning a core. As an iterator it finishes each step with `.wait()`.
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    /// The next pause; back at the shortest after each success.
    pause: Duration,
}

impl Incoming<'_> {
    /// Waits for the next connection. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`TcpListener::accept`] that do not pass by themselves.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let mut incoming = listener.incoming();
    /// let (server, peer) = incoming.accept().wait()?;
    /// # drop((client, server, peer));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (shortest, longest) = PAUSE;
        loop {
            match self.listener.accept().await {
                Err(e) if is_out_of_resources(&e) => {
                    sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(longest);
                }
                result => {
                    self.pause = shortest;
                    return result;
                }
            }
        }
    }
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.accept().wait().map(|(stream, _)| stream))
    }
}

/// The options of a new [`TcpListener`]; made by [`TcpListener::builder`].
///
/// ```
/// use twoply::{Wait, net::TcpListener};
///
/// let first = TcpListener::builder().reuse_port(true).bind("127.0.0.1:0").wait()?;
/// let second = TcpListener::builder().reuse_port(true).bind(first.local_addr()?).wait()?;
/// assert_eq!(second.local_addr()?, first.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TcpListenerBuilder {
    reuse_addr: bool,
    reuse_port: bool,
    backlog: u32,
    only_v6: Option<bool>,
}

impl Default for TcpListenerBuilder {
    fn default() -> TcpListenerBuilder {
        TcpListenerBuilder { reuse_addr: true, reuse_port: false, backlog: 1024, only_v6: None }
    }
}

impl TcpListenerBuilder {
    /// Sets whether an address may be taken over that old connections still linger on. Default: yes, as in
    /// std.
    pub fn reuse_addr(mut self, reuse: bool) -> TcpListenerBuilder {
        self.reuse_addr = reuse;
        self
    }

    /// Sets whether other listeners of the same user may share the address, the kernel spreading connections
    /// among them. Default: no. Closing one of them resets the connections that are queued for it.
    pub fn reuse_port(mut self, reuse: bool) -> TcpListenerBuilder {
        self.reuse_port = reuse;
        self
    }

    /// Sets how many connections may be waiting to be accepted. Default: 1024; the system has a limit of its
    /// own.
    pub fn backlog(mut self, connections: u32) -> TcpListenerBuilder {
        self.backlog = connections;
        self
    }

    /// Sets whether an IPv6 listener leaves IPv4 alone. Default: what the system's default is.
    pub fn only_v6(mut self, only: bool) -> TcpListenerBuilder {
        self.only_v6 = Some(only);
        self
    }

    /// Listens on the first of the addresses that can be had.
    ///
    /// # Errors
    /// When names cannot be resolved, and the last error when no address can be had.
    pub fn bind(self, addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpListener>> + Send {
        let query: Query = addrs.to_query();
        async move {
            let world = world::current();
            let world = world.as_deref();
            let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to listen on");
            for address in query.resolve(world).await? {
                match self.listen(world, address) {
                    Ok(listener) => return Ok(listener),
                    Err(e) => last = e,
                }
            }
            Err(last)
        }
    }

    fn listen(&self, world: Option<&dyn World>, address: SocketAddr) -> io::Result<TcpListener> {
        let io = sys::stream_socket(world, &address)?;
        sys::set_option(&io, SocketOption::ReuseAddr(self.reuse_addr))?;
        if self.reuse_port {
            sys::set_option(&io, SocketOption::ReusePort(true))?;
        }
        if let (Some(only), true) = (self.only_v6, address.is_ipv6()) {
            sys::set_option(&io, SocketOption::OnlyV6(only))?;
        }
        sys::bind(&io, &address)?;
        sys::listen(&io, self.backlog)?;
        Ok(TcpListener { source: IoSource::of(io) })
    }
}
