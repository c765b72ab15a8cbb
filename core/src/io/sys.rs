//! The system calls of this module. None of them waits, and nothing here knows readiness, waiters or tasks.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::event::reactor::{Direction, IoHandle};

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
