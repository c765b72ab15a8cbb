//! Processes that one node has another one start: by requests of ours, and by those of the peer.

use std::sync::Arc;

use twoply_core::actor::Pid;
use twoply_core::actor::remote::{self, Epoch, Signal};
use twoply_core::channel::oneshot;

use super::{Connection, MAX_RELATIONS, Theirs};
use crate::functions::How;
use crate::outbox::Receiver;
use crate::outgoing::Outgoing;
use crate::wire::{
    Atom, Control, Decoder, Encoded, Flags, Message, Pid as WirePid, Reference, SpawnRequest, Target, Term,
    ToTerm,
};

/// A process that the peer has been asked to start.
pub(super) struct Spawn {
    /// Is known once it has been started.
    pid: Option<WirePid>,
    /// The process of ours that it is linked to from the start.
    linked: Option<Pid>,
    wanted: Wanted,
}

/// An answer that is owed for a process that the peer starts.
pub(crate) enum Wanted {
    /// Its pid, or why there is none.
    Start(Box<dyn FnOnce(Result<Pid, Atom>) + Send>),
    /// Its end, or why there is no process.
    End(Box<dyn FnOnce(Outcome<'_, '_>) + Send>),
}

/// The end of a process that the peer has started.
pub(crate) enum Outcome<'a, 'b> {
    /// There is no process, for this reason.
    Refused(Atom),
    /// The reason is to be read.
    Down(&'a mut Decoder<'b>),
    /// The connection has ended.
    Lost,
}

impl Wanted {
    /// Tells that there is no process.
    fn refused(self, why: Atom) {
        match self {
            Wanted::Start(tell) => tell(Err(why)),
            Wanted::End(tell) => tell(Outcome::Refused(why)),
        }
    }
}

impl Spawn {
    pub(super) fn lost(self) {
        if let Wanted::End(tell) = self.wanted {
            tell(Outcome::Lost);
        }
    }
}

impl Connection {
    /// Has the peer start a process. Returns the number by which that is given up, if the connection goes on.
    pub(crate) fn spawn(
        &self,
        number: u64,
        function: (Atom, Atom, u8),
        arguments: &dyn ToTerm,
        linked: Option<&Pid>,
        wanted: Wanted,
    ) -> Option<u64> {
        if !self.peer.agreed.contains(Flags::SPAWN) {
            wanted.refused(Atom::known("notsup"));
            return None;
        }
        let options = match wanted {
            Wanted::Start(_) if linked.is_some() => vec![Term::atom("link")],
            Wanted::Start(_) => Vec::new(),
            Wanted::End(_) => vec![Term::atom("monitor")],
        };
        let request = self.spawn_request(number, function, linked, options);
        let Ok(mut frame) = self.frame(&request, Some(arguments)) else {
            wanted.refused(Atom::known("system_limit"));
            return None;
        };
        let mut tables = self.tables();
        if self.outbox.is_closed() {
            drop(tables);
            return None;
        }
        tables.spawns.insert(number, Spawn { pid: None, linked: linked.cloned(), wanted });
        let sent = self.outbox.answer(&mut frame, Receiver::Nobody);
        drop(tables);
        self.outbox.kick();
        if !sent {
            self.stop("it reads too slowly");
        }
        Some(number)
    }

    /// Has the peer start a process of which nothing is asked.
    pub(crate) fn spawn_and_forget(&self, function: (Atom, Atom, u8), arguments: &dyn ToTerm) {
        let request = self.spawn_request(self.shared.number(), function, None, Vec::new());
        if let Ok(mut frame) = self.frame(&request, Some(arguments))
            && !self.outbox.answer(&mut frame, Receiver::Nobody)
        {
            self.stop("it reads too slowly");
        }
        self.outbox.kick();
    }

    fn spawn_request(
        &self,
        number: u64,
        function: (Atom, Atom, u8),
        linked: Option<&Pid>,
        options: Vec<Term>,
    ) -> Control {
        let from = linked.map(|process| {
            self.shared.note(process);
            self.shared.wire_pid(process)
        });
        Control::SpawnRequest(Box::new(SpawnRequest {
            reference: self.shared.reference(number),
            from: from.unwrap_or_else(|| self.shared.nobody()),
            group_leader: self.shared.nobody(),
            function,
            options: Term::List(options),
        }))
    }

    /// Asks nothing more of a process that the peer was to start.
    pub(crate) fn end_spawn(&self, number: u64) {
        let mut tables = self.tables();
        let Some(spawn) = tables.spawns.remove(&number) else { return };
        if let (Some(pid), Wanted::End(_)) = (&spawn.pid, &spawn.wanted) {
            let (from, reference) = (self.shared.nobody(), self.shared.reference(number));
            self.queue(&Control::Demonitor { from, to: Target::Pid(pid.clone()), reference }, None);
        }
        drop(tables);
        self.outbox.kick();
        drop(spawn);
    }

