//! The numbers of tasks.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Identifies a task among all that this process ever starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(NonZeroU64);

impl TaskId {
    /// A new one. Each thread takes a run of numbers at a time, so that spawning shares no cache line.
    #[inline]
    pub(super) fn next() -> TaskId {
        const RUN: u64 = 1 << 10;
        static NEXT_RUN: AtomicU64 = AtomicU64::new(0);
        thread_local!(static NEXT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
        let mut id = NEXT.try_with(std::cell::Cell::get).unwrap_or(0);
        if id.is_multiple_of(RUN) {
            // Runs start at RUN + 1 and end at a multiple of RUN, where the next one is taken.
            id = NEXT_RUN.fetch_add(RUN, Relaxed);
        }
        id += 1;
        let _ = NEXT.try_with(|next| next.set(id));
        TaskId(NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN))
    }

    /// The one with this number, for models: the numbers of real ones depend on what has run before.
    #[cfg(all(test, loom))]
    pub(super) fn of(number: u64) -> TaskId {
        TaskId(NonZeroU64::new(number).expect("numbers start at 1"))
    }

    /// The one with this number: for backends that keep it in an atomic. `None` for zero, which no task has.
    pub fn from_u64(number: u64) -> Option<TaskId> {
        NonZeroU64::new(number).map(TaskId)
    }

    /// The number.
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
