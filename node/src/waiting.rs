//! [`Waiting`]: the messages of one peer that wait beside full mailboxes, by their bytes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twoply_core::actor::Pid;
use twoply_core::sync::Notify;

/// The messages of one peer that wait. A message that is found room for counts no more, nor one of a process
/// that has ended.
pub(crate) struct Waiting {
    /// The bytes that may wait until the reader pauses.
    limit: usize,
    /// The bytes of all of them. Written under the lock.
    bytes: AtomicUsize,
    /// The bytes that wait for each process.
    of: Mutex<BTreeMap<u64, (Pid, usize)>>,
    /// True if one of them is lost.
    lost: AtomicBool,
    /// Tells the reader that there are fewer.
    fewer: Notify,
}

impl Waiting {
    /// Begins with nothing that waits.
    pub(crate) fn new(limit: usize) -> Arc<Waiting> {
        let (bytes, of, lost) = (AtomicUsize::new(0), Mutex::default(), AtomicBool::new(false));
        Arc::new(Waiting { limit, bytes, of, lost, fewer: Notify::new() })
    }

    fn of(&self) -> MutexGuard<'_, BTreeMap<u64, (Pid, usize)>> {
        // Nothing panics under this lock.
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a message of `len` bytes for a process, until what this returns is dropped.
    pub(crate) fn hold(self: &Arc<Self>, pid: &Pid, len: usize) -> Held {
        // One that is empty on the wire counts, too, until it is done with.
        let len = len.max(1);
        let mut of = self.of();
        of.entry(pid.serial()).or_insert_with(|| (pid.clone(), 0)).1 += len;
        self.bytes.fetch_add(len, Relaxed);
        drop(of);
        Held { waiting: Arc::clone(self), serial: pid.serial(), len }
    }

    /// Returns true if the reader is to pause.
    pub(crate) fn is_too_much(&self) -> bool {
        self.bytes.load(Relaxed) > self.limit
    }

    /// Returns true if a message is lost, since no task could be started that sends it on.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    /// Returns the process for which most waits.
    pub(crate) fn slowest(&self) -> Option<Pid> {
        self.of().values().max_by_key(|(_, bytes)| bytes).map(|(pid, _)| pid.clone())
    }

    /// Waits until one of the messages has been received, if there are too many.
    pub(crate) async fn fewer(&self) {
        let fewer = self.fewer.notified();
        if self.is_too_much() {
            fewer.await;
        }
    }
}

/// A message that waits, or several that are done with at once.
pub(crate) struct Held {
    waiting: Arc<Waiting>,
    serial: u64,
    len: usize,
}

impl Held {
    /// Counts another message with this one. Returns it if it is of another peer or for another process.
    pub(crate) fn join(&mut self, mut other: Held) -> Option<Held> {
        if self.serial != other.serial || !Arc::ptr_eq(&self.waiting, &other.waiting) {
            return Some(other);
        }
        self.len += mem::take(&mut other.len);
        None
    }

    /// Says that the message is lost.
    pub(crate) fn lose(self) {
        self.waiting.lost.store(true, Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        let mut tables = self.waiting.of();
        self.waiting.bytes.fetch_sub(self.len, Relaxed);
        let mut none_left = None;
        if let Entry::Occupied(mut of) = tables.entry(self.serial) {
            of.get_mut().1 -= self.len;
            if of.get().1 == 0 {
                none_left = Some(of.remove());
            }
        }
        drop(tables);
        drop(none_left);
        self.waiting.fewer.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use twoply_core::actor::remote;

    use super::*;

    #[test]
    fn messages_that_are_joined_count_until_the_last_is_dropped() {
        let (waiting, other_peer) = (Waiting::new(10), Waiting::new(10));
        let (pid, other) = (remote::ended_pid(1), remote::ended_pid(2));
        let mut held = waiting.hold(&pid, 6);
        assert!(held.join(waiting.hold(&pid, 5)).is_none() && waiting.is_too_much());
        let apart = [waiting.hold(&other, 7), other_peer.hold(&pid, 11)].map(|other| held.join(other));
        assert!(apart.iter().all(Option::is_some) && other_peer.is_too_much());
        assert_eq!(waiting.slowest(), Some(pid));
        drop(held);
        assert!(!waiting.is_too_much() && waiting.slowest() == Some(other));
        drop(apart);
        assert!(waiting.of().is_empty() && !other_peer.is_too_much());
    }
}
