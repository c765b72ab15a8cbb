//! A clock that ticks in a fixed rhythm.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Sleep;
use crate::coop;

/// Ticks every `period`, for the first time one period from now.
///
/// See [`Interval`]; [`interval_at`] starts at another time, `interval_at(now(), period)` ticks at once.
pub fn interval(period: Duration) -> Interval {
    Interval::new(super::after(period), period)
}

/// Ticks at `start` and every `period` after it.
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval::new(Some(start), period)
}

/// A clock that ticks in a fixed rhythm, made by [`interval`]. Dropping it stops it.
///
/// It keeps its phase: tick n is due at `start + n * period`, however late the ones before were taken, so it does not
/// drift. Ticks that are missed because nobody asked are skipped: a late one is returned at once, the next
/// one is due in its usual place, and nothing comes in a burst. [`Interval::missed`] says how many those were.
/// With a period of zero every tick is due at once.
///
/// ```
/// use std::time::{Duration, Instant};
/// use twoply_core::{Wait, time::interval_at};
///
/// let start = Instant::now();
/// let mut clock = interval_at(start, Duration::from_millis(2));
/// assert_eq!(clock.tick().wait(), start);
/// assert_eq!(clock.tick().wait(), start + Duration::from_millis(2));
/// ```
#[derive(Debug)]
pub struct Interval {
    /// Waits for the next tick.
    sleep: Sleep,
    /// The time between two ticks.
    period: Duration,
    /// How many ticks have been skipped.
    missed: u64,
}

impl Interval {
    fn new(start: Option<Instant>, period: Duration) -> Interval {
        Interval { sleep: Sleep::until(start), period, missed: 0 }
    }

    /// Waits for the next tick, and returns the instant at which it was due.
    ///
    /// Cancel-safe: a tick that is not returned is still there.
    pub fn tick(&mut self) -> Tick<'_> {
        Tick(self)
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// How many ticks have been skipped so far because nobody asked in time.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The tick that was due at `due` has been taken at `now`: sets the next one.
    fn advance(&mut self, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due).as_nanos();
        // How many more have passed meanwhile.
        let passed = late.checked_div(self.period.as_nanos()).unwrap_or(0);
        self.missed = self.missed.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX));
        // `passed * period <= late`, so it fits wherever `late` does.
        let ahead = u64::try_from(passed * self.period.as_nanos()).ok().map(Duration::from_nanos);
        let next = ahead.and_then(|ahead| due.checked_add(ahead)?.checked_add(self.period));
        match next {
            Some(next) => self.sleep.reset(next),
            None => self.sleep = Sleep::until(None),
        }
    }
}

/// The future of [`Interval::tick`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub struct Tick<'a>(&'a mut Interval);

impl Future for Tick<'_> {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        let unit = ready!(coop::proceed(cx));
        ready!(self.0.sleep.poll_elapsed(cx));
        let Some(due) = self.0.sleep.deadline() else { return Poll::Pending };
        self.0.advance(due, super::now());
        unit.spend();
        Poll::Ready(due)
    }
}
