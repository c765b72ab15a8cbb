//! The wait that stops the running task: the one that a poll leaves, if it leaves no other.
//!
//! A future that is polled cannot know what else is polled beside it with the same waker, by a macro of
//! another library, say. But at the end of the poll the strand knows what of this library has been left
//! waiting: operations count themselves ([`coop`](crate::kernel::coop), and few that ask for no budget), and
//! combinators count as one. A wait for a promise or a task that is alone then is what the [wait
//! graph](crate::kernel::task::wait_graph) has an edge for.
//!
//! A wait that its task goes on without, in a macro of another library, counts till the end of the poll all
//! the same; so one that begins later in that poll may not be seen to be alone.

use std::sync::Arc;
use std::task::{Poll, Waker};

use super::{StrandState, with_state};
use crate::kernel::task;
use crate::kernel::task::wait_graph::{self, Refused};

/// The waits that a poll of a task has left so far, or the last poll of a `.wait()`: two counts in one
/// word, because every operation counts itself. In the upper half, the waits for a promise or a task, each
/// of which would stop the running task if it were alone; in the lower half, the other operations that have
/// begun and have not completed.
///
/// An operation that ends in a later poll than it has begun in makes the counts meaningless for that poll,
/// and then no wait is alone.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waits(u64);

impl Waits {
    /// One operation, in the lower half.
    const OPERATION: u64 = 1;

    /// One wait that would stop the running task, in the upper half.
    const STOP: u64 = 1 << 32;
}

impl StrandState {
    /// Returns the running task if a future that is polled with `waker`, and is not ready, may be all that it
    /// waits for: that shows at the end of the poll, see [`StrandState::stops`].
    #[inline]
    pub(crate) fn blocked_task(&self, waker: &Waker) -> Option<&Arc<task::Shared>> {
        if self.alternatives.get() != 0 {
            return None;
        }
        let header = self.header()?;
        if !self.wakes_task_or_stack(waker) {
            return None;
        }
        // The task waits, so it goes on: this wait closes no circle with what it has dropped.
        self.task_continues();
        Some(header.about_to_block())
    }

    /// Counts a wait that may stop the running task, and is not ready.
    #[inline]
    pub(crate) fn count_stop(&self) {
        self.count(Waits::STOP);
    }

    /// As [`StrandState::count_stop`], for a wait that has begun as an operation.
    #[inline]
    pub(crate) fn count_stop_for_operation(&self) {
        self.count(Waits::STOP.wrapping_sub(Waits::OPERATION));
    }

    /// Counts an operation that begins. One that does not complete is counted until the task is polled again.
    #[inline]
    pub(crate) fn begin_operation(&self) {
        self.count(Waits::OPERATION);
    }

    /// Discounts an operation that is over, or that is a part of another one.
    #[inline]
    pub(crate) fn end_operation(&self) {
        self.count(Waits::OPERATION.wrapping_neg());
    }

    /// Adds to the counts of what is left waiting.
    #[inline]
    fn count(&self, waits: u64) {
        self.waits.set(Waits(self.waits.get().0.wrapping_add(waits)));
    }

    /// Begins a poll of the future of a `.wait()`, or one more poll of a task.
    #[inline]
    pub(crate) fn begin_round(&self) {
        self.waits.set(Waits::default());
        self.sets_question_aside();
    }

    /// Notes that the future of the running task, or of a `.wait()` on this stack, has been polled and is not
    /// ready. If it has left nothing waiting but one wait for a promise or a task, the running task is
    /// stopped by that from now on. Returns true where the wait would close a circle: then the future is to
    /// be polled once more, and the wait comes out as a deadlock. `again` says that this was such a poll.
    #[inline]
    pub(crate) fn stops(&self, again: bool) -> bool {
        self.waits.get() == Waits(Waits::STOP) && self.stop_task(again)
    }

    fn stop_task(&self, again: bool) -> bool {
        // A wait that was refused and has not been polled again is not one that its task goes on with. Where
        // the budget was spent the task has been woken, and nothing is known of what has asked in vain.
        let is_unclaimed = again && self.refused.take().is_some();
        if is_unclaimed || self.budget.get() == 0 {
            return false;
        }
        let Some(refused) =
            self.header().and_then(|header| wait_graph::stop(header.shared(), self.has_parted()))
        else {
            return false;
        };
        let before = self.refused.replace(Some(refused));
        drop(before);
        self.begin_round();
        true
    }

    /// Returns the circle that the wait which `is_it` recognises would close, if it is polled once more to be
    /// told of that.
    #[inline]
    pub(crate) fn take_refusal(&self, is_it: impl FnOnce(&Refused) -> bool) -> Option<task::Cycle> {
        if self.refused.borrow().is_none() { None } else { self.find_refusal(is_it) }
    }

    #[cold]
    fn find_refusal(&self, is_it: impl FnOnce(&Refused) -> bool) -> Option<task::Cycle> {
        // It is looked at with nothing borrowed: `is_it` locks.
        let refused = self.refused.take()?;
        if is_it(&refused) {
            return Some(refused.into_cycle());
        }
        self.refused.replace(Some(refused));
        None
    }
}

/// Counts a combinator that is pending as one operation, however many it is made of; or a wait that asks
/// for no budget. Returns what it has come to.
#[inline]
pub(crate) fn note_pending<R>(polled: Poll<R>) -> Poll<R> {
    if polled.is_pending() {
        with_state(StrandState::begin_operation);
    }
    polled
}
