//! The signals of a process: all that is done to it besides sending it messages: links, monitors, exit
//! signals, its end.
//!
//! Whoever sends a signal handles it, under the lock of the receiver: so signals wait for nothing, and the
//! order of what one process does to another is the order in which it does it. What follows from a signal
//! (waking, cancelling, answering) is collected under the lock and done after it ([`Deferred`]); so no two
//! cells are ever locked at once.
//!
//! # The life of a process
//! ```text
//!                            (2) doom
//!            ┌────────────────────────────────────────────────┐
//!            │      (1) leave                   (2) doom      ▼           (3) end
//!          alive ───────────────▶ leaving ───────────────▶ doomed ───────────────────▶ over
//!            ▲                                                                           │
//!            └──────────────────────(4) revive, with a kept mailbox──────────────────────┘
//!
//! (1) leave   the body has come to its end, or is being dropped: the process ends, and its reason is not settled
//!             yet. Others find it alive.
//! (2) doom    an exit signal that it does not trap, or the end of its body: the reason is settled. It is not alive
//!             any more: its names are free, sends fail, and to link or to monitor it finds no process. An exit signal
//!             cancels the task, which ends at its next await point or unwinds from its wait.
//! (3) end     the body has been dropped: links and monitors are told, and then messages that nobody has received
//!             go where the builder has said.
//! (4) revive  a supervisor starts a new body over the mailbox that the old one has left.
//! ```
//!
//! A process that has not run yet is alive, without the flag BEGUN; the first poll of its task sets it
//! (`begin`), and from then on the process can be cancelled. One that is doomed before never runs.

mod deferred;
mod drain;
mod info;
mod later;
mod life;
#[cfg(all(test, loom))]
mod model;
mod relations;
#[cfg(all(test, not(loom)))]
mod tests;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use deferred::Deferred;
pub use info::{ProcessInfo, ProcessState};
pub(super) use later::Later;
use later::give_up;
pub(super) use life::Life;
use life::Phase;
use relations::{Relations, Watched};

use super::TraceAction;
use super::cell::{Cell, Inbox};
use super::event::{Down, Event, Exit};
use super::mailbox::{BEGUN, RETURNED};
use super::pid::{AtExit, By, Endpoint, Epoch, HookId, MonitorRef, Pid, Signal};
use crate::base::panic::discard_panic;
use crate::base::small_map::SmallMap;
use crate::base::sync::lock;
use crate::kernel::detached;
use crate::kernel::strand::with_state;
use crate::kernel::task::ExitReason;
use crate::kernel::task::{self, Header, HeaderRef};
use crate::promise::Failure;

impl<M> Cell<M> {
    /// Returns the process's task, while it has one.
    pub(super) fn own_task(&self) -> Option<Arc<task::Shared>> {
        lock(&self.inbox).life.own_task()
    }

    /// Returns true if that task is stopped by a wait. Locks nothing but this cell.
    #[inline]
    pub(super) fn is_own_task_stopped(&self) -> bool {
        let inbox = lock(&self.inbox);
        let stopped = inbox.life.task.as_ref().and_then(|task| task.get().shared_if_blocked());
        stopped.is_some_and(|task| task.is_blocked())
    }

    /// Returns true if this is called by the process's own task.
    pub(super) fn is_running(&self) -> bool {
        with_state(|state| match (state.header(), &lock(&self.inbox).life.task) {
            (Some(current), Some(own)) => std::ptr::eq(current, own.get()),
            _ => false,
        })
    }

    /// Returns why the process ends or has ended, if it does.
    pub(in crate::actor) fn reason(&self) -> Option<ExitReason> {
        let reason = lock(&self.inbox).life.reason();
        match self.proxy() {
            Some(proxy) => proxy.reason(),
            None => reason,
        }
    }
}

