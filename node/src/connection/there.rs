//! Signals and messages to processes of other nodes: [`There`] is the endpoint of those.

use std::sync::Arc;
use std::task::{Context, Poll};

use twoply_core::actor::remote::{self, By, Endpoint, Forwarder, Signal};
use twoply_core::actor::{ExitReason, MonitorRef, Pid};
use twoply_core::channel::TrySendError;

use super::{Connection, Ours, SendError, reason_of};
use crate::node::{QueueKind, Route};
use crate::outbox::Sender;
use crate::outgoing::{Outgoing, lose};
use crate::wire::{Control, Encoded, ExitBy, Flags, Target, ToTerm};

/// A process of another node.
pub(crate) struct There {
    route: Route,
    target: Target,
}

impl There {
    pub(crate) fn new(route: Route, target: Target) -> Arc<There> {
        Arc::new(There { route, target })
    }

    /// Returns true if what is sent after the end of a connection goes over the next one.
    fn lasts(&self) -> bool {
        !matches!(self.route, Route::Connection(_))
    }

    /// Has a message wait until the node is connected. It is dropped if it cannot be.
    fn wait_in_queue<M: ToTerm>(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>> {
        // A message that no term says is handed back as one that cannot arrive.
        let outgoing = Outgoing::asking(self.route.shared());
        let Ok(bytes) = Encoded::new(&message, &outgoing) else { return Err(TrySendError::Closed(message)) };
        let questions = outgoing.into_questions();
        let (target, kind) = (self.target.clone(), QueueKind::Message(bytes.len()));
        let sender = Sender::current();
        let step = Box::new(move |connection: Option<&Arc<Connection>>| match connection {
            Some(connection) => connection.push(&target, &bytes, urgent, sender, questions),
            None => lose(questions),
        });
        match self.route.shared().when_open(self.route.name(), kind, step) {
            Ok(()) => Ok(()),
            Err(_) => Err(TrySendError::Full(message)),
        }
    }
}

impl<M: ToTerm + Send + 'static> Forwarder<M> for There {
    fn try_send(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>> {
        let Some(connection) = self.route.open() else { return self.wait_in_queue(message, urgent) };
        match connection.send(&self.target, &message, urgent) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => Err(TrySendError::Full(message)),
            // The connection has ended this moment: the message is one of those that were under way.
            Err(SendError::Closed(questions)) if self.lasts() => {
                lose(questions);
                Ok(())
            }
            // A message that no term says, or that is too long, is handed back as one that cannot arrive.
            Err(SendError::Closed(_) | SendError::Encode) => Err(TrySendError::Closed(message)),
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.route.open() {
            Some(connection) => connection.outbox.poll_room(cx, (&self.target).into()),
            None => self.route.shared().poll_queue(self.route.name(), cx),
        }
    }

    fn ended(&self) -> Option<ExitReason> {
        match &self.route {
            Route::Connection(connection) => {
                connection.outbox.is_closed().then_some(ExitReason::NoConnection)
            }
            _ => None,
        }
    }
}

/// A process of this node's own, as a peer has named it, for those who take the pid for one of the peer's: it
/// is nobody.
pub(crate) struct Nobody;

impl<M: Send + 'static> Forwarder<M> for Nobody {
    fn try_send(&self, message: M, _urgent: bool) -> Result<(), TrySendError<M>> {
        Err(TrySendError::Closed(message))
    }

    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn ended(&self) -> Option<ExitReason> {
        Some(ExitReason::NoProcess)
    }
}

impl Endpoint for Nobody {
    fn deliver(&self, to: &Pid, signal: Signal) {
        let (reason, of) = (ExitReason::NoProcess, to.clone());
        let (from, answer) = match signal {
            Signal::Link { from, epoch } => (from, Signal::Exit { from: of, reason, by: By::Link(epoch) }),
            Signal::Monitor { from, monitor } | Signal::Watch { from, monitor } => {
                (from, Signal::Down { from: of, monitor, reason })
            }
            _ => return,
        };
        remote::deliver(&from, answer);
    }
}

impl Endpoint for There {
    fn deliver(&self, to: &Pid, signal: Signal) {
        if let Some(connection) = self.route.open() {
            return connection.pass(&self.target, to, signal);
        }
        let kind = match signal {
            Signal::Link { .. } | Signal::Monitor { .. } | Signal::Watch { .. } => QueueKind::Signal,
            Signal::Exit { by: By::Request, .. } => QueueKind::Signal,
            // The end of a connection has settled it already, or what waits will be followed by it.
            _ => QueueKind::Late,
        };
        let (target, there) = (self.target.clone(), to.clone());
        let step = Box::new(move |connection: Option<&Arc<Connection>>| match connection {
            Some(connection) => connection.pass(&target, &there, signal),
            None => refuse(there, signal),
        });
        // Signals are never refused.
        let _ = self.route.shared().when_open(self.route.name(), kind, step);
    }
}

/// A process that the peer is about to start, for the one that monitors it, which may take that back. The
/// monitor itself is set by the request that starts the process.
pub(crate) struct Starting(pub(crate) Route);

impl Endpoint for Starting {
    fn deliver(&self, _: &Pid, signal: Signal) {
        let Signal::Demonitor { monitor } = signal else { return };
        let step = move |connection: Option<&Arc<Connection>>| {
            if let Some(connection) = connection {
                connection.demonitor(monitor);
                connection.outbox.kick();
            }
        };
        match self.0.open() {
            Some(connection) => step(Some(&connection)),
            // Signals are never refused.
            None => drop(self.0.shared().when_open(self.0.name(), QueueKind::Late, Box::new(step))),
        }
    }
}

