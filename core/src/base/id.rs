//! Numbers that are given out once: of tasks, of processes and what belongs to them, of other nodes.
//!
//! All runtimes of a program draw from the same sequences, because what they number meets: a process of one
//! backend links to one of another, and a report names tasks of all of them. A sequence hands out *runs* of
//! numbers, and each thread keeps the last number that it has given out of its run. So threads that spawn at
//! the same time share no cache line.
//!
//! Which numbers a thread gets depends on what other threads have taken before. A simulated world wants the
//! same numbers whenever it runs; [`Numbers`] are runs of its own, beyond all that real ones reach.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::sync::lock_std;

/// The sequences of numbers.
#[derive(Clone, Copy)]
pub(crate) enum Sequence {
    /// The numbers of tasks.
    Tasks,
    /// The numbers of processes, and of what belongs to them: monitors, hooks, timers.
    Processes,
    /// The numbers of incarnations of other nodes.
    Nodes,
}

/// The number of sequences.
const SEQUENCES: usize = 3;

/// The length of a run: the numbers that a thread takes at a time.
const RUN: u64 = 1 << 10;

/// The distance between the numbers of two worlds, a multiple of [`RUN`]. Real numbers are below it: whoever
/// gives out ten million in a second reaches it in thirty years. It is round in decimal, in which people read
/// numbers.
const WORLD: u64 = 10_000_000_000_000_000;

/// The first number of the next run of each sequence, less one.
static NEXT_RUN: [AtomicU64; SEQUENCES] = [const { AtomicU64::new(0) }; SEQUENCES];

thread_local! {
    /// The number of each sequence that this thread has given out last; 0 before the first one.
    static LAST: [Cell<u64>; SEQUENCES] = const { [const { Cell::new(0) }; SEQUENCES] };
}

/// Returns a number of `sequence` that has not been given out before.
#[inline]
pub(crate) fn next(sequence: Sequence) -> NonZeroU64 {
    let sequence = sequence as usize;
    // While the thread ends, its variable is gone, and each number takes a run of its own.
    let mut id = LAST.try_with(|last| last[sequence].get()).unwrap_or(0);
    if id.is_multiple_of(RUN) && id < WORLD {
        // A run starts after a multiple of RUN and ends at the next one, where another run is taken.
        id = NEXT_RUN[sequence].fetch_add(RUN, Relaxed);
    }
    id += 1;
    let _ = LAST.try_with(|last| last[sequence].set(id));
    NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN)
}

/// The numbers of one simulated world: its tasks, processes, monitors and nodes have the same ones in each
/// run.
///
/// A world has an index from 1 to [`MAX_INDEX`](Numbers::MAX_INDEX), and the numbers of different worlds
/// differ, and differ from those of everything real. So worlds may run side by side in one program, and each
/// one's log can be compared with that of an earlier run, digit by digit. Drop this only when nothing of the
/// world is left: the index is free then, and whoever claims it next begins with the same numbers.
///
/// # Examples
/// ```
/// use twoply::contract::world::Numbers;
///
/// let run = || {
///     let mut numbers = Numbers::claim(7).expect("no other world has this index");
///     numbers.with(|| (twoply::spawn(async {}).id(), twoply::spawn(async {}).id()))
/// };
/// assert_eq!(run(), run());
/// ```
#[derive(Debug)]
pub struct Numbers {
    /// The index of the world, which nobody else has.
    index: u16,
    /// The number of each sequence that was given out last.
    last: [u64; SEQUENCES],
}

/// The indices that are claimed.
static CLAIMED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

impl Numbers {
    /// The highest index of a world.
    pub const MAX_INDEX: u16 = 999;

    /// Claims the numbers of the world `index`. Returns `None` if somebody has them, or if there is no such
    /// world.
    pub fn claim(index: u16) -> Option<Numbers> {
        let is_index = (1..=Numbers::MAX_INDEX).contains(&index);
        let claimed = is_index && lock_std(&CLAIMED).insert(index);
        claimed.then(|| Numbers { index, last: [u64::from(index) * WORLD; SEQUENCES] })
    }

    /// Runs `f`. Tasks, processes and nodes that are made meanwhile on this thread get the next of these
    /// numbers.
    ///
    /// A simulator calls this around each turn of its loop, on whatever thread that is. Calls nest, and the
    /// last one to begin is the first one to end: a fiber that is suspended in `f` and goes on elsewhere
    /// would take its thread's numbers along.
    pub fn with<R>(&mut self, f: impl FnOnce() -> R) -> R {
        /// Swaps back, also when `f` panics.
        struct Swapped<'a>(&'a mut [u64; SEQUENCES]);

        impl Drop for Swapped<'_> {
            fn drop(&mut self) {
                swap(self.0);
            }
        }

        swap(&mut self.last);
        let _swapped = Swapped(&mut self.last);
        f()
    }
}

/// Swaps what the calling thread has given out last with `other`.
fn swap(other: &mut [u64; SEQUENCES]) {
    let _ = LAST.try_with(|last| {
        for (mine, other) in last.iter().zip(other) {
            *other = mine.replace(*other);
        }
    });
}

impl Drop for Numbers {
    fn drop(&mut self) {
        lock_std(&CLAIMED).remove(&self.index);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use super::*;

    fn take(count: u64) -> Vec<u64> {
        (0..count).map(|_| next(Sequence::Nodes).get()).collect()
    }

    #[test]
    fn no_number_is_given_out_twice() {
        let taken: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| take(RUN + 1))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len());
        assert!(taken.iter().all(|id| *id < WORLD));
    }

    #[test]
    fn a_world_has_the_same_numbers_each_time_and_real_ones_go_on() {
        let before = take(1)[0];
        let run = || Numbers::claim(1).unwrap().with(|| take(2 * RUN));
        let first = run();
        assert_eq!(first, (WORLD + 1..=WORLD + 2 * RUN).collect::<Vec<_>>());
        let again = thread::spawn(run).join().unwrap();
        assert_eq!(again, first);
        let after = take(1)[0];
        assert!(after > before && after < WORLD);
    }

    #[test]
    fn worlds_side_by_side_share_no_number() {
        let (mut one, mut other) = (Numbers::claim(2).unwrap(), Numbers::claim(3).unwrap());
        assert!(Numbers::claim(2).is_none() && Numbers::claim(0).is_none() && Numbers::claim(1000).is_none());
        let ids = one.with(|| [take(1)[0], other.with(|| take(1)[0]), take(1)[0]]);
        assert_eq!(ids, [2 * WORLD + 1, 3 * WORLD + 1, 2 * WORLD + 2]);
        let panics = catch_unwind(AssertUnwindSafe(|| one.with(|| panic!("expected {}", take(1)[0]))));
        assert!(panics.is_err() && take(1)[0] < WORLD, "a panic leaves the numbers of the world");
        assert_eq!(one.with(|| take(1)[0]), 2 * WORLD + 4);
        drop(one);
        assert!(Numbers::claim(2).is_some());
    }
}
