//! The times of polls and the delays of wake-ups, for programs that have asked for them.
//!
//! Each worker has histograms of its own, which only the thread that carries it writes. A delay begins with a
//! wake-up, on any thread, and ends with a poll, on any worker; to note a time in each task would make all of
//! them larger. So one wake-up at a time is followed, the next one as soon as the last has come to its poll:
//! a sample, as Go's scheduler takes one of eight. Nothing here decides what runs.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use crate::counts::Counts;

/// The number of buckets: one for each power of two nanoseconds in 64 bits.
const BUCKETS: usize = 64;

/// The times of something, by their lengths, in buckets that double: of a worker's polls, or of delays.
///
/// A bucket counts what took less than its limit, and no less than half of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Histogram {
    /// Returns how many times there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns a time that is longer than `percent` of a hundred, and at most twice as long as the longest of
    /// these; `None` if there are none at all.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    ///
    /// let green = Green::builder().workers(1).time_polls().build()?;
    /// (0..100).for_each(|_| drop(green.spawner().spawn(async {}).wait()));
    /// let metrics = green.metrics();
    /// let times = metrics.workers[0].times.as_ref().unwrap();
    /// println!("half of all polls took less than {:?}", times.polls.percentile(50.0).unwrap());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let count = self.count();
        // A count that a float does not hold exactly is off by less than the bucket is.
        let rank = ((percent.clamp(0.0, 100.0) / 100.0 * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        let found = self.buckets().find(|(_, count)| {
            below += count;
            below >= rank
        });
        found.map(|(limit, _)| limit)
    }

    /// Returns the buckets that have counted anything, the shortest times first: the limit of each, and its
    /// count.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let limit =
            |bucket: usize| Duration::from_nanos(1_u64.checked_shl(bucket as u32).unwrap_or(u64::MAX));
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(move |(bucket, count)| (limit(bucket), *count))
    }

    /// Adds the times of another histogram, of another worker for example.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    ///
    /// let green = Green::builder().workers(2).time_polls().build()?;
    /// (0..10).for_each(|_| drop(green.spawner().spawn(async {}).wait()));
    /// let mut polls = green.metrics().workers.into_iter().map(|worker| worker.times.unwrap().polls);
    /// let mut all = polls.next().unwrap();
    /// polls.for_each(|more| all.add(&more));
    /// for (limit, count) in all.buckets() {
    ///     println!("{count} polls took less than {limit:?}");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, more)| *sum += more);
    }
}

/// The buckets that are not empty: the limit of each, in nanoseconds, and how many times are in it.
#[cfg(feature = "serde")]
impl serde::Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.buckets().map(|(limit, count)| (limit.as_nanos() as u64, count)))
    }
}

impl fmt::Display for Histogram {
    /// Writes the number of times, and limits of the median, of 99 in 100 and of all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count())?;
        for (name, percent) in [("half", 50.0), ("99 %", 99.0), ("all", 100.0)] {
            if let Some(limit) = self.percentile(percent) {
                write!(f, ", {name} < {limit:.0?}")?;
            }
        }
        Ok(())
    }
}

/// The counters behind a [`Histogram`], with one writer.
pub(crate) struct Buckets([AtomicU64; BUCKETS]);

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Buckets {
    fn add(&self, nanos: u64) {
        let bucket = (u64::BITS - nanos.leading_zeros()) as usize;
        Counts::bump(&self.0[bucket.min(BUCKETS - 1)]);
    }

    fn read(&self) -> Histogram {
        Histogram { counts: std::array::from_fn(|bucket| self.0[bucket].load(Relaxed)) }
    }
}

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
        self.polls.add(nanos);
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
            timing.delays.add(nanos(now.saturating_duration_since(self.epoch)).saturating_sub(at));
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
    fn a_bucket_holds_what_is_less_than_its_limit() {
        let buckets = Buckets::default();
        assert_eq!(buckets.read().percentile(50.0), None);
        for nanos in [0, 1, 2, 3, 1000, 1024, u64::MAX] {
            buckets.add(nanos);
        }
        let read = buckets.read();
        let nanos = Duration::from_nanos;
        let limits: Vec<_> = read.buckets().collect();
        let longest = nanos(1 << 63);
        assert_eq!(
            limits,
            [(nanos(1), 1), (nanos(2), 1), (nanos(4), 2), (nanos(1024), 1), (nanos(2048), 1), (longest, 1)]
        );
        assert_eq!(read.percentile(0.0), Some(nanos(1)));
        assert_eq!(read.percentile(50.0), Some(nanos(4)));
        assert_eq!(read.percentile(100.0), Some(longest));
        let mut sum = read.clone();
        sum.add(&read);
        assert_eq!((sum.count(), sum.percentile(50.0)), (14, Some(nanos(4))));
    }

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
