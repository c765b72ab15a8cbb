//! The graph of who waits for whom, and the search for the wait that closes a circle.
//!
//! The nodes are tasks. A task that is stopped by one wait, for a promise that a known task owes, has one
//! edge: to that task. So the graph is a set of chains, and a wait closes a circle exactly if the chain that
//! begins at it comes back. Only a wait for a lock may have several edges, each to a task without which it
//! goes on for ever, and it closes a circle if one of them does. Promises and task handles publish the edge
//! of a wait that is pending, and take it back when the promise comes out, before anybody can know of it, or
//! when the wait is dropped.
//!
//! An edge is a suspicion: its task may go on without that wait, for a future does not know what else is
//! polled beside it. Combinators of this library say which waits have an alternative, and those have no edge:
//! `select`, `race`, `any`, a time limit, and `join` while another member is left, for that may well be what
//! the others wait for. Of all others a [`probe`](crate::kernel::probe) finds out, when it matters: when the
//! poll of a task is over that has published an edge, and the chain comes back. If the wait proves to be all
//! that the task waits for, the task gets a [`Mark`], which holds until the task is woken or polled. A circle
//! is one of tasks that are marked; whoever finds one without a mark in it has that one polled, which then
//! does the same. A wait for a promise that nobody is known to owe has no edge. So what is found is a
//! deadlock; what is not found may be one.
//!
//! The wait that is refused is the one that has closed the circle: the first of which that was suspected, for
//! the others are suspected when they are polled because of it. Whoever finds a circle of marked tasks has
//! that one polled. It is marked again, and polled once more at once, and the wait comes out.
//!
//! # Why one of those who close a circle sees it
//! Each publishes its own edge, then says that its task may be stopped, by a SeqCst store, and then looks
//! whether the next one may be, by a SeqCst load. Most walks end with that: no record of the other task is
//! touched. Of all who close a circle one stores last, in the one order of these operations: it sees that all
//! others are stopped. The edge itself it reads under the mutex of the other's record, which was held to
//! enter it before the store. Who makes another one owe what a stopped task waits for looks in that one's
//! place, and has it polled: it holds the mutex to change the edge, and that one does to read it, so the
//! later of the two sees what the earlier has done. The task of a handle may have no record. It stores
//! likewise that it has one, before its first edge ([`Header::about_to_block`]): whoever does not see that is
//! earlier. And a process comes to have a task under its own mutex.
//!
//! It marks itself, and has those polled whose mark is missing. Each marks itself, then looks at the marks of
//! the others, each under the mutex of its task: so the last one sees them all. Exactly one is refused: who
//! sees the circle looks again under a mutex of all, and takes its edge away before it gives that back.
//!
//! One who waits for several may close several circles. It looks for one after the other, without the tasks
//! that it has polled because they have closed one before it: whichever of those is refused, and in whichever
//! circle, no circle is left that nobody looks at. The earliest of all is refused if it is in any circle of
//! marked tasks; so is, once that one's edge is gone, whoever is the earliest of the others.
//!
//! # Locks
//! The holders of a lock change while others wait for it, so a wait for a lock says where its edges go as its
//! task has found it in its last poll: to those who have the lock, and to the one in front of the queue if
//! nobody passes that one. For each it says the number of that one's own edge, if that one may be stopped;
//! and for how long it holds, by the [`Tenure`] that ends when somebody gives the lock back. A walk that
//! comes to a wait which does not say so, or not of one who may be stopped by now, has its task polled. That
//! task says that it may be stopped by a SeqCst store, and looks after it, as all others do; between the two
//! lies a fence, for the number of a holder is not SeqCst.
//!
//! Of several readers one may have the lock and not have said so yet, and of those in a queue one may come to
//! be in front without being polled. A circle through such a one may be missed.
//!
//! # What a walk costs
//! A wait closes a circle only if somebody waits for the one who waits, and if the one it waits for waits as
//! well. So a task counts the edges that go to it, and a wait walks only if that count is not 0 and the next
//! task is stopped. The edge is counted before it is published, again by a SeqCst operation: the last one of
//! a circle to be stopped sees the one that goes to itself. Waits that lengthen a chain at either
//! end never walk, however long it is; a walk goes over one of two chains that its wait joins.
//! Chains that are joined in no particular order grow by walks that take n log n steps in all.
//!
//! Edges that go to a task by way of somebody else, a process or the promise that another one is derived
//! from, and those of its handle, are not counted one by one: the task is marked once, and walks from then on
//! ([`Shared::set_awaited`]). Processes that ask each other along a chain do so from its beginning: the one
//! that is asked is not stopped.
//!
//! The count and the mark are SeqCst, also as read-modify-writes. Of three in a circle, the last one to store
//! sees by what the next one wrote that this is stopped, but the edge to itself was counted by the third:
//! only the one order tells it of that. Whoever finds that the mark is there already leaves it so, and for
//! that Acquire is enough: it reads what a SeqCst operation wrote, or a read-modify-write after that. So that
//! operation happens before all that the reader does next, and comes before the reader's SeqCst operations in
//! their one order, too.
//!
//! # Why there is a circle where one is seen
//! The edges of a path are not read at one instant. So the path is read twice. Each edge has a number that
//! its task uses once, and so has each mark. What has not changed from the first reading to the second was
//! there in between: all of it at one instant, when none of the tasks could go on by anything but one of
//! these waits. So none can, unless somebody else cancels one of them.
//!
//! The search is that of Chandy, Misra and Haas, "Distributed deadlock detection" (1983), for the
//! single-resource model, without the messages; a walk does not get lost in a circle that it does not belong
//! to by Brent's method.

