//! Sockets before they are bound or connected: their options.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use super::addr::{Query, ToSocketAddrs};
use super::connect::connect_any;
use super::endpoint::{Datagram, Endpoint, Ip, Listener, Stream};
use super::options::{as_size, number_of_routers, whole_millis, whole_seconds};
use super::sys;
use super::tcp::{TcpListener, TcpStream};
use super::udp::UdpSocket;
use crate::event::reactor::{Address, IoHandle, SocketKind};
use crate::kernel::world::{self, SocketOption, World};

/// The options of a TCP socket that is not made yet: it becomes a listener by [`bind`](TcpSocket::bind), or a
/// connection by [`connect`](TcpSocket::connect).
///
/// It holds options, not a descriptor, so it may be used several times, and each address that is tried gets a
/// socket of its own family with all of them.
///
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, net::TcpSocket};
///
/// let listener = TcpSocket::new().reuse_port(true).backlog(16).bind("127.0.0.1:0").wait()?;
/// let options = TcpSocket::new()
///     .nodelay(true)
///     .keepalive(Duration::from_secs(60), Duration::from_secs(10), 3)
///     .user_timeout(Duration::from_secs(30));
/// let client = options.connect(listener.local_addr()?).wait()?;
/// assert!(client.nodelay()?);
/// assert_eq!(client.keepalive_probes()?, 3);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type TcpSocket = SocketBuilder<Stream>;

/// The options of a UDP socket that is not made yet; made by [`UdpSocket::builder`].
///
/// ```
/// use twoply::{Wait, net::UdpSocket};
///
/// let options = UdpSocket::builder().ttl(3).broadcast(true);
/// assert_eq!(options.bind("127.0.0.1:0").wait()?.ttl()?, 3);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type UdpSocketBuilder = SocketBuilder<Datagram>;

/// The options of a socket that is not made yet: [`TcpSocket`] or [`UdpSocketBuilder`].
///
/// A value that the system cannot represent is an error of whatever makes the socket.
///
/// ```
/// use std::io::ErrorKind;
/// use twoply::{Wait, net::TcpSocket};
///
/// let options = TcpSocket::new().ttl(1_000);
/// let error = options.bind("127.0.0.1:0").wait().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidInput);
/// ```
#[derive(Clone, Debug)]
#[must_use = "the socket is made by `bind` or `connect`"]
pub struct SocketBuilder<R> {
    options: Options,
    backlog: u32,
    reuse_addr: Option<bool>,
    fast_open: bool,
    role: PhantomData<R>,
}

/// The options that each attempt to bind or connect begins with.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    /// The options in the order in which they were given.
    list: Vec<SocketOption>,
    only_v6: Option<bool>,
    /// The address to connect from.
    local: Option<SocketAddr>,
    /// The message for the first value that cannot be represented.
    refused: Option<String>,
}

impl Options {
    /// Sets the options of a new socket for `address`.
    pub(super) fn apply(&self, io: &IoHandle, address: &Address) -> io::Result<()> {
        if let Some(refused) = &self.refused {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, refused.clone()));
        }
        if let (Some(only), Address::Ip(SocketAddr::V6(_))) = (self.only_v6, address) {
            sys::set_option(io, SocketOption::OnlyV6(only))?;
        }
        self.list.iter().try_for_each(|option| sys::set_option(io, option.clone()))
    }

    /// As [`apply`](Options::apply), for a socket that is going to be connected.
    pub(super) fn apply_to_client(&self, io: &IoHandle, address: &Address) -> io::Result<()> {
        self.apply(io, address)?;
        self.local.map_or(Ok(()), |local| sys::bind(io, &local.into()))
    }
}

impl<R> SocketBuilder<R> {
    /// Returns the default options, which are the system's.
    pub fn new() -> SocketBuilder<R> {
        let options = Options::default();
        SocketBuilder { options, backlog: 1024, reuse_addr: None, fast_open: false, role: PhantomData }
    }

