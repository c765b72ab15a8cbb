//! The messages of the peer, one after the other, as the reader calls them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use twoply_core::actor::remote::{self, By, Epoch, Signal};
use twoply_core::actor::{ExitReason, Pid};

use super::links::Pair;
use super::{Connection, MAX_RELATIONS, Theirs, reason_of, serial};
use crate::node::CallError;
use crate::question::Way;
use crate::reason;
use crate::system::is_system;
use crate::wire::{
    Control, Decoder, ExitBy, FromTerm, Message, Pid as WirePid, Reference, Target, Term, ToTerm,
};

impl Connection {
    /// Does what a message says.
    pub(super) fn receive(self: &Arc<Self>, message: &Message) {
        match message.control().clone() {
            Control::Send { to, .. } => self.message(&to, message),
            Control::Link { from, to } => self.link(from, &to),
            Control::Unlink { id, from, to } => self.unlink(id, from, to),
            Control::UnlinkAck { id, from, to } => {
                self.tables().links.confirm(&(serial(&to), from), id);
            }
            Control::Exit { from, to, by, reason } => {
                let reason = self.reason(reason, message);
                self.exit(from, &to, by, reason);
            }
            Control::Monitor { from, to, reference } => self.monitor(from, to, reference),
            Control::Demonitor { reference, .. } => {
                let mut tables = self.tables();
                let monitor = tables.theirs_by_reference.remove(&reference);
                let theirs = monitor.and_then(|monitor| Some((monitor, tables.theirs.remove(&monitor)?)));
                drop(tables);
                if let Some((monitor, theirs)) = theirs {
                    self.shared.locals.deliver(&theirs.local, Signal::Demonitor { monitor });
                }
            }
            Control::Down { from, reference, reason, .. } => {
                if self.spawned_down(&reference, reason.as_ref(), message) {
                    return;
                }
                let reason = self.reason(reason, message);
                self.down(&from, &reference, reason);
            }
            Control::SpawnRequest(request) => self.start_process(*request, message.payload()),
            Control::SpawnReply { reference, linked, monitored, result, .. } => {
                self.spawn_replied(&reference, (linked, monitored), result);
            }
            // Nobody here has a group leader.
            Control::GroupLeader { .. } => {}
        }
    }

    /// Queues a control message for which no table has to be locked.
    pub(super) fn answer(&self, control: &Control) {
        self.queue(control, None);
        self.outbox.kick();
    }

    /// Returns a process of this node that others may name.
    fn local(&self, pid: &WirePid) -> Option<Pid> {
        self.shared.is_ours(pid).then(|| self.shared.locals.pid(serial(pid))).flatten()
    }

    /// Returns the reason in a control message or behind it.
    fn reason(&self, reason: Option<Term>, message: &Message) -> ExitReason {
        let behind = || Term::from_term(&mut message.payload()).ok();
        // One that is malformed, or of a form that is not known, is still an end.
        reason.or_else(behind).map_or_else(|| ExitReason::other("unreadable"), reason::from_term)
    }

    fn message(self: &Arc<Self>, to: &Target, message: &Message) {
        let shared = &self.shared;
        let (mut payload, len) = (message.payload(), message.payload_len());
        let inlet = match to {
            Target::Alias(reference) => return self.answered(Some(reference), &mut payload),
            Target::Pid(pid) if !shared.is_ours(pid) => None,
            Target::Pid(pid) if serial(pid) == 0 => return self.answered(None, &mut payload),
            Target::Pid(pid) => shared.locals.inlet(serial(pid)),
            Target::Name(name) => {
                let name = name.as_str();
                if is_system(name) {
                    if let Err(error) = self.system_message(name, &payload) {
                        self.misunderstood(to, &payload, &error);
                    }
                    return;
                }
                shared.locals.inlet_of_name(name)
            }
        };
        let Some(inlet) = inlet else { return shared.unknown() };
        if let Err(error) = inlet.message(payload.clone(), len, self) {
            self.misunderstood(to, &payload, &error);
        }
    }

    /// Takes the answer to a question of ours: `{Tag, Answer}`, where the tag is the reference, or has it as
    /// its tail.
    fn answered(self: &Arc<Self>, alias: Option<&Reference>, payload: &mut Decoder<'_>) {
        let tag = payload.tuple_of(2).and_then(|()| Term::from_term(payload));
        let reference = match tag {
            Ok(Term::Reference(reference)) => *reference,
            Ok(Term::Improper(list)) => match list.tail() {
                Term::Reference(reference) => (**reference).clone(),
                _ => return,
            },
            _ => return,
        };
        if alias.is_some_and(|alias| *alias != reference) {
            return;
        }
        let Some(number) = self.shared.number_of(&reference) else { return };
        // The reader kicks the outbox, some time later: whoever has an answer often asks again.
        if let Some(call) = self.forget_call(number) {
            self.writes.fetch_add(1, Relaxed);
            let way = Way { connection: Arc::clone(self), asked: None };
            call.answer(Ok(&mut payload.clone().with_context(&way)));
        }
    }

