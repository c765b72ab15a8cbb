//! The side that connects.

use super::{
    HandshakeError, NameError, Own, Peer, Reader, Status, agree, digest, is_digest, peer_name, push_name,
    split_name,
};
use crate::wire::flags::Flags;

/// The handshake of a node that connects.
///
/// # Examples
/// ```
/// use twoply_node::wire::{Acceptor, Asked, Connector, Flags, Own, Progress, Status};
///
/// let own = |name: &str| Own {
///     name: name.to_owned(),
///     creation: 1,
///     flags: Flags::OFFERED,
///     cookie: "secret".to_owned(),
/// };
/// let (mut connector, hello) = Connector::new(own("one@host"), "two@host", 17);
/// let mut acceptor = Acceptor::new(own("two@host"), 4711);
/// assert!(matches!(acceptor.message(&hello)?, Asked::Status { name, .. } if name == "one@host"));
/// let mut to_connector = acceptor.answer(Status::Ok);
/// assert_eq!(connector.message(&to_connector.remove(0))?, Progress::Wait);
/// let Progress::Send(reply) = connector.message(&to_connector.remove(0))? else { panic!() };
/// let Asked::Done { last, peer } = acceptor.message(&reply)? else { panic!() };
/// assert_eq!(peer.name, "one@host");
/// assert!(matches!(connector.message(&last)?, Progress::Done(peer) if peer.name == "two@host"));
/// # Ok::<(), twoply_node::wire::HandshakeError>(())
/// ```
#[derive(Debug)]
pub struct Connector {
    own: Own,
    /// The name of the node that is called.
    called: String,
    /// The challenge for the acceptor.
    challenge: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Status,
    /// The acceptor is to give us a name.
    Nameless,
    /// The acceptor has asked whether we mean it.
    Alive,
    Challenge,
    Ack(Peer),
    Over,
}

/// The result of a message to a [`Connector`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Another message is to come first.
    Wait,
    /// The acceptor has a connection to us already; [`Connector::alive`] says whether we want another one.
    Alive,
    /// This is to be sent, and another message comes.
    Send(Vec<u8>),
    /// Both sides are connected.
    Done(Peer),
}

impl Connector {
    /// Begins to connect to the node `called`. `challenge` is a number that nobody can guess. Returns the
    /// first message, too.
    pub fn new(own: Own, called: &str, challenge: u32) -> (Connector, Vec<u8>) {
        let mut hello = vec![b'N'];
        hello.extend_from_slice(&own.flags.bits().to_be_bytes());
        hello.extend_from_slice(&own.creation.to_be_bytes());
        push_name(&mut hello, &own.name);
        (Connector { own, called: called.to_owned(), challenge, state: State::Status }, hello)
    }

    /// As [`new`](Connector::new), for a node that takes its name and incarnation from the one that is
    /// called: the name in `own` is that of its host.
    pub fn nameless(own: Own, called: &str, challenge: u32) -> (Connector, Vec<u8>) {
        let own = Own { flags: own.flags | Flags::NAME_ME, creation: 0, ..own };
        let (connector, hello) = Connector::new(own, called, challenge);
        (Connector { state: State::Nameless, ..connector }, hello)
    }

    /// Returns this node as it presents itself, with the name that it was given.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// Takes a message of the acceptor's.
    ///
    /// # Errors
    /// When the handshake has failed. The connection is to be closed then.
    pub fn message(&mut self, message: &[u8]) -> Result<Progress, HandshakeError> {
        let state = std::mem::replace(&mut self.state, State::Over);
        match (message, state) {
            ([b's', status @ ..], State::Status) => self.status(status),
            ([b's', status @ ..], State::Nameless) => match status.strip_prefix(b"named:") {
                Some(name) => self.named(name),
                // Whoever is welcome is told its name.
                None => match Status::read(status) {
                    Some(Status::NotAllowed) => Err(HandshakeError::NotAllowed),
                    _ => Err(HandshakeError::Malformed),
                },
            },
            ([b'N', rest @ ..], State::Challenge) => self.challenge(rest),
            // The old form: what it lacks is known at once.
            ([b'n', _, _, flags @ ..], State::Challenge) => {
                let flags = Reader(flags).number(4)?;
                agree(&self.own, Flags::from_bits(flags))?;
                Err(HandshakeError::Malformed)
            }
            ([b'a', digest @ ..], State::Ack(peer)) => {
                if is_digest(digest, &self.own.cookie, self.challenge) {
                    Ok(Progress::Done(peer))
                } else {
                    Err(HandshakeError::Cookie)
                }
            }
            _ => Err(HandshakeError::Malformed),
        }
    }

    /// Answers [`Progress::Alive`]: says whether another connection is wanted. Returns what is to be sent.
    pub fn alive(&mut self, wanted: bool) -> Vec<u8> {
        if matches!(self.state, State::Alive) {
            self.state = if wanted { State::Challenge } else { State::Over };
        }
        if wanted { b"strue".to_vec() } else { b"sfalse".to_vec() }
    }

    /// Takes the name that the acceptor gives this node.
    fn named(&mut self, message: &[u8]) -> Result<Progress, HandshakeError> {
        let mut reader = Reader(message);
        let (name, creation) = (reader.text()?, reader.u32()?);
        let name = std::str::from_utf8(name).map_err(|_| HandshakeError::Name(NameError::NotAscii))?;
        let (_, host) = split_name(name).map_err(HandshakeError::Name)?;
        if host != self.own.name || creation == 0 {
            return Err(HandshakeError::Malformed);
        }
        self.own.name = name.to_owned();
        self.own.creation = creation;
        self.own.flags = self.own.flags - Flags::NAME_ME;
        self.state = State::Challenge;
        Ok(Progress::Wait)
    }

    fn status(&mut self, status: &[u8]) -> Result<Progress, HandshakeError> {
        match Status::read(status).ok_or(HandshakeError::Malformed)? {
            Status::Ok | Status::OkSimultaneous => {
                self.state = State::Challenge;
                Ok(Progress::Wait)
            }
            Status::Alive => {
                self.state = State::Alive;
                Ok(Progress::Alive)
            }
            Status::Nok => Err(HandshakeError::Nok),
            Status::NotAllowed => Err(HandshakeError::NotAllowed),
        }
    }

    fn challenge(&mut self, message: &[u8]) -> Result<Progress, HandshakeError> {
        let mut reader = Reader(message);
        let (flags, challenge, creation) = (reader.number(8)?, reader.u32()?, reader.u32()?);
        let name = peer_name(&self.own, reader.text()?)?;
        if name != self.called {
            return Err(HandshakeError::OtherNode(name));
        }
        let agreed = agree(&self.own, Flags::from_bits(flags))?;
        let mut reply = vec![b'r'];
        reply.extend_from_slice(&self.challenge.to_be_bytes());
        reply.extend_from_slice(&digest(&self.own.cookie, challenge));
        self.state = State::Ack(Peer { name, creation, agreed });
        Ok(Progress::Send(reply))
    }
}
