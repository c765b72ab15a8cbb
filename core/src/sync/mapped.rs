//! Guards of a part of what a lock guards.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// A guard of a part of the value of a lock, which `map` of that lock's guard `G` makes.
///
/// Dropping it gives the lock back, as dropping `G` does. A mapped guard that changes the value is one of a
/// guard that does. It may be held across waits, and be sent to other threads if `G` may and the part is
/// `Send` and `Sync`.
///
/// # Examples
/// ```
/// use twoply::{Wait, sync::{MappedGuard, Mutex, MutexGuard}};
///
/// struct Account { owner: String, cents: i64 }
///
/// let account = Mutex::new(Account { owner: "Ann".into(), cents: 100 });
/// let mut cents = MutexGuard::map(account.lock().wait(), |account| &mut account.cents);
/// *cents -= 30;
/// let account = MappedGuard::unmap(cents);
/// assert_eq!((account.owner.as_str(), account.cents), ("Ann", 70));
/// ```
/// A part of a shorter life can not take the place of one that is borrowed for ever:
/// ```compile_fail
/// use twoply::sync::{MappedGuard, MutexGuard};
///
/// fn shorten<'a, 'b>(
///     guard: MappedGuard<MutexGuard<'a, &'static str>, &'static str>,
/// ) -> MappedGuard<MutexGuard<'a, &'static str>, &'b str> {
///     guard
/// }
/// ```
#[must_use = "the lock is given back as soon as its guard is dropped"]
pub struct MappedGuard<G, U: ?Sized> {
    /// The part, borrowed through `guard` for as long as that is here: shared, or exclusively if `G` changes
    /// the value. `*mut` because the part must be neither more nor less than what it is where it lies.
    part: *mut U,
    guard: G,
}

// SAFETY: whoever has the mapped guard has a `&U` or a `&mut U`, and with it `G`: the first may go to another
// thread where `U` is `Sync`, the second where it is `Send`.
unsafe impl<G: Send, U: ?Sized + Send + Sync> Send for MappedGuard<G, U> {}
// SAFETY: whoever shares the mapped guard shares a `&U`, and has no way to `G`.
unsafe impl<G: Sync, U: ?Sized + Sync> Sync for MappedGuard<G, U> {}

impl<G: Deref, U: ?Sized> MappedGuard<G, U> {
    /// Makes one that reads, of a guard whose value stays where it is when the guard is moved, and is not
    /// changed as long as that lives.
    pub(super) fn reading(guard: G, part: impl FnOnce(&G::Target) -> Option<&U>) -> Result<Self, G> {
        match part(&guard).map(|part| std::ptr::from_ref(part).cast_mut()) {
            Some(part) => Ok(MappedGuard { part, guard }),
            None => Err(guard),
        }
    }

    /// Returns the guard of the whole value.
    pub fn unmap(mapped: Self) -> G {
        mapped.guard
    }
}

impl<G: DerefMut, U: ?Sized> MappedGuard<G, U> {
    /// Makes one that changes, of a guard whose value stays where it is when the guard is moved, and to which
    /// there is no other way as long as that lives.
    pub(super) fn changing(
        mut guard: G,
        part: impl FnOnce(&mut G::Target) -> Option<&mut U>,
    ) -> Result<Self, G> {
        match part(&mut guard).map(std::ptr::from_mut) {
            Some(part) => Ok(MappedGuard { part, guard }),
            None => Err(guard),
        }
    }
}

impl<G, U: ?Sized> Deref for MappedGuard<G, U> {
    type Target = U;

    #[inline]
    fn deref(&self) -> &U {
        // SAFETY: `part` has been borrowed from the value behind `guard`, which is still held, and is not
        // used but through `part`. The mapped guard is borrowed shared: no `&mut` to the part exists.
        unsafe { &*self.part }
    }
}

impl<G: DerefMut, U: ?Sized> DerefMut for MappedGuard<G, U> {
    #[inline]
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: as above, and borrowed exclusively. Guards that are `DerefMut` are mapped by `changing`
        // only, so `part` was a `&mut U`.
        unsafe { &mut *self.part }
    }
}

