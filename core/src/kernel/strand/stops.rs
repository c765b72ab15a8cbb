//! The waits that may stop the running task for good: those for a promise, a task or a lock, for which the
//! [wait graph](crate::kernel::task::wait_graph) has edges.

use std::sync::Arc;
use std::task::Waker;

use super::StrandState;
use crate::kernel::task::wait_graph::Refused;
use crate::kernel::task::{self, Header};

impl StrandState {
    /// Returns whether a future that is polled with `waker` is polled for this stack, beside nothing else.
    #[inline]
    pub(crate) fn polls_alone(&self, waker: &Waker) -> bool {
        self.alternatives.get() == 0 && self.wakes_stack(waker)
    }

    /// Returns the running task if a future that is polled with `waker`, and is not ready, may be all that it
    /// waits for. [`StrandState::may_stop`] is to follow, once the edge of the wait has been published.
    #[inline]
    pub(crate) fn blocked_task(&self, waker: &Waker) -> Option<&Arc<task::Shared>> {
        self.stopped_by(waker).map(Header::about_to_block)
    }

    /// As [`StrandState::blocked_task`], where the future waits for a lock: what is to follow is done by
    /// [`LockWait::pending`](crate::kernel::task::wait_graph::LockWait::pending).
    #[inline]
    pub(crate) fn task_that_wants_lock(&self, waker: &Waker) -> Option<&Arc<task::Shared>> {
        self.stopped_by(waker).map(Header::about_to_want_lock)
    }

    /// Returns the header of the running task if a future that is polled with `waker`, and is not ready, may
    /// be all that it waits for.
    #[inline]
    fn stopped_by(&self, waker: &Waker) -> Option<&Header> {
        if self.alternatives.get() != 0 {
            return None;
        }
        let header = self.header()?;
        if !self.wakes_task_or_stack(waker) {
            return None;
        }
        // The task waits, so it goes on: this wait closes no circle with what it has dropped.
        self.task_continues();
        Some(header)
    }

    /// Notes that `task`, the running one, may be stopped by a wait that has been polled with `waker`, which
    /// it has kept, and is not ready.
    #[inline]
    pub(crate) fn may_stop(&self, task: &task::Shared, waker: &Waker) {
        task.set_blocked();
        self.suspect(task, waker, || task.is_awaited());
    }

    /// Has a probe find out whether the wait of `task`, the running one, that has been polled with `waker` is
    /// all that it waits for, if that wait `may_close` a circle.
    #[inline]
    pub(crate) fn suspect(&self, task: &task::Shared, waker: &Waker, may_close: impl FnOnce() -> bool) {
        if self.probe.polls_with(waker) {
            self.probe.report(task.edge_number());
        } else if may_close() {
            self.probe.request();
        }
    }

    /// Begins a poll of the future of a `.wait()`, or one more poll of a task.
    #[inline]
    pub(crate) fn begin_round(&self) {
        self.take_sleeping();
        self.sets_question_aside();
    }

    /// Sets the wait that is to come out as a deadlock when it is polled.
    pub(crate) fn set_refusal(&self, refused: Option<Refused>) {
        let before = self.refused.replace(refused);
        drop(before);
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
