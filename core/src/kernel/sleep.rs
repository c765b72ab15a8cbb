//! A future that is ready at an instant.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use crate::event::timers::{TimerKey, Timers};
use crate::kernel::coop::{self, Unit};
use crate::kernel::ioserver;
use crate::kernel::strand::with_current;
use crate::kernel::waiting::{self, WaitingFor};

/// Returns the time by the clock of the calling stack, which a backend may set.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, time};
///
/// let start = time::now();
/// time::sleep(Duration::from_millis(2)).wait();
/// assert!(time::now() - start >= Duration::from_millis(2));
/// ```
pub fn now() -> Instant {
    with_current(|strand| strand.driver().now())
}

/// Returns the time in `duration`, or None if that is never.
pub(crate) fn after(duration: Duration) -> Option<Instant> {
    now().checked_add(duration)
}

/// Returns the number of ticks, a `period` apart, that have come at `now` after the one at `due`, and the
/// instant of the next one; `None` is never.
pub(crate) fn ticks_since(due: Instant, period: Duration, now: Instant) -> (u64, Option<Instant>) {
    let late = now.saturating_duration_since(due).as_nanos();
    let passed = late.checked_div(period.as_nanos()).unwrap_or(0);
    // `passed * period <= late`, so it fits wherever `late` does.
    let ahead = u64::try_from(passed * period.as_nanos()).ok().map(Duration::from_nanos);
    let next = ahead.and_then(|ahead| due.checked_add(ahead)?.checked_add(period));
    (u64::try_from(passed).unwrap_or(u64::MAX), next)
}

/// Waits for `duration`, counted from now and not from the first poll.
///
/// ```
/// use std::time::{Duration, Instant};
/// use twoply::{Wait, time::sleep};
///
/// let start = Instant::now();
/// sleep(Duration::from_millis(5)).wait();
/// assert!(start.elapsed() >= Duration::from_millis(5));
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::until(after(duration))
}

/// Waits until `deadline`. One that has passed is ready at once.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, time};
///
/// let deadline = time::now() + Duration::from_millis(2);
/// time::sleep_until(deadline).wait();
/// assert!(time::now() >= deadline);
/// ```
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::until(Some(deadline))
}

/// The future of [`sleep`] and [`sleep_until`]. It never wakes early, and after it has been ready it stays
/// ready.
///
/// It may be moved between stacks and backends at any time; its deadline moves along. Dropping it cancels it.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
pub struct Sleep {
    /// The time at which it ends; `None`: never.
    deadline: Option<Instant>,
    /// The queue in which the deadline has been entered, and its key there.
    entry: Option<(Arc<Timers>, TimerKey)>,
    /// True once it has asked for the budget of the running poll.
    has_asked: bool,
}

impl Sleep {
    pub(crate) fn until(deadline: Option<Instant>) -> Sleep {
        Sleep { deadline, entry: None, has_asked: false }
    }

    /// Returns when it ends; None is never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Gives it another deadline. It takes effect with the next poll; moving a deadline on costs next to
    /// nothing, so one `Sleep` may serve as the idle timeout of a whole connection.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, time};
    ///
    /// let mut sleep = time::sleep(Duration::from_secs(100));
    /// sleep.reset(time::now() + Duration::from_millis(2));
    /// sleep.wait();
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        self.has_asked = false;
    }

    /// As `poll`, but asks for no unit of the budget.
    #[inline]
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        waiting::note(self.poll_deadline(cx), || WaitingFor::Time(self.deadline))
    }

    /// Returns the deadline of a sleep that is pending in no queue, because the operating system has refused
    /// one: it has woken its waker to be polled again.
    pub(crate) fn lacks_timer(&self) -> Option<Instant> {
        if self.entry.is_some() { None } else { self.deadline }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timers = with_current(|strand| {
            let driver = strand.driver();
            (driver.now() < deadline).then(|| driver.timers(cx.waker()))
        });
        match timers {
            None => {
                self.cancel();
                return Poll::Ready(());
            }
            Some(Ok(timers)) if self.enter(&timers, deadline, cx) => return Poll::Pending,
            // The driver has been shut down since it was asked.
            Some(Ok(_)) => {
                if let Ok(timers) = ioserver::driver().timers(cx.waker())
                    && self.enter(&timers, deadline, cx)
                {
                    return Poll::Pending;
                }
            }
            Some(Err(_)) => {}
        }
        // The operating system has neither a thread nor a descriptor for a timer. The last resort is to have
        // the task polled again and again; giving the core away keeps that bearable.
        std::thread::yield_now();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Enters the deadline in `timers`, and nowhere else: it must be where the stack that waits looks.
    fn enter(&mut self, timers: &Arc<Timers>, deadline: Instant, cx: &Context<'_>) -> bool {
        if let Some((current, key)) = &self.entry {
            if Arc::ptr_eq(current, timers) && timers.rearm(*key, deadline, cx.waker()) {
                return true;
            }
            self.cancel();
        }
        match timers.insert(deadline, cx.waker()) {
            Ok(key) => {
                self.entry = Some((Arc::clone(timers), key));
                true
            }
            Err(_) => false,
        }
    }

    /// Takes the deadline back: nobody is woken for it until the next poll.
    pub(crate) fn cancel(&mut self) {
        if let Some((timers, key)) = self.entry.take() {
            timers.remove(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Once: a sleep that has waited is late already, and is no part of a loop that never waits.
        let unit = match std::mem::replace(&mut self.has_asked, true) {
            true => None,
            false => Some(ready!(coop::proceed(cx))),
        };
        if self.poll_elapsed(cx).is_pending() {
            return Poll::Pending;
        }
        unit.into_iter().for_each(Unit::spend);
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}