impl<G, U: ?Sized + fmt::Debug> fmt::Debug for MappedGuard<G, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        U::fmt(self, f)
    }
}

impl<G, U: ?Sized + fmt::Display> fmt::Display for MappedGuard<G, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        U::fmt(self, f)
    }
}

/// Defines `map` and `try_map` of the guard `$name`: of one that reads, or of one that changes the value.
macro_rules! mapped {
    (reading $($guard:tt)*) => { mapped! { @ reading, &T => &U, $($guard)* } };
    (changing $($guard:tt)*) => { mapped! { @ changing, &mut T => &mut U, $($guard)* } };
    (@ $make:ident, $whole:ty => $part:ty, $name:ident<$($life:lifetime,)? T>) => {
        impl<$($life,)? T: ?Sized> $name<$($life,)? T> {
            /// Makes a guard of a part of the value; see [`MappedGuard`](crate::sync::MappedGuard). An
            /// associated function, so that it hides no method of the value's.
            ///
            /// # Panics
            /// As `part` does. The lock is given back then.
            pub fn map<U: ?Sized>(
                guard: Self,
                part: impl FnOnce($whole) -> $part,
            ) -> $crate::sync::MappedGuard<Self, U> {
                match Self::try_map(guard, |value| Some(part(value))) {
                    Ok(mapped) => mapped,
                    Err(_) => unreachable!("there is a part"),
                }
            }

            /// As `map`, if there is such a part.
            ///
            /// # Errors
            /// With the guard itself if there is none.
            ///
            /// # Panics
            /// As `part` does. The lock is given back then.
            pub fn try_map<U: ?Sized>(
                guard: Self,
                part: impl FnOnce($whole) -> Option<$part>,
            ) -> Result<$crate::sync::MappedGuard<Self, U>, Self> {
                $crate::sync::MappedGuard::$make(guard, part)
            }
        }
    };
}
pub(super) use mapped;

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sync::{
        Mutex, MutexGuard, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock,
        RwLockReadGuard, RwLockWriteGuard,
    };

    /// Passes a guard on by value, with its part in use before and after.
    fn moved<G: DerefMut>(mut mapped: MappedGuard<G, [i32]>) -> G {
        mapped[0] += 1;
        let mut mapped = *Box::new(mapped);
        mapped[0] += 1;
        MappedGuard::unmap(mapped)
    }

    /// As [`moved`], for one that reads.
    fn read<G: Deref>(mapped: MappedGuard<G, [i32]>) -> i32 {
        let before = mapped[0];
        let mapped = *Box::new(mapped);
        before + mapped[0]
    }

    #[test]
    fn guards_of_a_part_are_moved_and_give_the_whole_back() {
        let mutex = Arc::new(Mutex::new(([0, 0], 0)));
        let mut whole = moved(MutexGuard::map(mutex.try_lock().unwrap(), |(array, _)| &mut array[..]));
        whole.0[0] += 1;
        drop(whole);
        let owned = Arc::clone(&mutex).try_lock_owned().unwrap();
        assert_eq!(moved(OwnedMutexGuard::map(owned, |(array, _)| &mut array[..])).0, [5, 0]);

        let lock = Arc::new(RwLock::new([0, 0]));
        assert_eq!(*moved(RwLockWriteGuard::map(lock.try_write().unwrap(), |array| &mut array[..])), [2, 0]);
        let owned = Arc::clone(&lock).try_write_owned().unwrap();
        assert_eq!(*moved(OwnedRwLockWriteGuard::map(owned, |array| &mut array[..])), [4, 0]);
        let reader = RwLockReadGuard::map(lock.try_read().unwrap(), |array| &array[..]);
        let owned = Arc::clone(&lock).try_read_owned().unwrap();
        assert_eq!(read(OwnedRwLockReadGuard::map(owned, |array| &array[..])) + read(reader), 16);
        assert!(lock.try_write().is_some());
    }
}
