//! Streams of bytes over descriptors. What moves the bytes differs from one kind to the next; what an empty
//! buffer means, what a short transfer tells about readiness, and how one waits, is here.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Op, empty, initialized, received, room, transmitted};
use crate::event::reactor::{Direction, IoHandle, IoSource, IoWaiter, Progress};
use crate::kernel::wait::Wait;

/// A stream of bytes in and out of an [`IoSource`], on every kind of stack.
pub(crate) trait ByteStream: Sync {
    /// Returns the source that all operations wait for.
    fn source(&self) -> &Arc<IoSource>;

    /// Makes the call that reads. None of the calls blocks: they say
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) instead.
    fn receive(io: &IoHandle, buf: &mut [u8]) -> io::Result<usize>;

    /// Makes the call that reads into memory that need not be initialized; returns what it has initialized,
    /// from the first byte on.
    fn receive_uninit<'b>(io: &IoHandle, buf: &'b mut [MaybeUninit<u8>]) -> io::Result<&'b mut [u8]>;

    /// Makes the call that reads into several buffers.
    fn receive_vectored(io: &IoHandle, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;

    /// Makes the call that writes.
    fn transmit(io: &IoHandle, buf: &[u8]) -> io::Result<usize>;

    /// Makes the call that writes from several buffers.
    fn transmit_vectored(io: &IoHandle, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    // The operations as futures.

    fn read<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send + Unpin {
        let nothing = empty(buf.len());
        Op::new(self.source(), Direction::Read, nothing, move |io: &IoHandle| receive::<Self>(io, buf))
    }

    fn read_vectored<'a>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin {
        let nothing = empty(room(bufs));
        let receive = move |io: &IoHandle| receive_vectored::<Self>(io, bufs);
        Op::new(self.source(), Direction::Read, nothing, receive)
    }

    fn write<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + Send + Unpin {
        let nothing = empty(buf.len());
        Op::new(self.source(), Direction::Write, nothing, move |io: &IoHandle| transmit::<Self>(io, buf))
    }

    fn write_vectored<'a>(
        &'a self,
        bufs: &'a [IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin {
        let nothing = empty(room(bufs));
        let transmit = move |io: &IoHandle| transmit_vectored::<Self>(io, bufs);
        Op::new(self.source(), Direction::Write, nothing, transmit)
    }

    fn write_all<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            let mut rest = buf;
            while !rest.is_empty() {
                match self.write(rest).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    n => rest = &rest[n..],
                }
            }
            Ok(())
        }
    }

    // Poll functions, which share one waker slot in each direction.

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(self.source(), Direction::Read).poll_io(cx, |io| receive::<Self>(io, buf))
    }

    fn poll_read_uninit<'b>(
        &self,
        cx: &mut Context<'_>,
        buf: &'b mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<&'b mut [u8]>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(&mut []));
        }
        let read = IoWaiter::fixed(self.source(), Direction::Read).poll_io(cx, |io| {
            let room = buf.len();
            Self::receive_uninit(io, buf).map(|filled| received(filled.len(), room))
        });
        // SAFETY: the call has initialized the bytes that it returned, which are the first `n` of the buffer.
        read.map_ok(|n| unsafe { initialized(&mut buf[..n]) })
    }

    fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if room(bufs) == 0 {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(self.source(), Direction::Read).poll_io(cx, |io| receive_vectored::<Self>(io, bufs))
    }

    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(self.source(), Direction::Write).poll_io(cx, |io| transmit::<Self>(io, buf))
    }

    fn poll_write_vectored(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if room(bufs) == 0 {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(self.source(), Direction::Write).poll_io(cx, |io| transmit_vectored::<Self>(io, bufs))
    }

    // For std's traits, which block the stack. A kind with calls that block makes those.

    fn read_blocking(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.read(buf).wait()
    }

    fn read_vectored_blocking(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_vectored(bufs).wait()
    }

    fn write_blocking(&self, buf: &[u8]) -> io::Result<usize> {
        self.write(buf).wait()
    }

    fn write_vectored_blocking(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored(bufs).wait()
    }
}

fn receive<S: ByteStream + ?Sized>(io: &IoHandle, buf: &mut [u8]) -> io::Result<Progress<usize>> {
    S::receive(io, buf).map(|n| received(n, buf.len()))
}

fn receive_vectored<S: ByteStream + ?Sized>(
    io: &IoHandle,
    bufs: &mut [IoSliceMut<'_>],
) -> io::Result<Progress<usize>> {
    let room = room(bufs);
    S::receive_vectored(io, bufs).map(|n| received(n, room))
}

fn transmit<S: ByteStream + ?Sized>(io: &IoHandle, buf: &[u8]) -> io::Result<Progress<usize>> {
    S::transmit(io, buf).map(|n| transmitted(n, buf.len()))
}

fn transmit_vectored<S: ByteStream + ?Sized>(
    io: &IoHandle,
    bufs: &[IoSlice<'_>],
) -> io::Result<Progress<usize>> {
    let room = room(bufs);
    S::transmit_vectored(io, bufs).map(|n| transmitted(n, room))
}
