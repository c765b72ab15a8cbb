//! What our own state words are built from: std's types, or loom's when the models run (`--cfg loom`).

/// A cell whose every access the models see.
#[cfg(not(loom))]
pub(crate) mod cell;
#[cfg(loom)]
mod once_lock;
/// Atomics whose SeqCst operations have one order. Std's have it; loom takes SeqCst for AcqRel but on fences.
#[cfg(loom)]
pub(crate) mod seq_cst;

#[cfg(loom)]
pub(crate) use loom::cell;
#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(loom)]
pub(crate) use once_lock::OnceLock;
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock, atomic, atomic as seq_cst};

/// Locks a mutex that only ever guards our own code: nothing that runs under it can panic and leave a value
/// half changed, so poison means nothing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
