//! A connection to another node: its tables, and the two tasks that read and write.

mod inbound;
mod links;
mod pace;
mod questions;
mod senders;
mod spawns;
mod tasks;
mod there;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twoply_core::actor::remote::{self, By, Node as NodeRow, Signal};
use twoply_core::actor::{ExitReason, MonitorRef, Pid, ProcessRef};
use twoply_core::backend::Mode;
use twoply_core::sync::CancellationToken;

use crate::node::{CallError, Remote, Route, Shared};
use crate::outbox::{Outbox, Receiver, Refused, Sender};
use crate::outgoing::{Outgoing, Questions};
use crate::reason;
use crate::stream::Stream;
use crate::waiting::Waiting;
use crate::wire::{
    self, Control, Decoder, EncodeError, Flags, Kept, Peer, Reference, Scratch, Target, ToTerm,
};

use self::links::Links;
use self::senders::Senders;
use self::spawns::Spawn;

pub(crate) use self::spawns::{Entered, Outcome, Tie, Wanted};
pub(crate) use self::tasks::start;
pub(crate) use self::there::{Nobody, Starting, There};

/// The links, monitors and questions that a connection may have: what a peer invents is bounded.
const MAX_RELATIONS: usize = 1 << 20;

/// A connection to another node.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Peer,
    /// The row of the peer, which all of its pids have.
    pub(crate) row: NodeRow,
    stream: Stream,
    /// True where this node has made it.
    pub(crate) is_ours: bool,
    pub(crate) outbox: Outbox,
    /// True where whoever asks or answers writes that itself, if it can be written at once.
    writes_itself: bool,
    /// Counts what the writer writes, and what the reader leaves to it; a hint for the reader.
    writes: AtomicU64,
    /// The messages of the peer's that wait beside full mailboxes.
    pub(crate) waiting: Arc<Waiting>,
    /// The memory of big messages of the peer's.
    kept: Arc<Kept>,
    /// The processes of the peer's that have said of late who they are.
    senders: Senders,
    tables: Mutex<Tables>,
    /// Is cancelled when the connection is to end.
    stopped: CancellationToken,
    /// Is cancelled when it has ended and everybody has been told.
    pub(crate) over: CancellationToken,
    /// The reason for which it is to end, as text; the first one counts.
    why: Mutex<Option<String>>,
}

/// The relations between processes of the two nodes. Frames about them are queued under their lock, so that
/// they go out in the order of the changes; nothing of the user's runs under it.
#[derive(Default)]
struct Tables {
    links: Links,
    /// Our monitors, by the numbers of their references.
    ours: BTreeMap<u64, Ours>,
    /// The same, by the numbers that the core knows.
    ours_by_monitor: BTreeMap<MonitorRef, u64>,
    /// The monitors of the peer's processes.
    theirs: BTreeMap<MonitorRef, Theirs>,
    /// The same, by the peer's references.
    theirs_by_reference: BTreeMap<Reference, MonitorRef>,
    /// Our questions, by the numbers of their references, which those of their monitors are, too.
    calls: BTreeMap<u64, (Target, Call)>,
    /// The number of them at which those are looked for that nobody waits for.
    sweep_at: usize,
    /// Those who monitor the peer itself: the process, and the pid that stands for the node.
    watchers: BTreeMap<MonitorRef, (Pid, Pid)>,
    /// The processes that the peer has been asked to start, by the numbers of the requests.
    spawns: BTreeMap<u64, Spawn>,
}

struct Ours {
    monitor: MonitorRef,
    from: Pid,
    /// The process, as our monitor has it.
    there: Pid,
    /// The same, as the peer has it. Nothing while the peer is about to start it.
    target: Option<Target>,
}

struct Theirs {
    reference: Reference,
    /// The process as the peer has named it.
    target: Target,
    from: wire::Pid,
    local: Pid,
}

