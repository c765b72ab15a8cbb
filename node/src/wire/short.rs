//! [`Short`]: a few bytes that lie in a value itself. Most atoms and many texts are no longer.

use std::ops::Deref;

/// The bytes that fit into what an element of a list takes anyway.
const ROOM: usize = 22;

/// The number of a few bytes, they, and the rest of the room, which is never looked at.
pub(super) type Room = [u8; 1 + ROOM];

/// Up to 22 bytes.
#[derive(Clone, Copy)]
pub(super) struct Short(Room);

impl Short {
    /// Copies these bytes, if they fit.
    #[inline]
    pub(super) fn new(bytes: &[u8]) -> Option<Short> {
        let mut all = [0; 1 + ROOM];
        all[1..].get_mut(..bytes.len())?.copy_from_slice(bytes);
        all[0] = bytes.len() as u8;
        Some(Short(all))
    }

    /// Returns as many bytes as the first one says, with that in front, which is how short texts cross. They
    /// are not found if they do not fit, and at the end of a message, where less than the whole room can be
    /// read.
    #[inline]
    pub(super) fn leading(bytes: &[u8]) -> Option<&Room> {
        bytes.first_chunk().filter(|room: &&Room| usize::from(room[0]) <= ROOM)
    }

    /// Copies what [`Short::leading`] has found.
    #[inline]
    pub(super) fn of(room: &Room) -> Short {
        Short(*room)
    }

    /// Returns the bytes as they cross, and the rest of the room.
    #[inline]
    pub(super) fn room(&self) -> &Room {
        &self.0
    }

    /// Returns how many bytes of the room cross.
    #[inline]
    pub(super) fn room_len(&self) -> usize {
        1 + usize::from(self.0[0])
    }
}

impl Deref for Short {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        text(&self.0)
    }
}

/// Returns the bytes that are in a room.
#[inline]
pub(super) fn text(room: &Room) -> &[u8] {
    &room[1..][..usize::from(room[0])]
}
