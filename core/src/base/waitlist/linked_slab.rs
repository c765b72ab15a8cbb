//! A doubly linked list in a slab: a queue whose entries can also be removed from the middle.
//!
//! Wait lists, channels, promises and mailboxes keep their waiters in one. Freed slots are used again and the
//! first slot lies in the structure itself, so a list with one waiter at a time, the common case, never
//! allocates. This module knows nothing of wakers and never runs code of the values that it holds.

/// The index that stands for no slot.
const NONE: u32 = u32::MAX;

/// Stands for the slot before an entry that is in no line any more, and still in its slot.
const UNLISTED: u32 = u32::MAX - 1;

/// Names an entry. A key whose entry has gone finds nothing, even when the slot is in use again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    /// The generation of the slot when the entry was made. A busy slot would wrap 32 bits in minutes.
    generation: u64,
}

/// An ordered list of entries; see the [module](self).
pub(crate) struct LinkedSlab<V> {
    /// The slot with index 0.
    first: Slot<V>,
    /// The slots with indices from 1 on.
    more: Vec<Slot<V>>,
    /// The first of the free slots, which are linked through `next`.
    free: u32,
    /// The first entry of the list.
    head: u32,
    /// The last entry of the list.
    tail: u32,
}

struct Slot<V> {
    /// The entry; `None` in a free slot.
    value: Option<V>,
    /// Counts how often the slot has been freed.
    generation: u64,
    /// The entry before this one.
    prev: u32,
    /// The entry after this one, or the next free slot.
    next: u32,
}

impl<V> Slot<V> {
    const fn free(next: u32) -> Slot<V> {
        Slot { value: None, generation: 0, prev: NONE, next }
    }
}

impl<V> Default for LinkedSlab<V> {
    fn default() -> LinkedSlab<V> {
        LinkedSlab::new()
    }
}

impl<V> LinkedSlab<V> {
    pub(crate) const fn new() -> LinkedSlab<V> {
        LinkedSlab { first: Slot::free(NONE), more: Vec::new(), free: 0, head: NONE, tail: NONE }
    }

    /// Adds an entry at the end.
    pub(crate) fn push_back(&mut self, value: V) -> Key {
        let key = self.occupy(value);
        let tail = std::mem::replace(&mut self.tail, key.index);
        self.slot(key.index).prev = tail;
        match tail {
            NONE => self.head = key.index,
            _ => self.slot(tail).next = key.index,
        }
        key
    }

    /// Adds an entry at the front.
    pub(crate) fn push_front(&mut self, value: V) -> Key {
        let key = self.occupy(value);
        let head = std::mem::replace(&mut self.head, key.index);
        self.slot(key.index).next = head;
        match head {
            NONE => self.tail = key.index,
            _ => self.slot(head).prev = key.index,
        }
        key
    }

    /// Removes and returns the front entry.
    pub(crate) fn pop_front(&mut self) -> Option<V> {
        match self.head {
            NONE => None,
            index => self.free(index),
        }
    }

    /// Returns the front entry.
    pub(crate) fn front(&mut self) -> Option<&mut V> {
        match self.head {
            NONE => None,
            index => self.slot(index).value.as_mut(),
        }
    }

    /// Returns whether there are no entries.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// Takes the front entry out of the line and returns it. It stays in its slot, where its key finds it
    /// until [`remove`](LinkedSlab::remove) is called.
    pub(crate) fn unlist_front(&mut self) -> Option<&mut V> {
        let index = self.head;
        if index == NONE {
            return None;
        }
        let slot = self.slot(index);
        slot.prev = UNLISTED;
        let next = std::mem::replace(&mut slot.next, NONE);
        self.head = next;
        match next {
            NONE => self.tail = NONE,
            _ => self.slot(next).prev = NONE,
        }
        self.slot(index).value.as_mut()
    }

    /// Returns the entry that `key` names, if it is still there.
    pub(crate) fn find(&mut self, key: Key) -> Option<&mut V> {
        self.holds(key).then(|| self.slot(key.index).value.as_mut())?
    }

    /// Removes and returns the entry that `key` names, if it is still there.
    pub(crate) fn remove(&mut self, key: Key) -> Option<V> {
        self.holds(key).then(|| self.free(key.index))?
    }

    /// Returns the key of the first entry, from the front, for which `test` returns true.
    pub(crate) fn first(&mut self, mut test: impl FnMut(&mut V) -> bool) -> Option<Key> {
        let mut index = self.head;
        while index != NONE {
            let slot = self.slot(index);
            if slot.value.as_mut().is_some_and(&mut test) {
                return Some(Key { index, generation: slot.generation });
            }
            index = slot.next;
        }
        None
    }

