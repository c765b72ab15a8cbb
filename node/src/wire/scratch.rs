//! [`Scratch`]: the bytes into which a task writes a frame before it appends it. What a type of the program's
//! writes is code of the program's, which runs under no lock.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use super::outbound::{Atoms, Frame};

/// The bytes that a thread keeps for the next frame.
const KEPT: usize = 64 << 10;

thread_local! {
    static FREE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static ATOMS: Cell<Atoms> = const { Cell::new(Atoms::new()) };
}

/// Takes the bytes of this thread, which are empty. One who writes something inside of writing something else
/// gets new ones.
fn take() -> Vec<u8> {
    FREE.try_with(Cell::take).unwrap_or_default()
}

/// Gives bytes back to this thread.
fn give_back(mut bytes: Vec<u8>) {
    if (1..=KEPT).contains(&bytes.capacity()) {
        bytes.clear();
        // A thread that ends keeps nothing.
        let _ = FREE.try_with(|free| free.set(bytes));
    }
}

/// Returns a copy of what is written to bytes that go back to this thread; of very much, these themselves.
pub(super) fn bytes<E>(write: &dyn Fn(&mut Vec<u8>) -> Result<(), E>) -> Result<Vec<u8>, E> {
    let mut bytes = take();
    let written = write(&mut bytes);
    if bytes.capacity() > KEPT {
        return written.map(|()| bytes);
    }
    let copy = written.map(|()| bytes.clone());
    give_back(bytes);
    copy
}

/// Bytes that are empty at first, and go back to their thread.
pub(crate) struct Scratch(Frame);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch(Frame::new(take(), ATOMS.try_with(Cell::take).unwrap_or_default()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (bytes, mut atoms) = std::mem::take(&mut self.0).into_memory();
        give_back(bytes);
        atoms.clear();
        let _ = ATOMS.try_with(|free| free.set(atoms));
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
