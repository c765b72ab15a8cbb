//! Selects that offer all of their arms at once, and commit to one.
//!
//! The rendezvous channels are the others who take part: a send or receive of theirs that waits as an arm of a select
//! may be met only if no other arm has been, and one that was met must be the arm that the select ends with. Otherwise a
//! send that has lost might have sent, and a select of both ends of one channel would meet itself. So each select has
//! one [`Choice`] for all of its arms, and nobody meets one of them without having taken that.
//!
//! ```text
//! phase:  polling ──(1) open──▶ open ──(2) take──▶ taken(arm)
//!            ▲ │                 │                     │
//!            │ └─────(4) finish──┼──────────▶ over     │
//!            └──────(3) begin────┴─────────────────────┘
//!
//! (1) open    the select, when a poll has found no arm ready: from now on others may meet one.
//! (2) take    whoever meets an arm, under the lock of the arm's channel. The arm is woken.
//! (3) begin   the select, before it polls. If an arm has been met, that arm is polled before all others.
//! (4) finish  the select, when it and its arms have been dropped. An arm that it has only borrowed waits for itself
//!             again.
//! ```
//!
//! While a select polls, nobody meets its arms, for any of them may turn out to be ready: whoever would have leaves a
//! waker, and is woken when the select opens or ends. The arms that it polls meet others as they are; they look at the
//! choices of those only. So no two choices are ever locked at a time, and nobody waits for anybody.
//!
//! This is the protocol of Reppy's Concurrent ML for several processors ("Parallel Concurrent ML", 2009), where whoever
//! finds a choice that is not open tries again instead of being woken.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::base::sync::{Mutex, lock};
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::coop::{self, DeferredDecision};
use crate::kernel::strand::{StrandState, with_state};

/// See the [module](self).
pub(crate) struct Choice(Mutex<State>);

/// What the mutex guards. It is locked by those who have locked a channel, and for a look or a change only.
struct State {
    /// See the diagram above.
    phase: Phase,
    /// Those who would have met an arm.
    waiting: Vec<StoredWaker>,
}

/// See the [module](self).
#[derive(Clone, Copy)]
enum Phase {
    Polling,
    Open,
    Committed(usize),
    Over,
}

impl Choice {
    /// Of a select that polls.
    fn new() -> Choice {
        Choice(Mutex::new(State { phase: Phase::Polling, waiting: Vec::new() }))
    }

    /// Transition 3. Returns the arm that has been met.
    fn begin(&self) -> Option<usize> {
        match std::mem::replace(&mut lock(&self.0).phase, Phase::Polling) {
            Phase::Committed(index) => Some(index),
            Phase::Polling | Phase::Open | Phase::Over => None,
        }
    }

    /// Transitions 1 and 4.
    fn set(&self, phase: Phase) {
        let mut state = lock(&self.0);
        state.phase = phase;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        wake_all(waiting);
    }

    /// Transition 2. Returns whether the arm `index` is the caller's to meet.
    fn try_commit(&self, index: usize) -> bool {
        let phase = &mut lock(&self.0).phase;
        match phase {
            Phase::Open => {
                *phase = Phase::Committed(index);
                true
            }
            Phase::Over => true,
            Phase::Polling | Phase::Committed(_) => false,
        }
    }

    /// Has `waker` woken when it is worth trying again. Hands it back if that is now.
    fn wake_when_free(&self, waker: StoredWaker) -> Option<StoredWaker> {
        let mut state = lock(&self.0);
        match state.phase {
            Phase::Open | Phase::Over => Some(waker),
            Phase::Polling | Phase::Committed(_) => {
                state.waiting.push(waker);
                None
            }
        }
    }
}

/// One arm of a select.
pub(crate) struct Arm {
    /// The choice of the select.
    choice: Arc<Choice>,
    /// Which arm.
    index: usize,
}

impl Arm {
    /// The arm that is being polled with the waker of `cx` on this stack. A wait that is polled with another waker is
    /// not the arm itself, and may well be over before the arm is polled again.
    #[inline]
    pub(crate) fn current(cx: &Context<'_>) -> Option<Arm> {
        with_state(|state| state.current_select(|select| select.arm(cx.waker())))
    }

    /// Whether only one of the two can come true.
    pub(crate) fn excludes(&self, other: &Arm) -> bool {
        Arc::ptr_eq(&self.choice, &other.choice) && self.index != other.index
    }

    /// Whether both are arms of the same select.
    pub(crate) fn is_of_same(&self, other: &Arm) -> bool {
        Arc::ptr_eq(&self.choice, &other.choice)
    }
}

