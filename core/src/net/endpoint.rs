//! A socket of any family in any role: what streams, listeners and sockets of datagrams have in common.
//!
//! [`Endpoint`] has two parameters, neither of which is there when the program runs. The *family* says what
//! an address is ([`Ip`], [`Unix`]), the *role* what can be done ([`Stream`], [`Listener`], [`Datagram`]).
//! The operations of a role are written once for both families (`stream.rs`, `listener.rs`, `datagram.rs`),
//! those of all endpoints are written here, and the names that programs use are aliases:
//!
//! | | [`Stream`] | [`Listener`] | [`Datagram`] |
//! |---|---|---|---|
//! | [`Ip`] | [`TcpStream`](super::TcpStream) | [`TcpListener`](super::TcpListener) | [`UdpSocket`](super::UdpSocket) |
//! | [`Unix`] | [`UnixStream`](super::UnixStream) | [`UnixListener`](super::UnixListener) | [`UnixDatagram`](super::UnixDatagram) |
//!
//! Code that serves both families takes the family as a parameter:
//!
//! ```
//! use std::io;
//! use twoply::{Wait, net::UnixStream};
//! use twoply::net::endpoint::{Endpoint, Family, Stream};
//!
//! async fn greet<F: Family>(stream: &Endpoint<F, Stream>) -> io::Result<()> {
//!     stream.write_all(b"hello").await
//! }
//!
//! let (ours, theirs) = UnixStream::pair()?;
//! greet(&ours).wait()?;
//! theirs.read_exact(&mut [0; 5]).wait()?;
//! # Ok::<(), io::Error>(())
//! ```

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::options::as_size;
use super::socket::Socket;
use super::sys;
use super::unix::SocketFile;
use crate::event::reactor::{Address, IoHandle, IoSource, SocketOption, UnixAddr};
use crate::kernel::io::ByteStream;

/// A socket of the family `F` in the role `R`; see the [module](self).
///
/// Its operations take `&self`, and any number of tasks and threads may use it at a time. Dropping it closes
/// it.
///
/// # Examples
/// ```
/// use twoply::net::endpoint::{Endpoint, Stream, Unix};
/// use twoply::net::UnixStream;
///
/// let (ours, theirs): (Endpoint<Unix, Stream>, UnixStream) = UnixStream::pair()?;
/// assert_eq!(ours.try_write(b"hello")?, 5);
/// assert_eq!(theirs.try_read(&mut [0; 8])?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Endpoint<F, R> {
    /// The descriptor: in non-blocking mode for a listener, else in blocking mode.
    socket: Socket,
    role: R,
    family: PhantomData<F>,
}

/// The family of internet addresses, IPv4 and IPv6; see [`Family`].
#[derive(Clone, Copy, Debug)]
pub struct Ip;

/// The family of Unix sockets.
#[derive(Clone, Copy, Debug)]
pub struct Unix;

/// The role of a stream of bytes between two peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stream;

/// The role of a socket that accepts streams.
#[derive(Debug)]
pub struct Listener {
    /// The file that goes with the listener; only of a Unix socket.
    pub(super) file: Option<SocketFile>,
}

/// The role of a socket that sends and receives messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Datagram;

/// A family of addresses. Nobody else can implement it.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::{TcpListener, endpoint::{Endpoint, Family}}};
///
/// fn address<F: Family, R>(socket: &Endpoint<F, R>) -> std::io::Result<String> {
///     Ok(format!("{:?}", socket.local_addr()?))
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// assert!(address(&listener)?.starts_with("127.0.0.1:"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Family: sealed::Family {
    /// The addresses of its sockets.
    type Address: Clone + fmt::Debug + Eq + Into<Address> + Send + Sync + Unpin + 'static;
}

impl Family for Ip {
    type Address = SocketAddr;
}

impl Family for Unix {
    type Address = UnixAddr;
}

/// A role in which bytes are moved between peers. Nobody else can implement it.
///
/// # Examples
/// ```
/// use std::net::SocketAddr;
/// use twoply::{Wait, net::{UdpSocket, endpoint::{Endpoint, Ip, Transfer}}};
///
/// /// Takes a connection of TCP, and a connected socket of UDP.
/// fn is_local<R: Transfer>(socket: &Endpoint<Ip, R>) -> std::io::Result<bool> {
///     Ok(socket.peer_addr()?.ip().is_loopback())
/// }
///
/// let socket = UdpSocket::bind("127.0.0.1:0").wait()?;
/// socket.connect(socket.local_addr()?).wait()?;
/// assert!(is_local(&socket)?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Transfer: sealed::Role {}

impl Transfer for Stream {}
impl Transfer for Datagram {}