mod locks;
#[cfg(all(test, loom))]
pub(crate) mod model;
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::failure::Cycle;
use super::owner::Owner;
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::{Mutex, lock};
use crate::kernel::strand::with_state;
use crate::kernel::task::{Header, HeaderRef, Shared, TaskId};
use locks::{Blocker, LockTarget};
pub(crate) use locks::{Blockers, HeldLock, LockWait, Tenure};
use walk::{Reached, Step, leads_back};

/// The proof that a task waits for nothing but the wait that it has an edge for: a probe has shown it.
pub(crate) struct Mark {
    /// Set when the task is woken, so that it may have gone on.
    woken: Arc<AtomicBool>,
    /// True if the task may have passed on the question that it has received last.
    has_parted: bool,
}

impl Mark {
    pub(crate) fn new(woken: Arc<AtomicBool>, has_parted: bool) -> Mark {
        Mark { woken, has_parted }
    }

    /// Returns whether nothing has woken the task since the probe.
    pub(crate) fn is_valid(&self) -> bool {
        // Acquire pairs with Release in the waker: who sees that the task is woken sees why.
        !self.woken.load(Ordering::Acquire)
    }
}

/// The edge of the wait that stops a task. It lies in the task's shared part, under the mutex there.
#[derive(Default)]
pub(crate) struct OutEdge {
    /// The number of the last edge.
    number: u64,
    /// The target of the edge; `None` while there is none.
    target: Option<EdgeTarget>,
    /// The number of marks so far.
    marks: u64,
    /// The last of them; `None` if the task has been polled since.
    mark: Option<Mark>,
    /// The number of the edge of which it has been seen that it may close a circle, and the place of that
    /// among all such sights.
    suspicion: Option<(u64, u64)>,
}

/// The targets that an edge may have.
pub(crate) enum EdgeTarget {
    /// The owner of a promise.
    Owner(CountedOwner),
    /// The task whose handle is waited for. It is looked at under the mutex only, and before the handle lets
    /// go of it ([`leave_handle`]).
    Task(HeaderRef),
    /// To those without whom the wait for a lock goes on.
    Lock(LockTarget),
}

impl EdgeTarget {
    /// Returns who is waited for, if that one may be stopped itself.
    fn next(&self) -> Option<Next> {
        match self {
            EdgeTarget::Owner(CountedOwner(owner)) => Some(Next::Owner(owner.clone())),
            EdgeTarget::Task(header) => {
                header.get().shared_if_blocked().cloned().map(|task| Next::Owner(Owner::of_task(task)))
            }
            EdgeTarget::Lock(target) => Some(Next::Blockers(target.blockers())),
        }
    }
}

/// The one who comes next in a chain.
enum Next {
    /// The one who owes a promise.
    Owner(Owner),
    /// Those without whom the wait for a lock goes on; `None` if the one who waits has not said so, or that
    /// has changed.
    Blockers(Option<Vec<Blocker>>),
}

