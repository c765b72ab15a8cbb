//! [`Scratch`]: the bytes into which a task writes a frame before it appends it. What a type of the program's
//! writes is code of the program's, which runs under no lock.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use super::outbound::Frame;

/// The bytes that a thread keeps for the next frame.
const KEPT: usize = 64 << 10;

thread_local! {
    static FREE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes that are empty at first, and go back to their thread.
pub(crate) struct Scratch(Frame);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        // One who writes a frame inside of writing another gets new bytes.
        Scratch(Frame::from(FREE.try_with(Cell::take).unwrap_or_default()))
    }

    /// Returns the bytes, which are copied where they are kept for what comes next.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        let bytes = &mut self.0.bytes;
        if bytes.capacity() > KEPT { std::mem::take(bytes) } else { bytes.clone() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0.bytes);
        if (1..=KEPT).contains(&bytes.capacity()) {
            bytes.clear();
            // A thread that ends keeps nothing.
            let _ = FREE.try_with(|free| free.set(bytes));
        }
    }
}

impl Deref for Scratch {
    type Target = Frame;

    fn deref(&self) -> &Frame {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Frame {
        &mut self.0
    }
}
