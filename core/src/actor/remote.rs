//! The contract between processes and a *node layer*: all that lets a process elsewhere stand behind a
//! [`Pid`] and a [`ProcessRef`], in one file.
//!
//! A node layer is whoever carries signals and messages to another program, and back. The core never hears of
//! its wire, and it has no list of connections. It asks three questions, one thing each:
//!
//! | thing         | question                                        | a process of this node answers by |
//! |---------------|-------------------------------------------------|-----------------------------------|
//! | [`Endpoint`]  | Where do the signals for a process go?          | its cell, under its lock          |
//! | [`Forwarder`] | Where do the messages for a process go?         | its mailbox                       |
//! | [`Node`]      | Which incarnation of which node does a pid name? | the number 0                     |
//!
//! # How to write a node layer
//!
//! 1. Keep one [`NodeTable`]. It gives each incarnation of a peer, which is a name and a creation, a [`Node`]
//!    whose number is never used twice. A row lives while something holds the `Node`: pids do, so nothing
//!    here only grows, whatever names a peer invents. A peer that has been started again is another node, and
//!    its old pids are equal to none of the new.
//! 2. Implement [`Endpoint`] for "this connection, that process", and make the peer's pids with [`pid`]. A
//!    [`Signal`] that is delivered there goes out on the wire; the pids in it are of this node or of any
//!    other.
//! 3. Implement [`Forwarder`] where messages go as well, and make references with [`process_ref`].
//! 4. Hand what comes in to [`deliver`]. Its `from` is a pid of step 2, so answers find their way back.
//!    Messages go to the mailbox by [`ProcessRef::try_send`]; what finds it full waits for [`room`].
//!
//! # What a node layer must keep
//! - **Order.** What one process does to another arrives in that order: messages and signals share one way.
//! - **Links.** Each link has an [`Epoch`]. A layer notes the epoch of the latest [`Signal::Link`] between
//!   two processes, in either direction; it gives a `Link` that comes in the epoch [`Epoch::next`], and an
//!   `Unlink` or an `Exit` by [`By::Link`] that comes in the epoch of the link that the peer takes back or
//!   that has ended. Then neither touches a later link. A process that loses a link answers with an `Unlink`
//!   of the same epoch, in case that a `Link` has crossed what it has got. A layer whose wire has no such
//!   answer, as Erlang's has none, gives it itself: to a process that takes a link back or ends with it, and
//!   after a `Link` that it has delivered, if it has the link no more by then.
//! - **Monitors.** A [`MonitorRef`] is of this program. For a peer's monitor, make one with [`monitor_ref`],
//!   and map between the two until `Down` or `Demonitor`. A monitor by name goes to a pid that stands for the
//!   name on that node ([`monitor_name`]), so that `Down` carries it, whatever the peer knows of the process.
//!   A monitor that nothing comes of is taken back from the process that has set it, by `Demonitor` as well.
//! - **The end of a connection.** Each link across it gets [`Signal::Exit`] by the epoch that was noted, each
//!   monitor of ours [`Signal::Down`], with [`NoConnection`](ExitReason::NoConnection), once and behind all
//!   that came before; each monitor of the peer's is taken back by [`Signal::Demonitor`]; resolvers that wait
//!   for an answer are failed; and forwarders say by [`Forwarder::ended`] that it is over.
//!
//! # What it need not do
//! There is no question that is asked of an endpoint and waited for: answers are signals, too. Names, groups
//! and supervisors are built over this, and see no difference, but that a hook at the end of a process
//! ([`at_exit`]) is refused by a process that is not here.
//!
//! A design that was rejected: a remote variant in `ProcessRef` and `Pid`, since each send would pay for the
//! look at it. A reference to a process elsewhere holds a cell as all do, whose mailbox is closed; and only a
//! send that finds it closed looks for the forwarder.

mod room;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use super::process::cell::Cell;
use super::process::pid::Identity;
use super::{ExitReason, MonitorRef, Pid, Process, ProcessRef};
use crate::base::id::{self, Sequence};
use crate::base::sync::lock_std;
use crate::channel::TrySendError;
use crate::promise::{self, Failure, Resolver};

pub use super::process::pid::{AtExit, By, Endpoint, Epoch, HookId, Signal};
pub use room::{Room, room};

