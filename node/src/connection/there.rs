//! What is done to processes of the peer: [`There`] is their endpoint, and the way for their messages.

use std::sync::Arc;
use std::task::{Context, Poll};

use twoply_core::actor::remote::{self, By, Endpoint, Forwarder, Signal};
use twoply_core::actor::{ExitReason, Pid};
use twoply_core::channel::TrySendError;

use super::{Connection, Link, Ours, SendError, reason_of};
use crate::wire::{Control, ExitBy, Flags, Target, ToTerm};

/// A process of the peer, as long as this connection lasts.
pub(crate) struct There {
    connection: Arc<Connection>,
    target: Target,
}

impl There {
    pub(crate) fn new(connection: Arc<Connection>, target: Target) -> Arc<There> {
        Arc::new(There { connection, target })
    }
}

impl<M: ToTerm + Send + 'static> Forwarder<M> for There {
    fn try_send(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>> {
        match self.connection.send(&self.target, &message, urgent) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => Err(TrySendError::Full(message)),
            // What no term says, or is too long, is handed back as what cannot arrive.
            Err(SendError::Closed | SendError::Encode(_)) => Err(TrySendError::Closed(message)),
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.outbox.poll_room(cx)
    }

    fn ended(&self) -> Option<ExitReason> {
        self.connection.outbox.is_closed().then_some(ExitReason::NoConnection)
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
        let done = match signal {
            Signal::Monitor { .. }
            | Signal::Watch { .. }
            | Signal::Demonitor { .. }
            | Signal::Down { .. } => self.monitors(to, signal),
            signal => self.links(to, signal),
        };
        self.connection.outbox.kick();
        // Where the connection has ended, the answer says so; no lock is held any more.
        if let Some((pid, answer)) = done {
            remote::deliver(&pid, answer);
        }
    }
}

/// A signal to a process of this node, which is the answer to one that did not go out.
type Refusal = Option<(Pid, Signal)>;

impl There {
    /// Sends a signal about links and ends.
    fn links(&self, to: &Pid, signal: Signal) -> Refusal {
        let (connection, Target::Pid(there)) = (&self.connection, &self.target) else { return None };
        let shared = &connection.shared;
        match signal {
            Signal::Link { from, epoch } => {
                shared.note(&from);
                let key = (from.serial(), there.clone());
                let mut tables = connection.tables();
                if connection.outbox.is_closed() {
                    drop(tables);
                    let (reason, by) = (ExitReason::NoConnection, By::Link(epoch));
                    return Some((from, Signal::Exit { from: to.clone(), reason, by }));
                }
                // A link that is made again counts, whether the peer has confirmed the end of the last or
                // not.
                tables.unlinking.remove(&key);
                match tables.links.get_mut(&key) {
                    // The two are linked as the peer knows; only the number is a later one.
                    Some(link) => link.epoch = link.epoch.max(epoch),
                    None => {
                        tables.links.insert(key, Link { local: from.clone(), epoch });
                        let link = Control::Link { from: shared.wire_pid(&from), to: there.clone() };
                        connection.queue(&link, None);
                    }
                }
                None
            }
            Signal::Unlink { from, epoch } => {
                let key = (from.serial(), there.clone());
                let mut tables = connection.tables();
                // An answer to what the peer has taken back, or has been told, changes nothing.
                if tables.links.get(&key).is_none_or(|link| link.epoch > epoch) {
                    return None;
                }
                let link = tables.links.remove(&key);
                let id = connection.peer.agreed.contains(Flags::UNLINK_ID).then(|| shared.number());
                if let Some(id) = id {
                    tables.unlinking.insert(key, id);
                }
                let unlink = Control::Unlink { id, from: shared.wire_pid(&from), to: there.clone() };
                connection.queue(&unlink, None);
                drop(tables);
                drop(link);
                None
            }
            Signal::Exit { from, reason, by } => {
                let (here, behind) = reason_of(connection, &reason);
                let payload = behind.as_ref().map(|term| term as &dyn ToTerm);
                let key = (from.serial(), there.clone());
                let mut tables = connection.tables();
                let (link, by) = match by {
                    By::Request => (None, ExitBy::Request),
                    By::Link(epoch) => {
                        tables.links.get(&key).filter(|link| link.epoch <= epoch)?;
                        (tables.links.remove(&key), ExitBy::Link)
                    }
                };
                let (from, to) = (shared.wire_pid(&from), there.clone());
                connection.queue(&Control::Exit { from, to, by, reason: here }, payload);
                drop(tables);
                drop(link);
                None
            }
            _ => None,
        }
    }

    /// Sends a signal about monitors.
    fn monitors(&self, to: &Pid, signal: Signal) -> Refusal {
        let (connection, target) = (&self.connection, &self.target);
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
                let ours = Ours { monitor, from, there: to.clone(), target: target.clone() };
                tables.ours.insert(number, ours);
                let reference = shared.reference(number);
                let monitor = Control::Monitor { from: wire_from, to: target.clone(), reference };
                connection.queue(&monitor, None);
                None
            }
            Signal::Demonitor { monitor } => {
                let mut tables = connection.tables();
                let number = tables.ours_by_monitor.remove(&monitor)?;
                let ours = tables.ours.remove(&number)?;
                let (from, reference) = (shared.wire_pid(&ours.from), shared.reference(number));
                connection.queue(&Control::Demonitor { from, to: ours.target.clone(), reference }, None);
                drop(tables);
                drop(ours);
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
}
