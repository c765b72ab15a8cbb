//! [`Waiting`]: the messages of one peer that wait beside full mailboxes, by their bytes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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

/// A message that waits.
pub(crate) struct Held {
    waiting: Arc<Waiting>,
    serial: u64,
    len: usize,
}

impl Held {
    /// Says that the message is lost.
    pub(crate) fn lose(self) {
        self.waiting.lost.store(true, Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
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
