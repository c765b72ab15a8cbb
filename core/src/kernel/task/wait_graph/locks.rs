//! Edges to whoever has a lock; the header of [`wait_graph`](super) says what is different about them.

#[cfg(all(test, loom))]
mod model;

use std::sync::Arc;
use std::task::Waker;

use super::super::holders::{find_stopped, is_stopped};
use super::{Edge, EdgeTarget};
use crate::base::sync::atomic::{AtomicBool, Ordering, fence};
use crate::base::waitlist::WaitKey;
use crate::kernel::backend::StrandState;
use crate::kernel::task::{Cycle, Shared, TaskId};

/// The most tasks that one wait for a lock is known to depend on.
pub(crate) const MOST_BLOCKERS: usize = 5;

/// The tasks that have to go on before a wait for a lock is over: each of them, as far as they are known.
pub(crate) type Blockers = [Option<TaskId>; MOST_BLOCKERS];

/// A lock that somebody has, for those who wait for it.
pub(crate) trait HeldLock {
    /// Returns the tasks that are known to have the lock.
    fn holders(&self) -> Blockers;

    /// Returns the tasks without which the wait with this key goes on for ever: those who have the lock, or
    /// others who wait for it.
    fn blockers(&self, wait_key: &WaitKey) -> Blockers {
        let _ = wait_key;
        self.holders()
    }

    /// Returns the time for which those tasks stay the same, from now on; `None` if nobody has the lock. It
    /// may end before.
    fn tenure(&self) -> Option<Tenure>;
}

/// The time for which a lock is with those who have it, without their giving it back.
#[derive(Clone)]
pub(crate) struct Tenure(Arc<AtomicBool>);

impl Tenure {
    pub(crate) fn new() -> Tenure {
        Tenure(Arc::new(AtomicBool::new(false)))
    }