/// The receiver of an answer.
pub(crate) trait Asked: Send {
    /// Takes the cursor at the answer, or the reason for which there is none.
    fn answer(self: Box<Self>, answer: Result<&mut Decoder<'_>, CallError>);

    /// Returns false if nobody waits for the answer any more, and nobody else says so. It runs no code of the
    /// program's.
    fn is_wanted(&self) -> bool {
        true
    }
}

impl<F: FnOnce(Result<&mut Decoder<'_>, CallError>) + Send> Asked for F {
    fn answer(self: Box<Self>, answer: Result<&mut Decoder<'_>, CallError>) {
        self(answer);
    }
}

pub(crate) type Call = Box<dyn Asked>;

impl Tables {
    fn len(&self) -> usize {
        self.links.len() + self.theirs.len()
    }
}

impl Connection {
    pub(crate) fn new(shared: &Arc<Shared>, peer: Peer, stream: Stream, is_ours: bool) -> Arc<Connection> {
        Arc::new(Connection {
            row: shared.nodes.node(&peer.name, peer.creation),
            shared: Arc::clone(shared),
            outbox: Outbox::new(peer.agreed.contains(Flags::FRAGMENTS)),
            // Elsewhere the writer is a task that the same worker comes to next, and writes for all who ask.
            writes_itself: shared.spawner.backend().mode() == Mode::Blocking && !stream.is_tls(),
            writes: AtomicU64::new(0),
            peer,
            stream,
            is_ours,
            waiting: Waiting::new(shared.settings.limits.waiting),
            kept: Arc::new(Kept::beside(Arc::clone(&shared.largest))),
            senders: Senders::new(),
            tables: Mutex::default(),
            stopped: CancellationToken::new(),
            over: CancellationToken::new(),
            why: Mutex::new(None),
        })
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Nothing panics under this lock.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the pid of a process of the peer.
    pub(crate) fn there(self: &Arc<Self>, pid: &wire::Pid) -> Pid {
        if self.is_of(pid) {
            return self.by(Route::First(Arc::clone(self)), pid);
        }
        // A pid of an earlier incarnation, or of a third node.
        self.shared.elsewhere(pid)
    }

    /// Returns the pid of a process of the peer that is nobody when this connection has ended, so that
    /// nothing done to it connects. A pid that is not the peer's has none.
    pub(crate) fn only_there(self: &Arc<Self>, pid: &wire::Pid) -> Option<Pid> {
        self.is_of(pid).then(|| self.by(Route::Connection(Arc::clone(self)), pid))
    }

    /// Returns a reference to a process with a pid that a message has in it, of any node.
    pub(crate) fn process_of<M>(self: &Arc<Self>, pid: &wire::Pid) -> ProcessRef<M>
    where
        M: ToTerm + Send + 'static,
    {
        let make = || Remote(Route::First(Arc::clone(self))).process_of(pid);
        if self.is_of(pid) { self.senders.get_or(serial(pid), make) } else { make() }
    }

    /// Returns true if a pid is of this incarnation of the peer.
    pub(crate) fn is_of(&self, pid: &wire::Pid) -> bool {
        pid.node == *self.peer.name && pid.creation == self.peer.creation
    }

    fn by(&self, route: Route, pid: &wire::Pid) -> Pid {
        remote::pid(&self.row, serial(pid), There::new(route, Target::Pid(pid.clone())))
    }

    /// Returns a frame of a control message and what follows, if it can be written.
    fn frame(&self, control: &Control, payload: Option<&dyn ToTerm>) -> Result<Scratch, EncodeError> {
        self.frame_of(control, payload, &Outgoing::telling(&self.shared))
    }

    /// As [`Connection::frame`]; `outgoing` takes what else the message has.
    fn frame_of(
        &self,
        control: &Control,
        payload: Option<&dyn ToTerm>,
        outgoing: &Outgoing<'_>,
    ) -> Result<Scratch, EncodeError> {
        let mut frame = Scratch::new();
        frame.write(self.peer.agreed, control, |out| match payload {
            Some(payload) => out.of(outgoing, payload),
            None => Ok(()),
        })?;
        match frame.is_above(self.peer.agreed, &self.shared.settings.limits) {
            Some(limit) => Err(EncodeError::TooLong { limit }),
            None => Ok(frame),
        }
    }

    /// Queues a signal. The caller holds the lock of the tables where the order matters, and kicks the outbox
    /// after that.
    fn queue(&self, control: &Control, payload: Option<&dyn ToTerm>) {
        // A reason that cannot be written is nested too deeply or too long, so that nobody would read it.
        let frame = self.frame(control, payload).or_else(|_| self.frame(control, Some(&())));
        if let Ok(mut frame) = frame
            && !self.outbox.signal(&mut frame, receiver(control))
        {
            self.stop("it reads too slowly");
        }
    }

    /// Has what is queued written, for a caller who holds no lock and for whose sake another one waits: where
    /// the writer has a thread of its own, to wake that takes longer than to write.
    fn write_out(&self) {
        if !self.writes_itself {
            return self.outbox.kick();
        }
        self.outbox.write_now(|bytes| {
            self.writes.fetch_add(1, Relaxed);
            self.stream.try_write(bytes)
        });
    }

    /// Sends a message to a process of the peer's.
    pub(crate) fn send(&self, to: &Target, payload: &dyn ToTerm, urgent: bool) -> Result<(), SendError> {
        // Before the message is written into memory that it would have to give back.
        if self.outbox.is_full(to.into()) {
            return Err(SendError::Full);
        }
        let urgent = urgent && self.peer.agreed.contains(Flags::ALTACT_SIG);
        let from = match to {
            Target::Pid(_) if !urgent => None,
            _ => Some(self.shared.nobody()),
        };
        let control = Control::Send { from, to: to.clone(), urgent };
        let outgoing = Outgoing::asking(&self.shared);
        let frame = self.frame_of(&control, Some(payload), &outgoing);
        let mut frame = frame.map_err(|_| SendError::Encode)?;
        let questions = outgoing.into_questions();
        if !questions.is_empty() {
            return self.send_asking(to, &mut frame, questions);
        }
        self.outbox.message(&mut frame, to.into()).map_err(|refused| match refused {
            Refused::Full => SendError::Full,
            Refused::Closed => SendError::Closed(Questions::new()),
        })
    }

    /// Sends a message that has been taken already from this sender, whatever waits in front of it.
    pub(crate) fn push(
        &self,
        to: &Target,
        payload: &dyn ToTerm,
        urgent: bool,
        sender: Sender,
        questions: Questions,
    ) {
        let urgent = urgent && self.peer.agreed.contains(Flags::ALTACT_SIG);
        let from = match to {
            Target::Pid(_) if !urgent => None,
            _ => Some(self.shared.nobody()),
        };
        let control = Control::Send { from, to: to.clone(), urgent };
        // One that is too long for this peer is dropped.
        if let Ok(mut frame) = self.frame(&control, Some(payload)) {
            if !questions.is_empty() {
                self.push_asking(to, &mut frame, sender, questions);
            } else if !self.outbox.passed_on(&mut frame, to.into(), sender) {
                self.stop("it reads too slowly");
            }
        }
        self.outbox.kick();
    }

    /// Answers a question of the peer's. An answer waits for nothing, as a signal does. One that cannot be
    /// written, or is too long, is `{error, {unwritable, Text}}`.
    pub(crate) fn reply(&self, from: &From, answer: &dyn ToTerm) {
        let (to, sender) = match &from.alias {
            Some(alias) => (Target::Alias(alias.clone()), Some(self.shared.nobody())),
            None => (Target::Pid(from.pid.clone()), None),
        };
        // By its alias, too: signals of this process's, as that of its end, stay behind its answer.
        let receiver = Receiver::Pid(serial(&from.pid));
        let control = Control::Send { from: sender, to, urgent: false };
        let frame = self.frame(&control, Some(&Answer { tag: &from.tag, answer })).or_else(|error| {
            let answer = Err::<(), _>((wire::Term::atom("unwritable"), error.to_string()));
            self.frame(&control, Some(&Answer { tag: &from.tag, answer: &answer }))
        });
        if let Ok(mut frame) = frame
            && !self.outbox.answer(&mut frame, receiver)
        {
            self.stop("it reads too slowly");
        }
        self.write_out();
    }

    /// Has `from` told of the end of this connection. Returns false if it has ended.
    pub(crate) fn watch(&self, monitor: MonitorRef, from: &Pid, node: &Pid) -> bool {
        let mut tables = self.tables();
        let is_open = !self.outbox.is_closed();
        if is_open {
            tables.watchers.insert(monitor, (from.clone(), node.clone()));
        }
        is_open
    }

    /// Takes a [`Connection::watch`] back.
    pub(crate) fn unwatch(&self, monitor: MonitorRef) {
        let watcher = self.tables().watchers.remove(&monitor);
        drop(watcher);
    }

    /// Has the connection end, for this reason.
    pub(crate) fn stop(&self, why: &str) {
        let mut first = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| why.to_owned());
        drop(first);
        self.stopped.cancel();
    }

