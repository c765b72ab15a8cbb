//! A clock that ticks in a fixed rhythm.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Sleep;
use crate::base::sync::lock_std;
use crate::base::waitlist::WaitList;
use crate::channel::{RecvError, Source, TryRecvError, WaitKey};
use crate::kernel::coop;

/// Makes an [`Interval`] that ticks every `period`, for the first time one period from now.
///
/// [`interval_at`] starts at another time, `interval_at(now(), period)` ticks at once.
///
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, time::interval};
///
/// let mut clock = interval(Duration::from_millis(1));
/// let (first, second) = (clock.tick().wait(), clock.tick().wait());
/// assert!(second >= first + Duration::from_millis(1));
/// ```
pub fn interval(period: Duration) -> Interval {
    Interval::new(crate::kernel::sleep::after(period), period)
}

/// Makes an [`Interval`] that ticks at `start` and every `period` after it.
///
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, time};
///
/// let start = time::now();
/// let mut clock = time::interval_at(start, Duration::from_secs(3600));
/// assert_eq!(clock.tick().wait(), start);
/// ```
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval::new(Some(start), period)
}

/// A clock that ticks in a fixed rhythm, made by [`interval`]. Dropping it stops it.
///
/// It keeps its phase: tick n is due at `start + n * period`, however late the ones before were taken, so it
/// does not drift. Ticks that are missed because nobody asked are skipped: a late one is returned at once,
/// the next one is due in its usual place, and nothing comes in a burst. [`Interval::missed`] says how many
/// those were. With a period of zero every tick is due at once.
///
/// It is also a [`Source`] of the instants at which its ticks were due, one that never ends; where several
/// receive from it, each tick goes to one of them.
///
/// ```
/// use std::time::{Duration, Instant};
/// use twoply::{Wait, time::interval_at};
///
/// let start = Instant::now();
/// let mut clock = interval_at(start, Duration::from_millis(2));
/// assert_eq!(clock.tick().wait(), start);
/// assert_eq!(clock.tick().wait(), start + Duration::from_millis(2));
/// ```
pub struct Interval {
    /// Waits for the next tick. A receiver takes it out to poll it, which clones and drops wakers: not under
    /// the lock.
    sleep: Mutex<Option<Sleep>>,
    /// The receives that wait. The sleep wakes the one that polled last; see [`Borrowed`].
    waiters: WaitList,
    period: Duration,
    missed: AtomicU64,
}

impl Interval {
    fn new(start: Option<Instant>, period: Duration) -> Interval {
        Interval {
            sleep: Mutex::new(Some(Sleep::until(start))),
            waiters: WaitList::new(),
            period,
            missed: AtomicU64::new(0),
        }
    }

    /// Waits for the next tick, and returns the instant at which it was due.
    ///
    /// Cancel-safe: a tick that is not returned is still there.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, time};
    ///
    /// let mut clock = time::interval(Duration::from_millis(1));
    /// let due = clock.tick().wait();
    /// assert!(due <= time::now());
    /// ```
    pub fn tick(&mut self) -> Tick<'_> {
        Tick(self)
    }

    /// Returns the time between two ticks.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::time::interval;
    ///
    /// assert_eq!(interval(Duration::from_secs(1)).period(), Duration::from_secs(1));
    /// ```
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Returns how many ticks have been skipped so far because nobody asked in time.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use twoply::{Wait, time::interval_at};
    ///
    /// let start = Instant::now();
    /// let mut clock = interval_at(start, Duration::from_millis(1));
    /// std::thread::sleep(Duration::from_millis(5));
    /// clock.tick().wait();
    /// assert!(clock.missed() >= 4);
    /// ```
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Sets the next tick when the one that was due at `due` is taken at `now`. Only the one who has taken
    /// `sleep` out calls it.
    fn advance(&self, sleep: &mut Sleep, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due).as_nanos();
        // More ticks may have passed meanwhile.
        let passed = late.checked_div(self.period.as_nanos()).unwrap_or(0);
        let missed = self.missed().saturating_add(u64::try_from(passed).unwrap_or(u64::MAX));
        self.missed.store(missed, Ordering::Relaxed);
        // `passed * period <= late`, so it fits wherever `late` does.
        let ahead = u64::try_from(passed * self.period.as_nanos()).ok().map(Duration::from_nanos);
        let next = ahead.and_then(|ahead| due.checked_add(ahead)?.checked_add(self.period));
        match next {
            Some(next) => sleep.reset(next),
            None => *sleep = Sleep::until(None),
        }
    }

    /// Returns the tick that is due now, or has `cx` woken when one is. `Pending` also when another receive
    /// polls the sleep: that one waits for it, or wakes a waiter, as the caller does after a tick.
    fn poll_due(&self, cx: &mut Context<'_>) -> Poll<Instant> {
        let Some(mut borrowed) = Borrowed::take(self) else { return Poll::Pending };
        let elapsed = borrowed.sleep.poll_elapsed(cx);
        borrowed.is_watched = true;
        ready!(elapsed);
        let Some(due) = borrowed.sleep.deadline() else { return Poll::Pending };
        self.advance(&mut borrowed.sleep, due, crate::kernel::sleep::now());
        Poll::Ready(due)
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("period", &self.period)
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}

