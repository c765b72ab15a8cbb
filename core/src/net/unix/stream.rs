//! Streams between the processes of one machine.

use std::future::Future;
use std::io;
use std::time::Duration;

use super::super::builder::Options;
use super::super::connect::connect;
use super::super::convert::std_counterpart;
use super::super::endpoint::{Endpoint, Stream, Unix};
use super::super::sys;
use super::Credentials;
use crate::event::reactor::{Address, SocketKind, UnixAddr};
use crate::kernel::world;
use crate::time;

/// A stream between two processes of one machine, or within one.
///
/// It does all that a [`TcpStream`](super::super::TcpStream) does: it is used by futures, as std's `Read` and
/// `Write`, and as futures-io's traits; it is split, and closed in one direction. Besides, it knows
/// [who its peer is](UnixStream::peer_credentials), and passes descriptors
/// ([`send_with_fds`](Endpoint::send_with_fds)).
///
/// ```
/// use twoply::{Wait, net::UnixStream};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// ours.write_all(b"hello").wait()?;
/// let mut text = [0; 5];
/// theirs.read_exact(&mut text).wait()?;
/// assert_eq!(&text, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub type UnixStream = Endpoint<Unix, Stream>;

impl UnixStream {
    /// Connects to `address`: a path, or an [abstract name](UnixAddr::Abstract). While the listener's queue
    /// is full this waits, and looks again after one to fifty milliseconds.
    ///
    /// Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a path or a name that the system cannot represent,
    /// which the error says. Else whatever the operating system says:
    /// [`NotFound`](io::ErrorKind::NotFound) without a file at the path,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when nobody listens there.
    ///
    /// ```
    /// use twoply::{Wait, net::{UnixAddr, UnixListener, UnixStream}};
    ///
    /// let name = UnixAddr::Abstract(format!("twoply example {}", std::process::id()).into());
    /// let listener = UnixListener::bind(&name)?;
    /// let client = UnixStream::connect(&name).wait()?;
    /// assert_eq!(client.peer_addr()?, name);
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect(address: impl Into<UnixAddr>) -> impl Future<Output = io::Result<UnixStream>> + Send {
        let address = address.into();
        async move {
            address.check()?;
            let world = world::current();
            let io = connect(world.as_deref(), &Address::Unix(address), &Options::default()).await?;
            Ok(UnixStream::new(io, Stream))
        }
    }

    /// As [`connect`](UnixStream::connect), for `duration` at most.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is over; else as `connect`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let second = Duration::from_secs(1);
    /// let error = UnixStream::connect_timeout("/nowhere/at/all", second).wait().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// ```
    pub fn connect_timeout(
        address: impl Into<UnixAddr>,
        duration: Duration,
    ) -> impl Future<Output = io::Result<UnixStream>> + Send {
        let connect = time::timeout(duration, UnixStream::connect(address));
        async move { connect.await? }
    }

    /// Makes two streams that are connected with each other.
    ///
    /// # Errors
    /// When the process or the system is out of descriptors or memory.
    ///
    /// ```
    /// use std::io::Write;
    /// use twoply::{Wait, net::UnixStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// write!(&mut &ours, "by std's trait")?;
    /// theirs.read_exact(&mut [0; 14]).wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let world = world::current();
        let [one, other] = sys::socket_pair(world.as_deref(), SocketKind::Stream)?;
        Ok((UnixStream::new(one, Stream), UnixStream::new(other, Stream)))
    }

    /// Returns who the peer was when it connected, or called `listen`, or made the pair: the system vouches
    /// for it.
    ///
    /// # Errors
    /// Whatever the operating system says; [`Unsupported`](io::ErrorKind::Unsupported) for a stream of a
    /// [world]'s.
    ///
    /// ```
    /// use twoply::net::UnixStream;
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// assert_eq!(ours.peer_credentials()?.pid, Some(std::process::id()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_credentials(&self) -> io::Result<Credentials> {
        sys::credentials(self.io()).map(Credentials::of)
    }
}

std_counterpart! {
    UnixStream, std::os::unix::net::UnixStream,
    /// use twoply::net::UnixStream;
    ///
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let ours: std::os::unix::net::UnixStream = ours.into_std()?;
    /// let ours = UnixStream::from(ours);
    /// # drop(ours);
}
