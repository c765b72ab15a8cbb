//! The registrations of a reactor, under keys that are never used twice.

use std::io;
use std::sync::Arc;

use super::registration::Watch;
use super::source::State;

/// Names an entry: the index of its slot in the lower half, the slot's generation in the upper half.
/// The kernel stores the key and hands it back with each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(pub(super) u64);

impl Key {
    fn new(index: usize, generation: u32) -> Key {
        Key(index as u64 | u64::from(generation) << 32)
    }

    fn index(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The receiver of a descriptor's events.
#[derive(Clone)]
pub(super) enum Target {
    /// The readiness of one of our own descriptors.
    Source(Arc<State>),
    /// The handler of a [`Registration`](super::Registration).
    Watch(Arc<Watch>),
}

/// All registrations of a reactor.
#[derive(Default)]
pub(super) struct Table {
    /// All slots, those without a target included.
    slots: Vec<Slot>,
    /// The indices of the slots without a target.
    free: Vec<usize>,
    /// True once nothing may be registered any more.
    closed: bool,
}

/// A slot for one registration at a time.
struct Slot {
    /// Counts the targets that the slot has had. 2^32 later a key would be used again: by then its event has
    /// long been delivered.
    generation: u32,
    target: Option<Target>,
}

impl Table {
    pub(super) fn insert(&mut self, target: Target) -> io::Result<Key> {
        if self.closed {
            return Err(io::Error::other("the reactor has been closed"));
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, target: None });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.target = Some(target);
        Ok(Key::new(index, slot.generation))
    }

    pub(super) fn get(&self, key: Key) -> Option<&Target> {
        let slot = self.slots.get(key.index())?;
        slot.target.as_ref().filter(|_| slot.generation == key.generation())
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Target> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.generation != key.generation() {
            return None;
        }
        let target = slot.target.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index());
        Some(target)
    }

    /// Empties the table for good.
    pub(super) fn close(&mut self) -> Vec<Target> {
        self.closed = true;
        self.free = Vec::new();
        std::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.target).collect()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
