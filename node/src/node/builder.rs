//! The making of a node: its settings, its listener and its registration.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use twoply_core::net::{TcpListener, TcpStream};
use twoply_core::sync::CancellationToken;
use twoply_core::task::{SpawnError, Spawner};

use super::peers::{self, Discovery, Peers, Resolver};
use super::registration::Registration;
use super::{Node, Settings, Shared};
use crate::log::Log;
use crate::meet::{self, Buffers, ConnectError};
use crate::tls::Tls;
use crate::wire::{Atom, Flags, Limits, NameError, Own, check_peer_name, split_name};

/// The port of the port mapper, unless `ERL_EPMD_PORT` says another.
const EPMD: u16 = 4369;

/// The settings of a [`Node`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    /// The name; only its host where another node gives the name.
    name: String,
    /// The node that gives this one its name.
    named_by: Option<String>,
    cookie: String,
    /// Nothing where the node takes no connections.
    listen: Option<SocketAddr>,
    /// The ports of which one is to be listened on, instead of that of `listen`.
    ports: Option<RangeInclusive<u16>>,
    epmd: Option<SocketAddr>,
    peers: Vec<(String, SocketAddr)>,
    resolver: Option<Resolver>,
    tick_time: Duration,
    stall_time: Duration,
    limits: Limits,
    buffers: Buffers,
    hidden: bool,
    tls: Option<Tls>,
}

