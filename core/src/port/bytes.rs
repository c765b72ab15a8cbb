//! Bytes and text that items share with those which were read with them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::CodecError;

/// Has `$shared` stand wherever the `$value` that it dereferences to does: it is compared, hashed, looked up
/// in a map and shown as that.
macro_rules! as_value {
    ($shared:ident as $value:ty) => {
        impl AsRef<$value> for $shared {
            fn as_ref(&self) -> &$value {
                self
            }
        }

        impl Borrow<$value> for $shared {
            fn borrow(&self) -> &$value {
                self
            }
        }

        impl<T: AsRef<$value> + ?Sized> PartialEq<T> for $shared {
            fn eq(&self, other: &T) -> bool {
                **self == *other.as_ref()
            }
        }

        impl Eq for $shared {}

        impl PartialOrd for $shared {
            fn partial_cmp(&self, other: &$shared) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $shared {
            fn cmp(&self, other: &$shared) -> Ordering {
                (**self).cmp(other)
            }
        }

        impl Hash for $shared {
            fn hash<H: Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }

        impl fmt::Debug for $shared {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

as_value! { Bytes as [u8] }
as_value! { Text as str }

/// Bytes in memory that is shared: a clone copies none of them, and neither does a part of them.
///
/// They are what [`Buffer::take_shared`](super::Buffer::take_shared) takes out. Those that are kept keep at
/// most 4 KiB of others, which have been read with them. Those that are made of a `Vec` are copied once.
///
/// # Examples
/// ```
/// use twoply::port::Bytes;
///
/// let all = Bytes::from(b"key=value".to_vec());
/// let value = all.part(4..9);
/// drop(all);
/// assert_eq!(value, b"value");
/// ```
#[derive(Clone)]
pub struct Bytes {
    block: Arc<[u8]>,
    /// The place of the first byte in the block.
    start: usize,
    /// The place behind the last byte in the block; no less than `start`.
    end: usize,
}

impl Bytes {
    /// Returns those of `block` in `range`.
    #[inline]
    pub(super) fn of(block: Arc<[u8]>, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= block.len(), "{range:?} of {}", block.len());
        Bytes { block, start: range.start, end: range.end }
    }

    /// Returns the part of them in `range`, which shares their memory, and so keeps all of it.
    ///
    /// # Panics
    /// When the range does not lie within them.
    ///
    /// # Examples
    /// ```
    /// use twoply::port::Bytes;
    ///
    /// assert_eq!(Bytes::from(b"abcdef".to_vec()).part(1..3), b"bc");
    /// ```
    pub fn part(&self, range: Range<usize>) -> Bytes {
        // Checked here: a range that is too long for them may lie within the block.
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {} bytes", self.len());
        Bytes::of(Arc::clone(&self.block), self.start + range.start..self.start + range.end)
    }
}

#[cfg(all(test, not(loom)))]
impl Bytes {
    /// Returns the number of bytes of others in the block.
    pub(super) fn shares(&self) -> usize {
        self.block.len() - self.len()
    }

    /// Returns the number of those who own the block.
    pub(super) fn owners(&self) -> usize {
        Arc::strong_count(&self.block)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        let end = bytes.len();
        Bytes::of(bytes.into(), 0..end)
    }
}

/// Text in memory that is shared: [`Bytes`] that are UTF-8.
///
/// # Examples
/// ```
/// use twoply::port::{Bytes, Text};
///
/// let text = Text::try_from(Bytes::from(b"hello".to_vec()))?;
/// assert_eq!(text, "hello");
/// assert!(text.clone().starts_with("he"));
/// # Ok::<(), twoply::port::CodecError>(())
/// ```
#[derive(Clone)]
pub struct Text {
    /// Nothing but UTF-8; no code changes what is in it.
    bytes: Bytes,
}

impl Text {
    /// Returns the bytes of the text.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl TryFrom<Bytes> for Text {
    type Error = CodecError;

    /// Returns the text of the bytes.
    ///
    /// # Errors
    /// When they are not UTF-8.
    #[inline]
    fn try_from(bytes: Bytes) -> Result<Text, CodecError> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Text { bytes }),
            Err(_) => Err(CodecError::NotUtf8 { line: bytes.to_vec() }),
        }
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        // SAFETY: one is made of a `String`, or of bytes that have been found to be UTF-8; and they are never
        // changed: a block that is shared is written to by nobody.
        unsafe { std::str::from_utf8_unchecked(&self.bytes) }
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text { bytes: text.into_bytes().into() }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
