//! The budget, which keeps code that is always ready from keeping others waiting.
//!
//! Operations that may complete at once (a receive with messages queued, a read with bytes there) ask
//! `proceed` first and report when they complete. Once [`BUDGET`] of them have, the next one wakes its task
//! and says that it is not ready, so that others have their turn: other tasks, other arms, time limits, a
//! cancellation. The rule:
//!
//! - **It delays an answer, and never changes one.** What looks at the present (`try_recv`, `try_get`, a
//!   receive with a timeout of zero) does not ask. A combinator that goes by what is *not* ready (a time
//!   limit, a selection) hears its futures with a whole budget before it does so; see `DeferredDecision`.
//! - **It is spent where somebody will fill it again**: in polls with the waker of the running task, with
//!   that of a `.wait()` on this stack, or with one that a combinator of this library has made for either. A
//!   poll with any other waker is that of a foreign executor, which would poll again and find the budget as
//!   it was; it asks in vain and is given leave.
//! - **It belongs to the stack, whatever kind of stack that is.** Each poll of a task begins with a whole
//!   one, of the size that the backend has [set](set_budget). A `.wait()` fills it when the stack has parked
//!   or yielded; where it is spent before, the wait lets others run first, if they share the thread.
//! - **A wait that was paid is not paid again.** A sleep asks when it is first polled, and not again.
//! - **Loops of this library that poll again by themselves** stop when the budget is spent, and leave the
//!   rest for the next poll.
//!
//! After tokio's coop module and "Reducing tail latencies with automatic cooperative task yielding". There a
//! combinator takes a budget that is spent for a future that is not ready, and a foreign executor is refused
//! for ever.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll, Waker};

use crate::kernel::backend::{Strand, StrandState};
use crate::kernel::strand::with_state;
use crate::kernel::waiting::{self, WaitingFor};

/// The number of operations that a poll may complete before it must yield. Large enough that the cost of
/// yielding is spread thin, small enough that a poll of cheap operations stays well under a millisecond.
///
/// # Examples
/// ```
/// use twoply::contract::coop::BUDGET;
///
/// assert!(BUDGET > 1);
/// ```
pub const BUDGET: u32 = 128;

/// Sets how many operations each poll of a task that begins on this stack from now on, and each round of a
/// `.wait()`, may complete: at least one, and [`BUDGET`] if this is never called.
///
/// A backend calls it before it polls a job, with the same number each time or another one: a simulator that
/// draws it from its seed visits interleavings that a fixed one does not. What futures come to is the same:
/// combinators that go by what is not ready use a whole [`BUDGET`] before they do so.
///
/// # Examples
/// ```
/// use twoply::contract::backend::Strand;
/// use twoply::contract::{coop, strand::{ThreadStrand, enter}};
/// use twoply::{Wait, channel};
///
/// let strand = ThreadStrand::new();
/// coop::set_budget(strand.state(), 1);
/// let (tx, rx) = channel::unbounded();
/// (1..=3).for_each(|n| tx.try_send(n).unwrap());
/// drop(tx);
/// let sum = enter(&strand, || async { rx.recv().await.unwrap() + rx.recv().await.unwrap() }.wait());
/// assert_eq!(sum, 3);
/// ```
pub fn set_budget(stack: &StrandState, operations: u32) {
    stack.full_budget().set(operations.max(1));
}

/// The budget of a look at a derived promise, which has no later poll to leave anything to. A promise that
/// takes more than some milliseconds, such as a loop without end, is not ready.
const LOOK: u32 = 1 << 16;

/// Asks for leave to complete one operation. Returns `Pending` when the budget is spent: the task has been
/// woken and should return.
///
/// A caller that does not complete its operation after all does not call [`Unit::spend`].
#[inline]
pub(crate) fn proceed(cx: &mut Context<'_>) -> Poll<Unit> {
    with_state(|state| match state.budget().get() {
        0 => refuse(state, cx.waker()),
        _ => Poll::Ready(Unit(())),
    })
}

