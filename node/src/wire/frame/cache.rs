//! The atom cache of a connection, and the headers that fill it and refer to it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::FrameError;
use crate::wire::atom::Atom;
use crate::wire::decode::atom_text;

/// The segments of a cache, and the entries of each.
const SEGMENTS: usize = 8;
const ENTRIES: usize = 256;

/// The atoms that a peer has told. A segment is made when the peer first uses it.
#[derive(Debug, Default)]
pub(super) struct AtomCache {
    segments: [Vec<Option<Atom>>; SEGMENTS],
    /// The number of the last atom that was told, among all that peers have told; 0 before the first.
    told: u64,
}

/// The number of the last atom that any peer has told.
static TOLD: AtomicU64 = AtomicU64::new(0);

/// The header of a frame: the atoms that the frame refers to.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) atoms: Vec<Atom>,
    /// The bytes of the header, which are these atoms until the peer tells one more. There are none where the
    /// header tells one itself.
    bytes: Vec<u8>,
    /// The last atom that had been told.
    told: u64,
}

impl From<Vec<Atom>> for Header {
    fn from(atoms: Vec<Atom>) -> Header {
        Header { atoms, ..Header::default() }
    }
}

impl AtomCache {
    /// Reads the header at `start` of a frame, and returns where it ends. `header` is any that was read
    /// before, whose memory is used again: most frames have the same one as the frame before.
    ///
    /// ```text
    /// count | flags, half a byte for each atom and one more | for each: index, and if it is new: length, text
    /// ```
    ///
    /// The flags of an atom are its segment, and whether it is new. The half behind them says whether lengths
    /// have two bytes.
    pub(super) fn header(
        &mut self,
        frame: &[u8],
        start: usize,
        header: &mut Header,
    ) -> Result<usize, FrameError> {
        let mut rest = frame.get(start..).ok_or(FrameError::Header)?;
        let Header { atoms, bytes, told } = header;
        if *told == self.told && !bytes.is_empty() && rest.starts_with(bytes) {
            return Ok(start + bytes.len());
        }
        atoms.clear();
        bytes.clear();
        let told_before = self.told;
        let count = usize::from(take(&mut rest, 1)?[0]);
        if count == 0 {
            return Ok(frame.len() - rest.len());
        }
        let flags = take(&mut rest, count / 2 + 1)?;
        let half = |index: usize| flags[index / 2] >> (4 * (index % 2)) & 0xf;
        let long = half(count) & 1 != 0;
        atoms.reserve_exact(count);
        for index in 0..count {
            let (new, segment) = (half(index) & 8 != 0, usize::from(half(index) & 7));
            let entry = usize::from(take(&mut rest, 1)?[0]);
            let atom = if new {
                let len = take(&mut rest, if long { 2 } else { 1 })?;
                let len = len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
                let text = atom_text(take(&mut rest, len)?, true).map_err(|_| FrameError::Header)?;
                let atom = Atom::known(&text);
                self.set(segment, entry, atom.clone());
                atom
            } else {
                let known = self.segments[segment].get(entry).and_then(Option::as_ref);
                known.cloned().ok_or(FrameError::NotCached(segment * ENTRIES + entry))?
            };
            atoms.push(atom);
        }
        let end = frame.len() - rest.len();
        if self.told == told_before {
            bytes.extend_from_slice(&frame[start..end]);
            *told = told_before;
        }
        Ok(end)
    }

    fn set(&mut self, segment: usize, entry: usize, atom: Atom) {
        self.told = TOLD.fetch_add(1, Relaxed) + 1;
        let segment = &mut self.segments[segment];
        if segment.len() <= entry {
            segment.resize(entry + 1, None);
        }
        segment[entry] = Some(atom);
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], FrameError> {
    let (taken, left) = rest.split_at_checked(len).ok_or(FrameError::Header)?;
    *rest = left;
    Ok(taken)
}
