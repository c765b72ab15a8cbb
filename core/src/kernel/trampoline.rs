//! Trampoline inside calls, without an end to them, as loops.
//!
//! A wake-up may be the reason for another one, and a drop for another drop, along a chain of any length. Whoever
//! would call on for each link calls [`trampoline`] instead. It keeps the order, but for what is nested deeply: that is done
//! by a call further out, as soon as that one is at it again. A wait starts restart, since what is further out does not
//! go on before the wait is over.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::iter;

use crate::base::wake::for_each_then_resume;
use crate::kernel::strand::with_state;

/// How many calls may be inside one another.
const NESTED: u32 = 8;

/// A call that has been put off.
type Call = Box<dyn FnOnce()>;

/// The calls of one stack.
#[derive(Default)]
pub(crate) struct Trampoline {
    /// How many are under way, one inside the other.
    depth: Cell<u32>,
    /// Those that are left to the innermost one.
    later: RefCell<VecDeque<Call>>,
}

/// Trampoline `f`, now or when a call further out on this stack comes to it. If several panic, the first panic goes on when
/// all have been called.
pub(crate) fn trampoline(f: impl FnOnce() + 'static) {
    with_state(|state| state.trampoline().call(f));
}

impl Trampoline {
    fn call(&self, f: impl FnOnce() + 'static) {
        let depth = self.depth.get();
        if depth >= NESTED {
            self.later.borrow_mut().push_back(Box::new(f));
            return;
        }
        let _restore = self.at(depth + 1);
        if depth + 1 < NESTED {
            return f();
        }
        let first: Call = Box::new(f);
        let next = || self.later.borrow_mut().pop_front();
        for_each_then_resume(iter::once(first).chain(iter::from_fn(next)), |call| call());
    }

    /// Until what this returns is dropped, as many calls are under way.
    fn at(&self, depth: u32) -> Restore<'_> {
        Restore(self, self.depth.replace(depth))
    }

    /// A wait begins: until what this returns is dropped, no call is under way.
    #[inline]
    pub(crate) fn restart(&self) -> Restore<'_> {
        self.at(0)
    }
}

/// Sets the number of calls under way back.
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

    /// Trampoline itself `left` times, from inside, and writes down in which order.
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
        let all = std::panic::AssertUnwindSafe(|| nest(NESTED, deep));
        assert!(std::panic::catch_unwind(all).is_err());
        assert_eq!(*log.borrow(), [0, 1, 2]);
    }
}
