//! A clock that ticks in a fixed rhythm.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::Sleep;
use crate::base::turns::Turns;
use crate::channel::{RecvError, Source, TryRecvError, WaitKey};
use crate::kernel::coop;
use crate::kernel::sleep::ticks_since;

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
///
/// A task that goes through the ticks calls a function in that rhythm, until it is cancelled:
///
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, channel::{self, Source}, stream::Stream, time::interval};
///
/// let (tell, told) = channel::unbounded();
/// let ticks = interval(Duration::from_millis(1)).into_stream();
/// let calls = twoply::spawn(ticks.for_each(move |due| _ = tell.try_send(due)));
/// let (first, second) = (told.recv().wait()?, told.recv().wait()?);
/// assert!(second >= first + Duration::from_millis(1));
/// calls.cancel();
/// # Ok::<(), channel::RecvError>(())
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
/// those were, and [`MissedTicks`] has other policies. With a period of zero every tick is due at once.
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
    /// Waits for the next tick. Those who receive poll it by turns.
    sleep: Turns<Sleep>,
    period: Duration,
    policy: MissedTicks,
    missed: AtomicU64,
}

/// The policy of an [`Interval`] towards ticks that were due while nobody asked for them. The late tick
/// itself is returned at once in any case.
///
/// ```
/// use std::time::{Duration, Instant};
/// use twoply::{Wait, time::{MissedTicks, interval_at}};
///
/// let period = Duration::from_millis(2);
/// let late = |policy| {
///     let start = Instant::now();
///     let mut clock = interval_at(start, period);
///     clock.set_missed_ticks(policy);
///     std::thread::sleep(5 * period);
///     (0..3).map(|_| clock.tick().wait().duration_since(start)).collect::<Vec<_>>()
/// };
/// assert_eq!(late(MissedTicks::Burst), [0 * period, period, 2 * period]);
/// let skipped = late(MissedTicks::Skip);
/// assert!(skipped[1] > 5 * period);
/// assert!(skipped.iter().all(|tick| tick.as_nanos() % period.as_nanos() == 0), "they are in phase");
/// assert!(late(MissedTicks::Delay)[1] >= 6 * period, "a whole period after the late one");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissedTicks {
    /// Leaves them out: the next tick comes when it is due anyway. The phase is kept.
    #[default]
    Skip,
    /// Makes up for them: they come one after another without a pause, until the interval has caught up. The
    /// phase is kept, and there are as many ticks as periods.
    Burst,
    /// Leaves them out, and has the next tick come one period after the late one was taken. Two ticks are
    /// never closer to each other than a period.
    Delay,
}

impl Interval {
    fn new(start: Option<Instant>, period: Duration) -> Interval {
        Interval {
            sleep: Turns::new(Sleep::until(start)),
            period,
            policy: MissedTicks::default(),
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

    /// Says what becomes of ticks that are missed from now on; at first they are skipped.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use twoply::{Wait, time::{MissedTicks, interval_at}};
    ///
    /// let (start, period) = (Instant::now(), Duration::from_millis(1));
    /// let mut clock = interval_at(start, period);
    /// clock.set_missed_ticks(MissedTicks::Burst);
    /// std::thread::sleep(3 * period);
    /// (0..3).for_each(|n| assert_eq!(clock.tick().wait(), start + n * period));
    /// ```
    pub fn set_missed_ticks(&mut self, policy: MissedTicks) {
        self.policy = policy;
    }

    /// Begins anew: the next tick is due one period from now.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use twoply::{Wait, time::interval_at};
    ///
    /// let period = Duration::from_millis(2);
    /// let mut clock = interval_at(Instant::now(), period);
    /// let reset = Instant::now();
    /// clock.reset();
    /// assert!(clock.tick().wait() >= reset + period);
    /// ```
    pub fn reset(&mut self) {
        self.set_next(crate::kernel::sleep::after(self.period));
    }

    /// Begins anew: the next tick is due at `next`, and the others follow it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, time};
    ///
    /// let mut clock = time::interval(Duration::from_secs(3600));
    /// let now = time::now();
    /// clock.reset_at(now);
    /// assert_eq!(clock.tick().wait(), now);
    /// ```
    pub fn reset_at(&mut self, next: Instant) {
        self.set_next(Some(next));
    }

    fn set_next(&mut self, next: Option<Instant>) {
        if let Some(sleep) = self.sleep.get_mut() {
            *sleep = Sleep::until(next);
        }
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
        let next = match self.policy {
            MissedTicks::Skip => self.skip(due, now),
            MissedTicks::Burst => due.checked_add(self.period),
            MissedTicks::Delay => {
                self.skip(due, now);
                now.checked_add(self.period)
            }
        };
        match next {
            Some(next) => sleep.reset(next),
            None => *sleep = Sleep::until(None),
        }
    }

    /// Counts the ticks that have passed since `due`, and returns when the one after them is due.
    fn skip(&self, due: Instant, now: Instant) -> Option<Instant> {
        let (passed, next) = ticks_since(due, self.period, now);
        self.missed.store(self.missed().saturating_add(passed), Ordering::Relaxed);
        next
    }

    /// Returns the tick that is due now, or has `cx` woken when one is.
    fn poll_due(&self, sleep: &mut Sleep, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(sleep.poll_elapsed(cx));
        let Some(due) = sleep.deadline() else { return Poll::Pending };
        self.advance(sleep, due, crate::kernel::sleep::now());
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

impl Source<Instant> for Interval {
    fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<Instant, RecvError>> {
        let unit = ready!(coop::proceed(cx));
        let due = ready!(self.sleep.poll(wait_key, cx, |sleep, cx| self.poll_due(sleep, cx)));
        unit.spend();
        Poll::Ready(Ok(due))
    }

    fn stop_recv(&self, wait_key: &mut WaitKey) {
        self.sleep.stop(wait_key, Sleep::cancel);
    }

    fn try_recv(&self) -> Result<Instant, TryRecvError> {
        let now = crate::kernel::sleep::now();
        let looked = self.sleep.look(|sleep| match sleep.deadline() {
            Some(due) if due <= now => {
                self.advance(sleep, due, now);
                (Ok(due), false)
            }
            _ => (Err(TryRecvError::Empty), true),
        });
        // The timer is out when another future polls it at this moment, which is given the tick that is due.
        looked.unwrap_or(Err(TryRecvError::Empty))
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
        let interval = &*self.0;
        let due = ready!(interval.sleep.poll_alone(cx, |sleep, cx| interval.poll_due(sleep, cx)));
        unit.spend();
        Poll::Ready(due)
    }
}

impl Drop for Tick<'_> {
    fn drop(&mut self) {
        // Nobody else waits for an interval that is mutably borrowed: the sleep has nobody to wake any more.
        self.0.sleep.get_mut().into_iter().for_each(Sleep::cancel);
    }
}
