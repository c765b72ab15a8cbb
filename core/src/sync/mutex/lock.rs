//! Waiting for the lock of a mutex: the futures.

use std::fmt;
use std::future::{self, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::super::lock::{LockError, POLLED_AGAIN, Waiting, lock_at_once, refuse_deadlock};
use super::{Mutex, MutexGuard, OwnedMutexGuard, refuse_poisoned};
use crate::base::fused::fused;
use crate::kernel::task::Cycle;
use crate::kernel::task::holders::take_lock;
use crate::kernel::wait::Wait;

/// The future of [`Mutex::lock`]: finish it with `.await` or `.wait()`.
///
/// Dropping it leaves the queue; if it has been handed the lock already, the lock goes to whoever comes next.
///
/// # Panics
/// When it is polled after it was ready, the mutex is poisoned, or the wait would never end.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Lock<'a, T: ?Sized> {
    /// None once the wait is over.
    mutex: Option<&'a Mutex<T>>,
    waiting: Waiting,
}

impl<'a, T: ?Sized> Lock<'a, T> {
    #[inline]
    pub(super) fn new(mutex: &'a Mutex<T>) -> Lock<'a, T> {
        Lock { mutex: Some(mutex), waiting: Waiting::new() }
    }

    /// Blocks the calling stack until the lock is there, as [`Wait::wait`] of any future does. A lock that
    /// nobody has is taken by a shorter way.
    ///
    /// # Panics
    /// As the future does.
    ///
    /// ```
    /// use twoply::sync::Mutex;
    ///
    /// assert_eq!(*Mutex::new(7).lock().wait(), 7);
    /// ```
    #[inline(always)]
    pub fn wait(mut self) -> MutexGuard<'a, T> {
        if self.waiting.has_begun() {
            return self.wait_in_turn();
        }
        let mutex = self.mutex.take().expect(POLLED_AGAIN);
        // It has not waited, so there is nothing to end; and it need not be in memory.
        std::mem::forget(self);
        match lock_at_once(&mutex.raw, take_lock) {
            Some(_holder) => MutexGuard::unless_poisoned(mutex),
            None => Lock::new(mutex).wait_in_turn(),
        }
    }

    /// Makes it return an error where it would panic.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::{LockError, Mutex}, task};
    ///
    /// let mutex = Arc::new(Mutex::new(0));
    /// let task = task::Builder::new().name("narcissus").spawn(async move {
    ///     let _guard = mutex.lock().await;
    ///     match mutex.lock().checked().await {
    ///         Err(LockError::Deadlock(cycle)) => cycle.to_string(),
    ///         _ => unreachable!("the task has locked it itself"),
    ///     }
    /// });
    /// assert_eq!(task?.wait()?, "narcissus -> narcissus");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checked(self) -> CheckedLock<'a, T> {
        CheckedLock { lock: self }
    }

    /// Takes the lock, which the caller makes a guard of, if that can be done at once.
    #[inline]
    fn lock_at_once(&mut self) -> Option<&'a Mutex<T>> {
        let mutex = self.mutex.expect(POLLED_AGAIN);
        self.waiting.lock_at_once(&mutex.raw, take_lock)?;
        self.mutex = None;
        Some(mutex)
    }

    /// Polls for the lock, as [`Waiting::poll_in_turn`].
    #[cold]
    fn lock_in_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<&'a Mutex<T>, Cycle>> {
        let mutex = self.mutex.expect(POLLED_AGAIN);
        let locked = ready!(self.waiting.poll_in_turn(&mutex.raw, cx, take_lock));
        self.mutex = None;
        Poll::Ready(locked.map(|_holder| mutex))
    }

    /// Blocks for the guard, where [`Lock::lock_at_once`] has not got it.
    #[cold]
    fn wait_in_turn(mut self) -> MutexGuard<'a, T> {
        Wait::wait(future::poll_fn(move |cx| self.poll_guard(cx)))
    }

    /// Polls for the guard, where [`Lock::lock_at_once`] has not got it.
    #[cold]
    fn poll_guard(&mut self, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        match ready!(self.lock_in_turn(cx)) {
            Ok(mutex) => Poll::Ready(MutexGuard::unless_poisoned(mutex)),
            Err(cycle) => refuse_deadlock(&cycle),
        }
    }
}

impl<'a, T: ?Sized> Future for Lock<'a, T> {
    type Output = MutexGuard<'a, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        match self.lock_at_once() {
            Some(mutex) => Poll::Ready(MutexGuard::unless_poisoned(mutex)),
            None => self.poll_guard(cx),
        }
    }
}

