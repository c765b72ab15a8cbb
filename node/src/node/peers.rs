//! The other nodes: finding them, connecting to them, being connected to.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use twoply_core::channel::{self, Receiver, Sender, TrySendError};
use twoply_core::net::{TcpListener, TcpStream, lookup};
use twoply_core::sync::Notify;
use twoply_core::time::{now, timeout_at};

use self::peering::By;
use super::queue::Queues;
use super::remote::{Remote, Route};
use super::{Node, Shared};
use crate::connection::{self, Connection};
use crate::meet::{self, ConnectError, in_time};
use crate::wire::{self, Atom, HandshakeError, Status, split_name};

pub(crate) use self::peering::Peering;

mod peering;

/// The handshakes that others may have begun at a time.
const MAX_PENDING: usize = 128;
/// The events that a receiver may fall behind.
const EVENTS: usize = 256;

/// A change of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// This node and another one are connected.
    Up {
        /// The name of the other node.
        name: String,
    },
    /// They are no longer connected. Links and monitors have been told. The next connection to that node is
    /// made after this.
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
    /// This many events are missing here, since the receiver has fallen behind.
    Missed(u64),
}

/// Somebody who is told of events.
struct Listener {
    events: Sender<Event>,
    /// The events for which there was no room.
    missed: AtomicU64,
}

impl Listener {
    /// Tells an event, behind the number of those that were missed. Returns false if nobody listens any more.
    fn tell(&self, event: &Event) -> bool {
        let missed = self.missed.swap(0, Relaxed);
        let mut told = Ok(());
        if missed > 0 {
            told = self.events.try_send(Event::Missed(missed));
        }
        match told.and_then(|()| self.events.try_send(event.clone())) {
            Ok(()) => true,
            Err(TrySendError::Full(Event::Missed(missed))) => {
                self.missed.fetch_add(missed + 1, Relaxed);
                true
            }
            Err(TrySendError::Full(_)) => {
                self.missed.fetch_add(1, Relaxed);
                true
            }
            Err(_) => false,
        }
    }
}

/// The other nodes, as far as they are known.
pub(super) struct Peers {
    slots: Mutex<BTreeMap<String, Slot>>,
    /// Tells those who wait for a connection that somebody else makes.
    changed: Notify,
    listeners: Mutex<Vec<Arc<Listener>>>,
    /// The queues for nodes that are being connected.
    pub(super) queues: Queues,
    discovery: Discovery,
    address: SocketAddr,
    /// The handshakes that others have begun.
    pending: AtomicUsize,
}

/// The state of the way to another node.
enum Slot {
    /// This node connects, and the number tells attempts apart.
    Ours(u64),
    /// The other node connects.
    Theirs(u64),
    Up(Arc<Connection>),
    /// The connection has ended, and not everybody has been told of that. Nobody finds it, and nobody makes
    /// the next one yet.
    Ending(Arc<Connection>),
}

/// Where the addresses of nodes are known.
pub(super) struct Discovery {
    epmd: Option<SocketAddr>,
    known: Mutex<BTreeMap<String, SocketAddr>>,
    resolver: Option<Resolver>,
}

/// The program's own way to find nodes.
pub(super) struct Resolver(pub(super) Box<dyn Fn(String) -> Finding + Send + Sync>);

