//! Timers of processes: messages, exit signals and timeouts that are on their way.
//!
//! A timer is a sleep whose waker does the rest ([`alarm`]): there is no task and no thread to it, and every
//! driver that can fire a deadline can run it. Only where the operating system refuses the driver what it
//! needs does a thread wait for the deadline; where it refuses that, too, the timer gives up what it holds.
//! It refers to its target weakly, and so does the target to it, unless it is never due, when nothing else
//! would keep it: a process that receives no more has its timers give up what they hold.
//!
//! | timer                                                                   | does            | file         |
//! |-------------------------------------------------------------------------|-----------------|--------------|
//! | [`send_after`](ProcessRef::send_after), [`send_at`](ProcessRef::send_at) | sends a message | [`delayed`]  |
//! | [`exit_after`](ProcessRef::exit_after), [`exit_at`](ProcessRef::exit_at), [`kill_after`](ProcessRef::kill_after) | sends a signal | [`delayed`] |
//! | [`start_timer`](Process::start_timer), a process's own                  | [`Event::Timeout`] | [`delayed`] |
//! | [`send_interval`](ProcessRef::send_interval)                            | sends messages  | [`periodic`] |
//!
//! The deadline passes in the turn of a reactor. Code of the user's never runs there: what becomes of a
//! message that nobody wants, what makes one, and what a reason for an exit drops, is [detached
//! work](crate::kernel::detached).

mod alarm;
mod delayed;
mod periodic;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use self::delayed::{Payload, start};
use super::Process;
use super::cell::Cell;
use super::event::Event;
use super::pid::HookId;
use super::reference::ProcessRef;
use super::signal::Later;
use crate::kernel::detached;
use crate::kernel::sleep::{after, now};
use crate::kernel::task::ExitReason;

/// Something that is on its way to a process: [`ProcessRef::send_after`] and its kin return it.
///
/// Dropping it does not cancel it.
#[derive(Clone)]
pub struct Timer(Arc<dyn Pending>);

impl Timer {
    /// Cancels it. Returns whether the message will not be sent because of that; false when it has been sent
    /// or cancelled before, or given up: because the process receives no more, or the operating system has
    /// neither a timer nor a thread for it.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<()>| drop(me.receive().wait()))?;
    /// let timer = process.send_after(std::time::Duration::from_secs(60), ());
    /// assert!(timer.is_pending() && timer.cancel());
    /// assert!(!timer.is_pending() && !timer.cancel());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) -> bool {
        self.0.cancel()
    }

    /// As [`Timer::cancel`], and returns the time that was left; `None` where that returns false.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<()>| drop(me.receive().wait()))?;
    /// let timer = process.send_after(Duration::from_secs(60), ());
    /// assert!(timer.cancel_remaining() > Some(Duration::from_secs(30)));
    /// assert_eq!(timer.cancel_remaining(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel_remaining(&self) -> Option<Duration> {
        let left = self.remaining().unwrap_or_default();
        self.cancel().then_some(left)
    }

    /// Returns the time that is left, or `None` when nothing is on its way any more. It is zero when the time
    /// is over, and [`Duration::MAX`] where it is too long to be over ever. Of an interval it is the time to
    /// the next message.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::actor::{self, Process};
    ///
    /// let process = actor::spawn(async |mut me: Process<()>| drop(me.receive().await))?;
    /// let timer = process.send_after(Duration::from_secs(60), ());
    /// assert!(timer.remaining() > Some(Duration::from_secs(30)));
    /// timer.cancel();
    /// assert_eq!(timer.remaining(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        self.0.deadline().map(left_until)
    }

    /// Returns true if something is still on its way.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, Process}};
    ///
    /// let process = actor::spawn(async |mut me: Process<()>| drop(me.receive().await))?;
    /// let timer = process.send_after(Duration::ZERO, ());
    /// process.ended().wait();
    /// assert!(!timer.is_pending(), "it has been received");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_pending(&self) -> bool {
        self.0.deadline().is_some()
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("pending", &self.is_pending()).finish_non_exhaustive()
    }
}

