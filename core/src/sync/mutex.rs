//! A mutex whose lock is waited for like anything else: by `.await` or `.wait()`.
//!
//! The lock itself is in [`raw`], without the value that it guards: who gets it, and why nobody waits in
//! vain.

mod guard;
mod lock;
mod raw;

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc;

use super::lock::RawLock;
use crate::base::sync::atomic::AtomicU8;
use crate::base::sync::atomic::Ordering::Relaxed;
use crate::base::sync::const_fn;
use crate::kernel::strand::with_state;
use crate::kernel::task::holders::take_lock;
use raw::RawMutex;

pub use guard::{MutexGuard, OwnedMutexGuard};
pub use lock::{CheckedLock, CheckedLockOwned, Lock, LockOwned};

/// A value that one task at a time has access to.
///
/// [`lock`](Mutex::lock) waits for the lock, and its [guard](MutexGuard) gives it back when it is dropped.
/// The guard may be held across waits, by `.await` and by `.wait()`: it stops nobody but those who want the
/// same lock. For a value that is never held across a wait, and by few at a time, `std::sync::Mutex` does as
/// well, on every backend.
///
/// # Fairness
/// A task that runs takes a free lock at once, even when others wait for it; those wait in a queue, first
/// come, first served. One that has been woken for the lock and has come too late a few times is handed the
/// lock by whoever has it. So nobody waits for ever, and a lock that many want is not passed from hand to
/// hand at the pace at which tasks are scheduled. That is how WebKit's `ParkingLot` and Go's mutexes do it.
/// One that has been woken for the lock is to be polled or dropped: while a program does neither, as with a
/// future that it keeps for later, those behind it in the queue wait.
///
/// # Deadlocks
/// A lock knows the task that has it. A task that would wait for itself in the end, because the one that has
/// the lock waits for another lock, for a promise or for a task, and so on, is not left waiting: one of those
/// in the circle is told, with the names of all of them. If it waits for a lock, its wait panics, as a lock
/// has no other reason to fail, or returns [`LockError::Deadlock`](super::LockError::Deadlock) if it is
/// [`checked`](Lock::checked); if it waits for a promise or a task, that comes out as
/// [`Failure::Deadlock`](crate::promise::Failure::Deadlock).
/// The smallest circle is a task that locks what it has locked already.
///
/// Only a wait counts that is for a lock without which its task cannot go on at all. That is found out before
/// anybody is told, whatever combinators of whatever library the wait stands in. Threads that run no task are
/// not known to have a lock, and who hands a guard to another task has to [say so](MutexGuard::clear_holder).
/// [Owned guards](Mutex::lock_owned) may be anywhere: one that stays with its task
/// [can be said to](OwnedMutexGuard::set_current_holder).
///
/// # Poisoning
/// A panic while the lock is held gives the lock back, and leaves the value as it is. A mutex made by
/// [`Mutex::poisoning`] remembers the panic, as std's does.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use twoply::{Wait, sync::Mutex};
///
/// let sum = Arc::new(Mutex::new(0));
/// let tasks: Vec<_> = (1..=4)
///     .map(|n| {
///         let sum = Arc::clone(&sum);
///         twoply::spawn(async move { *sum.lock().await += n })
///     })
///     .collect();
/// tasks.into_iter().for_each(|task| task.wait().unwrap());
/// assert_eq!(*sum.lock().wait(), 10);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    /// [`NEVER`], [`SOUND`] or [`POISONED`]. The lock orders the accesses of those who hold it; others only
    /// look.
    poison: AtomicU8,
    /// Accessed only by the holder of the lock.
    value: UnsafeCell<T>,
}

/// A panic does not poison the mutex.
const NEVER: u8 = 0;
/// A panic would poison the mutex, and none has.
const SOUND: u8 = 1;
/// A panic has poisoned the mutex.
const POISONED: u8 = 2;