type Finding = Pin<Box<dyn Future<Output = io::Result<Option<SocketAddr>>> + Send>>;

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Discovery {
    pub(super) fn new(
        epmd: Option<SocketAddr>,
        known: Vec<(String, SocketAddr)>,
        resolver: Option<Resolver>,
    ) -> Discovery {
        Discovery { epmd, known: Mutex::new(known.into_iter().collect()), resolver }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, SocketAddr>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(&self, name: &str) -> Result<SocketAddr, ConnectError> {
        let known = self.known().get(name).copied();
        if let Some(address) = known {
            return Ok(address);
        }
        if let Some(Resolver(find)) = &self.resolver
            && let Some(address) = find(name.to_owned()).await?
        {
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
        Peers {
            slots: Mutex::default(),
            changed: Notify::new(),
            listeners: Mutex::default(),
            queues: Queues::default(),
            discovery,
            address,
            pending: AtomicUsize::new(0),
        }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        // Nothing panics under this lock.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the names of the nodes that are connected, and for which nothing waits any more.
    pub(super) fn names(&self) -> Vec<String> {
        let slots = self.slots();
        let up = slots.iter().filter(|(_, slot)| matches!(slot, Slot::Up(_)));
        let names: Vec<String> = up.map(|(name, _)| name.clone()).collect();
        drop(slots);
        names.into_iter().filter(|name| !self.queues.has(name)).collect()
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subscribe(&self) -> Receiver<Event> {
        let (events, receiver) = channel::bounded(EVENTS);
        self.listeners().push(Arc::new(Listener { events, missed: AtomicU64::new(0) }));
        receiver
    }

    /// Tells all who listen. Their wakers are code of others, so no lock is held.
    pub(super) fn tell(&self, event: Event) {
        let listeners = self.listeners().clone();
        for listener in listeners {
            if !listener.tell(&event) {
                self.listeners().retain(|other| !Arc::ptr_eq(other, &listener));
            }
        }
    }

    /// Returns the connection to a node, even if others still wait in front of it.
    pub(super) fn up(&self, name: &str) -> Option<Arc<Connection>> {
        match self.slots().get(name) {
            Some(Slot::Up(connection)) => Some(Arc::clone(connection)),
            _ => None,
        }
    }

    /// Returns true if there is a connection to a node, even if others still wait in front of it.
    pub(super) fn is_up(&self, name: &str) -> bool {
        matches!(self.slots().get(name), Some(Slot::Up(_)))
    }

    /// Waits until `look` finds something, which it may after each change.
    async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = look() {
                return found;
            }
            changed.await;
        }
    }

    /// Has nobody find a connection any more, which has ended.
    pub(super) fn end(&self, connection: &Arc<Connection>) {
        let mut slots = self.slots();
        if let Some(slot) = slots.get_mut(&connection.peer.name)
            && slot.is_of(connection)
        {
            *slot = Slot::Ending(Arc::clone(connection));
        }
    }

    /// Removes a connection of whose end everybody has been told.
    pub(super) fn remove(&self, connection: &Arc<Connection>) {
        let mut slots = self.slots();
        let name = &connection.peer.name;
        let is_it = slots.get(name).is_some_and(|slot| slot.is_of(connection));
        let slot = if is_it { slots.remove(name) } else { None };
        drop(slots);
        drop(slot);
        self.changed.notify_waiters();
    }

    /// Returns all connections; nobody finds them any more.
    pub(super) fn take_all(&self) -> Vec<Arc<Connection>> {
        let slots = std::mem::take(&mut *self.slots());
        self.changed.notify_waiters();
        slots.values().filter_map(Slot::connection).cloned().collect()
    }
}

impl Slot {
    fn connection(&self) -> Option<&Arc<Connection>> {
        match self {
            Slot::Up(connection) | Slot::Ending(connection) => Some(connection),
            Slot::Ours(_) | Slot::Theirs(_) => None,
        }
    }

    fn is_of(&self, connection: &Arc<Connection>) -> bool {
        self.connection().is_some_and(|other| Arc::ptr_eq(other, connection))
    }
}

impl Shared {
    /// Says what is to become of a node that calls itself `name`, of which nothing is proved. Without a
    /// [`Peering`] it is refused. One whose last connection has ended is told when everybody here knows that.
    pub(crate) async fn called(self: &Arc<Self>, name: &str) -> (Status, Option<Peering>) {
        self.peers.until(|| self.status_of(name)).await
    }

    /// As [`Shared::called`]; `None` while not everybody knows that the last connection has ended.
    fn status_of(self: &Arc<Self>, name: &str) -> Option<(Status, Option<Peering>)> {
        let number = self.number();
        let mut slots = self.peers.slots();
        let slot = slots.get(name);
        let (status, is_entered) = match slot {
            _ if name == self.own.name => (Status::NotAllowed, false),
            Some(Slot::Ending(_)) => return None,
            None => (Status::Ok, true),
            // Both connect at once: the attempt of the greater name goes on.
            Some(Slot::Ours(_)) if *self.own.name < *name => (Status::OkSimultaneous, true),
            Some(Slot::Ours(_)) => (Status::Nok, false),
            // Of several that call themselves so, the one that proves it first is the one.
            Some(Slot::Theirs(_)) => (Status::Ok, false),
            Some(Slot::Up(_)) => (Status::Alive, false),
        };
        let last = slot.and_then(Slot::connection).cloned();
        if is_entered {
            slots.insert(name.to_owned(), Slot::Theirs(number));
        }
        drop(slots);
        let welcome = !matches!(status, Status::Nok | Status::NotAllowed);
        let by = By::Them(last);
        let peering = Peering { shared: Arc::clone(self), name: name.to_owned(), number, by };
        Some((status, welcome.then_some(peering)))
    }

    fn start(self: &Arc<Self>, peering: Peering, met: meet::Met) -> Option<Arc<Connection>> {
        let (peer, stream, rest) = met;
        let connection = Connection::new(self, peer, stream, matches!(peering.by, By::Us));
        if !peering.up(&connection) {
            return None;
        }
        drop(peering);
        self.end_queue(&connection);
        self.peers.tell(Event::Up { name: connection.peer.name.clone() });
        connection::start(&connection, rest);
        self.peers.changed.notify_waiters();
        Some(connection)
    }

    /// Returns the connection to a node, and makes it if there is none.
    pub(super) async fn connection(self: &Arc<Self>, name: &str) -> Result<Arc<Connection>, ConnectError> {
        if name == self.own.name {
            return Err(ConnectError::Itself);
        }
        wire::check_peer_name(&self.own.name, name)?;
        // Set when the other node has said that it is connecting itself: its attempt is waited for.
        let mut theirs_until = None;
        // Set when the last connection has ended and not everybody knows that.
        let mut ending_until = None;
        loop {
            let changed = self.peers.changed.notified();
            match (self.begin(name, theirs_until.is_some())?, theirs_until) {
                (Begun::Up(connection), _) => return Ok(connection),
                (Begun::Elsewhere, None) => changed.await,
                // Somebody who is told may take for ever, or wait for this connection.
                (Begun::Ending, _) => {
                    let until = *ending_until.get_or_insert_with(|| now() + meet::PATIENCE);
                    let changed = timeout_at(until, changed).await;
                    changed.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
                }
                (Begun::Elsewhere, Some(until)) => {
                    timeout_at(until, changed).await.map_err(|_| HandshakeError::Nok)?;
                }
                (Begun::Here(peering), _) => {
                    let meeting = async {
                        let address = self.peers.discovery.find(name).await?;
                        meet::connect(self, Some(&peering), name, address).await
                    };
                    let met = twoply_core::select! {
                    await;
                        met = in_time(meeting) => met,
                        // Nothing comes of this attempt any more.
                        () = self.peers.until(|| self.is_settled(name).then_some(())) => continue,
                    };
                    match met {
                        Ok((met, _)) => {
                            if let Some(connection) = self.start(peering, met) {
                                return Ok(connection);
                            }
                        }
                        // The peer goes on with its own attempt.
                        Err(ConnectError::Handshake(HandshakeError::Nok)) => {
                            theirs_until = Some(now() + meet::PATIENCE);
                        }
                        Err(_) if !peering.is_wanted() => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Connects this node, which has no name yet, to the node `name`, which gives it one.
    pub(super) async fn be_named(&mut self, name: &str) -> Result<meet::Met, ConnectError> {
        let meeting = async {
            let address = self.peers.discovery.find(name).await?;
            meet::connect(self, None, name, address).await
        };
        let (met, own) = in_time(meeting).await?;
        self.name = Atom::known(&own.name);
        self.own = own;
        Ok(met)
    }

    /// Returns true if nobody waits for an attempt to connect: there is a connection, or never will be.
    fn is_settled(&self, name: &str) -> bool {
        self.over.is_cancelled() || self.peers.is_up(name)
    }

    /// Has the connection that has [named](Shared::be_named) this node be one like any. The name lasts as
    /// long as it does, since the other node may give it to somebody else then.
    pub(super) fn begin_named(self: &Arc<Self>, name: &str, met: meet::Met) -> Result<(), ConnectError> {
        if let Begun::Here(peering) = self.begin(name, false)?
            && let Some(connection) = self.start(peering, met)
        {
            let shared = Arc::clone(self);
            drop(self.spawner.spawn(async move {
                connection.over.cancelled().await;
                shared.shut_down();
            }));
        }
        Ok(())
    }

    /// Looks how far an attempt is, and begins one if there is none, unless the other node's `is_theirs`.
    fn begin(self: &Arc<Self>, name: &str, is_theirs: bool) -> Result<Begun, ConnectError> {
        let has_queue = self.peers.queues.has(name);
        let mut slots = self.peers.slots();
        if self.over.is_cancelled() {
            return Err(ConnectError::Closed);
        }
        Ok(match slots.get(name) {
            // The queue for the connection goes first.
            Some(Slot::Up(_)) if has_queue => Begun::Elsewhere,
            Some(Slot::Up(connection)) => Begun::Up(Arc::clone(connection)),
            Some(Slot::Ending(_)) => Begun::Ending,
            Some(_) => Begun::Elsewhere,
            None if is_theirs => Begun::Elsewhere,
            None => {
                let number = self.number();
                slots.insert(name.to_owned(), Slot::Ours(number));
                drop(slots);
                let (shared, name) = (Arc::clone(self), name.to_owned());
                Begun::Here(Peering { shared, name, number, by: By::Us })
            }
        })
    }
}

/// The ways in which an attempt at a connection begins.
enum Begun {
    Up(Arc<Connection>),
    /// Somebody else makes it.
    Elsewhere,
    /// Not everybody knows that the last one has ended.
    Ending,
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
            shared.refuse(None, why);
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
        Err(error) => shared.refuse(name, error.to_string()),
    }
}

impl Node {
    /// Returns the address that the node listens on. Its port is 0 where the node takes
    /// [no connections](super::Builder::without_listener).
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
        self.shared().connection(name).await.map(|connection| Remote(Route::Connection(connection)))
    }

    /// Returns a connected node.
    pub fn connected(&self, name: &str) -> Option<Remote> {
        self.shared().open(name).map(|connection| Remote(Route::Connection(connection)))
    }

    /// Ends the connection to a node at once: links and monitors are told `noconnection`. What has been sent
    /// and does not go out at once is lost, some 64 KiB of it or more. Returns false if there is none.
    pub fn disconnect(&self, name: &str) -> bool {
        self.shared().peers.up(name).is_some_and(|connection| {
            connection.stop("this node has disconnected");
            true
        })
    }
}
