//! Edges to whoever has a lock; the header of [`wait_graph`](super) says what is different about them.

#[cfg(all(test, loom))]
mod model;

use std::sync::Arc;
use std::task::Waker;

use super::super::holders;
use super::{Edge, EdgeTarget};
use crate::base::sync::atomic::{AtomicBool, Ordering, fence};
use crate::kernel::backend::StrandState;
use crate::kernel::task::{Cycle, Shared, TaskId};

/// A lock that somebody has, for one who waits for it.
pub(crate) trait HeldLock {
    /// Returns the number of the task that has the lock, if it is known.
    fn holder(&self) -> Option<TaskId>;

    /// Returns the time for which somebody has the lock, from now on; `None` if nobody has it.
    fn tenure(&self) -> Option<Tenure>;
}

/// The time for which one task has a lock, without giving it back.
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

/// Where the edge of a wait for a lock goes, as far as its task has said.
#[derive(Default)]
pub(crate) struct LockTarget(Option<Holder>);

/// The one who had a lock when a wait for it was last polled.
struct Holder {
    task: Arc<Shared>,
    /// The number of that one's edge then.
    since: u64,
    tenure: Tenure,
}

impl LockTarget {
    /// Returns who has the lock, and the number of that one's edge since when it is known to.
    pub(super) fn holder(&self) -> Option<(Arc<Shared>, u64)> {
        let holder = self.0.as_ref().filter(|holder| !holder.tenure.is_over())?;
        Some((Arc::clone(&holder.task), holder.since))
    }
}

/// A wait for a lock, which may stop its task. Dropping it takes the edge back. It must not be dropped while
/// a mutex is held.
#[derive(Default)]
pub(crate) struct LockWait(Option<Edge>);

impl LockWait {
    /// The wait for `lock` has been polled with `waker`, on the stack of `state`, and is not ready.
    ///
    /// # Errors
    /// When its task waits for itself, in the end. Then there is no edge.
    pub(crate) fn pending(
        &mut self,
        state: &StrandState,
        waker: &Waker,
        lock: &impl HeldLock,
    ) -> Result<(), Cycle> {
        let Some(task) = state.blocked_task(waker) else {
            self.end();
            return Ok(());
        };
        if let Some(edge) = &self.0
            && let Some(cycle) = state.take_refusal(|refused| edge.is_refused(refused))
        {
            self.end();
            return Err(cycle);
        }
        let number = self.publish(task);
        state.may_stop(task, waker);
        say(task, number, lock);
        Ok(())
    }

    /// Enters the edge, unless it is there. Returns its number.
    fn publish(&mut self, task: &Arc<Shared>) -> u64 {
        if let Some(edge) = self.0.as_ref().filter(|edge| edge.is_of(task)) {
            return edge.number;
        }
        self.end();
        let (number, before) =
            task.publish_edge(|edge| edge.publish(EdgeTarget::Lock(LockTarget::default())));
        drop(before);
        self.0 = Some(Edge { task: Arc::clone(task), number });
        number
    }

    /// The wait is over: takes the edge back.
    ///
    /// Looks before it takes: most waits have none, and to move it out is to read what has only just been
    /// written, in one piece, which stalls.
    #[inline]
    pub(crate) fn end(&mut self) {
        if self.0.is_some() {
            drop(self.0.take());
        }
    }
}

/// Looks who has the lock that the edge of `task` with this number goes to, and has the edge say so if that
/// one may be stopped, too.
fn say(task: &Shared, number: u64, lock: &impl HeldLock) {
    // Pairs with the fence in `Header::about_to_block`, and with itself: of two that stop, each with a lock
    // that the other one wants, the later one sees both what the earlier one has and that it is stopped.
    fence(Ordering::SeqCst);
    if !task.is_awaited() {
        return;
    }
    let mut holder = find_holder(lock);
    task.publish_edge(|edge| {
        if let Some(target) = edge.lock_target(number) {
            std::mem::swap(&mut target.0, &mut holder);
        }
    });
    drop(holder);
}

/// Returns the one who has `lock`, if that one may be stopped, too.
fn find_holder(lock: &impl HeldLock) -> Option<Holder> {
    let id = lock.holder()?;
    let task = holders::find(id).filter(|task| task.is_blocked())?;
    let since = task.edge_number()?;
    let tenure = lock.tenure()?;
    // It has the lock after all that has been seen, and its tenure ends when it gives the lock back.
    (lock.holder() == Some(id)).then_some(Holder { task, since, tenure })
}
