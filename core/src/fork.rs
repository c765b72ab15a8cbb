//! Notices a fork without exec: the child has none of the parent's threads, so a task handed to one of them there
//! would wait for ever.
//!
//! Thread caches and backends remember the count that they were made at, and refuse to start anything at another.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many forks lie between the process that was started and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The counter of forks, which counts from the first call on.
pub fn generation() -> &'static AtomicU64 {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        extern "C" fn in_child() {
            GENERATION.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the handler only adds to an atomic, which is allowed in the child of a threaded process. A
        // failure (out of memory) leaves forks unnoticed, which is no worse than not asking.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    &GENERATION
}
