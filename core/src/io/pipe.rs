//! One end of a pipe: bytes in or out of a source, on every kind of stack. The pipes of children are made of
//! it.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::sys;
use crate::event::reactor::{Direction, IoHandle, IoSource, IoWaiter, Progress};
use crate::kernel::Wait;
use crate::kernel::io::{Op, empty, received, room, transmitted};

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

    /// Gives the descriptor back, in blocking mode.
    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        let fd = sys::into_fd(IoSource::into_handle(self.source)?)?;
        sys::set_nonblocking(&fd, false)?;
        Ok(fd)
    }

    pub(crate) fn read<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let nothing = empty(buf.len());
        Op::new(&self.source, Direction::Read, nothing, move |io: &IoHandle| receive(io, buf))
    }

    pub(crate) fn write<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let nothing = empty(buf.len());
        Op::new(&self.source, Direction::Write, nothing, move |io: &IoHandle| transmit(io, buf))
    }

    // Poll functions, which share one waker slot in each direction.

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Read).poll_io(cx, |io| receive(io, buf))
    }

    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if room(bufs) == 0 {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Read).poll_io(cx, |io| receive_vectored(io, bufs))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Write).poll_io(cx, |io| transmit(io, buf))
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if room(bufs) == 0 {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Write).poll_io(cx, |io| transmit_vectored(io, bufs))
    }

    // For std's traits, which block the stack.

    pub(crate) fn read_blocking(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.read(buf).wait()
    }

    pub(crate) fn read_vectored_blocking(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let nothing = empty(room(bufs));
        Op::new(&self.source, Direction::Read, nothing, |io: &IoHandle| receive_vectored(io, bufs)).wait()
    }

    pub(crate) fn write_vectored_blocking(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let nothing = empty(room(bufs));
        Op::new(&self.source, Direction::Write, nothing, |io: &IoHandle| transmit_vectored(io, bufs)).wait()
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

fn receive(io: &IoHandle, buf: &mut [u8]) -> io::Result<Progress<usize>> {
    sys::read(io, buf).map(|n| received(n, buf.len()))
}

fn receive_vectored(io: &IoHandle, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Progress<usize>> {
    let room = room(bufs);
    sys::read_vectored(io, bufs).map(|n| received(n, room))
}

fn transmit(io: &IoHandle, buf: &[u8]) -> io::Result<Progress<usize>> {
    sys::write(io, buf).map(|n| transmitted(n, buf.len()))
}

fn transmit_vectored(io: &IoHandle, bufs: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
    let room = room(bufs);
    sys::write_vectored(io, bufs).map(|n| transmitted(n, room))
}
