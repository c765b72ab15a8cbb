//! [`Notify`]: telling one waiter, or all of them, that something has happened.
//!
//! ```text
//! entry:  absent ──(1) enter──▶ waiting ──(2) notify_one──▶ notified by one ──┐
//!            ▲                     │  └───(3) notify_waiters──▶ notified by all ┤
//!            └───────(5) drop──────┴─────────────(4) poll, drop ───────────────┘
//!
//! (1) enter           a poll, or `enable`, that finds neither a permit nor a call of `notify_waiters` since the future was
//!                     made.
//! (2) notify_one      anybody: the entry at the front leaves the queue, and stays in its slot. Without one, the permit
//!                     is stored.
//! (3) notify_waiters  anybody: as (2), for all that are in the queue; and it is counted, for those that have not entered.
//! (4)                 the future's next poll, or its drop. A drop passes on what was meant for one.
//! (5) drop            the future: nobody keeps its waker.
//! ```
//!
//! All of it happens under one lock, so there is nothing between "I have not been told" and "wake me". Wakers
//! are cloned, woken and dropped outside of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use crate::base::sync::atomic::AtomicUsize;
use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::{Mutex, MutexGuard, const_fn, lock};
use crate::base::waitlist::{LinkedSlab, WaitKey};
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::coop;
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// The bit of [`Notify::word`] for the stored permit.
const PERMIT: usize = 1;
/// One call of `notify_waiters` in [`Notify::word`].
const CALL: usize = 2;

/// Tells tasks that something has happened: one of them, or all that wait now.
///
/// It carries no value, and knows nothing of what has happened: what is waited for is looked at by whoever is
/// told. [`notify_one`](Notify::notify_one) is a signal that is not lost if it comes too early: one permit is
/// stored for the next to wait. [`notify_waiters`](Notify::notify_waiters) is for those who wait, and stores
/// nothing. The semantics are those of tokio's `Notify`.
///
/// Every clone of an [`Arc`](std::sync::Arc) of it may notify and wait, from any backend and from threads of
/// none. First come, first served.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use twoply::{Wait, sync::Notify};
///
/// let ready = Arc::new(Notify::new());
/// let other = Arc::clone(&ready);
/// let task = twoply::spawn(async move { other.notified().await });
/// ready.notify_one();
/// task.wait().unwrap();
/// ```
pub struct Notify {
    /// [`PERMIT`], and in the other bits the number of calls of `notify_waiters`. Written under the lock
    /// only.
    word: AtomicUsize,
    /// False if `notify_one` does nothing where nobody waits.
    stores: bool,
    waiters: Mutex<LinkedSlab<Waiter>>,
}

/// The entry of a future that waits, or has been notified and does not know yet.
enum Waiter {
    /// It stands in the queue. Without a waker until it is polled for the first time.
    Waiting(Option<StoredWaker>),
    /// It has been told by `notify_one`; what it does not use it passes on.
    ByOne,
    /// It has been told by `notify_waiters`.
    ByAll,
}

impl Waiter {
    /// Marks the entry as notified, and returns the waker to wake.
    fn notify(&mut self, by: Waiter) -> Option<StoredWaker> {
        match std::mem::replace(self, by) {
            Waiter::Waiting(waker) => waker,
            Waiter::ByOne | Waiter::ByAll => None,
        }
    }
}

type Queue<'a> = MutexGuard<'a, LinkedSlab<Waiter>>;

impl Notify {
    const_fn! {
        /// Makes one without a stored permit.
        ///
        /// # Examples
        /// ```
        /// use twoply::{Wait, sync::Notify};
        ///
        /// static DONE: Notify = Notify::new();
        ///
        /// std::thread::spawn(|| DONE.notify_one());
        /// DONE.notified().wait();
        /// ```
        pub fn new() -> Notify {
            Notify { word: AtomicUsize::new(0), stores: true, waiters: Mutex::new(LinkedSlab::new()) }
        }
    }

    const_fn! {
        /// Makes one whose `notify_one` does nothing where nobody waits.
        pub(super) fn without_permits() -> Notify {
            Notify { word: AtomicUsize::new(0), stores: false, waiters: Mutex::new(LinkedSlab::new()) }
        }
    }

