//! Codecs, which turn bytes into items and back: the two traits, and those that are there.
//!
//! A codec is a state machine over a [`Buffer`]. It knows no descriptor and never waits, so it is tested with
//! bytes alone; who reads and writes them is the port.

mod delimited;
mod frames;
mod raw;
mod shared;
#[cfg(all(test, not(loom)))]
mod tests;

use std::error::Error;

use super::buffer::Buffer;
use super::bytes::{Bytes, Text};
pub use delimited::{Delimited, Lines};
pub use frames::{Frames, Prefix};
pub use raw::Raw;
pub use shared::Shared;

/// The number of bytes that may wait for the rest of their item, where a decoder does not say.
const MOST_BUFFERED: usize = 16 << 20;

/// Makes items of bytes. It is `tokio_util::codec::Decoder`, with a [`Buffer`] for its `BytesMut`.
///
/// A port contains a decoder that does wrong: what it panics with, that it would want bytes without end, or
/// that it goes on without using any up, becomes an [`Event::Error`](super::Event::Error), and then nothing
/// more is read.
///
/// # Examples
/// ```
/// use twoply::port::{Buffer, Decoder};
///
/// /// Pairs of bytes.
/// struct Pairs;
///
/// impl Decoder for Pairs {
///     type Item = (u8, u8);
///     type Error = std::convert::Infallible;
///
///     fn decode(&mut self, buf: &mut Buffer) -> Result<Option<(u8, u8)>, Self::Error> {
///         let Some(&[a, b]) = buf.first_chunk() else { return Ok(None) };
///         buf.advance(2);
///         Ok(Some((a, b)))
///     }
/// }
///
/// let mut buf = Buffer::from(b"abc".to_vec());
/// assert_eq!(Pairs.decode(&mut buf), Ok(Some((b'a', b'b'))));
/// assert_eq!(Pairs.decode(&mut buf), Ok(None));
/// ```
pub trait Decoder {
    /// The items that are made of the bytes.
    type Item;
    /// The error of bytes that nothing can be made of.
    type Error: Into<Box<dyn Error + Send + Sync>>;

    /// Takes the bytes of the next item out of `buf`, and returns what they make. `None` means that the item
    /// is not complete: then it is called again with more bytes behind those that it has left there.
    ///
    /// # Errors
    /// When there is something wrong with the bytes. A decoder that can go on has taken out what was wrong,
    /// and the owner of the port receives the error and what comes after it. One that has taken nothing out
    /// is not called again, and nothing more is read.
    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<Self::Item>, Self::Error>;

    /// Takes an item out of `buf` when no more bytes will come. It is called until it returns `None`; bytes
    /// that are left then become an error, and its owner has them.
    ///
    /// # Errors
    /// As [`decode`](Decoder::decode).
    fn decode_eof(&mut self, buf: &mut Buffer) -> Result<Option<Self::Item>, Self::Error> {
        self.decode(buf)
    }

    /// Returns the number of bytes that may be in the buffer without making an item; 16 MiB unless
    /// implemented. A port whose buffer holds more gives up reading, and says so.
    fn most_buffered(&self) -> usize {
        MOST_BUFFERED
    }
}

/// Makes bytes of items. It is `tokio_util::codec::Encoder`, with a [`Buffer`] for its `BytesMut`.
///
/// # Examples
/// ```
/// use twoply::port::{Buffer, Encoder};
///
/// struct Decimals;
///
/// impl Encoder<u32> for Decimals {
///     type Error = std::io::Error;
///
///     fn encode(&mut self, item: u32, buf: &mut Buffer) -> std::io::Result<()> {
///         use std::io::Write;
///         writeln!(buf, "{item}")
///     }
/// }
///
/// let mut buf = Buffer::new();
/// Decimals.encode(42, &mut buf)?;
/// assert_eq!(&buf[..], b"42\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Encoder<T> {
    /// The error of an item that no bytes can be made of.
    type Error: Into<Box<dyn Error + Send + Sync>>;

    /// Appends the bytes of `item` to `buf`.
    ///
    /// # Errors
    /// When no bytes can be made of it. What it has appended before is taken back, the owner of the port
    /// receives the error, and the items after it are written.
    fn encode(&mut self, item: T, buf: &mut Buffer) -> Result<(), Self::Error>;
}

/// The error of the codecs that are there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A line or another item up to a delimiter is longer than it may be. Its bytes are passed over.
    #[error("more than {maximum} bytes before the delimiter")]
    NoDelimiter {
        /// The number of bytes that an item may have.
        maximum: usize,
    },
    /// A frame is longer than it may be. One that was read is passed over.
    #[error("a frame of {length} bytes, where {maximum} is the most")]
    FrameTooLong {
        /// The number of bytes that the frame has.
        length: u64,
        /// The number of bytes that it may have.
        maximum: u64,
    },
    /// A line is not UTF-8.
    #[error("a line of {} bytes that is not UTF-8", line.len())]
    NotUtf8 {
        /// The bytes of the line.
        line: Vec<u8>,
    },
    /// The length of a frame does not end, or does not fit in 64 bits.
    #[error("a length of more than 64 bits")]
    BadLength,
}
