//! The protocol as bytes: terms, frames, control messages, the handshake and the port mapper, without a clock
//! and without a socket.
//!
//! All that is read here a peer has sent, who may be hostile or newer: nothing in it makes this panic,
//! take memory without a bound, or go on for ever. Each part is a value that is handed bytes and says that it
//! needs more, what it has understood, or why it has not.
//!
//! | module     | duty                                                                          |
//! |------------|-------------------------------------------------------------------------------|
//! | `decode`, `encode` | the external term format, one pass each                               |
//! | `convert`, `plain` | which types of Rust are which terms; those that serde knows           |
//! | `term`, `atom` | terms as values                                                           |
//! | `packet`, `frame` | a stream in packets; frames with their atom cache and fragments        |
//! | `outbound` | frames that go out, without copies of large binaries, with atoms by numbers  |
//! | `control`, `flags` | what processes do to each other; what nodes can do                    |
//! | `kept` | the memory of big messages, which is used again                                  |
//! | `handshake`, `epmd` | how nodes meet                                                       |

mod atom;
mod control;
mod convert;
mod decode;
mod encode;
mod epmd;
mod error;
mod flags;
mod frame;
mod handshake;
mod kept;
mod outbound;
mod packet;
#[cfg(feature = "serde")]
mod plain;
mod scratch;
mod short;
mod tag;
mod term;

pub use self::atom::{Atom, AtomError, MAX_ATOM};
pub use self::control::{Control, ExitBy, SpawnRequest, Target};
pub use self::convert::{Arguments, Charlist, FromArguments, FromTerm, Nilable, ToTerm};
pub use self::decode::{Decoder, Kind, List, MAX_DEPTH, TermRef, from_bytes};
pub(crate) use self::encode::{Encoded, bytes_of};
pub use self::encode::{Encoder, to_bytes};
pub use self::epmd::{
    EpmdError, Found, found, names, names_request, port_request, register_request, registered,
};
pub use self::error::{DecodeError, EncodeError, Why};
pub use self::flags::Flags;
pub use self::frame::{FrameError, Inbound, Limits, Message, write_frame};
pub(crate) use self::handshake::check_peer_name;
pub use self::handshake::{
    Acceptor, Asked, Connector, HandshakeError, NameError, Own, Peer, Progress, Status, split_name,
};
pub(crate) use self::kept::{Kept, Largest};
pub(crate) use self::outbound::{Frame, Parts, Told};
pub use self::packet::Packets;
#[cfg(feature = "serde")]
pub use self::plain::Plain;
pub(crate) use self::scratch::Scratch;
pub use self::term::{BigInt, Binary, BitString, Fun, Improper, Map, Pid, Port, Reference, Term, TooBig};

#[doc(hidden)]
pub use self::convert::derived;

pub use twoply_macros::{FromTerm, ToTerm};