    fn link(self: &Arc<Self>, from: WirePid, to: &WirePid) {
        let there = self.there(&from);
        let pair = (serial(to), from);
        let mut tables = self.tables();
        let Some(local) = self.local(to) else {
            // Under the lock: a process that begins another life now may link, and that is to follow this.
            let link = if self.shared.is_ours(to) { tables.links.peer_ends(&pair) } else { None };
            let (here, behind) = reason_of(self, &ExitReason::NoProcess);
            let exit = Control::Exit { from: to.clone(), to: pair.1, by: ExitBy::Link, reason: here };
            self.queue(&exit, behind.as_ref().map(|term| term as &dyn ToTerm));
            drop(tables);
            drop(link);
            return self.outbox.kick();
        };
        if tables.len() > MAX_RELATIONS {
            drop(tables);
            return self.stop("it has too many links and monitors");
        }
        let epoch = Epoch::next();
        let counts = tables.links.peer_links(pair.clone(), &local, epoch);
        drop(tables);
        if counts {
            self.deliver_link(&pair, &local, &there, epoch);
        }
    }

    /// Delivers a link that has been entered, and takes it back if it has been lost meanwhile.
    pub(super) fn deliver_link(&self, pair: &Pair, local: &Pid, there: &Pid, epoch: Epoch) {
        let locals = &self.shared.locals;
        locals.deliver(local, Signal::Link { from: there.clone(), epoch });
        if !self.tables().links.has(pair, epoch) {
            locals.deliver(local, Signal::Unlink { from: there.clone(), epoch });
        }
    }

    fn unlink(self: &Arc<Self>, id: Option<u64>, from: WirePid, to: WirePid) {
        let pair = (serial(&to), from.clone());
        let mut tables = self.tables();
        let link = tables.links.peer_ends(&pair);
        if let Some(id) = id {
            // Under the lock: so the answer goes out before any later link of the process, and what was
            // linked before it is unlinked on both sides.
            self.queue(&Control::UnlinkAck { id, from: to, to: from }, None);
        }
        drop(tables);
        self.outbox.kick();
        if let Some(link) = link {
            let unlink = Signal::Unlink { from: self.there(&pair.1), epoch: link.epoch };
            self.shared.locals.deliver(&link.local, unlink);
        }
    }

    fn exit(self: &Arc<Self>, from: WirePid, to: &WirePid, by: ExitBy, reason: ExitReason) {
        let there = self.there(&from);
        match by {
            ExitBy::Request => {
                if let Some(local) = self.local(to) {
                    let exit = Signal::Exit { from: there, reason, by: By::Request };
                    self.shared.locals.deliver(&local, exit);
                }
            }
            ExitBy::Link => {
                let mut tables = self.tables();
                let link = tables.links.peer_ends(&(serial(to), from));
                drop(tables);
                if let Some(link) = link {
                    let exit = Signal::Exit { from: there, reason, by: By::Link(link.epoch) };
                    self.shared.locals.deliver(&link.local, exit);
                }
            }
        }
    }

    fn monitor(self: &Arc<Self>, from: WirePid, to: Target, reference: Reference) {
        let local = match &to {
            Target::Pid(pid) => self.local(pid),
            // It lives as long as this node does.
            Target::Name(name) if is_system(name) => return,
            Target::Name(name) => self.shared.locals.named(name),
            Target::Alias(_) => None,
        };
        let Some(local) = local else {
            let (here, behind) = reason_of(self, &ExitReason::NoProcess);
            let down = Control::Down { from: to, to: from, reference, reason: here };
            self.queue(&down, behind.as_ref().map(|term| term as &dyn ToTerm));
            return self.outbox.kick();
        };
        let there = self.there(&from);
        let monitor = remote::monitor_ref();
        let mut tables = self.tables();
        if tables.theirs_by_reference.contains_key(&reference) {
            return;
        }
        if tables.len() > MAX_RELATIONS {
            drop(tables);
            return self.stop("it has too many links and monitors");
        }
        tables.theirs_by_reference.insert(reference.clone(), monitor);
        tables.theirs.insert(monitor, Theirs { reference, target: to, from, local: local.clone() });
        drop(tables);
        self.shared.locals.deliver(&local, Signal::Monitor { from: there, monitor });
    }

    fn down(self: &Arc<Self>, from: &Target, reference: &Reference, reason: ExitReason) {
        let Some(number) = self.shared.number_of(reference) else { return };
        let mut tables = self.tables();
        let call = tables.calls.remove(&number);
        let ours = tables.ours.remove(&number);
        if let Some(ours) = &ours {
            tables.ours_by_monitor.remove(&ours.monitor);
        }
        drop(tables);
        if let Some((_, call)) = call {
            call.answer(Err(CallError::Ended(reason.clone())));
        }
        if let Some(ours) = ours {
            let from = match from {
                Target::Pid(pid) => self.there(pid),
                // By its name: the pid that the monitor was set on stands for it.
                _ => ours.there,
            };
            self.shared.locals.deliver(&ours.from, Signal::Down { from, monitor: ours.monitor, reason });
        }
    }
}
