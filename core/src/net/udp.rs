//! Sockets of UDP: datagrams, to and from anybody or one peer.

mod options;

use std::future::Future;
use std::io;

use super::addr::{Query, ToSocketAddrs};
use super::builder::UdpSocketBuilder;
use super::convert::std_counterpart;
use super::endpoint::{Datagram, Endpoint, Ip};
use super::sys;
use crate::kernel::world;

/// A socket that sends and receives datagrams of UDP, which may be lost, doubled, or arrive in any order.
///
/// ```
/// use twoply::{Wait, net::UdpSocket};
///
/// let server = UdpSocket::bind("127.0.0.1:0").wait()?;
/// let client = UdpSocket::bind("127.0.0.1:0").wait()?;
/// client.connect(server.local_addr()?).wait()?;
/// client.send(b"ping").wait()?;
///
/// let mut buf = [0; 1500];
/// let (received, from) = server.recv_from(&mut buf).wait()?;
/// assert!(!received.is_truncated());
/// server.send_to(&buf[..received.len], from).wait()?;
/// assert_eq!(client.recv(&mut buf).wait()?.len, 4);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type UdpSocket = Endpoint<Ip, Datagram>;

impl UdpSocket {
    /// Makes a socket with the first of the addresses that can be had. Names are resolved on another thread.
    ///
    /// # Errors
    /// When names cannot be resolved, and the last error when no address can be had.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// assert_ne!(socket.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<UdpSocket>> + Send {
        UdpSocket::builder().bind(addrs)
    }

    /// Returns a builder with the default options.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let socket = UdpSocket::builder().broadcast(true).bind("127.0.0.1:0").wait()?;
    /// assert!(socket.broadcast()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> UdpSocketBuilder {
        UdpSocketBuilder::new()
    }

    /// Connects to the first of the addresses that can be used: [`send`](Endpoint::send) goes there from now
    /// on, and nothing comes from anywhere else. No packet is sent.
    ///
    /// # Errors
    /// When names cannot be resolved, and the last error when no address can be used.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let server = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// let client = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// client.connect(server.local_addr()?).wait()?;
    /// assert_eq!(client.peer_addr()?, server.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect<'a, A: ToSocketAddrs>(
        &'a self,
        addrs: A,
    ) -> impl Future<Output = io::Result<()>> + Send + use<'a, A> {
        let query: Query = addrs.to_query();
        async move {
            let world = world::current();
            let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to");
            for address in query.resolve(world.as_deref()).await? {
                match sys::connect(self.io(), &address.into()) {
                    Ok(_) => return Ok(()),
                    Err(e) => last = e,
                }
            }
            Err(last)
        }
    }
}

std_counterpart! {
    UdpSocket, std::net::UdpSocket,
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// let socket: std::net::UdpSocket = socket.into_std()?;
    /// let socket = UdpSocket::from(socket);
    /// # drop(socket);
}
