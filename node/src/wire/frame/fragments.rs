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
    /// The bytes that the message has if all fragments are as long as the first one, and it is no longer than
    /// is allowed.
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
        let promised = promised.min(limits.message);
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
        let come = there + bytes.len();
        if sequence.bytes.capacity() < come {
            if sequence.lent == 0 && there <= sequence.promised / MOVED {
                // The memory of the message before this one may have come back meanwhile.
                let most = limits.pending.saturating_sub(self.lent);
                let mut memory = self.kept.take(sequence.promised.max(come), most);
                if memory.capacity() > 0 {
                    memory.extend_from_slice(&sequence.bytes);
                    sequence.lent = memory.capacity();
                    sequence.bytes = memory;
                    self.lent += sequence.lent;
                }
            }
            if sequence.promised <= kept::MOST {
                // Twice what is there may be more than its connection keeps.
                let room = sequence.promised.min(come.saturating_mul(GROWS));
                let _ = sequence.bytes.try_reserve_exact(room.saturating_sub(there));
            }
        }
        sequence.bytes.extend_from_slice(bytes);
        sequence.missing -= 1;
        if sequence.missing > 0 {
            return Ok(None);
        }
        let whole = self.sequences.remove(&number).map(|sequence| self.join(sequence));
        self.bytes -= come;
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

    #[test]
    fn fragments_longer_than_the_first_one_are_taken() {
        let (mut fragments, limits) = (fragments(), Limits::default());
        // Two messages leave memory behind, of which the second one's is the shorter.
        for (number, half) in [(1, 35 << 10), (2, 32 << 10)] {
            fragments.begin(number, 2, Vec::new(), &vec![7; half], &limits).unwrap();
        }
        let lens = [(1, 35 << 10), (2, 32 << 10)].map(|(number, half)| {
            let (_, whole) = fragments.add(number, 1, &vec![7; half], &limits).unwrap().unwrap();
            whole.len()
        });
        assert_eq!(lens, [70 << 10, 64 << 10]);
        let (first, second) = (vec![7; 11 << 10], vec![8; 100 << 10]);
        fragments.begin(3, 4, Vec::new(), &first, &limits).unwrap();
        assert_eq!(fragments.lent, 70 << 10);
        for left in [3, 2, 1] {
            let joined = fragments.add(3, left, &second, &limits).unwrap();
            if let Some((_, whole)) = joined {
                assert_eq!(whole.len(), first.len() + 3 * second.len());
            }
        }
        assert_eq!((fragments.len(), fragments.bytes, fragments.lent), (0, 0, 0));
    }

    #[test]
    fn a_promise_counts_no_more_than_a_message_may_have() {
        let (mut fragments, limits) = (fragments(), Limits { message: 1 << 20, ..Limits::default() });
        let begin = |fragments: &mut Fragments, left| {
            fragments.begin(left, left, Vec::new(), &[7; 64 << 10], &limits).unwrap()
        };
        drop(begin(&mut fragments, 16));
        for left in (1..16).rev() {
            drop(fragments.add(16, left, &[7; 64 << 10], &limits).unwrap());
        }
        begin(&mut fragments, u64::MAX);
        assert_eq!(fragments.lent, 1 << 20, "that of the message before it");
    }

    #[test]
    fn a_message_that_its_connection_can_keep_gets_no_more_than_it_needs() {
        let (mut fragments, limits) = (fragments(), Limits::default());
        let parts = (kept::MOST / PART) as u64 - 16;
        drop(fragments.begin(1, parts, Vec::new(), &[7; PART], &limits).unwrap());
        let add = |left| fragments.add(1, left, &[7; PART], &limits).unwrap();
        let (_, whole) = (1..parts).rev().map(add).find_map(|joined| joined).unwrap();
        assert_eq!(whole.memory(), parts as usize * PART);
    }
}