impl<M: Send + 'static> Cell<M> {
    pub(super) fn pid(self: &Arc<Cell<M>>) -> Pid {
        match self.proxy() {
            Some(proxy) => proxy.pid().clone(),
            None => Pid::new(self.identity(), Arc::clone(self) as Arc<dyn Endpoint>),
        }
    }

    /// Settles why the process ends, unless that is settled.
    fn doom(&self, inbox: &mut Inbox<M>, reason: ExitReason, deferred: &mut Deferred) {
        let life = &mut inbox.life;
        if !life.is_alive() {
            // It comes too late, and may hold an error of the user's, which is dropped without the lock.
            let may_hold = !matches!(reason, ExitReason::Normal | ExitReason::Shutdown);
            deferred.old_reason = may_hold.then(|| Box::new(reason));
            return;
        }
        if let Some(relations) = &mut life.relations {
            if !relations.orphans.is_empty() {
                let left = deferred.left();
                left.orphans = std::mem::take(&mut relations.orphans);
                left.failure = Some(Failure::NoProcess(reason.clone()));
            }
            if !relations.hooks.is_empty() {
                deferred.left().hooks = std::mem::take(&mut relations.hooks);
            }
            if !life.keeping && !relations.timers.is_empty() {
                let left = deferred.left();
                left.timers = std::mem::take(&mut relations.timers);
                left.home = self.home();
            }
        }
        life.phase = Phase::Doomed;
        let reason = (!reason.is_normal()).then(|| Box::new(reason));
        deferred.old_reason = std::mem::replace(&mut life.reason, reason);
        if !life.keeping {
            life.closed = true;
            deferred.wake_senders(inbox.queue.close());
        }
    }

    /// As [`Cell::doom`], by somebody else. The process may come to its own end before the sender of the
    /// signal has called the hooks, and then calls them, too.
    fn doom_by_signal(&self, inbox: &mut Inbox<M>, reason: ExitReason, deferred: &mut Deferred) {
        self.doom(inbox, reason, deferred);
        if let (Some(relations), Some(left)) = (&mut inbox.life.relations, &deferred.left) {
            relations.hooks = left.hooks.clone();
        }
    }

    /// Notes that the body is about to run for the first time. Returns false if it must not, because it has
    /// been doomed before.
    ///
    /// # Safety
    /// The running task is the process's, so that its header lasts until [`Cell::end`] has been called.
    pub(super) unsafe fn begin(&self) -> bool {
        // SAFETY: as the caller promises; `end` takes it out.
        let header = |header: &Header| unsafe { HeaderRef::new(header) };
        let task = with_state(|state| {
            let own = state.header()?;
            own.owes_answers();
            // A predecessor over the same mailbox may have passed on what it has received last.
            state.parts();
            Some((header(own), own.id()))
        });
        let mut inbox = lock(&self.inbox);
        if let Some((header, id)) = task {
            inbox.life.task = Some(header);
            self.set_task(&inbox, id);
        }
        self.set_flag(&inbox, BEGUN, true);
        inbox.life.is_alive()
    }

    /// Notes that the body has come to its end by itself, for `reason`. It is still to be dropped.
    pub(super) fn settle(self: &Arc<Self>, reason: ExitReason) {
        let mut deferred = Deferred::default();
        let mut inbox = lock(&self.inbox);
        self.doom(&mut inbox, reason, &mut deferred);
        self.set_flag(&inbox, RETURNED, true);
        drop(inbox);
        if !deferred.is_empty() {
            deferred.run(&self.pid());
        }
    }

    /// Tells everybody of the end, because the body is gone. `reason` is why, if that has not been settled.
    /// Never unwinds.
    pub(in crate::actor) fn end(self: &Arc<Self>, reason: ExitReason) {
        let mut deferred = Deferred::default();
        let mut inbox = lock(&self.inbox);
        if inbox.life.is_over() {
            return;
        }
        self.doom(&mut inbox, reason, &mut deferred);
        if let Some(relations) = inbox.life.relations.as_mut().filter(|relations| !relations.hooks.is_empty())
        {
            // These are the hooks of a process that a signal has doomed. Whoever has sent it may still be
            // about to call them.
            deferred.left().hooks = std::mem::take(&mut relations.hooks);
        }
        if !deferred.is_empty() {
            drop(inbox);
            // The hooks run before the process is over: whoever finds it so, or is told, may count on it that
            // its names are free.
            deferred.run(&self.pid());
            inbox = lock(&self.inbox);
        }
        let life = &mut inbox.life;
        life.phase = Phase::Over;
        life.task = None;
        let Some(reason) = life.reason() else { unreachable!("it has been doomed by now") };
        let (starting, keeping) = (life.starting, life.keeping);
        let relations = if starting { None } else { life.take_relations() };
        let receiver = inbox.queue.receiver.take();
        let left = if keeping { Default::default() } else { inbox.queue.drain() };
        drop(inbox);
        discard_panic(|| drop(receiver));
        if let Some(relations) = relations {
            relations.tell(&self.pid(), &reason);
        }
        self.discard(left);
        // Whoever has begun the process again meanwhile has left the last one here.
        discard_panic(|| drop(reason));
    }

    /// Notes that whoever has started the process knows that it succeeded: its end is told from now on.
    pub(super) fn finish_start(self: &Arc<Self>) {
        let mut inbox = lock(&self.inbox);
        inbox.life.starting = false;
        let over = inbox.life.is_over();
        let relations = if over { inbox.life.take_relations() } else { None };
        let reason = inbox.life.reason();
        drop(inbox);
        if let (Some(relations), Some(reason)) = (relations, reason) {
            relations.tell(&self.pid(), &reason);
        }
    }

    /// Notes that the process is about to be started by one that wants to be related to it: until
    /// [`finish_start`](Cell::finish_start) is called, nobody is told of its end.
    pub(super) fn begin_start(&self) {
        lock(&self.inbox).life.starting = true;
    }

    /// Says whether the mailbox stays open when the body ends. One that is kept no longer, of a process that
    /// is not alive, is closed; and what is in it is undelivered, once the process is over.
    pub(super) fn keep_mailbox(self: &Arc<Self>, keeping: bool) {
        let mut inbox = lock(&self.inbox);
        // A mailbox that has been closed stays closed: the waiting sends have been told.
        inbox.life.keeping = keeping && !inbox.life.is_closed();
        inbox.life.closed |= !inbox.life.keeping && !inbox.life.is_alive();
        let (mut senders, mut left, mut timers) = (Vec::new(), VecDeque::new(), SmallMap::default());
        if inbox.life.is_closed() {
            senders = inbox.queue.close();
            timers = inbox.life.take_timers();
            if inbox.life.is_over() {
                left = inbox.queue.drain();
            }
        }
        drop(inbox);
        crate::base::wake::wake_all(senders);
        if !left.is_empty() {
            // Whoever calls this, a supervisor, has other business than these messages.
            let cell = Arc::clone(self);
            detached::run(self.home(), Box::new(move || cell.discard(left)));
        }
        give_up(timers, self.home());
    }

    /// Begins another life of a process that is over, and has left its mailbox. The messages in it are there;
    /// the news of links and monitors that it had are not. Returns false if the process is not over, or its
    /// mailbox is not kept.
    pub(super) fn revive(&self, trapping: bool) -> bool {
        let mut inbox = lock(&self.inbox);
        if !(inbox.life.is_over() && inbox.life.keeping) {
            return false;
        }
        let timers = inbox.life.take_timers();
        let life = Life { keeping: true, ..Life::new(trapping) };
        let before = std::mem::replace(&mut inbox.life, life);
        if !timers.is_empty() {
            inbox.life.relations().timers = timers;
        }
        self.set_flag(&inbox, BEGUN | RETURNED, false);
        let news = inbox.queue.drain_notices();
        drop(inbox);
        // They hold pids, which may be the last to hold a cell, and reasons, which may be the program's own.
        discard_panic(|| drop(before));
        self.discard(news);
        self.give_up_own_timers();
        true
    }

    /// Drops what nobody will receive, one by one. Never unwinds.
    fn discard(&self, left: VecDeque<Event<M>>) {
        for event in left {
            match event {
                Event::Message(message) => discard_panic(|| self.undelivered(message)),
                news => discard_panic(|| drop(news)),
            }
        }
    }

    pub(super) fn trap_exit(&self, trapping: bool) -> bool {
        std::mem::replace(&mut lock(&self.inbox).life.trapping, trapping)
    }

    pub(super) fn is_alive(&self) -> bool {
        lock(&self.inbox).life.is_alive()
    }

    /// Enters a link on this side. Returns false when the process is not alive.
    pub(super) fn enter_link(&self, other: &Pid, epoch: Epoch) -> bool {
        let own = other.clone();
        let mut inbox = lock(&self.inbox);
        let alive = inbox.life.is_alive();
        let stale = match alive {
            true => inbox.life.relations().link(own, epoch),
            false => Some(own),
        };
        drop(inbox);
        drop(stale);
        self.trace_if(|| alive.then(|| TraceAction::Linked(other.clone())));
        alive
    }

    /// As [`Cell::enter_link`], to the one that is about to start this process.
    pub(super) fn enter_parent(&self, parent: &Pid, epoch: Epoch) {
        self.enter_link(parent, epoch);
        lock(&self.inbox).life.relations().parent = Some(parent.identity());
    }

    /// Returns true if `other` has started this process, linked to itself.
    pub(in crate::actor) fn is_parent(&self, other: &Pid) -> bool {
        let inbox = lock(&self.inbox);
        inbox.life.relations.as_ref().is_some_and(|relations| relations.parent == Some(other.identity()))
    }

    /// Takes the link to `other` out on this side. Returns its epoch, if it was there.
    pub(super) fn leave_link(&self, other: &Pid) -> Option<Epoch> {
        let link = lock(&self.inbox).life.end_link(other.identity());
        link.map(|link| link.epoch)
    }

    pub(in crate::actor) fn is_linked(&self, other: &Pid) -> bool {
        let inbox = lock(&self.inbox);
        inbox.life.relations.as_ref().is_some_and(|relations| relations.links.contains(other.identity()))
    }

    /// Enters a monitor of this process's, which is by `name` if it is by one. Returns false if the process
    /// is not alive.
    pub(super) fn enter_watched(&self, monitor: MonitorRef, other: &Pid, name: Option<Arc<str>>) -> bool {
        let watched = Watched { other: other.clone(), name };
        let mut inbox = lock(&self.inbox);
        let alive = inbox.life.is_alive();
        let stale = match alive {
            true => inbox.life.relations().watched.insert(monitor, watched),
            false => Some(watched),
        };
        drop(inbox);
        drop(stale);
        alive
    }

    /// Takes a monitor of this process's out, and returns whom it monitored.
    pub(super) fn leave_watched(&self, monitor: MonitorRef) -> Option<Pid> {
        let watched = lock(&self.inbox).life.relations.as_mut()?.watched.remove(monitor)?;
        Some(watched.other)
    }

    /// Enters a monitor by another process. Returns false when this one is not alive.
    pub(super) fn enter_watcher(&self, monitor: MonitorRef, other: &Pid) -> bool {
        let mut deferred = Deferred::default();
        let mut inbox = lock(&self.inbox);
        let alive = inbox.life.is_alive();
        if alive {
            deferred.stale = inbox.life.relations().watchers.insert(monitor, other.clone());
        }
        drop(inbox);
        drop(deferred);
        alive
    }

    /// Handles `signal` under the lock of `inbox`. It is only read, since dropping it may run destructors.
    fn handle(&self, inbox: &mut Inbox<M>, to: &Pid, signal: &Signal, deferred: &mut Deferred) {
        let life = &mut inbox.life;
        match signal {
            Signal::Link { from, epoch } if life.is_alive() => {
                deferred.stale = life.relations().link(from.clone(), *epoch);
            }
            Signal::Link { from, epoch } => {
                let (reason, by) = (ExitReason::NoProcess, By::Link(*epoch));
                deferred.answer = Some((from.clone(), Signal::Exit { from: to.clone(), reason, by }));
            }
            Signal::Unlink { from, epoch } => {
                deferred.stale = life.lose_link(from.identity(), *epoch);
                if deferred.stale.is_some() {
                    deferred.answer =
                        Some((from.clone(), Signal::Unlink { from: to.clone(), epoch: *epoch }));
                }
            }
            Signal::Exit { from, reason, by } => self.handle_exit(inbox, to, (from, reason, *by), deferred),
            Signal::Monitor { from, monitor } if life.is_alive() => {
                deferred.stale = life.relations().watchers.insert(*monitor, from.clone());
            }
            Signal::Monitor { from, monitor } => {
                let reason = ExitReason::NoProcess;
                let down = Signal::Down { from: to.clone(), monitor: *monitor, reason };
                deferred.answer = Some((from.clone(), down));
            }
            Signal::Watch { from, monitor } => match life.is_over() {
                false => deferred.stale = life.relations().watchers.insert(*monitor, from.clone()),
                true => {
                    let reason = life.reason().unwrap_or(ExitReason::NoProcess);
                    let down = Signal::Down { from: to.clone(), monitor: *monitor, reason };
                    deferred.answer = Some((from.clone(), down));
                }
            },
            Signal::Demonitor { monitor } => {
                deferred.stale = life.relations.as_mut().and_then(|relations| {
                    let watcher = relations.watchers.remove(*monitor);
                    watcher.or_else(|| Some(relations.watched.remove(*monitor)?.other))
                });
            }
            Signal::Down { from, monitor, reason } => {
                let relations = life.relations.as_mut();
                let Some(watched) = relations.and_then(|relations| relations.watched.remove(*monitor)) else {
                    return;
                };
                deferred.stale = Some(watched.other);
                if life.is_alive() {
                    let (from, reason, name) = (from.clone(), reason.clone(), watched.name);
                    let down = Down { monitor: *monitor, from, name, reason };
                    deferred.receiver = self.enqueue(&mut inbox.queue, Event::Down(Box::new(down)), false);
                }
            }
        }
    }

    /// Decides whether an exit signal ends the process, is an event to it, or is nothing.
    fn handle_exit(
        &self,
        inbox: &mut Inbox<M>,
        to: &Pid,
        (from, reason, by): (&Pid, &ExitReason, By),
        deferred: &mut Deferred,
    ) {
        let life = &mut inbox.life;
        if let By::Link(epoch) = by {
            deferred.stale = life.lose_link(from.identity(), epoch);
            if deferred.stale.is_none() {
                // The link was taken back meanwhile: the process is to hear nothing of it any more.
                return;
            }
            if !from.is_local() {
                // See the header of `relations`.
                deferred.answer = Some((from.clone(), Signal::Unlink { from: to.clone(), epoch }));
            }
        }
        if !life.is_alive() {
            return;
        }
        let asked = by == By::Request;
        if asked && *reason == ExitReason::Kill {
            deferred.cancel = life.own_task();
            self.doom_by_signal(inbox, ExitReason::Killed, deferred);
        } else if life.trapping {
            let exit = Exit { from: from.clone(), reason: reason.clone() };
            deferred.receiver = self.enqueue(&mut inbox.queue, Event::Exit(Box::new(exit)), false);
        } else if !reason.is_normal() || (asked && from == to) {
            deferred.cancel = life.own_task();
            self.doom_by_signal(inbox, reason.clone(), deferred);
        }
    }
}

