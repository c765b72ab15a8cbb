//! One end of a pipe: bytes in or out of a source, on every kind of stack. The pipes of children are made of
//! it, and streams in memory.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::sys;
use crate::event::reactor::{IoHandle, IoSource, Socket};
use crate::kernel::io::{ByteStream, zeroed};

/// One end of a pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    source: Arc<IoSource>,
}

impl Pipe {
    /// Makes it of an end that nobody else has: it is put into non-blocking mode.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Pipe> {
        sys::set_nonblocking(&fd, true)?;
        Ok(Pipe { source: IoSource::new(fd) })
    }

    /// Makes it of something that is no descriptor.
    pub(super) fn simulated(socket: Box<dyn Socket>) -> Pipe {
        Pipe { source: IoSource::of(IoHandle::Simulated(socket)) }
    }

    /// Closes one direction, or both, of what is no descriptor: a pipe of the system's has one, which ends
    /// with it.
    pub(super) fn shutdown(&self, how: Shutdown) {
        if let IoHandle::Simulated(socket) = self.source.handle() {
            // There is a connection, so it does not fail.
            let _ = socket.shutdown(how);
        }
    }

    /// Closes the writing side for `AsyncWrite`.
    #[allow(clippy::unnecessary_wraps, reason = "as for a socket, which may fail")]
    pub(super) fn close_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write);
        Ok(())
    }

    /// Gives the descriptor back, in blocking mode.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        let fd = sys::into_fd(IoSource::into_handle(self.source)?)?;
        sys::set_nonblocking(&fd, false)?;
        Ok(fd)
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl ByteStream for Pipe {
    fn source(&self) -> &Arc<IoSource> {
        &self.source
    }

    fn receive(io: &IoHandle, buf: &mut [u8]) -> io::Result<usize> {
        sys::read(io, buf)
    }

    fn receive_uninit<'b>(io: &IoHandle, buf: &'b mut [MaybeUninit<u8>]) -> io::Result<&'b mut [u8]> {
        let buf = zeroed(buf);
        let n = sys::read(io, buf)?;
        Ok(&mut buf[..n])
    }

    fn receive_vectored(io: &IoHandle, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        sys::read_vectored(io, bufs)
    }

    fn transmit(io: &IoHandle, buf: &[u8]) -> io::Result<usize> {
        sys::write(io, buf)
    }

    fn transmit_vectored(io: &IoHandle, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::write_vectored(io, bufs)
    }
}
