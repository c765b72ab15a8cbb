//! Items with their length in front.

use super::{Buffer, Bytes, CodecError, Decoder, Encoder, Shared};

/// The number of bytes that a frame may have, unless one says otherwise.
const MAXIMUM: u64 = 8 << 20;

/// The form in which the length of a frame stands in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Prefix {
    /// One byte, for 255 bytes at most.
    U8,
    /// Two bytes, for 65,535 bytes at most.
    U16,
    /// Four bytes, as Erlang's `{packet, 4}`.
    U32,
    /// Eight bytes, for any length.
    U64,
    /// One to ten bytes, of seven bits each, the lowest first: LEB128, as Protocol Buffers have it.
    Varint,
}

impl Prefix {
    /// Returns the number of bytes; `None` where that depends on the length.
    const fn width(self) -> Option<usize> {
        match self {
            Prefix::U8 => Some(1),
            Prefix::U16 => Some(2),
            Prefix::U32 => Some(4),
            Prefix::U64 => Some(8),
            Prefix::Varint => None,
        }
    }
}

/// The codec of frames: bytes with their number in front, which is no part of it.
///
/// # Examples
/// ```
/// use twoply::port::{Buffer, Decoder, Encoder, Frames, Prefix};
///
/// let mut codec = Frames::new(Prefix::U16).little_endian().maximum(1000);
/// let mut buf = Buffer::new();
/// codec.encode("hello", &mut buf)?;
/// assert_eq!(&buf[..], b"\x05\0hello");
/// assert_eq!(codec.decode(&mut buf)?, Some(b"hello".to_vec()));
/// # Ok::<(), twoply::port::CodecError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Frames {
    prefix: Prefix,
    little_endian: bool,
    maximum: u64,
    /// The number of bytes that are still to come of a frame that is too long, and is passed over.
    skipping: u64,
}

impl Frames {
    /// Returns the codec of frames with this prefix, the highest byte first, and of 8 MiB at most.
    pub fn new(prefix: Prefix) -> Frames {
        Frames { prefix, little_endian: false, maximum: MAXIMUM, skipping: 0 }
    }

    /// Has the lowest byte of the length come first. A varint has only one order.
    ///
    /// # Examples
    /// ```
    /// use twoply::port::{Buffer, Encoder, Frames, Prefix};
    ///
    /// let mut buf = Buffer::new();
    /// Frames::new(Prefix::U16).little_endian().encode(b"ab".to_vec(), &mut buf)?;
    /// assert_eq!(&buf[..], b"\x02\x00ab");
    /// # Ok::<(), twoply::port::CodecError>(())
    /// ```
    pub fn little_endian(mut self) -> Frames {
        self.little_endian = true;
        self
    }

    /// Sets the number of bytes that a frame may have, without its prefix. One that has more is passed over,
    /// and an error comes in its place.
    ///
    /// # Examples
    /// ```
    /// use twoply::port::{Buffer, Decoder, Frames, Prefix};
    ///
    /// let mut buf = Buffer::new();
    /// buf.put_slice(b"\x00\x09hello you");
    /// assert!(Frames::new(Prefix::U16).maximum(8).decode(&mut buf).is_err());
    /// ```
    pub fn maximum(mut self, bytes: usize) -> Frames {
        self.maximum = bytes as u64;
        self
    }

    /// Returns the length at the front of `bytes`, and the number of bytes that it takes; `None` when it is
    /// not there to its end.
    #[inline]
    fn length(&self, bytes: &[u8]) -> Result<Option<(u64, usize)>, CodecError> {
        let Some(width) = self.prefix.width() else { return varint(bytes) };
        let Some(prefix) = bytes.get(..width) else { return Ok(None) };
        let mut whole = [0; 8];
        let length = if self.little_endian {
            whole[..width].copy_from_slice(prefix);
            u64::from_le_bytes(whole)
        } else {
            whole[8 - width..].copy_from_slice(prefix);
            u64::from_be_bytes(whole)
        };
        Ok(Some((length, width)))
    }

