//! Locking a mutex of std's under which nothing panics.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`. Its value is whole even if somebody has panicked under the lock.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
