//! Access to the value of a locked mutex.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::super::mapped::mapped;
use super::Mutex;
use crate::kernel::strand::with_state;
use crate::kernel::task::holders::take_lock;

/// Access to the value of a [`Mutex`]; dropping it gives the lock back.
///
/// It may be held across waits, and be sent to other threads if the value may.
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<twoply::sync::MutexGuard<'static, std::rc::Rc<u32>>>();
/// ```
/// ```compile_fail
/// fn sync<T: Sync>() {}
/// sync::<twoply::sync::MutexGuard<'static, std::cell::Cell<u32>>>();
/// ```
/// ```
/// fn send<T: Send>() {}
/// fn sync<T: Sync>() {}
/// send::<twoply::sync::MutexGuard<'static, std::cell::Cell<u32>>>();
/// sync::<twoply::sync::MutexGuard<'static, u32>>();
/// ```
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// True if a panic was under way when the lock was taken; false where that is of no interest.
    panicking: bool,
    /// Makes the guard `Send` and `Sync` exactly where a `&mut T` is.
    value: PhantomData<&'a mut T>,
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Makes the guard of a lock that the caller has taken.
    #[inline]
    pub(super) fn new(mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        MutexGuard { mutex, panicking: mutex.is_panicking(), value: PhantomData }
    }

    /// As [`MutexGuard::new`]; panics if a panic has poisoned the mutex, and gives the lock back before.
    #[inline]
    pub(super) fn unless_poisoned(mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        if mutex.is_never_poisoned() {
            return MutexGuard { mutex, panicking: false, value: PhantomData };
        }
        let guard = MutexGuard::new(mutex);
        mutex.refuse_poison();
        guard
    }

    /// Returns the mutex whose lock this is. An associated function, so that it hides no method of the
    /// value's.
    ///
    /// ```
    /// use twoply::{Wait, sync::{Mutex, MutexGuard}};
    ///
    /// let mutex = Mutex::new(7);
    /// let guard = mutex.lock().wait();
    /// assert!(std::ptr::eq(MutexGuard::mutex(&guard), &mutex));
    /// ```
    pub fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }

    /// Says that the guard is going to be used by another task than the one that has locked the mutex, or by
    /// code of no task: from here on nobody is known to have the lock.
    ///
    /// A task that hands a guard on and then wants the same lock again would be told that it waits for
    /// itself.
    ///
    /// ```
    /// use twoply::{Wait, sync::{Mutex, MutexGuard}};
    ///
    /// static MUTEX: Mutex<u32> = Mutex::new(0);
    /// let mut guard = MUTEX.lock().wait();
    /// MutexGuard::clear_holder(&guard);
    /// twoply::spawn(async move { *guard += 1 });
    /// while *MUTEX.lock().wait() == 0 {}
    /// ```
    pub fn clear_holder(guard: &Self) {
        guard.mutex.raw.set_holder(None);
    }

    /// Says that the guard stays with the running task from here on, which has been handed it; see
    /// [`OwnedMutexGuard::set_current_holder`].
    pub fn set_current_holder(guard: &Self) {
        guard.mutex.raw.set_holder(with_state(take_lock));
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: there is one guard at a time, from when the lock is taken to when it is given back, and
        // this one is borrowed shared: no `&mut` to the value exists.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: there is one guard at a time, and this one is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.unlock(self.panicking);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

/// Access to the value of a [`Mutex`] that it keeps itself; dropping it gives the lock back.
///
/// [`Mutex::lock_owned`] returns it. It is `Send` and `Sync` where a [`MutexGuard`] is.
///
/// ```compile_fail
/// fn sync<T: Sync>() {}
/// sync::<twoply::sync::OwnedMutexGuard<std::cell::Cell<u32>>>();
/// ```
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct OwnedMutexGuard<T: ?Sized> {
    mutex: Arc<Mutex<T>>,
    /// True as in [`MutexGuard`], and false likewise.
    panicking: bool,
    /// Makes the guard `Sync` only where `&T` may be shared.
    value: PhantomData<T>,
}

impl<T: ?Sized> OwnedMutexGuard<T> {
    /// Makes the guard of a lock that the caller has taken.
    #[inline]
    pub(super) fn new(mutex: Arc<Mutex<T>>) -> OwnedMutexGuard<T> {
        OwnedMutexGuard { panicking: mutex.is_panicking(), mutex, value: PhantomData }
    }

    /// Returns the mutex whose lock this is. An associated function, so that it hides no method of the
    /// value's.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::{Mutex, OwnedMutexGuard}};
    ///
    /// let mutex = Arc::new(Mutex::new(7));
    /// let guard = Arc::clone(&mutex).lock_owned().wait();
    /// assert!(Arc::ptr_eq(OwnedMutexGuard::mutex(&guard), &mutex));
    /// ```
    pub fn mutex(guard: &Self) -> &Arc<Mutex<T>> {
        &guard.mutex
    }

    /// Says that the guard stays with the running task from here on: that one is known to have the lock then,
    /// and [deadlocks](Mutex#deadlocks) with it are found. Says nothing outside of any task.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::{LockError, Mutex, OwnedMutexGuard}};
    ///
    /// let mutex = Arc::new(Mutex::new(0));
    /// let task = twoply::spawn(async move {
    ///     let guard = Arc::clone(&mutex).lock_owned().await;
    ///     OwnedMutexGuard::set_current_holder(&guard);
    ///     matches!(mutex.lock().checked().await, Err(LockError::Deadlock(_)))
    /// });
    /// assert!(task.wait()?);
    /// # Ok::<(), twoply::promise::Failure>(())
    /// ```
    pub fn set_current_holder(guard: &Self) {
        guard.mutex.raw.set_holder(with_state(take_lock));
    }

    /// Says that the guard is going to be used by another task than the one that is known to have the lock;
    /// see [`MutexGuard::clear_holder`].
    pub fn clear_holder(guard: &Self) {
        guard.mutex.raw.set_holder(None);
    }
}

impl<T: ?Sized> Deref for OwnedMutexGuard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: as for `MutexGuard`.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for OwnedMutexGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `MutexGuard`.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for OwnedMutexGuard<T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.unlock(self.panicking);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

mapped! { changing MutexGuard<'a, T> }
mapped! { changing OwnedMutexGuard<T> }
