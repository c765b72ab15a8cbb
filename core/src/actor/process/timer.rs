//! Messages that are sent later.
//!
//! A timer is a sleep whose waker delivers: there is no task and no thread to it, and every driver that can
//! fire a deadline can run it. It refers to its target weakly, and so does the target to it: a process that
//! receives no more has its timers give their messages up.
//!
//! The deadline passes in the turn of a reactor. What becomes of a message that nobody wants is code of the
//! user's, which never runs there: it is [detached work](crate::kernel::detached).

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::cell::Cell;
use super::pid::HookId;
use super::reference::ProcessRef;
use super::signal::Later;
use crate::base::sync::lock_std;
use crate::kernel::detached;
use crate::time::{Sleep, sleep};

/// A message on its way to a process; see [`Process::send_after`](crate::actor::Process::send_after).
///
/// Dropping it does not cancel it.
#[derive(Clone)]
pub struct Timer(Arc<dyn Pending>);

impl Timer {
    pub(super) fn start<M: Send + 'static>(delay: Duration, target: &ProcessRef<M>, message: M) -> Timer {
        let cell = target.cell();
        let load = Load { target: Arc::downgrade(cell), message };
        let sleep = sleep(delay);
        let state = State { sleep: Some(sleep), load: Some(load), entry: None, woken: false };
        let timer = Arc::new(Delayed(Mutex::new(state)));
        let weak = Arc::downgrade(&timer);
        match cell.enter_timer(weak) {
            Some(entry) => {
                lock_std(&timer.0).entry = Some(entry);
                timer.advance();
            }
            None => {
                if let Some(work) = timer.give_up() {
                    detached::run(cell.home(), work);
                }
            }
        }
        Timer(timer)
    }

    /// Cancels it. Returns whether the message will not be sent because of that; false when it has been sent
    /// or cancelled before, or given up because the process receives no more.
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

    /// Returns true if the message is still to be sent.
    pub fn is_pending(&self) -> bool {
        self.0.is_pending()
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("pending", &self.is_pending()).finish_non_exhaustive()
    }
}

/// A timer, whatever it sends.
trait Pending: Send + Sync {
    fn cancel(&self) -> bool;
    fn is_pending(&self) -> bool;
}

/// A message and its target.
struct Load<M> {
    /// The process that gets it.
    target: Weak<Cell<M>>,
    /// The message to be sent.
    message: M,
}

/// The state of a timer, under a lock that nothing else runs under: the sleep is taken out to be polled.
struct Delayed<M>(Mutex<State<M>>);

struct State<M> {
    /// The deadline, which is taken out while it is polled.
    sleep: Option<Sleep>,
    /// The message; `None` when it has been sent or cancelled.
    load: Option<Load<M>>,
    /// The number under which the target knows the timer.
    entry: Option<HookId>,
    /// True if it was woken while it was polled, so that it is to be polled again.
    woken: bool,
}

impl<M: Send + 'static> Delayed<M> {
    /// Polls the sleep, and sends the message if it is over.
    fn advance(self: &Arc<Self>) {
        let Some(mut sleep) = self.take_sleep() else { return };
        let waker = Waker::from(Arc::clone(self));
        loop {
            let elapsed = sleep.poll_elapsed(&mut Context::from_waker(&waker));
            let mut state = lock_std(&self.0);
            match elapsed {
                Poll::Ready(()) => {
                    let (load, entry) = (state.load.take(), state.entry);
                    drop(state);
                    drop(sleep);
                    return send(load, entry);
                }
                // It was woken meanwhile: by the deadline itself, or because its driver has been shut down.
                Poll::Pending if std::mem::take(&mut state.woken) => {}
                Poll::Pending => {
                    if state.load.is_some() {
                        state.sleep = Some(sleep);
                    }
                    return;
                }
            }
        }
    }

    fn take_sleep(&self) -> Option<Sleep> {
        let mut state = lock_std(&self.0);
        state.woken |= state.sleep.is_none();
        state.sleep.take()
    }
}

/// Sends the message, on whatever stack the deadline has passed.
fn send<M: Send + 'static>(load: Option<Load<M>>, entry: Option<HookId>) {
    let (Some(Load { target, message }), Some(entry)) = (load, entry) else { return };
    let Some(cell) = target.upgrade() else {
        // The target was told of the timer's messages before it went, so there is none left; or else it is
        // the last moment for this one.
        return detached::run(None, Box::new(move || drop(message)));
    };
    if let Err(message) = cell.send_due(entry, message)
        && let Some(work) = cell.unwanted(message)
    {
        detached::run(cell.home(), work);
    }
}

impl<M: Send + 'static> Later for Delayed<M> {
    fn give_up(&self) -> Option<detached::Work> {
        let (sleep, load) = {
            let mut state = lock_std(&self.0);
            (state.sleep.take(), state.load.take())
        };
        drop(sleep);
        let Load { target, message } = load?;
        match target.upgrade() {
            Some(cell) => cell.unwanted(message),
            None => Some(Box::new(move || drop(message))),
        }
    }
}

impl<M: Send + 'static> Wake for Delayed<M> {
    fn wake(self: Arc<Self>) {
        self.advance();
    }
}

impl<M: Send + 'static> Pending for Delayed<M> {
    fn cancel(&self) -> bool {
        let (sleep, load, entry) = {
            let mut state = lock_std(&self.0);
            (state.sleep.take(), state.load.take(), state.entry)
        };
        // Taking the deadline back drops the driver's waker, which is this.
        drop(sleep);
        if let (Some(cell), Some(entry)) = (load.as_ref().and_then(|load| load.target.upgrade()), entry) {
            cell.leave_timer(entry);
        }
        load.is_some()
    }

    fn is_pending(&self) -> bool {
        lock_std(&self.0).load.is_some()
    }
}
