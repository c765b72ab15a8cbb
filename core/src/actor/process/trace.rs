//! The trace of one process: what it receives and what is done to it, told to somebody who looks.
//!
//! A tracer is a hook of the process's ([`AtExit`]), which hears of its end first; a flag of the cell says
//! that there is one. The flag is looked at where the receiver looks whether it has dropped questions, and as
//! signals arrive: so a process that nobody traces pays nothing, and sends pay nothing in any case.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use super::cell::{Cell, Inbox};
use super::event::Event;
use super::mailbox::{Batch, TRACED};
use super::pid::{AtExit, HookId, Pid, Signal};
use super::reference::ProcessRef;
use crate::base::sync::lock;
use crate::channel::{self, Receiver, RecvError, Sender, Source, TryRecvError, WaitKey};
use crate::kernel::sleep::now;
use crate::kernel::task::ExitReason;

/// Something that a process that is [traced](ProcessRef::trace) has done, or that was done to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TraceEvent {
    /// The time of it, by the clock of [`time::now`](crate::time::now).
    pub at: Instant,
    /// The thing that was done.
    pub action: TraceAction,
}

/// The things that a [`TraceEvent`] tells.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Process, TraceAction}, channel::Source};
///
/// let process = actor::spawn(async |mut me: Process<u32>| while me.receive().await.message() != Some(0) {})?;
/// let trace = process.trace(16);
/// process.try_send(7)?;
/// assert_eq!(trace.recv().wait()?.action, TraceAction::Received(1));
/// assert_eq!(trace.missed(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceAction {
    /// It has taken a message out of its mailbox: so many it has received so far, modulo 2^32.
    Received(u32),
    /// It has received an exit signal that it traps.
    ReceivedExit {
        /// The process that sent it, or has ended.
        from: Pid,
        /// The reason of the signal.
        reason: ExitReason,
    },
    /// It has received word of the end of a process that it monitors.
    ReceivedDown {
        /// The process that has ended.
        from: Pid,
        /// The reason for which it has.
        reason: ExitReason,
    },
    /// It has received a timeout of its own.
    ReceivedTimeout,
    /// It has received word that it is to stop.
    ReceivedStop(ExitReason),
    /// It has come to be linked to a process: it has made the link, or started that one, or the other has.
    Linked(Pid),
    /// The link to a process was taken back, by either.
    Unlinked(Pid),
    /// It monitors a process from here on.
    Monitors(Pid),
    /// It is monitored by a process from here on, or that waits for its end.
    MonitoredBy(Pid),
    /// An exit signal has come for it, which ends it, is trapped, or is nothing.
    Signalled {
        /// The process that sent it, or has ended.
        from: Pid,
        /// The reason of the signal.
        reason: ExitReason,
    },
    /// It has ended, or is about to: nothing else comes after this.
    Ended(ExitReason),
}

impl fmt::Display for TraceAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceAction::Received(number) => write!(f, "receives message {number}"),
            TraceAction::ReceivedExit { from, reason } => write!(f, "receives the exit of {from}: {reason}"),
            TraceAction::ReceivedDown { from, reason } => write!(f, "receives the end of {from}: {reason}"),
            TraceAction::ReceivedTimeout => f.write_str("receives a timeout"),
            TraceAction::ReceivedStop(reason) => write!(f, "is to stop: {reason}"),
            TraceAction::Linked(other) => write!(f, "is linked to {other}"),
            TraceAction::Unlinked(other) => write!(f, "is no longer linked to {other}"),
            TraceAction::Monitors(other) => write!(f, "monitors {other}"),
            TraceAction::MonitoredBy(other) => write!(f, "is monitored by {other}"),
            TraceAction::Signalled { from, reason } => write!(f, "is sent an exit by {from}: {reason}"),
            TraceAction::Ended(reason) => write!(f, "ends: {reason}"),
        }
    }
}

impl<M> From<&Event<M>> for TraceAction {
    fn from(event: &Event<M>) -> TraceAction {
        match event {
            // The number is the cell's to say.
            Event::Message(_) => TraceAction::Received(0),
            Event::Exit(exit) => {
                TraceAction::ReceivedExit { from: exit.from.clone(), reason: exit.reason.clone() }
            }
            Event::Down(down) => {
                TraceAction::ReceivedDown { from: down.from.clone(), reason: down.reason.clone() }
            }
            Event::Timeout(_) => TraceAction::ReceivedTimeout,
            Event::Stop(reason) => TraceAction::ReceivedStop((**reason).clone()),
        }
    }
}

/// The events of one process, as they happen: a [`Source`] of [`TraceEvent`]s. Dropping it ends the trace.
///
/// It ends, as a channel that is closed, after the process has.
pub struct Trace {
    events: Receiver<TraceEvent>,
    tracer: Arc<Tracer>,
    pid: Pid,
    /// None if the process had ended, or is on another node.
    hook: Option<HookId>,
}

impl Trace {
    /// Returns the number of events that there was no room for.
    pub fn missed(&self) -> u64 {
        self.tracer.missed.load(Ordering::Relaxed)
    }
}

impl Source<TraceEvent> for Trace {
    fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<TraceEvent, RecvError>> {
        self.events.poll_recv(wait_key, cx)
    }

