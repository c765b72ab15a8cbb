//! Promises that come out as the output of a future: those of [`Promise::map`], [`Promise::then`] and
//! [`Task::into_promise`](crate::task::Task::into_promise).
//!
//! Nobody is started for them. Whoever waits for such a promise, or looks at it, polls the future, when there is a
//! reason to; its waker wakes all who wait, so that it does not matter if one of them is gone by then. A panic of
//! the future is the outcome.
//!
//! ```text
//! future:  idle, rung ──(1) step──▶ out ──(2) pending──▶ idle ──(3) ring──▶ idle, rung
//!                                    ├──(3) ring──▶ out, rung ──(2) pending──▶ idle, rung (and those in line are woken)
//!                                    └──(4) ready──▶ gone
//!
//! (1) step     one who waits, if it has been rung for: takes the future out and polls it.
//! (2) pending  the same one puts it back.
//! (3) ring     the future's waker.
//! (4) ready    the outcome is known; the future has been dropped.
//! ```
//!
//! # Whose cancellation it is
//! Whoever polls the future does so for all who have a promise of the outcome. So code of it that blocks the stack goes
//! on when the task that it blocks is cancelled: the task ends when the poll is over, and the others have lost nothing.
//! Where nobody else has a promise, the cancellation ends the poll at once, and the future with it.
//!
//! # Chains of any length
//! The future of a derived promise waits for another promise, which may be derived as well, and so on. Polls, wake-ups
//! and drops along such a chain would be calls inside calls, and end the stack. So a few levels are, and those below
//! them are loops: [`drive`] polls what the futures that it polls have come to wait for, and
//! [`flat`](crate::flat) has wake-ups and drops done by a call further out.

use std::future::{Future, IntoFuture};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::Promise;
use super::cell::{Cell, Outcome};
use crate::base::panic::{NoPanicDrop, discard_panic};
use crate::base::sync::{Mutex, lock};
use crate::kernel::coop::{self, Hearing};
use crate::kernel::descent::{Below, Drive};
use crate::kernel::flat::flat;
use crate::kernel::strand::{StrandState, with_alternative, with_state};
use crate::kernel::task::Failure;
use crate::kernel::task::owner::{Owner, Owning};
use crate::kernel::task::{self, Task};
use crate::kernel::wait::unwind;

/// The future of an outcome.
type Work<T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send>>;

/// See the [module](self).
pub(super) struct Lazy<T> {
    /// See the diagram above.
    progress: Mutex<Progress<T>>,
    /// The future's waker.
    bell: Waker,
    /// Forgets what the cell is to hold.
    as_drive: fn(Arc<Cell<T>>) -> Arc<dyn Drive>,
    /// Drops a future that nobody wants any more; see [`flat`].
    discard: fn(Work<T>),
}

/// What the mutex guards.
struct Progress<T> {
    /// The future, while nobody polls it.
    work: Option<Work<T>>,
    /// Whether there is a reason to poll it.
    rung: bool,
}

/// Wakes those who wait for the promise.
struct Bell<T>(Weak<Cell<T>>);

impl<T: Send + 'static> Wake for Bell<T> {
    fn wake(self: Arc<Self>) {
        if let Some(cell) = self.0.upgrade() {
            flat(move || cell.ring());
        }
    }
}

impl<T: Send> Drive for Cell<T> {
    fn step(&self, shared: bool, below: &mut Vec<Below>) -> bool {
        self.step_lazy(shared, below)
    }
}

/// One of the promises that [`drive`] deals with.
struct Level {
    /// The promise.
    below: Below,
    /// Whether it is to be polled: it has not been, or one that it waits for has come out since.
    due: bool,
}

impl<T> Cell<T> {
    /// Has a derived promise go on, if there is a reason, for one who waits with `waker`, or only looks. `shared`:
    /// others have a promise of it, or may get one.
    pub(super) fn drive(&self, shared: bool, waker: Option<&Waker>) {
        if self.lazy().is_some() {
            with_state(|state| {
                let _hearing = Hearing::of_derived(state, waker);
                let deferred = state.defer_cancel();
                drive(self, shared);
                if deferred.is_due() {
                    unwind();
                }
            });
        }
    }

    /// As [`Cell::drive`], for one who waits with `waker`. It may be left to the poll that this call is part of.
    pub(super) fn drive_or_leave(self: &Arc<Self>, shared: bool, waker: &Waker) {
        let Some(lazy) = self.lazy() else { return };
        let is_left = with_state(|state| {
            let is_left = state.descent().is_to_leave(waker, state);
            if is_left {
                state.descent().leave(Below { cell: (lazy.as_drive)(Arc::clone(self)), shared });
            }
            is_left
        });
        if !is_left {
            self.drive(shared, Some(waker));
        }
    }

    /// See [`Drive::step`].
    fn step_lazy(&self, shared: bool, below: &mut Vec<Below>) -> bool {
        if let Some(lazy) = self.lazy() {
            with_state(|state| lazy.step(self, state, shared, below));
        }
        self.is_ready()
    }
}

