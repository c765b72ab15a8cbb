//! Edges to whoever has a lock; the header of [`wait_graph`](super) says what is different about them.

use std::sync::Arc;
use std::task::Waker;

use super::super::holders;
use super::{CycleProbe, Edge, EdgeTarget, OutEdge};
use crate::base::sync::atomic::{Ordering, fence};
use crate::base::wake::StoredWaker;
use crate::kernel::backend::StrandState;
use crate::kernel::task::{Cycle, Shared, TaskId};

/// Where the edge of a wait for a lock goes, as far as its task has said.
#[derive(Default)]
pub(crate) struct LockTarget {
    /// Has the wait polled again, to say where the edge goes. `None` while it has been asked to.
    pub(super) waker: Option<StoredWaker>,
    /// True if this is all that the task waits for, as a probe has shown.
    pub(super) is_sole: bool,
    /// The one who had the lock when the wait was last polled, and the number of that one's edge then.
    pub(super) holder: Option<(Arc<Shared>, u64)>,
}

/// A wait for a lock, which stops its task if that waits for nothing else. Dropping it takes the edge back.
/// It must not be dropped while a mutex is held.
#[derive(Default)]
pub(crate) struct LockWait(Option<Edge>);

impl LockWait {
    /// The wait has been polled with `waker`, on the stack of `state`, and is not ready; `holder` returns the
    /// number of the task that has the lock, if it is known.
    ///
    /// # Errors
    /// When its task waits for itself, in the end. Then there is no edge.
    pub(crate) fn pending(
        &mut self,
        state: &StrandState,
        waker: &Waker,
        holder: impl Fn() -> Option<TaskId>,
    ) -> Result<(), Cycle> {
        let Some(task) = state.blocked_task(waker) else {
            self.end();
            return Ok(());
        };
        if state.probe.polls_with(waker) {
            // Nothing but the entry in the queue of the lock keeps this waker.
            if let Some(edge) = self.0.as_ref().filter(|edge| edge.is_of(task)) {
                state.probe.report(edge.number);
                task.set_blocked(state.has_parted());
            }
            return Ok(());
        }
        let number = self.publish(task, waker);
        // A probe finds out whether the task waits for nothing else, when that matters.
        task.set_blocked(state.has_parted());
        if look(task, number, holder)? {
            state.probe.request();
        }
        Ok(())
    }

    /// Enters the edge, unless it is there, and sees to it that its task can be asked where it goes. Returns
    /// its number.
    fn publish(&mut self, task: &Arc<Shared>, waker: &Waker) -> u64 {
        if let Some(edge) = self.0.as_ref().filter(|edge| edge.is_of(task)) {
            let number = edge.number;
            let was_asked = |edge: &mut OutEdge| Some(edge.lock_target(number)?.waker.is_none());
            if task.publish_edge(was_asked) == Some(true) {
                let mut waker = Some(StoredWaker::of(waker));
                task.publish_edge(|edge| {
                    let target = edge.lock_target(number)?;
                    std::mem::swap(&mut target.waker, &mut waker);
                    Some(())
                });
            }
            return number;
        }
        self.end();
        let target = LockTarget { waker: Some(StoredWaker::of(waker)), ..LockTarget::default() };
        let (number, before) = task.publish_edge(|edge| edge.publish(EdgeTarget::Lock(target)));
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

/// Looks who has the lock that the edge of `task` with this number goes to, and if that one is stopped, too,
/// whether the edge closes a circle. Returns true if that is to be found out, but by a probe before.
///
/// # Errors
/// When the edge closes a circle. It has been taken back then.
fn look(task: &Arc<Shared>, number: u64, holder: impl Fn() -> Option<TaskId>) -> Result<bool, Cycle> {
    // Pairs with the fence in `Header::about_to_block`, and with itself: of two that stop, each with a lock
    // that the other one wants, the later one sees both what the earlier one has and that it is stopped.
    fence(Ordering::SeqCst);
    if !task.is_awaited() {
        return Ok(false);
    }
    let found = holder().and_then(|id| Some((id, holders::find(id)?)));
    let Some((id, next)) = found else { return Ok(false) };
    let since = if next.is_blocked() { next.with_edge(OutEdge::number) } else { None };
    let Some(since) = since else { return Ok(false) };
    // It has the lock, and is stopped: so it keeps the lock as long as that edge is there.
    if holder() != Some(id) {
        return Ok(false);
    }
    let mut said = Some((next, since));
    let may_say = task.publish_edge(|edge| {
        let target = edge.lock_target(number).filter(|target| target.is_sole)?;
        std::mem::swap(&mut target.holder, &mut said);
        Some(())
    });
    drop(said);
    if may_say.is_none() {
        return Ok(true);
    }
    CycleProbe { task: Arc::clone(task), number }.detect_cycle().map_or(Ok(false), Err)
}

/// Notes that a probe has shown that `task` waits for nothing but the lock that its edge with this number
/// goes to.
pub(crate) fn mark_sole(task: &Shared, number: u64) {
    task.publish_edge(|edge| {
        if let Some(target) = edge.lock_target(number) {
            target.is_sole = true;
        }
    });
}

/// Has the wait for a lock that stops `task` polled again, to say where its edge goes.
pub(super) fn ask(task: &Shared) {
    let asked = |edge: &mut OutEdge| match &mut edge.target {
        Some(EdgeTarget::Lock(target)) => target.waker.take(),
        _ => None,
    };
    if let Some(waker) = task.publish_edge(asked) {
        waker.wake();
    }
}