/// Those who were not to be met at the moment.
#[derive(Default)]
pub(crate) struct BusySelects(Vec<Arc<Choice>>);

impl BusySelects {
    /// Whether one who waits, as `other`, may be met by one who is being polled, as `own`. If so it has been taken: the
    /// caller does it, before it unlocks the channel.
    #[inline]
    pub(crate) fn try_match(&mut self, own: Option<&Arm>, other: Option<&Arm>) -> bool {
        let Some(other) = other else { return true };
        if let Some(own) = own
            && own.is_of_same(other)
        {
            return !own.excludes(other);
        }
        let is_taken = other.choice.try_commit(other.index);
        if !is_taken {
            self.0.push(Arc::clone(&other.choice));
        }
        is_taken
    }

    /// Has `waker` woken when it is worth trying again. Returns false if that is now.
    pub(crate) fn wait(self, waker: &Waker) -> bool {
        self.0.iter().all(|choice| choice.wake_when_free(StoredWaker::of(waker)).is_none())
    }
}

/// The select that is being polled on a stack.
pub(crate) struct CurrentSelect {
    /// Its choice, made when an arm asks for it: most have no arm that does.
    choice: Option<Arc<Choice>>,
    /// The arm that is being polled.
    index: usize,
    /// The data of the waker that it is polled with.
    waker: *const (),
}

impl CurrentSelect {
    fn arm(&mut self, waker: &Waker) -> Option<Arm> {
        if self.waker != waker.data() {
            return None;
        }
        let choice = self.choice.get_or_insert_with(|| Arc::new(Choice::new()));
        Some(Arm { choice: Arc::clone(choice), index: self.index })
    }
}

/// What a select keeps between its polls. It has to be dropped after the arms.
#[derive(Default)]
pub(crate) struct Selection {
    /// Its choice, if it has an arm that has asked for it.
    choice: Option<Arc<Choice>>,
    /// It may be that an arm was not ready for want of budget only. Such an arm is not passed over.
    decision: DeferredDecision,
}

impl Selection {
    /// Polls the arms in this order, with the waker of `cx`, until one is ready. One that has been met comes before.
    #[inline]
    pub(crate) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        order: impl Iterator<Item = usize>,
        mut poll: impl FnMut(usize, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let Selection { choice, decision } = self;
        decision.scope(cx.waker(), |scope| {
            commit(scope.state(), choice, |met, arms| {
                if let Some(index) = met {
                    arms.set_arm(index, cx.waker());
                    // It is ready, unless it goes on to something else, whatever the budget says.
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

    /// Has `poll` poll the arms, until one is ready, and say which one is next. It begins with the one that has been met,
    /// whatever the budget says.
    #[inline]
    pub(crate) fn poll_with<R>(
        &mut self,
        poll: impl FnOnce(Option<usize>, &PollingSelect<'_>) -> Poll<R>,
    ) -> Poll<R> {
        with_state(|state| {
            let _alternative = state.alternative();
            commit(state, &mut self.choice, poll)
        })
    }
}

/// See [`Selection::poll_with`].
#[inline]
fn commit<R>(
    state: &StrandState,
    choice: &mut Option<Arc<Choice>>,
    poll: impl FnOnce(Option<usize>, &PollingSelect<'_>) -> Poll<R>,
) -> Poll<R> {
    let met = choice.as_ref().and_then(|choice| choice.begin());
    let polled = poll(met, &PollingSelect::begin(state, choice));
    if polled.is_pending()
        && let Some(choice) = choice
    {
        choice.set(Phase::Open);
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
            choice.set(Phase::Over);
        }
    }
}

/// A select that is being polled: while this lives, the stack knows of it.
pub(crate) struct PollingSelect<'a> {
    /// The stack.
    state: &'a StrandState,
    /// Where the choice is put back.
    choice: &'a mut Option<Arc<Choice>>,
    /// The select that this one is polled in.
    before: Option<CurrentSelect>,
}

impl<'a> PollingSelect<'a> {
    #[inline]
    fn begin(state: &'a StrandState, choice: &'a mut Option<Arc<Choice>>) -> PollingSelect<'a> {
        let select = CurrentSelect { choice: choice.take(), index: 0, waker: std::ptr::null() };
        PollingSelect { before: state.replace_select(Some(select)), state, choice }
    }

    /// The next arm is this one, and is polled with `waker`.
    #[inline]
    pub(crate) fn set_arm(&self, index: usize, waker: &Waker) {
        self.state.current_select(|select| {
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

#[cfg(all(test, loom))]
mod model;