/// Refuses leave, unless nobody would fill the budget before it is asked for again.
#[cold]
fn refuse(state: &StrandState, waker: &Waker) -> Poll<Unit> {
    if !state.refills_budget(waker) {
        return Poll::Ready(Unit(()));
    }
    waker.wake_by_ref();
    waiting::note(Poll::Pending, || WaitingFor::Turn)
}

/// Leave to complete one operation.
#[must_use]
pub(crate) struct Unit(());

impl Unit {
    /// Reports that the operation has completed.
    #[inline]
    pub(crate) fn spend(self) {
        self.spend_for(1);
    }

    /// Reports that as many operations have completed, all at once.
    #[inline]
    pub(crate) fn spend_for(self, operations: u32) {
        with_state(|state| {
            let budget = state.budget();
            budget.set(budget.get().saturating_sub(operations));
        });
    }
}

/// Completes an operation that can be done at once: what [`proceed`] and [`Unit::spend`] do, with one look at
/// the records of the stack. Returns `None` if `attempt` does, or if it has to be asked for leave first.
#[inline]
pub(crate) fn complete_at_once<R>(attempt: impl FnOnce(&StrandState) -> Option<R>) -> Option<R> {
    with_state(|state| {
        let left = state.budget().get();
        if left == 0 {
            return None;
        }
        let done = attempt(state)?;
        state.budget().set(left - 1);
        Some(done)
    })
}

/// Waits for leave to complete one operation, and completes it.
pub(crate) fn consume() -> impl Future<Output = ()> {
    poll_fn(|cx| proceed(cx).map(Unit::spend))
}

/// Fills the budget, or takes a unit from it, before a wait on `strand` that was not ready is polled again.
/// `rested` says that the stack has parked or yielded since the last poll, so that others have had their
/// turn.
///
/// A wait that was woken before it could park has used up a unit, or code that wakes itself would keep its
/// worker.
#[inline]
pub(crate) fn poll_again(strand: &dyn Strand, rested: bool) {
    let budget = strand.state().budget();
    let left = budget.get();
    if !rested && left > 1 {
        budget.set(left - 1);
        return;
    }
    // Nobody else waits for the thread of a stack that may block.
    if !rested && !strand.may_block() {
        strand.yield_now();
    }
    budget.set(strand.state().full_budget().get());
}

/// The memory from poll to poll of a combinator that goes by what is not ready.
#[derive(Debug, Default)]
pub(crate) struct DeferredDecision {
    /// True if it has put a decision off. Then it gets a budget of its own next time: futures that spend the
    /// budget before its turn comes, in each poll, must not keep it from ever deciding.
    put_off: bool,
}

impl DeferredDecision {
    /// Calls `poll` in a scope on behalf of `waker`. It polls futures that each have an alternative.
    #[inline]
    pub(crate) fn scope<R>(
        &mut self,
        waker: &Waker,
        poll: impl FnOnce(&mut BudgetScope<'_>) -> Poll<R>,
    ) -> Poll<R> {
        with_state(|state| {
            let _alternative = state.alternative();
            let mut scope = BudgetScope::begin(state, waker);
            if self.put_off {
                scope.refill(BUDGET);
            }
            let polled = poll(&mut scope);
            self.put_off = scope.put_off;
            polled
        })
    }
}

/// The poll of a combinator, from its beginning to its end. Dropping it restores what it has changed of the
/// budget.
pub(crate) struct BudgetScope<'a> {
    state: &'a StrandState,
    /// True if the futures have, or have had, a whole budget.
    is_whole: bool,
    /// True if futures that lack budget may be left for the next poll: somebody can be woken for it.
    is_limited: bool,
    /// True if a decision has been put off.
    put_off: bool,
    /// The data of the waker for which a combinator around this one polls.
    delegate: *const (),
    /// The rest of the budget, where the futures have got one of their own.
    left: Option<u32>,
}

