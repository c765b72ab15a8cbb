//! The phases in the life of a process, and what is known of its end. The diagram is that of
//! [`signal`](super).

use std::sync::Arc;

use super::super::pid::{AtExit, Epoch, Identity, Pid};
use super::super::system::Request;
use super::relations::{Link, Relations};
use crate::kernel::task::owner::Orphan;
use crate::kernel::task::{self, ExitReason, HeaderRef};

/// The phases in the life of a process. See the diagram of the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It has neither ended nor been made to.
    Alive,
    /// It has begun to end by itself, or its body is being dropped; the reason is not settled yet.
    Leaving,
    /// The reason is settled, once in a life. The body may still run or be about to be dropped.
    Doomed,
    /// The body has been dropped.
    Over,
}

/// The state of a process and its relations to others, under the lock of its cell.
pub(in crate::actor::process) struct Life {
    /// The phase that it has come to.
    pub(super) phase: Phase,
    /// True if an exit signal becomes an event, instead of ending the process.
    pub(super) trapping: bool,
    /// True while it is being started, and whoever starts it has not learnt whether that succeeds.
    pub(super) starting: bool,
    /// True if the mailbox stays open when the body ends, for a successor.
    pub(super) keeping: bool,
    /// No more messages are taken: the process has ended and nobody keeps its mailbox, or it has been told to
    /// stop when it has received what is there.
    pub(super) closed: bool,
    /// The reason of its end, or for which it is to stop, if that is not [`ExitReason::Normal`]: most ends
    /// need no allocation.
    pub(super) reason: Option<Box<ExitReason>>,
    /// The header of its task, from the first poll of that until its future is dropped, which is what calls
    /// `end`. It is looked at under the lock only.
    pub(super) task: Option<HeaderRef>,
    /// Its relations, made with the first one.
    pub(super) relations: Option<Box<Relations>>,
}

impl Life {
    pub(in crate::actor::process) fn new(trapping: bool) -> Life {
        Life {
            phase: Phase::Alive,
            trapping,
            starting: false,
            keeping: false,
            closed: false,
            reason: None,
            task: None,
            relations: None,
        }
    }

    /// Returns the life of a cell that stands for a process elsewhere: there is none here, and its mailbox is
    /// closed.
    pub(in crate::actor::process) fn elsewhere() -> Life {
        Life { phase: Phase::Over, closed: true, ..Life::new(false) }
    }

    /// Returns true if it has neither ended nor been made to.
    pub(in crate::actor::process) fn is_alive(&self) -> bool {
        self.phase < Phase::Doomed
    }

    /// Returns its task, while it has one.
    pub(super) fn own_task(&self) -> Option<Arc<task::Shared>> {
        self.task.as_ref().map(|header| Arc::clone(header.get().shared()))
    }

    /// Returns why it ends or has ended.
    pub(in crate::actor::process) fn reason(&self) -> Option<ExitReason> {
        let reason = || self.reason.as_deref().cloned().unwrap_or(ExitReason::Normal);
        (!self.is_alive()).then(reason)
    }

    /// Returns true if no more messages are taken.
    #[inline]
    pub(in crate::actor::process) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns true if the process is alive, and nobody has told it to stop in its turn.
    pub(in crate::actor::process) fn is_open(&self) -> bool {
        self.is_alive() && !self.closed
    }

    /// Returns why no more messages are taken, if that is so.
    pub(in crate::actor::process) fn refusal(&self) -> Option<ExitReason> {
        self.closed.then(|| self.reason.as_deref().cloned().unwrap_or(ExitReason::Normal))
    }

    /// Returns true if the body has been dropped.
    pub(in crate::actor::process) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Returns true if the process has begun to end, for a reason that is not settled yet.
    pub(in crate::actor::process) fn is_leaving(&self) -> bool {
        self.phase == Phase::Leaving
    }

    /// Notes that the process has begun to end by itself, unless its reason is settled already.
    pub(in crate::actor::process) fn leave(&mut self) {
        if self.phase == Phase::Alive {
            self.phase = Phase::Leaving;
        }
    }

    /// Returns the hooks that are told of its end first.
    pub(in crate::actor::process) fn hooks(&self) -> impl Iterator<Item = &Arc<dyn AtExit>> {
        self.relations.iter().flat_map(|relations| relations.hooks.values())
    }

    pub(super) fn relations(&mut self) -> &mut Relations {
        self.relations.get_or_insert_default()
    }

    /// Keeps a question that was dropped unanswered, until it is known whether that was the end.
    pub(in crate::actor::process) fn keep_orphan(&mut self, orphan: Arc<dyn Orphan>) {
        self.relations().orphans.push(orphan);
    }

    /// Takes the questions that were kept, for a process that lives on.
    pub(in crate::actor::process) fn take_orphans(&mut self) -> Vec<Arc<dyn Orphan>> {
        self.relations.as_mut().map_or_else(Vec::new, |relations| std::mem::take(&mut relations.orphans))
    }

    pub(in crate::actor::process) fn add_request(&mut self, request: Request) {
        self.relations().requests.push(request);
    }

    pub(in crate::actor::process) fn take_requests(&mut self) -> Vec<Request> {
        self.relations.as_mut().map_or_else(Vec::new, |relations| std::mem::take(&mut relations.requests))
    }

    /// Takes the link to `other` out, whatever its epoch.
    pub(super) fn end_link(&mut self, other: Identity) -> Option<Link> {
        self.relations.as_mut()?.links.remove(other)
    }

    /// Takes the link to `other` out, unless it is later than `epoch`.
    pub(super) fn lose_link(&mut self, other: Identity, epoch: Epoch) -> Option<Pid> {
        self.relations.as_mut()?.unlink(other, epoch)
    }
}
