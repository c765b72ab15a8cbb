//! Addresses, the resolution of names, and what errors mean.

use std::io;
use std::net::SocketAddr;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt;

use super::to_address;
use crate::event::reactor::{Address, Direction, IoHandle};

/// Returns the socket's own address.
pub(in crate::net) fn local_addr(io: &IoHandle) -> io::Result<Address> {
    match io {
        IoHandle::Descriptor(fd) => to_address(&rustix::net::getsockname(fd)?),
        IoHandle::Simulated(socket) => socket.local_addr(),
    }
}

/// Returns the address of the peer.
pub(in crate::net) fn peer_addr(io: &IoHandle) -> io::Result<Address> {
    match io {
        IoHandle::Descriptor(fd) => {
            to_address(&rustix::net::getpeername(fd)?.ok_or(io::ErrorKind::NotConnected)?)
        }
        IoHandle::Simulated(socket) => socket.peer_addr(),
    }
}

/// Returns whether an operation in this direction would not wait.
pub(in crate::net) fn ready(io: &IoHandle, direction: Direction) -> io::Result<bool> {
    match io {
        IoHandle::Descriptor(fd) => {
            let flags = match direction {
                Direction::Read => PollFlags::IN | PollFlags::RDHUP,
                Direction::Write => PollFlags::OUT,
            };
            let mut fds = [PollFd::new(fd, flags)];
            // Errors and hangups are reported whatever is asked for, and an operation would not wait then.
            Ok(rustix::event::poll(&mut fds, Some(&Timespec::default()))? > 0)
        }
        IoHandle::Simulated(socket) => Ok(!socket.ready(direction.interest()).is_empty()),
    }
}

/// Returns the error that has happened on the socket since the last call.
pub(in crate::net) fn take_error(io: &IoHandle) -> io::Result<Option<io::Error>> {
    match io {
        IoHandle::Descriptor(fd) => Ok(sockopt::socket_error(fd)?.err().map(io::Error::from)),
        IoHandle::Simulated(socket) => Ok(socket.take_error()),
    }
}

/// Resolves a name as the system does, which can take long and only ever blocks.
pub(in crate::net) fn resolve_blocking(name: impl std::net::ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    Ok(name.to_socket_addrs()?.collect())
}

/// Returns the error of an attempt to connect to an address where nobody listens.
pub(in crate::net) fn refused() -> io::Error {
    Errno::CONNREFUSED.into()
}

/// Returns whether an error of [`TcpListener::accept`](crate::net::TcpListener) means that there are no
/// descriptors or no memory left: it passes by itself when other connections end, and calling again at once
/// would only burn a core.
///
/// ```
/// use twoply::net::is_out_of_resources;
///
/// let too_many_open_files = std::io::Error::from_raw_os_error(24);
/// assert!(is_out_of_resources(&too_many_open_files));
/// assert!(!is_out_of_resources(&std::io::ErrorKind::ConnectionReset.into()));
/// ```
pub fn is_out_of_resources(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Returns whether an error of `accept` is a trouble of the connection and its network, not of the listener;
/// see accept(2).
pub(in crate::net) fn is_of_connection(error: &io::Error) -> bool {
    let of_network = matches!(
        errno(error),
        Some(
            Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
        )
    );
    of_network || error.kind() == io::ErrorKind::ConnectionAborted
}

/// Returns whether an error of `accept` passes by itself, so that a loop tries again after a pause. A socket
/// that is no listener has one of the errors of connections for ever.
pub(in crate::net) fn passes(error: &io::Error) -> bool {
    let is_no_listener = errno(error) == Some(Errno::OPNOTSUPP);
    is_out_of_resources(error) || (is_of_connection(error) && !is_no_listener)
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}
