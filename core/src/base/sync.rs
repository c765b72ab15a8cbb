//! What our own state words are built from: std's types, or loom's when the models run (`--cfg loom`).

/// A cell whose every access the models see.
#[cfg(not(loom))]
pub(crate) mod cell;
#[cfg(not(loom))]
mod mutex;
#[cfg(loom)]
mod once_lock;
#[cfg(any(not(loom), test))]
mod raw_lock;
/// Atomics whose SeqCst operations have one order. Std's have it; loom takes SeqCst for AcqRel but on fences.
#[cfg(loom)]
pub(crate) mod seq_cst;

#[cfg(loom)]
pub(crate) use loom::cell;
#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(loom))]
pub(crate) use mutex::{Mutex, MutexGuard, assert_unlocked, lock};
#[cfg(loom)]
pub(crate) use once_lock::OnceLock;
#[cfg(not(loom))]
pub(crate) use std::sync::{OnceLock, atomic, atomic as seq_cst};

/// As that of the library's own mutex, of which there are none in the models.
#[cfg(loom)]
pub(crate) fn assert_unlocked() {}

/// Locks a mutex of std's: the one for sections that are long or block, and for condition variables.
///
/// Poisoning is ignored: no code of the user's runs under the locks of this library, and each critical section leaves
/// its data whole at every step.
pub(crate) fn lock_std<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Locks `mutex`; loom's, which is poisoned by a model that fails.
#[cfg(loom)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
