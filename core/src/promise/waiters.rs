//! Those who wait for a promise, and who owes it: what the mutex of a promise guards.
//!
//! [`Cell`](super::cell::Cell) is the only caller. Nothing here runs code of the user's: wakers and owners
//! are handed to the caller, who drops them when the mutex is free.

use std::sync::Arc;
use std::task::Waker;

use crate::base::waitlist::{LinkedSlab, WaitKey};
use crate::base::wake::StoredWaker;
use crate::kernel::task;
use crate::kernel::task::owner::Owner;
use crate::kernel::task::wait_graph::{Edge, EdgeTarget, Refused};

/// The waiters of a promise, first come, first served; the first one needs no allocation.
pub(super) struct Waiters {
    entries: LinkedSlab<Waiter>,
    /// The one who is known to owe the value.
    owner: Option<Owner>,
    /// True when other promises are derived from this one: then whoever owes this one is marked as awaited.
    is_source: bool,
}

/// A future that waits for a promise.
struct Waiter {
    waker: StoredWaker,
    /// The edge from the task that this wait may stop, if it is one. It leads nowhere while nobody is known
    /// to owe.
    edge: Option<Edge>,
}

impl Waiters {
    pub(super) fn new(owner: Option<Owner>) -> Waiters {
        Waiters { entries: LinkedSlab::new(), owner, is_source: false }
    }

    /// Returns the one who is known to owe the value.
    pub(super) fn owner(&self) -> Option<Owner> {
        self.owner.clone()
    }

    /// Records that another promise is derived from this one.
    pub(super) fn mark_source(&mut self) {
        self.is_source = true;
        self.owner.iter().for_each(mark_awaited);
    }

    /// Makes `owner` the one who owes the value. Returns what the caller drops, and the
    /// tasks that it has polled again.
    pub(super) fn set_owner(
        &mut self,
        owner: Option<Owner>,
    ) -> (Option<Owner>, Vec<Option<EdgeTarget>>, Vec<Arc<task::Shared>>) {
        let (mut old_targets, mut suspects) = (Vec::new(), Vec::new());
        if self.is_source {
            owner.iter().for_each(mark_awaited);
        }
        self.entries.for_each(|waiter| {
            if let Some(edge) = &mut waiter.edge {
                old_targets.push(edge.redirect(owner.clone()));
                suspects.extend(edge.suspect(&owner));
            }
        });
        (std::mem::replace(&mut self.owner, owner), old_targets, suspects)
    }

    /// Returns true if `wait_key` waits with a waker that wakes the same task as `waker`, as a wait that may
    /// stop `task`.
    pub(super) fn is_waiting(
        &mut self,
        wait_key: &WaitKey,
        waker: &Waker,
        task: Option<&Arc<task::Shared>>,
    ) -> bool {
        let Some(waiter) = wait_key.get().and_then(|key| self.entries.find(key)) else { return false };
        let same_edge = match (&waiter.edge, task) {
            (Some(edge), Some(task)) => edge.is_of(task),
            (None, None) => true,
            _ => false,
        };
        same_edge && waiter.waker.will_wake(waker)
    }

    /// Returns true if `wait_key` is that of the wait that `refused` is about.
    pub(super) fn is_refused(&mut self, wait_key: &WaitKey, refused: &Refused) -> bool {
        let waiter = wait_key.get().and_then(|key| self.entries.find(key));
        waiter.and_then(|waiter| waiter.edge.as_ref()).is_some_and(|edge| edge.is_refused(refused))
    }

    /// Adds a waiter, in place of the one that `wait_key` was the key of; `task` is the one that this wait
    /// may stop. A wait that has been there before keeps its edge. Returns what the caller drops.
    pub(super) fn insert(
        &mut self,
        wait_key: &mut WaitKey,
        waker: StoredWaker,
        task: Option<&Arc<task::Shared>>,
    ) -> (Option<Removed>, Option<EdgeTarget>) {
        if let Some(waiter) = wait_key.get().and_then(|key| self.entries.find(key))
            && let (Some(edge), Some(task)) = (&waiter.edge, task)
            && edge.is_of(task)
        {
            let waker = std::mem::replace(&mut waiter.waker, waker);
            return (Some(Removed { waiter: Waiter { waker, edge: None }, target: None }), None);
        }
        let removed = self.remove(wait_key);
        let mut edge = task.cloned().map(Edge::unpublished);
        let target = match (&mut edge, &self.owner) {
            (Some(edge), Some(owner)) => edge.publish(owner.clone()),
            _ => None,
        };
        wait_key.set(self.entries.push_back(Waiter { waker, edge }));
        (removed, target)
    }

    /// Removes the waiter that `wait_key` is the key of. The caller drops what comes back.
    pub(super) fn remove(&mut self, wait_key: &mut WaitKey) -> Option<Removed> {
        self.entries.remove(wait_key.take()?).map(Removed::new)
    }

    /// Removes all waiters, and takes their edges back.
    pub(super) fn remove_all(&mut self) -> AllRemoved {
        let first = self.entries.pop_front().map(Removed::new);
        let mut more = Vec::new();
        if !self.entries.is_empty() {
            more.extend(std::iter::from_fn(|| self.entries.pop_front()).map(Removed::new));
        }
        AllRemoved { first, more }
    }
}

/// Marks the task of `owner`, if it is known, as awaited: others wait for it, or may, by edges that are not
/// counted.
fn mark_awaited(owner: &Owner) {
    if let Some(task) = owner.as_task() {
        task.set_awaited();
    }
}

/// A waiter that has been removed. Its edge has been taken back; what that edge held is dropped with this.
pub(super) struct Removed {
    waiter: Waiter,
    target: Option<EdgeTarget>,
}

impl Removed {
    #[inline]
    fn new(mut waiter: Waiter) -> Removed {
        let target = waiter.edge.as_mut().and_then(Edge::withdraw);
        Removed { waiter, target }
    }

    /// Drops what its edge held, and wakes it.
    #[inline]
    fn wake(self) {
        let Removed { waiter: Waiter { waker, edge }, target } = self;
        drop((edge, target));
        waker.wake();
    }
}

/// All waiters of a promise, removed. Most often there is one, which takes no allocation.
pub(super) struct AllRemoved {
    first: Option<Removed>,
    more: Vec<Removed>,
}

impl AllRemoved {
    /// Wakes them. The caller holds no mutex.
    #[inline]
    pub(super) fn wake(self) {
        if let Some(first) = self.first {
            first.wake();
        }
        self.more.into_iter().for_each(Removed::wake);
    }
}
