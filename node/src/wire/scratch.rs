//! [`Scratch`]: the bytes into which a task writes a frame before it appends it. What a type of the program's
//! writes is code of the program's, which runs under no lock.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

/// The bytes that a thread keeps for the next frame.
const KEPT: usize = 64 << 10;

thread_local! {
    static FREE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes that are empty at first, and go back to their thread.
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        // One who writes a frame inside of writing another gets new bytes.
        Scratch(FREE.try_with(Cell::take).unwrap_or_default())
    }

    /// Returns the bytes, which are copied where they are kept for what comes next.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        if self.0.capacity() > KEPT { std::mem::take(&mut self.0) } else { self.0.clone() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        if (1..=KEPT).contains(&bytes.capacity()) {
            bytes.clear();
            // A thread that ends keeps nothing.
            let _ = FREE.try_with(|free| free.set(bytes));
        }
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}
