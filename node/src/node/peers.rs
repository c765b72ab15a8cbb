//! The other nodes: finding them, connecting to them, being connected to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use twoply_core::actor::{MonitorRef, Pid, Process, ProcessRef, remote};
use twoply_core::channel::broadcast;
use twoply_core::net::{TcpListener, TcpStream, lookup};
use twoply_core::sync::Notify;
use twoply_core::time::timeout_at;

use super::{Node, Shared};
use crate::connection::{self, Connection, Nobody, There};
use crate::meet::{self, ConnectError, in_time};
use crate::wire::{self, Atom, HandshakeError, Status, Target, ToTerm, split_name};

/// The handshakes that others may have begun at a time.
const MAX_PENDING: usize = 128;
/// The events that a receiver may fall behind.
const EVENTS: usize = 256;

/// What becomes of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// This node and another one are connected.
    Up {
        /// The name of the other node.
        name: String,
    },
    /// They are no longer connected. Links and monitors have been told.
    Down {
        /// The name of the other node.
        name: String,
        /// The reason, in words.
        why: String,
    },
    /// Somebody has tried to connect, and was refused.
    Refused {
        /// The name that it has told, if any.
        name: Option<String>,
        /// The reason, in words.
        why: String,
    },
}

/// What is known of the other nodes.
pub(super) struct Peers {
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Tells those who wait for a connection that somebody else makes.
    changed: Notify,
    events: broadcast::Sender<Event>,
    discovery: Discovery,
    address: SocketAddr,
    /// The handshakes that others have begun.
    pending: AtomicUsize,
}

/// How far two nodes are.
enum Slot {
    /// This node connects, and the number tells attempts apart.
    Ours(u64),
    /// The other node connects.
    Theirs(u64),
    Up(Arc<Connection>),
}

/// Where the addresses of nodes are known.
pub(super) struct Discovery {
    epmd: Option<SocketAddr>,
    known: Mutex<BTreeMap<String, SocketAddr>>,
}

impl Discovery {
    pub(super) fn new(epmd: Option<SocketAddr>, known: Vec<(String, SocketAddr)>) -> Discovery {
        Discovery { epmd, known: Mutex::new(known.into_iter().collect()) }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, SocketAddr>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(&self, name: &str) -> Result<SocketAddr, ConnectError> {
        let known = self.known().get(name).copied();
        if let Some(address) = known {
            return Ok(address);
        }
        let (alive, host) = split_name(name)?;
        let epmd = self.epmd.ok_or(ConnectError::Unknown)?;
        let host: IpAddr = match host.parse() {
            Ok(address) => address,
            Err(_) => {
                let addresses = lookup((host, epmd.port())).await?;
                addresses.into_iter().next().ok_or(ConnectError::Unknown)?.ip()
            }
        };
        let port = meet::port((host, epmd.port()).into(), alive).await?;
        Ok((host, port).into())
    }
}

impl Peers {
    pub(super) fn new(discovery: Discovery, address: SocketAddr) -> Peers {
        let (events, _) = broadcast::channel(EVENTS);
        let (changed, pending) = (Notify::new(), AtomicUsize::new(0));
        Peers { slots: Mutex::default(), changed, events, discovery, address, pending }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        // Nothing panics under this lock.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let slots = self.slots();
        slots.iter().filter(|(_, slot)| matches!(slot, Slot::Up(_))).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(super) fn tell(&self, event: Event) {
        // Nobody may listen.
        let _ = self.events.send(event);
    }

    fn connected(&self, name: &str) -> Option<Arc<Connection>> {
        match self.slots().get(name) {
            Some(Slot::Up(connection)) => Some(Arc::clone(connection)),
            _ => None,
        }
    }

    /// Removes a connection that has ended.
    pub(super) fn remove(&self, connection: &Arc<Connection>) {
        let mut slots = self.slots();
        let name = &connection.peer.name;
        let is_it = matches!(slots.get(name), Some(Slot::Up(other)) if Arc::ptr_eq(other, connection));
        let slot = if is_it { slots.remove(name) } else { None };
        drop(slots);
        drop(slot);
        self.changed.notify_waiters();
    }

    /// Returns all connections; nobody finds them any more.
    pub(super) fn take_all(&self) -> Vec<Arc<Connection>> {
        let slots = std::mem::take(&mut *self.slots());
        self.changed.notify_waiters();
        let up = slots.into_values().filter_map(|slot| match slot {
            Slot::Up(connection) => Some(connection),
            _ => None,
        });
        up.collect()
    }
}

/// An attempt at a connection. It is given up when this is dropped, unless it has succeeded.
pub(crate) struct Peering {
    shared: Arc<Shared>,
    name: String,
    number: u64,
}

impl Peering {
    fn is_in(&self, slot: Option<&Slot>) -> bool {
        matches!(slot, Some(Slot::Ours(number) | Slot::Theirs(number)) if *number == self.number)
    }

    /// Returns true if this attempt still counts.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_in(self.shared.peers.slots().get(&self.name))
    }

