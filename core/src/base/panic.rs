//! Keeps panics of the user's destructors, wakers and hooks from the code that happens to run them.
//!
//! A resolved promise runs the wakers of strangers, and the search for deadlocks may drop the last reference
//! to somebody's closure. A panic there says nothing about the caller, and the caller has more to do. The
//! panic hook has reported it already; here it ends. Panics that somebody is told of (of a task, of a
//! handler) are caught elsewhere.

use std::any::Any;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::base::sync::assert_unlocked;

/// Runs `code` of the user's and discards its panic, if it panics.
#[inline]
pub(crate) fn discard_panic(code: impl FnOnce()) {
    assert_unlocked();
    if let Err(payload) = catch_unwind(AssertUnwindSafe(code)) {
        drop_payload(payload);
    }
}

/// Drops the payload of a panic, which may panic in its own destructor.
#[cold]
fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        // The payload of that panic may panic when it is dropped, too, and so on without end: it is leaked.
        std::mem::forget(another);
    }
}

/// Holds a value whose destructor is the user's, or may drop the last reference to such a value. Dropping the
/// holder never panics.
pub(crate) struct NoPanicDrop<T>(ManuallyDrop<T>);

impl<T> NoPanicDrop<T> {
    /// Wraps `value`, so that its destructor cannot panic into the caller.
    #[inline]
    pub(crate) fn new(value: T) -> NoPanicDrop<T> {
        NoPanicDrop(ManuallyDrop::new(value))
    }

    /// Returns the value, whose destructor may panic again.
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
