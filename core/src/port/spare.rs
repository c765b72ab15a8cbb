//! Memory that the ports of a thread hand on to one another.
//!
//! A port that waits has none for events, and a batch of them is too large for the caches of allocators: to
//! allocate it anew for each costs more than all that is done with an event.

use std::any::Any;
use std::cell::RefCell;

/// The number of types of which a thread keeps memory.
const TYPES: usize = 8;

thread_local! {
    /// Collections with nothing in them, each of another type.
    static SPARE: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Exchanges a collection that is empty for the one of its type that this thread keeps.
pub(super) fn exchange<C: Default + 'static>(collection: &mut C) {
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if let Some(kept) = spare.iter_mut().find_map(|kept| kept.downcast_mut::<C>()) {
            std::mem::swap(kept, collection);
        } else if spare.len() < TYPES {
            spare.push(Box::new(std::mem::take(collection)));
        }
    });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_handed_on_to_whoever_wants_its_type() {
        let mut one = Vec::<u8>::with_capacity(100);
        exchange(&mut one);
        assert_eq!(one.capacity(), 0, "the thread has it");
        let mut other = Vec::<u16>::new();
        exchange(&mut other);
        assert_eq!(other.capacity(), 0, "it is of another type");
        exchange(&mut one);
        assert_eq!(one.capacity(), 100);
    }
}
