//! [`Peering`]: an attempt at a connection, and which of several counts.

use std::sync::Arc;

use super::Slot;
use crate::connection::Connection;
use crate::node::Shared;

/// An attempt at a connection. It is given up when this is dropped, unless it has succeeded.
pub(crate) struct Peering {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) by: By,
}

/// The side that has begun an attempt.
pub(super) enum By {
    Us,
    /// The other node, with the connection that it was told of if there was one.
    Them(Option<Arc<Connection>>),
}

impl Peering {
    fn is_in(&self, slot: Option<&Slot>) -> bool {
        matches!(slot, Some(Slot::Ours(number) | Slot::Theirs(number)) if *number == self.number)
    }

    /// Returns true if this attempt still counts.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_in(self.shared.peers.slots().get(&self.name))
    }

    /// Has this attempt, which the other node has proved, be the one, and returns true. The connection that
    /// there has been is ended, and everybody told of that. Attempts that are not proved are given up, but
    /// for one of this node's where it has the greater name: that is the one if it succeeds, and is waited
    /// for. So both nodes keep the same connection.
    pub(crate) async fn claim(&self) -> bool {
        loop {
            let last = match self.shared.peers.until(|| self.look()).await {
                Claim::Won => return true,
                Claim::Lost => return false,
                Claim::Ends(last) => last,
            };
            last.stop("the node has connected again");
            last.over.cancelled().await;
        }
    }

    /// As [`Peering::claim`]; `None` while an attempt of this node's is waited for.
    fn look(&self) -> Option<Claim> {
        let mut slots = self.shared.peers.slots();
        Some(match slots.get(&self.name) {
            // This node has made it since the other one has called, so it is up there, too.
            Some(Slot::Up(last) | Slot::Ending(last)) if last.is_ours && !self.was_told_of(last) => {
                Claim::Lost
            }
            Some(Slot::Up(last) | Slot::Ending(last)) => Claim::Ends(Arc::clone(last)),
            Some(Slot::Ours(_)) if *self.shared.own.name > *self.name => return None,
            _ => {
                slots.insert(self.name.clone(), Slot::Theirs(self.number));
                Claim::Won
            }
        })
    }

    fn was_told_of(&self, connection: &Arc<Connection>) -> bool {
        matches!(&self.by, By::Them(Some(last)) if Arc::ptr_eq(last, connection))
    }

    /// Enters the connection, unless another one has been quicker. Returns true where it is the one. Both
    /// sides have proved it, so it goes before each attempt that is still under way, whoever has begun that.
    pub(super) fn up(&self, connection: &Arc<Connection>) -> bool {
        let mut slots = self.shared.peers.slots();
        let is_free = !matches!(slots.get(&self.name), Some(Slot::Up(_) | Slot::Ending(_)));
        if self.shared.over.is_cancelled() || !is_free {
            return false;
        }
        slots.insert(self.name.clone(), Slot::Up(Arc::clone(connection)));
        true
    }
}

/// The fate of an attempt that is proved.
enum Claim {
    Won,
    Lost,
    /// This connection is ended first.
    Ends(Arc<Connection>),
}

impl Drop for Peering {
    fn drop(&mut self) {
        let mut slots = self.shared.peers.slots();
        if self.is_in(slots.get(&self.name)) {
            slots.remove(&self.name);
        }
        drop(slots);
        self.shared.peers.changed.notify_waiters();
    }
}