    /// Takes nothing more, and ends when what has been queued is written.
    pub(crate) fn finish(&self, why: &str) {
        let mut first = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| why.to_owned());
        drop(first);
        self.outbox.finish();
    }

    /// Tells everybody of the end. Only the reader calls this, when it has delivered all that came before.
    fn lose(self: &Arc<Self>) {
        self.stop("the reader has ended");
        // Before the peer can see the end: who hears of it from there finds this connection no more.
        self.shared.lost(self);
        let _last = Telling(self);
        self.outbox.close();
        self.stream.shutdown();
        // Whoever has a pid of the peer's keeps the connection.
        self.kept.close();
        self.senders.close();
        let tables = std::mem::take(&mut *self.tables());
        for ((_, there), link) in tables.links.into_links() {
            let (from, reason) = (self.there(&there), ExitReason::NoConnection);
            let exit = Signal::Exit { from, reason, by: By::Link(link.epoch) };
            self.shared.locals.deliver(&link.local, exit);
        }
        let watchers = tables.watchers;
        // Of what the peer was about to start, its request tells.
        for ours in tables.ours.into_values().filter(|ours| ours.target.is_some()) {
            let (from, reason) = (ours.there, ExitReason::NoConnection);
            let down = Signal::Down { from, monitor: ours.monitor, reason };
            self.shared.locals.deliver(&ours.from, down);
        }
        for (monitor, theirs) in tables.theirs {
            // Behind the monitor itself, which may wait behind messages.
            self.shared.locals.deliver(&theirs.local, Signal::Demonitor { monitor });
        }
        for (_, call) in tables.calls.into_values() {
            call.answer(Err(CallError::Ended(ExitReason::NoConnection)));
        }
        tables.spawns.into_values().for_each(Spawn::lost);
        for (monitor, (watcher, from)) in watchers {
            let reason = ExitReason::NoConnection;
            self.shared.locals.deliver(&watcher, Signal::Down { from, monitor, reason });
        }
    }

