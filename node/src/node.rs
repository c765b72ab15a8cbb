//! [`Node`]: a node as the program sees it, and what all of its tasks share.

mod builder;
mod calls;
mod peers;
mod pending;
mod queue;
mod registration;
mod remote;
mod watch;

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use twoply_core::actor::remote::{NodeTable, node as node_of};
use twoply_core::actor::{Pid, ProcessRef};
use twoply_core::channel::Receiver;
use twoply_core::sync::CancellationToken;
use twoply_core::task::Spawner;
use twoply_core::time::timeout;

use self::peers::Peers;
use crate::connection::{Connection, serial};
use crate::functions::FunctionTable;
use crate::local::{Locals, RegisterError, Typed};
use crate::log::Log;
use crate::meet::Buffers;
use crate::system::{Hooks, is_system};
use crate::tls::Tls;
use crate::wire::{self, Atom, DecodeError, FromTerm, Largest, Limits, Own, Reference};

pub use self::builder::{Builder, StartError};
pub use self::calls::{Answer, CallError};
pub use self::peers::Event;
pub use self::remote::Remote;

pub(crate) use self::peers::Peering;
pub(crate) use self::pending::{GiveUp, Pending};
pub(crate) use self::queue::Kind as QueueKind;
pub(crate) use self::remote::Route;

/// The settings of the program.
pub(crate) struct Settings {
    /// The time for which a peer may say nothing.
    pub(crate) tick_time: Duration,
    /// The time for which a reader waits for processes to receive what it has.
    pub(crate) stall_time: Duration,
    pub(crate) limits: Limits,
    pub(crate) buffers: Buffers,
    pub(crate) tls: Option<Tls>,
}

/// The part that all tasks of a node share.
pub(crate) struct Shared {
    pub(crate) own: Own,
    /// The name of the node.
    pub(crate) name: Atom,
    pub(crate) spawner: Spawner,
    pub(crate) settings: Settings,
    /// The nodes that somebody has a pid of.
    pub(crate) nodes: NodeTable,
    pub(crate) locals: Arc<Locals>,
    /// The functions that others may call.
    pub(crate) functions: FunctionTable,
    pub(crate) hooks: Mutex<Hooks>,
    /// The memory of a big message of any peer.
    pub(crate) largest: Arc<Largest>,
    peers: Peers,
    /// Is cancelled by a shutdown.
    over: CancellationToken,
    /// The last number that a reference or an unlink has had.
    last: AtomicU64,
    unknown: AtomicU64,
    undecodable: AtomicU64,
    refused: AtomicU64,
    /// The lines about messages, and about answers, that are not understood.
    misunderstood: Log,
    answers: Log,
    /// The lines about messages at which code of the program panics.
    panics: Log,
    /// The lines about peers that are refused.
    refusals: Log,
}

impl Shared {
    /// Returns a number that nothing of this node has had.
    pub(crate) fn number(&self) -> u64 {
        self.last.fetch_add(1, Relaxed) + 1
    }

    /// Returns the reference with this number: the first word of three has 18 bits.
    pub(crate) fn reference(&self, number: u64) -> Reference {
        let words = [number as u32 & 0x3_ffff, (number >> 18) as u32, (number >> 50) as u32];
        match Reference::new(self.name.clone(), self.own.creation, &words) {
            Some(reference) => reference,
            None => unreachable!("three words are not too many"),
        }
    }

    /// Returns the number of a reference, if it is one of ours.
    pub(crate) fn number_of(&self, reference: &Reference) -> Option<u64> {
        if reference.node != self.name || reference.creation != self.own.creation {
            return None;
        }
        match *reference.words() {
            [a, b, c] => Some(u64::from(a) | u64::from(b) << 18 | u64::from(c) << 50),
            _ => None,
        }
    }

    /// Returns the sender of what no process sends.
    pub(crate) fn nobody(&self) -> wire::Pid {
        wire::Pid { node: self.name.clone(), id: 0, serial: 0, creation: self.own.creation }
    }

    /// Returns a pid as it stands on the wire.
    pub(crate) fn wire_pid(&self, pid: &Pid) -> wire::Pid {
        let (id, serial) = (pid.serial() as u32, (pid.serial() >> 32) as u32);
        match node_of(pid) {
            None => wire::Pid { node: self.name.clone(), id, serial, creation: self.own.creation },
            Some(node) => wire::Pid { node: Atom::known(node.name()), id, serial, creation: node.creation() },
        }
    }

    /// Returns true if a pid is one of this incarnation of this node.
    pub(crate) fn is_ours(&self, pid: &wire::Pid) -> bool {
        pid.node == self.name && pid.creation == self.own.creation
    }

    /// Notes that a pid goes out. Where the process has ended already, its answers say so.
    pub(crate) fn note(&self, pid: &Pid) {
        if pid.is_local() {
            self.locals.note(pid);
        }
    }

