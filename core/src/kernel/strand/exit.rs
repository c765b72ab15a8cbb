//! Strands at the exit of the process: `std::process::exit` ends the values of its thread below the frames
//! that have entered a strand, and then runs the program's own handlers, which may wait.

use std::rc::Rc;

use super::{CURRENT, StrandState, ThreadStrand};
use crate::kernel::backend::Strand;

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
        // on the same stack, still finds it. If such another has ended before, none is current any more, and
        // the frames that have entered this one hold on to it all the same.
        if CURRENT.get().is_some() || self.0.state().entered.get() > 0 {
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
    fn a_threads_own_strand_outlives_the_frames_that_have_entered_it() {
        let is_kept = |run: fn(&dyn Strand, &mut dyn FnMut())| {
            let own = Own::new();
            let (strand, kept) = (Rc::clone(&own.0), Rc::downgrade(&own.0));
            let mut own = Some(own);
            run(&*strand, &mut || own = None);
            drop(strand);
            kept.upgrade().is_some()
        };
        assert!(!is_kept(|_, end| end()));
        assert!(is_kept(|strand, end| enter(strand, end)));
        assert!(is_kept(|strand, end| {
            enter(strand, || {
                // The strand that was entered inside of it is gone.
                let current = CURRENT.take();
                end();
                CURRENT.set(current);
            });
        }));
    }

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
