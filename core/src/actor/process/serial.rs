//! Numbers that are used once: of processes and of monitors.

use crate::base::id::{self, Sequence};

/// Returns a number that no process and no monitor has had before; it is never 0.
#[inline]
pub(super) fn next() -> u64 {
    id::next(Sequence::Processes).get()
}
