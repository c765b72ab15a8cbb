//! Locks, cells and atomics for the library's own state: std's types, or loom's when the models run
//! (`--cfg loom`).
//!
//! There are two kinds of mutex. [`Mutex`] with [`lock`] is the library's own, for sections of nanoseconds;
//! it is loom's in the models. A mutex of std's is locked with [`lock_std`]: for long sections, and with
//! condition variables.

/// An `UnsafeCell` whose accesses the models see.
#[cfg(not(loom))]
pub(crate) mod cell;
mod cold_mutex;
#[cfg(not(loom))]
mod mutex;
#[cfg(loom)]
mod once_lock;
#[cfg(any(not(loom), test))]
mod raw_lock;
/// Atomics whose SeqCst operations have a single order. Std's have one; loom treats SeqCst as AcqRel except
/// on fences.
#[cfg(loom)]
pub(crate) mod seq_cst;

pub(crate) use cold_mutex::ColdMutex;
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

/// Makes a function `const`, but not in the models: loom's types cannot be made in constants.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($argument:ident: $Type:ty),*) -> $Output:ty $body:block) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $name($($argument: $Type),*) -> $Output $body
        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $name($($argument: $Type),*) -> $Output $body
    };
}
pub(crate) use const_fn;

/// Does nothing: the models have no mutexes of the library's own to check.
#[cfg(loom)]
pub(crate) fn assert_unlocked() {}

/// Locks a mutex of std's. Poisoning is ignored: no code of the user's runs under the locks of this library,
/// and each critical section leaves its data whole at every step.
pub(crate) fn lock_std<T: ?Sized>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Locks `mutex`, which is loom's. A model that fails poisons it; that is ignored.
#[cfg(loom)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