/// The target of an edge that is counted there until this is dropped, if it goes to a task.
pub(crate) struct CountedOwner(Owner);

impl CountedOwner {
    #[inline]
    fn new(owner: Owner) -> CountedOwner {
        if let Some(task) = owner.as_task() {
            task.count_edge();
        }
        CountedOwner(owner)
    }
}

impl Drop for CountedOwner {
    #[inline]
    fn drop(&mut self) {
        if let Some(task) = self.0.as_task() {
            task.discount_edge();
        }
    }
}

impl OutEdge {
    /// Enters an edge. Returns its number, and what is to be dropped when no mutex is held.
    fn publish(&mut self, target: EdgeTarget) -> (u64, Option<EdgeTarget>) {
        self.number += 1;
        (self.number, self.target.replace(target))
    }

    /// Takes the edge with this number back, if it is still there. What it returns is to be dropped when no
    /// mutex is held.
    fn withdraw(&mut self, number: u64) -> Option<EdgeTarget> {
        if self.number == number { self.target.take() } else { None }
    }

    /// As [`OutEdge::withdraw`], for the edge to the task of a handle.
    fn withdraw_from(&mut self, header: &Header) -> Option<EdgeTarget> {
        self.goes_to(header).and_then(|()| self.target.take())
    }

    pub(super) fn set_mark(&mut self, mark: Mark) {
        self.marks += 1;
        self.mark = Some(mark);
    }

    pub(super) fn clear_mark(&mut self) {
        self.mark = None;
    }

    /// Returns when it was first seen that the edge may close a circle.
    fn suspicion(&self) -> Option<u64> {
        self.suspicion.filter(|(number, _)| *number == self.number).map(|(_, place)| place)
    }

    /// Returns the number of the mark and what it says, if it is valid.
    fn valid_mark(&self) -> Option<(u64, bool)> {
        let mark = self.mark.as_ref().filter(|mark| mark.is_valid())?;
        Some((self.marks, mark.has_parted))
    }

    /// Returns the number of the edge, and who comes next, if that one may be stopped.
    fn edge(&self) -> Option<(u64, Next)> {
        let next = self.target.as_ref()?.next()?;
        Some((self.number, next))
    }

    /// Returns the number of the edge, if there is one.
    pub(super) fn number(&self) -> Option<u64> {
        self.target.is_some().then_some(self.number)
    }

    /// Returns what is known of the lock that the edge with this number goes to.
    fn lock_target(&mut self, number: u64) -> Option<&mut LockTarget> {
        match &mut self.target {
            Some(EdgeTarget::Lock(target)) if self.number == number => Some(target),
            _ => None,
        }
    }

    /// Returns true if the edge goes to a lock, and other tasks have come to have that since.
    fn has_changed(&self) -> bool {
        matches!(&self.target, Some(EdgeTarget::Lock(target)) if target.is_over())
    }

    /// Returns the task to whose handle the edge goes, if it goes to one.
    fn handle(&self) -> Option<HeaderRef> {
        match &self.target {
            Some(EdgeTarget::Task(header)) => Some(header.clone()),
            _ => None,
        }
    }

    /// Returns `Some` if the edge with this number is there.
    fn is_at(&self, number: u64) -> Option<()> {
        (self.number == number && self.target.is_some()).then_some(())
    }

    /// Returns `Some` if there is an edge to the task of a handle.
    fn goes_to(&self, header: &Header) -> Option<()> {
        matches!(&self.target, Some(EdgeTarget::Task(other)) if other.is(header)).then_some(())
    }
}

/// The edge of one wait for a promise; dropping it takes the edge back. It must not be dropped while a mutex
/// is held.
pub(crate) struct Edge {
    /// The task that waits.
    task: Arc<Shared>,
    /// The number of the edge; 0 if none has been published.
    number: u64,
}

impl Edge {
    /// Makes an edge of `task` that has not been published.
    pub(crate) fn unpublished(task: Arc<Shared>) -> Edge {
        Edge { task, number: 0 }
    }

