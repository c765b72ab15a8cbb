//! Makes calls inside calls one after another, so that no depth of them overflows the stack.
//!
//! A wake-up may cause another one, and a drop another drop, along a chain of any length. Code that would
//! make a nested call for each link passes it to [`strand::trampoline`](crate::kernel::strand::trampoline)
//! instead. The order is kept but for calls that are nested deeply: a call further out makes those, as soon
//! as control is back at it. A wait starts from depth zero, since what is further out does not go on before
//! the wait is over.
//!
//! This module knows no strand: the records of a stack hold one [`Trampoline`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::iter;

use crate::base::wake::for_each_then_resume;

/// The depth from which on calls are queued.
const MAX_DEPTH: u32 = 8;

type Call = Box<dyn FnOnce()>;

/// The nested calls of one stack.
#[derive(Default)]
pub(crate) struct Trampoline {
    /// The number of calls that are under way, one inside the other.
    depth: Cell<u32>,
    /// The calls that the one at [`MAX_DEPTH`] makes when it is done.
    queued: RefCell<VecDeque<Call>>,
}

impl Trampoline {
    /// Calls `f`, now or when the call at [`MAX_DEPTH`] is done. If several calls panic, the first panic is
    /// resumed when all have been made.
    pub(crate) fn call(&self, f: impl FnOnce() + 'static) {
        let depth = self.depth.get();
        if depth >= MAX_DEPTH {
            self.queued.borrow_mut().push_back(Box::new(f));
            return;
        }
        let _restore = self.set_depth(depth + 1);
        if depth + 1 < MAX_DEPTH {
            return f();
        }
        let first: Call = Box::new(f);
        let next = || self.queued.borrow_mut().pop_front();
        for_each_then_resume(iter::once(first).chain(iter::from_fn(next)), |call| call());
    }

    /// Sets the depth until the guard is dropped.
    fn set_depth(&self, depth: u32) -> Restore<'_> {
        Restore(self, self.depth.replace(depth))
    }

    /// Begins a wait: the depth is zero until the guard is dropped.
    #[inline]
    pub(crate) fn restart(&self) -> Restore<'_> {
        self.set_depth(0)
    }
}

/// Restores the depth when it is dropped.
pub(crate) struct Restore<'a>(&'a Trampoline, u32);

impl Drop for Restore<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.depth.set(self.1);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::kernel::strand::trampoline;

    /// Trampolines itself `left` times, from inside, and writes down in which order.
    fn count_down(left: u32, log: &Rc<RefCell<Vec<u32>>>) {
        log.borrow_mut().push(left);
        if left != 0 {
            let log = Rc::clone(log);
            trampoline(move || count_down(left - 1, &log));
        }
    }

    #[test]
    fn a_million_calls_inside_calls_end() {
        let log = Rc::default();
        count_down(1_000_000, &log);
        assert!(log.borrow().iter().rev().copied().eq(0..=1_000_000));
    }

    #[test]
    fn what_is_put_off_is_called_whatever_panics() {
        let log: Rc<RefCell<Vec<u32>>> = Rc::default();
        let told = Rc::clone(&log);
        let deep = move || {
            for n in 0..3 {
                let log = Rc::clone(&told);
                trampoline(move || {
                    log.borrow_mut().push(n);
                    assert_ne!(n, 0, "the first panics");
                });
            }
        };
        fn nest(left: u32, f: impl FnOnce() + 'static) {
            let f: Call = Box::new(f);
            if left == 0 { f() } else { trampoline(move || nest(left - 1, f)) }
        }
        let all = std::panic::AssertUnwindSafe(|| nest(MAX_DEPTH, deep));
        assert!(std::panic::catch_unwind(all).is_err());
        assert_eq!(*log.borrow(), [0, 1, 2]);
    }
}
