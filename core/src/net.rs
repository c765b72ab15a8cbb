//! Sockets that work from any stack: TCP, UDP, and Unix sockets.
//!
//! | | streams | listeners | datagrams |
//! |---|---|---|---|
//! | the internet | [`TcpStream`] | [`TcpListener`] | [`UdpSocket`] |
//! | one machine | [`UnixStream`] | [`UnixListener`] | [`UnixDatagram`] |
//!
//! All six are one type, [`endpoint::Endpoint`], whose page has the operations that they share. It serves
//! every backend, and may be handed from one to another. Each operation is a future, finished by `.await` or
//! `.wait()`. Streams also implement `std::io`'s `Read` and `Write` (which block the calling stack, in the
//! way it can) and futures-io's `AsyncRead` and `AsyncWrite`, each for `T` and `&T`, so code written for
//! either runs unchanged.
//!
//! # How a stream waits
//! Streams and sockets of datagrams stay in blocking mode, and the asynchronous operations pass
//! `MSG_DONTWAIT` with each call. So on an OS thread `Read::read` is one plain `recv(2)` that blocks, exactly
//! as with std; on a stack that may not block it is the asynchronous operation, finished by `.wait()`; and
//! converting from and to std's types changes nothing. The same goes for `.wait()` of a [`Reading`].
//! Listeners, and sockets that are being connected, are in non-blocking mode.
//!
//! # Cancel-safety
//! Dropping an operation before it is ready means that it has not happened: nothing is read, written or
//! accepted. The exceptions move more than one chunk and say so: `read_exact`, `write_all`.

mod addr;
mod builder;
mod connect;
mod convert;
mod datagram;
pub mod endpoint;
pub(crate) mod incoming;
mod listener;
mod options;
mod readiness;
mod reading;
mod resolve;
mod socket;
mod splice;
mod split;
mod stream;
mod sys;
mod tcp;
mod udp;
mod unix;

pub use addr::{Query, ToSocketAddrs};
pub use builder::{SocketBuilder, TcpSocket, UdpSocketBuilder};
pub use datagram::Received;
pub use incoming::{AcceptTrouble, Incoming};
pub use reading::Reading;
pub use resolve::{Resolver, lookup, set_resolver};
pub use splice::{copy, copy_bidirectional};
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use std::net::Shutdown;
pub use sys::is_out_of_resources;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{Credentials, ReceivedFds, UnixDatagram, UnixListener, UnixListenerBuilder, UnixStream};

pub use crate::event::reactor::UnixAddr;

#[cfg(test)]
#[path = "net/tests.rs"]
mod tests;
