//! The times of polls and the delays of wake-ups, for programs that have asked for them.
//!
//! Each worker has histograms of its own, which only the thread that carries it writes. A delay begins with a
//! wake-up, on any thread, and ends with a poll, on any worker; to note a time in each task would make all of
//! them larger. So one wake-up at a time is followed, the next one as soon as the last has come to its poll:
//! a sample, as Go's scheduler takes one of eight. Nothing here decides what runs.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use twoply_core::hooks::{Buckets, Histogram};

/// The times of one worker; see [`WorkerMetrics::times`](crate::WorkerMetrics::times).
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Times {
    /// The time that the worker has spent in polls.
    pub busy: Duration,
    /// The time that each poll has taken, or each turn of a fiber between two waits. A poll whose task has
    /// blocked the thread, so that the worker has gone on elsewhere, is not counted.
    pub polls: Histogram,
    /// The delay from a wake-up of a task, or its start, to the poll that follows: of one wake-up at a time,
    /// counted by the worker that polls.
    pub wake_delays: Histogram,
}

/// The times of one worker, as the thread that carries it writes them.
#[derive(Default)]
pub(crate) struct WorkerTiming {
    /// The nanoseconds spent in polls.
    busy: AtomicU64,
    polls: Buckets,
    delays: Buckets,
}

impl WorkerTiming {
    /// Counts a poll that began at `start` and is over. Called by who carries the worker.
    pub(crate) fn polled(&self, start: Instant) {
        let nanos = nanos(start.elapsed());
        self.polls.add_alone(nanos);
        self.busy.store(self.busy.load(Relaxed).wrapping_add(nanos), Relaxed);
    }

    pub(crate) fn read(&self) -> Times {
        let busy = Duration::from_nanos(self.busy.load(Relaxed));
        Times { busy, polls: self.polls.read(), wake_delays: self.delays.read() }
    }
}

/// The wake-up that is being followed.
///
/// ```text
///     FREE ──(1) woken──▶ CLAIMED ──(2) woken──▶ key ──(3) begins, forget──▶ FREE
/// ```
/// Only the thread that has made (1) makes (2), and only who has that job or fiber in hand (3).
pub(crate) struct Followed {
    /// The key of what has been woken, [`FREE`] or [`CLAIMED`].
    key: AtomicU64,
    /// The time at which it was woken, in nanoseconds since `epoch`.
    at: AtomicU64,
    epoch: Instant,
}

/// No wake-up is followed.
const FREE: u64 = 0;
/// A wake-up is about to be followed.
const CLAIMED: u64 = u64::MAX;

/// Returns the key of a blocked fiber of a worker. Tasks have their numbers, which never get so large.
pub(crate) fn fiber_key(worker: usize, fiber: usize) -> u64 {
    1 << 63 | (worker as u64) << 32 | fiber as u64
}

impl Followed {
    pub(crate) fn new() -> Followed {
        Followed { key: AtomicU64::new(FREE), at: AtomicU64::new(0), epoch: Instant::now() }
    }

    /// Notes that what has this key can go on, and is about to be queued.
    pub(crate) fn woken(&self, key: u64) {
        // (1)
        if self.key.load(Relaxed) == FREE
            && self.key.compare_exchange(FREE, CLAIMED, Relaxed, Relaxed).is_ok()
        {
            self.at.store(nanos(self.epoch.elapsed()), Relaxed);
            // (2) Release pairs with the Acquire in `begins`.
            self.key.store(key, Release);
        }
    }

    /// Notes that the wake-up of what has this key is not wanted any more.
    pub(crate) fn forget(&self, key: u64) {
        // (3)
        let _ = self.key.compare_exchange(key, FREE, Relaxed, Relaxed);
    }

    /// Notes that what has this key goes on, on the worker of `timing`. Returns the time.
    pub(crate) fn begins(&self, key: u64, timing: &WorkerTiming) -> Instant {
        let now = Instant::now();
        if self.key.load(Acquire) == key {
            let at = self.at.load(Relaxed);
            timing.delays.add_alone(nanos(now.saturating_duration_since(self.epoch)).saturating_sub(at));
            // (3)
            self.key.store(FREE, Relaxed);
        }
        now
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wake_up_is_followed_at_a_time() {
        let (followed, timing) = (Followed::new(), WorkerTiming::default());
        followed.woken(1);
        followed.woken(2);
        followed.begins(2, &timing);
        assert_eq!(timing.read().wake_delays.count(), 0);
        followed.begins(1, &timing);
        followed.begins(1, &timing);
        assert_eq!(timing.read().wake_delays.count(), 1);
        followed.woken(fiber_key(0, 0));
        followed.begins(fiber_key(0, 0), &timing);
        assert_eq!(timing.read().wake_delays.count(), 2);
    }
}
