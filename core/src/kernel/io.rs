//! Operations on descriptors for the code that runs on a stack: each takes a unit of the budget, and has the
//! driver of the running stack watch the descriptor. The readiness protocol itself is in
//! [`reactor`](crate::reactor).

use std::io;
use std::task::{Context, Poll, ready};

use crate::event::reactor::{IoHandle, IoWaiter, Progress};
use crate::kernel::coop;
use crate::kernel::strand::with_current;
use crate::kernel::waiting::{self, WaitingFor};

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
