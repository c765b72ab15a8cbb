//! Timers that do one thing to a process, once.

use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::alarm::{Alarm, Polled};
use super::{Pending, Timer, TimerRef, refuse};
use crate::actor::process::cell::Cell;
use crate::actor::process::pid::HookId;
use crate::actor::process::reference::ProcessRef;
use crate::actor::process::signal::Later;
use crate::base::sync::lock_std;
use crate::kernel::detached;
use crate::kernel::strand::part_with;
use crate::kernel::task::ExitReason;

/// The thing that a timer does when its time has come.
pub(super) enum Payload<M> {
    /// Sends this message to the process.
    Message(M),
    /// Sends an exit signal with this reason, as by nobody in particular.
    Exit(ExitReason),
    /// Tells the process that the time has come.
    Timeout,
}

/// A timer. It is entered with its target before it can be woken.
struct Delayed<M> {
    alarm: Alarm,
    /// The instant at which it is due; `None` is never.
    deadline: Option<Instant>,
    target: Weak<Cell<M>>,
    /// The thing to do; `None` when it has been done or cancelled.
    payload: Mutex<Option<Payload<M>>>,
    /// The number under which the target knows the timer.
    entry: HookId,
}

/// Starts a timer at `target`.
pub(super) fn start<M: Send + 'static>(
    deadline: Option<Instant>,
    target: &ProcessRef<M>,
    payload: Payload<M>,
) -> Timer {
    part_with::<M>();
    Timer(Delayed::start(deadline, target.cell(), payload))
}

/// Starts a timer of the process's own.
pub(super) fn start_own<M: Send + 'static>(deadline: Option<Instant>, cell: &Arc<Cell<M>>) -> TimerRef {
    TimerRef::new(Delayed::start(deadline, cell, Payload::Timeout).entry)
}

impl<M: Send + 'static> Delayed<M> {
    fn start(deadline: Option<Instant>, cell: &Arc<Cell<M>>, payload: Payload<M>) -> Arc<Delayed<M>> {
        let is_message = matches!(payload, Payload::Message(_));
        let timer = Arc::new(Delayed {
            alarm: Alarm::new(),
            deadline,
            target: Arc::downgrade(cell),
            payload: Mutex::new(Some(payload)),
            entry: HookId::next(),
        });
        if cell.enter_timer(&timer, deadline, is_message) {
            timer.alarm.set(deadline);
            timer.advance();
        } else if let Some(work) = timer.give_up() {
            detached::run(cell.home(), work);
        }
        timer
    }

    /// Does what is to be done if the time has come.
    fn advance(self: &Arc<Self>) {
        match self.alarm.poll(&Waker::from(Arc::clone(self))) {
            Polled::Elapsed => {
                let payload = lock_std(&self.payload).take();
                if let Some(payload) = payload {
                    self.fire(payload);
                }
            }
            Polled::Pending => {}
            Polled::Refused => refuse(&**self, &self.target),
        }
    }

    /// Does it, on whatever stack the deadline has passed.
    fn fire(&self, payload: Payload<M>) {
        let Some(cell) = self.target.upgrade() else {
            // It was told before it went, so there is nothing left; or else it is the last moment for this.
            return detached::run(None, Box::new(move || drop(payload)));
        };
        match payload {
            Payload::Message(message) if cell.target().is_some() => {
                // The way there is code of the user's, such as that of a routing.
                cell.leave_timer(self.entry);
                detached::run(cell.home(), Box::new(move || cell.send_on(message)));
            }
            Payload::Message(message) => {
                if let Err(message) = cell.send_due(self.entry, message)
                    && let Some(work) = cell.unwanted(message)
                {
                    detached::run(cell.home(), work);
                }
            }
            Payload::Exit(reason) => {
                cell.leave_timer(self.entry);
                detached::run(cell.home(), Box::new(move || cell.pid().exit(reason)));
            }
            Payload::Timeout => cell.time_out(self.entry),
        }
    }

    /// Takes what was to be done, for good.
    fn stop(&self) -> Option<Payload<M>> {
        let payload = lock_std(&self.payload).take();
        self.alarm.stop();
        payload
    }
}

impl<M: Send + 'static> Later for Delayed<M> {
    fn give_up(&self) -> Option<detached::Work> {
        match (self.stop()?, self.target.upgrade()) {
            (Payload::Timeout, _) => None,
            (Payload::Message(message), Some(cell)) => cell.unwanted(message),
            (unwanted, _) => Some(Box::new(move || drop(unwanted))),
        }
    }

    fn deadline(&self) -> Option<Option<Instant>> {
        lock_std(&self.payload).is_some().then_some(self.deadline)
    }

    fn entry(&self) -> HookId {
        self.entry
    }

    fn is_for_successors(&self) -> bool {
        matches!(*lock_std(&self.payload), Some(Payload::Message(_)))
    }
}

impl<M: Send + 'static> Wake for Delayed<M> {
    fn wake(self: Arc<Self>) {
        self.advance();
    }
}

impl<M: Send + 'static> Pending for Delayed<M> {
    fn cancel(&self) -> bool {
        let payload = self.stop();
        if payload.is_some()
            && let Some(cell) = self.target.upgrade()
        {
            cell.leave_timer(self.entry);
        }
        payload.is_some()
    }

    fn deadline(&self) -> Option<Option<Instant>> {
        Later::deadline(self)
    }
}
