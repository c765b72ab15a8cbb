//! [`Slot`]: a few bytes for one small term.

use crate::wire::short::Short;
use crate::wire::tag;
use crate::wire::term::{Pid, Reference};

/// The bytes of a slot: more than any term takes that is written to one, with what its last copy has too
/// much.
pub(super) const SLOT: usize = 64;

/// The name of a node, as it is written.
pub(super) enum Name<'a> {
    Text(&'a Short),
    /// The number that it has in the frame.
    Number(u8),
}

/// A few bytes into which a term is written. There is room for it, so that nothing is looked at but lengths
/// that the compiler does not know.
pub(super) struct Slot<'s> {
    bytes: &'s mut [u8; SLOT],
    len: usize,
}

impl<'s> Slot<'s> {
    #[inline(always)]
    pub(super) fn new(bytes: &'s mut [u8; SLOT]) -> Slot<'s> {
        Slot { bytes, len: 0 }
    }

    /// Returns how many bytes have been written.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes the first `len` of these bytes, which are copied as a whole.
    #[inline(always)]
    fn put(&mut self, bytes: &[u8], len: usize) {
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += len;
    }

    /// Writes all of these bytes.
    #[inline(always)]
    pub(super) fn put_all<const N: usize>(&mut self, bytes: [u8; N]) {
        self.put(&bytes, N);
    }

    /// Writes an integer that is no `i32`.
    #[inline(always)]
    pub(super) fn long(&mut self, number: i64) {
        let magnitude = number.unsigned_abs();
        let len = 8 - magnitude.leading_zeros() as usize / 8;
        self.put_all([tag::SMALL_BIG, len as u8, u8::from(number < 0)]);
        self.put(&magnitude.to_le_bytes(), len);
    }

    /// Writes the first `len` of these words.
    #[inline(always)]
    fn words<const N: usize>(&mut self, words: [u32; N], len: usize) {
        self.put(words.map(u32::to_be_bytes).as_flattened(), 4 * len);
    }

    #[inline(always)]
    fn atom(&mut self, name: Name<'_>) {
        match name {
            Name::Text(text) => {
                self.put_all([tag::SMALL_ATOM_UTF8]);
                self.put(text.room(), text.room_len());
            }
            Name::Number(number) => self.put_all([tag::ATOM_CACHE_REF, number]),
        }
    }

    /// Writes a pid of the node with this name.
    #[inline(always)]
    pub(super) fn pid(&mut self, pid: &Pid, node: Name<'_>) {
        self.put_all([tag::NEW_PID]);
        self.atom(node);
        self.words([pid.id, pid.serial, pid.creation], 3);
    }

    /// Writes a reference of the node with this name.
    #[inline(always)]
    pub(super) fn reference(&mut self, reference: &Reference, node: Name<'_>) {
        let (words, len) = reference.all_words();
        self.put_all([tag::NEWER_REFERENCE, 0, len]);
        self.atom(node);
        self.words([reference.creation], 1);
        self.words(*words, usize::from(len));
    }
}
