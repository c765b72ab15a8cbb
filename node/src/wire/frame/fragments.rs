//! Messages that come in several frames. Those of different senders may come by turns.

use std::collections::BTreeMap;

use super::{FrameError, Limits};
use crate::wire::atom::Atom;

/// The bytes in front of what a frame with a header says, as [`write_frame`](super::write_frame) makes it:
/// its length, and a header without atoms.
pub(in crate::wire) const FRAME_HEAD: usize = 7;

/// A message of which some fragments are there.
#[derive(Debug)]
pub(super) struct Sequence {
    /// The atoms of the header of the first fragment, which count for all.
    pub(super) atoms: Vec<Atom>,
    /// The bytes that have come, without headers.
    pub(super) bytes: Vec<u8>,
}

/// The messages that have begun, by the numbers that the peer has given them.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// Each with the number of fragments that are missing.
    sequences: BTreeMap<u64, (u64, Sequence)>,
    /// The bytes of all of them.
    bytes: usize,
}

impl Fragments {
    pub(super) fn len(&self) -> usize {
        self.sequences.len()
    }

    /// Takes the first fragment of a message, the `left`th from its end. Returns the message if that is all.
    pub(super) fn begin(
        &mut self,
        number: u64,
        left: u64,
        sequence: Sequence,
        limits: &Limits,
    ) -> Result<Option<Sequence>, FrameError> {
        match left {
            0 => return Err(FrameError::OutOfOrder),
            1 if !self.sequences.contains_key(&number) => return Ok(Some(sequence)),
            _ => {}
        }
        self.grow(sequence.bytes.len(), 0, limits)?;
        if self.sequences.len() >= limits.sequences {
            return Err(FrameError::TooManyFragments);
        }
        match self.sequences.insert(number, (left - 1, sequence)) {
            None => Ok(None),
            Some(_) => Err(FrameError::OutOfOrder),
        }
    }

    /// Takes another fragment of a message, the `left`th from its end. Returns the message if that is the
    /// last.
    pub(super) fn add(
        &mut self,
        number: u64,
        left: u64,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Sequence>, FrameError> {
        let there = match self.sequences.get(&number) {
            Some((missing, sequence)) if *missing == left => sequence.bytes.len(),
            _ => return Err(FrameError::OutOfOrder),
        };
        self.grow(bytes.len(), there, limits)?;
        if let Some((missing, sequence)) = self.sequences.get_mut(&number) {
            sequence.bytes.extend_from_slice(bytes);
            *missing -= 1;
            if *missing > 0 {
                return Ok(None);
            }
        }
        let whole = self.sequences.remove(&number).map(|(_, sequence)| sequence);
        self.bytes -= whole.as_ref().map_or(0, |sequence| sequence.bytes.len());
        Ok(whole)
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