    /// Tells the one that has waited longest. If nobody waits, a permit is stored: the next one to wait takes
    /// it and goes on at once. At most one is stored, however often this is called.
    ///
    /// Whoever is told sees what happened before this call.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, sync::Notify, time::timeout};
    ///
    /// let notify = Notify::new();
    /// notify.notify_one();
    /// notify.notify_one();
    /// notify.notified().wait();
    /// assert!(timeout(Duration::from_millis(1), notify.notified()).wait().is_err(), "one permit only");
    /// ```
    pub fn notify_one(&self) {
        let mut queue = lock(&self.waiters);
        let waker = self.pass_on(&mut queue);
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Tells all who wait now. That is every future of [`notified`](Notify::notified) that was made before
    /// this call, whether it has been polled or not. No permit is stored.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::Notify};
    ///
    /// let notify = Notify::new();
    /// let early = notify.notified();
    /// notify.notify_waiters();
    /// early.wait();
    /// ```
    pub fn notify_waiters(&self) {
        self.notify_waiters_if(|| true);
    }

    /// As [`notify_waiters`](Notify::notify_waiters), if `condition` is true. It is looked at under the lock.
    pub(super) fn notify_waiters_if(&self, condition: impl FnOnce() -> bool) {
        let mut wakers = Vec::new();
        let mut queue = lock(&self.waiters);
        if !condition() {
            return;
        }
        // Release pairs with Acquire in `notified`.
        self.word.store(self.word.load(Relaxed).wrapping_add(CALL), Release);
        while let Some(waiter) = queue.unlist_front() {
            wakers.extend(waiter.notify(Waiter::ByAll));
        }
        drop(queue);
        wake_all(wakers);
    }

    /// Waits until it is told; finish it with `.await` or `.wait()`.
    ///
    /// It is in the queue from its first poll on, or from [`Notified::enable`]:
    /// [`notify_one`](Notify::notify_one) tells those in the queue only, and otherwise stores its permit,
    /// which this takes. [`notify_waiters`](Notify::notify_waiters) tells it from the moment it is made. So
    /// the way to wait for a condition without missing a change of it is to make the future, then to look at
    /// the condition, then to finish the future.
    ///
    /// Cancel-safe: if it is dropped when [`notify_one`](Notify::notify_one) has told it, the next in the
    /// queue is told instead, or the permit is stored. Dropped and made anew, it has lost its turn.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use twoply::{Wait, sync::Notify};
    ///
    /// let shared = Arc::new((AtomicBool::new(false), Notify::new()));
    /// let other = Arc::clone(&shared);
    /// let task = twoply::spawn(async move {
    ///     let (open, changed) = &*other;
    ///     loop {
    ///         let change = changed.notified();
    ///         if open.load(Ordering::Acquire) {
    ///             return;
    ///         }
    ///         change.await;
    ///     }
    /// });
    /// shared.0.store(true, Ordering::Release);
    /// shared.1.notify_waiters();
    /// task.wait().unwrap();
    /// ```
    pub fn notified(&self) -> Notified<'_> {
        // Acquire pairs with the Release of each store: whoever has missed a call of `notify_waiters` sees
        // what happened before it.
        Notified { notify: self, since: self.word.load(Acquire), wait_key: WaitKey::new(), told: false }
    }

    /// Tells the next in the queue, and returns its waker; without one the permit is stored.
    fn pass_on(&self, queue: &mut Queue<'_>) -> Option<StoredWaker> {
        match queue.unlist_front() {
            Some(waiter) => waiter.notify(Waiter::ByOne),
            None if self.stores => {
                // Release pairs with Acquire in `notified`, for the calls that are counted beside the permit.
                self.word.store(self.word.load(Relaxed) | PERMIT, Release);
                None
            }
            None => None,
        }
    }

