//! Datagrams, of either family: messages that are sent and received one at a time.

use std::future::Future;
use std::io;
use std::time::Duration;

use super::endpoint::{Datagram, Endpoint, Family, address_of};
use super::reading::Reading;
use super::sys::{self, Receive};
use crate::event::reactor::{Address, Direction, IoHandle, Progress};
use crate::kernel::io::Op;
use crate::time::sleep;

/// The pause of whoever finds the queue of a Unix receiver full, and the limit to which it is doubled. A
/// socket that is not connected to the receiver is told nothing about it: `poll(2)` says that it can be
/// written to, and `sendto(2)` that it would block; and what that has allocated and freed is an event.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// A datagram that has been received, or looked at, as far as the buffer had room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says how much of the buffer is the datagram, and whether that is all of it"]
#[non_exhaustive]
pub struct Received {
    /// The number of bytes in the buffer.
    pub len: usize,
    /// The number of bytes that the buffer had no room for. They are lost, unless this was a peek.
    pub lost: usize,
}

impl Received {
    fn of(whole: usize, room: usize) -> Received {
        let len = whole.min(room);
        Received { len, lost: whole - len }
    }

    /// Returns whether the buffer was too small.
    ///
    /// ```
    /// use twoply::{Wait, net::UnixDatagram};
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// ours.send(b"too long").wait()?;
    /// let received = theirs.recv(&mut [0; 3]).wait()?;
    /// assert!(received.is_truncated());
    /// assert_eq!((received.len, received.lost), (3, 5));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_truncated(self) -> bool {
        self.lost > 0
    }
}