    /// Drops what is there of a frame that is passed over.
    fn pass_over(&mut self, buf: &mut Buffer) {
        let there = usize::try_from(self.skipping).unwrap_or(usize::MAX).min(buf.len());
        buf.advance(there);
        self.skipping -= there as u64;
    }
}

/// Reads a varint; see [`Frames::length`].
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, CodecError> {
    let mut length = 0_u64;
    for (index, byte) in bytes.iter().enumerate() {
        // The tenth byte has room for one bit.
        if index == 9 && *byte > 1 {
            return Err(CodecError::BadLength);
        }
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((length, index + 1)));
        }
    }
    Ok(None)
}

impl Frames {
    /// Has the frames share the memory of those that are read with them: their decoder makes [`Bytes`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, net::UnixStream, port::{self, Bytes, Frames, Prefix}};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// theirs.write_all(b"\x03one\x03two").wait()?;
    /// let frames = Frames::new(Prefix::U8);
    /// let port = port::custom::<_, _, _, Bytes>(ours, frames.clone().shared(), frames).start()?;
    /// let one: Bytes = port.recv().wait()?.item().unwrap();
    /// assert_eq!(one, b"one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shared(self) -> Shared<Frames> {
        Shared(self)
    }

    /// Takes the next frame out by `take`, which is told its length.
    #[inline]
    fn next<R>(
        &mut self,
        buf: &mut Buffer,
        take: impl FnOnce(&mut Buffer, usize) -> R,
    ) -> Result<Option<R>, CodecError> {
        if self.skipping > 0 {
            self.pass_over(buf);
        }
        let Some((length, width)) = self.length(buf)? else { return Ok(None) };
        if length > self.maximum {
            buf.advance(width);
            self.skipping = length;
            self.pass_over(buf);
            return Err(CodecError::FrameTooLong { length, maximum: self.maximum });
        }
        // The maximum is a `usize`, and the length is not above it.
        let length = length as usize;
        if buf.len() - width < length {
            // No more at a time than a peer has to send for it: a length alone costs it nothing.
            buf.reserve((length - (buf.len() - width)).min(64 << 10));
            return Ok(None);
        }
        buf.advance(width);
        Ok(Some(take(buf, length)))
    }
}

impl Decoder for Frames {
    type Item = Vec<u8>;
    type Error = CodecError;

    #[inline]
    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<Vec<u8>>, CodecError> {
        self.next(buf, Buffer::take)
    }

    fn most_buffered(&self) -> usize {
        usize::try_from(self.maximum).unwrap_or(usize::MAX).saturating_add(10)
    }
}

impl Decoder for Shared<Frames> {
    type Item = Bytes;
    type Error = CodecError;

    #[inline]
    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<Bytes>, CodecError> {
        self.0.next(buf, Buffer::take_shared)
    }

    fn most_buffered(&self) -> usize {
        self.0.most_buffered()
    }
}

impl<T: AsRef<[u8]>> Encoder<T> for Frames {
    type Error = CodecError;

    fn encode(&mut self, item: T, buf: &mut Buffer) -> Result<(), CodecError> {
        let item = item.as_ref();
        let length = item.len() as u64;
        let fits = match self.prefix.width() {
            Some(width) if width < 8 => (1 << (8 * width)) - 1,
            _ => u64::MAX,
        };
        let maximum = self.maximum.min(fits);
        if length > maximum {
            return Err(CodecError::FrameTooLong { length, maximum });
        }
        buf.reserve(item.len() + 10);
        match self.prefix.width() {
            None => put_varint(length, buf),
            Some(width) if self.little_endian => buf.put_slice(&length.to_le_bytes()[..width]),
            Some(width) => buf.put_slice(&length.to_be_bytes()[8 - width..]),
        }
        buf.put_slice(item);
        Ok(())
    }
}

fn put_varint(mut length: u64, buf: &mut Buffer) {
    while length >= 0x80 {
        buf.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    buf.put_u8(length as u8);
}
