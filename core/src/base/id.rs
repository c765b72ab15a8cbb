//! Numbers that are given out once: of tasks, of processes and of monitors.
//!
//! Each sequence is an atomic that hands out *runs* of numbers, and a variable of each thread with the last
//! number that the thread has given out of its run. So threads that spawn at the same time share no cache
//! line.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::LocalKey;

/// The length of a run: the numbers that a thread takes at a time.
const RUN: u64 = 1 << 10;

/// Returns a number of the sequence that has not been given out before. Both variables of a sequence begin at
/// zero.
#[inline]
pub(crate) fn next(next_run: &AtomicU64, last: &'static LocalKey<Cell<u64>>) -> NonZeroU64 {
    // While the thread ends, its variable is gone, and each number takes a run of its own.
    let mut id = last.try_with(Cell::get).unwrap_or(0);
    if id.is_multiple_of(RUN) {
        // A run starts after a multiple of RUN and ends at the next one, where another run is taken.
        id = next_run.fetch_add(RUN, Relaxed);
    }
    id += 1;
    let _ = last.try_with(|last| last.set(id));
    NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;

    use super::*;

    #[test]
    fn no_number_is_given_out_twice() {
        static NEXT_RUN: AtomicU64 = AtomicU64::new(0);
        thread_local!(static LAST: Cell<u64> = const { Cell::new(0) });
        let take = || (0..=RUN).map(|_| next(&NEXT_RUN, &LAST)).collect::<Vec<_>>();
        let taken: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len());
        assert!(taken.iter().all(|id| id.get() <= 6 * RUN), "two runs a thread are enough");
    }
}
