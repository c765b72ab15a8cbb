//! The events that a port tells its owner of.

use std::error::Error;
use std::fmt;
use std::io;

use crate::channel::oneshot;

/// An event of a port, for its owner. Events come in order.
///
/// # Examples
/// ```
/// use twoply::{Wait, net::UnixStream, port::{self, Event}};
///
/// let (ours, theirs) = UnixStream::pair()?;
/// let port = port::lines(ours).start()?;
/// theirs.write_all(b"one\ntwo\n").wait()?;
/// drop(theirs);
/// let mut lines = Vec::new();
/// loop {
///     match port.recv().wait()? {
///         Event::Item(line) => lines.push(line),
///         Event::Error(error) => eprintln!("{error}"),
///         Event::Closed => break,
///         _ => {}
///     }
/// }
/// assert_eq!(lines, ["one", "two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<T> {
    /// Something has come: a line, a frame, a connection, a tick.
    Item(T),
    /// As many items have come as were asked for with [`Active::N`](super::Active::N). Nothing more is read
    /// until there is another [`active`](super::PortRef::active).
    Passive,
    /// The port has gone to another owner: this is the last event for this one. Dropping what is in it lets
    /// the new owner have its first, so what came before can be dealt with, or passed on, until then.
    HandedOver(HandOver),
    /// Nothing more will come, and what is written still goes out. Only a port that was made
    /// [`half_open`](super::Builder::half_open) tells of this; others close.
    HalfClosed,
    /// Something went wrong. If the port can go on, it does so; what else it does is told by the events that
    /// follow.
    Error(PortError),
    /// The port has closed what it stood for. This is the last event.
    Closed,
}

impl<T> Event<T> {
    /// Returns the item, if it is one.
    ///
    /// ```
    /// use twoply::port::Event;
    ///
    /// assert_eq!(Event::Item(7).item(), Some(7));
    /// assert_eq!(Event::<u8>::Closed.item(), None);
    /// ```
    pub fn item(self) -> Option<T> {
        match self {
            Event::Item(item) => Some(item),
            _ => None,
        }
    }
}

/// The permission for a port to go on with its new owner, which is given by dropping this; see
/// [`PortRef::hand_over`](super::PortRef::hand_over).
pub struct HandOver {
    /// The port waits until this is gone.
    _held: oneshot::Sender<()>,
}

impl HandOver {
    /// Returns one, and what tells of its end.
    pub(super) fn new() -> (HandOver, oneshot::Receiver<()>) {
        let (held, released) = oneshot::channel();
        (HandOver { _held: held }, released)
    }
}

impl fmt::Debug for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandOver").finish_non_exhaustive()
    }
}

/// The thing that a port was doing when the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum During {
    /// It was connecting, or opening what it stands for.
    Open,
    /// It was reading its input.
    Read,
    /// It was waiting for a connection.
    Accept,
    /// It was writing its output.
    Write,
    /// It was closing its writing side.
    Close,
}

impl fmt::Display for During {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            During::Open => "opening",
            During::Read => "reading",
            During::Accept => "accepting",
            During::Write => "writing",
            During::Close => "closing",
        })
    }
}

/// The error of a port, which says what went wrong, where and at which limit. Positions are counted in bytes
/// from the beginning of the input.
// The tag is a word, in this and so in all that an event is part of: a tag of a byte would have the rest be
// moved in pieces that are no words, and each read of one wait until the writes before it are in the cache.
#[derive(Debug, thiserror::Error)]
#[repr(u64)]
#[non_exhaustive]
pub enum PortError {
    /// The system refused. Nothing more is done in this direction; the other one goes on.
    #[error("{during}: {error}")]
    Io {
        /// The thing that the port was doing.
        during: During,
        /// The error that the system gave.
        #[source]
        error: io::Error,
    },
    /// The decoder can make nothing of the bytes at this position: they are too many for a frame, are no
    /// text. What comes after them is read, unless the decoder has left them where they are.
    #[error("at byte {at} of the input: {error}")]
    Decode {
        /// The position in the input.
        at: u64,
        /// The error that the decoder gave.
        #[source]
        error: Box<dyn Error + Send + Sync>,
    },
    /// The decoder panicked. Nothing more is read.
    #[error("at byte {at} of the input the decoder panicked: {message}")]
    DecoderPanicked {
        /// The position in the input.
        at: u64,
        /// The message of the panic.
        message: String,
    },
    /// The decoder makes one item after another without using up any bytes. Nothing more is read.
    #[error("at byte {at} of the input the decoder has made {items} items out of nothing")]
    DecoderStuck {
        /// The position in the input.
        at: u64,
        /// The number of items.
        items: u32,
    },
    /// More bytes wait for the end of their item than the decoder [wants](super::Decoder::most_buffered).
    /// Nothing more is read.
    #[error("at byte {at} of the input: an item does not end within {limit} bytes")]
    BufferFull {
        /// The position in the input.
        at: u64,
        /// The number of bytes that may wait.
        limit: usize,
    },
    /// The input has ended in the middle of an item.
    #[error("at byte {at} the input ends in the middle of an item, with {} bytes of it", rest.len())]
    Unfinished {
        /// The position in the input at which the item begins.
        at: u64,
        /// The bytes that there are of it.
        rest: Vec<u8>,
    },
    /// The encoder can make nothing of an item that was to be written. Others are written.
    #[error("an item that was to be written: {error}")]
    Encode {
        /// The error that the encoder gave.
        #[source]
        error: Box<dyn Error + Send + Sync>,
    },
    /// The encoder panicked. Nothing more is written.
    #[error("the encoder panicked: {message}")]
    EncoderPanicked {
        /// The message of the panic.
        message: String,
    },
}