impl<'a> BudgetScope<'a> {
    /// Begins a poll on behalf of `waker`.
    ///
    /// In the polls of a foreign executor, too, the budget is asked for from here on, so that a future that
    /// is always ready starves neither the others nor a time limit. Where it is spent the futures get one of
    /// their own: nobody else would fill it.
    #[inline]
    pub(crate) fn begin(state: &'a StrandState, waker: &Waker) -> BudgetScope<'a> {
        let left = state.budget().get();
        let foreign = left == 0 && !state.refills_budget(waker);
        let data = waker.data();
        let mut scope = BudgetScope {
            state,
            is_whole: left >= BUDGET,
            is_limited: !data.is_null(),
            put_off: false,
            delegate: state.delegate().replace(data),
            left: None,
        };
        if foreign {
            scope.refill(BUDGET);
        }
        scope
    }

    /// Begins a poll of derived promises on behalf of one who waits with `waker`, or only looks; and whoever
    /// cannot be woken only looks, too.
    pub(crate) fn for_derived(state: &'a StrandState, waker: Option<&Waker>) -> BudgetScope<'a> {
        let waker = waker.filter(|waker| !waker.data().is_null());
        let mut scope = BudgetScope::begin(state, waker.unwrap_or(Waker::noop()));
        if waker.is_none() {
            scope.refill(LOOK);
        }
        scope
    }

    /// Says that the next future is polled with `delegate`, which wakes whoever polls the combinator.
    #[inline]
    pub(crate) fn set_delegate(&self, delegate: &Waker) {
        if self.is_limited {
            self.state.delegate().set(delegate.data());
        }
    }

    /// Returns whether the budget is spent, so that the rest of many futures is for the next poll. Then
    /// `waker` is woken for it.
    #[inline]
    pub(crate) fn must_yield(&self, waker: &Waker) -> bool {
        self.state.budget().get() == 0 && self.is_limited && {
            waker.wake_by_ref();
            true
        }
    }

    /// Returns whether a future that is not ready in this poll may only have lacked budget, because others
    /// had spent it before. Then the decision is for the next poll, and `waker` is woken for it.
    #[inline]
    pub(crate) fn must_defer(&mut self, waker: &Waker) -> bool {
        let must_defer = !self.is_whole && self.must_yield(waker);
        if must_defer {
            self.put_off = true;
        }
        must_defer
    }

    #[inline]
    pub(crate) fn state(&self) -> &'a StrandState {
        self.state
    }

    /// Gives the futures a budget of their own.
    #[cold]
    fn refill(&mut self, budget: u32) {
        let left = self.state.budget().replace(budget);
        self.left.get_or_insert(left);
        self.is_whole = true;
    }
}

impl Drop for BudgetScope<'_> {
    #[inline]
    fn drop(&mut self) {
        self.state.delegate().set(self.delegate);
        if let Some(left) = self.left {
            self.state.budget().set(left);
        }
    }
}

/// Runs `poll`, of a future that is known to be ready, with a whole budget.
pub(crate) fn with_full_budget<R>(poll: impl FnOnce() -> R) -> R {
    with_state(|state| {
        let left = state.budget().replace(BUDGET);
        let polled = poll();
        state.budget().set(left);
        polled
    })
}

/// Says that a future is polled with `waker`, which wakes whoever polls it, until the guard is dropped.
pub(crate) fn delegate_to<'a>(state: &'a StrandState, waker: &Waker) -> Delegate<'a> {
    Delegate { cell: state.delegate(), before: state.delegate().replace(waker.data()) }
}

/// The guard of [`delegate_to`].
pub(crate) struct Delegate<'a> {
    cell: &'a Cell<*const ()>,
    /// The delegate that was there before.
    before: *const (),
}

impl Drop for Delegate<'_> {
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}

/// Returns whether the budget of the running poll is spent.
#[inline]
pub(crate) fn is_spent() -> bool {
    with_state(|state| state.budget().get() == 0)
}
