//! Those who wait for a promise, and who owes it: what the mutex of a promise guards.
//!
//! [`Cell`](super::cell::Cell) is the only caller. Nothing here runs code of the user's: wakers and owners are handed
//! to the caller, who drops them when the mutex is free.

use std::task::Waker;

use super::owner::Debtor;
use crate::waitlist::{Key, Slots};

/// The place in line of one future.
#[derive(Debug, Default)]
pub(super) struct Ticket(Option<Key>);

impl Ticket {
    /// Whether there is one. It may have been called up since.
    #[inline]
    pub(super) fn is_in_line(&self) -> bool {
        self.0.is_some()
    }

    /// The future has been called up.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

/// The line, first come, first served; its first entry needs no allocation.
pub(super) struct Line {
    /// Who waits.
    waiters: Slots<Waiter>,
    /// Who is known to owe the value.
    owner: Option<Debtor>,
}

/// One who waits.
struct Waiter {
    /// How it is told.
    waker: Waker,
}

impl Line {
    pub(super) fn new(owner: Option<Debtor>) -> Line {
        Line { waiters: Slots::new(), owner }
    }

    /// Who owes the value.
    pub(super) fn owner(&self) -> Option<Debtor> {
        self.owner.clone()
    }

    /// Makes `owner` the one who owes the value, and returns the one before.
    pub(super) fn set_owner(&mut self, owner: Option<Debtor>) -> Option<Debtor> {
        std::mem::replace(&mut self.owner, owner)
    }

    /// Whether `ticket` is in line with a waker that does what `waker` does.
    pub(super) fn is_waiting(&mut self, ticket: &Ticket, waker: &Waker) -> bool {
        let entry = ticket.0.and_then(|key| self.waiters.find(key));
        entry.is_some_and(|waiter| waiter.waker.will_wake(waker))
    }

    /// Puts `waker` in line, in the place of `ticket` if it has one. The caller drops what comes back.
    pub(super) fn enter(&mut self, ticket: &mut Ticket, waker: Waker) -> Option<Left> {
        if let Some(waiter) = ticket.0.and_then(|key| self.waiters.find(key)) {
            return Some(Left(std::mem::replace(waiter, Waiter { waker })));
        }
        ticket.0 = Some(self.waiters.push_back(Waiter { waker }));
        None
    }

    /// Takes `ticket` out of the line. The caller drops what comes back.
    pub(super) fn leave(&mut self, ticket: &mut Ticket) -> Option<Left> {
        self.waiters.remove(ticket.0.take()?).map(Left)
    }

    /// Takes everybody out of the line.
    pub(super) fn leave_all(&mut self) -> AllLeft {
        let first = self.waiters.pop_front();
        let more = std::iter::from_fn(|| self.waiters.pop_front()).collect();
        AllLeft { first, more }
    }
}

/// One who has left the line.
pub(super) struct Left(#[allow(dead_code, reason = "it is there to be dropped late")] Waiter);

/// All who were in line. One, most often: that takes no allocation.
pub(super) struct AllLeft {
    /// The first.
    first: Option<Waiter>,
    /// The others.
    more: Vec<Waiter>,
}

impl AllLeft {
    /// How they are told.
    pub(super) fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.first.into_iter().chain(self.more).map(|waiter| waiter.waker)
    }
}
