//! The wakers of those who wait for a descriptor in one direction.
//!
//! Any number may wait. The poll functions of `AsyncRead` and `AsyncWrite`, which have nowhere to remember a
//! slot of their own, share a fixed one. One waker is stored inline, so that the usual case of one reader and
//! one writer allocates nothing, and touches no memory but that of the source.

use std::sync::Arc;
use std::task::Waker;

use slab::Slab;

use super::{Interest, IoSource};
use crate::base::wake::StoredWaker;

/// The direction in which bytes move, and in which an operation waits for readiness.
///
/// # Examples
/// ```
/// use twoply::reactor::{Direction, Interest};
///
/// assert_eq!(Direction::Read.interest(), Interest::READ);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards us: reading, accepting.
    Read,
    /// Away from us: writing, connecting.
    Write,
}

impl Direction {
    /// Returns the set that has this direction only.
    pub fn interest(self) -> Interest {
        match self {
            Direction::Read => Interest::READ,
            Direction::Write => Interest::WRITE,
        }
    }
}

/// The waiters of one direction.
#[derive(Default)]
pub(super) struct Waiters {
    /// The waker of the first waiter while there is one, and else that of the poll functions.
    inline: Option<StoredWaker>,
    /// Those for whom there is no room there.
    more: Option<Box<More>>,
    /// True while a waiter owns the first slot, also after its waker has been woken.
    first_in_use: bool,
}

/// The waiters for whom there is no room inline.
#[derive(Default)]
struct More {
    /// The waker of the poll functions while there is a first waiter.
    fixed: Option<StoredWaker>,
    /// The slots of the waiters behind the first one.
    others: Slab<Option<StoredWaker>>,
}

/// The slot in which a waiter's waker is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakerSlot {
    /// The waiter has no slot yet.
    Unset,
    /// The slot that the poll functions share.
    Fixed,
    /// The inline slot of the first waiter.
    First,
    /// A slot of another waiter, by its key in the slab.
    More(usize),
}

impl Waiters {
    /// Returns the waker in `slot`.
    #[inline]
    pub(super) fn waker(&self, slot: WakerSlot) -> Option<&StoredWaker> {
        match slot {
            WakerSlot::Unset => None,
            WakerSlot::Fixed if self.first_in_use => self.more.as_ref()?.fixed.as_ref(),
            WakerSlot::Fixed | WakerSlot::First => self.inline.as_ref(),
            WakerSlot::More(key) => self.more.as_ref()?.others.get(key)?.as_ref(),
        }
    }

    /// Stores `waker` in `slot`, or in a new slot if that is unset. Returns the slot and the waker that it
    /// had, which the caller drops when nothing is locked.
    pub(super) fn enter(&mut self, slot: WakerSlot, waker: StoredWaker) -> (WakerSlot, Option<StoredWaker>) {
        match slot {
            WakerSlot::Fixed if self.first_in_use => {
                (slot, self.more.get_or_insert_default().fixed.replace(waker))
            }
            WakerSlot::Fixed | WakerSlot::First => (slot, self.inline.replace(waker)),
            WakerSlot::More(key) => match self.more.as_mut().and_then(|more| more.others.get_mut(key)) {
                Some(entry) => (slot, entry.replace(waker)),
                None => self.enter(WakerSlot::Unset, waker),
            },
            WakerSlot::Unset if self.inline.is_none() && !self.first_in_use => {
                self.first_in_use = true;
                self.inline = Some(waker);
                (WakerSlot::First, None)
            }
            WakerSlot::Unset => {
                let key = self.more.get_or_insert_default().others.insert(Some(waker));
                (WakerSlot::More(key), None)
            }
        }
    }

    /// Frees `slot`, and returns the waker that it had.
    pub(super) fn leave(&mut self, slot: WakerSlot) -> Option<StoredWaker> {
        let waker = match slot {
            WakerSlot::Unset => None,
            WakerSlot::Fixed if self.first_in_use => self.more.as_mut()?.fixed.take(),
            WakerSlot::Fixed => self.inline.take(),
            WakerSlot::First => {
                self.first_in_use = false;
                let fixed = self.more.as_mut().and_then(|more| more.fixed.take());
                std::mem::replace(&mut self.inline, fixed)
            }
            WakerSlot::More(key) => self.more.as_mut()?.others.try_remove(key).flatten(),
        };
        if self.more.as_ref().is_some_and(|more| more.fixed.is_none() && more.others.is_empty()) {
            self.more = None;
        }
        waker
    }

