//! The system calls that make sockets, name and connect them, and ask what has become of that.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType};

use crate::event::reactor::{Address, IoHandle, SocketKind, UnixAddr, path_of};
use crate::kernel::world::World;

/// Makes a socket in non-blocking mode for the family of `address`, in `world` or for real.
pub(in crate::net) fn socket(
    world: Option<&dyn World>,
    kind: SocketKind,
    address: &Address,
) -> io::Result<IoHandle> {
    if let Some(world) = world
        && let Some(socket) = world.socket(kind, address)?
    {
        return Ok(IoHandle::Simulated(socket));
    }
    let family = match address {
        Address::Ip(SocketAddr::V4(_)) => AddressFamily::INET,
        Address::Ip(SocketAddr::V6(_)) => AddressFamily::INET6,
        Address::Unix(_) => AddressFamily::UNIX,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(IoHandle::Descriptor(rustix::net::socket_with(family, of_system(kind), flags, None)?))
}

/// Makes two connected Unix sockets in blocking mode, in `world` or for real.
pub(in crate::net) fn socket_pair(world: Option<&dyn World>, kind: SocketKind) -> io::Result<[IoHandle; 2]> {
    if let Some(world) = world
        && let Some(pair) = world.socket_pair(kind)?
    {
        return Ok(pair.map(IoHandle::Simulated));
    }
    let (one, other) =
        rustix::net::socketpair(AddressFamily::UNIX, of_system(kind), SocketFlags::CLOEXEC, None)?;
    Ok([one, other].map(IoHandle::Descriptor))
}

fn of_system(kind: SocketKind) -> SocketType {
    match kind {
        SocketKind::Stream => SocketType::STREAM,
        SocketKind::Datagram => SocketType::DGRAM,
    }
}

/// Gives the socket its own address.
pub(in crate::net) fn bind(io: &IoHandle, address: &Address) -> io::Result<()> {
    match (io, address) {
        (IoHandle::Descriptor(fd), Address::Ip(address)) => Ok(rustix::net::bind(fd, address)?),
        (IoHandle::Descriptor(fd), Address::Unix(address)) => {
            Ok(rustix::net::bind(fd, &to_system(address)?)?)
        }
        (IoHandle::Simulated(socket), address) => socket.bind(address),
    }
}

/// Makes the socket a listener.
pub(in crate::net) fn listen(io: &IoHandle, backlog: u32) -> io::Result<()> {
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::net::listen(fd, i32::try_from(backlog).unwrap_or(i32::MAX))?),
        IoHandle::Simulated(socket) => socket.listen(backlog),
    }
}

/// Takes a connection, with the address of its peer. What the system returns is in blocking mode, whatever
/// the mode of the listener.
pub(in crate::net) fn accept(io: &IoHandle) -> io::Result<(IoHandle, Address)> {
    match io {
        IoHandle::Descriptor(fd) => match rustix::net::acceptfrom_with(fd, SocketFlags::CLOEXEC)? {
            (stream, Some(peer)) => Ok((IoHandle::Descriptor(stream), to_address(&peer)?)),
            // No address: the peer has gone meanwhile.
            (_, None) => Err(Errno::CONNABORTED.into()),
        },
        IoHandle::Simulated(socket) => {
            let (stream, peer) = socket.accept()?;
            Ok((IoHandle::Simulated(stream), peer))
        }
    }
}

/// The state of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Connecting {
    Done,
    /// The attempt is under way; the socket becomes writable at its end.
    UnderWay,
    /// The queue of the listener is full, and nothing has begun. Only Unix sockets say so.
    QueueFull,
}

/// Begins to connect the socket to `address`.
pub(in crate::net) fn connect(io: &IoHandle, address: &Address) -> io::Result<Connecting> {
    match io {
        IoHandle::Descriptor(fd) => {
            let begun = match address {
                Address::Ip(address) => rustix::net::connect(fd, address),
                Address::Unix(address) => rustix::net::connect(fd, &to_system(address)?),
            };
            match begun {
                Ok(()) => Ok(Connecting::Done),
                // An attempt that a signal interrupts goes on as well.
                Err(Errno::INPROGRESS | Errno::INTR) => Ok(Connecting::UnderWay),
                Err(Errno::AGAIN) if matches!(address, Address::Unix(_)) => Ok(Connecting::QueueFull),
                Err(e) => Err(e.into()),
            }
        }
        IoHandle::Simulated(socket) => match socket.connect(address) {
            Ok(()) => Ok(Connecting::Done),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Connecting::UnderWay),
            Err(e) => Err(e),
        },
    }
}

/// Returns whether the socket has a peer.
pub(in crate::net) fn is_connected(io: &IoHandle) -> io::Result<bool> {
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
pub(in crate::net) fn shutdown(io: &IoHandle, how: Shutdown) -> io::Result<()> {
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
pub(in crate::net) fn set_nonblocking(io: &IoHandle, nonblocking: bool) -> io::Result<()> {
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::io::ioctl_fionbio(fd, nonblocking)?),
        IoHandle::Simulated(_) => Ok(()),
    }
}

/// Returns the descriptor that it owns.
pub(in crate::net) fn into_fd(io: IoHandle) -> io::Result<OwnedFd> {
    match io {
        IoHandle::Descriptor(fd) => Ok(fd),
        IoHandle::Simulated(_) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "a simulated socket has no descriptor"))
        }
    }
}

/// Returns the address in the form of the system.
pub(super) fn to_system(address: &UnixAddr) -> io::Result<SocketAddrUnix> {
    address.check()?;
    Ok(match address {
        UnixAddr::Path(path) => SocketAddrUnix::new(path)?,
        UnixAddr::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?,
        UnixAddr::Unnamed => SocketAddrUnix::new_unnamed(),
    })
}

/// Returns an address that the system has returned.
pub(super) fn to_address(address: &SocketAddrAny) -> io::Result<Address> {
    if address.address_family() != AddressFamily::UNIX {
        return Ok(Address::Ip(SocketAddr::try_from(address.clone())?));
    }
    // An address that is the family alone has no name.
    if address.addr_len() as usize <= size_of::<libc::sa_family_t>() {
        return Ok(Address::Unix(UnixAddr::Unnamed));
    }
    let address = SocketAddrUnix::try_from(address.clone())?;
    Ok(Address::Unix(match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => UnixAddr::Path(path_of(path)),
        (None, Some(name)) => UnixAddr::Abstract(name.into()),
        (None, None) => UnixAddr::Unnamed,
    }))
}

/// Returns the device and the number of the file at `path`, by which it is known again.
pub(in crate::net) fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    let file = rustix::fs::lstat(path)?;
    Ok((file.st_dev, file.st_ino))
}

/// Removes the file at `path`.
pub(in crate::net) fn remove_file(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::unlink(path)?)
}
