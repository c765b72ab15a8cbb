//! The choice of a select that offers all of its arms at once, and commits to one.
//!
//! The rendezvous channels are the other party: a send or receive of theirs that waits as an arm of a select
//! may be met only if no other arm has been, and one that was met must be the arm that the select ends with.
//! Otherwise a send that has lost might have sent, and a select of both ends of one channel would meet
//! itself. So each select has one [`Choice`] for all of its arms, and nobody meets an arm without having
//! committed the choice to it. The side of the select is in [`selection`](super::selection).
//!
//! ```text
//! phase:  polling ──(1) open──▶ open ──(2) commit──▶ committed(arm)
//!            ▲ │                 │                        │
//!            │ └─────(4) finish──┼─────────────▶ over     │
//!            └──────(3) begin────┴────────────────────────┘
//!
//! (1) open    the select, when a poll has found no arm ready: from now on others may meet one.
//! (2) commit  whoever meets an arm, under the lock of the arm's channel. The arm is woken.
//! (3) begin   the select, before it polls. If an arm has been met, that arm is polled before all others.
//! (4) finish  the select, when it and its arms have been dropped. An arm that it has only borrowed waits for itself
//!             again.
//! ```
//!
//! While a select polls, nobody meets its arms, for any of them may turn out to be ready: whoever would have
//! leaves a waker, and is woken when the select opens or ends. The arms that it polls meet others as they
//! are; they look at the choices of those only. So no two choices are ever locked at a time, and nobody waits
//! for anybody.
//!
//! This is the protocol of Reppy's Concurrent ML for several processors ("Parallel Concurrent ML", 2009),
//! where whoever finds a choice that is not open tries again instead of being woken.

use std::sync::Arc;
use std::task::Waker;

use crate::base::sync::{Mutex, lock};
use crate::base::wake::{StoredWaker, wake_all};

/// The choice of one select. Its mutex is locked for a look or a change only, by callers that may hold that
/// of a channel.
pub(crate) struct Choice(Mutex<State>);

/// The state of a choice.
struct State {
    phase: Phase,
    /// The wakers of those who found an arm that they could not meet.
    retries: Vec<StoredWaker>,
}

/// The phases of a choice; see the diagram of the [module](self).
#[derive(Clone, Copy)]
enum Phase {
    Polling,
    Open,
    Committed(usize),
    Over,
}

impl Choice {
    /// Makes the choice of a select that is polling.
    fn new() -> Choice {
        Choice(Mutex::new(State { phase: Phase::Polling, retries: Vec::new() }))
    }

    /// Makes transition 3. Returns the arm that has been met.
    pub(super) fn begin(&self) -> Option<usize> {
        match std::mem::replace(&mut lock(&self.0).phase, Phase::Polling) {
            Phase::Committed(index) => Some(index),
            Phase::Polling | Phase::Open | Phase::Over => None,
        }
    }

    /// Makes transition 1 of the diagram.
    pub(super) fn open(&self) {
        self.set(Phase::Open);
    }

    /// Makes transition 4 of the diagram.
    pub(super) fn finish(&self) {
        self.set(Phase::Over);
    }

    fn set(&self, phase: Phase) {
        let mut state = lock(&self.0);
        state.phase = phase;
        let retries = std::mem::take(&mut state.retries);
        drop(state);
        wake_all(retries);
    }

    /// Makes transition 2. Returns whether the arm `index` is the caller's to meet.
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

    /// Has `waker` woken when it is worth trying again. Returns it if that is now.
    fn wake_when_free(&self, waker: StoredWaker) -> Option<StoredWaker> {
        let mut state = lock(&self.0);
        match state.phase {
            Phase::Open | Phase::Over => Some(waker),
            Phase::Polling | Phase::Committed(_) => {
                state.retries.push(waker);
                None
            }
        }
    }
}

/// One arm of a select.
pub(crate) struct Arm {
    choice: Arc<Choice>,
    index: usize,
}

impl Arm {
    /// Returns whether at most one of the two can be met.
    pub(crate) fn excludes(&self, other: &Arm) -> bool {
        Arc::ptr_eq(&self.choice, &other.choice) && self.index != other.index
    }

    /// Returns whether both are arms of the same select.
    pub(crate) fn is_of_same(&self, other: &Arm) -> bool {
        Arc::ptr_eq(&self.choice, &other.choice)
    }
}

/// The selects whose arms could not be met in one look at a channel.
#[derive(Default)]
pub(crate) struct BusySelects(Vec<Arc<Choice>>);

impl BusySelects {
    /// Returns whether the waiter with the arm `other` may be met by one that is being polled, with the arm
    /// `own`. If so, the choice of `other` has been committed to it: the caller meets it before it unlocks
    /// the channel.
    #[inline]
    pub(crate) fn try_match(&mut self, own: Option<&Arm>, other: Option<&Arm>) -> bool {
        let Some(other) = other else { return true };
        if let Some(own) = own
            && own.is_of_same(other)
        {
            return !own.excludes(other);
        }
        let is_committed = other.choice.try_commit(other.index);
        if !is_committed {
            self.0.push(Arc::clone(&other.choice));
        }
        is_committed
    }

    /// Has `waker` woken when it is worth trying again. Returns false if that is now.
    pub(crate) fn wait(self, waker: &Waker) -> bool {
        self.0.iter().all(|choice| choice.wake_when_free(StoredWaker::of(waker)).is_none())
    }
}

/// The select that is being polled on a stack.
pub(crate) struct CurrentSelect {
    /// The choice, made when an arm asks for it: most selects have no arm that does.
    pub(super) choice: Option<Arc<Choice>>,
    /// The arm that is being polled.
    pub(super) index: usize,
    /// The data of the waker that the arm is polled with.
    pub(super) waker: *const (),
}

impl CurrentSelect {
    /// Returns the arm that is being polled with `waker`. A wait that is polled with another waker is not the
    /// arm itself, and may well be over before the arm is polled again.
    pub(crate) fn arm(&mut self, waker: &Waker) -> Option<Arm> {
        if self.waker != waker.data() {
            return None;
        }
        let choice = self.choice.get_or_insert_with(|| Arc::new(Choice::new()));
        Some(Arm { choice: Arc::clone(choice), index: self.index })
    }
}

#[cfg(all(test, loom))]
mod model;
