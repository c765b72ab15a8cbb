//! [`Inbound`]: frames become messages. It keeps the atom cache of a connection and the fragments of what is
//! not whole yet.

mod cache;
mod fragments;

use std::mem;
use std::sync::Arc;

use self::cache::{AtomCache, Header};
use self::fragments::Fragments;
use super::control::Control;
use super::decode::Decoder;
use super::encode::Encoder;
use super::error::{DecodeError, EncodeError, Why};
use super::flags::Flags;
use super::kept::{Kept, Whole};
use super::outbound::{Atoms, Shared};
use super::tag;

pub(super) use self::fragments::FRAME_HEAD;

/// The limits of what a peer may make this keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of a frame behind its length: with its header, which says what atoms it has. A peer that
    /// cuts long messages has frames of 64 KiB each, and headers in front of those that have up to 255 KiB
    /// where there are as many atoms as can be, all of them new and as long as one can be. So less than 320
    /// KiB may end the connection to one that breaks no rule.
    pub frame: usize,
    /// The bytes of a message, which may come in several frames: of what is done, and of what follows, but of
    /// no header. A node sends no longer ones either, and to a peer that takes no fragments none whose frame
    /// is longer than one may be.
    pub message: usize,
    /// The messages that have begun and are not whole.
    pub sequences: usize,
    /// The bytes of all messages that have begun and are not whole. The memory of earlier messages that they
    /// have got, before as much has come, may be as much again.
    pub pending: usize,
    /// The bytes of messages that wait for processes which do not receive them, beyond what their mailboxes
    /// hold; above that nothing more is read.
    pub waiting: usize,
}

impl Default for Limits {
    /// 16 MiB a frame, 128 MiB a message, 1,024 messages at a time with 512 MiB, and 32 MiB that wait.
    fn default() -> Limits {
        Limits {
            frame: 16 << 20,
            message: 128 << 20,
            sequences: 1_024,
            pending: 512 << 20,
            waiting: 32 << 20,
        }
    }
}

/// A reason for which a connection is of no use any more: what has come is no frame of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame is longer than is allowed.
    #[error("a frame has more than {limit} bytes")]
    TooLong {
        /// The bytes that are allowed.
        limit: usize,
    },
    /// A message has more bytes than are allowed, in all of its frames.
    #[error("a message has more than {limit} bytes")]
    MessageTooLong {
        /// The bytes that are allowed.
        limit: usize,
    },
    /// More messages have begun than are allowed at a time, or they have more bytes.
    #[error("too many messages have begun and are not whole")]
    TooManyFragments,
    /// A fragment belongs to no message that has begun, or is not the next one of its message.
    #[error("a fragment is out of order")]
    OutOfOrder,
    /// A frame begins with something that nobody has agreed on.
    #[error("a frame begins with {0}")]
    Kind(u8),
    /// The header of a frame is malformed.
    #[error("the header of a frame is malformed")]
    Header,
    /// The header of a frame names an entry of the atom cache that nobody has made.
    #[error("the atom cache has no entry {0}")]
    NotCached(usize),
    /// The control message is malformed.
    #[error("the control message is malformed: {0}")]
    Control(DecodeError),
}

/// A message, as it has come from a peer.
#[derive(Debug)]
pub struct Message {
    /// The frame, or all fragments of it.
    bytes: Arc<Whole>,
    /// The place where the payload begins, behind its version if it has one.
    payload: usize,
    header: Header,
    control: Control,
}

impl Message {
    /// Returns what the message does.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Returns a cursor at what follows: a message, a reason or a list of arguments. It has not been looked
    /// at.
    pub fn payload(&self) -> Decoder<'_> {
        Decoder::with(&self.bytes[self.payload..], &self.header.atoms, Some(&self.bytes))
    }

    /// Returns how many bytes follow.
    pub fn payload_len(&self) -> usize {
        self.bytes.len() - self.payload
    }

    /// Returns what the message does, and takes it out.
    pub fn into_control(self) -> Control {
        self.control
    }
}

/// The state of the frames that a peer has sent.
#[derive(Debug)]
pub struct Inbound {
    /// True if frames have headers, as has been agreed.
    headers: bool,
    cache: AtomCache,
    /// The memory for the header of the next frame that is a whole message, and what was read to it before.
    header: Header,
    fragments: Fragments,
    limits: Limits,
}

impl Inbound {
    /// Begins with a connection on which these flags have been agreed.
    pub fn new(agreed: Flags, limits: Limits) -> Inbound {
        Inbound::keeping(agreed, limits, Arc::default())
    }

    /// As [`Inbound::new`], with the memory of earlier messages.
    pub(crate) fn keeping(agreed: Flags, limits: Limits, kept: Arc<Kept>) -> Inbound {
        let headers = agreed.contains(Flags::DIST_HDR_ATOM_CACHE);
        let fragments = Fragments::new(kept);
        Inbound { headers, cache: AtomCache::default(), header: Header::default(), fragments, limits }
    }

