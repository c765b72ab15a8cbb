//! The budget that makes a task which is always ready yield in the end.
//!
//! A backend whose tasks share a stack gives each poll a budget with [`with_budget`]. Operations that may complete
//! at once (a receive with messages queued, a read with bytes there) ask `proceed` first and report progress
//! when they complete; once the budget is spent they say they are not ready, after waking the task, which sends
//! it to the end of its queue. Stacks without a budget, such as OS threads, are never held up.
//!
//! After tokio's coop module and "Reducing tail latencies with automatic cooperative task yielding".

use std::task::{Context, Poll};

use crate::strand::{StrandState, with_state};

/// How many operations a poll may complete before it must yield. Large enough that the cost of yielding is
/// spread thin, small enough that a poll of cheap operations stays well under a millisecond.
pub const BUDGET: u32 = 128;

/// Gives `poll` a fresh budget on this stack.
#[inline]
pub fn with_budget<R>(state: &StrandState, poll: impl FnOnce() -> R) -> R {
    struct Restore<'a>(&'a StrandState, Option<u32>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            self.0.budget().set(self.1);
        }
    }
    let _restore = Restore(state, state.budget().replace(Some(BUDGET)));
    state.take_yield();
    poll()
}

/// Runs `look` without a budget: what it says of the present is true.
pub(crate) fn unlimited<R>(look: impl FnOnce() -> R) -> R {
    struct Restore<'a>(&'a StrandState, Option<u32>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            self.0.budget().set(self.1);
        }
    }
    with_state(|state| {
        let _restore = Restore(state, state.budget().replace(None));
        look()
    })
}

/// Others have had their turn on this stack's worker while a wait was parked: its poll starts afresh.
#[inline]
pub(crate) fn refill(state: &StrandState) {
    if state.budget().get().is_some() {
        state.budget().set(Some(BUDGET));
    }
}

/// Takes one unit of the budget. `Pending` when it is spent: the task has been woken and should return.
///
/// A caller that does not complete its operation after all gives the unit back by not calling
/// [`Unit::spend`].
#[inline]
pub(crate) fn proceed(cx: &mut Context<'_>) -> Poll<Unit> {
    with_state(|state| match state.budget().get() {
        Some(0) => {
            cx.waker().wake_by_ref();
            state.request_yield();
            // Refilled only when others have had their turn: by the next poll, or by the wait that asks for it.
            Poll::Pending
        }
        left => Poll::Ready(Unit(left)),
    })
}

/// Leave to complete one operation.
#[must_use]
pub(crate) struct Unit(Option<u32>);

impl Unit {
    /// The operation has completed.
    #[inline]
    pub(crate) fn spend(self) {
        if let Some(left) = self.0 {
            with_state(|state| state.budget().set(Some(left - 1)));
        }
    }
}
