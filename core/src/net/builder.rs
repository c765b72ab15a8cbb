//! Sockets of TCP before they are bound.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use super::addr::{Query, ToSocketAddrs};
use super::convert::std_listener;
use super::endpoint::{Endpoint, Ip, Listener};
use super::sys;
use crate::event::reactor::{Address, SocketKind};
use crate::kernel::world::{self, SocketOption, World};

/// A socket that accepts TCP connections.
///
/// Any number of tasks and threads may accept from one listener at a time. Dropping it closes it.
///
/// ```
/// use twoply::{Wait, net::{TcpListener, TcpStream}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let client = TcpStream::connect(listener.local_addr()?).wait()?;
/// let (server, peer) = listener.accept().wait()?;
/// assert_eq!(peer, client.local_addr()?);
/// # drop(server);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type TcpListener = Endpoint<Ip, Listener>;

impl TcpListener {
    /// Listens on the first of the addresses that can be had, with the default options of
    /// [`TcpListenerBuilder`].
    ///
    /// # Errors
    /// When names cannot be resolved, and the last error when no address can be had.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpListener};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpListener>> + Send {
        TcpListener::builder().bind(addrs)
    }

    /// Returns a builder with the default options.
    ///
    /// ```
    /// use twoply::{Wait, net::TcpListener};
    ///
    /// let listener = TcpListener::builder().backlog(16).bind("127.0.0.1:0").wait()?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> TcpListenerBuilder {
        TcpListenerBuilder::default()
    }
}

std_listener! {
    TcpListener, std::net::TcpListener,
    /// use twoply::net::TcpListener;
    ///
    /// let listener = TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// let listener: std::net::TcpListener = listener.into_std()?;
    /// # drop(listener);
}

/// The options of a new [`TcpListener`]; made by [`TcpListener::builder`].
///
/// ```
/// use twoply::{Wait, net::TcpListener};
///
/// let first = TcpListener::builder().reuse_port(true).bind("127.0.0.1:0").wait()?;
/// let second = TcpListener::builder().reuse_port(true).bind(first.local_addr()?).wait()?;
/// assert_eq!(second.local_addr()?, first.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TcpListenerBuilder {
    reuse_addr: bool,
    reuse_port: bool,
    backlog: u32,
    only_v6: Option<bool>,
}

impl Default for TcpListenerBuilder {
    fn default() -> TcpListenerBuilder {
        TcpListenerBuilder { reuse_addr: true, reuse_port: false, backlog: 1024, only_v6: None }
    }
}

impl TcpListenerBuilder {
    /// Sets whether an address may be taken over that old connections still linger on. Default: yes, as in
    /// std.
    pub fn reuse_addr(mut self, reuse: bool) -> TcpListenerBuilder {
        self.reuse_addr = reuse;
        self
    }

    /// Sets whether other listeners of the same user may share the address, the kernel spreading connections
    /// among them. Default: no. Closing one of them resets the connections that are queued for it.
    pub fn reuse_port(mut self, reuse: bool) -> TcpListenerBuilder {
        self.reuse_port = reuse;
        self
    }

    /// Sets how many connections may be waiting to be accepted. Default: 1024; the system has a limit of its
    /// own.
    pub fn backlog(mut self, connections: u32) -> TcpListenerBuilder {
        self.backlog = connections;
        self
    }

    /// Sets whether an IPv6 listener leaves IPv4 alone. Default: what the system's default is.
    pub fn only_v6(mut self, only: bool) -> TcpListenerBuilder {
        self.only_v6 = Some(only);
        self
    }

    /// Listens on the first of the addresses that can be had.
    ///
    /// # Errors
    /// When names cannot be resolved, and the last error when no address can be had.
    pub fn bind(self, addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpListener>> + Send {
        let query: Query = addrs.to_query();
        async move {
            let world = world::current();
            let world = world.as_deref();
            let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to listen on");
            for address in query.resolve(world).await? {
                match self.listen(world, address) {
                    Ok(listener) => return Ok(listener),
                    Err(e) => last = e,
                }
            }
            Err(last)
        }
    }

    fn listen(&self, world: Option<&dyn World>, address: SocketAddr) -> io::Result<TcpListener> {
        let address_ = Address::Ip(address);
        let io = sys::socket(world, SocketKind::Stream, &address_)?;
        sys::set_option(&io, SocketOption::ReuseAddr(self.reuse_addr))?;
        if self.reuse_port {
            sys::set_option(&io, SocketOption::ReusePort(true))?;
        }
        if let (Some(only), true) = (self.only_v6, address.is_ipv6()) {
            sys::set_option(&io, SocketOption::OnlyV6(only))?;
        }
        sys::bind(&io, &address_)?;
        sys::listen(&io, self.backlog)?;
        Ok(TcpListener::new(io, Listener { file: None }))
    }
}
