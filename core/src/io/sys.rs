//! The calls to the outside of this module: to the operating system, or to a simulated pipe. None of them
//! waits, and nothing here knows readiness, waiters or tasks.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::event::reactor::{Direction, IoHandle, IoSource};
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

/// Returns a standard stream. It is closed only by a program that closes what is not its own; a call then
/// says so.
fn standard(fd: i32) -> BorrowedFd<'static> {
    match fd {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    }
}

/// Returns a source of the standard input, if it can be watched, and read from without blocking whatever its
/// mode is: if it is a pipe, and the system knows how.
pub(super) fn standard_input() -> Option<Arc<IoSource>> {
    let is_pipe =
        fstat(standard(0)).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
    (is_pipe && knows_nowait()).then(|| IoSource::watching(standard(0)).ok()).flatten()
}

/// Returns whether the system reads from a pipe in blocking mode without blocking: tried with an empty one.
fn knows_nowait() -> bool {
    let Ok((reader, _writer)) = pipe_with(PipeFlags::CLOEXEC) else { return false };
    let read = read_now(&IoHandle::Descriptor(reader), &mut [0]);
    read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Reads what there is, from a descriptor in any mode.
pub(super) fn read_now(io: &IoHandle, buf: &mut [u8]) -> io::Result<usize> {
    let at_present = u64::MAX;
    let bufs = &mut [IoSliceMut::new(buf)];
    match io {
        IoHandle::Descriptor(fd) => Ok(preadv2(fd, bufs, at_present, ReadWriteFlags::NOWAIT)?),
        IoHandle::Simulated(socket) => socket.receive(bufs, false),
    }
}

/// Reads from a standard stream, and waits in the call until there is something.
pub(super) fn read_blocking(fd: i32, buf: &mut [u8]) -> io::Result<usize> {
    retry(standard(fd), PollFlags::IN, |fd| rustix::io::read(fd, &mut *buf))
}

/// Writes all of `bytes` to a standard stream, and waits in the call for room. One that is closed takes
/// everything.
pub(super) fn write_all_blocking(fd: i32, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match retry(standard(fd), PollFlags::OUT, |fd| rustix::io::write(fd, rest)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => rest = &rest[n..],
            Err(error) if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes a call until it neither is interrupted nor would block, which it does where somebody else has
/// changed the mode of the descriptor.
fn retry(
    fd: BorrowedFd<'_>,
    wanted: PollFlags,
    mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match call(fd) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&fd, wanted)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            result => return Ok(result?),
        }
    }
}