    /// Ends the connection that there has been, if there is one, and waits until everybody has been told.
    pub(crate) async fn end_the_last(&self) {
        if let Some(connection) = self.shared.peers.connected(&self.name) {
            connection.stop("the node has connected again");
            connection.over.cancelled().await;
        }
    }

    /// Enters the connection, unless another one has been quicker. Returns it where it is the one.
    fn up(self, connection: Arc<Connection>) -> Option<Arc<Connection>> {
        let mut slots = self.shared.peers.slots();
        let is_free = match slots.get(&self.name) {
            None | Some(Slot::Theirs(_)) => true,
            slot => self.is_in(slot),
        };
        if self.shared.over.is_cancelled() || !is_free {
            return None;
        }
        slots.insert(self.name.clone(), Slot::Up(Arc::clone(&connection)));
        drop(slots);
        Some(connection)
    }
}

impl Drop for Peering {
    fn drop(&mut self) {
        let mut slots = self.shared.peers.slots();
        if self.is_in(slots.get(&self.name)) {
            slots.remove(&self.name);
        }
        drop(slots);
        self.shared.peers.changed.notify_waiters();
    }
}

impl Shared {
    /// Says what is to become of a node that calls itself `name`, of which nothing is proved. Without a
    /// [`Peering`] it is refused.
    pub(crate) fn called(self: &Arc<Self>, name: &str) -> (Status, Option<Peering>) {
        let number = self.number();
        let mut slots = self.peers.slots();
        let status = match slots.get(name) {
            _ if name == self.own.name => Status::NotAllowed,
            None => Status::Ok,
            // Both connect at once: the attempt of the greater name goes on.
            Some(Slot::Ours(_)) if *self.own.name < *name => Status::OkSimultaneous,
            Some(Slot::Ours(_)) => Status::Nok,
            // Of several that call themselves so, the one that proves it first is the one.
            Some(Slot::Theirs(_)) => Status::Ok,
            Some(Slot::Up(_)) => Status::Alive,
        };
        if matches!(status, Status::Ok | Status::OkSimultaneous) {
            slots.insert(name.to_owned(), Slot::Theirs(number));
        }
        drop(slots);
        let welcome = !matches!(status, Status::Nok | Status::NotAllowed);
        let peering = Peering { shared: Arc::clone(self), name: name.to_owned(), number };
        (status, welcome.then_some(peering))
    }

    fn start(&self, peering: Peering, met: meet::Met) -> Option<Arc<Connection>> {
        let (peer, stream, rest) = met;
        let connection = Connection::new(&peering.shared, peer, stream);
        let connection = peering.up(connection)?;
        self.peers.tell(Event::Up { name: connection.peer.name.clone() });
        connection::start(&connection, rest);
        self.peers.changed.notify_waiters();
        Some(connection)
    }

