//! Nested polls of derived promises, each of which polls the next one.
//!
//! The future of a derived promise waits for another promise, which may be derived as well, and so on. A few
//! levels are calls inside calls; what lies below them is deferred to a loop further out, so that a chain of
//! any length needs a bounded stack. The records of a stack (`StrandState`) hold one [`NestedPolls`], and
//! know how many combinators are polling there that go on without what they poll: their number is
//! `alternatives` here. Promises are the only callers, but for shielded work, which is
//! [lent](NestedPolls::lend) as they are.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::Waker;

/// A derived promise, of any type.
pub(crate) trait DerivedPromise: Send + Sync {
    /// Polls the future if it has been woken, and adds to `deferred` what it waits for and has not polled.
    /// `shared` says that others lose the outcome if the poll is cancelled. Returns whether the promise has
    /// come out.
    fn step(&self, shared: bool, deferred: &mut Vec<DeferredPoll>) -> bool;
}

/// A derived promise that the future of another one waits for, and whose poll is deferred to a loop.
pub(crate) struct DeferredPoll {
    pub(crate) cell: Arc<dyn DerivedPromise>,
    /// True if there are other promises of the same cell.
    pub(crate) shared: bool,
}

/// The number of polls inside one another from which on the next one is deferred.
const MAX_DEPTH: u32 = 8;

/// The polls of derived promises on one stack.
#[derive(Default)]
pub(crate) struct NestedPolls {
    innermost: Cell<Innermost>,
    /// The promises whose polls the innermost poll has deferred.
    deferred: RefCell<Vec<DeferredPoll>>,
    /// The number of waits so far that have not been charged to the budget, modulo [`FREE_WAITS`].
    free_waits: Cell<u32>,
}

/// The innermost poll of the future of a derived promise.
#[derive(Clone, Copy)]
struct Innermost {
    /// The number of such polls, one inside the other, counting this one.
    depth: u32,
    /// The data of the waker that it polls with.
    waker_data: *const (),
    /// The number of alternatives when it began.
    alternatives: u32,
    /// True if another task may go on with what is polled; also set for shielded work.
    is_lent: bool,
}

impl Default for Innermost {
    fn default() -> Innermost {
        Innermost { depth: 0, waker_data: std::ptr::null(), alternatives: 0, is_lent: false }
    }
}

/// The number of waits of derived promises for one another that cost as much as one other wait.
const FREE_WAITS: u32 = 64;

impl NestedPolls {
    /// Returns whether a wait that is polled with `waker` is that of a derived promise, and free of charge.
    ///
    /// Whoever waits for the last promise of a chain has paid. When the budget is spent, the task comes back
    /// and goes through the chain from that end; so a long chain must not spend it too often.
    #[inline]
    pub(crate) fn is_part_of_derived(&self, waker: &Waker, alternatives: u32) -> bool {
        self.innermost.get().depth != 0 && self.is_free(waker, alternatives)
    }

    #[cold]
    fn is_free(&self, waker: &Waker, alternatives: u32) -> bool {
        let waits = (self.free_waits.get() + 1) % FREE_WAITS;
        self.free_waits.set(waits);
        waits != 0 && self.is_sole_wait(waker, alternatives)
    }

    /// Returns whether another task may go on with what is being polled: the future of a derived promise, or
    /// shielded work. What that takes or takes on is not the running task's.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        self.innermost.get().is_lent
    }

    /// Calls `poll`, which polls what another task may go on with. What a job that is dropped in it takes, in
    /// its destructors, is nobody's either.
    pub(crate) fn lend<R>(&self, poll: impl FnOnce() -> R) -> R {
        let before = self.innermost.get();
        let _restore = Restore { polls: self, innermost: before };
        self.innermost.set(Innermost { is_lent: true, ..before });
        poll()
    }

    /// Returns whether a promise that is polled with `waker` is all that the innermost future waits for: it
    /// polls with that waker, and has no alternative that an answer of "not yet" could decide.
    fn is_sole_wait(&self, waker: &Waker, alternatives: u32) -> bool {
        let innermost = self.innermost.get();
        innermost.waker_data == waker.data() && innermost.alternatives == alternatives
    }

    /// Returns whether the poll of that promise should be deferred to a loop.
    pub(crate) fn should_defer(&self, waker: &Waker, alternatives: u32) -> bool {
        self.innermost.get().depth >= MAX_DEPTH && self.is_sole_wait(waker, alternatives)
    }

    /// Defers the poll of a promise to a loop around the innermost poll.
    pub(crate) fn defer(&self, deferred: DeferredPoll) {
        self.deferred.borrow_mut().push(deferred);
    }

    /// Calls `poll`, which polls with `waker`, one level further down. Returns its result, and what has been
    /// deferred.
    pub(crate) fn poll<R>(
        &self,
        waker: &Waker,
        alternatives: u32,
        poll: impl FnOnce() -> R,
    ) -> (R, Vec<DeferredPoll>) {
        struct Undefer<'a>(&'a NestedPolls, Vec<DeferredPoll>);
        impl Drop for Undefer<'_> {
            fn drop(&mut self) {
                let deferred = self.0.deferred.replace(std::mem::take(&mut self.1));
                drop(deferred);
            }
        }
        let before = self.innermost.get();
        let depth = before.depth + 1;
        self.innermost.set(Innermost { depth, waker_data: waker.data(), alternatives, is_lent: true });
        let _undefer = Undefer(self, self.deferred.take());
        let _restore = Restore { polls: self, innermost: before };
        let result = poll();
        (result, self.deferred.take())
    }
}

/// Makes this the innermost future again on drop.
struct Restore<'a> {
    polls: &'a NestedPolls,
    innermost: Innermost,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.polls.innermost.set(self.innermost);
    }
}
