//! The counters of a worker for the others: what it is doing, and how much it holds.
//!
//! A worker writes these as it goes; the other workers, the watchdog and the metrics read them. All of it is
//! Relaxed: a reader gets a hint. Nothing here decides anything.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use twoply_core::backend::Job;

use crate::queue::Injector;

/// The counters of what a worker has done. Only the worker writes, so no write needs to be a
/// read-modify-write.
#[derive(Default)]
pub(crate) struct Counts {
    /// The number of polls begun.
    pub(crate) polls: AtomicU64,
    /// The number of the task that is being polled; 0 if none is.
    pub(crate) current: AtomicU64,
    /// The number of jobs taken from other workers.
    pub(crate) stolen: AtomicU64,
    /// The number of times that the worker slept in the kernel.
    pub(crate) sleeps: AtomicU64,
    /// True if the watchdog found the worker held up by one task. Written by the watchdog.
    pub(crate) stuck: AtomicBool,
    /// The number of times that the worker was handed to another thread because its task blocked.
    pub(crate) handovers: AtomicU64,
    /// The number of times that it should have been, and there was no thread.
    pub(crate) refusals: AtomicU64,
    /// The number of times that the watchdog took the worker from a thread that was stuck. Written by the
    /// watchdog.
    pub(crate) rescues: AtomicU64,
}

impl Counts {
    /// Adds one to a counter that only the calling worker writes.
    pub(crate) fn bump(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

/// The stacks of a worker, as far as they matter for where a new task begins. On a line of its own, because
/// others look at it with each task that they start.
#[repr(align(128))]
pub(crate) struct Load {
    /// The new tasks that other workers have given to this one.
    pub(crate) assigned: Injector<Job>,
    /// The number of its fibers that are not free: they are blocked, or have been and their task is not over.
    /// Only the worker writes. Relaxed: a hint.
    held: AtomicUsize,
}

impl Default for Load {
    fn default() -> Load {
        Load { assigned: Injector::new(), held: AtomicUsize::new(0) }
    }
}

impl Load {
    /// Counts a task that has blocked.
    pub(crate) fn hold(&self) {
        self.held.store(self.held.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Takes a task that had blocked out of the count, because it is over.
    pub(crate) fn release(&self) {
        self.held.store(self.held.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// Returns true if none of the worker's fibers is in the middle of a task.
    pub(crate) fn holds_none(&self) -> bool {
        self.held.load(Ordering::Relaxed) == 0
    }

    /// Returns the number of its fibers that are in the middle of a task.
    pub(crate) fn blocked(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns the number of tasks that the worker holds. One that was given to it counts as one that will
    /// block, until that is known.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed) + self.assigned.len()
    }
}