    /// Returns the connection to a node, and makes it if there is none.
    async fn connection(self: &Arc<Self>, name: &str) -> Result<Arc<Connection>, ConnectError> {
        if name == self.own.name {
            return Err(ConnectError::Itself);
        }
        wire::check_peer_name(&self.own.name, name)?;
        // Set when the other node has said that it is connecting itself: its attempt is waited for.
        let mut theirs_until = None;
        loop {
            let changed = self.peers.changed.notified();
            match (self.begin(name, theirs_until.is_some())?, theirs_until) {
                (Begun::Up(connection), _) => return Ok(connection),
                (Begun::Elsewhere, None) => changed.await,
                (Begun::Elsewhere, Some(until)) => {
                    timeout_at(until, changed).await.map_err(|_| HandshakeError::Nok)?;
                }
                (Begun::Here(peering), _) => {
                    let meeting = async {
                        let address = self.peers.discovery.find(name).await?;
                        meet::connect(self, &peering, name, address).await
                    };
                    match in_time(meeting).await {
                        Ok(met) => {
                            if let Some(connection) = self.start(peering, met) {
                                return Ok(connection);
                            }
                        }
                        // The peer goes on with its own attempt.
                        Err(ConnectError::Handshake(HandshakeError::Nok)) => {
                            theirs_until = Some(Instant::now() + meet::PATIENCE);
                        }
                        Err(_) if !peering.is_wanted() => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Looks how far an attempt is, and begins one if there is none, unless the other node's `is_theirs`.
    fn begin(self: &Arc<Self>, name: &str, is_theirs: bool) -> Result<Begun, ConnectError> {
        let mut slots = self.peers.slots();
        if self.over.is_cancelled() {
            return Err(ConnectError::Closed);
        }
        Ok(match slots.get(name) {
            Some(Slot::Up(connection)) => Begun::Up(Arc::clone(connection)),
            Some(_) => Begun::Elsewhere,
            None if is_theirs => Begun::Elsewhere,
            None => {
                let number = self.number();
                slots.insert(name.to_owned(), Slot::Ours(number));
                drop(slots);
                Begun::Here(Peering { shared: Arc::clone(self), name: name.to_owned(), number })
            }
        })
    }
}

/// How far an attempt at a connection is when it begins.
enum Begun {
    Up(Arc<Connection>),
    /// Somebody else makes it.
    Elsewhere,
    Here(Peering),
}

/// Takes connections until the node is shut down.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let mut incoming = listener.into_incoming();
    loop {
        let accepted = twoply_core::select! {
        await;
            accepted = incoming.accept() => accepted,
            () = shared.over.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { return };
        if shared.peers.pending.fetch_add(1, Relaxed) >= MAX_PENDING {
            shared.peers.pending.fetch_sub(1, Relaxed);
            let why = "too many are connecting".to_owned();
            shared.peers.tell(Event::Refused { name: None, why });
            continue;
        }
        drop(shared.spawner.spawn(welcome(Pending(Arc::clone(&shared)), stream)));
    }
}

/// Counts a handshake that somebody else has begun.
struct Pending(Arc<Shared>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.peers.pending.fetch_sub(1, Relaxed);
    }
}

/// Meets a node that has connected.
async fn welcome(pending: Pending, stream: TcpStream) {
    let shared = &pending.0;
    let mut name = None;
    let met = twoply_core::select! {
        await;
        met = in_time(meet::accept(shared, stream, &mut name)) => met,
        () = shared.over.cancelled() => return,
    };
    match met {
        Ok((met, peering)) => drop(shared.start(peering, met)),
        Err(error) => shared.peers.tell(Event::Refused { name, why: error.to_string() }),
    }
}

impl Node {
    /// Returns the address that the node listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared().peers.address
    }

    /// Tells the address of another node, as [`Builder::peer`](super::Builder::peer) does before the start.
    pub fn add_peer(&self, name: impl Into<String>, address: SocketAddr) {
        self.shared().peers.discovery.known().insert(name.into(), address);
    }

    /// Connects to the node `name`, unless it is connected already.
    ///
    /// Where the other node connects at the same time, one of the two attempts is given up.
    ///
    /// # Errors
    /// When the node is not found, does not answer within 7 seconds, or refuses this one.
    ///
    /// # Cancel safety
    /// Dropping the future gives the attempt up.
    pub async fn connect(&self, name: &str) -> Result<Remote, ConnectError> {
        self.shared().connection(name).await.map(Remote)
    }

    /// Returns a connected node.
    pub fn connected(&self, name: &str) -> Option<Remote> {
        self.shared().peers.connected(name).map(Remote)
    }

    /// Ends the connection to a node: links and monitors are told `noconnection`. Returns false if there is
    /// none.
    pub fn disconnect(&self, name: &str) -> bool {
        let connected = self.connected(name);
        connected.is_some_and(|remote| {
            remote.0.stop("this node has disconnected");
            true
        })
    }
}

/// Another node, for as long as the connection to it lasts. When it has ended, sends to its processes fail,
/// and links and monitors are answered `noconnection`; [`Node::connect`] makes another one.
#[derive(Clone)]
pub struct Remote(pub(super) Arc<Connection>);

impl Remote {
    /// Returns the name of the node.
    pub fn name(&self) -> &str {
        &self.0.peer.name
    }

    /// Returns what the two nodes have agreed on.
    pub fn agreed(&self) -> wire::Flags {
        self.0.peer.agreed
    }

    /// Returns a reference to whatever process has `name` there, for messages. It is one like any: `send`
    /// waits while more than 1 MiB is queued for the node, and `try_send` says that it is full. A message
    /// that no term says, such as a float that is no number, is handed back as if the process had ended.
    ///
    /// To be linked, a process has to be known by its pid.
    ///
    /// # Panics
    /// When `name` has more than 255 characters.
    pub fn process<M: ToTerm + Send + 'static>(&self, name: &str) -> ProcessRef<M> {
        let (pid, there) = self.named(name);
        remote::process_ref(pid, there)
    }

    /// Returns a reference to the process with a pid that came from there. A pid of this node is nobody: what
    /// is sent to it is handed back.
    pub fn process_of<M: ToTerm + Send + 'static>(&self, pid: &wire::Pid) -> ProcessRef<M> {
        let shared = &self.0.shared;
        if shared.is_ours(pid) {
            let row = shared.nodes.node(&pid.node, pid.creation);
            let nobody = remote::pid(&row, connection::serial(pid), Arc::new(Nobody));
            return remote::process_ref(nobody, Arc::new(Nobody));
        }
        let there = There::new(Arc::clone(&self.0), Target::Pid(pid.clone()));
        remote::process_ref(self.pid(pid), there)
    }

    /// Returns the process with a pid that came from there, to link, monitor and end it.
    ///
    /// A pid of this node is that process, if it is alive and others know it; else it is nobody.
    pub fn pid(&self, pid: &wire::Pid) -> Pid {
        match self.0.shared.is_ours(pid) {
            true => self.0.shared.pid_here(pid).unwrap_or_else(Pid::nobody),
            false => self.0.there(pid),
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

    fn named(&self, name: &str) -> (Pid, Arc<There>) {
        let name = Atom::new(name).unwrap_or_else(|error| panic!("{error}"));
        let there = There::new(Arc::clone(&self.0), Target::Name(name));
        // A number of its own, which no process there has: those count from below.
        let serial = u64::MAX - self.0.shared.number();
        (remote::pid(&self.0.row, serial, Arc::clone(&there) as _), there)
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("name", &self.name()).finish()
    }
}
