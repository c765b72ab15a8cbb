//! The identity of a process, whatever messages it takes and wherever it runs: [`Pid`], and what goes to one
//! besides messages.
//!
//! All that is done to a process by its pid is done by delivering a [`Signal`] to its [`Endpoint`]; a local
//! process is one ([`Cell`](super::cell::Cell)), and a process of another node has one as well
//! ([`remote`](crate::actor::remote)). Nobody asks an endpoint for anything and waits for the answer: answers
//! are signals, too.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use super::reference::ProcessRef;
use super::signal::ProcessInfo;
use crate::actor::remote::Node;
use crate::base::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::kernel::task::ExitReason;

/// The number of this node, which all processes that run here have.
pub(crate) const HERE: u64 = 0;

/// The target of the signals for one process: the process itself, if it runs here, or whoever passes them on.
///
/// The methods are called from any thread and on any stack, with no lock of this library held, and must not
/// wait.
pub trait Endpoint: Send + Sync {
    /// Handles `signal`, or sends it on its way. `to` is the pid with this endpoint. Signals that are
    /// delivered one after the other arrive in that order, and in order with the messages of the same sender.
    fn deliver(&self, to: &Pid, signal: Signal);

    /// Has `hook` called when the process ends, before anybody is told of the end; hooks are called in the
    /// order in which they were given. Returns `None` when the process is no longer alive or is not here,
    /// which is what an endpoint of another node answers. The caller may hold a lock that the hook takes, so
    /// this calls no hook.
    fn at_exit(&self, hook: Arc<dyn AtExit>) -> Option<HookId> {
        drop(hook);
        None
    }

    /// Takes a hook back, unless it has been called or is about to be.
    fn forget_hook(&self, hook: HookId) {
        let _ = hook;
    }

    /// Returns true if the process runs here and has not been told to end.
    fn is_alive_here(&self) -> bool {
        false
    }

    /// Returns the name of the process in reports, if that is known.
    fn name(&self) -> Option<String> {
        None
    }

    /// Returns the facts of a process that is here, which has this pid.
    #[doc(hidden)]
    fn info(&self, pid: &Pid) -> Option<ProcessInfo> {
        let _ = pid;
        None
    }

    /// Returns the part of a process of this node that its references share.
    #[doc(hidden)]
    fn cell(self: Arc<Self>) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    /// Returns the node of the process; `None` is this one. [`remote::pid`](crate::actor::remote::pid)
    /// implements this.
    #[doc(hidden)]
    fn node(&self) -> Option<&Node> {
        None
    }
}

/// A hook that is told of the end of a process before its links and monitors are: names and groups are
/// released by it.
pub trait AtExit: Send + Sync {
    /// Is called when the process `pid` has ended, or takes no messages any more and is about to end. An
    /// implementation runs no code of the user's. It may be called twice, and late: so a call counts only if
    /// `hook`, which [`remote::at_exit`](crate::actor::remote::at_exit) has returned, is still known for the
    /// process.
    fn ended(&self, pid: &Pid, hook: HookId);

    /// Returns the tracer that this is, if it is one.
    #[doc(hidden)]
    fn as_tracer(&self) -> Option<&super::trace::Tracer> {
        None
    }
}

/// Identifies a hook that a process has been given; see [`Endpoint::at_exit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(u64);

impl HookId {
    /// Returns an id that no hook has had yet.
    pub(crate) fn next() -> HookId {
        HookId(super::serial::next())
    }
}

/// A message from one process to another that is none of the program's.
///
/// Signals from one process to another keep their order, among themselves and with its messages.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Signal {
    /// A process has linked itself to the receiver. It is entered, unless there is a later link between the
    /// two. A receiver that is not alive answers with an [`Exit`](Signal::Exit) by this link, for
    /// [`NoProcess`](ExitReason::NoProcess).
    Link {
        /// The process that links.
        from: Pid,
        /// The number of the link.
        epoch: Epoch,
    },
    /// A process takes a link back. A link with a later epoch stays. A receiver that loses a link by this
    /// answers with an `Unlink` of the same epoch, which takes away what it has sent of an earlier one
    /// meanwhile.
    Unlink {
        /// The process that takes it back.
        from: Pid,
        /// The number of the latest link that is taken back.
        epoch: Epoch,
    },
    /// A process ends the receiver, or has ended and is linked to it.
    Exit {
        /// The process that has ended or that asks.
        from: Pid,
        /// The reason for which it has ended, or for which the receiver is to end.
        reason: ExitReason,
        /// The way in which the signal comes about.
        by: By,
    },
    /// A process wants to be told of the receiver's end by a [`Down`](Signal::Down) with this monitor, once.
    /// A receiver that is not alive answers at once, with [`NoProcess`](ExitReason::NoProcess).
    Monitor {
        /// The process that monitors.
        from: Pid,
        /// The sender's number of the monitor.
        monitor: MonitorRef,
    },
    /// Somebody who is no process wants to be told of the receiver's end when that is over, or why it has
    /// ended.
    Watch {
        /// The pid that takes the answer.
        from: Pid,
        /// The watcher's number of the watch.
        monitor: MonitorRef,
    },
    /// Whoever set this monitor, or watches by it, does no longer want to be told. To the one who has set it:
    /// nothing has come of it, and nothing will be told.
    Demonitor {
        /// The number of the monitor or the watch.
        monitor: MonitorRef,
    },
    /// A process that the receiver monitors has ended.
    Down {
        /// The process that has ended.
        from: Pid,
        /// The receiver's number of the monitor.
        monitor: MonitorRef,
        /// The reason for which the process has ended.
        reason: ExitReason,
    },
}