/// The target of the messages for a process elsewhere.
///
/// The methods are called from any thread and on any stack, with no lock of this library held, and must not
/// block.
pub trait Forwarder<M>: Send + Sync {
    /// Sends `message` on its way, in order with what the same sender has sent before. `urgent` says that it
    /// is to overtake usual ones.
    ///
    /// # Errors
    /// [`Full`](TrySendError::Full) when there is no room at the moment, [`Closed`](TrySendError::Closed)
    /// when the process cannot be reached any more. The message is handed back.
    fn try_send(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>>;

    /// Waits until there may be room again, after [`try_send`](Forwarder::try_send) has found none. Ready
    /// where there is room by now. A waker that is kept must be woken when there is, and when the process
    /// cannot be reached any more.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Returns why the process has ended or cannot be reached any more; `None` as long as nothing is known of
    /// an end. It is known once [`try_send`](Forwarder::try_send) has said `Closed`.
    fn ended(&self) -> Option<ExitReason>;
}

/// One incarnation of another node: a name and a creation, with a number that no other incarnation has ever
/// had.
///
/// Its row in the [`NodeTable`] lives as long as a `Node` does; each pid of the node holds one.
#[derive(Clone)]
pub struct Node(Arc<Row>);

/// A row of a table of nodes.
struct Row {
    /// The number is never used twice in this program; 0 is this node.
    number: u64,
    key: Key,
    /// The table, which the row leaves when it is dropped.
    table: Arc<Table>,
}

/// A name and a creation.
type Key = (Arc<str>, u32);

/// The rows that live. A dead entry is one whose row is about to take it out.
type Table = Mutex<BTreeMap<Key, (u64, Weak<Row>)>>;

impl Node {
    /// Returns the number of the incarnation, as pids of it show it. It is never 0, which is this node.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Returns the name of the node.
    pub fn name(&self) -> &str {
        &self.0.key.0
    }

    /// Returns which incarnation of the node it is.
    pub fn creation(&self) -> u32 {
        self.0.key.1
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        self.number() == other.number()
    }
}

impl Eq for Node {}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({}, {}#{})", self.number(), self.name(), self.creation())
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let mut table = lock_std(&self.table);
        // Somebody may have entered the next row of this name since the last holder of this one let go.
        if table.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            table.remove(&self.key);
        }
    }
}

/// The nodes that are known by name, as long as somebody knows them.
///
/// # Examples
/// ```
/// use twoply::actor::remote::NodeTable;
///
/// let nodes = NodeTable::new();
/// let first = nodes.node("shop@host", 1);
/// assert_eq!(nodes.node("shop@host", 1), first);
/// assert_ne!(nodes.node("shop@host", 2), first);
/// drop(first);
/// assert!(nodes.is_empty());
/// ```
#[derive(Clone, Default)]
pub struct NodeTable(Arc<Table>);

impl NodeTable {
    /// Makes a table without rows. Nodes of different tables are never equal.
    pub fn new() -> NodeTable {
        NodeTable::default()
    }

    /// Returns the node of this name and creation: the one that is there, or else one with a new number.
    pub fn node(&self, name: &str, creation: u32) -> Node {
        let key: Key = (Arc::from(name), creation);
        let mut table = lock_std(&self.0);
        if let Some(row) = table.get(&key).and_then(|(_, row)| row.upgrade()) {
            return Node(row);
        }
        let number = id::next(Sequence::Nodes).get();
        let row = Arc::new(Row { number, key: key.clone(), table: Arc::clone(&self.0) });
        table.insert(key, (number, Arc::downgrade(&row)));
        Node(row)
    }

    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        lock_std(&self.0).len()
    }

    /// Returns true if nobody knows a node of this table.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for NodeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTable").field("len", &self.len()).finish()
    }
}

/// The endpoint of a process elsewhere. It keeps the row of the node.
struct Remote {
    node: Node,
    endpoint: Arc<dyn Endpoint>,
}

impl Endpoint for Remote {
    fn deliver(&self, to: &Pid, signal: Signal) {
        self.endpoint.deliver(to, signal);
    }

    fn at_exit(&self, hook: Arc<dyn AtExit>) -> Option<HookId> {
        self.endpoint.at_exit(hook)
    }

    fn forget_hook(&self, hook: HookId) {
        self.endpoint.forget_hook(hook);
    }

    fn name(&self) -> Option<String> {
        self.endpoint.name()
    }

    fn node(&self) -> Option<&Node> {
        Some(&self.node)
    }
}

