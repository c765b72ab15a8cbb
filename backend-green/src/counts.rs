//! What a worker counts for the others: what it is doing, and how much it holds.
//!
//! A worker writes these as it goes; the other workers, the watchdog and the metrics read them. All of it is Relaxed: a
//! reader gets a hint. Nothing here decides anything.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use twoply_core::backend::Job;

use crate::queue::Injector;

/// What a worker has done. Only the worker writes, so no write needs to be a read-modify-write.
#[derive(Default)]
pub(crate) struct Counts {
    /// Polls begun.
    pub(crate) polls: AtomicU64,
    /// The task that is being polled; 0: none.
    pub(crate) current: AtomicU64,
    /// Jobs taken from other workers.
    pub(crate) stolen: AtomicU64,
    /// Times that it slept in the kernel.
    pub(crate) sleeps: AtomicU64,
    /// Whether the watchdog found it held up by one task. Written by the watchdog.
    pub(crate) stuck: AtomicBool,
    /// Times that it was handed to another thread because its task blocked.
    pub(crate) handovers: AtomicU64,
    /// Times that it should have been, and there was no thread.
    pub(crate) refusals: AtomicU64,
    /// Times that the watchdog took it from a thread that was stuck. Written by the watchdog.
    pub(crate) rescues: AtomicU64,
}

impl Counts {
    /// Adds one to a counter that only the calling worker writes.
    pub(crate) fn bump(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

/// What a worker has to do with fibers, as far as it matters for where a new task begins. On a line of its own: others
/// look at it with each task that they start.
#[repr(align(128))]
pub(crate) struct Load {
    /// New tasks that other workers have given to it.
    pub(crate) assigned: Injector<Job>,
    /// How many of its fibers are not free: they are blocked, or have been and their task is not over. Only the worker
    /// writes. Relaxed: a hint.
    held: AtomicUsize,
}

impl Default for Load {
    fn default() -> Load {
        Load { assigned: Injector::new(), held: AtomicUsize::new(0) }
    }
}

impl Load {
    /// Another task has blocked.
    pub(crate) fn hold(&self) {
        self.held.store(self.held.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// A task that had blocked is over.
    pub(crate) fn release(&self) {
        self.held.store(self.held.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Whether none of its fibers is in the middle of a task.
    pub(crate) fn holds_none(&self) -> bool {
        self.held.load(Ordering::Relaxed) == 0
    }

    /// How many tasks it holds. One that was given to it counts as one that will block, until that is known.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed) + self.assigned.len()
    }
}
