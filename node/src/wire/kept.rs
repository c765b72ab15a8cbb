//! [`Kept`]: the memory of big messages, which those that come after them use again. Memory that is new has
//! to be cleared by the system page by page, which takes as long as all else that is done to such a message.
//!
//! A connection keeps a few megabytes. The memory of a message that is longer than that is kept by the node,
//! for one message of all its peers.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The bytes that are kept, of all messages of a peer but for the [`Largest`].
pub(super) const MOST: usize = 8 << 20;
/// The memory of a message that is worth keeping, in bytes. So no more than a hundred are kept.
const BIG: usize = 64 << 10;
/// The part of the memory that a message has to use at least, or it gets memory of its own.
const USED: usize = 2;

/// The memory of messages that are over.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    free: Mutex<Free>,
    largest: Arc<Largest>,
}

/// The memory of one message that has more than [`MOST`] bytes, of all peers of a node.
#[derive(Debug, Default)]
pub(crate) struct Largest(Mutex<Owned>);

#[derive(Debug, Default)]
struct Owned {
    bytes: Vec<u8>,
    /// The address of the [`Kept`] that has brought it, and frees it.
    owner: usize,
}

impl Largest {
    fn lock(&self) -> MutexGuard<'_, Owned> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Free {
    /// The oldest comes first.
    buffers: VecDeque<Vec<u8>>,
    /// The bytes of all of them.
    bytes: usize,
    /// True if some was asked for since [`Kept::sweep`].
    wanted: bool,
}

impl Kept {
    /// Begins with nothing but what the node keeps.
    pub(crate) fn beside(largest: Arc<Largest>) -> Kept {
        Kept { free: Mutex::default(), largest }
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        // Nothing panics under this lock.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an empty buffer for a message that may have `len` bytes: one that is kept and has no more than
    /// `most`, or a new one that grows with what comes.
    pub(super) fn take(&self, len: usize, most: usize) -> Vec<u8> {
        if len < BIG / USED {
            return Vec::new();
        }
        let fits = |buffer: &Vec<u8>| {
            let memory = buffer.capacity();
            memory >= len && memory / USED <= len && memory <= most
        };
        let mut free = self.free();
        free.wanted = true;
        let place = free.buffers.iter().position(fits);
        if let Some(buffer) = place.and_then(|place| free.buffers.remove(place)) {
            free.bytes -= buffer.capacity();
            return buffer;
        }
        drop(free);
        let mut largest = self.largest.lock();
        // Memory that is of no use to a message as long as this one makes room for it.
        let is_for_it = fits(&largest.bytes);
        let taken = if is_for_it || len > MOST { mem::take(&mut largest.bytes) } else { Vec::new() };
        drop(largest);
        if is_for_it { taken } else { Vec::new() }
    }

    /// Keeps a buffer, and frees the oldest ones where there are too many.
    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() < BIG {
            return;
        }
        if buffer.capacity() > MOST {
            let owned = Owned { bytes: buffer, owner: self.address() };
            let old = mem::replace(&mut *self.largest.lock(), owned);
            return drop(old);
        }
        let mut old = Vec::new();
        let mut free = self.free();
        free.bytes += buffer.capacity();
        free.buffers.push_back(buffer);
        while free.bytes > MOST
            && let Some(oldest) = free.buffers.pop_front()
        {
            free.bytes -= oldest.capacity();
            old.push(oldest);
        }
        // Memory is given back to the system behind the lock.
        drop(free);
    }

    /// Frees what is kept, if nobody has asked for it since the last time.
    pub(crate) fn sweep(&self) {
        let mut free = self.free();
        if mem::take(&mut free.wanted) {
            return;
        }
        let unused = mem::take(&mut *free);
        drop(free);
        drop(unused);
        self.free_largest();
    }

    /// Frees what the node keeps, if it is from this connection.
    fn free_largest(&self) {
        let mut largest = self.largest.lock();
        let unused =
            if largest.owner == self.address() { mem::take(&mut *largest) } else { Owned::default() };
        drop(largest);
        drop(unused);
    }

    /// Returns what tells this one from all others that there are.
    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.free_largest();
    }
}

/// The bytes of a message, which its binaries are parts of.
pub(crate) struct Whole {
    bytes: Vec<u8>,
    /// The place where the memory goes afterwards, of a big one.
    home: Weak<Kept>,
}

impl Whole {
    /// Makes one whose memory goes back to where it is from.
    pub(super) fn lent(mut bytes: Vec<u8>, home: Weak<Kept>) -> Whole {
        // The peer has promised more than has come.
        if bytes.capacity() / USED > bytes.len() {
            bytes.shrink_to_fit();
        }
        Whole { bytes, home }
    }