// SAFETY: a shared mutex gives access to the value through its guards alone, and one guard at a time is
// there. So sharing the mutex sends the value from thread to thread and never shares it.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    const_fn! {
        /// Makes a mutex that nobody has locked.
        ///
        /// ```
        /// use twoply::{Wait, sync::Mutex};
        ///
        /// static NAMES: Mutex<Vec<&str>> = Mutex::new(Vec::new());
        /// NAMES.lock().wait().push("io");
        /// assert_eq!(*NAMES.lock().wait(), ["io"]);
        /// ```
        pub fn new(value: T) -> Mutex<T> {
            Mutex { raw: RawMutex::new(), poison: AtomicU8::new(NEVER), value: UnsafeCell::new(value) }
        }
    }

    /// Makes a mutex that nobody has locked and that a panic poisons: when a guard is dropped by a panic that
    /// has begun while the lock was held. Then every lock of it panics, or says so if it is
    /// [`checked`](Lock::checked), until [`clear_poison`](Mutex::clear_poison) is called. The unwinding of a
    /// cancelled task is no panic, and poisons nothing.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::{LockError, Mutex}};
    ///
    /// let mutex = Arc::new(Mutex::poisoning(0));
    /// let other = Arc::clone(&mutex);
    /// let task = twoply::spawn_fn(move || {
    ///     let mut half = other.lock().wait();
    ///     *half += 1;
    ///     panic!("before the other half is done");
    /// });
    /// assert!(task.wait().is_err());
    /// match mutex.lock().checked().wait() {
    ///     Err(LockError::Poisoned(mut value)) => *value = 0,
    ///     _ => unreachable!("a panic has left the value half done"),
    /// }
    /// mutex.clear_poison();
    /// assert_eq!(*mutex.lock().wait(), 0);
    /// ```
    #[cfg(not(loom))]
    pub const fn poisoning(value: T) -> Mutex<T> {
        Mutex { raw: RawMutex::new(), poison: AtomicU8::new(SOUND), value: UnsafeCell::new(value) }
    }

    /// Returns the value. Nobody can have locked it. Poison is ignored.
    ///
    /// ```
    /// assert_eq!(twoply::sync::Mutex::new(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock, and returns a guard with access to the value.
    ///
    /// Finish it with `.await` or `.wait()`; [`timeout`](crate::time::timeout()) limits the time. It is
    /// cancel-safe: a future that is dropped, even when it has been handed the lock already, has not locked
    /// anything, and whoever comes next has the lock.
    ///
    /// # Panics
    /// The future does if the wait would never end, because it would be for the waiting task itself, and if a
    /// panic has [poisoned](Mutex::poisoning) the mutex; [`Lock::checked`] returns an error instead.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, sync::Mutex, time::timeout};
    ///
    /// let mutex = Mutex::new(1);
    /// let mut guard = mutex.lock().wait();
    /// *guard += 1;
    /// assert!(timeout(Duration::from_millis(1), mutex.lock()).wait().is_err());
    /// drop(guard);
    /// assert_eq!(*mutex.lock().wait(), 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> Lock<'_, T> {
        Lock::new(self)
    }

    /// Waits for the lock, as [`Mutex::lock`], and returns a guard that borrows nothing: it keeps the mutex
    /// itself, and may go wherever the task likes.
    ///
    /// # Panics
    /// As [`Mutex::lock`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::Mutex};
    ///
    /// let mutex = Arc::new(Mutex::new(1));
    /// let mut guard = Arc::clone(&mutex).lock_owned().wait();
    /// twoply::spawn(async move { *guard += 1 }).wait().unwrap();
    /// assert_eq!(*mutex.lock().wait(), 2);
    /// ```
    #[inline]
    pub fn lock_owned(self: Arc<Self>) -> LockOwned<T> {
        LockOwned::new(self)
    }

    /// Returns a guard if nobody has the lock. Never waits.
    ///
    /// # Panics
    /// If a panic has [poisoned](Mutex::poisoning) the mutex.
    ///
    /// ```
    /// use twoply::sync::Mutex;
    ///
    /// let mutex = Mutex::new(1);
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(mutex.try_lock().is_none());
    /// drop(guard);
    /// assert!(mutex.try_lock().is_some());
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        if !self.raw.try_lock() {
            return None;
        }
        self.raw.set_holder(with_state(take_lock));
        Some(MutexGuard::unless_poisoned(self))
    }

    /// Returns a guard that borrows nothing, if nobody has the lock. Never waits.
    ///
    /// # Panics
    /// As [`Mutex::try_lock`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::sync::Mutex;
    ///
    /// let mutex = Arc::new(Mutex::new(1));
    /// let guard = Arc::clone(&mutex).try_lock_owned().unwrap();
    /// assert!(mutex.try_lock().is_none());
    /// assert_eq!(*guard, 1);
    /// ```
    pub fn try_lock_owned(self: Arc<Self>) -> Option<OwnedMutexGuard<T>> {
        if !self.raw.try_lock() {
            return None;
        }
        let guard = OwnedMutexGuard::new(self);
        OwnedMutexGuard::mutex(&guard).refuse_poison();
        Some(guard)
    }

    /// Returns access to the value without locking: the exclusive reference shows that nobody else has any.
    /// Poison is ignored.
    ///
    /// ```
    /// use twoply::sync::Mutex;
    ///
    /// let mut mutex = Mutex::new(1);
    /// *mutex.get_mut() += 1;
    /// assert_eq!(mutex.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Returns whether a panic has [poisoned](Mutex::poisoning) the mutex. It may happen right after.
    ///
    /// ```
    /// assert!(!twoply::sync::Mutex::poisoning(1).is_poisoned());
    /// ```
    pub fn is_poisoned(&self) -> bool {
        self.poison.load(Relaxed) == POISONED
    }

    /// Makes the mutex one that no panic has poisoned yet. Its value is as good as whoever calls this has
    /// made it.
    ///
    /// [`Mutex::poisoning`] has an example.
    pub fn clear_poison(&self) {
        // It may have been poisoned meanwhile, by one who has got the lock after the caller has: then that
        // stands or falls with the order of the two, which is the caller's.
        let _ = self.poison.compare_exchange(POISONED, SOUND, Relaxed, Relaxed);
    }

    /// Returns whether no panic poisons the mutex.
    #[inline]
    fn is_never_poisoned(&self) -> bool {
        self.poison.load(Relaxed) == NEVER
    }

    /// Panics if a panic has poisoned the mutex.
    #[inline]
    fn refuse_poison(&self) {
        if self.is_poisoned() {
            refuse_poisoned();
        }
    }

    /// Gives the lock back, which the caller has. `panicking_before` says that a panic was under way when it
    /// was taken.
    #[inline]
    fn unlock(&self, panicking_before: bool) {
        if !self.is_never_poisoned() {
            self.note_panic(panicking_before);
        }
        self.raw.unlock();
    }

    /// Poisons the mutex if a panic has begun while it was locked.
    #[cold]
    fn note_panic(&self, panicking_before: bool) {
        if !panicking_before && std::thread::panicking() && !is_unwinding_for_cancellation() {
            self.poison.store(POISONED, Relaxed);
        }
    }

    /// Returns whether a panic is under way, as far as that matters to a guard of this mutex.
    #[inline]
    fn is_panicking(&self) -> bool {
        !self.is_never_poisoned() && std::thread::panicking()
    }
}

/// Returns whether the running task has been unwound because it was cancelled. If that was caught, the task
/// goes on at its own risk, and so do those whom its panics would have told something.
fn is_unwinding_for_cancellation() -> bool {
    with_state(|state| state.has_unwound())
}

#[cold]
#[track_caller]
fn refuse_poisoned() -> ! {
    panic!("a mutex is poisoned: somebody has panicked while it was locked")
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    /// Shows the value if nobody has locked it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        match self.raw.try_lock().then(|| MutexGuard::new(self)) {
            Some(value) => shown.field("value", &&*value),
            None => shown.field("value", &format_args!("<locked>")),
        };
        shown.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

#[cfg(not(loom))]
impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

#[cfg(not(loom))]
impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}