/// Answers a signal to a process that cannot be reached.
fn refuse(there: Pid, signal: Signal) {
    let reason = ExitReason::NoConnection;
    match signal {
        Signal::Link { from, epoch } => {
            remote::deliver(&from, Signal::Exit { from: there, reason, by: By::Link(epoch) });
        }
        Signal::Monitor { from, monitor } | Signal::Watch { from, monitor } => {
            remote::deliver(&from, Signal::Down { from: there, monitor, reason });
        }
        _ => {}
    }
}

/// A signal to a process of this node, which answers the one that it has sent.
type Answer = Option<(Pid, Signal)>;

impl Connection {
    /// Sends a signal to a process of the peer, whose pid is `to`.
    fn pass(self: &Arc<Self>, target: &Target, to: &Pid, signal: Signal) {
        let done = match signal {
            Signal::Monitor { .. }
            | Signal::Watch { .. }
            | Signal::Demonitor { .. }
            | Signal::Down { .. } => self.pass_monitor(target, to, signal),
            signal => self.pass_link(target, to, signal),
        };
        self.outbox.kick();
        // No lock is held any more. The answer comes behind what the reader has delivered.
        if let Some((pid, answer)) = done {
            self.shared.locals.deliver(&pid, answer);
        }
    }
}

impl Connection {
    /// Sends a signal about links and ends. For the answers see [`links`](super::links).
    fn pass_link(&self, target: &Target, to: &Pid, signal: Signal) -> Answer {
        let (connection, Target::Pid(there)) = (self, target) else { return None };
        let shared = &connection.shared;
        match signal {
            Signal::Link { from, epoch } => {
                shared.note(&from);
                let pair = (from.serial(), there.clone());
                let mut tables = connection.tables();
                if connection.outbox.is_closed() {
                    drop(tables);
                    let (reason, by) = (ExitReason::NoConnection, By::Link(epoch));
                    return Some((from, Signal::Exit { from: to.clone(), reason, by }));
                }
                if tables.links.link(pair, &from, epoch) {
                    let link = Control::Link { from: shared.wire_pid(&from), to: there.clone() };
                    connection.queue(&link, None);
                }
                None
            }
            Signal::Unlink { from, epoch } => {
                let pair = (from.serial(), there.clone());
                let id = connection.peer.agreed.contains(Flags::UNLINK_ID).then(|| shared.number());
                let mut tables = connection.tables();
                let link = tables.links.unlink(&pair, epoch, id)?;
                let unlink = Control::Unlink { id, from: shared.wire_pid(&from), to: there.clone() };
                connection.queue(&unlink, None);
                drop(tables);
                drop(link);
                Some((from, Signal::Unlink { from: to.clone(), epoch }))
            }
            Signal::Exit { from, reason, by } => {
                let (here, behind) = reason_of(connection, &reason);
                let payload = behind.as_ref().map(|term| term as &dyn ToTerm);
                let pair = (from.serial(), there.clone());
                let mut tables = connection.tables();
                let (link, by, answer) = match by {
                    By::Request => (None, ExitBy::Request, None),
                    By::Link(epoch) => {
                        let link = tables.links.exit(&pair, epoch)?;
                        // It may have begun another life.
                        let unlink = Signal::Unlink { from: to.clone(), epoch };
                        (Some(link), ExitBy::Link, Some((from.clone(), unlink)))
                    }
                };
                let (from, to) = (shared.wire_pid(&from), there.clone());
                connection.queue(&Control::Exit { from, to, by, reason: here }, payload);
                drop(tables);
                drop(link);
                answer
            }
            _ => None,
        }
    }

    /// Sends a signal about monitors.
    fn pass_monitor(&self, target: &Target, to: &Pid, signal: Signal) -> Answer {
        let connection = self;
        let shared = &connection.shared;
        match signal {
            Signal::Monitor { from, monitor } | Signal::Watch { from, monitor } => {
                let number = shared.number();
                let mut tables = connection.tables();
                if connection.outbox.is_closed() {
                    drop(tables);
                    let reason = ExitReason::NoConnection;
                    return Some((from, Signal::Down { from: to.clone(), monitor, reason }));
                }
                let wire_from = shared.wire_pid(&from);
                tables.ours_by_monitor.insert(monitor, number);
                let (there, target) = (to.clone(), target.clone());
                let ours = Ours { monitor, from, there, target: Some(target.clone()) };
                tables.ours.insert(number, ours);
                let reference = shared.reference(number);
                let monitor = Control::Monitor { from: wire_from, to: target, reference };
                connection.queue(&monitor, None);
                None
            }
            Signal::Demonitor { monitor } => {
                self.demonitor(monitor);
                None
            }
            Signal::Down { monitor, reason, .. } => {
                let (here, behind) = reason_of(connection, &reason);
                let mut tables = connection.tables();
                let theirs = tables.theirs.remove(&monitor)?;
                tables.theirs_by_reference.remove(&theirs.reference);
                let super::Theirs { reference, target, from, local } = theirs;
                let down = Control::Down { from: target, to: from, reference, reason: here };
                connection.queue(&down, behind.as_ref().map(|term| term as &dyn ToTerm));
                drop(tables);
                drop(local);
                None
            }
            _ => None,
        }
    }

    /// Takes a monitor of ours back. Where the peer is about to start the process, it is told after that.
    fn demonitor(&self, monitor: MonitorRef) {
        let mut tables = self.tables();
        let Some(number) = tables.ours_by_monitor.remove(&monitor) else { return };
        let ours = tables.ours.remove(&number);
        if let Some(Ours { from, target: Some(target), .. }) = &ours {
            let (from, reference) = (self.shared.wire_pid(from), self.shared.reference(number));
            self.queue(&Control::Demonitor { from, to: target.clone(), reference }, None);
        }
        drop(tables);
        drop(ours);
    }
}
