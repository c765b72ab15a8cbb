//! Wakers that are kept, and what happens if one of them panics: nothing, to anybody but whom it belongs to.
//!
//! Whoever waits leaves a waker with somebody who does not know it: a channel, a promise, a reactor. Cloning it, waking
//! it and dropping it is code of whoever waits; it may panic, and it may call back into what keeps it. So there is one
//! type for all that are kept, [`StoredWaker`], and these rules:
//!
//! - It is cloned by the poll that it comes with, before anything is locked or changed. A panic of that is the poll's.
//! - It is woken, by whoever has made the change, once nothing is locked, and everything that the change consists of has
//!   been done. A panic ends there: the panic hook has reported it, and neither the one who wakes nor the next one to
//!   be woken has anything to do with it.
//! - It is dropped, like everything that is the user's, when nothing is locked; a panic ends there, too.
//!
//! In debug builds, each of the three checks that the thread holds no lock of the library's.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::base::panic::{NoPanicDrop, discard_panic};
use crate::base::sync::assert_unlocked;

/// A waker that is kept for whoever waits. See the [module](self).
pub(crate) struct StoredWaker(NoPanicDrop<Waker>);

impl StoredWaker {
    /// A clone of `waker`.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> StoredWaker {
        assert_unlocked();
        StoredWaker(NoPanicDrop::new(waker.clone()))
    }

    /// Wakes whoever waits.
    #[inline]
    pub(crate) fn wake(self) {
        let waker = self.0.into_inner();
        discard_panic(|| waker.wake());
    }

    /// Whether it wakes whom `waker` wakes. False when that is not known.
    #[inline]
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        self.0.will_wake(waker)
    }

    /// The waker, to be looked at.
    #[inline]
    pub(crate) fn as_waker(&self) -> &Waker {
        &self.0
    }
}

/// For those who keep wakers in a way of their own: a waker that does what `waker` does, and does not panic.
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

/// Calls `f` with each of `items`, also when it panics with one of them: the others have nobody else to tell them. The
/// first panic goes on afterwards.
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

    /// A waker that is the only one left of its kind.
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
