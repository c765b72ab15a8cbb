//! The memory of an operation.

use std::mem::MaybeUninit;
use std::ops::Deref;

/// The bytes that an operation has read or is to write. It dereferences to them.
#[derive(Default)]
pub(crate) struct Memory {
    bytes: Vec<u8>,
    /// The place of the first byte that counts. The ones before it are padding.
    start: usize,
}

impl Memory {
    /// Returns memory with room for so many bytes, which begins at a multiple of `alignment`, a power of two.
    pub(crate) fn with_room(room: usize, alignment: usize) -> Memory {
        let mut bytes = Vec::<u8>::with_capacity(room + alignment - 1);
        let start = bytes.as_ptr().addr().wrapping_neg() & (alignment - 1);
        bytes.resize(start, 0);
        Memory { bytes, start }
    }

    /// Appends `more`, for which there is room.
    pub(crate) fn put(&mut self, more: &[u8]) {
        debug_assert!(self.bytes.len() + more.len() <= self.bytes.capacity(), "it would be moved");
        self.bytes.extend_from_slice(more);
    }

    /// Returns the first `most` bytes of the room that is left.
    pub(super) fn spare(&mut self, most: usize) -> &mut [MaybeUninit<u8>] {
        let spare = self.bytes.spare_capacity_mut();
        let most = most.min(spare.len());
        &mut spare[..most]
    }

    /// Adds the first `count` bytes of the room that is left, or all of it.
    ///
    /// # Safety
    /// Somebody has written so many bytes to what [`Memory::spare`] returns.
    pub(super) unsafe fn fill(&mut self, count: usize) {
        let end = self.bytes.capacity().min(self.bytes.len() + count);
        // SAFETY: it is within the memory, and the caller says that it has been written.
        unsafe { self.bytes.set_len(end) };
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}
