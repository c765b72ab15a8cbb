//! Loom's atomics, with SeqCst operations that have one order, as the language promises.
//!
//! Loom honours SeqCst on fences only, and takes it for AcqRel on everything else. So here a SeqCst operation
//! stands between two SeqCst fences: two threads that each write one word and then read the other's do not
//! both read the old value. That is a little more than the language promises: one of a thread's two
//! operations may be weaker than SeqCst without a model noticing.
//!
//! [`each_way`] makes up for that. It runs a model with a fence before each SeqCst operation only, and again
//! with one after each only. Either is enough for what the language promises; but without the fence of a
//! later operation, that of an earlier one must be there, and the other way round.

use std::cell::Cell;

use loom::sync::atomic;
use loom::sync::atomic::Ordering::{self, SeqCst};

// All threads of a model run on the thread of its test.
thread_local! {
    /// True for a fence before each SeqCst operation, and true for one after it.
    static FENCES: Cell<(bool, bool)> = const { Cell::new((true, true)) };
}

/// Runs `model` twice, with fences only before and only after the SeqCst operations, so that a weaker
/// operation fails it.
#[cfg(test)]
pub(crate) fn each_way(model: impl Fn()) {
    for fences in [(true, false), (false, true)] {
        FENCES.set(fences);
        model();
    }
    FENCES.set((true, true));
}

/// Performs `operation` in the single order of the SeqCst operations, if `ordering` is SeqCst.
fn ordered<R>(ordering: Ordering, operation: impl FnOnce() -> R) -> R {
    let (before, after) = FENCES.get();
    let fence_if = |there: bool| {
        if there && ordering == SeqCst {
            atomic::fence(SeqCst);
        }
    };
    fence_if(before);
    let result = operation();
    fence_if(after);
    result
}

/// Loom's `AtomicBool`, with SeqCst operations of a single order.
#[derive(Debug, Default)]
pub(crate) struct AtomicBool(atomic::AtomicBool);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> AtomicBool {
        AtomicBool(atomic::AtomicBool::new(value))
    }

    pub(crate) fn load(&self, ordering: Ordering) -> bool {
        ordered(ordering, || self.0.load(ordering))
    }

    pub(crate) fn store(&self, value: bool, ordering: Ordering) {
        ordered(ordering, || self.0.store(value, ordering));
    }
}

/// Loom's `AtomicUsize`, with SeqCst operations of a single order.
#[derive(Debug, Default)]
pub(crate) struct AtomicUsize(atomic::AtomicUsize);

impl AtomicUsize {
    pub(crate) fn load(&self, ordering: Ordering) -> usize {
        ordered(ordering, || self.0.load(ordering))
    }

    pub(crate) fn fetch_add(&self, value: usize, ordering: Ordering) -> usize {
        ordered(ordering, || self.0.fetch_add(value, ordering))
    }
}

/// Loom's `AtomicU32`, with SeqCst operations of a single order.
#[derive(Debug, Default)]
pub(crate) struct AtomicU32(atomic::AtomicU32);

impl AtomicU32 {
    pub(crate) fn new(value: u32) -> AtomicU32 {
        AtomicU32(atomic::AtomicU32::new(value))
    }

    pub(crate) fn load(&self, ordering: Ordering) -> u32 {
        ordered(ordering, || self.0.load(ordering))
    }

    pub(crate) fn store(&self, value: u32, ordering: Ordering) {
        ordered(ordering, || self.0.store(value, ordering));
    }

    pub(crate) fn fetch_add(&self, value: u32, ordering: Ordering) -> u32 {
        ordered(ordering, || self.0.fetch_add(value, ordering))
    }

    pub(crate) fn fetch_sub(&self, value: u32, ordering: Ordering) -> u32 {
        ordered(ordering, || self.0.fetch_sub(value, ordering))
    }

    pub(crate) fn fetch_or(&self, value: u32, ordering: Ordering) -> u32 {
        ordered(ordering, || self.0.fetch_or(value, ordering))
    }
}
