//! The wakers of those who wait for a descriptor in one direction.
//!
//! Any number may wait. The first waiter's waker is stored inline, so that the usual case of one reader and
//! one writer allocates nothing; besides there is one fixed slot for the poll functions of `AsyncRead` and
//! `AsyncWrite`, which have nowhere to remember a slot of their own.

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
    /// The waker of the poll functions, which share this slot.
    fixed: Option<StoredWaker>,
    /// The waker of the first waiter that has a slot of its own.
    first: Option<StoredWaker>,
    /// True while a waiter owns `first`, also after its waker has been woken.
    first_in_use: bool,
    /// The slots of the other waiters.
    more: Option<Box<Slab<Option<StoredWaker>>>>,
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
    pub(super) fn waker(&self, slot: WakerSlot) -> Option<&StoredWaker> {
        match slot {
            WakerSlot::Unset => None,
            WakerSlot::Fixed => self.fixed.as_ref(),
            WakerSlot::First => self.first.as_ref(),
            WakerSlot::More(key) => self.more.as_ref()?.get(key)?.as_ref(),
        }
    }

    /// Stores `waker` in `slot`, or in a new slot if that is unset. Returns the slot and the waker that it
    /// had, which the caller drops when nothing is locked.
    pub(super) fn enter(&mut self, slot: WakerSlot, waker: StoredWaker) -> (WakerSlot, Option<StoredWaker>) {
        match slot {
            WakerSlot::Fixed => (slot, self.fixed.replace(waker)),
            WakerSlot::First => (slot, self.first.replace(waker)),
            WakerSlot::More(key) => match self.more.as_mut().and_then(|more| more.get_mut(key)) {
                Some(entry) => (slot, entry.replace(waker)),
                None => self.enter(WakerSlot::Unset, waker),
            },
            WakerSlot::Unset if !self.first_in_use => {
                self.first_in_use = true;
                (WakerSlot::First, self.first.replace(waker))
            }
            WakerSlot::Unset => {
                let key = self.more.get_or_insert_default().insert(Some(waker));
                (WakerSlot::More(key), None)
            }
        }
    }

    /// Frees `slot`, and returns the waker that it had.
    pub(super) fn leave(&mut self, slot: WakerSlot) -> Option<StoredWaker> {
        match slot {
            WakerSlot::Unset => None,
            WakerSlot::Fixed => self.fixed.take(),
            WakerSlot::First => {
                self.first_in_use = false;
                self.first.take()
            }
            WakerSlot::More(key) => {
                let more = self.more.as_mut()?;
                let waker = more.try_remove(key).flatten();
                if more.is_empty() {
                    self.more = None;
                }
                waker
            }
        }
    }

    /// Takes all wakers out: those of the two inline slots are returned, the others moved to `more`. Their
    /// slots stay in use.
    #[inline]
    pub(super) fn take_all(&mut self, more: &mut Vec<StoredWaker>) -> [Option<StoredWaker>; 2] {
        if let Some(slab) = &mut self.more {
            more.extend(slab.iter_mut().filter_map(|(_, waker)| waker.take()));
        }
        [self.fixed.take(), self.first.take()]
    }

    /// Returns whether there is a waker for which `which` returns true.
    pub(super) fn any(&self, mut which: impl FnMut(&Waker) -> bool) -> bool {
        let more = self.more.iter().flat_map(|more| more.iter()).filter_map(|(_, waker)| waker.as_ref());
        self.fixed.iter().chain(&self.first).chain(more).any(|waker| which(waker.as_waker()))
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
    fn drop(&mut self) {
        if !matches!(self.slot, WakerSlot::Unset | WakerSlot::Fixed) {
            self.source.leave(self.direction, self.slot);
        }
    }
}