    /// The lock is given back. For the one who has it.
    pub(crate) fn end(self) {
        // Release pairs with Acquire in `is_over`; besides, a mark that the task gets later orders it.
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Where the edge of a wait for a lock goes, as far as its task has said: to each of several tasks.
#[derive(Default)]
pub(crate) struct LockTarget {
    /// Those who have to go on, while that holds.
    blockers: Vec<Blocker>,
    /// None if it has not been said.
    tenure: Option<Tenure>,
}

/// One who has to go on before a wait for a lock is over, as of the last poll of that.
#[derive(Clone)]
pub(super) struct Blocker {
    id: TaskId,
    /// The task and the number of its edge, if it may have been stopped then.
    stopped: Option<(Arc<Shared>, u64)>,
}

impl Blocker {
    fn find(id: TaskId) -> Blocker {
        let stopped = find_stopped(id).and_then(|task| task.edge_number().map(|since| (task, since)));
        Blocker { id, stopped }
    }

    /// Returns the task and the number of its edge, if it may have been stopped by that ever since.
    pub(super) fn stopped_since(&self) -> Option<(Arc<Shared>, u64)> {
        self.stopped.clone().filter(|(task, since)| task.edge_number() == Some(*since))
    }

    /// Returns whether it may be stopped now.
    pub(super) fn is_stopped(&self) -> bool {
        is_stopped(self.id)
    }
}

impl LockTarget {
    /// Returns those who have to go on, if that has been said and still holds.
    pub(super) fn blockers(&self) -> Option<Vec<Blocker>> {
        self.tenure.as_ref().filter(|tenure| !tenure.is_over())?;
        Some(self.blockers.clone())
    }

    /// Returns whether it has been said who has to go on, and no longer holds.
    pub(super) fn is_over(&self) -> bool {
        self.tenure.as_ref().is_some_and(Tenure::is_over)
    }
}

/// A wait for a lock, which may stop its task. Dropping it takes the edge back. It must not be dropped while
/// a mutex is held.
#[derive(Default)]
pub(crate) struct LockWait {
    /// None while it has not been published.
    edge: Option<Edge>,
    /// True if the edge has been made to say where it goes.
    is_said: bool,
}

impl LockWait {
    /// The wait for `lock` with the key `wait_key` has been polled with `waker`, on the stack of `state`, and
    /// is not ready.
    ///
    /// # Errors
    /// When its task waits for itself, in the end. Then there is no edge.
    pub(crate) fn pending(
        &mut self,
        state: &StrandState,
        waker: &Waker,
        lock: &impl HeldLock,
        wait_key: &WaitKey,
    ) -> Result<(), Cycle> {
        let Some(task) = state.task_that_wants_lock(waker) else {
            self.end();
            return Ok(());
        };
        if let Some(edge) = &self.edge
            && let Some(cycle) = state.take_refusal(|refused| edge.is_refused(refused))
        {
            self.end();
            return Err(cycle);
        }
        self.publish(task);
        task.set_blocked();
        // An edge that does not say where it goes closes no circle.
        self.say(task, lock, wait_key);
        state.suspect(task, waker, || self.is_said);
        Ok(())
    }

    /// Enters the edge, unless it is there.
    #[inline]
    fn publish(&mut self, task: &Arc<Shared>) {
        if !self.edge.as_ref().is_some_and(|edge| edge.is_of(task)) {
            self.publish_anew(task);
        }
    }

    #[cold]
    fn publish_anew(&mut self, task: &Arc<Shared>) {
        self.end();
        let (number, before) =
            task.publish_edge(|edge| edge.publish(EdgeTarget::Lock(LockTarget::default())));
        drop(before);
        self.edge = Some(Edge { task: Arc::clone(task), number });
        self.is_said = false;
    }

    /// Looks on whom the wait depends that has the key `wait_key`, and the edge of `task`; and has the edge
    /// say so, if one of them may be stopped, too.
    fn say(&mut self, task: &Shared, lock: &impl HeldLock, wait_key: &WaitKey) {
        // Pairs with the fence in `Header::about_to_block`, and with itself: of two that stop, each with a
        // lock that the other one wants, the later one sees both what the earlier one has and that it is
        // stopped.
        fence(Ordering::SeqCst);
        if !task.is_awaited() {
            return;
        }
        let found = find_blockers(lock, wait_key);
        if found.is_none() && !self.is_said {
            return;
        }
        self.is_said = found.is_some();
        let mut found = found.unwrap_or_default();
        let number = self.edge.as_ref().map_or(0, |edge| edge.number);
        task.publish_edge(|edge| {
            if let Some(target) = edge.lock_target(number) {
                std::mem::swap(target, &mut found);
            }
        });
        drop(found);
    }

    /// The wait is over: takes the edge back.
    ///
    /// Looks before it takes: most waits have none, and to move it out is to read what has only just been
    /// written, in one piece, which stalls.
    #[inline]
    pub(crate) fn end(&mut self) {
        if self.edge.is_some() {
            drop(self.edge.take());
        }
    }
}

/// Returns those who have to go on before the wait with the key `wait_key` is over, if one of them may be
/// stopped, too.
///
/// They are not looked for unless one of those who have the lock may be stopped: whoever waits for it waits
/// for those in the end, so a circle goes through one of them. Else each wait for a lock that many want would
/// look at all others.
fn find_blockers(lock: &impl HeldLock, wait_key: &WaitKey) -> Option<LockTarget> {
    if !lock.holders().into_iter().flatten().any(is_stopped) {
        return None;
    }
    let mut now = lock.blockers(wait_key);
    loop {
        let blockers: Vec<_> = now.into_iter().flatten().map(Blocker::find).collect();
        if blockers.iter().all(|blocker| blocker.stopped.is_none()) {
            return None;
        }
        let tenure = lock.tenure()?;
        // They are what they are after all that has been seen, and the tenure ends when that changes.
        let before = std::mem::replace(&mut now, lock.blockers(wait_key));
        if now == before {
            return Some(LockTarget { blockers, tenure: Some(tenure) });
        }
    }
}
