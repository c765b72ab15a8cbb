//! Connecting: a socket in non-blocking mode until the attempt has ended.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::socket::Op;
use crate::event::reactor::{Direction, IoSource, Progress};

/// Tries `addresses` in turn, and returns the first connection, or the last error.
pub(super) async fn connect_any(addresses: Vec<SocketAddr>) -> io::Result<OwnedFd> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to");
    for address in addresses {
        match connect(address).await {
            Ok(fd) => return Ok(fd),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Connects to `address`. The descriptor that it returns is in blocking mode.
pub(super) async fn connect(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    let fd = match rustix::net::connect(&fd, &address) {
        Ok(()) => fd,
        // An attempt that a signal interrupts goes on as well.
        Err(Errno::INPROGRESS | Errno::INTR) => {
            let source = IoSource::new(fd);
            Op::new(&source, Direction::Write, None, |fd: BorrowedFd<'_>| outcome(fd)).await?;
            IoSource::into_fd(source)?
        }
        Err(e) => return Err(e.into()),
    };
    refuse_self(fd.as_fd())?;
    rustix::io::ioctl_fionbio(&fd, false)?;
    Ok(fd)
}

/// How the attempt has ended, if it has.
fn outcome(fd: BorrowedFd<'_>) -> io::Result<Progress<()>> {
    sockopt::socket_error(fd)??;
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok(Progress::More(())),
        Err(Errno::NOTCONN) => {
            // It may have failed between the two questions.
            sockopt::socket_error(fd)??;
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(e) => Err(e.into()),
    }
}

/// A port in the ephemeral range that nobody listens on may be given to the very socket that connects to it, and TCP
/// then connects the socket to itself. To the caller that is a port where nobody listens.
fn refuse_self(fd: BorrowedFd<'_>) -> io::Result<()> {
    match (rustix::net::getsockname(fd), rustix::net::getpeername(fd)) {
        (Ok(ours), Ok(Some(theirs))) if theirs == ours => Err(Errno::CONNREFUSED.into()),
        // A connection that has been reset already says so when it is used.
        _ => Ok(()),
    }
}
