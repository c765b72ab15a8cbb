//! What stream sockets have in common: bytes in and out of a [`IoSource`], on every kind of stack.
//!
//! A wrapper adds names and addresses. The calls carry their flags with them, so that neither the descriptor's mode nor
//! `SIGPIPE` matters.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::event::reactor::{Direction, IoSource, IoWaiter, Progress};
use crate::kernel::Wait;
use crate::kernel::wait::blocking_call;

/// The most buffers that one call takes; the kernel refuses more.
const MOST_BUFFERS: usize = 1024;

/// A connected stream socket. Clones share the descriptor.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    /// The descriptor and who waits for it.
    source: Arc<IoSource>,
}

/// One operation on a descriptor, as a future. Dropping it before it is ready leaves the descriptor as it was.
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub(super) struct Op<'a, R, F> {
    /// Whom to wake.
    waiter: IoWaiter<'a>,
    /// The result when there is nothing to do: an empty buffer is not waited for.
    trivial: Option<R>,
    /// What to do.
    op: F,
}

impl<'a, R, F> Op<'a, R, F> {
    pub(super) fn new(
        source: &'a Arc<IoSource>,
        direction: Direction,
        trivial: Option<R>,
        op: F,
    ) -> Op<'a, R, F> {
        Op { waiter: IoWaiter::new(source, direction), trivial, op }
    }
}

impl<R, F> Future for Op<'_, R, F>
where
    R: Unpin,
    F: FnMut(BorrowedFd<'_>) -> io::Result<Progress<R>> + Unpin,
{
    type Output = io::Result<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = self.get_mut();
        if let Some(trivial) = this.trivial.take() {
            return Poll::Ready(Ok(trivial));
        }
        this.waiter.poll_io(cx, &mut this.op)
    }
}

impl Socket {
    /// A socket for `fd`, which should be in blocking mode.
    pub(super) fn new(fd: OwnedFd) -> Socket {
        Socket { source: IoSource::new(fd) }
    }

    /// Gives the descriptor back.
    pub(super) fn into_fd(self) -> io::Result<OwnedFd> {
        IoSource::into_fd(self.source)
    }

    /// Whether the two share a descriptor.
    pub(super) fn is(&self, other: &Socket) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(self, how)?)
    }

    // Futures.

    pub(super) fn read<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let nothing = empty(buf.len());
        Op::new(&self.source, Direction::Read, nothing, move |fd: BorrowedFd<'_>| receive(fd, buf))
    }

    pub(super) fn read_vectored<'a, 'b>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'b>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b> {
        let nothing = empty(room(bufs));
        Op::new(&self.source, Direction::Read, nothing, move |fd: BorrowedFd<'_>| receive_vectored(fd, bufs))
    }

    pub(super) fn peek<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let nothing = empty(buf.len());
        Op::new(&self.source, Direction::Read, nothing, move |fd: BorrowedFd<'_>| {
            // What has been looked at is still there: never drained.
            recv(fd, buf, RecvFlags::DONTWAIT | RecvFlags::PEEK).map(Progress::More)
        })
    }

    pub(super) fn write<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a> {
        let nothing = empty(buf.len());
        Op::new(&self.source, Direction::Write, nothing, move |fd: BorrowedFd<'_>| transmit(fd, buf))
    }

    pub(super) fn write_vectored<'a, 'b>(
        &'a self,
        bufs: &'a [IoSlice<'b>],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, 'b> {
        let nothing = empty(room(bufs));
        Op::new(&self.source, Direction::Write, nothing, move |fd: BorrowedFd<'_>| {
            transmit_vectored(fd, bufs)
        })
    }

    // Poll functions, on the fixed places.

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Read).poll_io(cx, |fd| receive(fd, buf))
    }

    pub(super) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if room(bufs) == 0 {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Read).poll_io(cx, |fd| receive_vectored(fd, bufs))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Write).poll_io(cx, |fd| transmit(fd, buf))
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if room(bufs) == 0 {
            return Poll::Ready(Ok(0));
        }
        IoWaiter::fixed(&self.source, Direction::Write).poll_io(cx, |fd| transmit_vectored(fd, bufs))
    }

    /// What closing the writing side means for `AsyncWrite`. One that is closed or disconnected already is closed.
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
        match allowed(|| recv(self.as_fd(), buf, RecvFlags::empty())) {
            Some(result) => result,
            None => self.read(buf).wait(),
        }
    }

    pub(super) fn read_vectored_blocking(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if room(bufs) == 0 {
            return Ok(0);
        }
        match allowed(|| recv_vectored(self.as_fd(), bufs, RecvFlags::empty())) {
            Some(result) => result,
            None => self.read_vectored(bufs).wait(),
        }
    }

    pub(super) fn write_blocking(&self, buf: &[u8]) -> io::Result<usize> {
        match allowed(|| Ok(rustix::net::send(self, buf, SendFlags::NOSIGNAL)?)) {
            Some(result) => result,
            None => self.write(buf).wait(),
        }
    }

    pub(super) fn write_vectored_blocking(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match allowed(|| send_vectored(self.as_fd(), bufs, SendFlags::NOSIGNAL)) {
            Some(result) => result,
            None => self.write_vectored(bufs).wait(),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

/// Makes a blocking call where that is allowed. `None` where it is not, and when the call has said that it would
/// block: then somebody has put the descriptor into non-blocking mode behind our back.
fn allowed<R>(call: impl FnMut() -> io::Result<R>) -> Option<io::Result<R>> {
    blocking_call(call).filter(|result| !matches!(result, Err(e) if e.kind() == io::ErrorKind::WouldBlock))
}

fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    Ok(rustix::net::recv(fd, buf, flags).map(|(filled, _)| filled)?)
}

fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>], flags: RecvFlags) -> io::Result<usize> {
    let most = bufs.len().min(MOST_BUFFERS);
    let received = rustix::net::recvmsg(fd, &mut bufs[..most], &mut RecvAncillaryBuffer::default(), flags)?;
    Ok(received.bytes)
}

fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
    let most = bufs.len().min(MOST_BUFFERS);
    Ok(rustix::net::sendmsg(fd, &bufs[..most], &mut SendAncillaryBuffer::default(), flags)?)
}

fn receive(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Progress<usize>> {
    recv(fd, buf, RecvFlags::DONTWAIT).map(|n| received(n, buf.len()))
}

fn receive_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Progress<usize>> {
    let room = room(bufs);
    recv_vectored(fd, bufs, RecvFlags::DONTWAIT).map(|n| received(n, room))
}

fn transmit(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<Progress<usize>> {
    let sent = rustix::net::send(fd, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(transmitted(sent, buf.len()))
}

fn transmit_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<Progress<usize>> {
    let room = room(bufs);
    let sent = send_vectored(fd, bufs, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(transmitted(sent, room))
}

/// The bytes that one call on `bufs` can move.
fn room<B: std::ops::Deref<Target = [u8]>>(bufs: &[B]) -> usize {
    bufs.iter().take(MOST_BUFFERS).map(|buf| buf.len()).sum()
}

/// What moving `len` bytes comes to without doing it: nothing, if there are none.
fn empty(len: usize) -> Option<usize> {
    (len == 0).then_some(0)
}

/// A short read has taken all there was. Nothing at all is the end of the stream, which stays.
fn received(n: usize, room: usize) -> Progress<usize> {
    if n > 0 && n < room { Progress::Drained(n) } else { Progress::More(n) }
}

/// A short write has filled the buffer.
fn transmitted(n: usize, len: usize) -> Progress<usize> {
    if n < len { Progress::Drained(n) } else { Progress::More(n) }
}
