//! The common part of stream sockets: bytes in and out of a [`IoSource`], on every kind of stack.
//!
//! An [`Endpoint`](super::endpoint::Endpoint) adds names and addresses, and `sys` makes the calls. This file
//! says which call an operation is, and where one that blocks will do; the rest is in [`ByteStream`].

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::reading::Reading;
use super::sys;
use crate::event::reactor::{Direction, IoHandle, IoSource, Progress};
use crate::kernel::Wait;
use crate::kernel::io::{ByteStream, Op, empty, received, room};
use crate::kernel::wait::blocking_call;
use crate::kernel::waiting::WaitingFor;

/// A socket, with the operations of streams. Clones share the descriptor.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    source: Arc<IoSource>,
}

impl Socket {
    pub(super) fn new(io: IoHandle) -> Socket {
        Socket { source: IoSource::of(io) }
    }

    /// Gives back what it is made of.
    pub(super) fn into_handle(self) -> io::Result<IoHandle> {
        IoSource::into_handle(self.source)
    }

    /// Returns what it is made of.
    #[inline]
    pub(super) fn io(&self) -> &IoHandle {
        self.source.handle()
    }

    /// Returns whether the two share a descriptor.
    pub(super) fn is(&self, other: &Socket) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        sys::shutdown(self.io(), how)
    }

    pub(super) fn peek<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let nothing = empty(buf.len());
        Op::new(&self.source, Direction::Read, nothing, move |io: &IoHandle| {
            // A peek takes nothing out, so the socket is never drained.
            sys::peek(io, buf).map(Progress::More)
        })
    }

    /// Closes the writing side for `AsyncWrite`. One that is closed or disconnected already is closed.
    pub(super) fn close_write(&self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// Makes a blocking call on the descriptor; see [`blocking`].
    fn blocking<R>(
        &self,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        blocking(self.io(), direction, || call(self.as_fd()))
    }

    /// Reads what there is, once there is something.
    pub(super) fn reading<'a>(&'a self, buf: &'a mut [u8]) -> Reading<'a, usize> {
        let nothing = empty(buf.len());
        Reading::new(&self.source, buf, nothing, |io, buf, waits| {
            sys::recv(io, buf, waits).map(|n| match received(n, buf.len()) {
                Progress::More(n) => Progress::More(Some(n)),
                Progress::Drained(n) => Progress::Drained(Some(n)),
            })
        })
    }

    /// Fills `buf`, however many reads it takes.
    pub(super) fn reading_exact<'a>(&'a self, buf: &'a mut [u8]) -> Reading<'a, ()> {
        let nothing = buf.is_empty().then_some(());
        Reading::new(&self.source, buf, nothing, |io, rest, waits| {
            let (n, room) = (sys::recv(io, rest, waits)?, rest.len());
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *rest = &mut std::mem::take(rest)[n..];
            Ok(if n < room { Progress::Drained(None) } else { Progress::More(Some(())) })
        })
    }
}

/// Makes a call that may block where that is allowed. `None` where it is not, and when the call has said that
/// it would block: then somebody has put the descriptor into non-blocking mode behind our back. Nor is there
/// such a call on a simulated socket.
pub(super) fn blocking<R>(
    io: &IoHandle,
    direction: Direction,
    call: impl FnMut() -> io::Result<R>,
) -> Option<io::Result<R>> {
    let IoHandle::Descriptor(_) = io else { return None };
    blocking_call(|| WaitingFor::io(io, direction), call)
        .filter(|result| !matches!(result, Err(e) if e.kind() == io::ErrorKind::WouldBlock))
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl ByteStream for Socket {
    fn source(&self) -> &Arc<IoSource> {
        &self.source
    }

    fn receive(io: &IoHandle, buf: &mut [u8]) -> io::Result<usize> {
        sys::recv(io, buf, false)
    }

    fn receive_uninit<'b>(io: &IoHandle, buf: &'b mut [MaybeUninit<u8>]) -> io::Result<&'b mut [u8]> {
        sys::recv_uninit(io, buf)
    }

    fn receive_vectored(io: &IoHandle, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        sys::recv_vectored(io, bufs)
    }

    fn transmit(io: &IoHandle, buf: &[u8]) -> io::Result<usize> {
        sys::send(io, buf)
    }

    fn transmit_vectored(io: &IoHandle, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::send_vectored(io, bufs)
    }

    // Calls that block the stack: by themselves where that is allowed, else through `.wait()`.

    fn read_blocking(&self, buf: &mut [u8]) -> io::Result<usize> {
        // The kernel would wait for a byte, even with no room for it.
        if buf.is_empty() {
            return Ok(0);
        }
        match blocking(self.io(), Direction::Read, || sys::recv(self.io(), buf, true)) {
            Some(result) => result,
            None => self.read(buf).wait(),
        }
    }

    fn read_vectored_blocking(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if room(bufs) == 0 {
            return Ok(0);
        }
        match self.blocking(Direction::Read, |fd| sys::recv_vectored_blocking(fd, bufs)) {
            Some(result) => result,
            None => self.read_vectored(bufs).wait(),
        }
    }

    fn write_blocking(&self, buf: &[u8]) -> io::Result<usize> {
        match self.blocking(Direction::Write, |fd| sys::send_blocking(fd, buf)) {
            Some(result) => result,
            None => self.write(buf).wait(),
        }
    }

    fn write_vectored_blocking(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.blocking(Direction::Write, |fd| sys::send_vectored_blocking(fd, bufs)) {
            Some(result) => result,
            None => self.write_vectored(bufs).wait(),
        }
    }
}
