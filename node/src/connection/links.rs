//! The links between processes of the two nodes, as the connection has them: a state machine that knows no
//! lock, no socket and no process. [`Connection`](super::Connection) has it under a lock, under which it also
//! queues the frame that follows from a step; the signal that follows it delivers after that.
//!
//! A link is in three places: with our process, here, and with the peer. Between here and the peer goes the
//! link protocol of the Erlang distribution: an unlink has an id that the other side confirms, and a link
//! that comes before the confirmation counts for nothing, since whoever has sent it will take it for ended
//! when the unlink comes. Between our process and here go signals with the epoch of the link, which cross:
//! what a step has to say to the process is delivered when others may have had their step. So it holds that
//!
//! 1. what ends a link says up to which epoch it does, and touches no later link;
//! 2. whoever has delivered a link looks whether it is still here ([`Links::has`]), and else has the process
//!    lose it again;
//! 3. a process that unlinks is answered by an unlink of the same epoch, which takes away what of the peer
//!    has arrived since it took the link out.
//!
//! The model beside this tries all orders of the steps. Two things are not promised:
//! - a link that our process makes while the peer unlinks and links again may be ended with the peer's first,
//!   and end the peer's second, as both sides then know;
//! - a link that the peer has made before it hears of the end of our process, and that arrives in the next
//!   life of it over the same mailbox, is entered here alone: a pid of Erlang's has one life.

use std::collections::BTreeMap;

use twoply_core::actor::Pid;
use twoply_core::actor::remote::Epoch;

use crate::wire;

/// A process of ours, by its number, and one of the peer's.
pub(super) type Pair = (u64, wire::Pid);

/// The links across a connection.
#[derive(Default)]
#[cfg_attr(test, derive(Clone, Hash))]
pub(super) struct Links {
    links: BTreeMap<Pair, Link>,
    /// The links that our processes have taken back, each with the id that the peer has not confirmed yet.
    unlinking: BTreeMap<Pair, u64>,
}

/// A link between two processes.
#[cfg_attr(test, derive(Clone, Hash))]
pub(super) struct Link {
    /// The process of ours.
    pub(super) local: Pid,
    /// The latest of the links between the two.
    pub(super) epoch: Epoch,
}

impl Links {
    /// Returns how much a peer has had us keep.
    pub(super) fn len(&self) -> usize {
        self.links.len() + self.unlinking.len()
    }

    /// Our process has linked. Returns true if the peer is to be told.
    pub(super) fn link(&mut self, pair: Pair, local: &Pid, epoch: Epoch) -> bool {
        // A link that is made again counts, whether the peer has confirmed the end of the last or not.
        self.unlinking.remove(&pair);
        self.enter(pair, local, epoch)
    }

    /// Our process has unlinked up to `epoch`. Returns the link if the peer is to be told, with this id.
    pub(super) fn unlink(&mut self, pair: &Pair, epoch: Epoch, id: Option<u64>) -> Option<Link> {
        let link = self.take(pair, epoch)?;
        if let Some(id) = id {
            self.unlinking.insert(pair.clone(), id);
        }
        Some(link)
    }

    /// Our process has ended, and with it the link up to `epoch`. Returns it if the peer is to be told.
    pub(super) fn exit(&mut self, pair: &Pair, epoch: Epoch) -> Option<Link> {
        self.take(pair, epoch)
    }

    /// The peer has linked; `epoch` is a new one. Returns true if our process is to be told.
    pub(super) fn peer_links(&mut self, pair: Pair, local: &Pid, epoch: Epoch) -> bool {
        if self.unlinking.contains_key(&pair) {
            return false;
        }
        self.enter(pair, local, epoch);
        true
    }

    /// The peer has unlinked or ended. Returns the link if our process is to be told.
    pub(super) fn peer_ends(&mut self, pair: &Pair) -> Option<Link> {
        self.links.remove(pair)
    }

    /// The peer has confirmed that it has seen an unlink. Another id confirms an earlier one.
    pub(super) fn confirm(&mut self, pair: &Pair, id: u64) {
        if self.unlinking.get(pair) == Some(&id) {
            self.unlinking.remove(pair);
        }
    }

    /// Returns true if there is a link that is no earlier than `epoch`.
    pub(super) fn has(&self, pair: &Pair, epoch: Epoch) -> bool {
        self.links.get(pair).is_some_and(|link| link.epoch >= epoch)
    }

    /// Returns all links, since the connection has ended.
    pub(super) fn into_links(self) -> impl Iterator<Item = (Pair, Link)> {
        self.links.into_iter()
    }

    /// Returns false if there was a link, which has a later epoch now.
    fn enter(&mut self, pair: Pair, local: &Pid, epoch: Epoch) -> bool {
        match self.links.get_mut(&pair) {
            Some(link) => {
                link.epoch = link.epoch.max(epoch);
                false
            }
            None => {
                self.links.insert(pair, Link { local: local.clone(), epoch });
                true
            }
        }
    }

    fn take(&mut self, pair: &Pair, epoch: Epoch) -> Option<Link> {
        self.links.get(pair).filter(|link| link.epoch <= epoch)?;
        self.links.remove(pair)
    }
}

#[cfg(test)]
mod model;