/// The ways in which an exit signal comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The sender has ended, to which the receiver was linked. The signal counts only while a link is there
    /// that is no later than this one, and takes it away.
    Link(Epoch),
    /// Somebody has asked the receiver to end.
    Request,
}

/// Tells the links that are ever made between two processes apart: each is later than all that were made
/// before it.
///
/// Either process may make the link, and both may at once; then the later epoch is that of both sides. To
/// unlink takes back the link up to an epoch, and the end of a process ends it up to one; so an
/// [`Unlink`](Signal::Unlink) or an [`Exit`](Signal::Exit) which is overtaken by a new link does not touch
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// Returns an epoch that is later than all others in this program.
    pub fn next() -> Epoch {
        #[cfg(not(loom))]
        static LAST: AtomicU64 = AtomicU64::new(0);
        #[cfg(loom)]
        loom::lazy_static! { static ref LAST: AtomicU64 = AtomicU64::new(0); }
        // Relaxed: an epoch that is seen under the lock of a cell is earlier than all that are taken after
        // that, since they come later in the order of this atomic.
        Epoch(LAST.fetch_add(1, Relaxed) + 1)
    }
}

/// The part of a pid that makes it unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    /// The node; [`HERE`] is this one.
    pub(crate) node: u64,
    /// The number of the process on its node. Never used twice; 0 is nobody.
    pub(crate) serial: u64,
}

/// Identifies a process among all that there ever are, of whatever type and on whatever node.
///
/// A pid keeps no process running and is of use after the end, too: to compare, or to be told that there is
/// no such process.
///
/// # Examples
/// ```
/// use twoply::actor::{Builder, Process};
///
/// let process = Builder::new().spawn(async |me: Process<()>| drop(me))?;
/// let pid = process.pid();
/// assert_eq!(pid, process.pid());
/// println!("{pid}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pid {
    /// The part that makes the pid unique.
    identity: Identity,
    /// The target of the process's signals.
    endpoint: Arc<dyn Endpoint>,
}

impl Pid {
    pub(crate) fn new(identity: Identity, endpoint: Arc<dyn Endpoint>) -> Pid {
        Pid { identity, endpoint }
    }

    /// Returns the sender of what no process sends, `<0.0>`. It is never alive.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::Pid;
    ///
    /// assert_eq!(Pid::nobody().to_string(), "<0.0>");
    /// assert!(!Pid::nobody().is_alive_here());
    /// ```
    pub fn nobody() -> Pid {
        Pid::of_ended(0)
    }

    /// Returns the pid with this number of a process of this node that has ended.
    pub(crate) fn of_ended(serial: u64) -> Pid {
        static NOBODY: OnceLock<Arc<Nobody>> = OnceLock::new();
        let endpoint = Arc::clone(NOBODY.get_or_init(Arc::default));
        Pid { identity: Identity { node: HERE, serial }, endpoint }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns the number of the process on its node.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{self, Process};
    ///
    /// let spawn = || actor::spawn(async |_: Process<()>| ());
    /// let (first, second) = (spawn()?.pid(), spawn()?.pid());
    /// assert!(first.serial() < second.serial());
    /// assert!(first.is_local() && first < second);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn serial(&self) -> u64 {
        self.identity.serial
    }

    /// Returns true if it is a process of this node.
    pub fn is_local(&self) -> bool {
        self.identity.node == HERE
    }

