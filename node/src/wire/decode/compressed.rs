//! Terms with a version in front, which may be compressed.

use std::borrow::Cow;
use std::io::Read;

use super::Decoder;
use crate::wire::FromTerm;
use crate::wire::error::{DecodeError, Why};
use crate::wire::tag;

/// The bytes that a compressed term may have when it is not.
const MAX_PLAIN: usize = 64 << 20;
/// Deflate makes at most about 1,032 bytes of one, so a size beyond that is a lie.
const MAX_RATIO: usize = 1_040;
/// The bytes that are inflated at a time.
const CHUNK: usize = 64 << 10;

/// The bytes of a term, without a version and not compressed.
struct Plain<'a>(Cow<'a, [u8]>);

impl Plain<'_> {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Takes the version off, and inflates what is compressed.
///
/// # Errors
/// Where the version is another, and where what is compressed is not what it says.
fn plain(bytes: &[u8]) -> Result<Plain<'_>, DecodeError> {
    match bytes {
        [] => Err(Why::Truncated.into()),
        [tag::VERSION, tag::COMPRESSED, rest @ ..] => inflate(rest).map(|bytes| Plain(Cow::Owned(bytes))),
        [tag::VERSION, rest @ ..] => Ok(Plain(Cow::Borrowed(rest))),
        [other, ..] => Err(Why::Version(*other).into()),
    }
}

/// Inflates bytes that have their size in front. Memory is taken as bytes come out, never by what is
/// promised.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (size, bytes) = bytes.split_first_chunk().ok_or(Why::Truncated)?;
    let size = u32::from_be_bytes(*size) as usize;
    if size > MAX_PLAIN {
        return Err(Why::Budget.into());
    }
    if size > bytes.len().saturating_mul(MAX_RATIO) {
        return Err(Why::Compressed.into());
    }
    let mut inflated = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(bytes);
    let mut chunk = vec![0; CHUNK.min(size + 1)];
    loop {
        let read = reader.read(&mut chunk).map_err(|_| Why::Compressed)?;
        if read == 0 {
            break;
        }
        if inflated.len() + read > size {
            return Err(Why::Compressed.into());
        }
        inflated.extend_from_slice(&chunk[..read]);
    }
    let used = reader.total_in() as usize;
    match (inflated.len() == size, bytes.len().saturating_sub(used)) {
        (true, 0) => Ok(inflated),
        (true, left) => Err(Why::Trailing(left).into()),
        (false, _) => Err(Why::Compressed.into()),
    }
}

/// Reads a term that has its version in front, as `term_to_binary` writes it, compressed or not.
///
/// # Errors
/// Where the bytes are something else than one whole `T`.
///
/// # Examples
/// ```
/// use twoply_node::wire::from_bytes;
///
/// let list: Vec<u8> = from_bytes(&[131, 107, 0, 3, 1, 2, 3])?;
/// assert_eq!(list, [1, 2, 3]);
/// # Ok::<(), twoply_node::wire::DecodeError>(())
/// ```
pub fn from_bytes<T: for<'a> FromTerm<'a>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let plain = plain(bytes)?;
    let mut decoder = Decoder::new(plain.bytes());
    let value = T::from_term(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}
