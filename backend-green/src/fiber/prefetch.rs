//! Requests to the processor for memory that will be touched soon.
//!
//! With thousands of fibers taking turns, what a switch touches has been evicted since the fiber's last turn.
//! The runner knows whose turn is next, so it asks for that one's lines while this one runs. Where the
//! processor has no stable instruction for it, nothing is done.

/// The number of bytes that come with one request.
const LINE: usize = 64;

/// Asks for `bytes` bytes from `start` on. The pointer need not be good for anything.
#[inline]
pub(crate) fn prefetch<T>(start: *const T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..bytes).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address is allowed, and has no effect that a program could see; every
        // x86-64 processor has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.cast::<i8>().wrapping_add(offset)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, bytes, LINE);
}
