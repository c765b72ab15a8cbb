//! Messages that come in several frames. Those of different senders may come by turns.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{FrameError, Limits};
use crate::wire::atom::Atom;
use crate::wire::kept::{self, Kept, Whole};

/// The bytes in front of what a frame with a header says, as [`write_frame`](super::write_frame) makes it:
/// its length, and a header without atoms.
pub(in crate::wire) const FRAME_HEAD: usize = 7;
/// The multiple of its first fragment for which a message takes memory before it is there, so that it is not
/// moved with each fragment. What a peer promises beyond that counts nothing, unless there is memory that is
/// kept.
const GROWS: usize = 24;
/// The part of a message that is moved, at most, where there is memory for all of it later.
const MOVED: usize = 4;

/// A message of which some fragments are there.
#[derive(Debug)]
struct Sequence {
    /// The fragments that are missing.
    missing: u64,
    /// The atoms of the header of the first fragment, which count for all.
    atoms: Vec<Atom>,
    /// The bytes that have come, without headers.
    bytes: Vec<u8>,
    /// The bytes that the message has if all fragments are as long as the first one.
    promised: usize,
    /// The bytes of memory of earlier messages that it has got.
    lent: usize,
}

/// The messages that have begun, by the numbers that the peer has given them.
#[derive(Debug)]
pub(super) struct Fragments {
    sequences: BTreeMap<u64, Sequence>,
    /// The bytes of all of them.
    bytes: usize,
    /// The bytes that are lent to them. They are bounded as those that have come are.
    lent: usize,
    /// The memory of messages in fragments.
    kept: Arc<Kept>,
}

/// A message that is whole, and the atoms of its header.
type Joined = (Vec<Atom>, Whole);

impl Fragments {
    pub(super) fn new(kept: Arc<Kept>) -> Fragments {
        Fragments { sequences: BTreeMap::new(), bytes: 0, lent: 0, kept }
    }

    pub(super) fn len(&self) -> usize {
        self.sequences.len()
    }

    /// Takes the first fragment of a message, the `left`th from its end. Returns the message if that is all.
    pub(super) fn begin(
        &mut self,
        number: u64,
        left: u64,
        atoms: Vec<Atom>,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Joined>, FrameError> {
        let Some(missing) = left.checked_sub(1) else { return Err(FrameError::OutOfOrder) };
        if self.sequences.contains_key(&number) {
            return Err(FrameError::OutOfOrder);
        }
        if missing > 0 {
            self.grow(bytes.len(), 0, limits)?;
            if self.sequences.len() >= limits.sequences {
                return Err(FrameError::TooManyFragments);
            }
        }
        let promised = usize::try_from(left).unwrap_or(usize::MAX).saturating_mul(bytes.len());
        let mut memory = self.kept.take(promised, limits.pending.saturating_sub(self.lent));
        let lent = memory.capacity();
        // The message grows with what comes where this memory is not to be had.
        let _ = memory.try_reserve(promised.min(GROWS * bytes.len()).min(kept::MOST));
        memory.extend_from_slice(bytes);
        let sequence = Sequence { missing, atoms, bytes: memory, promised, lent };
        self.lent += lent;
        if missing == 0 {
            return Ok(Some(self.join(sequence)));
        }
        self.sequences.insert(number, sequence);
        Ok(None)
    }

    /// Takes another fragment of a message, the `left`th from its end. Returns the message if that is the
    /// last.
    pub(super) fn add(
        &mut self,
        number: u64,
        left: u64,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Joined>, FrameError> {
        let there = match self.sequences.get(&number) {
            Some(sequence) if sequence.missing == left => sequence.bytes.len(),
            _ => return Err(FrameError::OutOfOrder),
        };
        self.grow(bytes.len(), there, limits)?;
        let Some(sequence) = self.sequences.get_mut(&number) else { return Err(FrameError::OutOfOrder) };
        if sequence.bytes.capacity() < there + bytes.len() && there <= sequence.promised / MOVED {
            // The memory of the message before this one may have come back meanwhile.
            let most = limits.pending.saturating_sub(self.lent);
            let mut memory = self.kept.take(sequence.promised, most);
            if memory.capacity() > there {
                memory.extend_from_slice(&sequence.bytes);
                self.lent += memory.capacity() - sequence.lent;
                sequence.lent = memory.capacity();
                sequence.bytes = memory;
            }
        }
        sequence.bytes.extend_from_slice(bytes);
        sequence.missing -= 1;
        if sequence.missing > 0 {
            return Ok(None);
        }
        let whole = self.sequences.remove(&number).map(|sequence| self.join(sequence));
        self.bytes -= there + bytes.len();
        Ok(whole)
    }

    /// Takes the message out of what is counted.
    fn join(&mut self, Sequence { atoms, bytes, lent, .. }: Sequence) -> Joined {
        self.lent -= lent;
        (atoms, Whole::lent(bytes, Arc::downgrade(&self.kept)))
    }

    /// Counts bytes of a message of which `there` are here already.
    fn grow(&mut self, more: usize, there: usize, limits: &Limits) -> Result<(), FrameError> {
        if there + more > limits.message {
            return Err(FrameError::MessageTooLong { limit: limits.message });
        }
        self.bytes += more;
        if self.bytes > limits.pending {
            return Err(FrameError::TooManyFragments);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: usize = 64 << 10;
    const PARTS: u64 = 384;

    fn fragments() -> Fragments {
        Fragments::new(Arc::default())
    }

    fn begin(fragments: &mut Fragments, number: u64, limits: &Limits) {
        let begun = fragments.begin(number, PARTS, Vec::new(), &[7; PART], limits).unwrap();
        assert!(begun.is_none());
    }

    fn end(fragments: &mut Fragments, number: u64, limits: &Limits) -> Whole {
        let add = |left| fragments.add(number, left, &[7; PART], limits).unwrap();
        let mut ends = (1..PARTS).rev().map(add);
        ends.find_map(|joined| joined).unwrap().1
    }

    #[test]
    fn memory_that_comes_back_behind_the_next_beginning_is_used_again() {
        let (mut fragments, limits) = (fragments(), Limits::default());
        begin(&mut fragments, 1, &limits);
        let first = end(&mut fragments, 1, &limits);
        begin(&mut fragments, 2, &limits);
        let place = first.as_ptr();
        drop(first);
        let second = end(&mut fragments, 2, &limits);
        assert_eq!((second.as_ptr(), second.len()), (place, PARTS as usize * PART));
        assert!(second[..] == [7].repeat(second.len()));
        // Whoever still has a message leaves the next one to memory of its own.
        begin(&mut fragments, 3, &limits);
        assert_ne!(end(&mut fragments, 3, &limits).as_ptr(), place);
        assert_eq!((fragments.bytes, fragments.lent), (0, 0));
    }

    #[test]
    fn no_more_is_lent_than_may_have_come() {
        let (mut fragments, pending) = (fragments(), 4 * PARTS as usize * PART);
        let limits = Limits { pending, ..Limits::default() };
        for number in 0..8 {
            begin(&mut fragments, 100 + number, &limits);
            drop(end(&mut fragments, 100 + number, &limits));
            // The rest of it never comes.
            begin(&mut fragments, number, &limits);
            assert!(fragments.lent <= pending);
        }
        let memory: usize = fragments.sequences.values().map(|sequence| sequence.bytes.capacity()).sum();
        assert!(memory <= pending + 8 * GROWS * PART, "{memory}");
        assert!(fragments.lent > pending / 2, "some is");
    }
}
