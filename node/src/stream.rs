//! [`Stream`]: a connection to another node as bytes, plain or inside TLS.

use std::io;
use std::net::Shutdown;

use twoply_core::net::TcpStream;

use crate::node::Shared;
use crate::tls::Session;

/// A socket. It is read by one task at a time, and written by one at a time.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Session>),
}

impl Stream {
    /// Begins the connection to a node on `host`, inside TLS if this node has it.
    pub(crate) async fn connect(shared: &Shared, socket: TcpStream, host: &str) -> io::Result<Stream> {
        if let Some(tls) = &shared.settings.tls {
            return Ok(Stream::Tls(Box::new(Session::connect(tls, socket, host).await?)));
        }
        Ok(Stream::Plain(socket))
    }

    /// Begins a connection that another node makes, in the same way.
    pub(crate) async fn accept(shared: &Shared, socket: TcpStream) -> io::Result<Stream> {
        if let Some(tls) = &shared.settings.tls {
            return Ok(Stream::Tls(Box::new(Session::accept(tls, socket).await?)));
        }
        Ok(Stream::Plain(socket))
    }

    /// Returns true if the bytes are hidden from others.
    pub(crate) fn is_tls(&self) -> bool {
        !matches!(self, Stream::Plain(_))
    }

    /// Returns true unless the peer has shown a certificate that is not for this host.
    pub(crate) fn may_be_on(&self, host: &str) -> bool {
        match self {
            Stream::Plain(_) => true,
            Stream::Tls(session) => session.is_for(host),
        }
    }

    /// Reads some bytes, or none at the end. Cancel-safe.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer).await,
            Stream::Tls(session) => session.read(buffer).await,
        }
    }

    /// Reads what is there, of a plain stream.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.try_read(buffer),
            Stream::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes what can be written at once, to a plain stream.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.try_write(bytes),
            Stream::Tls(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Has a reader be woken once so many bytes are there. Returns false where that cannot be said.
    pub(crate) fn wake_at(&self, bytes: u32) -> bool {
        match self {
            Stream::Plain(stream) => stream.set_recv_low_water(bytes).is_ok(),
            Stream::Tls(_) => false,
        }
    }

    /// Writes all bytes. After a future that was dropped nothing more can be written.
    pub(crate) async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(session) => session.write_all(bytes).await,
        }
    }

    /// Ends both directions of the stream.
    pub(crate) fn shutdown(&self) {
        let stream = match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(session) => session.socket(),
        };
        // One that has ended already is as good.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
