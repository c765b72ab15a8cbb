//! The handle that a source stands for: a descriptor, or a socket that something other than the operating
//! system provides.
//!
//! [`Socket`] is the contract of the second kind; a simulator implements it, and hands its sockets out
//! through a world (see `kernel/world.rs`). This module moves no bytes and knows neither readiness nor
//! waiters: those are the source's, for both kinds alike.
//!
//! The trait is what is left of the system calls that the sockets of this library make, one method each. So
//! everything above them (readiness, waiters, budget, cancel-safety, retries) is the same code for both
//! kinds.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::Interest;

/// Tells the source of a simulated socket that the socket has become ready.
///
/// Calling it runs wakers: so call it with nothing locked, and not from inside a method of the socket that is
/// still at work on its own state.
pub type Notify = Arc<dyn Fn(Interest) + Send + Sync>;

/// A stream socket that a [`World`](crate::world::World) provides in place of the operating system's.
///
/// Each method is one system call on a socket in non-blocking mode: it never waits, and fails with
/// [`WouldBlock`](io::ErrorKind::WouldBlock) where the call would. Once it can succeed, the socket reports so
/// through the function that it was given by [`attach`](Socket::attach). Errors reach the caller as they are,
/// but for [`Interrupted`](io::ErrorKind::Interrupted), after which the call is made again.
///
/// Dropping the socket closes it.
pub trait Socket: Send + Sync + 'static {
    /// Takes the function through which the socket reports its readiness from now on, in place of the one
    /// before.
    ///
    /// The socket calls it after each change from "would block" to "can go on" in that direction. A report
    /// too many costs a retry and nothing else; one too few leaves somebody waiting.
    fn attach(&self, notify: Notify);

    /// Gives the socket its own address; port 0 asks for a free one.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), and what else the world says.
    fn bind(&self, address: &SocketAddr) -> io::Result<()>;

    /// Makes it a listener for which up to `backlog` connections may wait.
    ///
    /// # Errors
    /// Fails as the world decides.
    fn listen(&self, backlog: u32) -> io::Result<()>;

    /// Takes a connection that waits, with the address of its peer. Counts as reading.
    ///
    /// # Errors
    /// `WouldBlock` when none waits.
    fn accept(&self) -> io::Result<(Box<dyn Socket>, SocketAddr)>;

    /// Begins to connect to `address`. `WouldBlock` says that the attempt is under way: it has ended once the
    /// socket can be written to and has a [`peer_addr`](Socket::peer_addr), or
    /// [`take_error`](Socket::take_error) has an error.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody listens there, and what else the
    /// world says.
    fn connect(&self, address: &SocketAddr) -> io::Result<()>;

    /// Moves bytes that have arrived into `bufs` in turn, or copies them there if `peek` says so, and returns
    /// how many. Zero is the end of the stream. Fewer than there is room for mean that no more have arrived.
    ///
    /// # Errors
    /// `WouldBlock` when none have arrived and the stream goes on.
    fn receive(&self, bufs: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<usize>;

    /// Takes bytes from `bufs` in turn, as many as there is room for, and returns how many.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, [`BrokenPipe`](io::ErrorKind::BrokenPipe) when this side has been
    /// shut down or the peer is gone.
    fn send(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Closes one direction or both, and reports readiness to those who wait in them.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when there is no connection.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Returns its own address.
    ///
    /// # Errors
    /// Fails as the world decides.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Returns the address of the peer.
    ///
    /// # Errors
    /// `NotConnected` before the connection stands.
    fn peer_addr(&self) -> io::Result<SocketAddr>;

    /// Returns the error that has happened since the last call, if one has.
    fn take_error(&self) -> Option<io::Error> {
        None
    }

    /// Returns the options of the socket.
    ///
    /// # Errors
    /// Fails as the world decides.
    fn options(&self) -> io::Result<SocketOptions> {
        Ok(SocketOptions::default())
    }

    /// Changes one option. A socket may ignore options that mean nothing to it, as this default does.
    ///
    /// # Errors
    /// Fails as the world decides.
    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        let _ = option;
        Ok(())
    }
}

