//! Promises that come out as the output of a future: those of [`Promise::map`], [`Promise::then`] and
//! [`Task::into_promise`](crate::task::Task::into_promise).
//!
//! No task is started for them. Whoever waits for such a promise, or looks at it, polls the future if it has
//! been woken; its waker wakes all who wait, so that it does not matter if one of them is gone by then. A
//! panic of the future is the outcome.
//!
//! ```text
//! future:  idle, woken ──(1) step──▶ polled ──(2) pending──▶ idle ──(3) wake──▶ idle, woken
//!                                      ├──(3) wake──▶ polled, woken ──(2) pending──▶ idle, woken (and waiters are woken)
//!                                      └──(4) ready──▶ gone
//!
//! (1) step     one who waits, if the future has been woken: takes it out and polls it.
//! (2) pending  the same one puts it back.
//! (3) wake     the future's waker.
//! (4) ready    the outcome is known; the future has been dropped.
//! ```
//!
//! # Whose cancellation it is
//! Whoever polls the future does so for all who have a promise of the outcome. So code of it that blocks the
//! stack goes on when the task that it blocks is cancelled: the task ends when the poll is over, and the
//! others have lost nothing. Where nobody else has a promise, the cancellation ends the poll at once, and the
//! future with it.
//!
//! # Chains of any length
//! The future of a derived promise waits for another promise, which may be derived as well, and so on. Polls,
//! wake-ups and drops along such a chain would be calls inside calls, and end the stack. So a few levels are,
//! and those below them are loops: [`drive`] polls what the futures that it polls have come to wait for, and
//! [`trampoline`](crate::kernel::strand::trampoline) has wake-ups and drops done by a call further out.

use std::future::{Future, IntoFuture};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::Promise;
use super::cell::{Cell, Outcome};
use crate::base::panic::{NoPanicDrop, discard_panic};
use crate::base::sync::{Mutex, lock};
use crate::kernel::coop::{self, BudgetScope};
use crate::kernel::nested::{DeferredPoll, DerivedPromise};
use crate::kernel::strand::part_with;
use crate::kernel::strand::trampoline;
use crate::kernel::strand::{StrandState, with_alternative, with_state};
use crate::kernel::task::Failure;
use crate::kernel::task::owner::{Owner, Owning};
use crate::kernel::task::{self, Task};
use crate::kernel::wait::unwind;

/// A future whose output is the outcome of a promise.
type OutcomeFuture<T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send>>;

/// The future of a derived promise, and how far it has come.
pub(super) struct Derived<T> {
    /// See the diagram above.
    progress: Mutex<Progress<T>>,
    /// The waker that the future is polled with: a [`SharedWaker`].
    waker: Waker,
    /// Turns the cell into a [`DerivedPromise`], which does not say what type its value has.
    as_derived: fn(Arc<Cell<T>>) -> Arc<dyn DerivedPromise>,
    /// Drops the future when nobody wants it any more; see [`trampoline`].
    drop_future: fn(OutcomeFuture<T>),
}

/// The state of the future, under the mutex.
struct Progress<T> {
    /// None while somebody polls the future, and when it has been ready.
    future: Option<OutcomeFuture<T>>,
    /// True when the future has been woken since its last poll began.
    is_woken: bool,
}

/// Wakes all who wait for a derived promise: any of them may poll its future.
struct SharedWaker<T>(Weak<Cell<T>>);

impl<T: Send + 'static> Wake for SharedWaker<T> {
    fn wake(self: Arc<Self>) {
        if let Some(cell) = self.0.upgrade() {
            trampoline(move || cell.wake_derived());
        }
    }
}

impl<T: Send> DerivedPromise for Cell<T> {
    fn step(&self, shared: bool, below: &mut Vec<DeferredPoll>) -> bool {
        self.step_derived(shared, below)
    }
}

/// One promise on the path of [`drive`].
struct Level {
    below: DeferredPoll,
    /// True when its future is to be polled: it has not been, or a promise that it waits for has come out
    /// since.
    due: bool,
}

impl<T> Cell<T> {
    /// Polls the future of a derived promise, if it has been woken, for one who waits with `waker`, or only
    /// looks. `shared` says that others have a promise of it, or may get one.
    pub(super) fn drive(&self, shared: bool, waker: Option<&Waker>) {
        if self.derived().is_some() {
            with_state(|state| {
                let _hearing = BudgetScope::for_derived(state, waker);
                let deferred = state.defer_cancel();
                drive(self, shared);
                if deferred.is_due() {
                    unwind();
                }
            });
        }
    }