    /// Returns true if this is the edge by which `task` is stopped. For the poll of that task.
    #[inline]
    pub(crate) fn is_of(&self, task: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.task, task) && (self.number == 0 || task.has_edge(self.number))
    }

    fn is_current(&self) -> bool {
        self.number == 0 || self.task.with_edge(|edge| edge.is_at(self.number)).is_some()
    }

    /// Returns true if this is the edge of the wait that `refused` is about.
    pub(crate) fn is_refused(&self, refused: &Refused) -> bool {
        self.number == refused.number && Arc::ptr_eq(&self.task, &refused.task)
    }

    /// Publishes an edge to `owner` in place of the one that there is. The caller drops what is returned when
    /// no mutex is held.
    #[must_use]
    pub(crate) fn publish(&mut self, owner: Owner) -> Option<EdgeTarget> {
        let target = EdgeTarget::Owner(CountedOwner::new(owner));
        let (number, before) = self.task.publish_edge(|edge| edge.publish(target));
        self.number = number;
        before
    }

    /// Makes the edge go to somebody else, or nowhere; unless another wait has taken the place of this one.
    /// The caller drops what is returned when no mutex is held, and looks at [`Edge::suspect`] then.
    #[must_use]
    pub(crate) fn redirect(&mut self, owner: Option<Owner>) -> Option<EdgeTarget> {
        if !self.is_current() {
            return None;
        }
        match owner {
            Some(owner) => self.publish(owner),
            // The task is stopped as before, and somebody else may come to owe what it waits for.
            None => {
                let number = std::mem::take(&mut self.number);
                self.task.publish_edge(|edge| edge.withdraw(number))
            }
        }
    }

    /// Takes the edge back. The caller drops what is returned when no mutex is held.
    #[must_use]
    pub(crate) fn withdraw(&mut self) -> Option<EdgeTarget> {
        match std::mem::take(&mut self.number) {
            0 => None,
            number => self.task.withdraw_edge(|edge| edge.withdraw(number)),
        }
    }

    /// Returns the task that waits if the edge, just redirected to `owner`, may close a circle. It is to be
    /// [polled again](Shared::poll_again) when the mutex that this lies under is free, and finds out then.
    pub(crate) fn suspect(&self, owner: &Option<Owner>) -> Option<Arc<Shared>> {
        let owner = owner.as_ref().filter(|owner| !self.is_its_own(owner))?;
        (owner.is_blocked() && self.task.is_awaited()).then(|| Arc::clone(&self.task))
    }

    /// Returns whether the task that waits is `owner` itself and runs just now. Then the wait is that of
    /// another of its futures. To poll it again for that would be to poll it for ever, if `owner` is said
    /// in each poll.
    fn is_its_own(&self, owner: &Owner) -> bool {
        let own = self.task.id();
        owner.as_task().is_some_and(|task| task.id() == own)
            && with_state(|state| state.header().map(Header::id)) == Some(own)
    }
}

impl Drop for Edge {
    #[inline]
    fn drop(&mut self) {
        // Out of line, so that what may have an edge and has none drops it for the price of a look.
        #[inline(never)]
        fn withdraw(edge: &mut Edge) {
            drop(edge.withdraw());
        }
        if self.number != 0 {
            withdraw(self);
        }
    }
}

/// Notes that `task` waits for the handle to the task of `header`.
pub(crate) fn await_handle(task: &Shared, header: HeaderRef) {
    header.get().set_awaited();
    let (_, before) = task.publish_edge(|edge| edge.publish(EdgeTarget::Task(header)));
    drop(before);
}

/// A wait that would close a circle: its edge has been taken back.
pub(crate) struct Refused {
    /// The task that waits.
    task: Arc<Shared>,
    /// The number of its edge.
    number: u64,
    /// The task whose handle is waited for, if it is a handle. It is compared, and never looked at.
    header: Option<HeaderRef>,
    /// The circle that it would close.
    cycle: Cycle,
}

impl Refused {
    pub(crate) fn into_cycle(self) -> Cycle {
        self.cycle
    }

    /// Returns true if it is the wait of `task` for the handle to the task of `header`, and `task` has begun
    /// no other wait since.
    pub(crate) fn is_for_handle(&self, task: &Arc<Shared>, header: &Header) -> bool {
        Arc::ptr_eq(&self.task, task)
            && self.header.as_ref().is_some_and(|own| own.is(header))
            && task.with_edge(|edge| (edge.number == self.number).then_some(())).is_some()
    }
}

