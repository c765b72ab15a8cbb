//! Wakers that are stored, such that a waker that panics harms nobody but its owner.
//!
//! A task that waits leaves its waker with code that does not know it: a channel, a promise, a reactor. To
//! clone, wake and drop a waker runs code of its owner, which may panic and may call back into the structure
//! that stores it. So every stored waker is a [`StoredWaker`], and these rules hold:
//!
//! - The poll that brings the waker clones it, before anything is locked or changed. A panic of the clone
//!   goes to that poll.
//! - Whoever makes the change wakes it when nothing is locked and the change is complete. A panic ends there:
//!   the panic hook has reported it, and neither the waking code nor the next waker has anything to do with
//!   it.
//! - It is dropped, like everything that is the user's, when nothing is locked; a panic ends there, too.
//!
//! In debug builds, each of the three operations checks that the thread holds no lock of the library's.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::base::panic::{NoPanicDrop, discard_panic};
use crate::base::sync::assert_unlocked;

/// A waker that is stored until there is something to wake it for; see the [module](self).
pub(crate) struct StoredWaker(NoPanicDrop<Waker>);

impl StoredWaker {
    /// Stores a clone of `waker`. Runs code of the user's.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> StoredWaker {
        assert_unlocked();
        StoredWaker(NoPanicDrop::new(waker.clone()))
    }

    /// Wakes the task; a panic of the waker is discarded.
    #[inline]
    pub(crate) fn wake(self) {
        let waker = self.0.into_inner();
        discard_panic(|| waker.wake());
    }

    /// Returns whether this wakes the same task as `waker`. False where that is not known.
    #[inline]
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        self.0.will_wake(waker)
    }

    /// Returns the waker, for comparing.
    #[inline]
    pub(crate) fn as_waker(&self) -> &Waker {
        &self.0
    }
}

/// Returns a waker that does what `waker` does and does not panic, for code that stores wakers in a way of
/// its own.
pub(crate) fn shielded(waker: &Waker) -> Waker {
    Waker::from(Arc::new(StoredWaker::of(waker)))
}

impl Wake for StoredWaker {
    fn wake(self: Arc<Self>) {
        match Arc::try_unwrap(self) {
            Ok(only) => only.wake(),
            Err(shared) => shared.wake_by_ref(),
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        discard_panic(|| self.0.wake_by_ref());
    }
}

impl fmt::Debug for StoredWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Wakes all of `wakers`, in order.
#[inline]
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = StoredWaker>) {
    wakers.into_iter().for_each(StoredWaker::wake);
}

/// Calls `f` with each of `items`, also after it has panicked with one of them, because nobody else would
/// serve the others. The first panic is resumed afterwards.
pub(crate) fn for_each_then_resume<T>(items: impl IntoIterator<Item = T>, mut f: impl FnMut(T)) {
    let mut first = None;
    for item in items {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| f(item))) {
            match first {
                None => first = Some(payload),
                Some(_) => drop(NoPanicDrop::new(payload)),
            }
        }
    }
    if let Some(payload) = first {
        resume_unwind(payload);
    }
}

/// A waker that counts its wakes, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct WakeCount(std::sync::atomic::AtomicUsize);

#[cfg(test)]
impl WakeCount {
    /// Returns a count of zero, and the waker that adds to it.
    pub(crate) fn new() -> (Arc<WakeCount>, Waker) {
        let count = Arc::new(WakeCount::default());
        (Arc::clone(&count), Waker::from(count))
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[cfg(test)]
impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[test]
    fn all_have_their_turn_and_the_first_panic_goes_on() {
        let mut told = Vec::new();
        let all = AssertUnwindSafe(|| {
            for_each_then_resume([1, 2, 3, 4], |n| {
                told.push(n);
                assert!(n % 2 == 1, "{n} is even");
            });
        });
        let payload = catch_unwind(all).unwrap_err();
        assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("2 is even"));
        assert_eq!(told, [1, 2, 3, 4]);
    }

    /// Panics when it is woken, and when it is dropped.
    struct Bomb(Arc<AtomicU32>);

    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
            std::mem::forget(self);
            resume_unwind(Box::new("expected"));
        }
    }

    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.fetch_add(100, Relaxed);
            resume_unwind(Box::new("expected"));
        }
    }

    /// Returns a waker that is the only one left of its kind.
    fn bomb(count: &Arc<AtomicU32>) -> StoredWaker {
        StoredWaker::of(&Waker::from(Arc::new(Bomb(Arc::clone(count)))))
    }

    #[test]
    fn wakers_that_panic_keep_nobody_from_being_woken() {
        let count = Arc::new(AtomicU32::new(0));
        wake_all([bomb(&count), bomb(&count), bomb(&count)]);
        assert_eq!(count.load(Relaxed), 3);
        drop([bomb(&count), bomb(&count)]);
        assert_eq!(count.load(Relaxed), 203);
    }
}
