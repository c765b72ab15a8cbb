//! The timers of a process: it knows them, so that at its end they are given up.
//!
//! A timer is entered with its target and takes itself out when it is over. A target that receives no more
//! has all of them give up what they hold; where a mailbox is kept for a successor, those that send messages
//! stay.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::super::cell::Cell;
use super::super::event::Event;
use super::super::pid::HookId;
use super::super::timer::TimerRef;
use super::{Life, Relations};
use crate::base::panic::discard_panic;
use crate::base::small_map::SmallMap;
use crate::base::sync::lock;
use crate::base::wake::wake_all;
use crate::channel::TrySendError;
use crate::kernel::backend::Backend;
use crate::kernel::detached;

/// A timer of a process.
pub(in crate::actor::process) trait Later: Send + Sync {
    /// Ends it: the process will receive no more, or does not want it. Returns what is to be run, elsewhere,
    /// with what it still holds.
    fn give_up(&self) -> Option<detached::Work>;

    /// Returns when it is due, where `None` is never; nothing when it is over.
    fn deadline(&self) -> Option<Option<Instant>>;

    /// Returns the number under which the process knows it.
    fn entry(&self) -> HookId;

    /// Returns true if it is for whoever reads the mailbox, and not for this process alone.
    fn is_for_successors(&self) -> bool;
}

/// A timer as its process knows it.
#[derive(Clone)]
pub(super) enum Known {
    /// It is kept by what will wake it.
    Due(Weak<dyn Later>),
    /// It is never due: nothing will wake it, so the process keeps it.
    Never(Arc<dyn Later>),
}

impl Known {
    fn of<L: Later + 'static>(timer: &Arc<L>, deadline: Option<Instant>) -> Known {
        match deadline {
            None => Known::Never(Arc::clone(timer) as Arc<dyn Later>),
            Some(_) => Known::Due(Arc::downgrade(timer) as Weak<dyn Later>),
        }
    }

    /// Returns the timer, if there is still somebody who keeps it.
    fn get(&self) -> Option<Arc<dyn Later>> {
        match self {
            Known::Due(timer) => timer.upgrade(),
            Known::Never(timer) => Some(Arc::clone(timer)),
        }
    }
}

/// Has timers give their messages up, which then go where those of the process go.
pub(super) fn give_up(timers: SmallMap<HookId, Known>, home: Option<Arc<dyn Backend>>) {
    let timers = timers.into_entries().into_iter();
    let left: Vec<detached::Work> =
        timers.filter_map(|(_, timer)| timer.get().and_then(|timer| timer.give_up())).collect();
    if !left.is_empty() {
        detached::run(home, Box::new(move || left.into_iter().for_each(discard_panic)));
    }
}

impl Life {
    /// Takes the timers, for good.
    pub(super) fn take_timers(&mut self) -> SmallMap<HookId, Known> {
        self.relations
            .as_mut()
            .map_or_else(SmallMap::default, |relations| std::mem::take(&mut relations.timers))
    }

    /// Forgets a timer that is over. Whoever calls this holds it: it is not dropped under the lock.
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
    /// Enters a timer with its deadline, if it has one. Returns false when the process is over, or receives
    /// no more of what the timer sends.
    pub(in crate::actor::process) fn enter_timer<L: Later + 'static>(
        &self,
        timer: &Arc<L>,
        deadline: Option<Instant>,
        is_message: bool,
    ) -> bool {
        let (id, timer) = (timer.entry(), Known::of(timer, deadline));
        let mut inbox = lock(&self.inbox);
        let life = &mut inbox.life;
        let open = if is_message { !life.is_closed() } else { life.is_alive() };
        let open = open || self.proxy().is_some();
        if open {
            life.relations().timers.insert(id, timer);
        }
        open
    }

    /// Takes a timer out, and returns it, if it was there.
    pub(in crate::actor::process) fn remove_timer(&self, id: HookId) -> Option<Arc<dyn Later>> {
        let timer = lock(&self.inbox).life.relations.as_mut()?.timers.remove(id);
        timer?.get()
    }

    /// Returns a timer, if it is there.
    pub(in crate::actor::process) fn find_timer(&self, id: HookId) -> Option<Arc<dyn Later>> {
        let timer = lock(&self.inbox).life.relations.as_mut()?.timers.get_mut(id).cloned();
        timer?.get()
    }

    /// Tells the process that a timer of its own is over, unless the process has cancelled it.
    pub(in crate::actor::process) fn time_out(&self, id: HookId) {
        let mut inbox = lock(&self.inbox);
        let relations = inbox.life.relations.as_mut();
        let timer = relations.and_then(|relations| relations.timers.remove(id));
        let waker = match timer.is_some() && inbox.life.is_alive() {
            true => self.enqueue(&mut inbox.queue, Event::Timeout(TimerRef::new(id)), false),
            false => None,
        };
        drop(inbox);
        wake_all(waker);
    }

    /// Gives up the timers that were for the body that has ended alone.
    pub(super) fn give_up_own_timers(&self) {
        let timers: Vec<Known> = match &lock(&self.inbox).life.relations {
            Some(relations) => relations.timers.values().into_iter().cloned().collect(),
            None => return,
        };
        let own = timers.iter().filter_map(Known::get).filter(|timer| !timer.is_for_successors());
        for timer in own {
            lock(&self.inbox).life.forget_timer(timer.entry());
            if let Some(work) = timer.give_up() {
                detached::run(self.home(), work);
            }
        }
    }

    /// Returns how many messages have ever been sent, modulo 2^32.
    pub(in crate::actor::process) fn sent(&self) -> u32 {
        lock(&self.inbox).queue.sent
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

    /// Sends the message of a timer to what this cell stands for, if there is room.
    pub(in crate::actor::process) fn send_on(&self, message: M) {
        if let Err(refused) = self.forward(message, false) {
            self.undelivered(refused.into_inner());
        }
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
