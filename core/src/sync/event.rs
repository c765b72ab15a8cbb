//! [`Event`]: a flag that one waits for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use super::notify::{Notified, Notify};
use crate::base::sync::atomic::AtomicBool;
use crate::base::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use crate::base::sync::const_fn;
use crate::kernel::coop;
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// A flag that is set and reset by hand, and that any number of tasks may wait for.
///
/// Those who have waited for it see what happened before [`set`](Event::set). Whoever waits when it is
/// set goes on, even if it is reset before they get to run.
///
/// # Examples
/// ```
/// use twoply::{Wait, sync::Event};
///
/// static READY: Event = Event::new();
///
/// let waiting = twoply::spawn(async { READY.wait().await });
/// READY.set();
/// waiting.wait().unwrap();
/// assert!(READY.is_set());
/// ```
pub struct Event {
    is_set: AtomicBool,
    /// Those who wait for the flag; told after it has been set.
    waiters: Notify,
}

impl Event {
    const_fn! {
        /// Makes one that is not set.
        pub fn new() -> Event {
            Event { is_set: AtomicBool::new(false), waiters: Notify::new() }
        }
    }

    /// Sets the flag and wakes all who wait. Does nothing if it is set.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::Event};
    ///
    /// let event = Event::new();
    /// let wait = event.wait();
    /// event.set();
    /// event.reset();
    /// wait.wait();
    /// ```
    pub fn set(&self) {
        // AcqRel pairs with Acquire in `is_set`, and with the other calls: whoever sees the last one sees all
        // before it. With the notification in one section, so that it cannot come after a reset.
        self.waiters.notify_waiters_if(|| !self.is_set.swap(true, AcqRel));
    }

    /// Takes the flag back: who begins to wait from now on waits for the next [`set`](Event::set).
    ///
    /// # Examples
    /// ```
    /// let event = twoply::sync::Event::new();
    /// event.set();
    /// event.reset();
    /// assert!(!event.is_set());
    /// ```
    pub fn reset(&self) {
        self.is_set.store(false, Release);
    }

    /// Returns whether the flag is set.
    ///
    /// # Examples
    /// ```
    /// let event = twoply::sync::Event::new();
    /// assert!(!event.is_set());
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    pub fn is_set(&self) -> bool {
        // Acquire pairs with the swap in `set`.
        self.is_set.load(Acquire)
    }

    /// Waits until the flag is set; finish it with `.await` or `.wait()`. Ready at once if it is. It counts
    /// from the moment at which it is made: a [`set`](Event::set) after that makes it ready, whatever comes
    /// later.
    ///
    /// Cancel-safe: a dropped wait changes nothing.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, sync::Event};
    ///
    /// let event = Event::new();
    /// std::thread::scope(|s| {
    ///     s.spawn(|| event.wait().wait());
    ///     event.set();
    /// });
    /// ```
    pub fn wait(&self) -> EventWait<'_> {
        EventWait { event: self, set: self.waiters.notified() }
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish_non_exhaustive()
    }
}

/// The future of [`Event::wait`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct EventWait<'a> {
    event: &'a Event,
    /// Told of each time at which the flag is set.
    set: Notified<'a>,
}

impl EventWait<'_> {
    /// Returns whether the wait is over. If not, `waker` is woken then.
    #[inline]
    fn is_over(&mut self, waker: &Waker) -> bool {
        // Looked at after this was made: what is set later, `notify_waiters` tells.
        self.event.is_set() || self.set.look(Some(waker))
    }
}

impl Future for EventWait<'_> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let unit = ready!(coop::proceed(cx));
        let this = self.get_mut();
        if !this.is_over(cx.waker()) {
            return waiting::note(Poll::Pending, || WaitingFor::Signal { signal: address_of(this.event) });
        }
        unit.spend();
        Poll::Ready(())
    }
}

impl fmt::Debug for EventWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWait").field("event", &self.event).finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod model;