    /// As [`Cell::drive`], for one who waits with `waker`. It may defer that to the poll that this call is
    /// part of.
    pub(super) fn drive_or_defer(self: &Arc<Self>, shared: bool, waker: &Waker) {
        let Some(derived) = self.derived() else { return };
        let is_deferred = with_state(|state| {
            let is_deferred = state.nested_polls().should_defer(waker, state.alternatives());
            if is_deferred {
                state
                    .nested_polls()
                    .defer(DeferredPoll { cell: (derived.as_derived)(Arc::clone(self)), shared });
            }
            is_deferred
        });
        if !is_deferred {
            self.drive(shared, Some(waker));
        }
    }

    /// Does what [`DerivedPromise::step`] says.
    fn step_derived(&self, shared: bool, below: &mut Vec<DeferredPoll>) -> bool {
        if let Some(derived) = self.derived() {
            with_state(|state| derived.step(self, state, shared, below));
        }
        self.is_ready()
    }
}

/// Polls the future of `first`, and in a loop all promises that it defers. Promises that wait for each other
/// are a path; each is polled again when one that it waits for has come out.
fn drive<T>(first: &Cell<T>, shared: bool) {
    let mut path: Vec<Level> = Vec::new();
    let mut below = Vec::new();
    let mut is_due = true;
    while std::mem::take(&mut is_due) {
        first.step_derived(shared, &mut below);
        let mut above_is_shared = shared;
        loop {
            path.extend(below.drain(..).map(|below| {
                let shared = below.shared || above_is_shared;
                Level { below: DeferredPoll { shared, ..below }, due: true }
            }));
            let Some(last) = path.last_mut() else { break };
            let was_due = std::mem::take(&mut last.due);
            above_is_shared = last.below.shared;
            let is_out = was_due && last.below.cell.step(above_is_shared, &mut below);
            if !below.is_empty() {
                continue;
            }
            path.pop();
            if is_out {
                // Those in between that are due already are what the same future waits for.
                match path.iter_mut().rfind(|level| !level.due) {
                    Some(waiting) => waiting.due = true,
                    None => is_due = true,
                }
            }
        }
    }
}

impl<T> Derived<T> {
    /// Does what [`DerivedPromise::step`] says; `cell` is the one that this lies in.
    fn step(&self, cell: &Cell<T>, state: &StrandState, shared: bool, below: &mut Vec<DeferredPoll>) {
        let mut progress = lock(&self.progress);
        if !progress.is_woken {
            return;
        }
        let Some(mut future) = progress.future.take() else { return };
        progress.is_woken = false;
        drop(progress);
        let shield = shared.then(|| state.shield());
        // The task that polls has an edge of its own, to whoever owes the source.
        let poll = || {
            with_alternative(|| {
                let _deputy = coop::delegate_to(state, &self.waker);
                let poll = || future.as_mut().poll(&mut Context::from_waker(&self.waker));
                state.nested_polls().poll(&self.waker, state.alternatives(), poll)
            })
        };
        let polled = catch_unwind(AssertUnwindSafe(poll));
        drop(shield);
        let outcome = match polled {
            Ok((Poll::Pending, left)) => {
                below.extend(left);
                let mut progress = lock(&self.progress);
                progress.future = Some(future);
                let is_woken = progress.is_woken;
                drop(progress);
                if is_woken {
                    // Waiters that were woken meanwhile may have found nothing to poll.
                    cell.wake_waiters();
                }
                return;
            }
            Ok((Poll::Ready(outcome), _)) => outcome,
            Err(payload) => {
                let failure = Failure::of_unwind(payload);
                if failure.is_cancelled() {
                    // Of the task that polls, which is to end as well.
                    state.note_missed_cancel();
                }
                Err(failure)
            }
        };
        discard_panic(|| drop(future));
        // There is no resolver that could have been faster.
        let _ = cell.resolve(outcome);
    }

    /// Records that the future has been woken.
    pub(super) fn set_woken(&self) {
        lock(&self.progress).is_woken = true;
    }
}

impl<T> Drop for Derived<T> {
    fn drop(&mut self) {
        // The future is taken out first: its destructors run with nothing locked.
        let future = lock(&self.progress).future.take();
        if let Some(future) = future {
            (self.drop_future)(future);
        }
    }
}

