//! The guards of what a stack has under way: values that lie on it, and put its records back when they are
//! dropped.

use std::cell::Cell;
use std::task::Waker;

use super::StrandState;
use super::parted::Parted;
use crate::event::parker::{Mask, Parker};
use crate::kernel::task::Locals;
use crate::kernel::trampoline;
use crate::kernel::waiting::Telling;

/// The marks of a task's poll; in one word, since each poll begins with new ones.
#[derive(Clone, Copy, Default)]
pub(crate) struct Marks {
    /// The number of times that the poll has unwound because the task was cancelled.
    pub(super) unwinds: u16,
    /// [`YIELDING`], [`IN_HOOK`] and [`SLEEPING`], if they are so.
    pub(super) flags: u8,
    /// The goods that the task has parted with, in this poll or an earlier one.
    pub(super) parted: Parted,
}

/// The future that is being polled woke itself to let others run.
pub(super) const YIELDING: u8 = 1 << 0;
/// A hook of the program's runs, whose doings call no hooks.
const IN_HOOK: u8 = 1 << 1;
/// The wait that is about to stop the stack is one in which a thread sleeps at once.
const SLEEPING: u8 = 1 << 2;

impl Marks {
    /// Returns the same with `flag` set or cleared.
    #[inline]
    pub(super) fn with(self, flag: u8, is_set: bool) -> Marks {
        Marks { flags: if is_set { self.flags | flag } else { self.flags & !flag }, ..self }
    }
}

/// The state of a task's poll that lies around another one.
pub(crate) struct OuterPoll {
    /// The data of the waker with which the outer poll is polled.
    pub(super) polled_with: *const (),
    /// The rest of its budget.
    pub(super) budget: u32,
    /// The marks of the outer poll.
    pub(super) marks: Marks,
}

/// A hook that runs on a stack; it is over when this is dropped.
pub(crate) struct InHook<'a>(&'a StrandState);

impl<'a> InHook<'a> {
    /// Interrupts the hook, which has called what is not a part of it; it goes on when the result is dropped.
    pub(crate) fn pause(&self) -> Paused<'a> {
        self.0.set_in_hook(false);
        Paused(self.0)
    }
}

impl Drop for InHook<'_> {
    fn drop(&mut self) {
        self.0.set_in_hook(false);
    }
}

/// A hook that is interrupted, until this is dropped.
pub(crate) struct Paused<'a>(&'a StrandState);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.set_in_hook(true);
    }
}

impl StrandState {
    /// Begins a hook on this stack; `None` in the middle of one.
    pub(crate) fn enter_hook(&self) -> Option<InHook<'_>> {
        let was_inside = self.marks.get().flags & IN_HOOK != 0;
        self.set_in_hook(true);
        if was_inside { None } else { Some(InHook(self)) }
    }

    fn set_in_hook(&self, is_inside: bool) {
        self.marks.set(self.marks.get().with(IN_HOOK, is_inside));
    }

    /// Notes that a wait which is polled with `waker`, and may be about to stop the stack, is one in which a
    /// thread sleeps at once, instead of looking for a while whether it is over.
    #[inline]
    pub(crate) fn set_sleeping(&self, waker: &Waker) {
        if self.polls_alone(waker) {
            self.marks.set(self.marks.get().with(SLEEPING, true));
        }
    }

    /// Returns whether the last round of polls has ended with such a wait, and forgets it.
    #[inline]
    pub(crate) fn take_sleeping(&self) -> bool {
        self.take_flag(SLEEPING)
    }

    /// Returns whether `flag` is among the marks of the running poll, and takes it out.
    #[inline]
    pub(super) fn take_flag(&self, flag: u8) -> bool {
        let marks = self.marks.get();
        let is_set = marks.flags & flag != 0;
        if is_set {
            self.marks.set(marks.with(flag, false));
        }
        is_set
    }

    /// Returns what those who look need; see [`waiting`](crate::kernel::waiting).
    pub(crate) fn telling(&self) -> &Telling {
        &self.telling
    }

    /// Returns the waker of the waits at `level`, which is not the outermost.
    #[cold]
    pub(super) fn inner_waker(&self, level: u32) -> Waker {
        let mut wakers = self.inner_wakers.borrow_mut();
        // Waits nest strictly, but a level's waker is made only when it is first needed.
        while wakers.len() < level as usize {
            let next = wakers.len() as u32 + 1;
            wakers.push(self.parker.waker(next));
        }
        wakers[level as usize - 1].clone()
    }

    /// Returns the task-locals of what is being polled.
    pub(crate) fn locals(&self) -> &Locals {
        &self.locals
    }

    /// Returns how many waits are under way on this stack, one inside the other.
    pub(crate) fn depth(&self) -> u32 {
        self.depth.get()
    }
}

/// A wait under way; dropping it ends it.
pub(crate) struct Level<'a> {
    /// The stack that waits.
    pub(super) state: &'a StrandState,
    /// The number of waits that it is nested in.
    pub(super) level: u32,
    /// Its waker; the outermost level borrows the state's.
    pub(super) waker: Option<Waker>,
    /// The value of the state's `alternatives` before the wait.
    pub(super) alternatives: u32,
    /// Restores the depth of the state's trampoline.
    pub(super) _trampoline: trampoline::Restore<'a>,
}

impl Level<'_> {
    /// Returns the waker that ends a park of this wait.
    #[inline]
    pub(crate) fn waker(&self) -> &Waker {
        self.waker.as_ref().unwrap_or(&self.state.waker)
    }

    /// Returns the bits for which a park of this wait ends.
    pub(crate) fn mask(&self, cancellable: bool) -> Mask {
        Parker::mask(self.level, cancellable)
    }

    /// Forgets the wake-ups so far.
    #[inline]
    pub(crate) fn clear(&self) {
        self.state.parker.clear(self.level);
    }
}

impl Drop for Level<'_> {
    #[inline]
    fn drop(&mut self) {
        self.state.depth.set(self.level);
        self.state.alternatives.set(self.alternatives);
        self.state.parker.restore(self.level);
    }
}

/// The guard of [`StrandState::alternative`].
pub(crate) struct Alternative<'a> {
    pub(super) state: &'a StrandState,
}

impl Drop for Alternative<'_> {
    #[inline]
    fn drop(&mut self) {
        self.state.alternatives.set(self.state.alternatives.get() - 1);
    }
}

/// The guard of [`StrandState::shield`].
pub(crate) struct Shield<'a>(pub(super) &'a Cell<u32>);

impl Drop for Shield<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The guard of [`StrandState::defer_cancel`].
pub(crate) struct DeferredCancel<'a>(pub(super) &'a StrandState, pub(super) bool);

impl DeferredCancel<'_> {
    /// Returns true if the running task was cancelled while a wait of the section was under way, so that the
    /// stack should unwind now.
    pub(crate) fn is_due(&self) -> bool {
        let DeferredCancel(state, _) = self;
        state.missed_cancel.get() && state.make_cancellable() && state.parker.cancelled()
    }
}

impl Drop for DeferredCancel<'_> {
    fn drop(&mut self) {
        let DeferredCancel(state, before) = self;
        state.missed_cancel.set(state.missed_cancel.get() || *before);
    }
}
