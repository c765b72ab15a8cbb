//! Numbers that are used once: of processes and of monitors.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many numbers a thread takes at a time, so that threads that start processes share no cache line.
const RUN: u64 = 1 << 10;

/// A number that nobody has had before. Never 0.
#[inline]
pub(super) fn next() -> u64 {
    static NEXT_RUN: AtomicU64 = AtomicU64::new(0);
    thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });
    let mut last = NEXT.try_with(Cell::get).unwrap_or(0);
    if last.is_multiple_of(RUN) {
        // Runs begin after a multiple of RUN and end at the next, where another one is taken.
        last = NEXT_RUN.fetch_add(RUN, Ordering::Relaxed);
    }
    let _ = NEXT.try_with(|next| next.set(last + 1));
    last + 1
}
