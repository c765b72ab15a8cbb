//! Who a process is, whatever messages it takes and wherever it runs: [`Pid`], and what goes to one besides messages.
//!
//! All that is done to a process by its pid is done by delivering a [`Signal`] to its [`Endpoint`]; a local process
//! is one ([`Cell`](super::cell::Cell)), and the process of another node will be. Nobody asks an endpoint for
//! anything and waits for the answer: answers are signals, too.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use crate::kernel::task::ExitReason;

/// The number of this node: whoever has it runs here.
pub(crate) const HERE: u32 = 0;

/// Where signals for one process go.
pub(crate) trait Endpoint: Send + Sync {
    /// Handles `signal`, or sends it on its way. `to` is the pid with this endpoint. Never waits, and runs none of the
    /// caller's code while anything is locked.
    fn deliver(&self, to: &Pid, signal: Signal);

    /// Has `hook` called when the process ends, before anybody is told of the end; hooks are called in the order in
    /// which they were given. `None` when the process is no longer alive or is not here. Whoever calls may hold a lock
    /// that the hook takes, since no hook is called under a lock of the process's.
    fn at_exit(&self, hook: Arc<dyn AtExit>) -> Option<HookId>;

    /// Takes a hook back, unless it has been called or is about to be.
    fn forget_hook(&self, hook: HookId);

    /// Whether the process runs here and has not been told to end.
    fn is_alive_here(&self) -> bool;

    /// What messages call the process.
    fn name(&self) -> Option<String>;
}

/// Told of the end of a process before its links and monitors are: names and groups are released here.
pub(crate) trait AtExit: Send + Sync {
    /// The process `pid` has ended, or takes no messages any more and is about to. Must not run code of the user's. It may
    /// be called twice, and late: so it counts only if `hook`, as which it was given, is known for the process.
    fn ended(&self, pid: &Pid, hook: HookId);
}

/// A hook that a process has been given; see [`Endpoint::at_exit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HookId(u64);

impl HookId {
    /// A new one.
    pub(crate) fn next() -> HookId {
        HookId(super::serial::next())
    }
}

/// What goes from one process to another besides messages.
///
/// Signals from one process to another keep their order, among themselves and with its messages.
#[derive(Clone, Debug)]
pub(crate) enum Signal {
    /// `from` has linked itself to the receiver.
    Link { from: Pid },
    /// `from` takes the link back.
    Unlink { from: Pid },
    /// `from` ends the receiver, or has ended and is linked to it.
    Exit { from: Pid, reason: ExitReason, by: By },
    /// `from` wants to be told of the receiver's end.
    Monitor { from: Pid, monitor: MonitorRef },
    /// `from`, which is no process, wants to be told of the receiver's end when that is over, or why it has ended.
    Watch { from: Pid, monitor: MonitorRef },
    /// Whoever set this monitor, or watches by it, does no longer want to be told.
    Demonitor { monitor: MonitorRef },
    /// `from`, which the receiver monitors, has ended.
    Down { from: Pid, monitor: MonitorRef, reason: ExitReason },
}

/// How an exit signal comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The sender has ended. Counts only while the link is there.
    Link,
    /// Somebody asked for it.
    Request,
}

/// What makes a pid unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    /// The node; [`HERE`] is this one.
    pub(crate) node: u32,
    /// The number of the process on its node. Never used twice; 0 is nobody.
    pub(crate) serial: u64,
}

/// Identifies a process among all that there ever are, of whatever type and on whatever node.
///
/// A pid keeps no process running and is of use after the end, too: to compare, or to be told that there is no such
/// process.
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
    /// What makes it unique.
    identity: Identity,
    /// Where its signals go.
    endpoint: Arc<dyn Endpoint>,
}

impl Pid {
    pub(crate) fn new(identity: Identity, endpoint: Arc<dyn Endpoint>) -> Pid {
        Pid { identity, endpoint }
    }

    /// The sender of what no process sends, `<0.0>`. It is never alive.
    pub fn nobody() -> Pid {
        static NOBODY: OnceLock<Arc<Nobody>> = OnceLock::new();
        let endpoint = Arc::clone(NOBODY.get_or_init(Arc::default));
        Pid { identity: Identity { node: HERE, serial: 0 }, endpoint }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The number of the process on its node.
    pub fn serial(&self) -> u64 {
        self.identity.serial
    }

    /// Whether it is a process of this node.
    pub fn is_local(&self) -> bool {
        self.identity.node == HERE
    }

    /// Whether it is a process of this node that is alive: it has neither ended nor been made to.
    ///
    /// A process that is alive now may end at any moment; to be told of the end,
    /// [monitor](crate::actor::Process::monitor) it.
    pub fn is_alive_here(&self) -> bool {
        self.endpoint.is_alive_here()
    }

    /// The name that a process of this node was given when it was started.
    pub fn name(&self) -> Option<String> {
        self.endpoint.name()
    }

    /// Asks the process to end, as nobody in particular; see [`ProcessRef::exit`](crate::actor::ProcessRef::exit).
    pub fn exit(&self, reason: ExitReason) {
        self.deliver(Signal::Exit { from: Pid::nobody(), reason, by: By::Request });
    }

    pub(crate) fn deliver(&self, signal: Signal) {
        self.endpoint.deliver(self, signal);
    }

    /// See [`Endpoint::at_exit`].
    pub(crate) fn at_exit(&self, hook: Arc<dyn AtExit>) -> Option<HookId> {
        self.endpoint.at_exit(hook)
    }

    /// See [`Endpoint::forget_hook`].
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
            Signal::Link { from } => {
                let reason = ExitReason::NoProcess;
                from.deliver(Signal::Exit { from: to.clone(), reason, by: By::Link });
            }
            Signal::Monitor { from, monitor } | Signal::Watch { from, monitor } => {
                from.deliver(Signal::Down { from: to.clone(), monitor, reason: ExitReason::NoProcess });
            }
            _ => {}
        }
    }

    fn at_exit(&self, _: Arc<dyn AtExit>) -> Option<HookId> {
        None
    }

    fn forget_hook(&self, _: HookId) {}

    fn is_alive_here(&self) -> bool {
        false
    }

    fn name(&self) -> Option<String> {
        None
    }
}

/// Identifies a monitor: what [`Process::monitor`](crate::actor::Process::monitor) returns and
/// [`Down`](super::Down) carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonitorRef {
    /// The node of the process that monitors.
    node: u32,
    /// Never used twice on that node.
    number: u64,
}

impl MonitorRef {
    /// A new one of this node.
    pub(crate) fn next() -> MonitorRef {
        MonitorRef { node: HERE, number: super::serial::next() }
    }
}

impl fmt::Display for MonitorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#Ref<{}.{}>", self.node, self.number)
    }
}

impl fmt::Debug for MonitorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MonitorRef({self})")
    }
}
