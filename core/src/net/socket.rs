//! The common part of stream sockets: bytes in and out of a [`IoSource`], on every kind of stack.
//!
//! An [`Endpoint`](super::endpoint::Endpoint) adds names and addresses, and `sys.rs` makes the calls. This
//! file says which call an operation is, what an empty buffer means, and what a short transfer tells about
//! readiness.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::sys;
use crate::event::reactor::{Direction, IoHandle, IoSource, IoWaiter, Progress};
use crate::kernel::Wait;
use crate::kernel::io::{Op, empty, received, room, transmitted};
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

    pub(super) fn source(&self) -> &Arc<IoSource> {
        &self.source
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

    // Futures.

    pub(super) fn read<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let nothing = empty(buf.len());
        Op::new(&self.source, Direction::Read, nothing, move |io: &IoHandle| receive(io, buf))
    }

    pub(super) fn read_vectored<'a, 'b>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'b>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b> {
        let nothing = empty(room(bufs));
        Op::new(&self.source, Direction::Read, nothing, move |io: &IoHandle| receive_vectored(io, bufs))
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

    pub(super) fn write<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let nothing = empty(buf.len());
        Op::new(&self.source, Direction::Write, nothing, move |io: &IoHandle| transmit(io, buf))
    }

    pub(super) fn write_vectored<'a, 'b>(
        &'a self,
        bufs: &'a [IoSlice<'b>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b> {
        let nothing = empty(room(bufs));
        Op::new(&self.source, Direction::Write, nothing, move |io: &IoHandle| transmit_vectored(io, bufs))
    }

    // Poll functions, which share one waker slot in each direction.

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Read).poll_io(cx, |io| receive(io, buf))
    }

    pub(super) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if room(bufs) == 0 {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Read).poll_io(cx, |io| receive_vectored(io, bufs))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Write).poll_io(cx, |io| transmit(io, buf))
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if room(bufs) == 0 {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Write).poll_io(cx, |io| transmit_vectored(io, bufs))
    }

    /// Closes the writing side for `AsyncWrite`. One that is closed or disconnected already is closed.
    pub(super) fn close_write(&self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    // Calls that block the stack: by themselves where that is allowed, else through `.wait()`.

    pub(super) fn read_blocking(&self, buf: &mut [u8]) -> io::Result<usize> {
        // The kernel would wait for a byte, even with no room for it.
        if buf.is_empty() {
            return Ok(0);
        }
        match self.blocking(Direction::Read, |fd| sys::recv_blocking(fd, buf)) {
            Some(result) => result,
            None => self.read(buf).wait(),
        }
    }

    pub(super) fn read_vectored_blocking(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if room(bufs) == 0 {
            return Ok(0);
        }
        match self.blocking(Direction::Read, |fd| sys::recv_vectored_blocking(fd, bufs)) {
            Some(result) => result,
            None => self.read_vectored(bufs).wait(),
        }
    }

    pub(super) fn write_blocking(&self, buf: &[u8]) -> io::Result<usize> {
        match self.blocking(Direction::Write, |fd| sys::send_blocking(fd, buf)) {
            Some(result) => result,
            None => self.write(buf).wait(),
        }
    }

    pub(super) fn write_vectored_blocking(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.blocking(Direction::Write, |fd| sys::send_vectored_blocking(fd, bufs)) {
            Some(result) => result,
            None => self.write_vectored(bufs).wait(),
        }
    }

    /// Makes a blocking call where that is allowed. `None` where it is not, and when the call has said that
    /// it would block: then somebody has put the descriptor into non-blocking mode behind our back. Nor is
    /// there such a call on a simulated socket.
    fn blocking<R>(
        &self,
        direction: Direction,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        let IoHandle::Descriptor(fd) = self.io() else { return None };
        blocking_call(|| WaitingFor::io(self.io(), direction), || call(fd.as_fd()))
            .filter(|result| !matches!(result, Err(e) if e.kind() == io::ErrorKind::WouldBlock))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

fn receive(io: &IoHandle, buf: &mut [u8]) -> io::Result<Progress<usize>> {
    sys::recv(io, buf).map(|n| received(n, buf.len()))
}

fn receive_vectored(io: &IoHandle, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Progress<usize>> {
    let room = room(bufs);
    sys::recv_vectored(io, bufs).map(|n| received(n, room))
}

fn transmit(io: &IoHandle, buf: &[u8]) -> io::Result<Progress<usize>> {
    sys::send(io, buf).map(|n| transmitted(n, buf.len()))
}

fn transmit_vectored(io: &IoHandle, bufs: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
    let room = room(bufs);
    sys::send_vectored(io, bufs).map(|n| transmitted(n, room))
}
