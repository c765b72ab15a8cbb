//! Cheap random numbers, for fairness and nothing else.
//!
//! The state of the generator belongs to the strand, and its seed to the strand's world: so a simulated world
//! decides every choice that is made in it.

use std::hash::{BuildHasher, RandomState};

use crate::kernel::strand::with_state;
use crate::kernel::world;

/// Returns a number below `n`, which must not be 0. Marsaglia's xorshift64, a few instructions.
pub(super) fn below(n: usize) -> usize {
    with_state(|strand| {
        let state = strand.random();
        let mut x = match state.get() {
            0 => seed(),
            x => x,
        };
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        // This is the upper half times n, in fixed point: no division.
        ((x >> 32).wrapping_mul(n as u64) >> 32) as usize
    })
}

/// Returns the first state of a generator, which is never 0: the world's, or else another one for each strand
/// and in each run.
#[cold]
fn seed() -> u64 {
    let of_world = world::current().and_then(|world| world.random());
    of_world.unwrap_or_else(|| RandomState::new().hash_one(0)) | 1
}