    /// Asks whoever is at `target`, as `gen_server:call` does: `answer` is told what comes of it. Returns the
    /// number by which the question can be given up, unless it is over already.
    pub(crate) fn call(&self, target: &Target, request: &dyn ToTerm, answer: Call) -> Option<u64> {
        let number = self.shared.number();
        let reference = self.shared.reference(number);
        let control = Control::Send { from: Some(self.shared.nobody()), to: target.clone(), urgent: false };
        let question = Question { pid: self.shared.nobody(), reference: &reference, request };
        let mut frame = match self.frame(&control, Some(&question)) {
            Ok(frame) => frame,
            Err(error) => {
                answer.answer(Err(CallError::Question(error)));
                return None;
            }
        };
        let monitor = Control::Monitor { from: self.shared.nobody(), to: target.clone(), reference };
        let mut tables = self.tables();
        if self.outbox.is_closed() {
            drop(tables);
            answer.answer(Err(CallError::Ended(ExitReason::NoConnection)));
            return None;
        }
        tables.calls.insert(number, (target.clone(), answer));
        self.queue(&monitor, None);
        let sent = self.outbox.answer(&mut frame, target.into());
        drop(tables);
        self.write_out();
        if !sent {
            self.stop("it reads too slowly");
        }
        Some(number)
    }

    /// Gives a question up: its monitor is taken back, and a late answer is dropped. Returns what was to
    /// become of the answer.
    pub(crate) fn end_call(&self, number: u64) -> Option<Call> {
        let call = self.forget_call(number)?;
        self.outbox.kick();
        Some(call)
    }

    /// As [`Connection::end_call`], for a caller who kicks the outbox after that.
    fn forget_call(&self, number: u64) -> Option<Call> {
        let mut tables = self.tables();
        let (to, call) = tables.calls.remove(&number)?;
        let (from, reference) = (self.shared.nobody(), self.shared.reference(number));
        self.queue(&Control::Demonitor { from, to, reference }, None);
        Some(call)
    }
}

