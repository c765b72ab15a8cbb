//! Looking for what a thread waits for, before it sleeps in the kernel.
//!
//! To look is a bet: that the thing comes sooner than a sleeping thread can be woken, which takes 40 us or
//! more on an idle core. It pays tens of times where two threads answer each other, and costs up to 50 us of
//! CPU time a wait where nothing comes so soon. The strand of each [thread](super::strand::ThreadStrand) has
//! a [`Spin`].
//!
//! # For how long
//! A thread looks for its full number of rounds until several waits in a row have been long ([`PATIENCE`]).
//! From then on it looks a few times in most waits ([`FEW`], [`SELDOM`]), until one is short again: it ended
//! while the thread looked, or so soon after that more rounds would have seen its end ([`SHORT`]).
//!
//! That last part brings two threads back that wake each other. While both of them sleep, nothing comes
//! within a few rounds, so what is found there would say for ever that looking does not pay. Measured with
//! threads that look eight times and no more: a round trip of 81 us instead of 1.3.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The number of rounds in which the thread keeps its core, for one pause, then two, four and so on. An
/// answer from another core takes a fraction of a microsecond, and the system call that yields the core no
/// less: measured, a round trip of 0.6 us instead of 1.0. More such rounds lose again where the two threads
/// share a core.
const BUSY_ROUNDS: u32 = 4;

/// The longest time that a thread looks. Where other threads want the core, each look costs one of their
/// time slices, milliseconds: beside three busy threads on two cores, sixty looks made a sleep of 0.1 ms
/// last 78 ms on average.
const SPIN_TIME: Duration = Duration::from_micros(50);

/// The time within which a wait is a short one: half of it may be the waking of the thread, which would not
/// have slept if it had looked on.
const SHORT: Duration = SPIN_TIME.saturating_mul(2);

/// The number of long waits in a row after which a thread looks a few times only.
const PATIENCE: u32 = 8;

/// From then on it looks for its full number of rounds in one of so many waits.
const SELDOM: u32 = 16;

/// The number of its rounds in the others: enough to see the answer of a peer who is awake.
const FEW: u32 = 8;

/// The looks of one thread for what it waits for, and whether they pay; see the [module](self).
pub(crate) struct Spin {
    /// The number of rounds as long as looking pays.
    rounds: u32,
    /// The number of long waits in a row; it may begin again.
    long: Cell<u32>,
}

impl Spin {
    /// Makes it for a thread that looks so many times at most.
    pub(crate) const fn new(rounds: u32) -> Spin {
        Spin { rounds, long: Cell::new(0) }
    }

    /// Looks until the wait `is_over`, or for as long as that pays; in between the thread gives its core
    /// away. Returns when it began if the wait is not over: then the caller sleeps, and calls
    /// [`Spin::slept`].
    pub(crate) fn look(&self, mut is_over: impl FnMut() -> bool) -> Option<Instant> {
        let start = Instant::now();
        let rounds = self.rounds();
        for round in 0..rounds {
            if is_over() {
                self.long.set(0);
                return None;
            }
            if round < BUSY_ROUNDS {
                (0..1 << round).for_each(|_| std::hint::spin_loop());
                continue;
            }
            // No bare spin for longer: where the waker wants this core, that would keep it from running.
            std::thread::yield_now();
            if start.elapsed() >= SPIN_TIME {
                break;
            }
        }
        Some(start)
    }

    /// Notes that the thread has slept, in a wait that it has looked for the end of `since` then.
    pub(crate) fn slept(&self, since: Instant) {
        self.waited(since.elapsed());
    }

    fn waited(&self, time: Duration) {
        let long = if time < SHORT { 0 } else { self.long.get().wrapping_add(1) };
        self.long.set(long);
    }

    /// Returns how many times the next look may take.
    fn rounds(&self) -> u32 {
        let long = self.long.get();
        if long < PATIENCE || long.is_multiple_of(SELDOM) { self.rounds } else { self.rounds.min(FEW) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how often a thread looks that finds nothing.
    fn looks(spin: &Spin) -> u32 {
        let mut looks = 0;
        assert!(
            spin.look(|| {
                looks += 1;
                false
            })
            .is_some()
        );
        looks
    }

    /// Returns one whose last waits have been long.
    fn tired() -> Spin {
        let spin = Spin::new(60);
        (0..PATIENCE).for_each(|_| spin.waited(SHORT));
        spin
    }

    #[test]
    fn long_waits_in_a_row_end_the_looking() {
        let spin = Spin::new(60);
        for _ in 1..PATIENCE {
            spin.waited(SHORT);
            assert_eq!(spin.rounds(), 60);
        }
        spin.waited(Duration::MAX);
        assert_eq!(spin.rounds(), FEW);
        spin.waited(SHORT);
        assert_eq!(spin.rounds(), FEW);
        assert!(looks(&spin) <= FEW);
    }

    #[test]
    fn now_and_then_it_looks_for_long() {
        let spin = tired();
        let full = |_: &u32| {
            spin.waited(SHORT);
            spin.rounds() == 60
        };
        assert_eq!((0..10 * SELDOM).filter(full).count(), 10);
    }

    #[test]
    fn a_short_wait_brings_it_back() {
        let spin = tired();
        spin.waited(SHORT - Duration::from_nanos(1));
        assert_eq!(spin.rounds(), 60);
    }

    #[test]
    fn what_is_found_brings_it_back() {
        let spin = tired();
        let mut left = BUSY_ROUNDS;
        assert!(
            spin.look(|| {
                left -= 1;
                left == 0
            })
            .is_none()
        );
        assert_eq!(spin.rounds(), 60);
    }

    #[test]
    fn long_waits_count_in_a_row_only() {
        let spin = Spin::new(60);
        for _ in 0..PATIENCE {
            (1..PATIENCE).for_each(|_| spin.waited(SHORT));
            assert!(spin.look(|| true).is_none());
        }
        assert_eq!(spin.rounds(), 60);
    }

    #[test]
    fn nobody_looks_more_often_than_it_may() {
        let spin = Spin::new(2);
        assert_eq!(looks(&spin), 2);
        (0..PATIENCE).for_each(|_| spin.waited(SHORT));
        assert_eq!(spin.rounds(), 2);
    }
}