/// A timer, whatever it does.
trait Pending: Send + Sync {
    fn cancel(&self) -> bool;
    /// Returns when it is due, where `None` is never; nothing when it is over.
    fn deadline(&self) -> Option<Option<Instant>>;
}

/// Gives up a timer that nothing can wait for.
fn refuse<M: Send + 'static>(timer: &impl Later, target: &Weak<Cell<M>>) {
    let cell = target.upgrade();
    if let Some(cell) = &cell {
        cell.leave_timer(timer.entry());
    }
    if let Some(work) = timer.give_up() {
        detached::run(cell.and_then(|cell| cell.home()), work);
    }
}

/// Returns the time until `deadline`, where `None` is never.
fn left_until(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(now()))
}

/// Identifies a timer of a process's own: what [`Process::start_timer`] returns and
/// [`Event::Timeout`] carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerRef(HookId);

impl TimerRef {
    pub(super) fn new(entry: HookId) -> TimerRef {
        TimerRef(entry)
    }
}

impl<M: Send + 'static> ProcessRef<M> {
    /// Sends `message` after `delay`, unless the timer is cancelled before; see
    /// [`Process::send_after`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn(async |mut me: Process<u32>| {
    ///     assert_eq!(me.receive().await.message(), Some(5));
    /// })?;
    /// process.send_after(Duration::from_millis(1), 5);
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_after(&self, delay: Duration, message: M) -> Timer {
        start(after(delay), self, Payload::Message(message))
    }

    /// Sends `message` at `instant`, or at once if that has passed; else this is [`ProcessRef::send_after`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, time, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     let due = time::now() + Duration::from_millis(1);
    ///     me.me().send_at(due, 5);
    ///     assert_eq!(me.receive().wait().message(), Some(5));
    ///     assert!(time::now() >= due);
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_at(&self, instant: Instant, message: M) -> Timer {
        start(Some(instant), self, Payload::Message(message))
    }

    /// Asks the process to end, as [`ProcessRef::exit`] does, after `delay`, unless the timer is cancelled or
    /// the process ends before.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<()>| drop(me.receive().wait()))?;
    /// process.exit_after(Duration::from_millis(1), ExitReason::other("time is up"));
    /// assert_eq!(process.ended().wait(), ExitReason::other("time is up"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit_after(&self, delay: Duration, reason: ExitReason) -> Timer {
        start(after(delay), self, Payload::Exit(reason))
    }

    /// Asks the process to end at `instant`, or at once if that has passed; else this is
    /// [`ProcessRef::exit_after`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, time, actor::{self, ExitReason, Process}};
    ///
    /// let due = time::now() + Duration::from_millis(1);
    /// let process = actor::spawn_fn(|mut me: Process<()>| drop(me.receive().wait()))?;
    /// process.exit_at(due, ExitReason::Shutdown);
    /// assert_eq!(process.ended().wait(), ExitReason::Shutdown);
    /// assert!(time::now() >= due);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit_at(&self, instant: Instant, reason: ExitReason) -> Timer {
        start(Some(instant), self, Payload::Exit(reason))
    }

    /// As [`ProcessRef::exit_after`], with [`Kill`](ExitReason::Kill).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let deaf = actor::spawn(async |_: Process<()>| std::future::pending::<()>().await)?;
    /// deaf.kill_after(Duration::from_millis(1));
    /// assert_eq!(deaf.ended().wait(), ExitReason::Killed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill_after(&self, delay: Duration) -> Timer {
        self.exit_after(delay, ExitReason::Kill)
    }

    /// Sends what `make` makes, every `period`, for the first time one period from now, until the timer is
    /// cancelled or the process ends.
    ///
    /// It keeps its phase: message n is due at `start + n * period`, however late the ones before were. It
    /// never runs ahead of a receiver that is busy: a message is skipped, and not made, unless the process
    /// has received as many messages as had been sent to it with the last one, and has room. So without
    /// urgent messages and selective receives, at most one waits in the mailbox. A process on another node is
    /// sent each that there is room for.
    ///
    /// `make` is called in a task of its own, on the backend of the process if that has a
    /// [hook](crate::actor::Builder::on_undelivered), else on that of the caller. A panic in it ends the
    /// interval. Within an actor, [`attach`](crate::actor::Context::attach) an
    /// [`interval`](crate::time::interval) instead: that sends nothing, but is asked when there is time.
    ///
    /// A period of less than a millisecond is one of a millisecond. What is no process with a mailbox here,
    /// as a [pool](crate::actor::Pool::process), has a message for each period for which it has room.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     let mut n = 0;
    ///     let ticks = me.me().send_interval(Duration::from_millis(1), move || { n += 1; n });
    ///     assert_eq!(me.receive().wait().message(), Some(1));
    ///     assert_eq!(me.receive().wait().message(), Some(2));
    ///     assert!(ticks.cancel());
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_interval<F>(&self, period: Duration, make: F) -> Timer
    where
        F: FnMut() -> M + Send + 'static,
    {
        periodic::start(period, self, make)
    }
}

