//! Moving the bytes of streams.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::event::reactor::IoHandle;
use crate::kernel::io::{MOST_BUFFERS, zeroed};

/// Receives the bytes that there are. If it `waits`, it does so in the call until there are some.
#[inline]
pub(in crate::net) fn recv(io: &IoHandle, buf: &mut [u8], waits: bool) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => {
            let flags = if waits { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
            recv_with(fd.as_fd(), buf, flags)
        }
        IoHandle::Simulated(socket) => socket.receive(&mut [IoSliceMut::new(buf)], false),
    }
}

/// Receives what there is into memory that need not be initialized.
#[inline]
pub(in crate::net) fn recv_uninit<'b>(
    io: &IoHandle,
    buf: &'b mut [MaybeUninit<u8>],
) -> io::Result<&'b mut [u8]> {
    match io {
        IoHandle::Descriptor(fd) => {
            let ((filled, _), _) = rustix::net::recv(fd, buf, RecvFlags::DONTWAIT)?;
            Ok(filled)
        }
        IoHandle::Simulated(socket) => {
            let buf = zeroed(buf);
            let n = socket.receive(&mut [IoSliceMut::new(buf)], false)?;
            Ok(&mut buf[..n])
        }
    }
}

/// Receives what there is, and leaves it there.
pub(in crate::net) fn peek(io: &IoHandle, buf: &mut [u8]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => recv_with(fd.as_fd(), buf, RecvFlags::DONTWAIT | RecvFlags::PEEK),
        IoHandle::Simulated(socket) => socket.receive(&mut [IoSliceMut::new(buf)], true),
    }
}

/// Receives what there is into several buffers.
pub(in crate::net) fn recv_vectored(io: &IoHandle, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => recv_vectored_with(fd.as_fd(), bufs, RecvFlags::DONTWAIT),
        IoHandle::Simulated(socket) => socket.receive(bufs, false),
    }
}

/// Sends as many of the bytes as there is room for.
#[inline]
pub(in crate::net) fn send(io: &IoHandle, buf: &[u8]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => {
            Ok(rustix::net::send(fd, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
        }
        IoHandle::Simulated(socket) => socket.send(&[IoSlice::new(buf)]),
    }
}

/// Sends what there is room for from several buffers.
pub(in crate::net) fn send_vectored(io: &IoHandle, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => {
            send_vectored_with(fd.as_fd(), bufs, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
        }
        IoHandle::Simulated(socket) => socket.send(bufs),
    }
}

/// Sends one urgent byte.
pub(in crate::net) fn send_urgent(io: &IoHandle, byte: u8) -> io::Result<()> {
    let IoHandle::Descriptor(fd) = io else { return Err(io::ErrorKind::Unsupported.into()) };
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::OOB;
    Ok(rustix::net::send(fd, &[byte], flags).map(drop)?)
}

/// Receives the urgent byte, if there is one.
pub(in crate::net) fn recv_urgent(io: &IoHandle) -> io::Result<Option<u8>> {
    let IoHandle::Descriptor(fd) = io else { return Err(io::ErrorKind::Unsupported.into()) };
    let mut byte = [0];
    match rustix::net::recv(fd, &mut byte, RecvFlags::DONTWAIT | RecvFlags::OOB) {
        Ok((1.., _)) => Ok(Some(byte[0])),
        // Announced but not here yet; none, taken already, or left among the other data; the end.
        Err(Errno::AGAIN | Errno::INVAL) | Ok(_) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Receives into several buffers, and waits in the call until there is something.
pub(in crate::net) fn recv_vectored_blocking(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    recv_vectored_with(fd, bufs, RecvFlags::empty())
}

/// Sends, and waits in the call until there is room.
pub(in crate::net) fn send_blocking(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, buf, SendFlags::NOSIGNAL)?)
}

/// Sends from several buffers, and waits in the call until there is room.
pub(in crate::net) fn send_vectored_blocking(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
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
