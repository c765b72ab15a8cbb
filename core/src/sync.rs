//! Locks and signals between tasks.
//!
//! |                 | what it is for                                                              |
//! |-----------------|-----------------------------------------------------------------------------|
//! | [`Mutex`]       | a value that one task at a time has access to                               |
//! | [`RwLock`]      | a value that any number of tasks read, or one changes                       |
//! | [`Semaphore`]   | a limit for how many do something at a time, or how much of it              |
//! | [`Condvar`]     | waiting for a change of what a mutex guards                                 |
//! | [`Notify`]      | telling one of those who wait, or all, that something has happened          |
//! | [`Event`]       | a flag that is waited for                                                   |
//! | [`Barrier`]     | a number of tasks that wait for each other                                  |
//! | [`OnceCell`], [`LazyCell`] | a value that is made once, by code that may wait                 |
//! | [`CancellationToken`] | asking a tree of tasks to end                                         |
//!
//! Every wait is a future, finished by `.await` or [`.wait()`](crate::Wait::wait), and a time limit is put on
//! it by [`timeout`](crate::time::timeout()). All of it may be shared by tasks of any backend and by threads
//! of no backend. Whoever waits keeps no worker from other tasks, and whoever stops waiting leaves nothing
//! behind.
//!
//! This module never blocks a thread: all waiting is in the futures. It runs no code of the user's while it
//! holds a lock of its own.

mod barrier;
mod cancellation;
mod condvar;
mod event;
mod lock;
mod mapped;
mod mutex;
mod notify;
mod once;
mod permits;
mod rwlock;
mod semaphore;

pub use barrier::{Barrier, BarrierWait, BarrierWaitResult};
pub use cancellation::{CancellationToken, Cancelled, CancelledOwned, DropGuard};
pub use condvar::{Condvar, CondvarGuard, CondvarWait};
pub use event::{Event, EventWait};
pub use lock::LockError;
pub use mapped::MappedGuard;
pub use mutex::{CheckedLock, CheckedLockOwned, Lock, LockOwned, Mutex, MutexGuard, OwnedMutexGuard};
pub use notify::{Notified, Notify};
pub use once::{LazyCell, LazyFuture, OnceCell};
pub use rwlock::{
    CheckedRead, CheckedReadOwned, CheckedWrite, CheckedWriteOwned, OwnedRwLockReadGuard,
    OwnedRwLockWriteGuard, Read, ReadOwned, RwLock, RwLockReadGuard, RwLockWriteGuard, Write, WriteOwned,
};
pub use semaphore::{
    Acquire, AcquireError, AcquireOwned, OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError,
};
