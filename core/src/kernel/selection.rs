//! Polling the arms of a select: in an order, with a budget, and by the protocol of its
//! [choice](super::choice).
//!
//! The combinators that go on with whichever future is ready first are the callers: `select`, `race`, `any`,
//! timeouts.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::choice::{Choice, CurrentSelect};
use crate::kernel::coop::{self, DeferredDecision};
use crate::kernel::strand::{StrandState, with_state};

/// The state that a select keeps between its polls. It has to be dropped after the arms.
#[derive(Default)]
pub(crate) struct Selection {
    /// The choice of the select. It is `None` while no arm has asked for it, and while the select polls.
    choice: Option<Arc<Choice>>,
    /// An arm may have been pending for want of budget only. Such an arm is not passed over.
    decision: DeferredDecision,
}

impl Selection {
    /// Polls the arms in this order, with the waker of `cx`, until one is ready. One that has been met comes
    /// first.
    #[inline]
    pub(crate) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        order: impl Iterator<Item = usize>,
        mut poll: impl FnMut(usize, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let Selection { choice, decision } = self;
        decision.scope(cx.waker(), |scope| {
            poll_committed(scope.state(), choice, |met, arms| {
                if let Some(index) = met {
                    arms.set_arm(index, cx.waker());
                    // The arm is ready, unless it goes on to something else, whatever the budget says.
                    let polled = coop::with_full_budget(|| poll(index, cx));
                    if polled.is_ready() {
                        return polled;
                    }
                }
                for index in order.filter(|index| Some(*index) != met) {
                    arms.set_arm(index, cx.waker());
                    let polled = poll(index, cx);
                    if polled.is_ready() {
                        return polled;
                    }
                    if scope.must_defer(cx.waker()) {
                        break;
                    }
                }
                Poll::Pending
            })
        })
    }

    /// Has `poll` poll the arms until one is ready, and say which one is next. It begins with the one that
    /// has been met, whatever the budget says.
    #[inline]
    pub(crate) fn poll_with<R>(
        &mut self,
        poll: impl FnOnce(Option<usize>, &PollingSelect<'_>) -> Poll<R>,
    ) -> Poll<R> {
        with_state(|state| {
            let _alternative = state.alternative();
            poll_committed(state, &mut self.choice, poll)
        })
    }
}

/// Calls `poll` between the transitions "begin" and "open". It gets the arm that has been met.
#[inline]
fn poll_committed<R>(
    state: &StrandState,
    choice: &mut Option<Arc<Choice>>,
    poll: impl FnOnce(Option<usize>, &PollingSelect<'_>) -> Poll<R>,
) -> Poll<R> {
    let met = choice.as_ref().and_then(|choice| choice.begin());
    let polled = poll(met, &PollingSelect::begin(state, choice));
    if polled.is_pending()
        && let Some(choice) = choice
    {
        choice.open();
    }
    polled
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Selection").finish()
    }
}

impl Drop for Selection {
    #[inline]
    fn drop(&mut self) {
        if let Some(choice) = &self.choice {
            choice.finish();
        }
    }
}

/// A select that is being polled. While this lives, the select is the current one of the stack.
pub(crate) struct PollingSelect<'a> {
    state: &'a StrandState,
    /// The slot into which the choice is put back.
    choice: &'a mut Option<Arc<Choice>>,
    /// The select that was current before.
    before: Option<CurrentSelect>,
}

impl<'a> PollingSelect<'a> {
    #[inline]
    fn begin(state: &'a StrandState, choice: &'a mut Option<Arc<Choice>>) -> PollingSelect<'a> {
        let select = CurrentSelect { choice: choice.take(), index: 0, waker: std::ptr::null() };
        PollingSelect { before: state.replace_select(Some(select)), state, choice }
    }

    /// Says that the arm `index` is polled next, with `waker`.
    #[inline]
    pub(crate) fn set_arm(&self, index: usize, waker: &Waker) {
        self.state.with_select(|select| {
            (select.index, select.waker) = (index, waker.data());
            None::<()>
        });
    }
}

impl Drop for PollingSelect<'_> {
    #[inline]
    fn drop(&mut self) {
        let polled = self.state.replace_select(self.before.take());
        *self.choice = polled.and_then(|select| select.choice);
    }
}