    /// Returns the token that a shutdown cancels.
    pub(crate) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Returns the names of the nodes that this one is connected to.
    pub(crate) fn names(&self) -> Vec<String> {
        self.peers.names()
    }

    /// Counts a message for nobody.
    pub(crate) fn unknown(&self) {
        self.unknown.fetch_add(1, Relaxed);
    }

    /// Counts a message that its receiver does not understand.
    pub(crate) fn undecodable(&self) {
        self.undecodable.fetch_add(1, Relaxed);
    }

    /// Says of which process that was, and where in the message the error is.
    pub(crate) fn log_undecodable(&self, whom: &dyn Display, error: &DecodeError) {
        let line = format_args!("{}: {whom} does not understand a message: {error}", self.own.name);
        self.misunderstood.say(&line);
    }

    /// Counts and says that an answer is none that was asked for.
    pub(crate) fn undecodable_answer(&self, error: &DecodeError) {
        self.undecodable();
        self.answers.say(&format_args!("{}: an answer is not what was expected: {error}", self.own.name));
    }

    /// Says that code of the program's has panicked at a message of this peer's.
    pub(crate) fn panicked(&self, peer: &str, panic: &str) {
        self.panics
            .say(&format_args!("{}: a message of {peer}'s makes its reader panic: {panic}", self.own.name));
    }

    /// Counts, tells and says that a peer is refused, which has called itself `name`.
    pub(crate) fn refuse(&self, name: Option<String>, why: String) {
        let who = name.as_deref().unwrap_or("somebody");
        self.refusals.say(&format_args!("{} refuses {who:?}: {why}", self.own.name));
        self.refused.fetch_add(1, Relaxed);
        self.peers.tell(Event::Refused { name, why });
    }
}

/// A hidden node of an Erlang cluster. Clones are the same node; the last of them to go ends it, without
/// waiting for what has been queued: [`shutdown`](Node::shutdown) does.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{self, Process};
/// use twoply::node::Node;
///
/// # let epmd = std::net::TcpListener::bind("127.0.0.1:0")?;
/// // Two nodes that know each other's address, so that no port mapper is needed.
/// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
/// let till = Node::builder("till@localhost").cookie("secret").without_epmd();
/// let till = till.peer("shop@localhost", shop.local_addr()).start().wait()?;
///
/// let (seen, sent) = std::sync::mpsc::channel();
/// let counter = actor::spawn(async move |mut me: Process<(String, u32)>| {
///     let _ = seen.send(me.receive().await.message());
/// })?;
/// shop.register("counter", &counter)?;
///
/// let there = till.connect("shop@localhost").wait()?.process::<(String, u32)>("counter");
/// there.send(("tea".to_owned(), 2)).wait()?;
/// assert_eq!(sent.recv()?, Some(("tea".to_owned(), 2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Node(Arc<Handle>);

/// All clones of a node share this; the tasks of the node do not.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

impl Node {
    /// Begins to make a node called `name`, which is `name@host`.
    pub fn builder(name: impl Into<String>) -> Builder {
        Builder::new(name.into())
    }

