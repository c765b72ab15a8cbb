//! Waiting for a promise: the futures, by value and by reference.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Promise;
use super::cell::{Cell, Outcome, PromiseInner};
use super::resolver::Resolver;
use crate::base::fused::fused;
use crate::base::waitlist::WaitKey;
use crate::kernel::coop;
use crate::kernel::strand::with_state;
use crate::kernel::task::owner::Owner;
use crate::kernel::task::{Cycle, Failure, TaskRef};
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// Returns `Ready` if the promise of `cell` has come out, or may not be waited for; else the task of `cx` is
/// woken then. [`Cell::poll_ready`] says what `shared` is.
#[inline]
fn poll_cell<T>(
    cell: &Arc<Cell<T>>,
    wait_key: &mut WaitKey,
    shared: bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Cycle>> {
    if with_state(|state| state.is_part_of_derived(cx.waker())) {
        return note(cell.poll_ready(wait_key, shared, cx), cell);
    }
    let unit = ready!(coop::proceed(cx));
    let ready = ready!(note(cell.poll_ready(wait_key, shared, cx), cell));
    unit.spend();
    Poll::Ready(ready)
}

/// Passes `polled` through; if it is pending, it is a wait for the promise of `cell`.
#[inline]
fn note<R, T>(polled: Poll<R>, cell: &Cell<T>) -> Poll<R> {
    waiting::note(polled, || {
        let owner = cell.owner().and_then(|owner| owner.task()).map(TaskRef::new);
        WaitingFor::Promise { promise: address_of(cell), owner }
    })
}

/// The message of the panic of a wait that is polled after it was ready.
const POLLED_AGAIN: &str = "a wait for a promise was polled after it was ready";

/// A promise that is waited for. It removes its waiter from the cell when it is dropped.
struct PromiseWaiter<T> {
    /// None once the value has been handed out.
    inner: Option<PromiseInner<T>>,
    wait_key: WaitKey,
}

impl<T> PromiseWaiter<T> {
    fn new(inner: PromiseInner<T>) -> PromiseWaiter<T> {
        PromiseWaiter { inner: Some(inner), wait_key: WaitKey::new() }
    }

    /// Calls `take` with the promise once it has come out. The outcome is moved as seldom as can be.
    #[inline]
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(PromiseInner<T>) -> Outcome<T>,
    ) -> Poll<Outcome<T>> {
        let inner = self.inner.as_ref().expect(POLLED_AGAIN);
        // `self` owns the promise, so nobody can clone it meanwhile.
        let ready = ready!(poll_cell(inner.cell(), &mut self.wait_key, inner.is_shared(), cx));
        let inner = self.inner.take().expect(POLLED_AGAIN);
        Poll::Ready(match ready {
            Ok(()) => take(inner),
            Err(cycle) => Err(Failure::Deadlock(cycle)),
        })
    }
}

impl<T> Drop for PromiseWaiter<T> {
    fn drop(&mut self) {
        if let Some(inner) = &self.inner {
            inner.cell().remove_waiter(&mut self.wait_key);
        }
    }
}

/// The future of a [`Promise`] by value: finish it with `.await` or `.wait()`.
///
/// Its output is a clone of the value, or the value itself if no other promise of it is left. Dropping it
/// changes nothing for others.
///
/// # Panics
/// When it is polled after it was ready.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Waiting<T> {
    waiter: PromiseWaiter<T>,
    shares_value: super::SharesValue<T>,
}

impl<T> Waiting<T> {
    pub(super) fn new(promise: Promise<T>) -> Waiting<T> {
        Waiting { waiter: PromiseWaiter::new(promise.inner), shares_value: promise.shares_value }
    }
}

// Nothing in it is ever pinned.
impl<T> Unpin for Waiting<T> {}

impl<T: Clone> Future for Waiting<T> {
    type Output = Outcome<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        self.waiter.poll(cx, |inner| match inner.take() {
            Ok(outcome) => outcome,
            Err(shared) => shared.get().cloned().unwrap_or(Err(Failure::Broken)),
        })
    }
}

fused! { [T: Clone] Waiting<T>, |this| this.waiter.inner.is_none() }

impl<T> fmt::Debug for Waiting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

