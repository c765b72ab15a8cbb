//! [`Remote`]: another node, and the processes there.

use std::fmt;
use std::sync::Arc;

use twoply_core::actor::{MonitorRef, Pid, Process, ProcessRef, remote};

use super::queue::Kind;
use super::{Node, Shared};
use crate::connection::{Connection, Nobody, There, serial};
use crate::wire::{self, Atom, Flags, Target, ToTerm};

/// The way to a node.
#[derive(Clone)]
pub(crate) enum Route {
    /// This connection, and no other one.
    Connection(Arc<Connection>),
    /// This connection; and when it has ended, as `Node`.
    First(Arc<Connection>),
    /// Whatever connection there is to the node of this name, or one that is made then.
    Node(Arc<Shared>, Arc<str>),
}

impl Route {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        match self {
            Route::Connection(connection) | Route::First(connection) => &connection.shared,
            Route::Node(shared, _) => shared,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Route::Connection(connection) | Route::First(connection) => &connection.peer.name,
            Route::Node(_, name) => name,
        }
    }

    /// Returns the connection, if there is one and nothing waits in front of it.
    pub(crate) fn open(&self) -> Option<Arc<Connection>> {
        match self {
            Route::Connection(connection) => Some(Arc::clone(connection)),
            Route::First(connection) if !connection.outbox.is_closed() => Some(Arc::clone(connection)),
            _ => self.shared().open(self.name()),
        }
    }
}

impl Node {
    /// Returns another node, which needs not be connected: it is by the first that is sent there, and again
    /// when the connection has ended. Meanwhile messages and signals wait in one queue, in order. Where it
    /// cannot be connected, messages are dropped, and links, monitors and questions answered `noconnection`.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{self, Process};
    /// use twoply::node::Node;
    ///
    /// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
    /// let till = Node::builder("till@localhost").cookie("secret").without_epmd().start().wait()?;
    /// till.add_peer(shop.name(), shop.local_addr());
    ///
    /// let (seen, sent) = std::sync::mpsc::channel();
    /// let counter = actor::spawn(async move |mut me: Process<u32>| {
    ///     let _ = seen.send(me.receive().await.message());
    /// })?;
    /// shop.register("counter", &counter)?;
    ///
    /// let there = till.remote("shop@localhost").process::<u32>("counter");
    /// there.send(7).wait()?; // This connects.
    /// assert_eq!(sent.recv()?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remote(&self, name: impl Into<Arc<str>>) -> Remote {
        Remote(Route::Node(Arc::clone(self.shared()), name.into()))
    }
}

/// Another node. One that [`Node::connect`] returns is it for as long as that connection lasts: after that,
/// sends to its processes fail, and links and monitors by a name are answered `noconnection`; a pid outlives
/// it, and connects. One of [`Node::remote`] connects when it has to.
#[derive(Clone)]
pub struct Remote(pub(crate) Route);

impl Remote {
    /// Returns the name of the node.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Returns what the two nodes have agreed on, which is nothing while they are not connected.
    pub fn agreed(&self) -> Flags {
        self.0.open().map_or(Flags::NONE, |connection| connection.peer.agreed)
    }