    /// Calls `visit` for each entry, front to back.
    pub(crate) fn for_each(&mut self, mut visit: impl FnMut(&mut V)) {
        let mut index = self.head;
        while index != NONE {
            let slot = self.slot(index);
            index = slot.next;
            slot.value.iter_mut().for_each(&mut visit);
        }
    }

    fn holds(&mut self, key: Key) -> bool {
        if key.index as usize > self.more.len() {
            return false;
        }
        let slot = self.slot(key.index);
        slot.generation == key.generation && slot.value.is_some()
    }

    fn slot(&mut self, index: u32) -> &mut Slot<V> {
        match index {
            0 => &mut self.first,
            _ => &mut self.more[index as usize - 1],
        }
    }

    /// Puts `value` in a free slot, which is linked to nothing yet.
    fn occupy(&mut self, value: V) -> Key {
        if self.free == NONE {
            self.more.push(Slot::free(NONE));
            // 2^32 slots of 32 bytes do not fit in memory, so the length fits in 32 bits.
            self.free = self.more.len() as u32;
        }
        let index = self.free;
        let slot = self.slot(index);
        let next_free = std::mem::replace(&mut slot.next, NONE);
        slot.prev = NONE;
        slot.value = Some(value);
        let generation = slot.generation;
        self.free = next_free;
        Key { index, generation }
    }

    /// Removes and returns the entry in slot `index`, and frees the slot.
    fn free(&mut self, index: u32) -> Option<V> {
        let free = std::mem::replace(&mut self.free, index);
        let slot = self.slot(index);
        let prev = slot.prev;
        let next = std::mem::replace(&mut slot.next, free);
        slot.generation += 1;
        let value = slot.value.take();
        match prev {
            NONE => self.head = next,
            UNLISTED => return value,
            _ => self.slot(prev).next = next,
        }
        match next {
            NONE => self.tail = prev,
            _ => self.slot(next).prev = prev,
        }
        value
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn drain(slots: &mut LinkedSlab<u32>) -> Vec<u32> {
        std::iter::from_fn(|| slots.pop_front()).collect()
    }

    #[test]
    fn entries_leave_from_anywhere_and_the_rest_keep_their_order() {
        let mut slots = LinkedSlab::new();
        let keys: Vec<Key> = (0..5).map(|n| slots.push_back(n)).collect();
        assert_eq!(slots.remove(keys[0]), Some(0));
        assert_eq!(slots.remove(keys[2]), Some(2));
        assert_eq!(slots.remove(keys[4]), Some(4));
        slots.push_front(9);
        let mut seen = Vec::new();
        slots.for_each(|n| seen.push(*n));
        assert_eq!(seen, [9, 1, 3]);
        assert_eq!(drain(&mut slots), [9, 1, 3]);
        assert_eq!((slots.head, slots.tail), (NONE, NONE));
    }

    #[test]
    fn a_key_does_not_find_its_slots_next_entry() {
        let mut slots = LinkedSlab::new();
        let old = slots.push_back(1);
        assert_eq!(slots.remove(old), Some(1));
        let new = slots.push_back(2);
        assert_eq!(old.index, new.index);
        assert_eq!(slots.find(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.find(new), Some(&mut 2));
    }

    #[test]
    fn an_entry_that_is_in_no_line_is_found_until_it_is_removed() {
        let mut slots = LinkedSlab::new();
        let keys: Vec<Key> = (0..4).map(|n| slots.push_back(n)).collect();
        assert_eq!(slots.unlist_front(), Some(&mut 0));
        assert_eq!(slots.unlist_front(), Some(&mut 1));
        assert_eq!(slots.find(keys[0]), Some(&mut 0));
        assert_eq!(slots.remove(keys[1]), Some(1));
        assert_eq!(slots.remove(keys[2]), Some(2));
        // A slot that was freed in either way is used again, and the line is whole.
        slots.push_back(4);
        slots.push_back(5);
        assert_eq!(slots.more.len(), 3);
        assert_eq!(drain(&mut slots), [3, 4, 5]);
        assert_eq!(slots.unlist_front(), None);
        assert_eq!(slots.remove(keys[0]), Some(0));
        assert!(slots.is_empty());
    }

    #[test]
    fn slots_are_used_again() {
        let mut slots = LinkedSlab::new();
        for round in 0..100 {
            let a = slots.push_back(round);
            let b = slots.push_back(round + 1);
            slots.remove(a);
            slots.remove(b);
        }
        assert_eq!(slots.more.len(), 1);
    }
}
