//! Room: bytes into which the small terms inside of a term are written one after the other, before they are
//! copied to where they belong as a whole. They are not cleared for each term.

use std::cell::Cell;

use super::slot::SLOT;

/// The bytes of a room.
pub(super) const ROOM: usize = 64 * SLOT;

thread_local! {
    static FREE: Cell<Option<Box<[u8; ROOM]>>> = const { Cell::new(None) };
}

/// Runs `code` with the room of this thread, or with another one where that is in use.
#[inline]
pub(super) fn with<R>(code: impl FnOnce(&mut [u8; ROOM]) -> R) -> R {
    let free = FREE.try_with(Cell::take).ok().flatten();
    let mut room = free.unwrap_or_else(|| Box::new([0; ROOM]));
    let result = code(&mut room);
    // A thread that ends keeps nothing.
    let _ = FREE.try_with(|free| free.set(Some(room)));
    result
}
