//! The word of [`Mutex`](super::Mutex): whether somebody is inside.
//!
//! ```text
//! held:  false ──(1) enter──▶ true ──(2) leave──▶ false
//!
//! (1) Acquire; pairs with (2): what the last one inside did is seen.
//! (2) Release.
//! ```

use std::time::Duration;

use super::atomic::AtomicBool;
use super::atomic::Ordering::{Acquire, Relaxed, Release};
#[cfg(loom)]
use loom::thread::yield_now;
#[cfg(not(loom))]
use std::thread::yield_now;

/// How often it gives way before the thread sleeps: some ten microseconds in all.
const ROUNDS: u32 = 10;
/// In how many of these the time doubles, which is that of one system call at first.
const GROWTH: u32 = 2;
/// The first sleep, and the limit to which it is doubled.
const SLEEP: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(1));

/// See the [module](self).
pub(super) struct RawLock(AtomicBool);

impl RawLock {
    #[cfg(not(loom))]
    pub(super) const fn new() -> RawLock {
        RawLock(AtomicBool::new(false))
    }

    /// Waits until nobody is inside, and enters.
    #[inline]
    pub(super) fn lock(&self) {
        if !self.try_lock() {
            self.lock_contended();
        }
    }

    /// Lets the next one in.
    #[inline]
    pub(super) fn unlock(&self) {
        self.0.store(false, Release);
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    /// Waits, out of the way, until it has entered.
    ///
    /// Measured with two threads at one channel, a message costs 27 ns if the first thing is to give the core away, 45 if
    /// that is to look eight times, and 90 with thirty-two: whoever looks takes the cache line from the one inside.
    #[cold]
    fn lock_contended(&self) {
        let mut sleep = SLEEP.0;
        for round in 0u32.. {
            if cfg!(loom) || round < ROUNDS {
                (0..1 << round.min(GROWTH)).for_each(|_| yield_now());
            } else {
                std::thread::sleep(sleep);
                sleep = SLEEP.1.min(sleep * 2);
            }
            // Looked at before it is written to, which would take the cache line away from the one inside.
            if !self.0.load(Relaxed) && self.try_lock() {
                return;
            }
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    use std::sync::Arc;

    use super::*;
    use loom::cell::UnsafeCell;
    use loom::thread;

    #[test]
    fn one_at_a_time_is_inside_and_sees_what_the_last_one_did() {
        loom::model(|| {
            let shared = Arc::new((RawLock(AtomicBool::new(false)), UnsafeCell::new(0)));
            let add = |shared: &(RawLock, UnsafeCell<i32>)| {
                shared.0.lock();
                // SAFETY: loom's cell checks that nobody else is at it.
                shared.1.with_mut(|value| unsafe { *value += 1 });
                shared.0.unlock();
            };
            let other = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || add(&shared))
            };
            add(&shared);
            other.join().unwrap();
            // SAFETY: as above.
            shared.1.with(|value| assert_eq!(unsafe { *value }, 2));
        });
    }
}
