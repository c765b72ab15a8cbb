//! The goods that the running task has parted with since it received its last message: a resolver may be one.
//!
//! A process owes the answers to what it is asked. But a resolver may be passed on, in a message, in a task
//! that is started, in another answer; and no code of this library can see whether it is. So the wait graph
//! takes a question for owed only while the process can have passed it on to nobody: while it is the last
//! that the process has received, and the process has parted with nothing since. Types without a destructor
//! carry no resolver.
//!
//! The message of a question that the task asks is an exception: what it carries is with the process that is
//! waited for, as long as the task waits for that. So processes that ask each other in a circle are found.
//!
//! ```text
//!            (1) ask, the first thing parted with           (2) the poll is over
//! Nothing ─────────────────────────────────────▶ Question ─────────────────────▶ Aside
//!    ▲                                              │  ▲──────────────────────────┘ │
//!    │                                              │   (3) the question is polled  │
//!    │                                              ▼                               ▼
//!    └───────(5) a message is received───────── Something ◀──(4) anything else is parted with, or the answer is there
//! ```

use std::mem::needs_drop;

use super::guards::Marks;
use super::{CURRENT, StrandState};
use crate::kernel::task::TaskId;

/// The state of the [module](self)'s diagram. Its numbers are what a task keeps of it between polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Parted {
    /// The task has parted with nothing.
    #[default]
    Nothing,
    /// The task has parted with the message of the question whose answer this poll has waited for.
    Question,
    /// As [`Parted::Question`], but nothing has waited for the answer in this poll.
    Aside,
    /// The task has parted with something else.
    Something,
}

impl Parted {
    /// Returns the state at the beginning of a poll, after one that ended in the state with this number.
    #[inline]
    pub(crate) fn from_stored(number: u8) -> Parted {
        match number {
            0 => Parted::Nothing,
            1 | 2 => Parted::Aside,
            _ => Parted::Something,
        }
    }
}

/// Notes that the running task, if there is one, parts with a value of type `T`.
#[inline]
pub(crate) fn part_with<T>() {
    if needs_drop::<T>()
        && let Some(current) = CURRENT.get()
    {
        // SAFETY: `enter` borrowed the state from the strand for as long as it is current, as for
        // `with_state`.
        unsafe { current.state.as_ref() }.parts();
    }
}

impl StrandState {
    fn set_parted(&self, parted: Parted) {
        self.marks.set(Marks { parted, ..self.marks.get() });
    }

    /// Notes that the running task parts with something.
    #[inline]
    pub(crate) fn parts(&self) {
        self.set_parted(Parted::Something);
    }

    /// Notes that the running task parts with the message of a question. Returns true if that is all that it
    /// has parted with.
    #[inline]
    pub(crate) fn parts_with_question(&self) -> bool {
        let is_first = self.marks.get().parted == Parted::Nothing;
        self.set_parted(if is_first { Parted::Question } else { Parted::Something });
        is_first
    }

    /// Notes that the answer to the question is waited for whose message may be all that the task has parted
    /// with.
    #[inline]
    pub(crate) fn asks_on(&self) {
        if self.marks.get().parted == Parted::Aside {
            self.set_parted(Parted::Question);
        }
    }

    /// Notes that another poll begins, in which the answer may be waited for or not.
    #[inline]
    pub(super) fn sets_question_aside(&self) {
        if self.marks.get().parted == Parted::Question {
            self.set_parted(Parted::Aside);
        }
    }

    /// Notes that a message is received from the mailbox of a process, whose task `is_own` recognises.
    #[inline]
    pub(crate) fn receives(&self, is_own: impl FnOnce(TaskId) -> bool) {
        let is_own = || self.header().is_some_and(|header| is_own(header.id()));
        if self.marks.get().parted != Parted::Nothing && is_own() {
            self.set_parted(Parted::Nothing);
        }
    }

    /// Returns true if the running task may have passed on a question that it has received last.
    #[inline]
    pub(crate) fn has_parted(&self) -> bool {
        self.marks.get().parted >= Parted::Aside
    }
}
