//! Messages that are to be sent to a process later: it knows them, so that at its end they are given up.
//!
//! A timer is entered with its target and takes itself out when it is over. A target that receives no more
//! has all of them give their messages up; where a mailbox is kept for a successor, they stay.

use std::sync::{Arc, Weak};

use super::super::cell::Cell;
use super::super::pid::HookId;
use super::{Life, Relations};
use crate::base::panic::discard_panic;
use crate::base::small_map::SmallMap;
use crate::base::sync::lock;
use crate::base::wake::wake_all;
use crate::channel::TrySendError;
use crate::kernel::backend::Backend;
use crate::kernel::detached;

/// A message that is to be sent to a process later.
pub(in crate::actor::process) trait Later: Send + Sync {
    /// Gives the message up, because the process will receive no more. Returns what is to be run, elsewhere,
    /// with the message, if that is still here.
    fn give_up(&self) -> Option<detached::Work>;
}

/// Has timers give their messages up, which then go where those of the process go.
pub(super) fn give_up(timers: SmallMap<HookId, Weak<dyn Later>>, home: Option<Arc<dyn Backend>>) {
    let timers = timers.into_entries().into_iter();
    let left: Vec<detached::Work> =
        timers.filter_map(|(_, timer)| timer.upgrade().and_then(|timer| timer.give_up())).collect();
    if !left.is_empty() {
        detached::run(home, Box::new(move || left.into_iter().for_each(discard_panic)));
    }
}

impl Life {
    /// Takes the timers, for good.
    pub(super) fn take_timers(&mut self) -> SmallMap<HookId, Weak<dyn Later>> {
        self.relations
            .as_mut()
            .map_or_else(SmallMap::default, |relations| std::mem::take(&mut relations.timers))
    }

    /// Forgets a timer that is over.
    fn forget_timer(&mut self, timer: HookId) {
        if let Some(relations) = &mut self.relations {
            relations.timers.remove(timer);
        }
    }

    /// Takes the relations, for those who are to be told of the end. Messages that are to be sent later stay,
    /// for a successor.
    pub(super) fn take_relations(&mut self) -> Option<Box<Relations>> {
        let mut relations = self.relations.take()?;
        if !relations.timers.is_empty() {
            self.relations().timers = std::mem::take(&mut relations.timers);
        }
        Some(relations)
    }
}

impl<M: Send + 'static> Cell<M> {
    /// Enters a message that is to be sent later. Returns `None` when the process receives no more.
    pub(in crate::actor::process) fn enter_timer(&self, timer: Weak<dyn Later>) -> Option<HookId> {
        let id = HookId::next();
        let mut inbox = lock(&self.inbox);
        let open = !inbox.life.is_closed() || self.proxy().is_some();
        if open {
            inbox.life.relations().timers.insert(id, timer);
        }
        drop(inbox);
        open.then_some(id)
    }

    /// Takes out a message whose sending has been cancelled.
    pub(in crate::actor::process) fn leave_timer(&self, timer: HookId) {
        lock(&self.inbox).life.forget_timer(timer);
    }

    /// Sends the message of a timer, though there may be no room for it: nobody could take it back. It comes
    /// back when the mailbox is closed.
    pub(in crate::actor::process) fn send_due(&self, timer: HookId, message: M) -> Result<(), M> {
        let mut inbox = lock(&self.inbox);
        inbox.life.forget_timer(timer);
        if inbox.life.is_closed() {
            drop(inbox);
            return self.forward(message, false).map_err(TrySendError::into_inner);
        }
        let waker = self.enqueue_message(&mut inbox.queue, message, false);
        drop(inbox);
        wake_all(waker);
        Ok(())
    }

    /// Returns the backend on which code of the user's runs for this process when that is over.
    pub(in crate::actor::process) fn home(&self) -> Option<Arc<dyn Backend>> {
        self.extra.as_ref()?.home.as_ref()?.upgrade()
    }

    /// Returns what is to be run, elsewhere, with a message that nobody will receive; `None` when there is
    /// nothing to it.
    pub(in crate::actor::process) fn unwanted(self: &Arc<Self>, message: M) -> Option<detached::Work> {
        let hooked = self.extra.as_ref().is_some_and(|extra| extra.undelivered.is_some());
        let cell = Arc::clone(self);
        (hooked || std::mem::needs_drop::<M>())
            .then(|| Box::new(move || cell.undelivered(message)) as detached::Work)
    }
}
