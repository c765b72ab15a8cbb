//! Strands at the exit of the process: `std::process::exit` ends the values of its thread below the frames
//! that have entered a strand, and then runs the program's own handlers, which may wait.

use std::rc::Rc;

use super::{CURRENT, StrandState, ThreadStrand};

/// A strand that is a thread's own. It lives as long as the thread's other values do, or, where it has been
/// entered, for good.
pub(super) struct Own(pub(super) Rc<ThreadStrand>);

impl Own {
    pub(super) fn new() -> Own {
        Own(Rc::new(ThreadStrand::new()))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Frames below have entered this strand, or another inside of it. What the program runs at its exit,
        // on the same stack, still finds it.
        if CURRENT.get().is_some() {
            std::mem::forget(Rc::clone(&self.0));
        }
    }
}

impl Drop for StrandState {
    fn drop(&mut self) {
        // A strand that has been entered is borrowed, so it stays; but an exit ends a value of its thread
        // nevertheless, and may move it before. What the program runs then, on the same stack, must not find
        // it. Frames below that have entered another one inside of it never go on.
        if self.entered.get() > 0 {
            CURRENT.set(None);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::kernel::strand::{enter, with_current};

    #[test]
    fn a_strand_that_ends_elsewhere_is_current_no_more() {
        let strand: &'static ThreadStrand = Box::leak(Box::new(ThreadStrand::new()));
        let is_current = || with_current(|current| std::ptr::addr_eq(current, strand));
        enter(strand, || {
            assert!(is_current());
            let current = CURRENT.get();
            // SAFETY: the strand is leaked, and nothing in it that is dropped is looked at again.
            drop(unsafe { std::ptr::read(strand) });
            assert!(!is_current());
            CURRENT.set(current);
        });
    }
}
