//! The atom cache of a connection, and the headers that fill it and refer to it.

use super::FrameError;
use crate::wire::atom::Atom;
use crate::wire::decode::atom_text;

/// The segments of a cache, and the entries of each.
const SEGMENTS: usize = 8;
const ENTRIES: usize = 256;

/// The atoms that a peer has told. A segment is made when the peer first uses it.
#[derive(Debug, Default)]
pub(super) struct AtomCache([Vec<Option<Atom>>; SEGMENTS]);

impl AtomCache {
    /// Reads the header at `start` of a frame: the atoms that the frame refers to. Writes them to `atoms`,
    /// which is empty, and returns where the header ends.
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
        atoms: &mut Vec<Atom>,
    ) -> Result<usize, FrameError> {
        let mut rest = frame.get(start..).ok_or(FrameError::Header)?;
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
                let known = self.0[segment].get(entry).and_then(Option::as_ref);
                known.cloned().ok_or(FrameError::NotCached(segment * ENTRIES + entry))?
            };
            atoms.push(atom);
        }
        Ok(frame.len() - rest.len())
    }

    fn set(&mut self, segment: usize, entry: usize, atom: Atom) {
        let segment = &mut self.0[segment];
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
