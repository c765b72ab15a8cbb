//! [`Session`]: TLS over a socket, which one task reads and another one writes at the same time.
//!
//! rustls does no input and no output itself, so nothing is awaited under the lock of its state. What the
//! protocol wants to say of itself after the handshake, such as new keys, goes out with what is written next:
//! a node writes something all the time, so that needs no task of its own, and a reader never writes.

use std::io::{self, Read, Write};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use rustls::{ClientConnection, Connection, ServerConnection};
use twoply_core::net::TcpStream;

use super::Tls;

/// The bytes that are read from the socket at a time.
const READ: usize = 16 << 10;
/// The bytes that are encrypted under one lock, for which a reader may have to wait.
const PIECE: usize = 16 << 10;
/// The bytes that are encrypted before they are written.
const BATCH: usize = 64 << 10;

/// TLS over a socket.
pub(crate) struct Session {
    socket: TcpStream,
    state: Mutex<Connection>,
    /// The buffer of whoever reads. It is in use while there is none.
    incoming: Mutex<Incoming>,
}

/// Bytes from the socket: those up to `len`, of which some have been used.
#[derive(Default)]
struct Incoming {
    bytes: Vec<u8>,
    used: usize,
    len: usize,
}

impl Incoming {
    fn is_used_up(&self) -> bool {
        self.used == self.len
    }

    /// Hands what is left to TLS, as far as it takes it at a time.
    fn feed(&mut self, state: &mut Connection) -> io::Result<()> {
        let mut rest = &self.bytes[self.used..self.len];
        self.used += state.read_tls(&mut rest)?;
        state.process_new_packets().map_err(refused)?;
        Ok(())
    }

    /// Reads more where everything has been used. Returns false at the end of the stream.
    async fn fill(&mut self, socket: &TcpStream) -> io::Result<bool> {
        self.bytes.resize(READ, 0);
        self.len = socket.read(&mut self.bytes).await?;
        self.used = 0;
        Ok(self.len > 0)
    }
}

fn refused(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Session {
    /// Begins TLS as the side that connects to a node on `host`, whose certificate has to be for it.
    pub(crate) async fn connect(tls: &Tls, socket: TcpStream, host: &str) -> io::Result<Session> {
        let host = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let client = ClientConnection::new(Arc::clone(&tls.client), host).map_err(refused)?;
        Session::begin(socket, client.into()).await
    }

    /// Begins TLS as the side that is connected to.
    pub(crate) async fn accept(tls: &Tls, socket: TcpStream) -> io::Result<Session> {
        let server = ServerConnection::new(Arc::clone(&tls.server)).map_err(refused)?;
        Session::begin(socket, server.into()).await
    }

    async fn begin(socket: TcpStream, mut state: Connection) -> io::Result<Session> {
        let mut incoming = Incoming::default();
        loop {
            say(&socket, &mut state).await?;
            if !state.is_handshaking() {
                break;
            }
            if incoming.is_used_up() && !incoming.fill(&socket).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Err(error) = incoming.feed(&mut state) {
                // The peer is told why; whether it hears that is its business.
                let _ = say(&socket, &mut state).await;
                return Err(error);
            }
        }
        Ok(Session { socket, state: Mutex::new(state), incoming: Mutex::new(incoming) })
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn state(&self) -> MutexGuard<'_, Connection> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if the certificate of the peer is for this host, or if it was not asked for one.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let state = self.state();
        let Some([certificate, ..]) = state.peer_certificates() else { return true };
        let (Ok(certificate), Ok(host)) =
            (ParsedCertificate::try_from(certificate), ServerName::try_from(host))
        else {
            return false;
        };
        verify_server_name(&certificate, &host).is_ok()
    }

    /// Reads some bytes, or none at an end that the peer has told. Cancel-safe: what has been read from the
    /// socket is kept.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut incoming = mem::take(&mut *self.incoming());
        loop {
            let read = self.read_now(&mut incoming, buffer);
            if let Some(read) = read.transpose() {
                *self.incoming() = incoming;
                return read;
            }
            // Nothing of it is left, so nothing is lost where this is dropped.
            if !incoming.fill(&self.socket).await? {
                // Of the end TLS is told by nothing more.
                incoming.feed(&mut self.state())?;
            }
        }
    }

    /// Reads what is there already.
    fn read_now(&self, incoming: &mut Incoming, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut state = self.state();
        loop {
            match state.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(Some),
            }
            if incoming.is_used_up() {
                return Ok(None);
            }
            incoming.feed(&mut state)?;
        }
    }

    /// Writes all of `bytes`, in records.
    pub(crate) async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut encrypted = Vec::new();
        for batch in bytes.chunks(BATCH) {
            for piece in batch.chunks(PIECE) {
                let mut state = self.state();
                state.writer().write_all(piece)?;
                drain(&mut state, &mut encrypted)?;
            }
            self.socket.write_all(&encrypted).await?;
            encrypted.clear();
        }
        Ok(())
    }
}

/// Moves what is to be written behind `encrypted`.
fn drain(state: &mut Connection, encrypted: &mut Vec<u8>) -> io::Result<()> {
    while state.wants_write() {
        state.write_tls(encrypted)?;
    }
    Ok(())
}

/// Writes what the handshake has to say.
async fn say(socket: &TcpStream, state: &mut Connection) -> io::Result<()> {
    let mut encrypted = Vec::new();
    drain(state, &mut encrypted)?;
    socket.write_all(&encrypted).await
}
