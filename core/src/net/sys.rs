//! Every call to the outside that sockets make, in one place: to the operating system, or to a simulated
//! socket.
//!
//! The rest of `net` goes through these functions, one for each system call. Each takes an [`IoHandle`] and
//! looks at it once: a descriptor means the system call, a simulated socket the method of the same name.
//! Calls carry their flags with them, so that neither the mode of the descriptor nor `SIGPIPE` matters.
//! Nothing here waits, unless its name says `blocking`; and nothing here knows readiness, waiters or tasks.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny,
    SocketFlags, SocketType, sockopt,
};
use socket2::{SockRef, TcpKeepalive};

use crate::event::reactor::IoHandle;
use crate::kernel::io::MOST_BUFFERS;
use crate::kernel::world::{SocketOption, SocketOptions, World};

// Making connections.

/// Makes a socket in non-blocking mode for the family of `address`, in `world` or for real.
pub(super) fn stream_socket(world: Option<&dyn World>, address: &SocketAddr) -> io::Result<IoHandle> {
    if let Some(world) = world
        && let Some(socket) = world.stream_socket(address)?
    {
        return Ok(IoHandle::Simulated(socket));
    }
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(IoHandle::Descriptor(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?))
}

/// Gives the socket its own address.
pub(super) fn bind(io: &IoHandle, address: &SocketAddr) -> io::Result<()> {
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::net::bind(fd, address)?),
        IoHandle::Simulated(socket) => socket.bind(address),
    }
}

/// Makes the socket a listener.
pub(super) fn listen(io: &IoHandle, backlog: u32) -> io::Result<()> {
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::net::listen(fd, i32::try_from(backlog).unwrap_or(i32::MAX))?),
        IoHandle::Simulated(socket) => socket.listen(backlog),
    }
}

/// Takes a connection, with the address of its peer. What the system returns is in blocking mode, whatever
/// the mode of the listener.
pub(super) fn accept(io: &IoHandle) -> io::Result<(IoHandle, SocketAddr)> {
    match io {
        IoHandle::Descriptor(fd) => match rustix::net::acceptfrom_with(fd, SocketFlags::CLOEXEC)? {
            (stream, Some(peer)) => Ok((IoHandle::Descriptor(stream), SocketAddr::try_from(peer)?)),
            // No address: the peer has gone meanwhile.
            (_, None) => Err(Errno::CONNABORTED.into()),
        },
        IoHandle::Simulated(socket) => {
            let (stream, peer) = socket.accept()?;
            Ok((IoHandle::Simulated(stream), peer))
        }
    }
}

/// Begins to connect. Returns whether the connection stands already; else the attempt is under way.
pub(super) fn connect(io: &IoHandle, address: &SocketAddr) -> io::Result<bool> {
    match io {
        IoHandle::Descriptor(fd) => match rustix::net::connect(fd, address) {
            Ok(()) => Ok(true),
            // An attempt that a signal interrupts goes on as well.
            Err(Errno::INPROGRESS | Errno::INTR) => Ok(false),
            Err(e) => Err(e.into()),
        },
        IoHandle::Simulated(socket) => match socket.connect(address) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        },
    }
}

/// Returns whether the socket has a peer.
pub(super) fn is_connected(io: &IoHandle) -> io::Result<bool> {
    match io {
        IoHandle::Descriptor(fd) => match rustix::net::getpeername(fd) {
            Ok(_) => Ok(true),
            Err(Errno::NOTCONN) => Ok(false),
            Err(e) => Err(e.into()),
        },
        IoHandle::Simulated(socket) => match socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(e) => Err(e),
        },
    }
}

/// Closes one direction or both.
pub(super) fn shutdown(io: &IoHandle, how: Shutdown) -> io::Result<()> {
    match io {
        IoHandle::Descriptor(fd) => {
            let how = match how {
                Shutdown::Read => rustix::net::Shutdown::Read,
                Shutdown::Write => rustix::net::Shutdown::Write,
                Shutdown::Both => rustix::net::Shutdown::Both,
            };
            Ok(rustix::net::shutdown(fd, how)?)
        }
        IoHandle::Simulated(socket) => socket.shutdown(how),
    }
}

