//! Accepting connections, of either family.

use std::future::Future;
use std::io;

use super::endpoint::{Accepted, Endpoint, Family, Listener, Stream, address_of};
use super::incoming::Incoming;
use super::sys;
use crate::event::reactor::{Direction, IoHandle, Progress};
use crate::kernel::io::Op;

/// The number of failed connections that one accept passes over. A listener that fails so often in a row is
/// broken itself, or is no listener: a socket of another kind gives one of these errors for ever.
const PASSED_OVER: u32 = 64;

/// Listeners for connections of [TCP](super::TcpListener) and of [Unix sockets](super::UnixListener).
impl<F: Family> Endpoint<F, Listener> {
    /// Waits for a connection, and returns it with the address of the peer.
    ///
    /// A connection that failed before it was accepted is passed over, up to 64 of them in a row.
    /// Cancel-safe.
    ///
    /// # Errors
    /// Whatever the operating system says: the error of the last connection when that many have failed, so
    /// that a socket which is no listener does not keep this busy for ever. When the process or the system is
    /// out of descriptors or memory ([`is_out_of_resources`](super::is_out_of_resources)): the connection is
    /// still there, and so is the listener. A loop should pause then; [`incoming`](Self::incoming) does.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let (server, peer) = listener.accept().wait()?;
    /// assert_eq!(server.peer_addr()?, peer);
    /// # drop(client);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn accept(
        &self,
    ) -> impl Future<Output = io::Result<(Endpoint<F, Stream>, F::Address)>> + Send + Unpin + '_ {
        Op::new(self.source(), Direction::Read, None, accept_one::<F>)
    }

    /// Returns the connections, one after the other; it pauses through shortages of descriptors.
    ///
    /// ```
    /// use twoply::{Wait, net::{TcpListener, TcpStream}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// for stream in listener.incoming().take(1) {
    ///     assert_eq!(stream?.peer_addr()?, client.local_addr()?);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_, F> {
        Incoming::borrowed(self)
    }

    /// As [`incoming`](Endpoint::incoming), for the listener itself: as a
    /// [source](crate::channel::Source) that is attached to an actor or becomes a stream.
    ///
    /// ```
    /// use twoply::{Wait, channel::Source, net::{TcpListener, TcpStream}, stream::Stream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").wait()?;
    /// let client = TcpStream::connect(listener.local_addr()?).wait()?;
    /// let peers = listener.into_incoming().into_stream().map(|(_, peer)| peer).take(1);
    /// assert_eq!(peers.collect::<Vec<_>>().wait(), [client.local_addr()?]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_incoming(self) -> Incoming<'static, F> {
        Incoming::owned(self)
    }
}

/// Takes the next connection whose peer is still there.
pub(super) fn accept_one<F: Family>(io: &IoHandle) -> io::Result<Progress<Accepted<F>>> {
    let mut failed = 0;
    loop {
        match sys::accept(io) {
            Ok((stream, peer)) => {
                let peer = address_of::<F>(peer)?;
                return Ok(Progress::More((Endpoint::new(stream, Stream), peer)));
            }
            Err(e) if sys::is_of_connection(&e) && failed < PASSED_OVER => failed += 1,
            Err(e) => return Err(e),
        }
    }
}
