//! Access to the value of a lock that is held.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::super::mapped::mapped;
use super::RwLock;
use super::raw::{Access, READER, WRITER};
use crate::kernel::task::TaskId;

/// Implements what all guards have in common. Each has the fields `lock` and `holder`, is made with
/// `$permits` of the lock, and gives back as many as `$held` says.
macro_rules! guard {
    ($name:ident<$($life:lifetime,)? T> of $permits:ident, $held:expr) => {
        impl<$($life,)? T: ?Sized> Deref for $name<$($life,)? T> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: the guard holds at least one permit, so nobody else has all of them; and one that
                // has all of them itself is borrowed shared: no `&mut` to the value exists.
                unsafe { &*self.lock.value.get() }
            }
        }

        impl<$($life,)? T: ?Sized> Drop for $name<$($life,)? T> {
            #[inline]
            fn drop(&mut self) {
                let held: fn(&Self) -> usize = $held;
                Access::<$permits>(&self.lock.raw).remove_holder(self.holder);
                self.lock.raw.release(held(self));
            }
        }

        impl<$($life,)? T: ?Sized> $name<$($life,)? T> {
            /// Says that the guard is going to be used by another task than the one that is known to hold it,
            /// or by code of no task. [`MutexGuard::clear_holder`](crate::sync::MutexGuard::clear_holder) has
            /// an example.
            #[inline]
            pub fn clear_holder(guard: &mut Self) {
                Access::<$permits>(&guard.lock.raw).remove_holder(guard.holder.take());
            }

            /// Says that the guard stays with the running task from here on, which is known to hold it then,
            /// as [`OwnedMutexGuard::set_current_holder`](crate::sync::OwnedMutexGuard::set_current_holder)
            /// does.
            pub fn set_current_holder(guard: &mut Self) {
                Self::clear_holder(guard);
                guard.holder = guard.lock.hold::<$permits>();
            }
        }

        impl<$($life,)? T: ?Sized + fmt::Debug> fmt::Debug for $name<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                T::fmt(self, f)
            }
        }

        impl<$($life,)? T: ?Sized + fmt::Display> fmt::Display for $name<$($life,)? T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                T::fmt(self, f)
            }
        }
    };
}

/// Implements access for changing the value, for guards that hold all permits.
macro_rules! write_guard {
    ($name:ident<$($life:lifetime,)? T> of $held:expr) => {
        guard!($name<$($life,)? T> of WRITER, $held);

        impl<$($life,)? T: ?Sized> DerefMut for $name<$($life,)? T> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                // SAFETY: the guard holds all permits, so there is no other guard, and this one is borrowed
                // exclusively.
                unsafe { &mut *self.lock.value.get() }
            }
        }
    };
}

/// Access for reading to the value of a [`RwLock`]; dropping it gives the lock back.
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<twoply::sync::RwLockReadGuard<'static, std::cell::Cell<u32>>>();
/// ```
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// The task that is known to hold it.
    holder: Option<TaskId>,
}

guard!(RwLockReadGuard<'a, T> of READER, |_| READER);

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// Makes the guard of a permit that the caller has taken.
    #[inline]
    pub(super) fn new(lock: &'a RwLock<T>, holder: Option<TaskId>) -> RwLockReadGuard<'a, T> {
        RwLockReadGuard { lock, holder }
    }
}

/// Access to the value of a [`RwLock`], for changing it; dropping it gives the lock back.
///
/// ```compile_fail
/// fn sync<T: Sync>() {}
/// sync::<twoply::sync::RwLockWriteGuard<'static, std::cell::Cell<u32>>>();
/// ```
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// The task that is known to hold it.
    holder: Option<TaskId>,
    /// Makes the guard `Send` and `Sync` only where a `&mut T` is.
    value: PhantomData<&'a mut T>,
}

write_guard!(RwLockWriteGuard<'a, T> of |_| WRITER);

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Makes the guard of the permits that the caller has taken.
    #[inline]
    pub(super) fn new(lock: &'a RwLock<T>, holder: Option<TaskId>) -> RwLockWriteGuard<'a, T> {
        RwLockWriteGuard { lock, holder, value: PhantomData }
    }

    /// Goes on reading only: nobody changes the value in between, and those who wait for reading join in.
    ///
    /// ```
    /// use twoply::{Wait, sync::{RwLock, RwLockWriteGuard}};
    ///
    /// let lock = RwLock::new(7);
    /// let mut writer = lock.write().wait();
    /// *writer += 1;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!(*reader + *lock.read().wait(), 16);
    /// ```
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let guard = ManuallyDrop::new(guard);
        guard.lock.raw.release(WRITER - READER);
        RwLockReadGuard::new(guard.lock, guard.holder)
    }
}

/// Access for reading to the value of a [`RwLock`] that it keeps itself; dropping it gives the lock back.
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct OwnedRwLockReadGuard<T: ?Sized> {
    lock: Arc<RwLock<T>>,
    /// The task that is known to hold it.
    holder: Option<TaskId>,
}

guard!(OwnedRwLockReadGuard<T> of READER, |_| READER);

impl<T: ?Sized> OwnedRwLockReadGuard<T> {
    /// Makes the guard of a permit that the caller has taken.
    #[inline]
    pub(super) fn new(lock: Arc<RwLock<T>>, holder: Option<TaskId>) -> OwnedRwLockReadGuard<T> {
        OwnedRwLockReadGuard { lock, holder }
    }
}

/// Access to the value of a [`RwLock`] that it keeps itself, for changing it; dropping it gives the lock
/// back.
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct OwnedRwLockWriteGuard<T: ?Sized> {
    lock: Arc<RwLock<T>>,
    /// The task that is known to hold it.
    holder: Option<TaskId>,
    /// The permits that are given back when the guard is dropped: all, but for one that goes on reading.
    held: usize,
}

write_guard!(OwnedRwLockWriteGuard<T> of |guard| guard.held);

impl<T: ?Sized> OwnedRwLockWriteGuard<T> {
    /// Makes the guard of the permits that the caller has taken.
    #[inline]
    pub(super) fn new(lock: Arc<RwLock<T>>, holder: Option<TaskId>) -> OwnedRwLockWriteGuard<T> {
        OwnedRwLockWriteGuard { lock, holder, held: WRITER }
    }

    /// Goes on reading only; see [`RwLockWriteGuard::downgrade`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, sync::{OwnedRwLockWriteGuard, RwLock}};
    ///
    /// let lock = Arc::new(RwLock::new(7));
    /// let reader = OwnedRwLockWriteGuard::downgrade(Arc::clone(&lock).write_owned().wait());
    /// assert_eq!(*reader + *lock.read().wait(), 14);
    /// ```
    pub fn downgrade(mut guard: Self) -> OwnedRwLockReadGuard<T> {
        let reader = OwnedRwLockReadGuard::new(Arc::clone(&guard.lock), guard.holder.take());
        guard.held = WRITER - READER;
        reader
    }
}

mapped! { reading RwLockReadGuard<'a, T> }
mapped! { changing RwLockWriteGuard<'a, T> }
mapped! { reading OwnedRwLockReadGuard<T> }
mapped! { changing OwnedRwLockWriteGuard<T> }