/// One option of a simulated socket, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// True lets an address be taken over that old connections still linger on.
    ReuseAddr(bool),
    /// True lets several listeners share an address.
    ReusePort(bool),
    /// True has an IPv6 listener leave IPv4 alone.
    OnlyV6(bool),
    /// True has small segments sent at once.
    NoDelay(bool),
    /// The number of routers that a packet may pass.
    Ttl(u32),
    /// The time that closing waits for what has been written to arrive.
    Linger(Option<Duration>),
    /// The idle time after which the peer is probed.
    KeepAlive(Option<Duration>),
    /// The size of the buffer for what has arrived, in bytes.
    ReceiveBuffer(usize),
    /// The size of the buffer for what has been written, in bytes.
    SendBuffer(usize),
}

/// The options of a simulated socket.
///
/// ```
/// use twoply::contract::world::{SocketOption, SocketOptions};
///
/// let mut options = SocketOptions::default();
/// options.apply(SocketOption::NoDelay(true));
/// assert!(options.nodelay);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// The value of [`SocketOption::ReuseAddr`].
    pub reuse_addr: bool,
    /// The value of [`SocketOption::ReusePort`].
    pub reuse_port: bool,
    /// The value of [`SocketOption::OnlyV6`].
    pub only_v6: bool,
    /// The value of [`SocketOption::NoDelay`].
    pub nodelay: bool,
    /// The value of [`SocketOption::Ttl`].
    pub ttl: u32,
    /// The value of [`SocketOption::Linger`].
    pub linger: Option<Duration>,
    /// The value of [`SocketOption::KeepAlive`].
    pub keepalive: Option<Duration>,
    /// The value of [`SocketOption::ReceiveBuffer`].
    pub receive_buffer: usize,
    /// The value of [`SocketOption::SendBuffer`].
    pub send_buffer: usize,
}

impl Default for SocketOptions {
    fn default() -> SocketOptions {
        SocketOptions {
            reuse_addr: false,
            reuse_port: false,
            only_v6: false,
            nodelay: false,
            ttl: 64,
            linger: None,
            keepalive: None,
            receive_buffer: 64 << 10,
            send_buffer: 64 << 10,
        }
    }
}

impl SocketOptions {
    /// Changes this one option.
    pub fn apply(&mut self, option: SocketOption) {
        match option {
            SocketOption::ReuseAddr(reuse) => self.reuse_addr = reuse,
            SocketOption::ReusePort(reuse) => self.reuse_port = reuse,
            SocketOption::OnlyV6(only) => self.only_v6 = only,
            SocketOption::NoDelay(nodelay) => self.nodelay = nodelay,
            SocketOption::Ttl(routers) => self.ttl = routers,
            SocketOption::Linger(linger) => self.linger = linger,
            SocketOption::KeepAlive(idle) => self.keepalive = idle,
            SocketOption::ReceiveBuffer(bytes) => self.receive_buffer = bytes,
            SocketOption::SendBuffer(bytes) => self.send_buffer = bytes,
        }
    }
}

/// The handles that a source may stand for.
pub(crate) enum IoHandle {
    /// A descriptor of the operating system's.
    Descriptor(OwnedFd),
    /// A socket of a world's. Nobody has to watch it: it reports by itself.
    Simulated(Box<dyn Socket>),
}

impl AsFd for IoHandle {
    /// Returns the descriptor. A simulated socket has none, and answers with a number that is none either
    /// (`AT_FDCWD`): it can always be had and belongs to nobody, and the system refuses every call of sockets
    /// on it with `EBADF`. A panic would be worse, because generic code asks for a descriptor before it knows
    /// whether it needs one; and so would be a real placeholder, which costs a descriptor and takes options
    /// as if they meant something.
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            IoHandle::Descriptor(fd) => fd.as_fd(),
            IoHandle::Simulated(_) => rustix::fs::CWD,
        }
    }
}

impl std::fmt::Debug for IoHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IoHandle::Descriptor(fd) => fd.fmt(f),
            IoHandle::Simulated(_) => f.write_str("Simulated"),
        }
    }
}
