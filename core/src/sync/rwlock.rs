//! A lock that many may hold for reading, or one for writing.
//!
//! It is a number of [permits](super::permits): a reader takes one of them, a writer all. So what makes it
//! fair and cancel-safe is what makes semaphores so. The lock itself is in [`raw`], without the value.

mod guard;
mod raw;
mod wait;

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc;

use super::lock::RawLock;
use crate::kernel::strand::with_state;
use crate::kernel::task::TaskId;
use crate::kernel::task::holders::take_lock;
use raw::{Access, READER, RawRwLock, WRITER};

pub use guard::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLockReadGuard, RwLockWriteGuard};
pub use wait::{
    CheckedRead, CheckedReadOwned, CheckedWrite, CheckedWriteOwned, Read, ReadOwned, Write, WriteOwned,
};

/// A value that any number of tasks read at a time, or one changes.
///
/// Guards may be held across waits, by `.await` and by `.wait()`: they stop nobody but those who want the
/// same lock.
///
/// # Fairness
/// The lock is first come, first served: readers that come while a writer waits do so as well. So neither
/// readers nor writers are starved. Only a writer that runs may take a free lock ahead of another one that
/// has been woken for it, a few times at most, as at a [mutex](super::Mutex). It follows that a task that
/// holds a guard and waits for a second one, even if both are for reading, may wait for ever, behind a writer
/// that waits for the first.
///
/// # Deadlocks
/// As [those of a mutex](super::Mutex#deadlocks): the lock knows the tasks that hold it, up to four of those
/// that read, and who waits behind a writer waits for that. So who is a part of a circle is told, with the
/// names of all in it: its wait panics, or returns [`LockError::Deadlock`](super::LockError::Deadlock) if it
/// is [`checked`](Write::checked). Who hands a guard to another task has to
/// [say so](RwLockWriteGuard::clear_holder), and of an owned guard one may say
/// [that it stays](OwnedRwLockWriteGuard::set_current_holder).
///
/// A panic while the lock is held gives it back, and leaves the value as it is: there is no poisoning. A
/// reader cannot be made a writer, since two that want that would wait for each other; a writer can be made a
/// [reader](RwLockWriteGuard::downgrade).
///
/// # Examples
/// ```
/// use twoply::{Wait, sync::RwLock};
///
/// let names = RwLock::new(vec!["io"]);
/// {
///     let (one, other) = (names.read().wait(), names.read().wait());
///     assert_eq!(one[0], other[0]);
/// }
/// names.write().wait().push("erlang");
/// assert_eq!(names.read().wait().len(), 2);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    /// Read by those who have a permit, changed by the one who has all of them.
    value: UnsafeCell<T>,
}

