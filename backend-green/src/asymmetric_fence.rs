//! Barriers of unequal price: one side crosses millions of times a second, the other once in a while.
//!
//! Two threads that each write a word and then read the other's cannot both miss the other's write, if each
//! has a sequentially consistent fence in between. Here the frequent side pays nothing for its fence:
//! [`light`] only keeps the compiler from reordering, and [`heavy`], on the rare side, has the kernel send a
//! barrier to every core that runs a thread of this process (`membarrier(2)`), at the cost of some
//! microseconds. Where the kernel cannot do that, the frequent side needs an ordinary fence. After folly's
//! `asymmetric_thread_fence` and the C++ proposal P1202.

#[cfg(all(target_os = "linux", not(loom), not(miri)))]
use std::sync::Once;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, compiler_fence};

use crate::sync::atomic::Ordering;
use crate::sync::atomic::fence;

/// True once the kernel has agreed to send barriers. Relaxed: it changes once, before any thread is started
/// that calls [`heavy`], and whoever relies on it asks [`is_light`] first.
#[cfg(not(loom))]
static ASYMMETRIC: AtomicBool = AtomicBool::new(false);

/// Asks the kernel to send barriers, once for the process. Called before any thread is started that calls
/// [`heavy`].
pub(crate) fn prepare() {
    #[cfg(all(target_os = "linux", not(loom), not(miri)))]
    {
        use rustix::thread::{MembarrierCommand, membarrier};
        static ASKED: Once = Once::new();
        ASKED.call_once(|| {
            if membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok() {
                ASYMMETRIC.store(true, Ordering::Relaxed);
            }
        });
    }
}

/// Returns true if [`light`] pairs with [`heavy`]. If not, only [`full`] does.
pub(crate) fn is_light() -> bool {
    #[cfg(not(loom))]
    return ASYMMETRIC.load(Ordering::Relaxed);
    #[cfg(loom)]
    true
}

/// Issues the frequent side's barrier, which pairs with [`heavy`] if it [is light](is_light), and with
/// nothing else.
#[inline]
pub(crate) fn light() {
    #[cfg(not(loom))]
    compiler_fence(Ordering::SeqCst);
    #[cfg(loom)]
    full();
}

/// Issues an ordinary fence, which pairs with [`heavy`] in any case.
pub(crate) fn full() {
    fence(Ordering::SeqCst);
}

/// Issues the rare side's barrier, which pairs with every [`light`] and [`full`] of other threads. Returns
/// false when the kernel has failed to send it, and then the caller knows nothing about them.
pub(crate) fn heavy() -> bool {
    fence(Ordering::SeqCst);
    #[cfg(all(target_os = "linux", not(loom), not(miri)))]
    if ASYMMETRIC.load(Ordering::Relaxed) {
        use rustix::thread::{MembarrierCommand, membarrier};
        return membarrier(MembarrierCommand::PrivateExpedited).is_ok();
    }
    true
}
