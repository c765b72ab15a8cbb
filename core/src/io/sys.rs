//! The calls to the outside of this module: to the operating system, or to a simulated pipe. None of them
//! waits, and nothing here knows readiness, waiters or tasks.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::event::reactor::{Direction, IoHandle};
use crate::kernel::io::MOST_BUFFERS;

/// Asks whether an operation in `direction` can be tried. It can also when the other end is gone or the
/// descriptor has failed, because that is what the operation then says.
///
/// # Errors
/// [`WouldBlock`](io::ErrorKind::WouldBlock) when it is not ready.
pub(super) fn check_ready(io: &IoHandle, direction: Direction) -> io::Result<()> {
    let IoHandle::Descriptor(fd) = io else { return Ok(()) };
    let wanted = match direction {
        Direction::Read => PollFlags::IN | PollFlags::RDHUP,
        Direction::Write => PollFlags::OUT,
    };
    match poll(&mut [PollFd::new(fd, wanted)], Some(&Timespec::default()))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

/// Sets the mode of a descriptor whose open file nobody else has.
pub(super) fn set_nonblocking(fd: &OwnedFd, nonblocking: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, nonblocking)?)
}

/// Returns the descriptor that it owns.
pub(super) fn into_fd(io: IoHandle) -> io::Result<OwnedFd> {
    match io {
        IoHandle::Descriptor(fd) => Ok(fd),
        IoHandle::Simulated(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "it has no descriptor")),
    }
}

/// Reads what there is.
pub(super) fn read(io: &IoHandle, buf: &mut [u8]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::io::read(fd, buf)?),
        IoHandle::Simulated(socket) => socket.receive(&mut [IoSliceMut::new(buf)], false),
    }
}

/// Reads what there is into several buffers.
pub(super) fn read_vectored(io: &IoHandle, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let most = bufs.len().min(MOST_BUFFERS);
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::io::readv(fd, &mut bufs[..most])?),
        IoHandle::Simulated(socket) => socket.receive(bufs, false),
    }
}

/// Writes what there is room for.
pub(super) fn write(io: &IoHandle, buf: &[u8]) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::io::write(fd, buf)?),
        IoHandle::Simulated(socket) => socket.send(&[IoSlice::new(buf)]),
    }
}

/// Writes what there is room for from several buffers.
pub(super) fn write_vectored(io: &IoHandle, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let most = bufs.len().min(MOST_BUFFERS);
    match io {
        IoHandle::Descriptor(fd) => Ok(rustix::io::writev(fd, &bufs[..most])?),
        IoHandle::Simulated(socket) => socket.send(bufs),
    }
}