// SAFETY: a shared lock gives access to the value through its guards alone: shared access to any number of
// threads at a time, hence T: Sync, or exclusive access to one after the other, hence T: Send.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    /// Makes a lock that nobody holds.
    ///
    /// ```
    /// use twoply::{Wait, sync::RwLock};
    ///
    /// static LIMIT: RwLock<u32> = RwLock::new(10);
    /// assert_eq!(*LIMIT.read().wait(), 10);
    /// ```
    #[cfg(not(loom))]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { raw: RawRwLock::new(), value: UnsafeCell::new(value) }
    }

    /// Returns the value. Nobody can hold the lock.
    ///
    /// ```
    /// assert_eq!(twoply::sync::RwLock::new(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody changes the value, and returns a guard for reading it.
    ///
    /// Finish it with `.await` or `.wait()`; [`timeout`](crate::time::timeout()) limits the time. It is
    /// cancel-safe: a future that is dropped, even when it has been granted the lock already, holds nothing.
    ///
    /// # Panics
    /// The future does if the wait would never end, because it would be for the waiting task itself;
    /// [`Read::checked`] returns an error instead.
    ///
    /// ```
    /// use twoply::{Wait, sync::RwLock};
    ///
    /// let lock = RwLock::new(7);
    /// let reader = lock.read().wait();
    /// assert_eq!(*reader + *lock.read().wait(), 14);
    /// ```
    #[inline]
    pub fn read(&self) -> Read<'_, T> {
        Read::new(self)
    }

    /// Waits until nobody else holds the lock, and returns a guard for changing the value. It is as
    /// cancel-safe as [`RwLock::read`]; readers that came later go on when the future is dropped.
    ///
    /// # Panics
    /// As [`RwLock::read`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, sync::RwLock, time::timeout};
    ///
    /// let lock = RwLock::new(7);
    /// let reader = lock.read().wait();
    /// assert!(timeout(Duration::from_millis(1), lock.write()).wait().is_err());
    /// drop(reader);
    /// *lock.write().wait() += 1;
    /// assert_eq!(lock.into_inner(), 8);
    /// ```
    #[inline]
    pub fn write(&self) -> Write<'_, T> {
        Write::new(self)
    }

    /// Waits for a guard for reading that borrows nothing, as [`RwLock::read`]: it keeps the lock itself.
    ///
    /// # Panics
    /// As [`RwLock::read`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::RwLock};
    ///
    /// let guard = Arc::new(RwLock::new(7)).read_owned().wait();
    /// assert_eq!(twoply::spawn(async move { *guard }).wait().unwrap(), 7);
    /// ```
    #[inline]
    pub fn read_owned(self: Arc<Self>) -> ReadOwned<T> {
        ReadOwned::new(self)
    }

    /// Waits for a guard for changing the value that borrows nothing, as [`RwLock::write`]: it keeps the lock
    /// itself.
    ///
    /// # Panics
    /// As [`RwLock::read`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::RwLock};
    ///
    /// let lock = Arc::new(RwLock::new(7));
    /// let mut guard = Arc::clone(&lock).write_owned().wait();
    /// twoply::spawn(async move { *guard += 1 }).wait().unwrap();
    /// assert_eq!(*lock.read().wait(), 8);
    /// ```
    #[inline]
    pub fn write_owned(self: Arc<Self>) -> WriteOwned<T> {
        WriteOwned::new(self)
    }

    /// Returns a guard for reading if nobody changes the value, and nobody waits. Never waits.
    ///
    /// ```
    /// use twoply::sync::RwLock;
    ///
    /// let lock = RwLock::new(7);
    /// let reader = lock.try_read().unwrap();
    /// assert!(lock.try_read().is_some());
    /// assert!(lock.try_write().is_none());
    /// drop(reader);
    /// let _writer = lock.try_write().unwrap();
    /// assert!(lock.try_read().is_none());
    /// ```
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.try_take::<READER>().then(|| RwLockReadGuard::new(self, self.hold::<READER>()))
    }

    /// Returns a guard for changing the value if nobody holds the lock. Never waits. [`RwLock::try_read`] has
    /// an example.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.try_take::<WRITER>().then(|| RwLockWriteGuard::new(self, self.hold::<WRITER>()))
    }

    /// As [`RwLock::try_read`], with a guard that borrows nothing.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::sync::RwLock;
    ///
    /// let lock = Arc::new(RwLock::new(7));
    /// let reader = Arc::clone(&lock).try_read_owned().unwrap();
    /// assert_eq!(std::thread::spawn(move || *reader).join().unwrap(), 7);
    /// ```
    pub fn try_read_owned(self: Arc<Self>) -> Option<OwnedRwLockReadGuard<T>> {
        self.try_take::<READER>().then(|| OwnedRwLockReadGuard::new(self, None))
    }

    /// As [`RwLock::try_write`], with a guard that borrows nothing.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::sync::RwLock;
    ///
    /// let lock = Arc::new(RwLock::new(7));
    /// let mut writer = Arc::clone(&lock).try_write_owned().unwrap();
    /// *writer += 1;
    /// assert!(lock.try_read().is_none());
    /// drop(writer);
    /// assert_eq!(*lock.try_read().unwrap(), 8);
    /// ```
    pub fn try_write_owned(self: Arc<Self>) -> Option<OwnedRwLockWriteGuard<T>> {
        self.try_take::<WRITER>().then(|| OwnedRwLockWriteGuard::new(self, None))
    }

    #[inline]
    fn try_take<const PERMITS: usize>(&self) -> bool {
        Access::<PERMITS>(&self.raw).try_lock()
    }

    /// Records that the running task has as many permits, which the caller has. Returns the task.
    #[inline]
    fn hold<const PERMITS: usize>(&self) -> Option<TaskId> {
        let holder = with_state(take_lock);
        Access::<PERMITS>(&self.raw).add_holder(holder);
        holder
    }

    /// Returns access to the value without locking: the exclusive reference shows that nobody else has any.
    ///
    /// ```
    /// use twoply::sync::RwLock;
    ///
    /// let mut lock = RwLock::new(7);
    /// *lock.get_mut() += 1;
    /// assert_eq!(lock.into_inner(), 8);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    /// Shows the value if it may be read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RwLock");
        match self.try_take::<READER>().then(|| RwLockReadGuard::new(self, None)) {
            Some(value) => shown.field("value", &&*value),
            None => shown.field("value", &format_args!("<locked>")),
        };
        shown.finish_non_exhaustive()
    }
}

#[cfg(not(loom))]
impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

#[cfg(not(loom))]
impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}
