//! Promises that come out as the output of a future: those of [`Promise::map`], [`Promise::then`] and
//! [`Task::into_promise`](crate::task::Task::into_promise).
//!
//! Nobody is started for them. Whoever waits for such a promise, or looks at it, polls the future, when there is a
//! reason to; its waker wakes all who wait, so that it does not matter if one of them is gone by then. A panic of
//! the future is the outcome.
//!
//! ```text
//! future:  idle, rung ──(1) drive──▶ out ──(2) pending──▶ idle ──(3) ring──▶ idle, rung
//!                                     ├──(3) ring──▶ out, rung ──(2) pending──▶ idle, rung (and those in line are woken)
//!                                     └──(4) ready──▶ gone
//!
//! (1) drive    one who waits, if it has been rung for: takes the future out and polls it.
//! (2) pending  the same one puts it back.
//! (3) ring     the future's waker.
//! (4) ready    the outcome is known; the future has been dropped.
//! ```

use std::future::{Future, IntoFuture};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::Promise;
use super::cell::{Cell, Outcome};
use super::failure::Failure;
use super::owner::{Debtor, Owner};
use crate::contain::{Contained, contain};
use crate::strand::with_alternative;
use crate::sync::{Mutex, lock};
use crate::task::TaskState;

/// The future of an outcome.
type Work<T> = Pin<Box<dyn Future<Output = Outcome<T>> + Send>>;

/// See the [module](self).
pub(super) struct Lazy<T> {
    /// See the diagram above.
    progress: Mutex<Progress<T>>,
    /// The future's waker.
    bell: Waker,
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
            cell.ring();
        }
    }
}

impl<T> Lazy<T> {
    /// Polls the future if there is a reason to. `cell` is the one that this lies in.
    pub(super) fn drive(&self, cell: &Cell<T>) {
        let mut progress = lock(&self.progress);
        if !progress.rung {
            return;
        }
        let Some(mut work) = progress.work.take() else { return };
        progress.rung = false;
        drop(progress);
        // The task that polls has an edge of its own, to whoever owes the source.
        let poll = || with_alternative(|| work.as_mut().poll(&mut Context::from_waker(&self.bell)));
        let outcome = match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => {
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
            Ok(Poll::Ready(outcome)) => outcome,
            Err(payload) => Err(Failure::of_unwind(payload)),
        };
        contain(|| drop(work));
        // There is no resolver that could have been faster.
        let _ = cell.resolve(outcome);
    }

    /// There is a reason to poll.
    pub(super) fn ring(&self) {
        lock(&self.progress).rung = true;
    }
}

impl<T: Send + 'static> Promise<T> {
    /// A promise of what `work` results in, which `owner` owes.
    pub(crate) fn of_work<F>(owner: Debtor, work: F) -> Promise<T>
    where
        F: Future<Output = Outcome<T>> + Send + 'static,
    {
        let lazy = |cell: &Weak<Cell<T>>| Lazy {
            progress: Mutex::new(Progress { work: Some(Box::pin(work)), rung: true }),
            bell: Waker::from(Arc::new(Bell(Weak::clone(cell)))),
        };
        Promise::of(Cell::lazy(owner, lazy))
    }
}

impl<T: Clone + Send + Sync + 'static> Promise<T> {
    /// A promise of what `f` makes of the value. A failure is passed on.
    ///
    /// `f` is called once, by whoever waits for the new promise or looks at it first when the value is there; if
    /// nobody does, it is not called. If it panics, the new promise comes out as [`Failure::Panicked`].
    ///
    /// ```
    /// use twoply_core::{Wait, promise};
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
    /// use twoply_core::{Wait, promise::{self, Promise}};
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
    fn source(&self) -> Debtor {
        Debtor::of_owner(Arc::new(Source(Arc::downgrade(self.handle.cell()))))
    }
}

/// The promise that another one comes of.
struct Source<T>(Weak<Cell<T>>);

impl<T: Send> Owner for Source<T> {
    fn task(&self) -> Option<Arc<TaskState>> {
        // Nobody, once the source has come out: the rest is done by those who wait.
        // It may be the last to hold the source, and with it the closure of whoever has made that.
        Contained::new(self.0.upgrade()?).debtor()
    }

    fn is_stopped(&self) -> bool {
        // To know it takes another promise's mutex, and its last reference, perhaps, to be dropped.
        true
    }

    fn cause(&self) -> Option<Failure> {
        None
    }
}