/// A connection that a listener has accepted, and the address of its peer.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::{TcpListener, TcpStream, endpoint::{Accepted, Ip}}};
///
/// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
/// let client = TcpStream::connect(listener.local_addr()?).wait()?;
/// let (connection, peer): Accepted<Ip> = listener.accept().wait()?;
/// assert_eq!(peer, connection.peer_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type Accepted<F> = (Endpoint<F, Stream>, <F as Family>::Address);

/// The parts of the traits above that are out of reach for others.
pub(super) mod sealed {
    use super::*;

    pub trait Family: Sized + Send + Sync + Unpin + 'static {
        /// The name of the address type in an error.
        const NAME: &'static str;

        /// Returns the address if it is one of this family.
        fn from_address(address: Address) -> Option<<Self as super::Family>::Address>
        where
            Self: super::Family;
    }

    impl Family for Ip {
        const NAME: &'static str = "the internet";

        fn from_address(address: Address) -> Option<SocketAddr> {
            match address {
                Address::Ip(address) => Some(address),
                Address::Unix(_) => None,
            }
        }
    }

    impl Family for Unix {
        const NAME: &'static str = "Unix sockets";

        fn from_address(address: Address) -> Option<UnixAddr> {
            match address {
                Address::Unix(address) => Some(address),
                Address::Ip(_) => None,
            }
        }
    }

    pub trait Role: Send + Sync + Unpin + 'static {
        /// True if what is sent at once is received at once.
        const WHOLE: bool;
    }

    impl Role for super::Stream {
        const WHOLE: bool = false;
    }

    impl Role for super::Datagram {
        const WHOLE: bool = true;
    }
}

/// Returns the address as one of the family, which it is if the descriptor is what its type says.
pub(super) fn address_of<F: Family>(address: Address) -> io::Result<F::Address> {
    F::from_address(address).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("the socket is not one of {}", F::NAME))
    })
}

/// Addresses, errors and buffers, which all sockets have.
impl<F: Family, R> Endpoint<F, R> {
    /// Returns the address of this end; of one that was bound to port 0, with the port that the system has
    /// chosen.
    ///
    /// # Errors
    /// Whatever the operating system says.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// println!("listening on {}", listener.local_addr()?);
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// assert!(client.local_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<F::Address> {
        address_of::<F>(sys::local_addr(self.io())?)
    }

    /// Returns the address of the other end.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) where there is none; else the operating system's.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// assert_eq!(client.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<F::Address>
    where
        R: Transfer,
    {
        address_of::<F>(sys::peer_addr(self.io())?)
    }

    /// Returns the error that has happened on the socket since the last call, if one has.
    ///
    /// # Errors
    /// Whatever the operating system says to the question.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// assert!(client.take_error()?.is_none() && listener.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        sys::take_error(self.io())
    }

    /// Returns the size of the system's buffer for what has arrived, in bytes.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        sys::recv_buffer_size(self.io())
    }

    /// Asks for a size of that buffer, in bytes; Linux doubles it, and has a limit of its own.
    ///
    /// # Errors
    /// Whatever the operating system says.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_recv_buffer_size(64 << 10)?;
    /// assert!(client.recv_buffer_size()? >= 64 << 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set_option(SocketOption::ReceiveBuffer(as_size(bytes)))
    }

    /// Returns the size of the system's buffer for what has been written, in bytes.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        sys::send_buffer_size(self.io())
    }

    /// Asks for a size of that buffer, in bytes; Linux doubles it, and has a limit of its own.
    ///
    /// # Errors
    /// Whatever the operating system says.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// client.set_send_buffer_size(64 << 10)?;
    /// assert!(client.send_buffer_size()? >= 64 << 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set_option(SocketOption::SendBuffer(as_size(bytes)))
    }
}

impl<F, R> Endpoint<F, R> {
    /// Makes an endpoint of `io`, which is in the mode of its role.
    pub(super) fn new(io: IoHandle, role: R) -> Endpoint<F, R> {
        Endpoint::of(Socket::new(io), role)
    }

    pub(super) fn of(socket: Socket, role: R) -> Endpoint<F, R> {
        Endpoint { socket, role, family: PhantomData }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn source(&self) -> &Arc<IoSource> {
        self.socket.source()
    }

    pub(super) fn io(&self) -> &IoHandle {
        self.socket.io()
    }

    pub(super) fn into_socket(self) -> (Socket, R) {
        (self.socket, self.role)
    }

    pub(super) fn set_option(&self, option: SocketOption) -> io::Result<()> {
        sys::set_option(self.io(), option)
    }
}

impl<F, R> AsFd for Endpoint<F, R> {
    /// Returns the descriptor of the socket. One of a [world](crate::world)'s has none: the number that it
    /// returns is no open descriptor, and the system refuses every call of sockets on it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<F: Family, R> fmt::Debug for Endpoint<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Endpoint");
        shown.field("io", self.io());
        if let Ok(local) = self.local_addr() {
            shown.field("local", &local);
        }
        shown.finish_non_exhaustive()
    }
}
