//! Bytes as they come.

use std::convert::Infallible;

use super::{Buffer, Decoder, Encoder};

/// The codec of bytes as they come: an item is what one read has brought.
///
/// # Examples
/// ```
/// use twoply::port::{Buffer, Decoder, Raw};
///
/// let mut buf = Buffer::from(b"anything".to_vec());
/// assert_eq!(Raw.decode(&mut buf), Ok(Some(b"anything".to_vec())));
/// assert_eq!(Raw.decode(&mut buf), Ok(None));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Infallible;

    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<Vec<u8>>, Infallible> {
        Ok((!buf.is_empty()).then(|| buf.take(buf.len())))
    }
}

impl<T: AsRef<[u8]>> Encoder<T> for Raw {
    type Error = Infallible;

    fn encode(&mut self, item: T, buf: &mut Buffer) -> Result<(), Infallible> {
        buf.put_slice(item.as_ref());
        Ok(())
    }
}
