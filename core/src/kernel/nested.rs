//! How deep a stack is in polls of derived promises, each of which polls the next one.
//!
//! The future of a derived promise waits for another promise, which may be derived as well, and so on. A few levels are
//! calls inside calls; what lies below them is left to a loop further out, so that a chain of any length needs a
//! bounded stack. The records of a stack ([`StrandState`]) hold one [`NestedPolls`]; promises are its only callers.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::kernel::strand::{StrandState, with_state};

/// A derived promise that has to go on.
pub(crate) trait DerivedPromise: Send + Sync {
    /// Polls the future if there is a reason to, and adds to `deferred` what it waits for and has not polled. `shared`:
    /// others lose the outcome if the poll is cancelled. Returns whether the promise has come out.
    fn step(&self, shared: bool, deferred: &mut Vec<DeferredPoll>) -> bool;
}

/// A derived promise that the future of another one waits for, and has left to a loop.
pub(crate) struct DeferredPoll {
    /// The promise.
    pub(crate) cell: Arc<dyn DerivedPromise>,
    /// Whether somebody else has a promise of it.
    pub(crate) shared: bool,
}

/// How many futures of derived promises poll one another before the next one is left to a loop.
const NESTED: u32 = 8;

/// What a stack knows about the derived promises that it polls.
#[derive(Default)]
pub(crate) struct NestedPolls {
    /// The innermost poll.
    innermost: Cell<Innermost>,
    /// What that one has come to wait for, and has left.
    deferred: RefCell<Vec<DeferredPoll>>,
    /// How many waits there have been that the budget has not paid for.
    unpaid: Cell<u32>,
}

/// The poll of the future of a derived promise.
#[derive(Clone, Copy)]
struct Innermost {
    /// How many such polls are nested, counting this one.
    depth: u32,
    /// The data of the waker that it polls with.
    waker_data: *const (),
    /// How many combinators that go on without what they poll were polling when it began.
    alternatives: u32,
}

impl Default for Innermost {
    fn default() -> Innermost {
        Innermost { depth: 0, waker_data: std::ptr::null(), alternatives: 0 }
    }
}

/// How many waits of derived promises for one another cost what one other wait does.
const UNPAID: u32 = 64;

/// Whether a wait is that of a derived promise, so that the budget has not to pay for it. Whoever waits for the last
/// promise of a chain has paid. When the budget is spent, the task comes back and goes through the chain from that end;
/// so a long chain must not spend it too often.
#[inline]
pub(crate) fn is_part_of_derived(cx: &Context<'_>) -> bool {
    with_state(|state| {
        state.nested_polls().innermost.get().depth != 0 && state.nested_polls().is_unpaid(cx.waker(), state)
    })
}

impl NestedPolls {
    /// See [`is_part_of_derived`].
    #[cold]
    fn is_unpaid(&self, waker: &Waker, state: &StrandState) -> bool {
        let unpaid = (self.unpaid.get() + 1) % UNPAID;
        self.unpaid.set(unpaid);
        unpaid != 0 && self.is_all(waker, state)
    }

    /// Whether a promise that is polled with `waker` is all that the innermost future waits for: it polls with that
    /// waker, and has no alternative that an answer of "not yet" could decide.
    fn is_all(&self, waker: &Waker, state: &StrandState) -> bool {
        let innermost = self.innermost.get();
        innermost.waker_data == waker.data() && innermost.alternatives == state.alternatives()
    }

    /// Whether the poll of that promise should be left to a loop.
    pub(crate) fn should_defer(&self, waker: &Waker, state: &StrandState) -> bool {
        self.innermost.get().depth >= NESTED && self.is_all(waker, state)
    }

    /// Leaves a promise to the poll that this one is part of.
    pub(crate) fn defer(&self, deferred: DeferredPoll) {
        self.deferred.borrow_mut().push(deferred);
    }

    /// Polls with `waker`, one level further down. Returns what has been left, too.
    pub(crate) fn poll<R>(
        &self,
        waker: &Waker,
        alternatives: u32,
        poll: impl FnOnce() -> R,
    ) -> (R, Vec<DeferredPoll>) {
        struct Restore<'a>(&'a NestedPolls, Innermost, Vec<DeferredPoll>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.innermost.set(self.1);
                let left = self.0.deferred.replace(std::mem::take(&mut self.2));
                drop(left);
            }
        }
        let before = self.innermost.get();
        let depth = before.depth + 1;
        self.innermost.set(Innermost { depth, waker_data: waker.data(), alternatives });
        let restore = Restore(self, before, self.deferred.take());
        let result = poll();
        let left = self.deferred.take();
        drop(restore);
        (result, left)
    }
}
