//! Processes that one node has another one start: by requests of ours, and by those of the peer.

use std::sync::Arc;

use twoply_core::actor::remote::{self, Epoch, Signal};
use twoply_core::actor::{MonitorRef, Pid};
use twoply_core::channel::oneshot;

use super::{Connection, MAX_RELATIONS, Ours, Tables, Theirs};
use crate::functions::How;
use crate::outbox::Receiver;
use crate::outgoing::Outgoing;
use crate::question::Way;
use crate::wire::{
    Atom, Control, Decoder, Flags, Message, Pid as WirePid, Reference, SpawnRequest, Target, Term, ToTerm,
    bytes_of,
};

/// A process that the peer has been asked to start.
pub(super) struct Spawn {
    /// Is known once it has been started.
    pid: Option<WirePid>,
    tie: Tie,
    wanted: Wanted,
}

/// A relation of a process of ours to one that the peer is to start, from the start.
pub(crate) enum Tie {
    None,
    Link(Pid),
    Monitor(Entered),
}

impl Tie {
    /// Returns the process of ours.
    fn process(&self) -> Option<&Pid> {
        match self {
            Tie::None => None,
            Tie::Link(process) | Tie::Monitor(Entered { process, .. }) => Some(process),
        }
    }
}

/// A monitor that a process of ours has entered. It is taken back from the process when this is dropped,
/// unless the peer has set it.
pub(crate) struct Entered {
    process: Pid,
    monitor: MonitorRef,
    /// The pid that stands for the process that is monitored.
    stand_in: Pid,
    is_set: bool,
}

impl Entered {
    pub(crate) fn new(process: Pid, monitor: MonitorRef, stand_in: Pid) -> Entered {
        Entered { process, monitor, stand_in, is_set: false }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if !self.is_set {
            remote::deliver(&self.process, Signal::Demonitor { monitor: self.monitor });
        }
    }
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
        drop(self.tie);
        if let Wanted::End(tell) = self.wanted {
            tell(Outcome::Lost);
        }
    }
}

impl Connection {
    /// Has the peer start a process. Returns the number by which that is given up, if the connection goes on.
    /// Where nothing is asked, the tie is undone before that is told.
    pub(crate) fn spawn(
        &self,
        number: u64,
        function: (Atom, Atom, u8),
        arguments: &dyn ToTerm,
        tie: Tie,
        wanted: Wanted,
    ) -> Option<u64> {
        if !self.peer.agreed.contains(Flags::SPAWN) {
            drop(tie);
            wanted.refused(Atom::known("notsup"));
            return None;
        }
        let option = match (&tie, &wanted) {
            (Tie::Link(_), _) => Some("link"),
            (Tie::Monitor(_), _) | (_, Wanted::End(_)) => Some("monitor"),
            (Tie::None, Wanted::Start(_)) => None,
        };
        let options = option.map(Term::atom).into_iter().collect();
        let request = self.spawn_request(number, function, tie.process(), options);
        let Ok(mut frame) = self.frame(&request, Some(arguments)) else {
            drop(tie);
            wanted.refused(Atom::known("system_limit"));
            return None;
        };
        let mut tables = self.tables();
        if self.outbox.is_closed() {
            drop(tables);
            drop(tie);
            return None;
        }
        if let Tie::Monitor(Entered { process, monitor, stand_in, .. }) = &tie {
            let (from, there) = (process.clone(), stand_in.clone());
            tables.ours_by_monitor.insert(*monitor, number);
            tables.ours.insert(number, Ours { monitor: *monitor, from, there, target: None });
        }
        tables.spawns.insert(number, Spawn { pid: None, tie, wanted });
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
        process: Option<&Pid>,
        options: Vec<Term>,
    ) -> Control {
        let from = process.map(|process| {
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

    /// Takes the answer to a request: what was started, if anything, and whether it is linked or monitored.
    pub(super) fn spawn_replied(
        self: &Arc<Self>,
        reference: &Reference,
        (is_linked, is_monitored): (bool, bool),
        result: Result<WirePid, Atom>,
    ) {
        let Some(number) = self.shared.number_of(reference) else { return };
        let started = result.as_ref().ok().map(|pid| (pid, self.there(pid)));
        let mut tables = self.tables();
        if let (Some(spawn), Some((pid, _))) = (tables.spawns.get_mut(&number), &started)
            && matches!(spawn.wanted, Wanted::End(_))
        {
            spawn.pid = Some((*pid).clone());
            return;
        }
        let Some(Spawn { mut tie, wanted, .. }) = tables.spawns.remove(&number) else { return };
        // It is tied since its first moment, and nothing of it came before this.
        let (mut link, mut stale) = (None, None);
        match (&mut tie, &started) {
            (Tie::Link(local), Some((pid, there))) if is_linked => {
                let (pair, epoch) = ((local.serial(), (*pid).clone()), Epoch::next());
                tables.links.peer_links(pair.clone(), local, epoch);
                link = Some((pair, local.clone(), there.clone(), epoch));
            }
            (Tie::Monitor(entered), started) => {
                let started = started.as_ref().filter(|_| is_monitored);
                stale = self.monitor_is_set(&mut tables, number, entered, started);
            }
            _ => {}
        }
        drop(tables);
        self.outbox.kick();
        drop(stale);
        if let Some((pair, local, there, epoch)) = link {
            self.deliver_link(&pair, &local, &there, epoch);
        }
        drop(tie);
        let there = started.map(|(_, there)| there);
        match (wanted, result, there) {
            (Wanted::Start(tell), Ok(_), Some(there)) => tell(Ok(there)),
            (wanted, Err(why), _) => wanted.refused(why),
            _ => {}
        }
    }

    /// Notes that the peer has set a monitor, which may have been taken back meanwhile; or that it has not.
    /// The caller drops what this returns when it holds no lock.
    fn monitor_is_set(
        &self,
        tables: &mut Tables,
        number: u64,
        entered: &mut Entered,
        started: Option<&(&WirePid, Pid)>,
    ) -> Option<Ours> {
        let Some((pid, there)) = started else {
            tables.ours_by_monitor.remove(&entered.monitor);
            return tables.ours.remove(&number);
        };
        entered.is_set = true;
        let target = Target::Pid((*pid).clone());
        match tables.ours.get_mut(&number) {
            Some(ours) => (ours.there, ours.target) = (there.clone(), Some(target)),
            None => {
                let (from, reference) =
                    (self.shared.wire_pid(&entered.process), self.shared.reference(number));
                self.queue(&Control::Demonitor { from, to: target, reference }, None);
            }
        }
        None
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
        let mut tables = self.tables();
        let wants_end = |spawn: &Spawn| matches!(spawn.wanted, Wanted::End(_));
        if !tables.spawns.get(&number).is_some_and(wants_end) {
            return false;
        }
        let spawn = tables.spawns.remove(&number);
        drop(tables);
        let Some(Spawn { wanted: Wanted::End(tell), .. }) = spawn else { return true };
        match reason.map(|reason| bytes_of(reason, &Outgoing::telling(&self.shared))) {
            None => tell(Outcome::Down(&mut message.payload())),
            Some(Ok(reason)) => tell(Outcome::Down(&mut Decoder::new(&reason))),
            Some(Err(_)) => tell(Outcome::Lost),
        }
        true
    }

    /// Starts a process, as the peer has asked.
    pub(super) fn start_process(self: &Arc<Self>, request: SpawnRequest, arguments: Decoder<'_>) {
        let way = Way { connection: Arc::clone(self), asked: None };
        let mut arguments = arguments.with_context(&way);
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
