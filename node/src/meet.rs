//! The handshake over a socket, from both sides, and the port mapper.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use twoply_core::net::TcpStream;
use twoply_core::time::timeout;
use twoply_core::world;

use crate::node::{Peering, Shared};
use crate::stream::Stream;
use crate::wire::{
    self, Acceptor, Asked, Connector, Found, HandshakeError, Own, Packets, Peer, Progress, Status, split_name,
};

/// The time that a handshake may take, and each question to the port mapper.
pub(crate) const PATIENCE: Duration = Duration::from_secs(7);
/// The bytes that are read at a time.
const READ: usize = 1 << 10;

/// The reasons for which two nodes are not connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Something is wrong with the connection.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The handshake has failed.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// The port mapper of the host does not know the node.
    #[error("the port mapper does not know the node")]
    Unknown,
    /// The name is none of a node, or of one that this node cannot be connected to.
    #[error("the name of the peer: {0}")]
    Name(#[from] wire::NameError),
    /// The name is this node's own.
    #[error("this node cannot connect to itself")]
    Itself,
    /// The other node is not understood: what it sends is no handshake, or the port mapper's answer is none.
    #[error("what it sends makes no sense")]
    Malformed,
    /// The certificate of the other node is not for the host in its name.
    #[error("its certificate is for another host")]
    Certificate,
    /// The node has been shut down.
    #[error("this node has been shut down")]
    Closed,
}

/// A socket, and what of the next message has been read from it.
struct Talk {
    stream: Stream,
    packets: Packets,
    /// The bytes that have been read, of which some have been used.
    bytes: Vec<u8>,
    used: usize,
}

impl Talk {
    fn new(stream: Stream) -> Talk {
        Talk { packets: Packets::handshake(stream.is_tls()), stream, bytes: Vec::new(), used: 0 }
    }