    /// Returns how many bytes of memory it keeps.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

impl From<Vec<u8>> for Whole {
    fn from(bytes: Vec<u8>) -> Whole {
        Whole { bytes, home: Weak::new() }
    }
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.give_back(mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn memory_is_used_again_where_a_message_fills_it() {
        let kept = Arc::new(Kept::default());
        let lend = |len: usize| {
            let mut bytes = kept.take(len, usize::MAX);
            bytes.resize(len, 7);
            Whole::lent(bytes, Arc::downgrade(&kept))
        };
        let first = lend(1 << 20);
        let place = first.as_ptr();
        drop(first);
        assert_eq!(lend(1 << 19).as_ptr(), place);
        // It is too large for this, and too small for that.
        assert_eq!(kept.take(1 << 17, usize::MAX).capacity(), 0);
        assert_eq!(kept.take(1 << 22, usize::MAX).capacity(), 0);
        assert_eq!(kept.free().bytes, 1 << 20);
    }

    #[test]
    fn what_is_kept_is_bounded_and_not_kept_for_ever() {
        let kept = Arc::new(Kept::default());
        let lend = |len| Whole::lent(vec![7; len], Arc::downgrade(&kept));
        let are_kept = || {
            let free = kept.free();
            (free.bytes, free.buffers.len())
        };
        drop([lend(MOST / 2), lend(MOST / 2), lend(1), lend(MOST + 1)]);
        assert_eq!(are_kept(), (MOST, 2));
        // The oldest makes room.
        drop(lend(MOST / 4));
        assert_eq!(are_kept(), (MOST / 4 * 3, 2));
        drop(lend(MOST / 4));
        assert_eq!(are_kept(), (MOST, 3));
        // Nothing of that size is there, but it was asked for.
        drop(kept.take(MOST, usize::MAX));
        kept.sweep();
        assert_eq!(are_kept(), (MOST, 3));
        kept.sweep();
        assert_eq!(are_kept(), (0, 0));
    }

    #[test]
    fn a_message_that_is_shorter_than_promised_keeps_no_more_than_it_has() {
        let kept = Arc::new(Kept::default());
        drop(Whole::lent(vec![7; 1 << 20], Arc::downgrade(&kept)));
        let mut bytes = kept.take(1 << 20, usize::MAX);
        bytes.push(7);
        let short = Whole::lent(bytes, Arc::downgrade(&kept));
        assert!(short.bytes.capacity() < 1 << 10);
        drop(kept);
        // There is nobody to give it back to.
        drop(short);
    }

    #[test]
    fn the_memory_of_one_longer_message_is_kept_for_all_peers() {
        let largest = Arc::<Largest>::default();
        let [one, two] = [(); 2].map(|()| Arc::new(Kept::beside(Arc::clone(&largest))));
        let lend = |kept: &Arc<Kept>, len| Whole::lent(vec![7; len], Arc::downgrade(kept));
        let is_kept = || largest.lock().bytes.capacity();
        let (long, longer) = (2 * MOST, 3 * MOST);
        drop([lend(&one, longer), lend(&one, long)]);
        assert_eq!((is_kept(), one.free().bytes), (long, 0));
        // Another peer uses it, and brings it back.
        let bytes = two.take(long, usize::MAX);
        assert_eq!((bytes.capacity(), is_kept()), (long, 0));
        let ends = |kept: &Arc<Kept>| {
            kept.sweep();
            kept.sweep();
        };
        drop(Whole { bytes, home: Arc::downgrade(&two) });
        ends(&one);
        assert_eq!(is_kept(), long);
        ends(&two);
        assert_eq!(is_kept(), 0);
        // It goes with the connection that has brought it.
        drop(lend(&one, long));
        drop(two);
        assert_eq!(is_kept(), long);
        drop(one);
        assert_eq!(is_kept(), 0);
    }

    #[test]
    fn a_longer_message_that_cannot_use_what_is_kept_has_it_freed() {
        let kept = Arc::new(Kept::default());
        let keep = || drop(Whole::lent(vec![7; 2 * MOST], Arc::downgrade(&kept)));
        let is_kept = || kept.largest.lock().bytes.capacity();
        keep();
        assert_eq!((kept.take(MOST / 2, usize::MAX).capacity(), is_kept()), (0, 2 * MOST));
        assert_eq!((kept.take(2 * MOST + 1, usize::MAX).capacity(), is_kept()), (0, 0));
        keep();
        assert_eq!((kept.take(2 * MOST, 2 * MOST - 1).capacity(), is_kept()), (0, 0));
    }
}