/// The sleep of an interval, out of its lock. Dropping this puts it back.
///
/// While there are waiters, the sleep wakes one of them, or somebody has it out: whoever puts it back without
/// having made it wake one of them wakes the first waiter, which polls it next.
struct Borrowed<'a> {
    interval: &'a Interval,
    sleep: Sleep,
    /// True when the sleep wakes one of the waiters.
    is_watched: bool,
}

impl<'a> Borrowed<'a> {
    fn take(interval: &'a Interval) -> Option<Borrowed<'a>> {
        let sleep = lock_std(&interval.sleep).take()?;
        Some(Borrowed { interval, sleep, is_watched: false })
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let sleep = std::mem::replace(&mut self.sleep, Sleep::until(None));
        *lock_std(&self.interval.sleep) = Some(sleep);
        if !self.is_watched {
            self.interval.waiters.notify_one();
        }
    }
}

impl Source<Instant> for Interval {
    fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<Instant, RecvError>> {
        let unit = ready!(coop::proceed(cx));
        let waker = cx.waker();
        let attempt = || match self.poll_due(&mut Context::from_waker(waker)) {
            Poll::Ready(due) => Some(due),
            Poll::Pending => None,
        };
        let due = ready!(self.waiters.poll_until(wait_key, cx, attempt));
        // Not before this one has left the list: it would be the first to be woken.
        self.waiters.notify_one();
        unit.spend();
        Poll::Ready(Ok(due))
    }

    fn stop_recv(&self, wait_key: &mut WaitKey) {
        self.waiters.withdraw(wait_key);
        // The sleep may be going to wake this future, which is gone.
        if let Some(mut borrowed) = Borrowed::take(self) {
            borrowed.sleep.cancel();
        }
    }

    fn try_recv(&self) -> Result<Instant, TryRecvError> {
        // Whoever has it out at this moment is given the tick that is due.
        let mut borrowed = Borrowed::take(self).ok_or(TryRecvError::Empty)?;
        let now = crate::kernel::sleep::now();
        match borrowed.sleep.deadline() {
            Some(due) if due <= now => {
                self.advance(&mut borrowed.sleep, due, now);
                Ok(due)
            }
            _ => {
                borrowed.is_watched = true;
                Err(TryRecvError::Empty)
            }
        }
    }
}

/// The future of [`Interval::tick`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub struct Tick<'a>(&'a mut Interval);

impl Future for Tick<'_> {
    type Output = Instant;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        let unit = ready!(coop::proceed(cx));
        let due = ready!(self.0.poll_due(cx));
        unit.spend();
        Poll::Ready(due)
    }
}

impl Drop for Tick<'_> {
    fn drop(&mut self) {
        // Nobody else waits for an interval that is mutably borrowed: the sleep has nobody to wake any more.
        if let Some(mut borrowed) = Borrowed::take(self.0) {
            borrowed.sleep.cancel();
        }
    }
}
