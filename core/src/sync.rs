//! The atomics of our own state words: std's, or loom's when the models run (`--cfg loom`).

#[cfg(loom)]
pub(crate) use loom::sync::atomic;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic;
