//! Accepting TCP connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::addr::{Query, ToSocketAddrs};
use super::socket::Op;
use super::sys::{self, is_out_of_resources};
use super::tcp::TcpStream;
use crate::event::reactor::{Direction, IoHandle, IoSource, Progress};
use crate::kernel::Wait;
use crate::kernel::world::{self, SocketOption, World};
use crate::time::sleep;

/// How long an accept loop pauses when it is out of descriptors, and the limit to which that is doubled.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How many connections that have failed one accept passes over. A listener that fails so often in a row is broken itself,
/// or is no listener: a socket of another kind gives one of these errors for ever.
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
    /// Listens on the first of the addresses that can be had, with the default options of [`TcpListenerBuilder`].
    ///
    /// # Errors
    /// When names cannot be resolved, and the last error when no address can be had.
    pub fn bind(addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpListener>> + Send {
        TcpListener::builder().bind(addrs)
    }

    /// Options for a new listener.
    pub fn builder() -> TcpListenerBuilder {
        TcpListenerBuilder::default()
    }

    /// Waits for a connection, and returns it with the address of the peer.
    ///
    /// A connection that failed before it was accepted is passed over, up to 64 of them in a row. Cancel-safe.
    ///
    /// # Errors
    /// What the operating system says: the error of the last connection when that many have failed, so that a socket which
    /// is no listener does not keep this busy for ever.
    /// When the process or the system is out of descriptors or memory ([`is_out_of_resources`]): the
    /// connection is still there, and so is the listener. A loop should pause then; [`incoming`](Self::incoming) does.
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send + Unpin + '_ {
        Op::new(&self.source, Direction::Read, None, accept_one)
    }

    /// The connections, one after the other, through shortages of descriptors.
    pub fn incoming(&self) -> Incoming<'_> {
        let (pause, _) = PAUSE;
        Incoming { listener: self, pause }
    }

    /// The address that it listens on, with the port that the system has chosen.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        sys::local_addr(self.source.handle())
    }

    /// The error that has happened on the socket since this was last asked, if one has.
    ///
    /// # Errors
    /// What the operating system says to the question.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        sys::take_error(self.source.handle())
    }

    /// The listener as one of std's, in blocking mode.
    ///
    /// # Errors
    /// When the mode cannot be changed, or the descriptor must be duplicated and there is none.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        let io = IoSource::into_handle(self.source)?;
        sys::set_nonblocking(&io, false)?;
        Ok(sys::into_fd(io)?.into())
    }

    /// A listener from one of std's.
    ///
    /// # Errors
    /// When it cannot be put into non-blocking mode.
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
    /// Where they come from.
    listener: &'a TcpListener,
    /// How long the next pause is.
    pause: Duration,
}

impl Incoming<'_> {
    /// Waits for the next connection. Cancel-safe.
    ///
    /// # Errors
    /// Only those that will not pass by themselves.
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

/// Options of a new [`TcpListener`].
#[derive(Clone, Debug)]
pub struct TcpListenerBuilder {
    /// See [`TcpListenerBuilder::reuse_addr`].
    reuse_addr: bool,
    /// See [`TcpListenerBuilder::reuse_port`].
    reuse_port: bool,
    /// See [`TcpListenerBuilder::backlog`].
    backlog: u32,
    /// See [`TcpListenerBuilder::only_v6`].
    only_v6: Option<bool>,
}

impl Default for TcpListenerBuilder {
    fn default() -> TcpListenerBuilder {
        TcpListenerBuilder { reuse_addr: true, reuse_port: false, backlog: 1024, only_v6: None }
    }
}

impl TcpListenerBuilder {
    /// Whether an address may be taken over that old connections still linger on. Default: yes, as in std.
    pub fn reuse_addr(mut self, reuse: bool) -> TcpListenerBuilder {
        self.reuse_addr = reuse;
        self
    }

    /// Whether other listeners of the same user may share the address, the kernel spreading connections among
    /// them. Default: no. Closing one of them resets the connections that are queued for it.
    pub fn reuse_port(mut self, reuse: bool) -> TcpListenerBuilder {
        self.reuse_port = reuse;
        self
    }

    /// How many connections may be waiting to be accepted. Default: 1024; the system has a limit of its own.
    pub fn backlog(mut self, connections: u32) -> TcpListenerBuilder {
        self.backlog = connections;
        self
    }

    /// Whether an IPv6 listener leaves IPv4 alone. Default: what the system's default is.
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