    /// Sets whether an address may be taken over that old connections still linger on. Default: yes for a
    /// listener, as in std, and no else. Of UDP it lets several sockets share an address, as members of a
    /// group do.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let member = || UdpSocket::builder().reuse_addr(true);
    /// let one = member().bind("127.0.0.1:0").wait()?;
    /// assert!(member().bind(one.local_addr()?).wait().is_ok());
    /// assert!(UdpSocket::bind(one.local_addr()?).wait().is_err(), "this one has not asked for it");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reuse_addr(mut self, reuse: bool) -> Self {
        self.reuse_addr = Some(reuse);
        self
    }

    /// Sets whether other sockets of the same user may share the address, the kernel spreading connections or
    /// datagrams among them. Default: no. Closing a listener resets the connections that are queued for it.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpSocket};
    ///
    /// let one = TcpSocket::new().reuse_port(true).bind("127.0.0.1:0").wait()?;
    /// let other = TcpSocket::new().reuse_port(true).bind(one.local_addr()?).wait()?;
    /// assert_eq!(one.local_addr()?, other.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reuse_port(self, reuse: bool) -> Self {
        self.with(SocketOption::ReusePort(reuse))
    }

    /// Sets whether a socket of IPv6 leaves IPv4 alone. Default: what the system's default is.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpSocket};
    ///
    /// // Both families have the port.
    /// if let Ok(six) = TcpSocket::new().only_v6(true).bind("[::]:0").wait() {
    ///     TcpSocket::new().bind(("0.0.0.0", six.local_addr()?.port())).wait()?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn only_v6(mut self, only: bool) -> Self {
        self.options.only_v6 = Some(only);
        self
    }

    /// Has all packets go through one interface of the network, by its name (`SO_BINDTODEVICE`), of at most
    /// 15 bytes. The system may ask for a privilege.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Wait, net::TcpSocket};
    ///
    /// let error = TcpSocket::new().device("too-long-for-a-name").bind("127.0.0.1:0").wait().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// ```
    pub fn device(self, name: &str) -> Self {
        if name.len() > 15 || name.is_empty() || name.contains('\0') {
            let message = format!("the name of an interface has 1 to 15 bytes without NUL, not {name:?}");
            return self.refuse(message);
        }
        self.with(SocketOption::Device(Some(name.to_string())))
    }

    /// Asks for a size of the buffer for what has arrived, in bytes; Linux doubles it, and has a limit of its
    /// own. Set before connecting, it is also the largest window that TCP can offer.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpSocket};
    ///
    /// let options = TcpSocket::new().recv_buffer_size(64 << 10).send_buffer_size(32 << 10);
    /// let listener = options.bind("127.0.0.1:0").wait()?;
    /// assert!(listener.recv_buffer_size()? >= 64 << 10);
    /// assert!(listener.send_buffer_size()? >= 32 << 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_buffer_size(self, bytes: usize) -> Self {
        self.with(SocketOption::ReceiveBuffer(as_size(bytes)))
    }

    /// Asks for a size of the buffer for what has been written, in bytes, likewise.
    pub fn send_buffer_size(self, bytes: usize) -> Self {
        self.with(SocketOption::SendBuffer(as_size(bytes)))
    }

    /// Sets how many routers a packet of IPv4 may pass, from 1 to 255.
    pub fn ttl(self, routers: u32) -> Self {
        self.with_checked(number_of_routers(routers).map(SocketOption::Ttl))
    }

    fn with(mut self, option: SocketOption) -> Self {
        self.options.list.push(option);
        self
    }

    fn with_checked(self, option: io::Result<SocketOption>) -> Self {
        match option {
            Ok(option) => self.with(option),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    fn refuse(mut self, message: String) -> Self {
        self.options.refused.get_or_insert(message);
        self
    }

    /// Makes a socket of the first of the addresses that `open` can use.
    async fn first<T>(
        query: Query,
        open: impl Fn(Option<&dyn World>, Address) -> io::Result<T>,
    ) -> io::Result<T> {
        let world = world::current();
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to bind to");
        for address in query.resolve(world.as_deref()).await? {
            match open(world.as_deref(), address.into()) {
                Ok(socket) => return Ok(socket),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    fn open(&self, world: Option<&dyn World>, kind: SocketKind, address: &Address) -> io::Result<IoHandle> {
        let io = sys::socket(world, kind, address)?;
        let reuse = self.reuse_addr.unwrap_or(kind == SocketKind::Stream);
        if reuse || self.reuse_addr.is_some() {
            sys::set_option(&io, SocketOption::ReuseAddr(reuse))?;
        }
        self.options.apply(&io, address)?;
        sys::bind(&io, address)?;
        Ok(io)
    }
}

impl<R> Default for SocketBuilder<R> {
    fn default() -> SocketBuilder<R> {
        SocketBuilder::new()
    }
}

impl TcpSocket {
    /// Sets how many connections may be waiting to be accepted. Default: 1024; the system has a limit of its
    /// own.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::TcpSocket};
    ///
    /// let listener = TcpSocket::new().backlog(16).bind("127.0.0.1:0").wait()?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn backlog(mut self, connections: u32) -> TcpSocket {
        self.backlog = connections;
        self
    }

    /// Sets whether small segments are sent at once ([`TcpStream::set_nodelay`]). What a listener accepts has
    /// the options of the listener.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpSocket, TcpStream}};
    ///
    /// let listener = TcpSocket::new().nodelay(true).bind("127.0.0.1:0").wait()?;
    /// let _client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (accepted, _) = listener.accept().wait()?;
    /// assert!(accepted.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn nodelay(self, nodelay: bool) -> TcpSocket {
        self.with(SocketOption::NoDelay(nodelay))
    }

    /// Has a peer that says nothing for the time `idle` probed each `interval`, and given up after so many
    /// probes. Units and limits are those of [`TcpStream::set_keepalive`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, net::{TcpListener, TcpSocket}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let options = TcpSocket::new().keepalive(Duration::from_secs(60), Duration::from_secs(10), 3);
    /// let client = options.connect(listener.local_addr()?).wait()?;
    /// assert_eq!(client.keepalive()?, Some(Duration::from_secs(60)));
    /// assert_eq!(client.keepalive_interval()?, Duration::from_secs(10));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn keepalive(self, idle: Duration, interval: Duration, probes: u32) -> TcpSocket {
        self.with_checked(whole_seconds(idle).map(|idle| SocketOption::KeepAlive(Some(idle))))
            .with_checked(whole_seconds(interval).map(SocketOption::KeepAliveInterval))
            .with(SocketOption::KeepAliveProbes(probes))
    }

    /// Sets how long data may stay without an acknowledgement ([`TcpStream::set_user_timeout`]), and how long
    /// connecting may take.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, net::{TcpListener, TcpSocket}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let limit = Duration::from_secs(20);
    /// let client = TcpSocket::new().user_timeout(limit).connect(listener.local_addr()?).wait()?;
    /// assert_eq!(client.user_timeout()?, Some(limit));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn user_timeout(self, time: Duration) -> TcpSocket {
        self.with_checked(whole_millis(time).map(|time| SocketOption::UserTimeout(Some(time))))
    }

    /// Sets what closing does to data that has not arrived ([`TcpStream::set_linger`]).
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, net::{TcpListener, TcpSocket}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let options = TcpSocket::new().linger(Some(Duration::ZERO));
    /// let client = options.connect(listener.local_addr()?).wait()?;
    /// assert_eq!(client.linger()?, Some(Duration::ZERO));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn linger(self, linger: Option<Duration>) -> TcpSocket {
        self.with_checked(linger.map(whole_seconds).transpose().map(SocketOption::Linger))
    }

    /// Sets whether the first data goes with the request to connect (TCP Fast Open, RFC 7413), of which a
    /// server may see a copy twice. A connection then stands before anybody has answered, and its first write
    /// says whether somebody does. It is used where both systems allow it.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::TcpSocket};
    ///
    /// let listener = TcpSocket::new().fast_open(true).bind("127.0.0.1:0").wait()?;
    /// let client = TcpSocket::new().fast_open(true).connect(listener.local_addr()?).wait()?;
    /// client.write_all(b"hello").wait()?;
    /// let (server, _) = listener.accept().wait()?;
    /// server.read_exact(&mut [0; 5]).wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fast_open(mut self, fast_open: bool) -> TcpSocket {
        self.fast_open = fast_open;
        self
    }

    /// Sets the address to connect from; port 0 leaves that to the system.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpSocket}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let options = TcpSocket::new().local_addr(([127, 0, 0, 2], 0).into());
    /// let client = options.connect(listener.local_addr()?).wait()?;
    /// assert_eq!(client.local_addr()?.ip().to_string(), "127.0.0.2");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(mut self, address: SocketAddr) -> TcpSocket {
        self.options.local = Some(address);
        self
    }

    /// Listens on the first of the addresses that can be had.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for an option that the system cannot represent; when
    /// names cannot be resolved, and the last error when no address can be had.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpSocket};
    ///
    /// let listener = TcpSocket::new().backlog(16).bind("127.0.0.1:0").wait()?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(self, addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpListener>> + Send {
        let query = addrs.to_query();
        Self::first(query, move |world, address| {
            let io = self.open(world, SocketKind::Stream, &address)?;
            if self.fast_open {
                sys::set_option(&io, SocketOption::FastOpenQueue(self.backlog))?;
            }
            sys::listen(&io, self.backlog)?;
            Ok(Endpoint::<Ip, Listener>::new(io, Listener { file: None }))
        })
    }

    /// Connects as [`TcpStream::connect`] does, with these options.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for an option that the system cannot represent; else as
    /// there.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpSocket}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let from = "127.0.0.2:0".parse().unwrap();
    /// let client = TcpSocket::new().local_addr(from).connect(listener.local_addr()?).wait()?;
    /// assert_eq!(client.local_addr()?.ip(), from.ip());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect(self, addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpStream>> + Send {
        let query = addrs.to_query();
        let mut options = self.options;
        if self.fast_open {
            options.list.push(SocketOption::FastOpenConnect(true));
        }
        if let Some(reuse) = self.reuse_addr {
            options.list.push(SocketOption::ReuseAddr(reuse));
        }
        async move {
            let world = world::current();
            let addresses = query.resolve(world.as_deref()).await?;
            Ok(TcpStream::new(connect_any(world.as_deref(), addresses, &options).await?, Stream))
        }
    }
}

impl UdpSocketBuilder {
    /// Sets whether datagrams may be sent to broadcast addresses ([`UdpSocket::set_broadcast`]).
    pub fn broadcast(self, allowed: bool) -> UdpSocketBuilder {
        self.with(SocketOption::Broadcast(allowed))
    }

    /// Makes a socket with the first of the addresses that can be had.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for an option that the system cannot represent; when
    /// names cannot be resolved, and the last error when no address can be had.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// // Two members of a group on one machine.
    /// let one = UdpSocket::builder().reuse_addr(true).bind("0.0.0.0:0").wait()?;
    /// let other = UdpSocket::builder().reuse_addr(true).bind(one.local_addr()?).wait()?;
    /// assert_eq!(one.local_addr()?, other.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(self, addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<UdpSocket>> + Send {
        let query = addrs.to_query();
        Self::first(query, move |world, address| {
            let io = self.open(world, SocketKind::Datagram, &address)?;
            Ok(UdpSocket::new(io, Datagram))
        })
    }
}