    /// Returns the next message of the peer's.
    async fn hear(&mut self) -> Result<Vec<u8>, ConnectError> {
        loop {
            let mut rest = &self.bytes[self.used..];
            let message = self.packets.next(&mut rest).map_err(|_| ConnectError::Malformed)?;
            self.used = self.bytes.len() - rest.len();
            if let Some(message) = message {
                return Ok(message);
            }
            self.bytes.resize(READ, 0);
            let read = self.stream.read(&mut self.bytes).await?;
            self.bytes.truncate(read);
            self.used = 0;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    async fn say(&self, message: &[u8]) -> io::Result<()> {
        // Messages of ours are short, and a length has four bytes inside TLS, else two.
        let len = (message.len() as u32).to_be_bytes();
        let packet = [if self.stream.is_tls() { &len[..] } else { &len[2..] }, message].concat();
        self.stream.write_all(&packet).await
    }

    /// Returns the socket, and the bytes behind the handshake.
    fn done(self, peer: Peer) -> Met {
        (peer, self.stream, self.bytes[self.used..].to_vec())
    }
}

/// A connection as a handshake leaves it: who is there, the socket, and bytes that have been read already.
pub(crate) type Met = (Peer, Stream, Vec<u8>);

/// The bytes that may be unsent at least: the system takes nothing for no limit.
const NO_LESS: u32 = 1;

/// The bytes that may be in the system's buffers of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    /// Those that are not sent.
    pub(crate) unsent: u32,
    /// Those that are not read, if the system does not decide.
    pub(crate) unread: Option<u32>,
}

impl Default for Buffers {
    /// A small message goes out behind all that is not sent: 128 KiB would make it wait some four times as
    /// long, and 32 KiB cost big messages a tenth of their rate.
    fn default() -> Buffers {
        Buffers { unsent: 64 << 10, unread: None }
    }
}

/// Has a connection send what is written at once, and sets its buffers.
fn prepare(stream: &TcpStream, buffers: Buffers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Where a system does not know this, small messages wait longer.
    let _ = stream.set_unsent_limit(buffers.unsent.max(NO_LESS));
    match buffers.unread {
        Some(bytes) => stream.set_recv_buffer_size(bytes as usize),
        None => Ok(()),
    }
}

/// Returns a number that nobody can guess, or in a simulated world the one that comes next.
pub(crate) fn challenge() -> io::Result<u32> {
    if let Some(secret) = world::current().and_then(|world| world.secret()) {
        return Ok(secret as u32);
    }
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(u32::from_be_bytes(bytes))
}

/// Connects to the node `name` at `address`. Without an attempt that others know of, this node has no name
/// yet, and takes what that node gives it. Returns this node as the other one knows it, too.
pub(crate) async fn connect(
    shared: &Shared,
    peering: Option<&Peering>,
    name: &str,
    address: SocketAddr,
) -> Result<(Met, Own), ConnectError> {
    let (_, host) = split_name(name)?;
    let stream = TcpStream::connect_addr(address).await?;
    prepare(&stream, shared.settings.buffers)?;
    let mut talk = Talk::new(Stream::connect(shared, stream, host).await?);
    let new = if peering.is_some() { Connector::new } else { Connector::nameless };
    let (mut connector, hello) = new(shared.own.clone(), name, challenge()?);
    talk.say(&hello).await?;
    loop {
        match connector.message(&talk.hear().await?)? {
            Progress::Wait => {}
            Progress::Send(message) => talk.say(&message).await?,
            Progress::Alive => {
                // Either we have lost the connection that the peer still has, or it has been made meanwhile.
                let wanted = peering.is_some_and(Peering::is_wanted);
                talk.say(&connector.alive(wanted)).await?;
                if !wanted {
                    return Err(HandshakeError::Nok.into());
                }
            }
            Progress::Done(peer) => return Ok((talk.done(peer), connector.own().clone())),
        }
    }
}

/// Takes part in a handshake that another node has begun. `name` is told as soon as it is known.
pub(crate) async fn accept(
    shared: &Arc<Shared>,
    stream: TcpStream,
    name: &mut Option<String>,
) -> Result<(Met, Peering), ConnectError> {
    prepare(&stream, shared.settings.buffers)?;
    let mut talk = Talk::new(Stream::accept(shared, stream).await?);
    let mut acceptor = Acceptor::new(shared.own.clone(), challenge()?);
    let mut peering = None;
    loop {
        let asked = acceptor.message(&talk.hear().await?);
        if let Err(HandshakeError::Missing(_) | HandshakeError::NameMe) = &asked {
            // The peer is told; whether it hears that is its business.
            let _ = talk.say(&Status::NotAllowed.message()).await;
        }
        match asked? {
            Asked::Status { name: caller } => {
                *name = Some(caller.clone());
                if !split_name(&caller).is_ok_and(|(_, host)| talk.stream.may_be_on(host)) {
                    let _ = talk.say(&Status::NotAllowed.message()).await;
                    return Err(ConnectError::Certificate);
                }
                let (status, place) = shared.called(&caller).await;
                for message in acceptor.answer(status) {
                    talk.say(&message).await?;
                }
                peering = Some(place.ok_or(HandshakeError::Nok)?);
            }
            Asked::Wait => {}
            Asked::Send(message) => talk.say(&message).await?,
            Asked::Withdrawn => return Err(HandshakeError::Nok.into()),
            Asked::Done { last, peer } => {
                let peering = peering.ok_or(ConnectError::Malformed)?;
                // The peer hears that this connection is up when it is certain that it will be.
                if !peering.claim().await {
                    return Err(HandshakeError::Nok.into());
                }
                talk.say(&last).await?;
                return Ok((talk.done(peer), peering));
            }
        }
    }
}

/// Registers this node with the port mapper. Returns the connection, which has to stay open, and the
/// creation.
pub(crate) async fn register(
    epmd: SocketAddr,
    name: &str,
    port: u16,
) -> Result<(TcpStream, u32), ConnectError> {
    let stream = TcpStream::connect_addr(epmd).await?;
    stream.write_all(&wire::register_request(name, port)).await?;
    let mut answer = Vec::new();
    loop {
        read_more(&stream, &mut answer).await?;
        let registered = wire::registered(&answer).map_err(|error| match error {
            wire::EpmdError::Taken => io::Error::new(io::ErrorKind::AddrInUse, error).into(),
            _ => ConnectError::Malformed,
        });
        if let Some(creation) = registered? {
            return Ok((stream, creation));
        }
    }
}

/// Asks the port mapper for the port of a node.
pub(crate) async fn port(epmd: SocketAddr, name: &str) -> Result<u16, ConnectError> {
    let stream = TcpStream::connect_addr(epmd).await?;
    stream.write_all(&wire::port_request(name)).await?;
    let mut answer = Vec::new();
    loop {
        read_more(&stream, &mut answer).await?;
        match wire::found(&answer).map_err(|_| ConnectError::Malformed)? {
            Some(Found::Port { port, .. }) => return Ok(port),
            Some(Found::Unknown) => return Err(ConnectError::Unknown),
            None => {}
        }
    }
}

async fn read_more(stream: &TcpStream, answer: &mut Vec<u8>) -> Result<(), ConnectError> {
    let mut bytes = [0; 512];
    match stream.read(&mut bytes).await? {
        0 => Err(ConnectError::Malformed),
        len if answer.len() + len > READ => Err(ConnectError::Malformed),
        len => {
            answer.extend_from_slice(&bytes[..len]);
            Ok(())
        }
    }
}

/// Bounds what two nodes say to each other before they are connected.
pub(crate) async fn in_time<T>(
    meeting: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    match timeout(PATIENCE, meeting).await {
        Ok(met) => met,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

#[cfg(test)]
mod tests {
    use twoply_core::Wait;
    use twoply_core::net::TcpListener;

    use super::*;

    /// Returns the two ends of a connection, the first one as a node has it.
    fn prepared(buffers: Buffers) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").wait().unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).wait().unwrap();
        let (theirs, _) = listener.accept().wait().unwrap();
        prepare(&stream, buffers).unwrap();
        assert!(stream.nodelay().unwrap());
        (stream, theirs)
    }

    #[test]
    fn a_connection_takes_little_that_is_not_sent() {
        let taken = |buffers| {
            let (stream, _theirs) = prepared(buffers);
            let mut taken = 0;
            // Nobody reads, and the buffer of a socket takes megabytes.
            while let Ok(len) = stream.try_write(&[0; 4 << 10]) {
                taken += len;
            }
            taken
        };
        let without = taken(Buffers { unsent: u32::MAX, unread: None });
        let limited = taken(Buffers::default());
        assert!(limited < 1 << 20 && limited < without / 2, "{limited} and {without} bytes");
    }

    #[test]
    fn a_connection_takes_little_that_is_not_read() {
        let bytes = |unread| {
            let (stream, _theirs) = prepared(Buffers { unread, ..Buffers::default() });
            stream.recv_buffer_size().unwrap()
        };
        let (limited, without) = (bytes(Some(8 << 10)), bytes(None));
        assert!(limited <= 16 << 10 && limited < without, "{limited} and {without} bytes");
    }
}
