//! Codecs whose items share memory.

use super::{Buffer, Encoder};

/// A codec whose items share the memory of those that are read with them, made by [`Frames::shared`],
/// [`Delimited::shared`] and [`Lines::shared`]. It writes what the codec without it does.
///
/// An item of its own costs an allocation, which an item in shared memory does not; and where the owner of a
/// port is on another core than the port, most of what an item costs is that its memory is freed there. An
/// item that is kept keeps at most 4 KiB of others.
///
/// # Examples
/// ```
/// use twoply::port::{Buffer, Decoder, Lines};
///
/// let mut buf = Buffer::from(b"one\ntwo\n".to_vec());
/// let mut codec = Lines::new().shared();
/// let one = codec.decode(&mut buf)?.unwrap();
/// assert_eq!(codec.decode(&mut buf)?.unwrap(), "two");
/// assert_eq!(one, "one");
/// # Ok::<(), twoply::port::CodecError>(())
/// ```
///
/// [`Frames::shared`]: super::Frames::shared
/// [`Delimited::shared`]: super::Delimited::shared
/// [`Lines::shared`]: super::Lines::shared
#[derive(Clone, Debug)]
pub struct Shared<C>(pub(super) C);

impl<T, C: Encoder<T>> Encoder<T> for Shared<C> {
    type Error = C::Error;

    fn encode(&mut self, item: T, buf: &mut Buffer) -> Result<(), C::Error> {
        self.0.encode(item, buf)
    }
}