    /// Takes the permit, if there is one. For the holder of the lock.
    fn take_permit(&self, _line: &Queue<'_>) -> bool {
        let word = self.word.load(Relaxed);
        let is_there = word & PERMIT != 0;
        if is_there {
            // Release pairs with Acquire in `notified`, for the calls that are counted beside the permit.
            self.word.store(word & !PERMIT, Release);
        }
        is_there
    }

    /// Returns whether `notify_waiters` has been called since the word was `since`.
    fn has_called(&self, since: usize) -> bool {
        (self.word.load(Relaxed) ^ since) & !PERMIT != 0
    }
}

impl Default for Notify {
    fn default() -> Notify {
        Notify::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permit = self.word.load(Relaxed) & PERMIT != 0;
        f.debug_struct("Notify").field("permit", &permit).finish_non_exhaustive()
    }
}

/// The future of [`Notify::notified`]. After it has been ready it stays ready.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Notified<'a> {
    notify: &'a Notify,
    /// The word when this was made.
    since: usize,
    /// Set while this has an entry.
    wait_key: WaitKey,
    /// True once it has been ready.
    told: bool,
}

impl Notified<'_> {
    /// Enters the queue now instead of at the first poll. Returns true if there is nothing to wait for: it
    /// has been told, or has taken the permit.
    ///
    /// From here on [`Notify::notify_one`] may be meant for this future, which is then ready. That matters
    /// where whoever waits looks at something first, and several may be told one by one.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::Notify};
    ///
    /// let notify = Notify::new();
    /// let (mut first, mut second) = (notify.notified(), notify.notified());
    /// assert!(!first.enable() && !second.enable());
    /// notify.notify_one();
    /// notify.notify_one();
    /// // Two were in the queue, so each has been told; else the second call would have found the permit stored already.
    /// first.wait();
    /// second.wait();
    /// ```
    pub fn enable(&mut self) -> bool {
        self.look(None)
    }

    /// Returns whether it has been told. If not, it is in the queue, with `waker` if there is one.
    pub(super) fn look(&mut self, waker: Option<&Waker>) -> bool {
        let notify = self.notify;
        if self.told {
            return true;
        }
        // Cloned before the lock is taken if that looks necessary, and dropped, as the older local, after.
        let idle = !self.wait_key.is_set() && notify.word.load(Relaxed) == self.since & !PERMIT;
        let mut spare = waker.filter(|_| idle).map(StoredWaker::of);
        loop {
            let mut queue = lock(&notify.waiters);
            match self.wait_key.get().and_then(|key| queue.find(key)) {
                Some(Waiter::Waiting(current)) => {
                    let Some(waker) = waker else { return false };
                    if current.as_ref().is_some_and(|current| current.will_wake(waker)) {
                        return false;
                    }
                    if spare.is_some() {
                        std::mem::swap(current, &mut spare);
                        return false;
                    }
                }
                Some(Waiter::ByOne | Waiter::ByAll) => {
                    self.wait_key.take().and_then(|key| queue.remove(key));
                    self.told = true;
                    return true;
                }
                None => {
                    if notify.has_called(self.since) || notify.take_permit(&queue) {
                        self.told = true;
                        return true;
                    }
                    if waker.is_none() || spare.is_some() {
                        self.wait_key.set(queue.push_back(Waiter::Waiting(spare.take())));
                        return false;
                    }
                }
            }
            drop(queue);
            spare = waker.map(StoredWaker::of);
        }
    }
}

impl Future for Notified<'_> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let unit = ready!(coop::proceed(cx));
        let this = self.get_mut();
        if !this.look(Some(cx.waker())) {
            return waiting::note(Poll::Pending, || WaitingFor::Signal { signal: address_of(this.notify) });
        }
        unit.spend();
        Poll::Ready(())
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(key) = self.wait_key.take() else { return };
        let mut queue = lock(&self.notify.waiters);
        let left = queue.remove(key);
        let next = match left {
            Some(Waiter::ByOne) => self.notify.pass_on(&mut queue),
            _ => None,
        };
        drop(queue);
        drop(left);
        if let Some(next) = next {
            next.wake();
        }
    }
}

impl fmt::Debug for Notified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notified").field("told", &self.told).finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
pub(super) mod model;
