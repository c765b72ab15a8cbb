//! Counters of a reactor: how often it waited, and how many system calls its state word saved.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// What a [`Reactor`](super::Reactor) has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReactorMetrics {
    /// Calls of the kernel's wait, those with a timeout of zero included.
    pub waits: u64,
    /// Notifications that cost a system call because somebody was asleep.
    pub notifies: u64,
    /// Notifications that cost none.
    pub saved_notifies: u64,
    /// Descriptors that are registered now.
    pub registered: usize,
}

/// The counters behind it. Relaxed: they count, nothing is ordered by them.
#[derive(Default)]
pub(super) struct Counters {
    /// See [`ReactorMetrics::waits`].
    pub(super) waits: AtomicU64,
    /// See [`ReactorMetrics::notifies`].
    pub(super) notifies: AtomicU64,
    /// See [`ReactorMetrics::saved_notifies`].
    pub(super) saved_notifies: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self, registered: usize) -> ReactorMetrics {
        ReactorMetrics {
            waits: self.waits.load(Relaxed),
            notifies: self.notifies.load(Relaxed),
            saved_notifies: self.saved_notifies.load(Relaxed),
            registered,
        }
    }
}