/// Datagrams of [UDP](super::UdpSocket) and of [Unix sockets](super::UnixDatagram).
///
/// A datagram is sent and received as a whole, in one call; all of these operations are cancel-safe. An empty
/// one is a datagram, too, and one may be received into an empty buffer: then all of it is lost.
impl<F: Family> Endpoint<F, Datagram> {
    /// Sends `buf` as one datagram to where the socket is connected to, and returns its length.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected), or another error of the system's for that, when it is
    /// not connected; [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when an earlier datagram has
    /// found nobody; and whatever else the operating system says, for instance that the datagram is too long.
    ///
    /// ```
    /// use twoply::{Wait, net::UnixDatagram};
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// assert_eq!(ours.send(b"hello").wait()?, 5);
    /// # drop(theirs);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + use<'a, F> {
        Op::new(self.source(), Direction::Write, None, move |io: &IoHandle| {
            sys::send_to(io, buf, None).map(Progress::More)
        })
    }

    /// Sends `buf` as one datagram to `to`, and returns its length. While the receiver has no room, a Unix
    /// socket waits, and looks again after one to fifty milliseconds.
    ///
    /// # Errors
    /// Whatever the operating system says, for instance that the datagram is too long.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let server = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// let client = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// client.send_to(b"hello", server.local_addr()?).wait()?;
    /// assert_eq!(server.recv(&mut [0; 16]).wait()?.len, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_to<'a, A: Into<F::Address>>(
        &'a self,
        buf: &'a [u8],
        to: A,
    ) -> impl Future<Output = io::Result<usize>> + Send + use<'a, F, A> {
        let to: Address = to.into().into();
        async move {
            let (mut pause, longest) = PAUSE;
            loop {
                let send = |io: &IoHandle| match sys::send_to(io, buf, Some(&to)) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock && is_receiver_full(io, &to) => {
                        Ok(Progress::More(None))
                    }
                    result => result.map(|sent| Progress::More(Some(sent))),
                };
                match Op::new(self.source(), Direction::Write, None, send).await? {
                    Some(sent) => return Ok(sent),
                    None => sleep(pause).await,
                }
                pause = (pause * 2).min(longest);
            }
        }
    }

    /// Receives a datagram into `buf`.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) when the socket is connected and a datagram
    /// that it has sent found nobody; else whatever the operating system says.
    ///
    /// ```
    /// use twoply::{Wait, net::UnixDatagram};
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// ours.send(b"hello").wait()?;
    /// let mut buf = [0; 16];
    /// let received = theirs.recv(&mut buf).wait()?;
    /// assert_eq!(&buf[..received.len], b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv<'a>(&'a self, buf: &'a mut [u8]) -> Reading<'a, Received> {
        Reading::new(self.source(), buf, None, |io, buf, waits| {
            receive(io, buf, taking(waits)).map(|received| Progress::More(Some(received)))
        })
    }

    /// Receives a datagram into `buf`, and returns it with the address of its sender.
    ///
    /// # Errors
    /// As [`recv`](Endpoint::recv).
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let server = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// let client = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// client.send_to(b"ping", server.local_addr()?).wait()?;
    /// let mut buf = [0; 16];
    /// let (received, from) = server.recv_from(&mut buf).wait()?;
    /// server.send_to(&buf[..received.len], from).wait()?;
    /// assert_eq!(client.recv(&mut buf).wait()?.len, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_from<'a>(&'a self, buf: &'a mut [u8]) -> Reading<'a, (Received, F::Address)> {
        Reading::new(self.source(), buf, None, |io, buf, waits| {
            receive_from::<F>(io, buf, taking(waits)).map(|received| Progress::More(Some(received)))
        })
    }

    /// As [`recv`](Endpoint::recv), but the datagram is still there afterwards.
    ///
    /// # Errors
    /// As `recv`.
    ///
    /// ```
    /// use twoply::{Wait, net::UnixDatagram};
    ///
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// ours.send(b"hello").wait()?;
    /// // How long is it?
    /// let next = theirs.peek(&mut []).wait()?;
    /// let mut buf = vec![0; next.lost];
    /// assert_eq!(theirs.recv(&mut buf).wait()?.len, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peek<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<Received>> + Send + Unpin + use<'a, F> {
        Op::new(self.source(), Direction::Read, None, move |io: &IoHandle| {
            receive(io, buf, Receive::Peek).map(Progress::More)
        })
    }

    /// As [`recv_from`](Endpoint::recv_from), but the datagram is still there afterwards.
    ///
    /// # Errors
    /// As `recv_from`.
    ///
    /// ```
    /// use twoply::{Wait, net::UdpSocket};
    ///
    /// let server = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// let client = UdpSocket::bind("127.0.0.1:0").wait()?;
    /// client.send_to(b"ping", server.local_addr()?).wait()?;
    /// let (_, from) = server.peek_from(&mut [0; 1]).wait()?;
    /// assert_eq!(from, client.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peek_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(Received, F::Address)>> + Send + Unpin + use<'a, F> {
        Op::new(self.source(), Direction::Read, None, move |io: &IoHandle| {
            receive_from::<F>(io, buf, Receive::Peek).map(Progress::More)
        })
    }
}

/// Returns whether a datagram that would block does so for want of room at its receiver, which nothing tells
/// about.
fn is_receiver_full(io: &IoHandle, to: &Address) -> bool {
    matches!(to, Address::Unix(_)) && sys::ready(io, Direction::Write).unwrap_or(false)
}

/// Returns the way in which a datagram is taken.
fn taking(waits: bool) -> Receive {
    if waits { Receive::Wait } else { Receive::Take }
}

pub(super) fn receive(io: &IoHandle, buf: &mut [u8], how: Receive) -> io::Result<Received> {
    let whole = sys::recv_datagram(io, buf, how)?;
    Ok(Received::of(whole, buf.len()))
}

pub(super) fn receive_from<F: Family>(
    io: &IoHandle,
    buf: &mut [u8],
    how: Receive,
) -> io::Result<(Received, F::Address)> {
    let (whole, from) = sys::recv_from(io, buf, how)?;
    Ok((Received::of(whole, buf.len()), address_of::<F>(from)?))
}