impl<T: Send + 'static> Promise<T> {
    /// Makes a promise of the output of `future`, which `owner` owes.
    pub(crate) fn from_future<F>(owner: Owner, future: F) -> Promise<T>
    where
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        part_with::<F>();
        let derived = |cell: &Weak<Cell<T>>| Derived {
            progress: Mutex::new(Progress { future: Some(Box::pin(future)), is_woken: true }),
            waker: Waker::from(Arc::new(SharedWaker(Weak::clone(cell)))),
            as_derived: |cell| cell,
            drop_future: |future| trampoline(move || drop(future)),
        };
        Promise::of(Cell::new_derived(owner, derived))
    }
}

impl<T: Clone + Send + Sync + 'static> Promise<T> {
    /// Makes a promise of what `f` makes of the value. A failure is passed on.
    ///
    /// `f` is called once, by whoever waits for the new promise or looks at it first when the value is there;
    /// if nobody does, it is not called. If it panics, the new promise comes out as [`Failure::Panicked`].
    ///
    /// Whoever calls `f` does so for all who have the new promise. If its task is cancelled while `f` blocks
    /// in a [`wait`](crate::Wait::wait), the task ends when `f` has returned, and the others get the value;
    /// if there are no others, it ends at once. Chains of derived promises may be of any length.
    ///
    /// ```
    /// use twoply::{Wait, promise};
    ///
    /// let (promise, resolver) = promise::pair::<u32>();
    /// let text = promise.map(|number| format!("{number}!"));
    /// resolver.resolve(7).unwrap();
    /// assert_eq!(text.wait().unwrap(), "7!");
    /// ```
    pub fn map<U, F>(self, f: F) -> Promise<U>
    where
        U: Send + 'static,
        F: FnOnce(T) -> U + Send + 'static,
    {
        Promise::from_future(self.source_owner(), async move { Ok(f(self.await?)) })
    }

    /// Makes a promise of the output of the future that `f` makes of the value. A failure is passed on.
    ///
    /// `f` is called, and its future polled, by those who wait for the new promise; see [`Promise::map`].
    ///
    /// ```
    /// use twoply::{Wait, promise::{self, Promise}};
    ///
    /// let (user, found) = promise::pair::<u32>();
    /// let (name, named) = promise::pair::<&str>();
    /// let name = user.then(move |_| name);
    /// found.resolve(7).unwrap();
    /// named.resolve("Ann").unwrap();
    /// assert_eq!(name.wait().unwrap(), "Ann");
    /// ```
    pub fn then<U, F, R>(self, f: F) -> Promise<U>
    where
        U: Send + 'static,
        F: FnOnce(T) -> R + Send + 'static,
        R: IntoFuture<Output = Result<U, Failure>, IntoFuture: Send>,
    {
        Promise::from_future(self.source_owner(), async move {
            let next = f(self.await?).into_future();
            next.await
        })
    }

    /// Returns an owner for a promise that is derived from this one: whoever owes this one.
    fn source_owner(&self) -> Owner {
        self.inner.cell().mark_source();
        Owner::of_other(Arc::new(SourceOwner(Arc::downgrade(self.inner.cell()))))
    }
}

impl<T> Task<T> {
    /// Makes a promise of it, which may be cloned: for several who wait for the result.
    ///
    /// Dropping the last promise does to the task what dropping the handle would have done. To cancel it,
    /// keep its [`task`](Task::task).
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let sum = twoply::spawn(async { 6 * 7 }).into_promise();
    /// let other = sum.clone();
    /// assert_eq!(sum.wait().unwrap(), other.wait().unwrap());
    /// ```
    pub fn into_promise(mut self) -> Promise<T>
    where
        T: Send + 'static,
    {
        self.end_wait();
        let owner = Owner::of_task(Arc::clone(self.shared()));
        Promise::from_future(owner, self)
    }
}

/// The promise that another one is derived from, as the owner of that one.
struct SourceOwner<T>(Weak<Cell<T>>);

impl<T: Send> Owning for SourceOwner<T> {
    fn derived_from(&self) -> Option<Owner> {
        // None once the source has come out: the rest is done by those who wait. This may be the last
        // reference to the source, and so to a closure of the user's: its panics are caught.
        NoPanicDrop::new(self.0.upgrade()?).owner()
    }

    fn task(&self) -> Option<Arc<task::Shared>> {
        None
    }

    fn is_blocked(&self) -> bool {
        // The answer would take another promise's mutex, and perhaps drop its last reference.
        true
    }

    fn failure(&self) -> Option<Failure> {
        None
    }
}