impl<M: Send + 'static> Process<M> {
    /// Sends `message` to `target` after `delay`, unless the timer is cancelled before.
    ///
    /// The timer keeps no process alive, and dropping the handle does not cancel it. A full mailbox does not
    /// refuse the message of a timer.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     me.send_after(std::time::Duration::from_millis(1), &me.me(), 5);
    ///     assert_eq!(me.receive().wait().message(), Some(5));
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_after<N: Send + 'static>(
        &self,
        delay: Duration,
        target: &ProcessRef<N>,
        message: N,
    ) -> Timer {
        target.send_after(delay, message)
    }

    /// Has this process told by [`Event::Timeout`] that `delay` is over, unless the timer is
    /// [cancelled](Process::cancel_timer) before. The event needs no room and stands in the mailbox where it
    /// comes, behind what was sent before. This is Erlang's `erlang:start_timer(Time, self(), _)`; the timer
    /// ends with the process.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, Event, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     let (soon, late) = (Duration::from_millis(1), Duration::from_secs(60));
    ///     let (soon, late) = (me.start_timer(soon), me.start_timer(late));
    ///     assert!(matches!(me.receive().wait(), Event::Timeout(timer) if timer == soon));
    ///     assert!(me.cancel_timer(late).is_some());
    ///     assert_eq!(me.cancel_timer(soon), None, "it has been received");
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start_timer(&self, delay: Duration) -> TimerRef {
        delayed::start_own(after(delay), self.cell())
    }

    /// As [`Process::start_timer`], for an instant.
    pub fn start_timer_at(&self, instant: Instant) -> TimerRef {
        delayed::start_own(Some(instant), self.cell())
    }

    /// Cancels a timer of this process's own, and takes its event out of the mailbox if it has come: after
    /// this it is not received. Returns the time that was left, zero where the event had come; `None` when it
    /// has been received or cancelled before.
    pub fn cancel_timer(&mut self, timer: TimerRef) -> Option<Duration> {
        if let Some(later) = self.cell().remove_timer(timer.0) {
            let left = later.deadline().map(left_until);
            drop(later.give_up());
            return Some(left.unwrap_or_default());
        }
        let (cell, batch) = self.parts();
        let of_this = |event: &Event<M>| matches!(event, Event::Timeout(other) if *other == timer);
        cell.remove_first(batch, of_this).map(|_| Duration::ZERO)
    }

    /// Returns the time that is left of a timer of this process's own; `None` when it is over, or has been
    /// cancelled.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<u32>| {
    ///     let timer = me.start_timer(Duration::from_secs(60));
    ///     assert!(me.timer_remaining(timer) > Some(Duration::from_secs(30)));
    ///     me.cancel_timer(timer);
    ///     assert_eq!(me.timer_remaining(timer), None);
    /// })?;
    /// assert_eq!(process.ended().wait(), ExitReason::Normal);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timer_remaining(&self, timer: TimerRef) -> Option<Duration> {
        self.cell().find_timer(timer.0)?.deadline().map(left_until)
    }
}