/// Polls the future of `first`, and all that it leaves, in a loop. Those that wait for each other are a path; each is
/// polled again when one that it waits for has come out.
fn drive<T>(first: &Cell<T>, shared: bool) {
    let mut path: Vec<Level> = Vec::new();
    let mut below = Vec::new();
    let mut is_due = true;
    while std::mem::take(&mut is_due) {
        first.step_lazy(shared, &mut below);
        let mut above_is_shared = shared;
        loop {
            path.extend(below.drain(..).map(|below| {
                let shared = below.shared || above_is_shared;
                Level { below: Below { shared, ..below }, due: true }
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

impl<T> Lazy<T> {
    /// See [`Drive::step`]. `cell` is the one that this lies in.
    fn step(&self, cell: &Cell<T>, state: &StrandState, shared: bool, below: &mut Vec<Below>) {
        let mut progress = lock(&self.progress);
        if !progress.rung {
            return;
        }
        let Some(mut work) = progress.work.take() else { return };
        progress.rung = false;
        drop(progress);
        let shield = shared.then(|| state.shield());
        // The task that polls has an edge of its own, to whoever owes the source.
        let poll = || {
            with_alternative(|| {
                let _deputy = coop::deputize(state, &self.bell);
                let poll = || work.as_mut().poll(&mut Context::from_waker(&self.bell));
                state.descent().poll(&self.bell, state.alternatives(), poll)
            })
        };
        let polled = catch_unwind(AssertUnwindSafe(poll));
        drop(shield);
        let outcome = match polled {
            Ok((Poll::Pending, left)) => {
                below.extend(left);
                let mut progress = lock(&self.progress);
                progress.work = Some(work);
                let rung = progress.rung;
                drop(progress);
                if rung {
                    // Those who were woken meanwhile may have found the future out.
                    cell.wake_line();
                }
                return;
            }
            Ok((Poll::Ready(outcome), _)) => outcome,
            Err(payload) => {
                let failure = Failure::of_unwind(payload);
                if failure.is_cancelled() {
                    // Of the task that polls, which is to end as well.
                    state.missed_cancel();
                }
                Err(failure)
            }
        };
        discard_panic(|| drop(work));
        // There is no resolver that could have been faster.
        let _ = cell.resolve(outcome);
    }

    /// There is a reason to poll.
    pub(super) fn ring(&self) {
        lock(&self.progress).rung = true;
    }
}

impl<T> Drop for Lazy<T> {
    fn drop(&mut self) {
        // Taken out first: its destructors run with nothing locked.
        let work = lock(&self.progress).work.take();
        if let Some(work) = work {
            (self.discard)(work);
        }
    }
}

impl<T: Send + 'static> Promise<T> {
    /// A promise of what `work` results in, which `owner` owes.
    pub(crate) fn of_work<F>(owner: Owner, work: F) -> Promise<T>
    where
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        let lazy = |cell: &Weak<Cell<T>>| Lazy {
            progress: Mutex::new(Progress { work: Some(Box::pin(work)), rung: true }),
            bell: Waker::from(Arc::new(Bell(Weak::clone(cell)))),
            as_drive: |cell| cell,
            discard: |work| flat(move || drop(work)),
        };
        Promise::of(Cell::derived(owner, lazy))
    }
}

impl<T: Clone + Send + Sync + 'static> Promise<T> {
    /// A promise of what `f` makes of the value. A failure is passed on.
    ///
    /// `f` is called once, by whoever waits for the new promise or looks at it first when the value is there; if
    /// nobody does, it is not called. If it panics, the new promise comes out as [`Failure::Panicked`].
    ///
    /// Whoever calls `f` does so for all who have the new promise. If its task is cancelled while `f` blocks in a
    /// [`wait`](crate::Wait::wait), the task ends when `f` has returned, and the others get the value; if there are no
    /// others, it ends at once. Chains of derived promises may be of any length.
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
        Promise::of_work(self.source(), async move { Ok(f(self.await?)) })
    }

    /// A promise of what the future comes to that `f` makes of the value. A failure is passed on.
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
        Promise::of_work(self.source(), async move {
            let next = f(self.await?).into_future();
            next.await
        })
    }

    /// Whoever owes this promise, as the one who owes a promise that comes of it.
    fn source(&self) -> Owner {
        self.handle.cell().derive();
        Owner::of_other(Arc::new(Source(Arc::downgrade(self.handle.cell()))))
    }
}

impl<T> Task<T> {
    /// Makes a promise of it, which may be cloned: for several who wait for the result.
    ///
    /// Dropping the last promise does to the task what dropping the handle would have done. To cancel it, keep its
    /// [`task`](Task::task).
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
        self.leave();
        let owner = Owner::of_task(Arc::clone(self.shared()));
        Promise::of_work(owner, self)
    }
}

/// The promise that another one comes of.
struct Source<T>(Weak<Cell<T>>);

impl<T: Send> Owning for Source<T> {
    fn source(&self) -> Option<Owner> {
        // Nobody, once the source has come out: the rest is done by those who wait.
        // It may be the last to hold the source, and with it the closure of whoever has made that.
        NoPanicDrop::new(self.0.upgrade()?).owner()
    }

    fn task(&self) -> Option<Arc<task::Shared>> {
        None
    }

    fn is_stopped(&self) -> bool {
        // To know it takes another promise's mutex, and its last reference, perhaps, to be dropped.
        true
    }

    fn cause(&self) -> Option<Failure> {
        None
    }
}
