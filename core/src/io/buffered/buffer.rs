//! The bytes of a buffered reader.

use std::io::{self, BufRead};
use std::ops::Range;

use super::reader::LimitExceeded;

/// Bytes that have been read and not been taken. It has no memory until there is something to read, and none
/// that goes beyond its capacity for longer than it is needed.
pub(in crate::io) struct Buffer {
    /// The memory, all of it initialized.
    bytes: Vec<u8>,
    /// The place of what has been read, in `bytes`.
    filled: Range<usize>,
    /// The length of `bytes` that is kept.
    capacity: usize,
}

impl Buffer {
    pub(in crate::io) fn new(capacity: usize) -> Buffer {
        Buffer { bytes: Vec::new(), filled: 0..0, capacity: capacity.max(1) }
    }

    /// Returns what has been read.
    pub(in crate::io) fn filled(&self) -> &[u8] {
        &self.bytes[self.filled.clone()]
    }

    pub(in crate::io) fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Drops the first `n` bytes, or all there are.
    pub(in crate::io) fn consume(&mut self, n: usize) {
        self.filled.start += n.min(self.filled.len());
    }

    /// Moves bytes to `buf`, and returns how many.
    pub(super) fn take(&mut self, buf: &mut [u8]) -> usize {
        let n = self.filled.len().min(buf.len());
        buf[..n].copy_from_slice(&self.filled()[..n]);
        self.consume(n);
        n
    }

    /// Returns room for some bytes more, at least one.
    pub(in crate::io) fn room(&mut self) -> &mut [u8] {
        if self.filled.is_empty() {
            self.filled = 0..0;
            self.bytes.truncate(self.capacity);
            self.bytes.shrink_to(self.capacity);
        }
        if self.filled.end == self.bytes.len() {
            // Moved to the front, where that makes room for as many bytes as it moves.
            if self.filled.start > 0 && self.filled.start >= self.filled.len() {
                self.bytes.copy_within(self.filled.clone(), 0);
                self.filled = 0..self.filled.len();
            } else {
                self.bytes.resize((2 * self.bytes.len()).max(self.capacity), 0);
            }
        }
        &mut self.bytes[self.filled.end..]
    }

    /// Records that `n` bytes have been read into the room.
    pub(in crate::io) fn filled_more(&mut self, n: usize) {
        self.filled.end = (self.filled.end + n).min(self.bytes.len());
    }

    /// Puts bytes in front of the others.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        let len = self.filled.len();
        if self.filled.start < bytes.len() {
            // Twice the room that is needed, so that putting back byte by byte moves none of them often.
            let start = 2 * bytes.len() + len;
            let end = start + len;
            if self.bytes.len() < end {
                self.bytes.resize(end, 0);
            }
            self.bytes.copy_within(self.filled.clone(), start);
            self.filled = start..end;
        }
        self.filled.start -= bytes.len();
        self.bytes[self.filled.start..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Returns the length of what comes up to the first `delimiter` and with it, or up to the end if `ended`
    /// says that no more will come. `None` if more has to be read first. `searched` bytes are known to have
    /// no delimiter; the search begins behind them.
    pub(super) fn find(
        &self,
        delimiter: u8,
        searched: &mut usize,
        limit: usize,
        ended: bool,
    ) -> Option<io::Result<usize>> {
        let bytes = self.filled();
        let mut rest = &bytes[(*searched).min(bytes.len())..];
        // On a slice, this is the search for a byte that std has and does not offer by itself.
        let skipped = rest.skip_until(delimiter).unwrap_or(0);
        let len = bytes.len() - rest.len();
        let is_found = skipped > 0 && bytes[len - 1] == delimiter;
        *searched = if is_found { len - 1 } else { len };
        if len > limit {
            return Some(Err(LimitExceeded { limit }.into()));
        }
        (is_found || ended).then_some(Ok(len))
    }
}
