//! Those who wait for a promise, and who owes it: what the mutex of a promise guards.
//!
//! [`Cell`](super::cell::Cell) is the only caller. Nothing here runs code of the user's: wakers and owners are handed
//! to the caller, who drops them when the mutex is free.

use std::sync::Arc;
use std::task::Waker;

use crate::base::waitlist::{Key, LinkedSlab};
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::task;
use crate::kernel::task::owner::Owner;
use crate::kernel::task::wait_graph::{Edge, Probe, Target};

/// The place in line of one future.
#[derive(Debug, Default)]
pub(super) struct Ticket(Option<Key>);

impl Ticket {
    /// Whether there is one. It may have been called up since.
    #[inline]
    pub(super) fn is_in_line(&self) -> bool {
        self.0.is_some()
    }

    /// The future has been called up.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

/// The line, first come, first served; its first entry needs no allocation.
pub(super) struct Line {
    /// Who waits.
    waiters: LinkedSlab<Waiter>,
    /// Who is known to owe the value.
    owner: Option<Owner>,
    /// Whether other promises are derived from this one: then whoever owes this is marked as awaited.
    source: bool,
}

/// One who waits.
struct Waiter {
    /// How it is told.
    waker: StoredWaker,
    /// The task that this wait stops, with its edge if somebody is known to owe.
    edge: Option<Edge>,
}

impl Line {
    pub(super) fn new(owner: Option<Owner>) -> Line {
        Line { waiters: LinkedSlab::new(), owner, source: false }
    }

    /// Who owes the value.
    pub(super) fn owner(&self) -> Option<Owner> {
        self.owner.clone()
    }

    /// Another promise is derived from this one.
    pub(super) fn derive(&mut self) {
        self.source = true;
        self.owner.iter().for_each(mark);
    }

    /// Makes `owner` the one who owes the value. Returns what is to be dropped, and the edges that are new.
    pub(super) fn set_owner(
        &mut self,
        owner: Option<Owner>,
    ) -> (Option<Owner>, Vec<Option<Target>>, Vec<Probe>) {
        let (mut left, mut new) = (Vec::new(), Vec::new());
        if self.source {
            owner.iter().for_each(mark);
        }
        self.waiters.for_each(|waiter| {
            if let Some(edge) = &mut waiter.edge {
                left.push(edge.publish(owner.clone()));
                new.extend(edge.probe(&owner));
            }
        });
        (std::mem::replace(&mut self.owner, owner), left, new)
    }

    /// Whether `ticket` is in line with a waker that does what `waker` does, for the wait of `task`.
    pub(super) fn is_waiting(
        &mut self,
        ticket: &Ticket,
        waker: &Waker,
        task: Option<&Arc<task::Shared>>,
    ) -> bool {
        let Some(waiter) = ticket.0.and_then(|key| self.waiters.find(key)) else { return false };
        let same_edge = match (&waiter.edge, task) {
            (Some(edge), Some(task)) => edge.is_of(task),
            (None, None) => true,
            _ => false,
        };
        same_edge && waiter.waker.will_wake(waker)
    }

    /// Puts `waker` in line, instead of what `ticket` had there; `task` is the one that this wait stops. Returns
    /// what is to be dropped, and the edge if there is one that may close a circle.
    pub(super) fn enter(
        &mut self,
        ticket: &mut Ticket,
        waker: StoredWaker,
        task: Option<Arc<task::Shared>>,
    ) -> ((Option<Left>, Option<Target>), Option<Probe>) {
        let left = self.leave(ticket);
        let mut edge = task.map(Edge::none);
        let (mut target, mut probe) = (None, None);
        if let Some(edge) = edge.as_mut().filter(|_| self.owner.is_some()) {
            target = edge.publish(self.owner.clone());
            probe = edge.probe(&self.owner);
        }
        ticket.0 = Some(self.waiters.push_back(Waiter { waker, edge }));
        ((left, target), probe)
    }

    /// Takes `ticket` out of the line. The caller drops what comes back.
    pub(super) fn leave(&mut self, ticket: &mut Ticket) -> Option<Left> {
        self.waiters.remove(ticket.0.take()?).map(Left::new)
    }

    /// Takes everybody out of the line, and their edges back.
    pub(super) fn leave_all(&mut self) -> AllLeft {
        let first = self.waiters.pop_front().map(Left::new);
        let mut more = Vec::new();
        if !self.waiters.is_empty() {
            more.extend(std::iter::from_fn(|| self.waiters.pop_front()).map(Left::new));
        }
        AllLeft { first, more }
    }
}

/// Others wait for whoever owes, or may, by edges that are not counted.
fn mark(owner: &Owner) {
    if let Some(task) = owner.known_task() {
        task.set_awaited();
    }
}

/// One who has left the line. Its edge has been taken back, what that held is dropped with this.
pub(super) struct Left {
    /// How it is told.
    waker: StoredWaker,
    /// Who waited.
    _edge: Option<Edge>,
    /// Whom its task waited for.
    _target: Option<Target>,
}

impl Left {
    fn new(waiter: Waiter) -> Left {
        let Waiter { waker, mut edge } = waiter;
        let target = edge.as_mut().and_then(Edge::withdraw);
        Left { waker, _edge: edge, _target: target }
    }
}

/// All who were in line. One, most often: that takes no allocation.
pub(super) struct AllLeft {
    /// The first.
    first: Option<Left>,
    /// The others.
    more: Vec<Left>,
}

impl AllLeft {
    /// Wakes them, when no mutex is held.
    pub(super) fn wake(self) {
        wake_all(self.first.into_iter().chain(self.more).map(|left| left.waker));
    }
}