/// Makes the pid of a process of `node`, which has the number `serial` there. What is done to it goes to
/// `endpoint`. Two such pids are equal if node and number are.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use twoply::actor::{Pid, remote::{self, Endpoint, NodeTable, Signal}};
///
/// struct Wire;
/// impl Endpoint for Wire {
///     fn deliver(&self, to: &Pid, signal: Signal) {
///         println!("{signal:?} goes to {to}");
///     }
/// }
/// let node = NodeTable::new().node("shop@host", 1);
/// let pid = remote::pid(&node, 7, Arc::new(Wire));
/// assert!(!pid.is_local() && remote::node(&pid) == Some(node));
/// ```
pub fn pid(node: &Node, serial: u64, endpoint: Arc<dyn Endpoint>) -> Pid {
    let identity = Identity { node: node.number(), serial };
    Pid::new(identity, Arc::new(Remote { node: node.clone(), endpoint }))
}

/// Makes the pid of a process of this node that has ended, by its number: it is equal to the one that the
/// process had, and whatever is done to it is answered as by no process. A layer that has sent the pid out
/// needs it when the pid comes back later than that.
///
/// The process must have ended, once and for all: one that is alive is not reached by this.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::actor::{self, Process, remote};
///
/// let process = actor::spawn(async |_: Process<()>| ())?;
/// process.ended().wait();
/// assert_eq!(remote::ended_pid(process.pid().serial()), process.pid());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ended_pid(serial: u64) -> Pid {
    Pid::of_ended(serial)
}

/// Makes a reference to the process `pid`, which is one of another node. Its messages go to `forwarder`.
///
/// # Panics
/// When `pid` is a process of this node.
pub fn process_ref<M: Send + 'static>(pid: Pid, forwarder: Arc<dyn Forwarder<M>>) -> ProcessRef<M> {
    assert!(!pid.is_local(), "a process of this node has references of its own");
    ProcessRef::new(Cell::proxy_of(pid, forwarder))
}

/// Returns the node of a process; `None` is this one.
pub fn node(pid: &Pid) -> Option<Node> {
    pid.node().cloned()
}

/// Makes a resolver for a question that comes from elsewhere: `answer` is called with the outcome, once, by
/// whoever resolves it or drops it, in the task of that, with no lock of this library held. So no task has to
/// wait for an answer that is to be sent on. `answer` must not block; a panic of it is that of the one who
/// resolves.
///
/// # Examples
/// ```
/// use std::sync::mpsc;
/// use twoply::actor::remote;
///
/// let (sent, wire) = mpsc::channel();
/// let resolver = remote::resolver(move |outcome| sent.send(outcome).unwrap());
/// resolver.resolve("yes").unwrap();
/// assert_eq!(wire.recv().unwrap().unwrap(), "yes");
/// ```
pub fn resolver<T: Send + 'static>(answer: impl FnOnce(Result<T, Failure>) + Send + 'static) -> Resolver<T> {
    promise::callback(answer)
}

/// Makes a monitor reference, for a monitor that a process elsewhere sets.
///
/// # Examples
/// ```
/// use twoply::actor::remote;
///
/// assert_ne!(remote::monitor_ref(), remote::monitor_ref());
/// ```
pub fn monitor_ref() -> MonitorRef {
    MonitorRef::next()
}

/// Has `process` monitor `to`, whose endpoint stands for whatever process has `name` on the node of `to`. The
/// [`Down`](super::Down) carries the name; its `from` is the pid that the signal has.
pub fn monitor_name<M: Send + 'static>(
    process: &Process<M>,
    to: &Pid,
    name: impl Into<Arc<str>>,
) -> MonitorRef {
    process.start_monitor(to, Some(name.into()))
}

/// Does to the process `to` what `signal` says. If it runs here that is done on return; else the signal is on
/// its way.
pub fn deliver(to: &Pid, signal: Signal) {
    to.deliver(signal);
}

/// Has `hook` called when `pid` ends, before its links and monitors are told. Returns `None` when it is no
/// longer alive or is not here.
pub fn at_exit(pid: &Pid, hook: Arc<dyn AtExit>) -> Option<HookId> {
    pid.at_exit(hook)
}

/// Takes a hook back, unless it has been called or is about to be.
pub fn forget_hook(pid: &Pid, hook: HookId) {
    pid.forget_hook(hook);
}

#[cfg(all(test, not(loom)))]
mod tests;
