//! The side that is connected to.

use super::{HandshakeError, Own, Peer, Reader, Status, agree, digest, is_digest, peer_name, push_name};
use crate::wire::flags::Flags;

/// The handshake of a node that is connected to. [`Connector`](super::Connector) has an example.
#[derive(Debug)]
pub struct Acceptor {
    own: Own,
    /// The challenge for the connector.
    challenge: u32,
    state: State,
}

/// A connector as far as it is known.
#[derive(Clone, Debug)]
struct Caller {
    name: String,
    creation: u32,
    flags: Flags,
    /// True if it has begun in the old form, and a message with the rest of it is to come.
    old: bool,
}

#[derive(Debug)]
enum State {
    Name,
    /// The caller is known, and has not been answered.
    Asked(Caller),
    /// It has been asked whether it means it.
    Alive(Caller),
    /// It is to send the rest of the old form.
    Complement(Caller),
    Reply(Caller),
    Over,
}

/// The result of a message to an [`Acceptor`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asked {
    /// Somebody calls who says that it is this node; [`Acceptor::answer`] says what is to become of it.
    /// Nothing of it has been proved.
    Status {
        /// The name of the node.
        name: String,
    },
    /// Another message is to come first.
    Wait,
    /// This is to be sent, and another message comes.
    Send(Vec<u8>),
    /// The caller does not want another connection, after [`Status::Alive`].
    Withdrawn,
    /// Both sides are connected, once this last message has been sent.
    Done {
        /// The message that is sent last.
        last: Vec<u8>,
        /// The node that has called, which knows the cookie.
        peer: Peer,
    },
}

impl Acceptor {
    /// Waits for a caller. `challenge` is a number that nobody can guess.
    pub fn new(own: Own, challenge: u32) -> Acceptor {
        Acceptor { own, challenge, state: State::Name }
    }

    /// Takes a message of the connector's.
    ///
    /// # Errors
    /// When the handshake has failed. A caller that lacks flags may be sent
    /// [`Status::NotAllowed`]; the connection is to be closed.
    pub fn message(&mut self, message: &[u8]) -> Result<Asked, HandshakeError> {
        let state = std::mem::replace(&mut self.state, State::Over);
        match (message, state) {
            ([b'N', rest @ ..], State::Name) => {
                let mut reader = Reader(rest);
                let (flags, creation) = (Flags::from_bits(reader.number(8)?), reader.u32()?);
                agree(&self.own, flags)?;
                let name = self.caller_name(flags, reader.text()?)?;
                self.asked(Caller { name, creation, flags, old: false })
            }
            ([b'n', rest @ ..], State::Name) => {
                let mut reader = Reader(rest);
                let (_version, flags) = (reader.number(2)?, Flags::from_bits(reader.number(4)?));
                // The upper flags are still to come, if it knows of such.
                if !flags.expanded().contains(Flags::HANDSHAKE_23) {
                    agree(&self.own, flags)?;
                }
                let name = self.caller_name(flags, reader.0)?;
                self.asked(Caller { name, creation: 0, flags, old: true })
            }
            ([b's', answer @ ..], State::Alive(caller)) => match answer {
                b"true" => Ok(Asked::Send(self.our_challenge(caller))),
                b"false" => Ok(Asked::Withdrawn),
                _ => Err(HandshakeError::Malformed),
            },
            ([b'c', rest @ ..], State::Complement(mut caller)) => {
                let mut reader = Reader(rest);
                caller.flags = caller.flags | Flags::from_bits(u64::from(reader.u32()?) << 32);
                caller.creation = reader.u32()?;
                agree(&self.own, caller.flags)?;
                self.state = State::Reply(caller);
                Ok(Asked::Wait)
            }
            ([b'r', rest @ ..], State::Reply(caller)) => self.reply(rest, caller),
            _ => Err(HandshakeError::Malformed),
        }
    }

    /// Answers [`Asked::Status`]. Returns the messages that are to be sent; after [`Status::Nok`] and
    /// [`Status::NotAllowed`] the connection is over.
    pub fn answer(&mut self, status: Status) -> Vec<Vec<u8>> {
        let mut messages = vec![status.message()];
        if let State::Asked(caller) = std::mem::replace(&mut self.state, State::Over) {
            match status {
                Status::Ok | Status::OkSimultaneous => messages.push(self.our_challenge(caller)),
                Status::Alive => self.state = State::Alive(caller),
                Status::Nok | Status::NotAllowed => {}
            }
        }
        messages
    }

    fn caller_name(&self, flags: Flags, bytes: &[u8]) -> Result<String, HandshakeError> {
        if flags.contains(Flags::NAME_ME) {
            return Err(HandshakeError::NameMe);
        }
        peer_name(&self.own, bytes)
    }

    fn asked(&mut self, caller: Caller) -> Result<Asked, HandshakeError> {
        let name = caller.name.clone();
        self.state = State::Asked(caller);
        Ok(Asked::Status { name })
    }

    fn our_challenge(&mut self, caller: Caller) -> Vec<u8> {
        let mut message = vec![b'N'];
        message.extend_from_slice(&self.own.flags.bits().to_be_bytes());
        message.extend_from_slice(&self.challenge.to_be_bytes());
        message.extend_from_slice(&self.own.creation.to_be_bytes());
        push_name(&mut message, &self.own.name);
        self.state = if caller.old { State::Complement(caller) } else { State::Reply(caller) };
        message
    }

    fn reply(&mut self, message: &[u8], caller: Caller) -> Result<Asked, HandshakeError> {
        let mut reader = Reader(message);
        let challenge = reader.u32()?;
        if !is_digest(reader.0, &self.own.cookie, self.challenge) {
            return Err(HandshakeError::Cookie);
        }
        let agreed = agree(&self.own, caller.flags)?;
        let mut last = vec![b'a'];
        last.extend_from_slice(&digest(&self.own.cookie, challenge));
        Ok(Asked::Done { last, peer: Peer { name: caller.name, creation: caller.creation, agreed } })
    }
}