/// Sets the mode of a descriptor. A simulated socket has none.
pub(super) fn set_nonblocking(io: &IoHandle, nonblocking: bool) -> io::Result<()> {
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::io::ioctl_fionbio(fd, nonblocking)?),
        IoHandle::Simulated(_) => Ok(()),
    }
}

/// Returns the descriptor that it owns.
pub(super) fn into_fd(io: IoHandle) -> io::Result<OwnedFd> {
    match io {
        IoHandle::Descriptor(fd) => Ok(fd),
        IoHandle::Simulated(_) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "a simulated socket has no descriptor"))
        }
    }
}

// Moving bytes.

/// Receives what there is.
#[inline]
pub(super) fn recv(io: &IoHandle, buf: &mut [u8]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => recv_with(fd.as_fd(), buf, RecvFlags::DONTWAIT),
        IoHandle::Simulated(socket) => socket.receive(&mut [IoSliceMut::new(buf)], false),
    }
}

/// Receives what there is, and leaves it there.
pub(super) fn peek(io: &IoHandle, buf: &mut [u8]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => recv_with(fd.as_fd(), buf, RecvFlags::DONTWAIT | RecvFlags::PEEK),
        IoHandle::Simulated(socket) => socket.receive(&mut [IoSliceMut::new(buf)], true),
    }
}

/// Receives what there is into several buffers.
pub(super) fn recv_vectored(io: &IoHandle, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => recv_vectored_with(fd.as_fd(), bufs, RecvFlags::DONTWAIT),
        IoHandle::Simulated(socket) => socket.receive(bufs, false),
    }
}

/// Sends what there is room for.
#[inline]
pub(super) fn send(io: &IoHandle, buf: &[u8]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => {
            Ok(rustix::net::send(fd, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
        }
        IoHandle::Simulated(socket) => socket.send(&[IoSlice::new(buf)]),
    }
}

/// Sends what there is room for from several buffers.
pub(super) fn send_vectored(io: &IoHandle, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => {
            send_vectored_with(fd.as_fd(), bufs, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
        }
        IoHandle::Simulated(socket) => socket.send(bufs),
    }
}

/// Receives, and waits in the call until there is something.
pub(super) fn recv_blocking(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    recv_with(fd, buf, RecvFlags::empty())
}

/// Receives into several buffers, and waits in the call until there is something.
pub(super) fn recv_vectored_blocking(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    recv_vectored_with(fd, bufs, RecvFlags::empty())
}

/// Sends, and waits in the call until there is room.
pub(super) fn send_blocking(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, buf, SendFlags::NOSIGNAL)?)
}

/// Sends from several buffers, and waits in the call until there is room.
pub(super) fn send_vectored_blocking(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    send_vectored_with(fd, bufs, SendFlags::NOSIGNAL)
}

#[inline]
fn recv_with(fd: BorrowedFd<'_>, buf: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    Ok(rustix::net::recv(fd, buf, flags).map(|(filled, _)| filled)?)
}

fn recv_vectored_with(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    flags: RecvFlags,
) -> io::Result<usize> {
    let most = bufs.len().min(MOST_BUFFERS);
    let received = rustix::net::recvmsg(fd, &mut bufs[..most], &mut RecvAncillaryBuffer::default(), flags)?;
    Ok(received.bytes)
}

fn send_vectored_with(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
    let most = bufs.len().min(MOST_BUFFERS);
    Ok(rustix::net::sendmsg(fd, &bufs[..most], &mut SendAncillaryBuffer::default(), flags)?)
}

// Names and errors.

/// Returns the socket's own address.
pub(super) fn local_addr(io: &IoHandle) -> io::Result<SocketAddr> {
    match io {
        IoHandle::Descriptor(fd) => Ok(SocketAddr::try_from(rustix::net::getsockname(fd)?)?),
        IoHandle::Simulated(socket) => socket.local_addr(),
    }
}

