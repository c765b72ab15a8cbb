//! [`Condvar`]: waiting for a change of what a mutex guards.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::mutex::{Lock, LockOwned, MutexGuard, OwnedMutexGuard};
use super::notify::{Notified, Notify};
use crate::base::sync::const_fn;
#[cfg(doc)]
use crate::sync::Mutex;

/// Lets tasks that have locked a [`Mutex`] wait until others have changed what it guards.
///
/// As with every condition variable, whoever is woken looks whether what it waits for has come, and waits
/// again if not: by the time it has the lock somebody else may have been there, and it may have been woken
/// for nothing. [`wait_while`](Condvar::wait_while) does that. Nothing is stored for later: who notifies
/// changes the value first, under the lock.
///
/// # Examples
/// ```
/// use std::collections::VecDeque;
/// use std::sync::Arc;
/// use twoply::{Wait, sync::{Condvar, Mutex}};
///
/// let shared = Arc::new((Mutex::new(VecDeque::new()), Condvar::new()));
/// let other = Arc::clone(&shared);
/// let consumer = twoply::spawn(async move {
///     let (jobs, added) = &*other;
///     let mut jobs = added.wait_while(jobs.lock().await, |jobs| jobs.is_empty()).await;
///     jobs.pop_front()
/// });
/// shared.0.lock().wait().push_back("job");
/// shared.1.notify_one();
/// assert_eq!(consumer.wait().unwrap(), Some("job"));
/// ```
pub struct Condvar {
    waiters: Notify,
}

impl Condvar {
    const_fn! {
        /// Makes one that nobody waits for.
        pub fn new() -> Condvar {
            Condvar { waiters: Notify::without_permits() }
        }
    }

    /// Wakes the one that has waited longest. Does nothing if nobody waits.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::{Condvar, Mutex}};
    ///
    /// let (jobs, added) = (Mutex::new(0), Condvar::new());
    /// std::thread::scope(|s| {
    ///     s.spawn(|| *added.wait_while(jobs.lock().wait(), |jobs| *jobs == 0).wait() -= 1);
    ///     *jobs.lock().wait() += 1;
    ///     added.notify_one();
    /// });
    /// assert_eq!(jobs.into_inner(), 0);
    /// ```
    pub fn notify_one(&self) {
        self.waiters.notify_one();
    }

    /// Wakes all who wait now.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::{Condvar, Mutex}};
    ///
    /// let (open, opened) = (Mutex::new(false), Condvar::new());
    /// std::thread::scope(|s| {
    ///     let wait = || *opened.wait_while(open.lock().wait(), |open| !*open).wait();
    ///     let guests = [s.spawn(wait), s.spawn(wait)];
    ///     *open.lock().wait() = true;
    ///     opened.notify_all();
    ///     assert!(guests.into_iter().all(|guest| guest.join().unwrap()));
    /// });
    /// ```
    pub fn notify_all(&self) {
        self.waiters.notify_waiters();
    }