    fn stop_recv(&self, wait_key: &mut WaitKey) {
        self.events.stop_recv(wait_key);
    }

    fn try_recv(&self) -> Result<TraceEvent, TryRecvError> {
        self.events.try_recv()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Some(hook) = self.hook {
            self.pid.forget_hook(hook);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("pid", &self.pid)
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}

/// The hook by which a process tells what happens.
pub struct Tracer {
    events: Sender<TraceEvent>,
    missed: AtomicU64,
}

impl Tracer {
    fn tell(&self, event: TraceEvent) {
        if let Err(channel::TrySendError::Full(_)) = self.events.try_send(event) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("missed", &self.missed).finish_non_exhaustive()
    }
}

impl AtExit for Tracer {
    fn ended(&self, pid: &Pid, _: HookId) {
        let reason = pid.info().and_then(|info| info.reason).unwrap_or(ExitReason::NoProcess);
        self.tell(TraceEvent { at: now(), action: TraceAction::Ended(reason) });
        self.events.close();
    }

    fn as_tracer(&self) -> Option<&Tracer> {
        Some(self)
    }
}

impl<M: Send + 'static> ProcessRef<M> {
    /// Traces the process: returns what it receives, and what links, monitors and exit signals are made and
    /// sent, from now on, as they happen. That is the part of Erlang's `trace` that is about one process.
    ///
    /// Nothing waits for whoever reads. There is room for `capacity` events; what comes while there is none
    /// is [counted](Trace::missed) and lost. A process of another node cannot be traced, nor one that has
    /// ended: its trace is over at once.
    ///
    /// # Panics
    /// If `capacity` is 0.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{self, ExitReason, Process, TraceAction};
    /// use twoply::channel::Source;
    ///
    /// let process = actor::spawn(async |mut me: Process<&str>| {
    ///     while me.receive().await.message() != Some("bye") {}
    /// })?;
    /// let trace = process.trace(16);
    /// process.send("hello").wait()?;
    /// process.send("bye").wait()?;
    /// assert_eq!(trace.recv().wait()?.action, TraceAction::Received(1));
    /// assert_eq!(trace.recv().wait()?.action, TraceAction::Received(2));
    /// assert_eq!(trace.recv().wait()?.action, TraceAction::Ended(ExitReason::Normal));
    /// assert!(trace.recv().wait().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trace(&self, capacity: usize) -> Trace {
        assert!(capacity != 0, "a trace needs room for an event");
        let (sender, events) = channel::bounded(capacity);
        let tracer = Arc::new(Tracer { events: sender, missed: Default::default() });
        let pid = self.pid();
        let hook = pid.at_exit(Arc::clone(&tracer) as Arc<dyn AtExit>);
        if hook.is_none() {
            tracer.events.close();
        }
        Trace { events, tracer, pid, hook }
    }
}

impl<M> Cell<M> {
    /// Has the flag say whether there is a tracer among the hooks; `inbox` proves that the lock is held.
    pub(super) fn sync_traced(&self, inbox: &Inbox<M>) {
        self.set_flag(inbox, TRACED, inbox.life.hooks().any(|hook| hook.as_tracer().is_some()));
    }

    /// Takes the next event, as [`Cell::try_next`], of a process that may be traced.
    #[cold]
    pub(super) fn try_next_traced(&self, batch: &mut Batch<M>) -> Option<Event<M>> {
        let event = self.take_next(batch);
        self.trace_if(|| event.as_ref().map(TraceAction::from));
        event
    }

    /// Tells the tracers, if there are any, what `action` returns.
    #[inline]
    pub(super) fn trace_if(&self, action: impl FnOnce() -> Option<TraceAction>) {
        if self.has(TRACED)
            && let Some(action) = action()
        {
            self.trace_action(action);
        }
    }

    /// Tells the tracers what has happened. Nothing is locked.
    #[cold]
    fn trace_action(&self, action: TraceAction) {
        let action = match action {
            TraceAction::Received(_) => TraceAction::Received(self.taken()),
            other => other,
        };
        let inbox = lock(&self.inbox);
        let tracers: Vec<_> =
            inbox.life.hooks().filter(|hook| hook.as_tracer().is_some()).map(Arc::clone).collect();
        if tracers.is_empty() {
            self.sync_traced(&inbox);
        }
        drop(inbox);
        let event = TraceEvent { at: now(), action };
        for tracer in tracers.iter().filter_map(|hook| hook.as_tracer()) {
            tracer.tell(event.clone());
        }
    }

    /// Tells the tracers that `signal` has come.
    pub(super) fn trace_signal(&self, signal: &Signal) {
        self.trace_if(|| match signal {
            Signal::Link { from, .. } => Some(TraceAction::Linked(from.clone())),
            Signal::Unlink { from, .. } => Some(TraceAction::Unlinked(from.clone())),
            Signal::Monitor { from, .. } | Signal::Watch { from, .. } => {
                Some(TraceAction::MonitoredBy(from.clone()))
            }
            Signal::Exit { from, reason, .. } => {
                Some(TraceAction::Signalled { from: from.clone(), reason: reason.clone() })
            }
            Signal::Demonitor { .. } | Signal::Down { .. } => None,
        });
    }
}