    /// Returns true if it is a process of this node that is alive: it has neither ended nor been made to.
    ///
    /// A process that is alive now may end at any moment; to be told of the end,
    /// [monitor](crate::actor::Process::monitor) it.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Process}};
    ///
    /// let process = actor::spawn_fn(|_: Process<()>| ())?;
    /// process.ended().wait();
    /// assert!(!process.pid().is_alive_here());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_alive_here(&self) -> bool {
        self.endpoint.is_alive_here()
    }

    /// Returns the name that a process of this node was given when it was started.
    ///
    /// # Examples
    /// ```
    /// use twoply::actor::{Builder, Process};
    ///
    /// let process = Builder::new().name("clerk").spawn_fn(|_: Process<()>| ())?;
    /// assert_eq!(process.pid().name().as_deref(), Some("clerk"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self) -> Option<String> {
        self.endpoint.name()
    }

    /// Returns the facts of the process at this moment, `None` for a process of another node; see
    /// [`ProcessRef::info`](crate::actor::ProcessRef::info).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Pid, Process}};
    ///
    /// let process = actor::spawn_fn(|mut me: Process<()>| drop(me.receive().wait()))?;
    /// assert_eq!(process.pid().info().unwrap().pid, process.pid());
    /// assert!(Pid::nobody().info().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn info(&self) -> Option<ProcessInfo> {
        self.endpoint.info(self)
    }

    /// Asks the process to end, as nobody in particular; see
    /// [`ProcessRef::exit`](crate::actor::ProcessRef::exit).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, ExitReason, Process}};
    ///
    /// let process = actor::spawn(async |mut me: Process<()>| drop(me.receive().await))?;
    /// process.pid().exit(ExitReason::Shutdown);
    /// assert_eq!(process.ended().wait(), ExitReason::Shutdown);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit(&self, reason: ExitReason) {
        self.deliver(Signal::Exit { from: Pid::nobody(), reason, by: By::Request });
    }

    /// Returns a reference to the process, if it is one of this node that takes messages of type `M`, and
    /// takes any.
    pub(in crate::actor) fn downcast<M: Send + 'static>(&self) -> Option<ProcessRef<M>> {
        let cell = Arc::clone(&self.endpoint).cell()?;
        ProcessRef::upgrade(cell.downcast().ok()?)
    }

    /// Returns the node of the process; `None` is this one.
    pub(crate) fn node(&self) -> Option<&Node> {
        self.endpoint.node()
    }

    pub(crate) fn deliver(&self, signal: Signal) {
        self.endpoint.deliver(self, signal);
    }

    /// Calls [`Endpoint::at_exit`] of its endpoint.
    pub(crate) fn at_exit(&self, hook: Arc<dyn AtExit>) -> Option<HookId> {
        self.endpoint.at_exit(hook)
    }

    /// Calls [`Endpoint::forget_hook`] of its endpoint.
    pub(crate) fn forget_hook(&self, hook: HookId) {
        self.endpoint.forget_hook(hook);
    }
}

impl PartialEq for Pid {
    fn eq(&self, other: &Pid) -> bool {
        self.identity == other.identity
    }
}

impl Eq for Pid {}

impl Hash for Pid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
    }
}

impl PartialOrd for Pid {
    fn partial_cmp(&self, other: &Pid) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pid {
    fn cmp(&self, other: &Pid) -> Ordering {
        self.identity.cmp(&other.identity)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}.{}>", self.identity.node, self.identity.serial)
    }
}

/// Its text form, which says which process it is, and leads to none when it is read elsewhere.
#[cfg(feature = "serde")]
impl serde::Serialize for Pid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({self})")
    }
}

/// The endpoint of [`Pid::nobody`].
#[derive(Default)]
struct Nobody;

impl Endpoint for Nobody {
    fn deliver(&self, to: &Pid, signal: Signal) {
        match signal {
            Signal::Link { from, epoch } => {
                let reason = ExitReason::NoProcess;
                from.deliver(Signal::Exit { from: to.clone(), reason, by: By::Link(epoch) });
            }
            Signal::Monitor { from, monitor } | Signal::Watch { from, monitor } => {
                from.deliver(Signal::Down { from: to.clone(), monitor, reason: ExitReason::NoProcess });
            }
            _ => {}
        }
    }
}

/// Identifies a monitor: what [`Process::monitor`](crate::actor::Process::monitor) returns and
/// [`Down`](super::Down) carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorRef {
    /// The number is never used twice in this program: monitors are made where the process that monitors
    /// runs.
    number: u64,
}

impl MonitorRef {
    /// Returns a reference that no monitor has had yet.
    pub(crate) fn next() -> MonitorRef {
        MonitorRef { number: super::serial::next() }
    }
}

impl fmt::Display for MonitorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#Ref<{HERE}.{}>", self.number)
    }
}

impl fmt::Debug for MonitorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MonitorRef({self})")
    }
}