    /// Takes the answer to a request: what was started, and whether it is linked as was asked; or why
    /// nothing.
    pub(super) fn spawn_replied(
        self: &Arc<Self>,
        reference: &Reference,
        is_linked: bool,
        result: Result<WirePid, Atom>,
    ) {
        let Some(number) = self.shared.number_of(reference) else { return };
        let mut tables = self.tables();
        let wants_end = match tables.spawns.get_mut(&number) {
            Some(spawn) => matches!(spawn.wanted, Wanted::End(_)),
            None => return,
        };
        match result {
            Ok(pid) if wants_end => {
                if let Some(spawn) = tables.spawns.get_mut(&number) {
                    spawn.pid = Some(pid);
                }
            }
            result => {
                let spawn = tables.spawns.remove(&number);
                let local = spawn.as_ref().and_then(|spawn| spawn.linked.clone()).filter(|_| is_linked);
                // It has linked in its first moment, and nothing of it came before this.
                let link = local.zip(result.as_ref().ok()).map(|(local, pid)| {
                    let (pair, epoch) = ((local.serial(), pid.clone()), Epoch::next());
                    tables.links.peer_links(pair.clone(), &local, epoch);
                    (pair, local, epoch)
                });
                drop(tables);
                if let Some((pair, local, epoch)) = link {
                    self.deliver_link(&pair, &local, &self.there(&pair.1), epoch);
                }
                match (spawn.map(|spawn| spawn.wanted), result) {
                    (Some(Wanted::Start(tell)), Ok(pid)) => tell(Ok(self.there(&pid))),
                    (Some(wanted), Err(why)) => wanted.refused(why),
                    _ => {}
                }
            }
        }
    }

    /// Takes the end of a process that the peer has started for us, if it is one. `reason` is in the control
    /// message, or behind it.
    pub(super) fn spawned_down(
        &self,
        reference: &Reference,
        reason: Option<&Term>,
        message: &Message,
    ) -> bool {
        let Some(number) = self.shared.number_of(reference) else { return false };
        let Some(spawn) = self.tables().spawns.remove(&number) else { return false };
        let Wanted::End(tell) = spawn.wanted else { return true };
        match reason.map(|reason| Encoded::new(reason, &Outgoing::telling(&self.shared))) {
            None => tell(Outcome::Down(&mut message.payload())),
            Some(Ok(reason)) => tell(Outcome::Down(&mut Decoder::new(reason.bytes()))),
            Some(Err(_)) => tell(Outcome::Lost),
        }
        true
    }

    /// Starts a process, as the peer has asked.
    pub(super) fn start_process(self: &Arc<Self>, request: SpawnRequest, mut arguments: Decoder<'_>) {
        let SpawnRequest { reference, from, function: (module, function, arity), options, .. } = request;
        let shared = &self.shared;
        let (go, gone) = oneshot::channel();
        let started = Options::read(&options).and_then(|options| {
            let functions = &shared.functions;
            let key = (module, function, arity);
            Ok((functions.begin(shared, key, &mut arguments, How::Plain, gone)?, options))
        });
        let (local, options) = match started {
            Ok(started) => started,
            Err(why) => {
                let (linked, monitored) = (false, false);
                let reply = Control::SpawnReply { reference, to: from, linked, monitored, result: Err(why) };
                return self.answer(&reply);
            }
        };
        shared.note(&local);
        let there = self.there(&from);
        let ours = shared.wire_pid(&local);
        let (monitor, epoch) = (remote::monitor_ref(), Epoch::next());
        let mut tables = self.tables();
        if tables.len() > MAX_RELATIONS || tables.theirs_by_reference.contains_key(&reference) {
            drop(tables);
            return self.stop("it has too many links and monitors");
        }
        // The answer goes out before anything that the process does.
        self.queue(
            &Control::SpawnReply {
                reference: reference.clone(),
                to: from.clone(),
                linked: options.link,
                monitored: options.monitor,
                result: Ok(ours.clone()),
            },
            None,
        );
        let pair = (local.serial(), from.clone());
        if options.link {
            tables.links.peer_links(pair.clone(), &local, epoch);
        }
        if options.monitor {
            let theirs = Theirs {
                reference: reference.clone(),
                target: Target::Pid(ours),
                from,
                local: local.clone(),
            };
            tables.theirs_by_reference.insert(reference, monitor);
            tables.theirs.insert(monitor, theirs);
        }
        drop(tables);
        self.outbox.kick();
        if options.link {
            self.deliver_link(&pair, &local, &there, epoch);
        }
        if options.monitor {
            shared.locals.deliver(&local, Signal::Monitor { from: there, monitor });
        }
        // Where it has been ended meanwhile, nobody waits.
        let _ = go.send(());
    }
}

/// The options of a request that are understood.
#[derive(Default)]
struct Options {
    link: bool,
    monitor: bool,
}

impl Options {
    fn read(options: &Term) -> Result<Options, Atom> {
        let bad = || Atom::known("badopt");
        let Term::List(options) = options else { return Err(bad()) };
        let mut read = Options::default();
        for option in options {
            match option {
                Term::Atom(name) if *name == *"link" => read.link = true,
                Term::Atom(name) if *name == *"monitor" => read.monitor = true,
                // Those two are the requester's affair.
                option => match option.as_tuple() {
                    Some([name, _]) if name.is_atom("reply") || name.is_atom("reply_tag") => {}
                    _ => return Err(bad()),
                },
            }
        }
        Ok(read)
    }
}