    /// Begins to make a node on `host` that takes its name from the node `node`, which is `name@host`, when
    /// it starts, as `erl -sname undefined` does: nobody has to think of one. It takes no connections,
    /// whatever the builder is told of where to listen.
    ///
    /// It is connected to that node from the start, and is shut down when that connection ends: its name may
    /// be given to somebody else then.
    ///
    /// # Examples
    /// ```no_run
    /// use twoply::Wait;
    /// use twoply::node::Node;
    ///
    /// let tool = Node::named_by("localhost", "shop@localhost").cookie("secret").start().wait()?;
    /// assert!(tool.name().ends_with("@localhost"));
    /// assert_eq!(tool.nodes(), ["shop@localhost"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn named_by(host: impl Into<String>, node: impl Into<String>) -> Builder {
        Builder::named_by(host.into(), node.into())
    }

    fn new(shared: Arc<Shared>) -> Node {
        Node(Arc::new(Handle(shared)))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Returns the name of the node.
    pub fn name(&self) -> &str {
        &self.shared().own.name
    }

    /// Returns which incarnation of the node this is. It is never 0.
    pub fn creation(&self) -> u32 {
        self.shared().own.creation
    }

    /// Lets other nodes send messages to a process under `name`, as to a registered process of Erlang's, and
    /// link and monitor it. The name is free when the process has ended, before anybody is told of the end.
    ///
    /// Messages that are no `M` are counted and dropped; one that asks as `gen_server:call` does is answered
    /// `{error, {undecodable, Text}}`. A process of [`Term`](wire::Term) takes everything.
    ///
    /// # Errors
    /// When another process has the name, and when this one has ended.
    pub fn register<M>(&self, name: &str, process: &ProcessRef<M>) -> Result<(), RegisterError>
    where
        M: for<'a> FromTerm<'a> + Send + 'static,
    {
        if is_system(name) {
            return Err(RegisterError::Taken);
        }
        self.enter(process, Some(name))
    }

    /// Takes a name back. Returns false if nobody has it.
    pub fn unregister(&self, name: &str) -> bool {
        self.shared().locals.unregister(name)
    }

    /// Lets other nodes send messages to a process by its pid, as [`register`](Node::register) does, and
    /// returns that pid as others know it.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn expose<M>(&self, process: &ProcessRef<M>) -> Result<wire::Pid, RegisterError>
    where
        M: for<'a> FromTerm<'a> + Send + 'static,
    {
        self.enter(process, None)?;
        Ok(self.shared().wire_pid(&process.pid()))
    }

    fn enter<M>(&self, process: &ProcessRef<M>, name: Option<&str>) -> Result<(), RegisterError>
    where
        M: for<'a> FromTerm<'a> + Send + 'static,
    {
        let shared = self.shared();
        let pid = process.pid();
        if !pid.is_local() {
            return Err(RegisterError::NoProcess);
        }
        let inlet = Typed::new(process.clone(), shared.spawner.clone());
        shared.locals.expose(&pid, Arc::new(inlet), name)
    }

    /// Returns the names of the nodes that this one is connected to.
    pub fn nodes(&self) -> Vec<String> {
        self.shared().peers.names()
    }

    /// Returns a receiver of what becomes of connections from now on, which is a
    /// [`Source`](twoply_core::channel::Source). One that falls behind by more than 256 events misses those
    /// that come then, and is told how many.
    pub fn events(&self) -> Receiver<Event> {
        self.shared().peers.subscribe()
    }

    /// Returns how many messages have come for nobody, and how many that their receivers do not understand.
    pub fn dropped(&self) -> (u64, u64) {
        let shared = self.shared();
        (shared.unknown.load(Relaxed), shared.undecodable.load(Relaxed))
    }

    /// Returns how often others have tried to connect and were refused. The standard error stream tells of
    /// that, once a second at most, and so do [events](Node::events), of each.
    pub fn refused(&self) -> u64 {
        self.shared().refused.load(Relaxed)
    }

    /// Returns how many processes of this node others may name.
    pub fn exposed(&self) -> usize {
        self.shared().locals.len()
    }

    /// Shuts the node down: it takes no more connections and gives up those that are being made, what has
    /// been queued for other nodes is written, and then all connections end. Links and monitors across are
    /// told as by any end of a connection, and names and pids of this node are nobody to others. On return
    /// all of that has come about.
    ///
    /// Returns true if everything could be written `within` that time.
    ///
    /// # Cancel safety
    /// Dropping the future has connections end as soon as what has been queued is written.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::Wait;
    /// use twoply::node::Node;
    ///
    /// let node = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
    /// assert!(node.shutdown(Duration::from_secs(1)).wait());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn shutdown(&self, within: Duration) -> bool {
        let shared = self.shared();
        let connections = shared.close();
        for connection in &connections {
            connection.finish(SHUT_DOWN);
        }
        let finished = async {
            for connection in &connections {
                connection.over.cancelled().await;
            }
        };
        let all = timeout(within, finished).await.is_ok();
        for connection in &connections {
            connection.stop(SHUT_DOWN);
            connection.over.cancelled().await;
        }
        shared.locals.clear();
        all
    }
}

/// The reason for which connections end with the node.
const SHUT_DOWN: &str = "this node has been shut down";

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name()).field("nodes", &self.nodes()).finish()
    }
}

impl Shared {
    /// Takes no more connections, and returns those that there are.
    fn close(&self) -> Vec<Arc<Connection>> {
        self.over.cancel();
        self.peers.take_all()
    }

    fn shut_down(&self) {
        for connection in self.close() {
            connection.stop(SHUT_DOWN);
        }
        self.locals.clear();
    }

    /// Notes that a connection has ended, before anybody is told.
    pub(crate) fn lost(&self, connection: &Arc<Connection>) {
        self.peers.end(connection);
    }

    /// Tells that a connection has ended, behind everybody else who was to be told. The next one may be made
    /// then, which is told behind this one's end.
    pub(crate) fn told_down(&self, connection: &Arc<Connection>, why: String) {
        self.peers.tell(Event::Down { name: connection.peer.name.clone(), why });
        self.peers.remove(connection);
    }

    /// Returns a process of this node that has this pid, if others may name it, or might until it ended.
    pub(crate) fn pid_here(&self, pid: &wire::Pid) -> Option<Pid> {
        self.is_ours(pid).then(|| self.locals.pid_of_any(serial(pid))).flatten()
    }
}
