//! To whom a process is related, and how they are told of its end.

use std::sync::{Arc, Weak};

use super::super::pid::{AtExit, By, HookId, Identity, MonitorRef, Pid, Signal};
use super::Later;
use crate::base::panic::discard_panic;
use crate::base::small_map::SmallMap;
use crate::kernel::task::ExitReason;
use crate::kernel::task::owner::Orphan;

/// To whom a process is related.
#[derive(Default)]
pub(in crate::actor::process) struct Relations {
    /// Those that are told of its end, and of whose end it is told.
    pub(super) links: SmallMap<Identity, Pid>,
    /// Those that are told of its end.
    pub(super) watchers: SmallMap<MonitorRef, Pid>,
    /// Those of whose end it is told.
    pub(super) watched: SmallMap<MonitorRef, Pid>,
    /// Who has started it, linked to itself.
    pub(super) parent: Option<Identity>,
    /// Who is told first.
    pub(super) hooks: SmallMap<HookId, Arc<dyn AtExit>>,
    /// Messages that are to be sent to it later.
    pub(super) timers: SmallMap<HookId, Weak<dyn Later>>,
    /// The questions that were dropped unanswered, perhaps by the end, with a reason that is not known yet. See
    /// [`Cell::keep_orphan`].
    pub(super) orphans: Vec<Arc<dyn Orphan>>,
}

impl Relations {
    /// Tells everybody of the end of `pid`. Never unwinds.
    ///
    /// The latest link is told first. A process is linked to its parent before it runs, and so to its children later:
    /// they hear of the end before the parent does, which may start its successor at once; by then those children that
    /// an exit signal ends have given up their names.
    pub(super) fn tell(self, pid: &Pid, reason: &ExitReason) {
        for (_, other) in self.links.into_entries().into_iter().rev() {
            let signal = Signal::Exit { from: pid.clone(), reason: reason.clone(), by: By::Link };
            discard_panic(move || other.deliver(signal));
        }
        for (monitor, other) in self.watchers.into_entries() {
            let signal = Signal::Down { from: pid.clone(), monitor, reason: reason.clone() };
            discard_panic(move || other.deliver(signal));
        }
        for (monitor, other) in self.watched.into_entries() {
            discard_panic(move || other.deliver(Signal::Demonitor { monitor }));
        }
    }
}
