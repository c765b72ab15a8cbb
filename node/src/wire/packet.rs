//! [`Packets`]: a stream of bytes cut into packets, each with its length in front.

use super::frame::FrameError;

/// Cuts a stream into packets.
///
/// # Examples
/// ```
/// use twoply_node::wire::Packets;
///
/// let mut packets = Packets::frames(1024);
/// let mut bytes: &[u8] = &[0, 0, 0, 2, 7];
/// assert_eq!(packets.next(&mut bytes)?, None);
/// let mut more: &[u8] = &[8, 0, 0, 0, 0];
/// assert_eq!(packets.next(&mut more)?, Some(vec![7, 8]));
/// assert_eq!(packets.next(&mut more)?, Some(vec![]), "a tick");
/// # Ok::<(), twoply_node::wire::FrameError>(())
/// ```
#[derive(Debug)]
pub struct Packets {
    /// The bytes of a length, and those that are there.
    head: [u8; 4],
    head_len: usize,
    head_read: usize,
    /// The packet that has begun, and how long it is.
    body: Option<(Vec<u8>, usize)>,
    limit: usize,
}

/// The bytes for which a packet takes memory before they are there: those of a fragment, with its header.
const FIRST_ROOM: usize = 65 << 10;
/// The bytes that a message of the handshake may have.
const MAX_HANDSHAKE: usize = 1 << 10;

impl Packets {
    /// Cuts the handshake: a length has two bytes over TCP, four over TLS.
    pub fn handshake(over_tls: bool) -> Packets {
        Packets::new(if over_tls { 4 } else { 2 }, MAX_HANDSHAKE)
    }

    /// Cuts what comes after the handshake, frames of at most `limit` bytes.
    pub fn frames(limit: usize) -> Packets {
        Packets::new(4, limit)
    }

    fn new(head_len: usize, limit: usize) -> Packets {
        Packets { head: [0; 4], head_len, head_read: 0, body: None, limit }
    }

    /// Returns the next packet, or `None` if `bytes` have been used up before it is whole.
    ///
    /// # Errors
    /// When a packet is longer than is allowed. The stream is of no use after that.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, FrameError> {
        let len = match self.body.as_ref() {
            Some((_, len)) => *len,
            None => {
                let head = take(bytes, self.head_len - self.head_read);
                self.head[self.head_read..self.head_read + head.len()].copy_from_slice(head);
                self.head_read += head.len();
                if self.head_read < self.head_len {
                    return Ok(None);
                }
                let len =
                    self.head[..self.head_len].iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
                if len > self.limit {
                    return Err(FrameError::TooLong { limit: self.limit });
                }
                self.head_read = 0;
                self.body = Some((Vec::with_capacity(len.min(FIRST_ROOM)), len));
                len
            }
        };
        let Some((body, _)) = &mut self.body else { return Ok(None) };
        let more = take(bytes, len - body.len());
        body.extend_from_slice(more);
        let whole = body.len() == len;
        Ok(self.body.take_if(|_| whole).map(|(body, _)| body))
    }

    /// Returns true if a packet has begun and is not whole.
    pub fn is_inside(&self) -> bool {
        self.head_read > 0 || self.body.is_some()
    }
}

/// Takes up to `len` bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, left) = bytes.split_at(len.min(bytes.len()));
    *bytes = left;
    taken
}
