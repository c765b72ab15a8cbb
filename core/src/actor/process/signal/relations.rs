//! The relations of a process to others, and how they are told of its end.
//!
//! # Links
//! Each of the two sides has the link under its own lock, and two cells are never locked at once, so what the
//! two sides do at the same time crosses. That is what the [`Epoch`] of a link is for:
//!
//! 1. A process that links enters the link on its side, and then sends [`Signal::Link`]. If both do so, both
//!    sides come to have the later epoch.
//! 2. A process that unlinks or ends takes the link out on its side, and then sends the epoch that the link
//!    had, in [`Signal::Unlink`] or [`Signal::Exit`]. The other side loses the link up to that epoch. A later
//!    one stays: it is on its way to the sender, or has arrived there since.
//! 3. The link that is lost may have been made by both sides, and the `Link` of the one that loses it, with
//!    the earlier epoch, may arrive at the other side after that has unlinked. So a process that loses a link
//!    by an `Unlink` answers with an `Unlink` of the same epoch, which takes away what has arrived by then;
//!    and a process that has sent a `Link` looks whether its side still has the link, and sends an `Unlink`
//!    if it has not.
//! 4. An `Exit` is answered in the same way if the sender is on another node, because it may have begun
//!    another life by now. A process of this node has told everybody before it does.
//!
//! So in the end either both sides have the link or neither has; and both have it if each has linked since it
//! has last unlinked or begun to live.

use std::sync::Arc;

use super::super::pid::{AtExit, By, Epoch, HookId, Identity, MonitorRef, Pid, Signal};
use super::super::system::Request;
use super::later::Known;
use crate::base::panic::discard_panic;
use crate::base::small_map::SmallMap;
use crate::kernel::task::ExitReason;
use crate::kernel::task::owner::Orphan;

/// A link on one of its two sides.
pub(super) struct Link {
    /// The process on the other side.
    pub(super) other: Pid,
    /// The latest of the links between the two that this side knows of.
    pub(super) epoch: Epoch,
}

/// A monitor on the side of the process that monitors.
pub(super) struct Watched {
    /// The process that is monitored.
    pub(super) other: Pid,
    /// The name by which it is monitored, if by one.
    pub(super) name: Option<Arc<str>>,
}

/// The relations of a process to others.
#[derive(Default)]
pub(in crate::actor::process) struct Relations {
    /// The links: these processes are told of its end, and it is told of theirs.
    pub(super) links: SmallMap<Identity, Link>,
    /// The monitors of others: these are told of its end.
    pub(super) watchers: SmallMap<MonitorRef, Pid>,
    /// The monitors of its own: it is told of the end of these.
    pub(super) watched: SmallMap<MonitorRef, Watched>,
    /// The process that has started it, linked to itself.
    pub(super) parent: Option<Identity>,
    /// The hooks, which are told of its end first.
    pub(super) hooks: SmallMap<HookId, Arc<dyn AtExit>>,
    /// Messages that are to be sent to it later.
    pub(super) timers: SmallMap<HookId, Known>,
    /// The questions that were dropped unanswered, perhaps by the end, with a reason that is not known yet.
    /// See [`Cell::keep_orphan`].
    pub(super) orphans: Vec<Arc<dyn Orphan>>,
    /// The requests that its loop has not served yet.
    pub(super) requests: Vec<Request>,
}

impl Relations {
    /// Enters a link to `other`, or makes the one that there is as late as `epoch`. Returns a pid that is not
    /// needed.
    pub(super) fn link(&mut self, other: Pid, epoch: Epoch) -> Option<Pid> {
        match self.links.get_mut(other.identity()) {
            Some(link) => {
                link.epoch = link.epoch.max(epoch);
                Some(other)
            }
            None => {
                let before = self.links.insert(other.identity(), Link { other, epoch });
                before.map(|link| link.other)
            }
        }
    }

    /// Takes the link to `other` out, unless it is later than `epoch`.
    pub(super) fn unlink(&mut self, other: Identity, epoch: Epoch) -> Option<Pid> {
        self.links.get_mut(other).filter(|link| link.epoch <= epoch)?;
        self.links.remove(other).map(|link| link.other)
    }

    /// Tells everybody of the end of `pid`. Never unwinds.
    ///
    /// The latest link is told first. A process is linked to its parent before it runs, and so to its
    /// children later: they hear of the end before the parent does, which may start its successor at once; by
    /// then those children that an exit signal ends have given up their names.
    pub(super) fn tell(self, pid: &Pid, reason: &ExitReason) {
        for (_, Link { other, epoch }) in self.links.into_entries().into_iter().rev() {
            let signal = Signal::Exit { from: pid.clone(), reason: reason.clone(), by: By::Link(epoch) };
            discard_panic(move || other.deliver(signal));
        }
        for (monitor, other) in self.watchers.into_entries() {
            let signal = Signal::Down { from: pid.clone(), monitor, reason: reason.clone() };
            discard_panic(move || other.deliver(signal));
        }
        for (monitor, Watched { other, .. }) in self.watched.into_entries() {
            discard_panic(move || other.deliver(Signal::Demonitor { monitor }));
        }
    }
}