/// The future of a [`Promise`] by reference: finish it with `.await` or `.wait()`. Its output is a reference
/// to the value.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct WaitingRef<'a, T> {
    promise: &'a Promise<T>,
    wait_key: WaitKey,
}

impl<'a, T> WaitingRef<'a, T> {
    pub(super) fn new(promise: &'a Promise<T>) -> WaitingRef<'a, T> {
        WaitingRef { promise, wait_key: WaitKey::new() }
    }
}

impl<'a, T> Future for WaitingRef<'a, T> {
    type Output = Result<&'a T, Failure>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let promise = self.promise;
        // Others may have a reference to the same promise.
        if let Err(cycle) = ready!(poll_cell(promise.inner.cell(), &mut self.wait_key, true, cx)) {
            return Poll::Ready(Err(Failure::Deadlock(cycle)));
        }
        Poll::Ready(match promise.inner.get() {
            Some(outcome) => outcome.as_ref().map_err(Failure::clone),
            None => Err(Failure::Broken),
        })
    }
}

impl<T> Drop for WaitingRef<'_, T> {
    fn drop(&mut self) {
        self.promise.inner.cell().remove_waiter(&mut self.wait_key);
    }
}

impl<T> fmt::Debug for WaitingRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingRef").finish_non_exhaustive()
    }
}

/// A promise that cannot be cloned, and so gives its value away: the answer to one question. It is itself the
/// future.
///
/// Neither `T: Clone` nor `T: Sync` is asked for. [`Answer::share`] makes it a [`Promise`].
///
/// Dropping it gives up on the answer; a late one is dropped.
///
/// # Panics
/// When it is polled after it was ready.
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// use twoply::{Wait, promise};
///
/// let (answer, resolver) = promise::answer();
/// std::thread::spawn(move || resolver.resolve(Cell::new(7)));
/// assert_eq!(answer.wait().unwrap().get(), 7);
/// ```
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Answer<T>(PromiseWaiter<T>);

/// Makes an answer that is still to be given, and the resolver that gives it.
///
/// ```
/// use twoply::{Wait, promise};
///
/// let (answer, resolver) = promise::answer();
/// resolver.resolve("yes").unwrap();
/// assert_eq!(answer.wait().unwrap(), "yes");
/// ```
pub fn answer<T>() -> (Answer<T>, Resolver<T>) {
    let (promise, resolver) = Cell::pair(None);
    (Answer(PromiseWaiter::new(promise)), Resolver::new(resolver))
}

/// Makes an answer that `owner` owes.
pub(crate) fn owed_answer<T: Send + 'static>(owner: Owner) -> (Answer<T>, Resolver<T>) {
    let (promise, resolver) = Cell::pair_owed_by(owner);
    (Answer(PromiseWaiter::new(promise)), Resolver::new(resolver))
}

impl<T> Answer<T> {
    /// Makes a promise of it, which may be cloned.
    ///
    /// # Panics
    /// When it has been ready already.
    ///
    /// ```
    /// use twoply::{Wait, promise};
    ///
    /// let (answer, resolver) = promise::answer();
    /// let promise = answer.share();
    /// let other = promise.clone();
    /// resolver.resolve(7).unwrap();
    /// assert_eq!(promise.wait().unwrap() + other.wait().unwrap(), 14);
    /// ```
    pub fn share(mut self) -> Promise<T> {
        let inner = self.0.inner.take().expect("the answer has been taken already");
        inner.cell().remove_waiter(&mut self.0.wait_key);
        Promise::of(inner)
    }

    /// Returns true if the answer is there.
    ///
    /// ```
    /// let (answer, resolver) = twoply::promise::answer();
    /// assert!(!answer.is_ready());
    /// resolver.resolve(7).unwrap();
    /// assert!(answer.is_ready());
    /// ```
    pub fn is_ready(&self) -> bool {
        self.0.inner.as_ref().is_none_or(|inner| inner.cell().is_ready())
    }
}

// Nothing in it is ever pinned.
impl<T> Unpin for Answer<T> {}

impl<T> Future for Answer<T> {
    type Output = Outcome<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        // There is no other promise, so what has come out is taken.
        self.0.poll(cx, |inner| inner.take().unwrap_or(Err(Failure::Broken)))
    }
}

fused! { [T] Answer<T>, |this| this.0.inner.is_none() }

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("ready", &self.is_ready()).finish()
    }
}