impl<M: Send + 'static> Endpoint for Cell<M> {
    fn deliver(&self, to: &Pid, signal: Signal) {
        let mut deferred = Deferred::default();
        self.trace_signal(&signal);
        self.handle(&mut lock(&self.inbox), to, &signal, &mut deferred);
        if !deferred.is_empty() {
            deferred.run(to);
        }
    }

    fn at_exit(&self, hook: Arc<dyn AtExit>) -> Option<HookId> {
        let id = HookId::next();
        let mut inbox = lock(&self.inbox);
        if !inbox.life.is_alive() {
            drop(inbox);
            return None;
        }
        inbox.life.relations().hooks.insert(id, hook);
        self.sync_traced(&inbox);
        Some(id)
    }

    fn forget_hook(&self, hook: HookId) {
        let mut inbox = lock(&self.inbox);
        let forgotten = inbox.life.relations.as_mut().and_then(|relations| relations.hooks.remove(hook));
        self.sync_traced(&inbox);
        drop(inbox);
        drop(forgotten);
    }

    fn is_alive_here(&self) -> bool {
        self.is_alive()
    }

    fn cell(self: Arc<Self>) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(self)
    }

    fn info(&self, pid: &Pid) -> Option<ProcessInfo> {
        self.proxy().is_none().then(|| self.info(pid))
    }

    fn name(&self) -> Option<String> {
        self.extra.as_ref()?.name.as_deref().map(str::to_owned)
    }
}
