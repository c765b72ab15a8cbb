//! Moving bytes between sockets through a pipe, inside of the kernel.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::ptr;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::event::reactor::IoHandle;

/// The size of a pipe, in bytes, where the system allows it.
const PIPE_SIZE: usize = 256 * 1024;

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// Makes a pipe, and returns its end for reading and that for writing.
pub(in crate::net) fn splice_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // A pipe of the usual size does, too.
    let _ = fcntl_setpipe_size(&writer, PIPE_SIZE);
    Ok((reader, writer))
}

/// Moves what has arrived at a socket in non-blocking mode into an empty pipe. Zero is the end of the stream.
pub(in crate::net) fn splice_from(io: &IoHandle, pipe: &OwnedFd) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => Ok(splice(fd, None, pipe, None, PIPE_SIZE, FLAGS)?),
        IoHandle::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Moves up to `len` bytes out of a pipe into a socket in non-blocking mode.
pub(in crate::net) fn splice_to(pipe: &OwnedFd, io: &IoHandle, len: usize) -> io::Result<usize> {
    match io {
        IoHandle::Descriptor(fd) => Ok(splice(pipe, None, fd, None, len, FLAGS)?),
        IoHandle::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Returns what is in a pipe, `len` bytes.
pub(in crate::net) fn read_pipe(pipe: &OwnedFd, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while let Ok(n @ 1..) = rustix::io::read(pipe, &mut bytes[filled..]) {
        filled += n;
    }
    bytes.truncate(filled);
    bytes
}

/// Returns whether a write to a connection that is gone ends the process, unless the call says otherwise,
/// which a splice cannot.
pub(in crate::net) fn dies_of_broken_pipes() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: it asks for the action of the signal and sets none, and `action` is what it is written to.
    let asked = unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: it is made of numbers, pointers and an optional function, for all of which zero is a value.
    asked != 0 || unsafe { action.assume_init() }.sa_sigaction == libc::SIG_DFL
}
