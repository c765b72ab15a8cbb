//! The types that our own lock-free structures are built from: std's, or loom's when the models run (`--cfg
//! loom`).
//!
//! Only modules that have a loom model use this; everything else uses std directly. Loom's types work only
//! inside `loom::model`, so under `--cfg loom` only the models can be run.

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard, atomic};
#[cfg(loom)]
pub(crate) use loom::thread::yield_now;
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, atomic};
#[cfg(not(loom))]
pub(crate) use std::thread::yield_now;