/// Returns the address of the peer.
pub(super) fn peer_addr(io: &IoHandle) -> io::Result<SocketAddr> {
    match io {
        IoHandle::Descriptor(fd) => {
            let address: SocketAddrAny = rustix::net::getpeername(fd)?.ok_or(io::ErrorKind::NotConnected)?;
            Ok(SocketAddr::try_from(address)?)
        }
        IoHandle::Simulated(socket) => socket.peer_addr(),
    }
}

/// Returns the error that has happened on the socket since the last call.
pub(super) fn take_error(io: &IoHandle) -> io::Result<Option<io::Error>> {
    match io {
        IoHandle::Descriptor(fd) => Ok(sockopt::socket_error(fd)?.err().map(io::Error::from)),
        IoHandle::Simulated(socket) => Ok(socket.take_error()),
    }
}

/// Resolves a name as the system does, which can take long and only ever blocks.
pub(super) fn resolve_blocking(name: impl std::net::ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    Ok(name.to_socket_addrs()?.collect())
}

/// Returns the error of an attempt to connect to an address where nobody listens.
pub(super) fn refused() -> io::Error {
    Errno::CONNREFUSED.into()
}

/// Returns whether an error of [`TcpListener::accept`](super::TcpListener::accept) means that there are no
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
pub(super) fn is_of_connection(error: &io::Error) -> bool {
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

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

// Options.

/// Changes one option of a socket.
pub(super) fn set_option(io: &IoHandle, option: SocketOption) -> io::Result<()> {
    let socket = match io {
        IoHandle::Descriptor(fd) => SockRef::from(fd),
        IoHandle::Simulated(socket) => return socket.set_option(option),
    };
    match option {
        SocketOption::ReuseAddr(reuse) => socket.set_reuse_address(reuse),
        SocketOption::ReusePort(reuse) => socket.set_reuse_port(reuse),
        SocketOption::OnlyV6(only) => socket.set_only_v6(only),
        SocketOption::NoDelay(nodelay) => socket.set_tcp_nodelay(nodelay),
        SocketOption::Ttl(routers) => socket.set_ttl_v4(routers),
        SocketOption::Linger(linger) => socket.set_linger(linger),
        SocketOption::KeepAlive(Some(idle)) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
        SocketOption::KeepAlive(None) => socket.set_keepalive(false),
        SocketOption::ReceiveBuffer(bytes) => socket.set_recv_buffer_size(bytes),
        SocketOption::SendBuffer(bytes) => socket.set_send_buffer_size(bytes),
    }
}

pub(super) fn nodelay(io: &IoHandle) -> io::Result<bool> {
    option(io, |socket| socket.tcp_nodelay(), |options| options.nodelay)
}

pub(super) fn ttl(io: &IoHandle) -> io::Result<u32> {
    option(io, |socket| socket.ttl_v4(), |options| options.ttl)
}

pub(super) fn linger(io: &IoHandle) -> io::Result<Option<Duration>> {
    option(io, |socket| socket.linger(), |options| options.linger)
}

pub(super) fn keepalive(io: &IoHandle) -> io::Result<Option<Duration>> {
    let idle = |socket: SockRef<'_>| match socket.keepalive()? {
        true => socket.tcp_keepalive_time().map(Some),
        false => Ok(None),
    };
    option(io, idle, |options| options.keepalive)
}

pub(super) fn recv_buffer_size(io: &IoHandle) -> io::Result<usize> {
    option(io, |socket| socket.recv_buffer_size(), |options| options.receive_buffer)
}

pub(super) fn send_buffer_size(io: &IoHandle) -> io::Result<usize> {
    option(io, |socket| socket.send_buffer_size(), |options| options.send_buffer)
}

/// Returns one option of a socket.
fn option<T>(
    io: &IoHandle,
    of_system: impl FnOnce(SockRef<'_>) -> io::Result<T>,
    of_world: impl FnOnce(SocketOptions) -> T,
) -> io::Result<T> {
    match io {
        IoHandle::Descriptor(fd) => of_system(SockRef::from(fd)),
        IoHandle::Simulated(socket) => socket.options().map(of_world),
    }
}