    /// Unlocks the mutex, waits until it is woken, and locks the mutex again; finish it with `.await` or
    /// `.wait()`. The guard may be a borrowed or an owned one.
    ///
    /// It waits from this call on, and unlocks here: no notification by one who locks the mutex after this is
    /// missed, even if the future is polled later.
    ///
    /// Cancel-safe: when it is dropped the mutex is not locked by it, and the next in the queue is woken in
    /// its place if [`notify_one`](Condvar::notify_one) has woken it already.
    ///
    /// # Panics
    /// The future does where [`Mutex::lock`] does, and when it is polled after it was ready.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::{Condvar, Mutex}};
    ///
    /// let (door, opened) = (Mutex::new("closed"), Condvar::new());
    /// std::thread::scope(|s| {
    ///     let mut guard = door.lock().wait();
    ///     s.spawn(|| {
    ///         *door.lock().wait() = "open";
    ///         opened.notify_all();
    ///     });
    ///     while *guard == "closed" {
    ///         guard = opened.wait(guard).wait();
    ///     }
    /// });
    /// ```
    pub fn wait<G: CondvarGuard>(&self, guard: G) -> CondvarWait<'_, G> {
        let mut woken = self.waiters.notified();
        woken.enable();
        CondvarWait { condvar: self, woken, is_woken: false, lock: guard.unlock(), is_ready: false }
    }

    /// Waits, as [`wait`](Condvar::wait) does, as long as `condition` is true of the value. It is looked at
    /// first of all, and then each time this is woken, with the mutex locked.
    ///
    /// Cancel-safe, as [`wait`](Condvar::wait) is.
    ///
    /// # Panics
    /// The future does where [`Mutex::lock`] does, and where `condition` does.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::{Condvar, Mutex}};
    ///
    /// let (count, changed) = (Mutex::new(3), Condvar::new());
    /// std::thread::scope(|s| {
    ///     for _ in 0..3 {
    ///         s.spawn(|| {
    ///             *count.lock().wait() -= 1;
    ///             changed.notify_one();
    ///         });
    ///     }
    ///     assert_eq!(*changed.wait_while(count.lock().wait(), |count| *count > 0).wait(), 0);
    /// });
    /// ```
    pub async fn wait_while<G: CondvarGuard>(
        &self,
        mut guard: G,
        mut condition: impl FnMut(&mut <G as Deref>::Target) -> bool,
    ) -> G {
        while condition(&mut guard) {
            guard = self.wait(guard).await;
        }
        guard
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

/// A guard of a [`Mutex`] that a [`Condvar`] takes and gives back: a [`MutexGuard`] or an
/// [`OwnedMutexGuard`]. It serves code that has one of them: what is generic over guards cannot say whether
/// the future of a wait is [`Send`], so it cannot be spawned.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use twoply::{Wait, sync::{Condvar, Mutex}};
///
/// let (jobs, added) = (Arc::new(Mutex::new(0)), Arc::new(Condvar::new()));
/// let (taken, taker) = (Arc::clone(&jobs), Arc::clone(&added));
/// let consumer = twoply::spawn(async move {
///     let mut jobs = taker.wait_while(taken.lock_owned().await, |jobs| *jobs == 0).await;
///     *jobs -= 1;
///     jobs // It borrows nothing, so it may leave the task.
/// });
/// *jobs.lock().wait() += 1;
/// added.notify_one();
/// assert_eq!(*consumer.wait()?, 0);
/// # Ok::<(), twoply::promise::Failure>(())
/// ```
pub trait CondvarGuard: DerefMut + Relock {}

impl<T: ?Sized> CondvarGuard for MutexGuard<'_, T> {}
impl<T: ?Sized> CondvarGuard for OwnedMutexGuard<T> {}

/// A guard whose lock can be given back, and taken again. Only the core has any.
pub trait Relock: Sized {
    /// The future that takes the lock again.
    type Lock: Future<Output = Self> + Unpin;

    /// Gives the lock back.
    fn unlock(self) -> Self::Lock;
}

impl<'a, T: ?Sized> Relock for MutexGuard<'a, T> {
    type Lock = Lock<'a, T>;

    fn unlock(self) -> Lock<'a, T> {
        let mutex = MutexGuard::mutex(&self);
        drop(self);
        mutex.lock()
    }
}

impl<T: ?Sized> Relock for OwnedMutexGuard<T> {
    type Lock = LockOwned<T>;

    fn unlock(self) -> LockOwned<T> {
        let mutex = Arc::clone(OwnedMutexGuard::mutex(&self));
        drop(self);
        mutex.lock_owned()
    }
}

/// The future of [`Condvar::wait`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct CondvarWait<'c, G: CondvarGuard> {
    condvar: &'c Condvar,
    woken: Notified<'c>,
    is_woken: bool,
    /// The wait for the lock, which begins when it has been woken.
    lock: G::Lock,
    is_ready: bool,
}

impl<G: CondvarGuard> Future for CondvarWait<'_, G> {
    type Output = G;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<G> {
        let this = self.get_mut();
        if !this.is_woken {
            ready!(Pin::new(&mut this.woken).poll(cx));
            this.is_woken = true;
        }
        let guard = ready!(Pin::new(&mut this.lock).poll(cx));
        this.is_ready = true;
        Poll::Ready(guard)
    }
}

impl<G: CondvarGuard> Drop for CondvarWait<'_, G> {
    fn drop(&mut self) {
        // Woken for nothing, and another one may be waiting for the same. Before it was woken, `woken` sees
        // to that.
        if self.is_woken && !self.is_ready {
            self.condvar.notify_one();
        }
    }
}

impl<G: CondvarGuard> fmt::Debug for CondvarWait<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CondvarWait").field("woken", &self.is_woken).finish_non_exhaustive()
    }
}
