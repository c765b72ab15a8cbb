//! Waiting for the lock of a mutex: the futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::raw::RawMutex;
use super::{Mutex, MutexGuard, OwnedMutexGuard, refuse_poisoned};
use crate::base::waitlist::WaitKey;
use crate::kernel::coop;

/// The message of the panic of a future that is polled after it was ready.
const POLLED_AGAIN: &str = "a lock was polled after it was ready";

/// Polls for the lock, and spends a unit of the budget on it.
#[inline]
fn poll_lock(raw: &RawMutex, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<()> {
    let unit = ready!(coop::proceed(cx));
    ready!(raw.poll_lock(wait_key, cx.waker()));
    unit.spend();
    Poll::Ready(())
}

/// The future of [`Mutex::lock`]: finish it with `.await` or `.wait()`.
///
/// Dropping it leaves the queue; if it has been handed the lock already, the lock goes to whoever comes next.
///
/// # Panics
/// When it is polled after it was ready, or the mutex is poisoned.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Lock<'a, T: ?Sized> {
    /// None once the guard has been handed out.
    mutex: Option<&'a Mutex<T>>,
    wait_key: WaitKey,
}

impl<'a, T: ?Sized> Lock<'a, T> {
    #[inline]
    pub(super) fn new(mutex: &'a Mutex<T>) -> Lock<'a, T> {
        Lock { mutex: Some(mutex), wait_key: WaitKey::new() }
    }

    /// Makes it return an error where it would panic.
    ///
    /// ```
    /// use twoply::{Wait, sync::Mutex};
    ///
    /// let mutex = Mutex::poisoning(7);
    /// assert_eq!(*mutex.lock().checked().wait().unwrap(), 7);
    /// ```
    pub fn checked(self) -> CheckedLock<'a, T> {
        CheckedLock { lock: self }
    }

    /// Polls for the guard. Poison is the caller's matter.
    #[inline]
    fn poll_guard(&mut self, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        let mutex = self.mutex.expect(POLLED_AGAIN);
        ready!(poll_lock(&mutex.raw, &mut self.wait_key, cx));
        self.mutex = None;
        Poll::Ready(MutexGuard::new(mutex))
    }
}

impl<'a, T: ?Sized> Future for Lock<'a, T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        let guard = ready!(self.poll_guard(cx));
        MutexGuard::mutex(&guard).refuse_poison();
        Poll::Ready(guard)
    }
}

impl<T: ?Sized> Drop for Lock<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(mutex) = self.mutex {
            mutex.raw.stop(&mut self.wait_key);
        }
    }
}

impl<T: ?Sized> fmt::Debug for Lock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

/// The reasons why a [checked](Lock::checked) lock gives no access to a value.
#[non_exhaustive]
pub enum LockError<G> {
    /// Somebody has panicked while the mutex was locked. The lock is the caller's now: the guard gives access
    /// to the value as the panic has left it.
    Poisoned(G),
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Poisoned(_) => f.write_str("Poisoned(..)"),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Poisoned(_) => f.write_str("somebody has panicked while the mutex was locked"),
        }
    }
}

impl<G> std::error::Error for LockError<G> {}

/// The future of [`Lock::checked`]: finish it with `.await` or `.wait()`.
///
/// # Panics
/// When it is polled after it was ready.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct CheckedLock<'a, T: ?Sized> {
    lock: Lock<'a, T>,
}

impl<'a, T: ?Sized> Future for CheckedLock<'a, T> {
    type Output = Result<MutexGuard<'a, T>, LockError<MutexGuard<'a, T>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let guard = ready!(self.lock.poll_guard(cx));
        Poll::Ready(match MutexGuard::mutex(&guard).is_poisoned() {
            true => Err(LockError::Poisoned(guard)),
            false => Ok(guard),
        })
    }
}

impl<T: ?Sized> fmt::Debug for CheckedLock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedLock").finish_non_exhaustive()
    }
}

/// The future of [`Mutex::lock_owned`]: finish it with `.await` or `.wait()`.
///
/// Dropping it leaves the queue; if it has been handed the lock already, the lock goes to whoever comes next.
///
/// # Panics
/// When it is polled after it was ready, or the mutex is poisoned.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct LockOwned<T: ?Sized> {
    /// None once the guard has been handed out.
    mutex: Option<Arc<Mutex<T>>>,
    wait_key: WaitKey,
}

impl<T: ?Sized> LockOwned<T> {
    pub(super) fn new(mutex: Arc<Mutex<T>>) -> LockOwned<T> {
        LockOwned { mutex: Some(mutex), wait_key: WaitKey::new() }
    }
}

impl<T: ?Sized> Future for LockOwned<T> {
    type Output = OwnedMutexGuard<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedMutexGuard<T>> {
        let this = &mut *self;
        let raw = &this.mutex.as_ref().expect(POLLED_AGAIN).raw;
        ready!(poll_lock(raw, &mut this.wait_key, cx));
        let guard = OwnedMutexGuard::new(this.mutex.take().expect(POLLED_AGAIN));
        if OwnedMutexGuard::mutex(&guard).is_poisoned() {
            drop(guard);
            refuse_poisoned();
        }
        Poll::Ready(guard)
    }
}

impl<T: ?Sized> Drop for LockOwned<T> {
    fn drop(&mut self) {
        if let Some(mutex) = &self.mutex {
            mutex.raw.stop(&mut self.wait_key);
        }
    }
}

impl<T: ?Sized> fmt::Debug for LockOwned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockOwned").finish_non_exhaustive()
    }
}
