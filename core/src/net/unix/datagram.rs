//! Datagrams between the processes of one machine.

use std::io;

use super::super::convert::std_counterpart;
use super::super::endpoint::{Datagram, Endpoint, Unix};
use super::super::sys;
use crate::event::reactor::{Address, SocketKind, UnixAddr};
use crate::kernel::world;

/// A socket that sends and receives messages within one machine. None of them is lost, and they arrive in
/// order: whoever sends to a receiver that has no room waits.
///
/// A socket that is bound to a path makes a file there, which stays until somebody removes it.
///
/// ```
/// use twoply::{Wait, net::{UnixAddr, UnixDatagram}};
///
/// let name = UnixAddr::Abstract(format!("twoply datagrams {}", std::process::id()).into());
/// let server = UnixDatagram::bind(&name)?;
/// let client = UnixDatagram::unbound()?;
/// client.send_to(b"hello", &name).wait()?;
/// let mut buf = [0; 16];
/// let (received, from) = server.recv_from(&mut buf).wait()?;
/// assert_eq!(&buf[..received.len], b"hello");
/// assert_eq!(from, UnixAddr::Unnamed);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type UnixDatagram = Endpoint<Unix, Datagram>;

impl UnixDatagram {
    /// Makes a socket with the given address, to which others send.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path or a name that the system cannot represent,
    /// which the error says; [`AddrInUse`](io::ErrorKind::AddrInUse) when there is a file at the path, even
    /// if nobody uses it any more; else whatever the operating system says.
    ///
    /// ```
    /// use twoply::net::UnixDatagram;
    ///
    /// let path = std::env::temp_dir().join(format!("twoply-datagrams-{}", std::process::id()));
    /// let socket = UnixDatagram::bind(&path)?;
    /// assert_eq!(socket.local_addr()?.path(), Some(path.as_path()));
    /// std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(address: impl Into<UnixAddr>) -> io::Result<UnixDatagram> {
        let address = address.into();
        address.check()?;
        let address = Address::Unix(address);
        let socket = UnixDatagram::open(&address)?;
        sys::bind(socket.io(), &address)?;
        Ok(socket)
    }

    /// Makes a socket without an address, which can send and be [connected](UnixDatagram::connect).
    ///
    /// # Errors
    /// When the process or the system is out of descriptors or memory.
    ///
    /// ```
    /// use twoply::net::{UnixAddr, UnixDatagram};
    ///
    /// assert_eq!(UnixDatagram::unbound()?.local_addr()?, UnixAddr::Unnamed);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::open(&Address::Unix(UnixAddr::Unnamed))
    }

    /// Makes two sockets that are connected with each other.
    ///
    /// # Errors
    /// When the process or the system is out of descriptors or memory.
    ///
    /// ```
    /// use twoply::{Wait, net::UnixDatagram};
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// ours.send(b"one").wait()?;
    /// ours.send(b"two").wait()?;
    /// assert_eq!(theirs.recv(&mut [0; 8]).wait()?.len, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let world = world::current();
        let [one, other] = sys::socket_pair(world.as_deref(), SocketKind::Datagram)?;
        Ok((UnixDatagram::new(one, Datagram), UnixDatagram::new(other, Datagram)))
    }

    /// Connects to `address`: [`send`](Endpoint::send) goes there from now on, and nothing comes from
    /// anywhere else.
    ///
    /// # Errors
    /// As [`bind`](UnixDatagram::bind); [`NotFound`](io::ErrorKind::NotFound) without a file at the path,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody has the address.
    ///
    /// ```
    /// use twoply::{Wait, net::{UnixAddr, UnixDatagram}};
    ///
    /// let name = UnixAddr::Abstract(format!("twoply peers {}", std::process::id()).into());
    /// let server = UnixDatagram::bind(&name)?;
    /// let client = UnixDatagram::unbound()?;
    /// client.connect(&name)?;
    /// client.send(b"hello").wait()?;
    /// assert_eq!(server.recv(&mut [0; 8]).wait()?.len, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect(&self, address: impl Into<UnixAddr>) -> io::Result<()> {
        let address = address.into();
        address.check()?;
        sys::connect(self.io(), &Address::Unix(address)).map(drop)
    }

    /// Makes a socket in blocking mode.
    fn open(address: &Address) -> io::Result<UnixDatagram> {
        let world = world::current();
        let io = sys::socket(world.as_deref(), SocketKind::Datagram, address)?;
        Ok(UnixDatagram::new(io, Datagram))
    }
}

std_counterpart! {
    UnixDatagram, std::os::unix::net::UnixDatagram,
    /// use twoply::net::UnixDatagram;
    ///
    /// let (ours, _theirs) = UnixDatagram::pair()?;
    /// let ours: std::os::unix::net::UnixDatagram = ours.into_std()?;
    /// let ours = UnixDatagram::from(ours);
    /// # drop(ours);
}
