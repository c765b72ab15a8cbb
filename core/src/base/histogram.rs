//! Histograms of times, and the counters behind them.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The number of buckets: one for each power of two nanoseconds in 64 bits.
const BUCKETS: usize = 64;

/// The times of something, by their lengths, in buckets that double: of polls, or of delays.
///
/// A bucket counts what took less than its limit, and no less than half of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The counts of the buckets.
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

/// The counters behind a [`Histogram`].
#[derive(Debug)]
pub struct Buckets([AtomicU64; BUCKETS]);

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Buckets {
    /// Counts a time, also while others do so.
    #[inline]
    pub fn add(&self, nanos: u64) {
        self.bucket(nanos).fetch_add(1, Relaxed);
    }

    /// Counts a time, if nobody else writes meanwhile.
    #[inline]
    pub fn add_alone(&self, nanos: u64) {
        let bucket = self.bucket(nanos);
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
    }

    #[inline]
    fn bucket(&self, nanos: u64) -> &AtomicU64 {
        let bucket = (u64::BITS - nanos.leading_zeros()) as usize;
        &self.0[bucket.min(BUCKETS - 1)]
    }

    /// Returns what has been counted so far.
    pub fn read(&self) -> Histogram {
        Histogram { counts: std::array::from_fn(|bucket| self.0[bucket].load(Relaxed)) }
    }
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
}
