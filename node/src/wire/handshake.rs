//! The handshake, version 6, both sides: who a peer is, what it can do, and that it knows the cookie.
//!
//! ```text
//! connector                                      acceptor
//!   N  flags, creation, name  ------------------>
//!   (n flags, name: OTP 23 and 24)
//!                             <------------------  s  status, or the name of a connector that has none
//!   [s  true or false         ------------------>  if it was alive]
//!                             <------------------  N  flags, challenge, creation, name
//!   [c  flags, creation       ------------------>  if it began with n]
//!   r  challenge, digest      ------------------>
//!                             <------------------  a  digest
//! ```
//!
//! A digest is the MD5 of the cookie and the other side's challenge in decimal digits. That keeps out nodes
//! of another cluster, and nobody who wants to get in.

mod accept;
mod connect;

use md5::{Digest, Md5};

use super::flags::Flags;

pub use self::accept::{Acceptor, Asked};
pub use self::connect::{Connector, Progress};

/// A node as it presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The name, as `name@host`.
    pub name: String,
    /// The incarnation, which is not 0.
    pub creation: u32,
    /// The flags that it offers.
    pub flags: Flags,
    /// The secret that all nodes of a cluster know.
    pub cookie: String,
}

/// A node as it has presented itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The name, as `name@host`.
    pub name: String,
    /// The incarnation of the node.
    pub creation: u32,
    /// The flags that both have.
    pub agreed: Flags,
}

/// The answer of an acceptor to a connector before it asks for the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The connector is to go on.
    Ok,
    /// The connector is to go on; the connection that the acceptor itself is about to make to the connector
    /// is given up.
    OkSimultaneous,
    /// The connector is to give up, since the acceptor is about to connect to it, too.
    Nok,
    /// The connector is not welcome.
    NotAllowed,
    /// There is a connection already. The connector says whether it wants another one.
    Alive,
}

impl Status {
    /// Returns the status as a message.
    pub fn message(self) -> Vec<u8> {
        let text: &[u8] = match self {
            Status::Ok => b"sok",
            Status::OkSimultaneous => b"sok_simultaneous",
            Status::Nok => b"snok",
            Status::NotAllowed => b"snot_allowed",
            Status::Alive => b"salive",
        };
        text.to_vec()
    }

    fn read(text: &[u8]) -> Option<Status> {
        Some(match text {
            b"ok" => Status::Ok,
            b"ok_simultaneous" => Status::OkSimultaneous,
            b"nok" => Status::Nok,
            b"not_allowed" => Status::NotAllowed,
            b"alive" => Status::Alive,
            _ => return None,
        })
    }
}

/// A reason for which a handshake has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A message is malformed, or none that is expected.
    #[error("a message of the handshake is malformed")]
    Malformed,
    /// The peer lacks flags that it must have.
    #[error("the peer lacks {0}")]
    Missing(Flags),
    /// The name is no `name@host`, or long where our own is short, or the other way round.
    #[error("the name of the peer: {0}")]
    Name(NameError),
    /// Another node answers than was called.
    #[error("the node that answers is {0}")]
    OtherNode(String),
    /// The peer does not know the cookie.
    #[error("the cookies differ")]
    Cookie,
    /// The peer is connecting to us, and goes on with that.
    #[error("the peer is connecting to this node itself")]
    Nok,
    /// The peer does not want us.
    #[error("the peer refuses this node")]
    NotAllowed,
    /// The peer wants a name from us.
    #[error("the peer has no name of its own")]
    NameMe,
}

/// A reason for which a name is none of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is no `name@host`.
    #[error("it is no name@host")]
    Form,
    /// It has other characters than those of ASCII, which nodes do not agree on.
    #[error("it is not ASCII")]
    NotAscii,
    /// It is longer than 255 characters.
    #[error("it is too long")]
    TooLong,
    /// One of two nodes has a host with a dot, the other one has none.
    #[error("one of the two names is long and the other one short")]
    LongAndShort,
}

/// Checks that `name` is one of a node, and returns its two parts.
///
/// # Errors
/// When it is none.
///
/// # Examples
/// ```
/// use twoply_node::wire::{NameError, split_name};
///
/// assert_eq!(split_name("shop@host"), Ok(("shop", "host")));
/// assert_eq!(split_name("shop@host@host"), Err(NameError::Form));
/// ```
pub fn split_name(name: &str) -> Result<(&str, &str), NameError> {
    let (alive, host) = name.split_once('@').ok_or(NameError::Form)?;
    if alive.is_empty() || host.is_empty() || host.contains('@') {
        return Err(NameError::Form);
    }
    if name.len() > 255 {
        return Err(NameError::TooLong);
    }
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(NameError::NotAscii);
    }
    Ok((alive, host))
}

/// Returns the name of a peer, checked against `own`.
fn peer_name(own: &Own, bytes: &[u8]) -> Result<String, HandshakeError> {
    let name = std::str::from_utf8(bytes).map_err(|_| HandshakeError::Name(NameError::NotAscii))?;
    check_peer_name(&own.name, name).map_err(HandshakeError::Name)?;
    Ok(name.to_owned())
}

/// Checks that `name` is one of a node that the node `own` can be connected to.
pub(crate) fn check_peer_name(own: &str, name: &str) -> Result<(), NameError> {
    let ((_, host), (_, here)) = (split_name(name)?, split_name(own)?);
    if host.contains('.') == here.contains('.') { Ok(()) } else { Err(NameError::LongAndShort) }
}

/// Checks that a peer has what it must have, and returns what both have.
fn agree(own: &Own, flags: Flags) -> Result<Flags, HandshakeError> {
    let missing = Flags::MANDATORY - flags.expanded();
    if missing == Flags::NONE { Ok(own.flags.agreed(flags)) } else { Err(HandshakeError::Missing(missing)) }
}

/// Returns the digest that shows that somebody knows the cookie.
fn digest(cookie: &str, challenge: u32) -> [u8; 16] {
    let mut md5 = Md5::new();
    md5.update(cookie.as_bytes());
    md5.update(challenge.to_string().as_bytes());
    md5.finalize().into()
}

/// Compares a digest, in a time that does not depend on where it differs.
fn is_digest(given: &[u8], cookie: &str, challenge: u32) -> bool {
    let wanted = digest(cookie, challenge);
    given.len() == wanted.len()
        && wanted.iter().zip(given).fold(0, |differs, (a, b)| std::hint::black_box(differs | (a ^ b))) == 0
}

/// Reads the parts of a message. What stands behind those that are known is ignored, as the protocol wants.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], HandshakeError> {
        let (taken, left) = self.0.split_at_checked(len).ok_or(HandshakeError::Malformed)?;
        self.0 = left;
        Ok(taken)
    }

    fn number(&mut self, len: usize) -> Result<u64, HandshakeError> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn u32(&mut self) -> Result<u32, HandshakeError> {
        self.number(4).map(|number| number as u32)
    }

    /// Reads a text with its length in two bytes.
    fn text(&mut self) -> Result<&'a [u8], HandshakeError> {
        let len = self.number(2)?;
        self.take(len as usize)
    }
}

/// Appends a name with its length in two bytes.
fn push_name(message: &mut Vec<u8>, name: &str) {
    // A node checks its own name when it is made.
    message.extend_from_slice(&(name.len() as u16).to_be_bytes());
    message.extend_from_slice(name.as_bytes());
}
