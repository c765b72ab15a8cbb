//! Locks and signals between tasks.
//!
//! Every wait is a future, finished by `.await` or [`.wait()`](crate::Wait::wait), and a time limit is put on it by
//! [`timeout`](crate::time::timeout()). All of it may be shared by tasks of any backend and by threads of no backend.
//! Whoever waits keeps no worker from other tasks, and whoever stops waiting leaves nothing behind.
//!
//! This module never blocks a thread: all waiting is in the futures. It runs no code of the user's while it holds a
//! lock of its own.
