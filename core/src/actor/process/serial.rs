//! Numbers that are used once: of processes and of monitors.

use std::cell::Cell;
use std::sync::atomic::AtomicU64;

use crate::base::id;

/// Returns a number that no process and no monitor has had before; it is never 0.
#[inline]
pub(super) fn next() -> u64 {
    static NEXT_RUN: AtomicU64 = AtomicU64::new(0);
    thread_local!(static LAST: Cell<u64> = const { Cell::new(0) });
    id::next(&NEXT_RUN, &LAST).get()
}