/// The reasons for which a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name is none of a node.
    #[error("the name of the node: {0}")]
    Name(#[from] NameError),
    /// A node needs a cookie, so that a foreign one does not get in by mistake.
    #[error("a node needs a cookie")]
    Cookie,
    /// The socket to listen on cannot be made, or nothing is random.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Another node of this host has the name, as the port mapper says.
    #[error("another node of this host has the name")]
    Taken,
    /// Nodes of this library are hidden. `global` on each visible node counts on all others to take part in
    /// its protocol: one that does not knows no global names, and keeps `global:sync` of the others waiting
    /// for as long as it is connected.
    #[error("a visible node has to take part in the protocol of `global`, which this library does not")]
    NotHidden,
    /// The port mapper does not answer.
    #[error("the port mapper: {0}")]
    Epmd(#[source] ConnectError),
    /// The node that is to give this one its name does not.
    #[error("the node that gives the name: {0}")]
    Naming(#[source] ConnectError),
    /// There is no backend to run on.
    #[error("{0}")]
    Spawn(#[from] SpawnError),
}

impl Builder {
    pub(super) fn new(name: String) -> Builder {
        let port = std::env::var("ERL_EPMD_PORT").ok().and_then(|port| port.parse().ok());
        Builder {
            name,
            named_by: None,
            cookie: String::new(),
            listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
            ports: None,
            epmd: Some((Ipv4Addr::LOCALHOST, port.unwrap_or(EPMD)).into()),
            peers: Vec::new(),
            resolver: None,
            tick_time: Duration::from_secs(60),
            stall_time: Duration::from_secs(30),
            limits: Limits::default(),
            buffers: Buffers::default(),
            hidden: true,
            tls: None,
        }
    }

    pub(super) fn named_by(host: String, node: String) -> Builder {
        Builder { named_by: Some(node), ..Builder::new(host) }
    }

    /// Sets the cookie, which all nodes of a cluster have. It is no security: whoever can read what nodes say
    /// to each other can take part in it.
    pub fn cookie(mut self, cookie: impl Into<String>) -> Builder {
        self.cookie = cookie.into();
        self
    }

    /// Sets the address to listen on; else it is a free port of the loopback interface. On another interface
    /// anybody who gets there and knows the cookie, or reads what nodes say, can do anything that a node can.
    /// Without TLS the start of such a node is told on the standard error stream.
    pub fn listen(mut self, address: SocketAddr) -> Builder {
        self.listen = Some(address);
        self
    }

    /// Has the node take no connections, as `-dist_listen false` does: it has no port and is not known to the
    /// port mapper, and connects to others, which can do anything over that connection that they ever can.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::node::Node;
    ///
    /// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
    /// let till = Node::builder("till@localhost").cookie("secret").without_epmd().without_listener();
    /// let till = till.peer(shop.name(), shop.local_addr()).start().wait()?;
    /// till.connect("shop@localhost").wait()?;
    /// assert_eq!(till.local_addr().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn without_listener(mut self) -> Builder {
        self.listen = None;
        self
    }

    /// Has the node listen on the first of these ports that is free, instead of the one of its address, as
    /// `inet_dist_listen_min` and `inet_dist_listen_max` do: those which a firewall lets through.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::node::Node;
    ///
    /// let node = Node::builder("shop@localhost").cookie("secret").without_epmd();
    /// let node = node.ports(42_000..=42_999).start().wait()?;
    /// assert!((42_000..=42_999).contains(&node.local_addr().port()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ports(mut self, ports: RangeInclusive<u16>) -> Builder {
        self.ports = Some(ports);
        self
    }

    /// Sets the address of the port mapper; else it is on this host, at port 4369 or the one that the
    /// variable `ERL_EPMD_PORT` says. This library starts none. When it is lost the node registers again,
    /// each 2 seconds, and its creation stays.
    pub fn epmd(mut self, address: SocketAddr) -> Builder {
        self.epmd = Some(address);
        self
    }

    /// Leaves the port mapper out: the node is found by nobody who is not told its address, and finds the
    /// [peers](Builder::peer) that it is told.
    pub fn without_epmd(mut self) -> Builder {
        self.epmd = None;
        self
    }

    /// Tells the address of another node, for which the port mapper is not asked.
    pub fn peer(mut self, name: impl Into<String>, address: SocketAddr) -> Builder {
        self.peers.push((name.into(), address));
        self
    }

    /// Has `find` say where nodes are whose address has not been [told](Builder::peer). The port mapper is
    /// asked for those that `find` knows nothing of. It is called for each attempt at a connection, in the
    /// task that makes it, and may take as long as one: 7 seconds.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::node::Node;
    ///
    /// let shop = Node::builder("shop@localhost").cookie("secret").without_epmd().start().wait()?;
    /// let address = shop.local_addr();
    /// let till = Node::builder("till@localhost").cookie("secret").without_epmd();
    /// let till = till.resolver(move |name| async move { Ok((name == "shop@localhost").then_some(address)) });
    /// till.start().wait()?.connect("shop@localhost").wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resolver<F, A>(mut self, find: F) -> Builder
    where
        F: Fn(String) -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<Option<SocketAddr>>> + Send + 'static,
    {
        self.resolver = Some(Resolver(Box::new(move |name| Box::pin(find(name)))));
        self
    }

    /// Sets how long a peer may say nothing until its connection is given up; else 60 seconds. Peers are to
    /// have the same: each writes something four times as often.
    pub fn tick_time(mut self, time: Duration) -> Builder {
        // The longest one leads to no instant that cannot be told.
        self.tick_time = time.clamp(Duration::from_millis(4), Duration::from_secs(365 * 86_400));
        self
    }

    /// Sets how long processes may receive none of the messages that wait for them until the connection is
    /// given up; else 30 seconds. That counts only where more wait than the [limits](Builder::limits) allow:
    /// until then a slow process holds up nobody else.
    pub fn stall_time(mut self, time: Duration) -> Builder {
        self.stall_time = time;
        self
    }

    /// Sets what a peer may make this node keep.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// Sets how many bytes may be in the system's buffer of a connection and not sent; else 64 KiB. Big
    /// messages go out by turns with small ones, but what is in that buffer goes out first. So this is a
    /// choice between the delay of small messages beside big ones and the rate of the big ones: 16 KiB cost
    /// a fifth of that rate, and with `u32::MAX` there is no limit, and there may be megabytes. Where a
    /// system does not know such a limit there is none either.
    ///
    /// A small message waits for the buffer of the other node as well, and in a node of Erlang's that grows
    /// to megabytes, too. It does not where that node has
    /// `-kernel inet_dist_listen_options '[{recbuf,65536}]'`, and `inet_dist_connect_options` for the
    /// connections that it makes; a node of this library has its [`unread_limit`](Builder::unread_limit).
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::node::Node;
    ///
    /// let node = Node::builder("shop@localhost").cookie("secret").without_epmd();
    /// // Its questions are not to wait for the pictures that it sends.
    /// let node = node.unsent_limit(16 << 10).start().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unsent_limit(mut self, bytes: u32) -> Builder {
        self.buffers.unsent = bytes;
        self
    }

    /// Sets about how many bytes may have come to a connection and not be read; else the system decides, and
    /// there may be megabytes, behind which a small message of the peer's waits. Big messages come slower
    /// with fewer bytes: by a third or a half with 64 KiB over the loopback interface, and over a long way by
    /// more, since no more than this comes in the time of a round trip. A system has a limit of its own for
    /// what can be asked for (Linux `net.core.rmem_max`, 208 KiB most often), and then the buffer does not
    /// grow with what comes: so more than that does not mean more than without this setting, but less.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::node::Node;
    ///
    /// let node = Node::builder("shop@localhost").cookie("secret").without_epmd();
    /// let node = node.unread_limit(64 << 10).start().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unread_limit(mut self, bytes: u32) -> Builder {
        self.buffers.unread = Some(bytes);
        self
    }

    /// Has all connections inside TLS: nodes without it are not met.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Builder {
        self.tls = Some(tls);
        self
    }

    /// Says whether the node is hidden, which it is if nothing is said. A visible one is refused, by
    /// [`StartError::NotHidden`].
    pub fn hidden(mut self, hidden: bool) -> Builder {
        self.hidden = hidden;
        self
    }

    /// Returns what listens, if anything is to.
    async fn bind(&self) -> io::Result<Option<(TcpListener, SocketAddr)>> {
        let listen = self.listen.filter(|_| self.named_by.is_none());
        let Some(listen) = listen else { return Ok(None) };
        let port = listen.port();
        let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
        for port in self.ports.clone().unwrap_or(port..=port) {
            match TcpListener::bind(SocketAddr::new(listen.ip(), port)).await {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    self.warn_of(address);
                    return Ok(Some((listener, address)));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    fn warn_of(&self, address: SocketAddr) {
        if !address.ip().is_loopback() && self.tls.is_none() {
            eprintln!(
                "twoply: the node {} listens on {address} without TLS: whoever reads what nodes say there can \
                 take part in it",
                self.name
            );
        }
    }

    /// Registers the node with the port mapper, if there is one and the node listens.
    async fn register(
        &self,
        alive: &str,
        address: Option<SocketAddr>,
    ) -> Result<(Option<(Registration, TcpStream)>, u32), StartError> {
        let (Some(epmd), Some(address)) = (self.epmd, address) else { return Ok((None, meet::challenge()?)) };
        let registration = Registration { epmd, alive: alive.to_owned(), port: address.port() };
        let (stream, creation) = registration.begin().await.map_err(|error| match error {
            ConnectError::Io(error) if error.kind() == io::ErrorKind::AddrInUse => StartError::Taken,
            error => StartError::Epmd(error),
        })?;
        Ok((Some((registration, stream)), creation))
    }

    /// Starts the node, on the backend of the calling task.
    ///
    /// # Errors
    /// When the name is none of a node, when there is no cookie, when nothing can listen, and when the port
    /// mapper does not answer or has the name, for 2 seconds: that of a node that has just ended is still
    /// taken. Where another node is to give the name, when it cannot be reached or gives none.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn start(self) -> Result<Node, StartError> {
        // A name on this host is as good as any other one, to check what is known of it.
        let name = self.named_by.as_ref().map(|_| format!("nobody@{}", self.name));
        let (alive, _) = split_name(name.as_ref().unwrap_or(&self.name))?;
        if let (Some(name), Some(namer)) = (&name, &self.named_by) {
            check_peer_name(name, namer)?;
        }
        if !self.hidden {
            return Err(StartError::NotHidden);
        }
        if self.cookie.is_empty() {
            return Err(StartError::Cookie);
        }
        let spawner = Spawner::current()?;
        let listener = self.bind().await?;
        let (registration, creation) = self.register(alive, listener.as_ref().map(|bound| bound.1)).await?;
        let address = listener.as_ref().map_or((Ipv4Addr::UNSPECIFIED, 0).into(), |bound| bound.1);
        let own = Own {
            // 0 is no incarnation.
            creation: creation.max(1),
            flags: Flags::OFFERED,
            cookie: self.cookie,
            name: self.name,
        };
        let mut shared = Shared {
            name: Atom::known(&own.name),
            own,
            spawner,
            settings: Settings {
                tick_time: self.tick_time,
                stall_time: self.stall_time,
                limits: self.limits,
                buffers: self.buffers,
                tls: self.tls,
            },
            nodes: Default::default(),
            locals: Arc::default(),
            functions: Default::default(),
            hooks: Mutex::default(),
            largest: Arc::default(),
            peers: Peers::new(Discovery::new(self.epmd, self.peers, self.resolver), address),
            over: CancellationToken::new(),
            last: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            undecodable: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            misunderstood: Log::default(),
            answers: Log::default(),
            panics: Log::default(),
            refusals: Log::default(),
        };
        let met = match &self.named_by {
            Some(namer) => Some((namer, shared.be_named(namer).await.map_err(StartError::Naming)?)),
            None => None,
        };
        let shared = Arc::new(shared);
        if let Some((registration, stream)) = registration {
            drop(shared.spawner.spawn(registration.stay(Arc::clone(&shared), stream)));
        }
        if let Some((listener, _)) = listener {
            drop(shared.spawner.spawn(peers::listen(Arc::clone(&shared), listener)));
        }
        let node = Node::new(shared);
        if let Some((namer, met)) = met {
            node.shared().begin_named(namer, met).map_err(StartError::Naming)?;
        }
        Ok(node)
    }
}
