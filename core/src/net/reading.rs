//! The operations that read from a socket most of the time: futures with a `wait` of their own.
//!
//! `.wait()` of any future asks the socket, is told that there is nothing, sleeps in `poll(2)` and asks
//! again. Where the stack may block nobody is kept waiting by a call that does, so [`Reading::wait`] makes
//! that one call instead. It knows what is read, and that nothing else is waited for; a combinator that holds
//! a [`Reading`] polls it as any other future.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::socket::blocking;
use crate::event::reactor::{Direction, IoHandle, IoSource, IoWaiter, Progress};
use crate::kernel::Wait;

/// A call that reads into the rest of the buffer, and may take it off. It waits in the system if the last
/// argument is true, and says [`WouldBlock`](io::ErrorKind::WouldBlock) otherwise. `None` says that there is
/// more to be read.
type Call<R> = fn(&IoHandle, &mut &mut [u8], bool) -> io::Result<Progress<Option<R>>>;

/// An operation that reads from a socket, finished by `.await` or `.wait()`. Dropping it before it is ready
/// has read nothing, but for [`read_exact`](super::endpoint::Endpoint::read_exact), which says so.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::{Reading, UnixStream}};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// theirs.write_all(b"hello").wait()?;
/// let mut buf = [0; 8];
/// let reading: Reading<'_, usize> = ours.read(&mut buf);
/// assert_eq!(reading.wait()?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub struct Reading<'a, R> {
    waiter: IoWaiter<'a>,
    /// The part of the buffer that has not been filled.
    rest: &'a mut [u8],
    /// The result of a read that needs no call; taken by the first poll.
    trivial: Option<R>,
    call: Call<R>,
}

impl<'a, R> Reading<'a, R> {
    pub(super) fn new(
        source: &'a Arc<IoSource>,
        buf: &'a mut [u8],
        trivial: Option<R>,
        call: Call<R>,
    ) -> Reading<'a, R> {
        Reading { waiter: IoWaiter::new(source, Direction::Read), rest: buf, trivial, call }
    }

    /// Blocks the calling stack until the operation is ready, as [`Wait::wait`] of any future does. An OS
    /// thread waits in the call that reads.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn wait(mut self) -> io::Result<R> {
        if let Some(trivial) = self.trivial.take() {
            return Ok(trivial);
        }
        loop {
            let (io, rest) = (self.waiter.source().handle(), &mut self.rest);
            match blocking(io, Direction::Read, || (self.call)(io, rest, true)) {
                None => return Wait::wait(self),
                Some(Ok(Progress::More(None) | Progress::Drained(None))) => {}
                Some(Ok(Progress::More(Some(read)) | Progress::Drained(Some(read)))) => return Ok(read),
                Some(Err(error)) => return Err(error),
            }
        }
    }
}

// No field is ever polled in place.
impl<R> Unpin for Reading<'_, R> {}

impl<R> Future for Reading<'_, R> {
    type Output = io::Result<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = self.get_mut();
        if let Some(trivial) = this.trivial.take() {
            return Poll::Ready(Ok(trivial));
        }
        loop {
            let (call, rest) = (this.call, &mut this.rest);
            if let Some(read) = ready!(this.waiter.poll_io(cx, |io| call(io, rest, false)))? {
                return Poll::Ready(Ok(read));
            }
        }
    }
}

impl<R> fmt::Debug for Reading<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("room", &self.rest.len()).finish_non_exhaustive()
    }
}