/// Returns true if `task` is stopped by the wait for the handle to the task of `header`.
pub(crate) fn awaits_handle(task: &Shared, header: &Header) -> bool {
    task.with_edge(|edge| edge.goes_to(header)).is_some()
}

/// Notes that `task` no longer waits for the handle to the task of `header`: from here on nobody looks at
/// that because of it.
pub(crate) fn leave_handle(task: &Shared, header: &Header) {
    drop(task.withdraw_edge(|edge| edge.withdraw_from(header)));
}

/// Returns whether the wait whose edge `task` has published last may close a circle.
pub(crate) fn may_close(task: &Arc<Shared>) -> bool {
    if !task.is_awaited() {
        return false;
    }
    let is_next_blocked = match task.with_edge(OutEdge::edge) {
        Some((_, Next::Owner(owner))) => owner.is_blocked(),
        Some((_, Next::Blockers(blockers))) => blockers.is_some(),
        None => false,
    };
    let may_close = is_next_blocked && leads_back(task);
    if !may_close {
        poll_if_changed(task);
    } else if task.with_edge(OutEdge::suspicion).is_none() {
        let place = {
            let mut suspicions = lock_all();
            *suspicions += 1;
            *suspicions
        };
        task.publish_edge(|edge| edge.suspicion = Some((edge.number, place)));
    }
    may_close
}

/// Notes what a probe has shown of `task`. Returns the wait that stops it, if that closes a circle; the edge
/// has been taken back then. The caller holds no mutex.
#[cold]
pub(crate) fn close(task: &Arc<Shared>, mark: Mark) -> Option<Refused> {
    task.set_mark(mark);
    let reached = Reached::read(task);
    // A task in each circle that has been found: it has gone on, or is polled and deals with the circle.
    let mut dealt_with = BTreeSet::new();
    while let Some(circle) = reached.circle(&dealt_with) {
        match refuse(&circle) {
            Ok(refused) => return Some(refused),
            Err(other) => dealt_with.insert(other),
        };
    }
    reached.poll_unmarked();
    reached.poll_stale();
    poll_if_changed(task);
    None
}

/// Has `task` polled if it waits for a lock and what it has said of that no longer holds: as long as nobody
/// waits for it but itself, nobody else has it say so again.
fn poll_if_changed(task: &Shared) {
    if task.with_edge(|edge| edge.has_changed().then_some(())).is_some() {
        task.poll_again();
    }
}

/// Refuses the first wait of a circle of marked tasks, if that is the one that has closed it.
///
/// # Errors
/// With the number of another task of the circle: one that has gone on since the circle was read, or the one
/// that has closed it, which is polled.
fn refuse(circle: &[Step]) -> Result<Refused, TaskId> {
    let nexts = circle.iter().cycle().skip(1);
    // The second reading.
    let gone = circle.iter().zip(nexts).find(|(step, next)| !step.still_leads_to(next));
    if let Some((gone, _)) = gone {
        return Err(gone.task.id());
    }
    let Step { task, number, .. } = &circle[0];
    let header = task.with_edge(OutEdge::handle);
    let all = lock_all();
    if let Some(gone) = circle.iter().find(|step| !step.is_unchanged()) {
        // Perhaps it is refused in another circle.
        return Err(gone.task.id());
    }
    let first = circle.iter().min_by_key(|step| step.task.with_edge(OutEdge::suspicion));
    if let Some(first) = first.filter(|first| !Arc::ptr_eq(&first.task, task)) {
        drop(all);
        first.task.poll_again();
        return Err(first.task.id());
    }
    let edge = task.withdraw_edge(|edge| edge.withdraw(*number));
    drop(all);
    drop(edge);
    let cycle = Cycle::new(circle.iter().map(|step| step.task.label()));
    Ok(Refused { task: Arc::clone(task), number: *number, header, cycle })
}

/// Locks the mutex under which one of those who close a circle is chosen, with the number of circles that
/// have been suspected. It is the innermost but for those of tasks: nothing runs under it but looks at
/// numbers.
fn lock_all() -> crate::base::sync::MutexGuard<'static, u64> {
    #[cfg(not(loom))]
    static ALL: Mutex<u64> = Mutex::new(0);
    #[cfg(loom)]
    loom::lazy_static! { static ref ALL: Mutex<u64> = Mutex::new(0); }
    lock(&ALL)
}

#[cfg(all(test, not(loom)))]
mod tests;
