//! [`Kept`]: the memory of big messages, which those that come after them use again. Memory that is new has
//! to be cleared by the system page by page, which takes as long as all else that is done to such a message.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

/// The bytes that are kept, of all messages of a peer.
pub(super) const MOST: usize = 8 << 20;
/// The memory of a message that is worth keeping, in bytes. So no more than a hundred are kept.
const BIG: usize = 64 << 10;
/// The part of the memory that a message has to use at least, or it gets memory of its own.
const USED: usize = 2;

/// The memory of messages that are over.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Free>);

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
    fn free(&self) -> MutexGuard<'_, Free> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns an empty buffer for a message that may have `len` bytes: one that is kept, or a new one that
    /// grows with what comes.
    pub(super) fn take(&self, len: usize) -> Vec<u8> {
        if len < BIG / USED {
            return Vec::new();
        }
        let mut free = self.free();
        free.wanted = true;
        let fits = |buffer: &Vec<u8>| buffer.capacity() >= len && buffer.capacity() / USED <= len;
        let place = free.buffers.iter().position(fits);
        let buffer = place.and_then(|place| free.buffers.remove(place)).unwrap_or_default();
        free.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps a buffer, and frees the oldest ones where there are too many.
    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if !(BIG..=MOST).contains(&buffer.capacity()) {
            return;
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
        let unused = if mem::take(&mut free.wanted) { Free::default() } else { mem::take(&mut *free) };
        drop(free);
        drop(unused);
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
            let mut bytes = kept.take(len);
            bytes.resize(len, 7);
            Whole::lent(bytes, Arc::downgrade(&kept))
        };
        let first = lend(1 << 20);
        let place = first.as_ptr();
        drop(first);
        assert_eq!(lend(1 << 19).as_ptr(), place);
        // It is too large for this, and too small for that.
        assert_eq!(kept.take(1 << 17).capacity(), 0);
        assert_eq!(kept.take(1 << 22).capacity(), 0);
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
        drop(kept.take(MOST));
        kept.sweep();
        assert_eq!(are_kept(), (MOST, 3));
        kept.sweep();
        assert_eq!(are_kept(), (0, 0));
    }

    #[test]
    fn a_message_that_is_shorter_than_promised_keeps_no_more_than_it_has() {
        let kept = Arc::new(Kept::default());
        drop(Whole::lent(vec![7; 1 << 20], Arc::downgrade(&kept)));
        let mut bytes = kept.take(1 << 20);
        bytes.push(7);
        let short = Whole::lent(bytes, Arc::downgrade(&kept));
        assert!(short.bytes.capacity() < 1 << 10);
        drop(kept);
        // There is nobody to give it back to.
        drop(short);
    }
}
