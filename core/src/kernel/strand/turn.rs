//! Turns of reactors, in which nobody may wait.
//!
//! Backends and the I/O server turn their reactors inside [`in_turn`]; whatever is about to wait asks
//! [`assert_may_wait`].

use std::cell::Cell;

thread_local! {
    /// True while the thread is in a turn that nobody else could go on with.
    static TURNING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `turn`, which turns a reactor on behalf of all who wait for its events.
///
/// Wakers and handlers run inside of it, and until it is over nobody else can take the reactor on, or the
/// worker whose it is. So one of them that waits, in whatever way of this library's, does not: it panics.
/// Backends turn their reactors in this.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, contract::strand::in_turn, time};
///
/// let waited = std::panic::catch_unwind(|| in_turn(|| time::sleep(Duration::from_secs(1)).wait()));
/// assert!(waited.is_err());
/// ```
pub fn in_turn<R>(turn: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            TURNING.set(self.0);
        }
    }
    let _restore = Restore(TURNING.replace(true));
    turn()
}

/// Checks that the calling stack may wait, or may begin what can only end with a wait.
///
/// # Panics
/// Inside of [`in_turn`].
#[inline]
#[track_caller]
pub(crate) fn assert_may_wait() {
    if TURNING.get() {
        refuse_to_wait();
    }
}

#[cold]
#[track_caller]
fn refuse_to_wait() -> ! {
    panic!(
        "a waker, a handler or a destructor waits inside the turn of a reactor, where it would keep everybody else \
         waiting: `wake` must not block"
    )
}