/// Tells that a connection has ended when this is dropped, whatever has become of telling others: the node
/// can be connected again after that.
struct Telling<'a>(&'a Arc<Connection>);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        let Telling(connection) = self;
        let why = connection.why.lock().unwrap_or_else(PoisonError::into_inner).take();
        connection.shared.told_down(connection, why.unwrap_or_default());
        connection.over.cancel();
    }
}

/// Returns the process that a signal goes to.
fn receiver(control: &Control) -> Receiver {
    match control {
        Control::Link { to, .. }
        | Control::Exit { to, .. }
        | Control::Unlink { to, .. }
        | Control::UnlinkAck { to, .. }
        | Control::GroupLeader { to, .. }
        | Control::Down { to, .. }
        | Control::SpawnReply { to, .. } => Receiver::Pid(serial(to)),
        // The monitor of a question, which comes in order with nothing else.
        Control::Monitor { from, .. } | Control::Demonitor { from, .. } if serial(from) == 0 => {
            Receiver::Nobody
        }
        Control::Send { to, .. } | Control::Monitor { to, .. } | Control::Demonitor { to, .. } => to.into(),
        // The process does not exist yet.
        Control::SpawnRequest(_) => Receiver::Nobody,
    }
}

/// The reasons for which a message was not sent.
pub(crate) enum SendError {
    Full,
    /// The questions of the message have not been told.
    Closed(Questions),
    /// No term says it.
    Encode,
}

/// Returns the number of a process of its node.
pub(crate) fn serial(pid: &wire::Pid) -> u64 {
    u64::from(pid.serial) << 32 | u64::from(pid.id)
}

/// The one who asks, as a question of `gen_server`'s says it: `{Pid, Tag}`, and the alias in the tag.
#[derive(Clone, Debug)]
pub(crate) struct From {
    pid: wire::Pid,
    tag: wire::Term,
    alias: Option<Reference>,
}

impl<'a> wire::FromTerm<'a> for From {
    fn from_term(input: &mut Decoder<'a>) -> Result<From, wire::DecodeError> {
        let (pid, tag): (wire::Pid, wire::Term) = wire::FromTerm::from_term(input)?;
        let alias = match &tag {
            wire::Term::Improper(list) => match (list.items(), list.tail()) {
                ([alias], wire::Term::Reference(reference)) if alias.is_atom("alias") => {
                    Some((**reference).clone())
                }
                _ => None,
            },
            _ => None,
        };
        Ok(From { pid, tag, alias })
    }
}

/// The term `{Tag, Answer}` of a server's reply.
struct Answer<'a> {
    tag: &'a wire::Term,
    answer: &'a dyn ToTerm,
}

impl ToTerm for Answer<'_> {
    fn to_term(&self, out: &mut wire::Encoder<'_>) -> Result<(), EncodeError> {
        out.tuple(2)?;
        out.nested(|out| {
            out.value(self.tag)?;
            out.value(self.answer)
        })
    }
}

/// `{'$gen_call', {Pid, [alias|Reference]}, Request}`.
struct Question<'a> {
    pid: wire::Pid,
    reference: &'a Reference,
    request: &'a dyn ToTerm,
}

impl ToTerm for Question<'_> {
    fn to_term(&self, out: &mut wire::Encoder<'_>) -> Result<(), EncodeError> {
        out.tuple(3)?;
        out.name(GEN_CALL)?;
        out.tuple(2)?;
        out.pid(&self.pid);
        out.list(1)?;
        out.name("alias")?;
        out.reference(self.reference);
        out.nested(|out| out.value(self.request))
    }
}

pub(crate) use crate::wire::derived::GEN_CALL;

/// Returns what a reason is on the wire: behind the control message, or in it.
fn reason_of(connection: &Connection, why: &ExitReason) -> (Option<wire::Term>, Option<wire::Term>) {
    let term = reason::to_term(why);
    if connection.peer.agreed.contains(wire::Flags::EXIT_PAYLOAD) {
        (None, Some(term))
    } else {
        (Some(term), None)
    }
}