    /// Takes all wakers out: the inline one is returned, the others are moved to `others`. Their slots stay
    /// in use.
    #[inline]
    pub(super) fn take_all(&mut self, others: &mut Vec<StoredWaker>) -> Option<StoredWaker> {
        if let Some(more) = &mut self.more {
            others.extend(more.fixed.take());
            others.extend(more.others.iter_mut().filter_map(|(_, waker)| waker.take()));
        }
        self.inline.take()
    }

    /// Returns whether there is a waker for which `which` returns true.
    pub(super) fn any(&self, mut which: impl FnMut(&Waker) -> bool) -> bool {
        let others = |more: &More| {
            let others = more.others.iter().filter_map(|(_, waker)| waker.as_ref());
            more.fixed.iter().chain(others).any(|waker| which(waker.as_waker()))
        };
        self.more.as_deref().is_some_and(others) || self.inline.iter().any(|waker| which(waker.as_waker()))
    }
}

/// One waiter for a source in one direction. Dropping it frees its slot and drops its waker, which is not
/// woken.
pub(crate) struct IoWaiter<'a> {
    pub(super) source: &'a Arc<IoSource>,
    pub(super) direction: Direction,
    pub(super) slot: WakerSlot,
}

impl<'a> IoWaiter<'a> {
    /// Returns a waiter with a slot of its own, for a future.
    pub(crate) fn new(source: &'a Arc<IoSource>, direction: Direction) -> IoWaiter<'a> {
        IoWaiter { source, direction, slot: WakerSlot::Unset }
    }

    /// Returns the waiter that the poll functions share: each call replaces the waker of the one before, and
    /// the waker stays when this is dropped.
    pub(crate) fn fixed(source: &'a Arc<IoSource>, direction: Direction) -> IoWaiter<'a> {
        IoWaiter { source, direction, slot: WakerSlot::Fixed }
    }

    /// Returns the source that it waits for.
    pub(crate) fn source(&self) -> &'a Arc<IoSource> {
        self.source
    }

    /// Returns the direction that it waits for.
    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }
}

impl Drop for IoWaiter<'_> {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.slot, WakerSlot::Unset | WakerSlot::Fixed) {
            self.source.leave(self.direction, self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wake::WakeCount;

    /// Returns whether `waker` is what `slot` has.
    fn has(waiters: &Waiters, slot: WakerSlot, waker: &Waker) -> bool {
        waiters.waker(slot).is_some_and(|stored| stored.will_wake(waker))
    }

    #[test]
    fn the_poll_functions_and_the_first_waiter_share_the_inline_slot() {
        let [(_, fixed), (_, first), (_, second)] = [(); 3].map(|()| WakeCount::new());
        let mut waiters = Waiters::default();
        // The first waiter has it, and the poll functions find room elsewhere until it leaves.
        let (slot, _) = waiters.enter(WakerSlot::Unset, StoredWaker::of(&first));
        assert_eq!(slot, WakerSlot::First);
        waiters.enter(WakerSlot::Fixed, StoredWaker::of(&fixed));
        assert!(has(&waiters, slot, &first) && has(&waiters, WakerSlot::Fixed, &fixed));
        assert!(waiters.leave(slot).is_some_and(|waker| waker.will_wake(&first)));
        assert!(has(&waiters, WakerSlot::Fixed, &fixed) && waiters.more.is_none());
        // The poll functions have it, and a waiter finds room elsewhere.
        let (other, _) = waiters.enter(WakerSlot::Unset, StoredWaker::of(&second));
        assert!(matches!(other, WakerSlot::More(_)) && waiters.any(|waker| waker.will_wake(&fixed)));
        // When both have been woken it is free, and the slot of the other stays its own.
        let mut others = Vec::new();
        assert!(waiters.take_all(&mut others).is_some_and(|waker| waker.will_wake(&fixed)));
        assert!(others.len() == 1 && others[0].will_wake(&second));
        let (slot, _) = waiters.enter(WakerSlot::Unset, StoredWaker::of(&first));
        assert_eq!(slot, WakerSlot::First);
        assert_eq!(waiters.enter(other, StoredWaker::of(&second)).0, other);
        waiters.enter(WakerSlot::Fixed, StoredWaker::of(&fixed));
        // Each is given up without harm to the others.
        assert!(waiters.leave(WakerSlot::Fixed).is_some() && has(&waiters, other, &second));
        assert!(waiters.leave(other).is_some() && has(&waiters, slot, &first) && waiters.more.is_none());
        assert!(waiters.leave(slot).is_some() && !waiters.any(|_| true));
    }
}
