//! The system calls that send and receive datagrams.

use std::io::{self, IoSlice, IoSliceMut};

use rustix::net::{RecvFlags, SendFlags};

use super::{to_address, to_system};
use crate::event::reactor::{Address, IoHandle, UnixAddr};

/// The way in which a datagram is received.
#[derive(Clone, Copy)]
pub(in crate::net) enum Receive {
    /// It is taken, if there is one.
    Take,
    /// It is looked at, if there is one.
    Peek,
    /// It is taken, and the call waits until there is one.
    Wait,
}

/// Receives a datagram, or looks at it. Returns its length, which may be more than `buf` has room for.
#[inline]
pub(in crate::net) fn recv_datagram(io: &IoHandle, buf: &mut [u8], how: Receive) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::net::recv(fd, buf, flags(how)).map(|(_, len)| len)?),
        IoHandle::Simulated(socket) => {
            let peek = matches!(how, Receive::Peek);
            socket.receive_from(&mut [IoSliceMut::new(buf)], peek).map(|arrival| arrival.len)
        }
    }
}

/// As [`recv_datagram`], with the address of the sender.
#[inline]
pub(in crate::net) fn recv_from(io: &IoHandle, buf: &mut [u8], how: Receive) -> io::Result<(usize, Address)> {
    match io {
        IoHandle::Descriptor(fd) => {
            let (_, len, from) = rustix::net::recvfrom(fd, buf, flags(how))?;
            // A Unix socket that has not been bound has no address.
            let from = from.map_or(Ok(Address::Unix(UnixAddr::Unnamed)), |from| to_address(&from))?;
            Ok((len, from))
        }
        IoHandle::Simulated(socket) => {
            let peek = matches!(how, Receive::Peek);
            let arrival = socket.receive_from(&mut [IoSliceMut::new(buf)], peek)?;
            Ok((arrival.len, arrival.from))
        }
    }
}

/// Has the system return the length of the datagram, whatever room there is.
fn flags(how: Receive) -> RecvFlags {
    RecvFlags::TRUNC
        | match how {
            Receive::Take => RecvFlags::DONTWAIT,
            Receive::Peek => RecvFlags::DONTWAIT | RecvFlags::PEEK,
            Receive::Wait => RecvFlags::empty(),
        }
}

/// Sends `buf` as one datagram to `to`, or where the socket is connected to.
#[inline]
pub(in crate::net) fn send_to(io: &IoHandle, buf: &[u8], to: Option<&Address>) -> io::Result<usize> {
    let fd = match io {
        IoHandle::Descriptor(fd) => fd,
        IoHandle::Simulated(socket) => return socket.send_to(&[IoSlice::new(buf)], to),
    };
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(match to {
        None => rustix::net::send(fd, buf, flags)?,
        Some(Address::Ip(to)) => rustix::net::sendto(fd, buf, flags, to)?,
        Some(Address::Unix(to)) => rustix::net::sendto(fd, buf, flags, &to_system(to)?)?,
    })
}