fused! { [T: ?Sized] Lock<'_, T>, |this| this.mutex.is_none() }

impl<T: ?Sized> Drop for Lock<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(mutex) = self.mutex {
            self.waiting.stop(&mutex.raw);
        }
    }
}

impl<T: ?Sized> fmt::Debug for Lock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

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
        let locked = match self.lock.lock_at_once() {
            Some(mutex) => Ok(mutex),
            None => ready!(self.lock.lock_in_turn(cx)),
        };
        Poll::Ready(match locked {
            Ok(mutex) if mutex.is_poisoned() => Err(LockError::Poisoned(MutexGuard::new(mutex))),
            Ok(mutex) => Ok(MutexGuard::new(mutex)),
            Err(cycle) => Err(LockError::Deadlock(cycle)),
        })
    }
}

fused! { [T: ?Sized] CheckedLock<'_, T>, |this| this.lock.mutex.is_none() }

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
/// When it is polled after it was ready, the mutex is poisoned, or the wait would never end.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct LockOwned<T: ?Sized> {
    /// None once the wait is over.
    mutex: Option<Arc<Mutex<T>>>,
    waiting: Waiting,
}

impl<T: ?Sized> LockOwned<T> {
    pub(super) fn new(mutex: Arc<Mutex<T>>) -> LockOwned<T> {
        LockOwned { mutex: Some(mutex), waiting: Waiting::new() }
    }

    /// Makes it return an error where it would panic.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::{LockError, Mutex}, task};
    ///
    /// let mutex = Arc::new(Mutex::new(0));
    /// let task = task::Builder::new().name("narcissus").spawn(async move {
    ///     let _guard = mutex.lock().await;
    ///     match Arc::clone(&mutex).lock_owned().checked().await {
    ///         Err(LockError::Deadlock(cycle)) => cycle.to_string(),
    ///         _ => unreachable!("the task has locked it itself"),
    ///     }
    /// });
    /// assert_eq!(task?.wait()?, "narcissus -> narcissus");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checked(self) -> CheckedLockOwned<T> {
        CheckedLockOwned { lock: self }
    }

    /// Polls for the guard, whether the mutex is poisoned or not.
    fn poll_guard(&mut self, cx: &mut Context<'_>) -> Poll<Result<OwnedMutexGuard<T>, Cycle>> {
        let raw = &self.mutex.as_ref().expect(POLLED_AGAIN).raw;
        let locked = match self.waiting.lock_at_once(raw, |_| None) {
            Some(_) => Ok(None),
            None => ready!(self.waiting.poll_in_turn(raw, cx, |_| None)),
        };
        let mutex = self.mutex.take().expect(POLLED_AGAIN);
        Poll::Ready(locked.map(|_nobody| OwnedMutexGuard::new(mutex)))
    }
}

impl<T: ?Sized> Future for LockOwned<T> {
    type Output = OwnedMutexGuard<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnedMutexGuard<T>> {
        let guard = match ready!(LockOwned::poll_guard(&mut self, cx)) {
            Ok(guard) => guard,
            Err(cycle) => refuse_deadlock(&cycle),
        };
        if OwnedMutexGuard::mutex(&guard).is_poisoned() {
            drop(guard);
            refuse_poisoned();
        }
        Poll::Ready(guard)
    }
}

fused! { [T: ?Sized] LockOwned<T>, |this| this.mutex.is_none() }

impl<T: ?Sized> Drop for LockOwned<T> {
    fn drop(&mut self) {
        if let Some(mutex) = &self.mutex {
            self.waiting.stop(&mutex.raw);
        }
    }
}

impl<T: ?Sized> fmt::Debug for LockOwned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockOwned").finish_non_exhaustive()
    }
}

/// The future of [`LockOwned::checked`]: finish it with `.await` or `.wait()`.
///
/// # Panics
/// When it is polled after it was ready.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct CheckedLockOwned<T: ?Sized> {
    lock: LockOwned<T>,
}

impl<T: ?Sized> Future for CheckedLockOwned<T> {
    type Output = Result<OwnedMutexGuard<T>, LockError<OwnedMutexGuard<T>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.lock.poll_guard(cx)) {
            Ok(guard) if OwnedMutexGuard::mutex(&guard).is_poisoned() => Err(LockError::Poisoned(guard)),
            Ok(guard) => Ok(guard),
            Err(cycle) => Err(LockError::Deadlock(cycle)),
        })
    }
}

fused! { [T: ?Sized] CheckedLockOwned<T>, |this| this.lock.mutex.is_none() }

impl<T: ?Sized> fmt::Debug for CheckedLockOwned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedLockOwned").finish_non_exhaustive()
    }
}
