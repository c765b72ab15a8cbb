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
        // nevertheless. What the program runs then, on the same stack, must not find it.
        if CURRENT.get().is_some_and(|current| std::ptr::eq(current.state.as_ptr(), self)) {
            CURRENT.set(None);
        }
    }
}
