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
    /// True if it was brought since [`Kept::sweep`].
    is_new: bool,
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
    /// True if nothing is kept any more.
    closed: bool,
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
        if fits(&largest.bytes) { mem::take(&mut largest.bytes) } else { Vec::new() }
    }

    /// Keeps a buffer, and frees the oldest ones where there are too many. Of those that are longer than all
    /// that, the longest one stays, as long as it is used.
    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let memory = buffer.capacity();
        if memory < BIG {
            return;
        }
        let mut old = Vec::new();
        let mut free = self.free();
        if free.closed {
            old.push(buffer);
        } else if memory > MOST {
            let mut largest = self.largest.lock();
            if memory < largest.bytes.capacity() {
                old.push(buffer);
            } else {
                let owned = Owned { bytes: buffer, owner: self.address(), is_new: true };
                old.push(mem::replace(&mut *largest, owned).bytes);
            }
        } else {
            free.bytes += memory;
            free.buffers.push_back(buffer);
        }
        while free.bytes > MOST
            && let Some(oldest) = free.buffers.pop_front()
        {
            free.bytes -= oldest.capacity();
            old.push(oldest);
        }
        // Memory is given back to the system behind the lock.
        drop(free);
    }

    /// Frees what is kept, if nobody has asked for it since the last time; and what the node keeps, if it is
    /// from this connection and has been of no use since then.
    pub(crate) fn sweep(&self) {
        let mut free = self.free();
        let wanted = mem::take(&mut free.wanted);
        let empty = Free { closed: free.closed, ..Free::default() };
        let unused = if wanted { empty } else { mem::replace(&mut *free, empty) };
        drop(free);
        drop(unused);
        self.free_largest(|largest| !mem::take(&mut largest.is_new));
    }

    /// Frees what is kept, and all that is given back from now on: the connection has ended.
    pub(crate) fn close(&self) {
        let closed = Free { closed: true, ..Free::default() };
        let unused = mem::replace(&mut *self.free(), closed);
        drop(unused);
        self.free_largest(|_| true);
    }

    /// Frees what the node keeps, if it is from this connection and `is_unused` agrees.
    fn free_largest(&self, is_unused: impl FnOnce(&mut Owned) -> bool) {
        let mut largest = self.largest.lock();
        let frees = largest.owner == self.address() && is_unused(&mut largest);
        let unused = if frees { mem::take(&mut *largest) } else { Owned::default() };
        drop(largest);
        drop(unused);
    }

    /// Returns what tells this one from all others that there are.
    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
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
        drop([lend(&one, long), lend(&one, longer), lend(&one, long)]);
        assert_eq!((is_kept(), one.free().bytes), (longer, 0));
        one.sweep();
        one.sweep();
        drop(lend(&one, long));
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
        // It goes with the connection that has brought it, even if somebody still knows that.
        drop(lend(&one, long));
        two.close();
        assert_eq!(is_kept(), long);
        one.close();
        assert_eq!(is_kept(), 0);
    }

    #[test]
    fn a_connection_that_has_ended_keeps_nothing() {
        let kept = Arc::new(Kept::default());
        let lend = |len| Whole::lent(vec![7; len], Arc::downgrade(&kept));
        let are_kept = || (kept.free().bytes, kept.largest.lock().bytes.capacity());
        let late = [lend(MOST / 2), lend(2 * MOST)];
        drop([lend(MOST / 4), lend(3 * MOST)]);
        assert_eq!(are_kept(), (MOST / 4, 3 * MOST));
        kept.close();
        assert_eq!(are_kept(), (0, 0));
        kept.sweep();
        drop(late);
        assert_eq!(are_kept(), (0, 0));
    }

    #[test]
    fn what_no_message_uses_is_not_kept_for_others() {
        let kept = Arc::new(Kept::default());
        let lend = |len| Whole::lent(vec![7; len], Arc::downgrade(&kept));
        let is_kept = || kept.largest.lock().bytes.capacity();
        drop(lend(4 * MOST));
        // Neither a promise nor a message frees it that cannot use it.
        assert_eq!(kept.take(usize::MAX, usize::MAX).capacity(), 0);
        assert_eq!(kept.take(4 * MOST, 4 * MOST - 1).capacity(), 0);
        drop([lend(2 * MOST), lend(1 << 17)]);
        assert_eq!(is_kept(), 4 * MOST);
        kept.sweep();
        assert_eq!(is_kept(), 4 * MOST);
        // Nor do they keep it.
        for len in [1 << 17, 2 * MOST - 1] {
            assert!(kept.take(len, usize::MAX).capacity() < 4 * MOST);
            drop(lend(len));
        }
        kept.sweep();
        assert_eq!(is_kept(), 0);
    }
}
