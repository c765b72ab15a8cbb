//! The bytes between a descriptor and a codec.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::Bytes;

/// The number of bytes that are copied for all that is taken out of them to share.
const BLOCK: usize = 4 << 10;

/// Bytes that are appended at one end and taken out at the other: what a [`Decoder`](super::Decoder) reads
/// from and an [`Encoder`](super::Encoder) writes to. It dereferences to the bytes that are in it.
///
/// It has the part of a `BytesMut` that codecs use, under names that are known from there. It is none: memory
/// that is shared with items cannot be taken back while the port is idle, and a small item that is kept would
/// keep a whole buffer. Items that share memory have a copy of at most 4 KiB of it
/// ([`take_shared`](Buffer::take_shared)).
///
/// # Examples
/// ```
/// use twoply::port::Buffer;
///
/// let mut buf = Buffer::new();
/// buf.put_slice(b"one two");
/// assert_eq!(buf.take(3), b"one");
/// buf.advance(1);
/// assert_eq!(&buf[..], b"two");
/// ```
#[derive(Default)]
pub struct Buffer {
    /// The memory, all of it initialized: what is read goes there without `unsafe`.
    bytes: Vec<u8>,
    /// The place of the first byte that is in it.
    start: usize,
    /// The place behind the last byte that is in it.
    end: usize,
    /// A copy of the first bytes that are in it, and of some before them.
    shared: Option<Arc<[u8]>>,
    /// The number of the first bytes that are in it of which the end of `shared` is a copy.
    copied: usize,
}

impl Buffer {
    /// Returns a buffer with nothing in it. It has no memory yet.
    pub const fn new() -> Buffer {
        Buffer { bytes: Vec::new(), start: 0, end: 0, shared: None, copied: 0 }
    }

    /// Takes the first `count` bytes out, and drops them.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "{count} bytes of {} cannot be taken out", self.len());
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.shared.is_some() {
            self.copied = self.copied.saturating_sub(count);
            if self.copied == 0 {
                self.shared = None;
            }
        }
    }

    /// Takes the first `count` bytes out.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self[..count].to_vec();
        self.advance(count);
        taken
    }

    /// Takes the first `count` bytes out, in memory that they share with those which are taken out next. That
    /// saves an allocation for each small item, and most of what it costs to free them on another core. Up to
    /// 4 KiB are shared; more bytes than that have memory of their own. A decoder that changes bytes before
    /// it takes them out uses [`Buffer::take`]: after each change what is shared is copied anew.
    ///
    /// # Panics
    /// When there are fewer.
    ///
    /// # Examples
    /// ```
    /// use twoply::port::Buffer;
    ///
    /// let mut buf = Buffer::from(b"one two".to_vec());
    /// let one = buf.take_shared(3);
    /// buf.advance(1);
    /// assert_eq!(buf.take_shared(3), b"two");
    /// assert_eq!(one, b"one");
    /// ```
    #[inline]
    pub fn take_shared(&mut self, count: usize) -> Bytes {
        let block = match &self.shared {
            Some(block) if count <= self.copied => Arc::clone(block),
            _ => self.copy(count),
        };
        let start = block.len() - self.copied;
        self.advance(count);
        Bytes::of(block, start..start + count)
    }

    /// Copies the first bytes, `least` of them at least.
    fn copy(&mut self, least: usize) -> Arc<[u8]> {
        let count = self.len().min(BLOCK).max(least);
        let block = Arc::<[u8]>::from(&self[..count]);
        self.shared = Some(Arc::clone(&block));
        self.copied = count;
        block
    }

    /// Gives its part in the memory that has been taken out to share back.
    fn unshare(&mut self) {
        (self.shared, self.copied) = (None, 0);
    }

    /// Appends `bytes` at the end.
    #[inline]
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.spare(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.fill(bytes.len());
    }

    /// Appends a byte at the end.
    ///
    /// # Examples
    /// ```
    /// use twoply::port::Buffer;
    ///
    /// let mut buf = Buffer::new();
    /// buf.put_u8(2);
    /// buf.put_slice(b"ab");
    /// assert_eq!(&buf[..], b"\x02ab");
    /// ```
    #[inline]
    pub fn put_u8(&mut self, byte: u8) {
        self.put_slice(&[byte]);
    }

    /// Drops all bytes but the first `count`. Does nothing when there are no more.
    ///
    /// # Examples
    /// ```
    /// use twoply::port::Buffer;
    ///
    /// let mut buf = Buffer::new();
    /// buf.put_slice(b"abcdef");
    /// buf.advance(2);
    /// buf.truncate(3);
    /// assert_eq!(&buf[..], b"cde");
    /// buf.clear();
    /// assert!(buf.is_empty());
    /// ```
    pub fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.start.saturating_add(count));
        // The copy goes on with bytes that are gone.
        self.unshare();
        self.advance(0);
    }

    /// Drops all bytes that are in it.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Makes room for `more` bytes at once, so that appending them moves nothing.
    ///
    /// # Examples
    /// ```
    /// use twoply::port::Buffer;
    ///
    /// let mut buf = Buffer::new();
    /// assert_eq!(buf.capacity(), 0);
    /// buf.reserve(100);
    /// assert!(buf.capacity() >= 100 && buf.is_empty());
    /// ```
    pub fn reserve(&mut self, more: usize) {
        self.spare(more);
    }

    /// Returns the number of bytes that it has memory for.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Returns an empty buffer with memory for `count` bytes.
    pub(super) fn from_capacity(count: usize) -> Buffer {
        Buffer { bytes: vec![0; count], ..Buffer::new() }
    }

    /// Returns the memory behind the bytes, which is room for `least` bytes or more.
    pub(super) fn spare(&mut self, least: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < least {
            self.make_room(least);
        }
        &mut self.bytes[self.end..]
    }

    /// Adds the first `count` bytes of the spare memory to what is in it.
    pub(super) fn fill(&mut self, count: usize) {
        self.end = self.bytes.len().min(self.end.saturating_add(count));
    }

    /// Moves what is in it to the front, and gets more memory if that is not enough.
    #[cold]
    fn make_room(&mut self, least: usize) {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let needed = self.end.saturating_add(least);
        if self.bytes.len() < needed {
            // Twice as much each time, so that a buffer which grows byte by byte is moved seldom.
            self.bytes.resize(needed.max(2 * self.bytes.len()), 0);
        }
    }

    /// Moves what is in it to memory of just that size, and returns the memory that it had.
    pub(super) fn shrink(&mut self) -> Buffer {
        let kept = Buffer::from(self.to_vec());
        let mut large = std::mem::replace(self, kept);
        large.clear();
        large
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // The copy does not change with the bytes.
        self.unshare();
        &mut self.bytes[self.start..self.end]
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Buffer {
        let end = bytes.len();
        Buffer { bytes, end, ..Buffer::new() }
    }
}

/// Appends what is written; it never fails.
impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}
