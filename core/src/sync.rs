//! Locks and signals between tasks.
//!
//! |                 | what it is for                                                              |
//! |-----------------|-----------------------------------------------------------------------------|
//! | [`Mutex`]       | a value that one task at a time has access to                               |
//! | [`RwLock`]      | a value that any number of tasks read, or one changes                       |
//! | [`Semaphore`]   | a limit for how many do something at a time, or how much of it              |
//!
//! Every wait is a future, finished by `.await` or [`.wait()`](crate::Wait::wait), and a time limit is put on
//! it by [`timeout`](crate::time::timeout()). All of it may be shared by tasks of any backend and by threads
//! of no backend. Whoever waits keeps no worker from other tasks, and whoever stops waiting leaves nothing
//! behind.
//!
//! This module never blocks a thread: all waiting is in the futures. It runs no code of the user's while it
//! holds a lock of its own.

mod mutex;
mod permits;
mod rwlock;
mod semaphore;

pub use mutex::{CheckedLock, Lock, LockError, LockOwned, Mutex, MutexGuard, OwnedMutexGuard};
pub use rwlock::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, Read, ReadOwned, RwLock, RwLockReadGuard, RwLockWriteGuard,
    Write, WriteOwned,
};
pub use semaphore::{
    Acquire, AcquireError, AcquireOwned, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError,
};
