//! Counters of a reactor: how often it waited, and how many system calls its state word saved.

use std::sync::TryLockError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::Reactor;
use crate::base::sync::lock_std;

/// The counters of a [`Reactor`] since it was made; see [`Reactor::metrics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ReactorMetrics {
    /// The number of waits in the kernel, those with a timeout of zero included.
    pub waits: u64,
    /// The number of notifications that took a system call, because the owner was asleep.
    pub notifies: u64,
    /// The number of notifications that took no system call.
    pub saved_notifies: u64,
    /// The number of descriptors that are registered now.
    pub registered: usize,
    /// The number of operations on files that have been handed to the io_uring of the reactor.
    pub file_operations: u64,
    /// The number of these that are under way.
    pub file_operations_under_way: usize,
}

/// The counters behind [`ReactorMetrics`]. All accesses are Relaxed: nothing is ordered by them.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) waits: AtomicU64,
    pub(super) notifies: AtomicU64,
    pub(super) saved_notifies: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self, registered: usize, files: (u64, usize)) -> ReactorMetrics {
        ReactorMetrics {
            waits: self.waits.load(Relaxed),
            notifies: self.notifies.load(Relaxed),
            saved_notifies: self.saved_notifies.load(Relaxed),
            registered,
            file_operations: files.0,
            file_operations_under_way: files.1,
        }
    }
}

impl Reactor {
    /// Returns the counters of the reactor.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::reactor::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// reactor.turn(Some(Duration::ZERO))?;
    /// assert_eq!(reactor.metrics().waits, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metrics(&self) -> ReactorMetrics {
        self.shared.counters.read(lock_std(&self.shared.table).len(), self.shared.ring.load())
    }

    /// Returns the number of descriptors that are registered now; `None` while that is being changed.
    ///
    /// # Examples
    /// ```
    /// use twoply::reactor::Reactor;
    ///
    /// assert_eq!(Reactor::new()?.registered(), Some(0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn registered(&self) -> Option<usize> {
        match self.shared.table.try_lock() {
            Ok(table) => Some(table.len()),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner().len()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