    /// Returns a reference to whatever process has `name` there, for messages. It is one like any: `send`
    /// waits while more than 1 MiB is to go out before, and `try_send` says that it is full. A big message
    /// goes out by turns with those of other tasks, which do not wait for it. A message that no term says,
    /// such as a float that is no number, is handed back as if the process had ended.
    ///
    /// To be linked, a process has to be known by its pid. A message with a `Resolver` in it is a question,
    /// as `gen_server:call` asks: `ask` waits for the answer, for the end of the process, or of the
    /// connection.
    ///
    /// # Panics
    /// When `name` has more than 255 characters.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::actor::{self, Process};
    /// use twoply::node::{Node, wire::{FromTerm, ToTerm}};
    /// use twoply::promise::Resolver;
    ///
    /// #[derive(ToTerm, FromTerm)]
    /// enum Stock {
    ///     #[term(call)] // {'$gen_call', From, {count, <<"tea">>}}
    ///     Count(String, Resolver<u32>),
    /// }
    ///
    /// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
    /// let till = Node::builder("till@localhost").cookie("secret").without_epmd().start().wait()?;
    /// till.add_peer(shop.name(), shop.local_addr());
    ///
    /// let stock = actor::spawn(async |mut me: Process<Stock>| {
    ///     while let Some(Stock::Count(what, reply)) = me.receive().await.message() {
    ///         let _ = reply.resolve(what.len() as u32);
    ///     }
    /// })?;
    /// shop.register("stock", &stock)?;
    ///
    /// // As of a process of this program, or of a gen_server of Erlang's.
    /// let there = till.remote("shop@localhost").process::<Stock>("stock");
    /// assert_eq!(there.ask(|reply| Stock::Count("tea".to_owned(), reply)).wait()?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn process<M: ToTerm + Send + 'static>(&self, name: &str) -> ProcessRef<M> {
        let (pid, there) = self.named(name);
        remote::process_ref(pid, there)
    }

    /// Returns a reference to the process with a pid that came from there. A pid of this node is nobody: what
    /// is sent to it is handed back.
    pub fn process_of<M: ToTerm + Send + 'static>(&self, pid: &wire::Pid) -> ProcessRef<M> {
        let shared = self.0.shared();
        if shared.is_ours(pid) {
            let row = shared.nodes.node(&pid.node, pid.creation);
            let nobody = remote::pid(&row, serial(pid), Arc::new(Nobody));
            return remote::process_ref(nobody, Arc::new(Nobody));
        }
        let (row, route) = match &self.0 {
            Route::Connection(connection) | Route::First(connection) if connection.is_of(pid) => {
                (connection.row.clone(), self.0.clone())
            }
            // It is of a third node, or of an earlier incarnation.
            _ => {
                let route = Route::Node(Arc::clone(shared), Arc::from(&*pid.node));
                (shared.nodes.node(&pid.node, pid.creation), route)
            }
        };
        let there = There::new(route, Target::Pid(pid.clone()));
        let pid = match &self.0 {
            // It outlives the connection, by which messages go.
            Route::Connection(_) => self.pid(pid),
            _ => remote::pid(&row, serial(pid), Arc::clone(&there) as _),
        };
        remote::process_ref(pid, there)
    }

    /// Returns the process with a pid that came from there, to link, monitor and end it.
    ///
    /// A pid of this node is that process, if its pid has been sent out or others may write to it; else it is
    /// nobody. So is the pid of one that has ended, when 65,536 others have ended since.
    pub fn pid(&self, pid: &wire::Pid) -> Pid {
        let shared = self.0.shared();
        if shared.is_ours(pid) {
            return shared.pid_here(pid).unwrap_or_else(Pid::nobody);
        }
        match &self.0 {
            Route::Connection(connection) | Route::First(connection) => connection.there(pid),
            Route::Node(shared, _) => shared.elsewhere(pid),
        }
    }

    /// Has `process` monitor whatever process has `name` there. The [`Down`](twoply_core::actor::Down)
    /// carries the name.
    ///
    /// # Panics
    /// When `name` has more than 255 characters.
    pub fn monitor<M: Send + 'static>(&self, process: &Process<M>, name: &str) -> MonitorRef {
        remote::monitor_name(process, &self.named(name).0, name)
    }

    /// Does something as soon as the node is connected, or never.
    pub(crate) fn when_open(&self, step: impl FnOnce(&Arc<Connection>) + Send + 'static) {
        if let Some(connection) = self.0.open() {
            return step(&connection);
        }
        let step = Box::new(move |connection: Option<&Arc<Connection>>| {
            if let Some(connection) = connection {
                step(connection);
            }
        });
        // Signals are never refused.
        let _ = self.0.shared().when_open(self.0.name(), Kind::Signal, step);
    }

    fn named(&self, name: &str) -> (Pid, Arc<There>) {
        let name = Atom::new(name).unwrap_or_else(|error| panic!("{error}"));
        let shared = self.0.shared();
        let there = There::new(self.0.clone(), Target::Name(name));
        (shared.stand_in(self.0.name(), Arc::clone(&there) as _), there)
    }
}

impl Shared {
    /// Returns a pid that stands for something of a node that has no number of its own, whichever incarnation
    /// of the node that is.
    pub(crate) fn stand_in(&self, node: &str, endpoint: Arc<dyn remote::Endpoint>) -> Pid {
        // A number that no process there has: those count from below.
        let serial = u64::MAX - self.number();
        remote::pid(&self.nodes.node(node, 0), serial, endpoint)
    }

    /// Returns the pid of a process of another node, which is connected when something is done to it.
    pub(crate) fn elsewhere(self: &Arc<Self>, pid: &wire::Pid) -> Pid {
        let route = Route::Node(Arc::clone(self), Arc::from(&*pid.node));
        let endpoint = There::new(route, Target::Pid(pid.clone()));
        remote::pid(&self.nodes.node(&pid.node, pid.creation), serial(pid), endpoint)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("name", &self.name()).finish()
    }
}
