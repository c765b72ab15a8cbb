//! Cheap random numbers, for fairness and nothing else.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    /// The state of this thread's xorshift generator; 0 until it is first used.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// A number below `n`, which must not be 0. Marsaglia's xorshift64, a few instructions.
pub(super) fn below(n: usize) -> usize {
    STATE.with(|state| {
        let mut x = state.get();
        if x == 0 {
            // A different sequence on each thread and in each run; the generator must not start at 0.
            x = RandomState::new().hash_one(0) | 1;
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        // The upper half times n, in fixed point: no division.
        ((x >> 32).wrapping_mul(n as u64) >> 32) as usize
    })
}