    /// Takes a frame, which is not empty, and returns the message that is whole by it.
    ///
    /// # Errors
    /// When the frame breaks the protocol. The connection is of no use after that.
    pub fn frame(&mut self, frame: Vec<u8>) -> Result<Option<Message>, FrameError> {
        match *frame {
            [tag::PASS_THROUGH, tag::VERSION, ..] if !self.headers => {
                self.message(frame.into(), 2, Header::default(), true).map(Some)
            }
            [tag::VERSION, tag::DIST_HEADER, ..] if self.headers => {
                let mut header = mem::take(&mut self.header);
                let start = self.cache.header(&frame, 2, &mut header)?;
                self.message(frame.into(), start, header, false).map(Some)
            }
            [tag::VERSION, kind @ (tag::FIRST_FRAGMENT | tag::FRAGMENT), ..] if self.headers => {
                self.fragment(&frame, kind == tag::FIRST_FRAGMENT)
            }
            [first, ..] => Err(FrameError::Kind(first)),
            [] => Err(FrameError::Header),
        }
    }

    /// Takes a fragment: two numbers of eight bytes, and in the first one a header.
    fn fragment(&mut self, frame: &[u8], first: bool) -> Result<Option<Message>, FrameError> {
        let (numbers, _) = frame[2..].split_first_chunk::<16>().ok_or(FrameError::Header)?;
        let number =
            |at: usize| numbers[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (sequence, left) = (number(0), number(8));
        let whole = if first {
            // These are kept with what has come, of many messages maybe, and take no more than they need.
            let mut header = Header::default();
            let start = self.cache.header(frame, 18, &mut header)?;
            self.fragments.begin(sequence, left, header.atoms, &frame[start..], &self.limits)?
        } else {
            self.fragments.add(sequence, left, &frame[18..], &self.limits)?
        };
        whole.map(|(atoms, bytes)| self.message(bytes, 0, atoms.into(), false)).transpose()
    }

    /// Takes back a message that is over, for what is in its memory: the next one needs none of its own for
    /// its atoms then, and where these are the same they are not even looked for.
    pub fn give_back(&mut self, message: Message) {
        let Message { header, .. } = message;
        if header.atoms.capacity() >= self.header.atoms.capacity() {
            self.header = header;
        }
    }

    /// Returns how many messages have begun and are not whole.
    pub fn begun(&self) -> usize {
        self.fragments.len()
    }

    /// Reads the control message at `start`. Where there are no headers, a payload has a version of its own.
    fn message(
        &self,
        bytes: Whole,
        start: usize,
        header: Header,
        versions: bool,
    ) -> Result<Message, FrameError> {
        if bytes.len() - start > self.limits.message {
            return Err(FrameError::MessageTooLong { limit: self.limits.message });
        }
        let mut input = Decoder::with(&bytes[start..], &header.atoms, None);
        let control = Control::read(&mut input).map_err(FrameError::Control)?;
        let mut payload = bytes.len() - input.remaining();
        if control.has_payload() {
            match bytes.get(payload) {
                Some(&tag::VERSION) if versions => payload += 1,
                Some(_) if !versions => {}
                _ => return Err(FrameError::Control(Why::Truncated.into())),
            }
        } else if input.remaining() > 0 {
            return Err(FrameError::Control(Why::Trailing(input.remaining()).into()));
        }
        Ok(Message { bytes: Arc::new(bytes), payload, header, control })
    }
}

/// Writes a frame behind what is in `out`: its length, what is in front of it, and the control message;
/// `payload` writes what follows. Where something cannot be written, `out` is as before.
///
/// # Errors
/// Those of the control message and the payload; and when the frame has 4 GiB or more.
pub fn write_frame(
    agreed: Flags,
    control: &Control,
    out: &mut Vec<u8>,
    payload: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    write_frame_to(agreed, control, out, None, payload)
}

/// As [`write_frame`]; what the frame refers to goes to `refers`: large binaries and atoms. Where there are
/// any, what is in front of the frame does not count.
pub(super) fn write_frame_to(
    agreed: Flags,
    control: &Control,
    out: &mut Vec<u8>,
    refers: Option<(&mut Shared, &mut Atoms)>,
    payload: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let written = try_write_frame(agreed, control, out, refers, payload).and_then(|()| {
        let len = u32::try_from(out.len() - start - 4).map_err(|_| EncodeError::TooLarge)?;
        out[start..start + 4].copy_from_slice(&len.to_be_bytes());
        Ok(())
    });
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn try_write_frame(
    agreed: Flags,
    control: &Control,
    out: &mut Vec<u8>,
    refers: Option<(&mut Shared, &mut Atoms)>,
    payload: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let headers = agreed.contains(Flags::DIST_HDR_ATOM_CACHE);
    out.extend_from_slice(&[0; 4]);
    // A header that tells no atoms. One that does takes its place when it is known what goes out before it.
    out.extend_from_slice(if headers {
        &[tag::VERSION, tag::DIST_HEADER, 0]
    } else {
        &[tag::PASS_THROUGH, tag::VERSION]
    });
    let mut encoder = Encoder::of_frame(out, refers);
    control.write(&mut encoder)?;
    if control.has_payload() {
        if !headers {
            encoder.own_bytes(&[tag::VERSION]);
        }
        payload(&mut encoder)?;
    }
    Ok(())
}
