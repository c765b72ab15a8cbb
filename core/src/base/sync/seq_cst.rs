//! Loom's atomics, with SeqCst operations that have one order, as the language promises.
//!
//! Loom honours SeqCst on fences only, and takes it for AcqRel on everything else. So here a SeqCst operation
//! stands between two SeqCst fences: two threads that each write one word and then read the other's do not
//! both read the old value. That is a little more than the language promises: one of a thread's two
//! operations may be weaker than SeqCst without a model noticing.
//!
//! [`by_turns`] makes up for that: it runs a model with a little less than the language promises. In place of
//! the fences each atomic has a second word, for turns. A SeqCst write takes its turn after it has been done,
//! by Release, and a SeqCst load before it is done, by Acquire. All turns come in one order: a load whose
//! turn comes after that of a write sees what was written, or something newer. A turn does nothing for other
//! atomics, so an operation that is not SeqCst gains nothing from its neighbours that are. What is less than
//! the language promises: a write may be read before its turn.

use std::cell::Cell;

use loom::sync::atomic;
use loom::sync::atomic::Ordering::{self, Acquire, Release, SeqCst};

// All threads of a model run on the thread of its test.
thread_local! {
    /// True if the model uses turns, false if it uses fences.
    static TURNS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `model` with turns in place of fences, so that an operation that is weaker than SeqCst fails it.
#[cfg(test)]
pub(crate) fn by_turns(model: impl FnOnce()) {
    TURNS.set(true);
    model();
    TURNS.set(false);
}

/// The turns of the SeqCst operations on one atomic.
#[derive(Debug, Default)]
struct Turn(atomic::AtomicUsize);

impl Turn {
    /// Performs a load in the single order of the SeqCst operations, if `ordering` is SeqCst.
    fn load<R>(&self, ordering: Ordering, operation: impl FnOnce() -> R) -> R {
        self.take(ordering, Some(Acquire), operation, None)
    }

    /// As [`Turn::load`], for a store or a read-modify-write. The latter reads the newest value anyway.
    fn write<R>(&self, ordering: Ordering, operation: impl FnOnce() -> R) -> R {
        self.take(ordering, None, operation, Some(Release))
    }

    /// Performs `operation` with a turn before or after it, or with fences.
    fn take<R>(
        &self,
        ordering: Ordering,
        before: Option<Ordering>,
        operation: impl FnOnce() -> R,
        after: Option<Ordering>,
    ) -> R {
        if ordering != SeqCst {
            return operation();
        }
        let order = |turn: Option<Ordering>| match (TURNS.get(), turn) {
            (false, _) => atomic::fence(SeqCst),
            (true, Some(ordering)) => {
                self.0.fetch_add(1, ordering);
            }
            (true, None) => {}
        };
        order(before);
        let result = operation();
        order(after);
        result
    }
}

/// Loom's `AtomicBool`, with SeqCst operations of a single order.
#[derive(Debug, Default)]
pub(crate) struct AtomicBool(atomic::AtomicBool, Turn);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> AtomicBool {
        AtomicBool(atomic::AtomicBool::new(value), Turn::default())
    }

    pub(crate) fn load(&self, ordering: Ordering) -> bool {
        self.1.load(ordering, || self.0.load(ordering))
    }

    pub(crate) fn store(&self, value: bool, ordering: Ordering) {
        self.1.write(ordering, || self.0.store(value, ordering));
    }
}

/// Loom's `AtomicUsize`, with SeqCst operations of a single order.
#[derive(Debug, Default)]
pub(crate) struct AtomicUsize(atomic::AtomicUsize, Turn);

impl AtomicUsize {
    pub(crate) fn load(&self, ordering: Ordering) -> usize {
        self.1.load(ordering, || self.0.load(ordering))
    }

    pub(crate) fn fetch_add(&self, value: usize, ordering: Ordering) -> usize {
        self.1.write(ordering, || self.0.fetch_add(value, ordering))
    }
}

/// Loom's `AtomicU32`, with SeqCst operations of a single order.
#[derive(Debug, Default)]
pub(crate) struct AtomicU32(atomic::AtomicU32, Turn);

impl AtomicU32 {
    pub(crate) fn new(value: u32) -> AtomicU32 {
        AtomicU32(atomic::AtomicU32::new(value), Turn::default())
    }

    pub(crate) fn load(&self, ordering: Ordering) -> u32 {
        self.1.load(ordering, || self.0.load(ordering))
    }

    pub(crate) fn store(&self, value: u32, ordering: Ordering) {
        self.1.write(ordering, || self.0.store(value, ordering));
    }

    pub(crate) fn fetch_add(&self, value: u32, ordering: Ordering) -> u32 {
        self.1.write(ordering, || self.0.fetch_add(value, ordering))
    }

    pub(crate) fn fetch_sub(&self, value: u32, ordering: Ordering) -> u32 {
        self.1.write(ordering, || self.0.fetch_sub(value, ordering))
    }

    pub(crate) fn fetch_or(&self, value: u32, ordering: Ordering) -> u32 {
        self.1.write(ordering, || self.0.fetch_or(value, ordering))
    }
}
