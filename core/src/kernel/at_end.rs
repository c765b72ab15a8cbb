//! The end of a program's tasks, at which something is still to be written.
//!
//! The standard streams accept bytes before they are written (`io/output.rs`). Where a program ends its tasks
//! it is about to end, too, so [`at_end`] has these bytes written first. The streams lie above this floor,
//! and tell it how when they are first used.

use std::sync::OnceLock;
use std::time::Instant;

/// Waits until everything is written, or until a time.
type Flush = fn(Option<Instant>);

/// The streams that accept bytes, if any has been used.
static FLUSH: OnceLock<Flush> = OnceLock::new();

/// Has [`at_end`] call `flush`.
pub(crate) fn set_flush(flush: Flush) {
    let _ = FLUSH.set(flush);
}

/// Waits until what this library's standard streams have accepted is written, or until a time. A backend
/// calls it at the end of its shutdown.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
/// use twoply::contract::backend::at_end;
///
/// at_end(Some(Instant::now() + Duration::from_secs(1)));
/// ```
pub fn at_end(until: Option<Instant>) {
    if let Some(flush) = FLUSH.get() {
        flush(until);
    }
}
