//! Where a panic of the user's code ends that is nobody's affair: that of a destructor, a waker or a hook.
//!
//! Such code runs in the middle of somebody else's business: whoever keeps a promise runs the wakers of strangers, and
//! the search for deadlocks may be the last to let go of somebody's closure. A panic there says nothing of the caller,
//! and the caller has more to do. The panic hook has reported it; here it ends.

use std::any::Any;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::sync::assert_unlocked;

/// Runs `code` of the user's. If it panics, the panic ends here.
#[inline]
pub(crate) fn discard_panic(code: impl FnOnce()) {
    assert_unlocked();
    if let Err(payload) = catch_unwind(AssertUnwindSafe(code)) {
        let_go(payload);
    }
}

/// Drops what a panic has left.
#[cold]
fn let_go(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        // A payload may panic in its own destructor, without end.
        std::mem::forget(another);
    }
}

/// A value with a destructor of the user's, or with what may be the last reference to one: dropping it never panics.
pub(crate) struct NoPanicDrop<T>(ManuallyDrop<T>);

impl<T> NoPanicDrop<T> {
    /// Makes dropping `value` harmless.
    #[inline]
    pub(crate) fn new(value: T) -> NoPanicDrop<T> {
        NoPanicDrop(ManuallyDrop::new(value))
    }

    /// The value; its destructor may panic again.
    #[inline]
    pub(crate) fn into_inner(self) -> T {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: the value is taken once: `this` is not used any more, and is never dropped.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<T> Drop for NoPanicDrop<T> {
    #[inline]
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>() {
            // SAFETY: this is the destructor, so nobody uses the value any more.
            discard_panic(|| unsafe { ManuallyDrop::drop(&mut self.0) });
        }
    }
}

impl<T> Deref for NoPanicDrop<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> Clone for NoPanicDrop<T> {
    #[inline]
    fn clone(&self) -> NoPanicDrop<T> {
        NoPanicDrop::new(T::clone(self))
    }
}

impl<T: fmt::Debug> fmt::Debug for NoPanicDrop<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Panics when it is dropped, with a payload that does the same, this many times.
    struct Bomb(u32);

    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::resume_unwind(Box::new(Bomb(self.0 - 1)));
            }
        }
    }

    #[test]
    fn a_panic_ends_however_often_its_payload_panics() {
        for times in 0..4 {
            drop(NoPanicDrop::new(Bomb(times)));
            discard_panic(|| drop(Bomb(times)));
        }
    }
}
