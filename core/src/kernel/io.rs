//! Operations on descriptors for the code that runs on a stack: each takes a unit of the budget, and has the
//! driver of the running stack watch the descriptor. The readiness protocol itself is in
//! [`reactor`](crate::reactor).
//!
//! [`Op`] is one operation as a future. Whatever reads and writes descriptors (sockets, pipes, descriptors of
//! the user's, children) is made of it, with calls of its own.

mod bytes;

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::event::reactor::{Direction, IoHandle, IoSource, IoWaiter, Progress};
use crate::kernel::coop;
use crate::kernel::strand::with_current;
use crate::kernel::waiting::{self, WaitingFor};
pub(crate) use bytes::ByteStream;

impl IoWaiter<'_> {
    /// Performs `op`, or has the task woken when it can be performed; see [`IoWaiter::poll_op`].
    #[inline]
    pub(crate) fn poll_io<R>(
        &mut self,
        cx: &mut Context<'_>,
        op: impl FnMut(&IoHandle) -> io::Result<Progress<R>>,
    ) -> Poll<io::Result<R>> {
        let unit = ready!(coop::proceed(cx));
        let polled = self.poll_op(
            cx,
            |source, interest, waker| {
                // A simulated socket reports by itself.
                if source.is_simulated() {
                    return Ok(());
                }
                with_current(|strand| strand.driver().watch(source, interest, waker))
            },
            op,
        );
        let result =
            ready!(waiting::note(polled, || WaitingFor::io(self.source().handle(), self.direction())));
        unit.spend();
        Poll::Ready(result)
    }
}

/// One operation on a descriptor, as a future. Dropping it before it is ready leaves the descriptor as it
/// was.
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub(crate) struct Op<'a, R, F> {
    waiter: IoWaiter<'a>,
    /// The result of an operation on an empty buffer, which waits for nothing; taken by the first poll.
    trivial: Option<R>,
    /// The call, made again each time that the descriptor may be ready.
    op: F,
}

impl<'a, R, F> Op<'a, R, F> {
    pub(crate) fn new(
        source: &'a Arc<IoSource>,
        direction: Direction,
        trivial: Option<R>,
        op: F,
    ) -> Op<'a, R, F> {
        Op { waiter: IoWaiter::new(source, direction), trivial, op }
    }
}

// No field is ever polled in place.
impl<R, F> Unpin for Op<'_, R, F> {}

impl<R, F> Future for Op<'_, R, F>
where
    F: FnMut(&IoHandle) -> io::Result<Progress<R>>,
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

/// The most buffers that one call takes; the kernel refuses more.
pub(crate) const MOST_BUFFERS: usize = 1024;

/// Returns how many bytes one call on `bufs` can move.
pub(crate) fn room<B: std::ops::Deref<Target = [u8]>>(bufs: &[B]) -> usize {
    bufs.iter().take(MOST_BUFFERS).map(|buf| buf.len()).sum()
}

/// Returns the result of moving `len` bytes where it needs no call: if there are none.
pub(crate) fn empty(len: usize) -> Option<usize> {
    (len == 0).then_some(0)
}

/// Fills `buf` with zeros, for a call that wants initialized memory.
pub(crate) fn zeroed(buf: &mut [MaybeUninit<u8>]) -> &mut [u8] {
    buf.fill(MaybeUninit::new(0));
    // SAFETY: all of it has been initialized just now.
    unsafe { initialized(buf) }
}

/// Returns `buf` as the bytes that are in it.
///
/// # Safety
/// All of it has been initialized.
pub(crate) unsafe fn initialized(buf: &mut [MaybeUninit<u8>]) -> &mut [u8] {
    // SAFETY: a byte that is initialized lies in memory as in a `u8`, as the caller promises it for all.
    unsafe { &mut *(std::ptr::from_mut(buf) as *mut [u8]) }
}

/// Says what a read tells about readiness: a short one has taken all there was. Nothing at all is the end of
/// the stream, which stays.
pub(crate) fn received(n: usize, room: usize) -> Progress<usize> {
    if n > 0 && n < room { Progress::Drained(n) } else { Progress::More(n) }
}

/// Says what a write tells about readiness: a short one has filled the system's buffer.
pub(crate) fn transmitted(n: usize, len: usize) -> Progress<usize> {
    if n < len { Progress::Drained(n) } else { Progress::More(n) }
}
