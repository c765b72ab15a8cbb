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
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::Interest;
use super::address::Address;
use super::options::{SocketOption, SocketOptions};

/// Tells the source of a simulated socket that the socket has become ready.
///
/// Calling it runs wakers: so call it with nothing locked, and not from inside a method of the socket that is
/// still at work on its own state.
pub type Notify = Arc<dyn Fn(Interest) + Send + Sync>;

/// A socket that a [`World`](crate::world::World) provides in place of the operating system's.
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
    fn bind(&self, address: &Address) -> io::Result<()>;

    /// Makes it a listener for which up to `backlog` connections may wait.
    ///
    /// # Errors
    /// Fails as the world decides.
    fn listen(&self, backlog: u32) -> io::Result<()>;

    /// Takes a connection that waits, with the address of its peer. Counts as reading.
    ///
    /// # Errors
    /// `WouldBlock` when none waits.
    fn accept(&self) -> io::Result<(Box<dyn Socket>, Address)>;

    /// Begins to connect to `address`. `WouldBlock` says that the attempt is under way: it has ended once the
    /// socket can be written to and has a [`peer_addr`](Socket::peer_addr), or
    /// [`take_error`](Socket::take_error) has an error.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody listens there, and what else the
    /// world says.
    fn connect(&self, address: &Address) -> io::Result<()>;

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

    /// Moves the datagram that has arrived first into `bufs` in turn, or copies it there if `peek` says so.
    /// Bytes that the buffers have no room for are lost, unless `peek` says so. Only for sockets of
    /// datagrams.
    ///
    /// # Errors
    /// `WouldBlock` when none has arrived.
    fn receive_from(&self, bufs: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<Arrival> {
        let _ = (bufs, peek);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sends all of `bufs` as one datagram to `to`, or where the socket is connected to, and returns how many
    /// bytes that were. Only for sockets of datagrams.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; `NotConnected` without an address.
    fn send_to(&self, bufs: &[IoSlice<'_>], to: Option<&Address>) -> io::Result<usize> {
        let _ = (bufs, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns in which of the directions of `interest` an operation would not fail with `WouldBlock` now. A
    /// direction in which it would fail otherwise, or come to an end, is one of them.
    fn ready(&self, interest: Interest) -> Interest;

    /// Closes one direction or both, and reports readiness to those who wait in them.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when there is no connection.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Returns its own address.
    ///
    /// # Errors
    /// Fails as the world decides.
    fn local_addr(&self) -> io::Result<Address>;

    /// Returns the address of the peer.
    ///
    /// # Errors
    /// `NotConnected` before the connection stands.
    fn peer_addr(&self) -> io::Result<Address>;

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

/// The kinds of sockets that a [`World`](crate::world::World) is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketKind {
    /// A stream of bytes, or a listener for such streams.
    Stream,
    /// Datagrams: messages of limited size, each received whole or cut off.
    Datagram,
}

/// A datagram that has been received; see [`Socket::receive_from`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The length of the datagram in bytes. Those beyond the room that there was are lost.
    pub len: usize,
    /// The address of the sender.
    pub from: Address,
}

/// The handles that a source may stand for.
pub(crate) enum IoHandle {
    /// A descriptor of the operating system's.
    Descriptor(OwnedFd),
    /// A socket of a world's. Nobody has to watch it: it reports by itself.
    Simulated(Box<dyn Socket>),
}

impl IoHandle {
    /// Returns whether it is the operating system's.
    pub(crate) fn is_descriptor(&self) -> bool {
        matches!(self, IoHandle::Descriptor(_))
    }
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
