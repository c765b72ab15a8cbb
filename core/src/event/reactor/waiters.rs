//! Who waits for a descriptor in one direction.
//!
//! Any number may wait. The first one's waker is kept in place, so that the usual case of one reader and one
//! writer allocates nothing; besides there is one fixed place for the poll functions of `AsyncRead` and
//! `AsyncWrite`, which have nowhere to remember a place of their own.

use std::sync::Arc;
use std::task::Waker;

use slab::Slab;

use super::{Interest, IoSource};
use crate::base::wake::StoredWaker;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Towards us: reading, accepting.
    Read,
    /// Away from us: writing, connecting.
    Write,
}

impl Direction {
    pub(crate) fn interest(self) -> Interest {
        match self {
            Direction::Read => Interest::READ,
            Direction::Write => Interest::WRITE,
        }
    }
}

/// The waiters of one direction.
#[derive(Default)]
pub(super) struct Waiters {
    /// The waker of the poll functions.
    fixed: Option<StoredWaker>,
    /// The waker of the first waiter that has a place of its own.
    first: Option<StoredWaker>,
    /// Whether `first` is somebody's place; its waker is gone once it has been woken.
    first_in_use: bool,
    /// The others.
    more: Option<Box<Slab<Option<StoredWaker>>>>,
}

/// A place among the waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakerSlot {
    /// None yet.
    Unset,
    /// The one of the poll functions.
    Fixed,
    /// The first one.
    First,
    /// One of the others.
    More(usize),
}

impl Waiters {
    /// The waker at `slot`.
    pub(super) fn waker(&self, slot: WakerSlot) -> Option<&StoredWaker> {
        match slot {
            WakerSlot::Unset => None,
            WakerSlot::Fixed => self.fixed.as_ref(),
            WakerSlot::First => self.first.as_ref(),
            WakerSlot::More(key) => self.more.as_ref()?.get(key)?.as_ref(),
        }
    }

    /// Puts `waker` at `slot`, or at a new one. Returns the place, and the waker that was there: to be dropped
    /// when nothing is locked.
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

    /// Gives `slot` up, and returns the waker that was there.
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

    /// Moves all wakers to `list`. Their places stay taken.
    pub(super) fn take_all(&mut self, list: &mut WakeList) {
        list.add(self.fixed.take());
        list.add(self.first.take());
        for (_, waker) in self.more.iter_mut().flat_map(|more| more.iter_mut()) {
            list.add(waker.take());
        }
    }

    /// Whether somebody whose waker is among `which` waits.
    pub(super) fn any(&self, mut which: impl FnMut(&Waker) -> bool) -> bool {
        let more = self.more.iter().flat_map(|more| more.iter()).filter_map(|(_, waker)| waker.as_ref());
        self.fixed.iter().chain(&self.first).chain(more).any(|waker| which(waker.as_waker()))
    }
}

/// Wakers that have been collected under a lock, to be woken without it.
#[derive(Default)]
pub(super) struct WakeList {
    /// Two in each direction need no memory.
    inline: [Option<StoredWaker>; 4],
    /// How many of those there are.
    len: usize,
    /// The others.
    spilled: Vec<StoredWaker>,
}

impl WakeList {
    fn add(&mut self, waker: Option<StoredWaker>) {
        let Some(waker) = waker else { return };
        match self.inline.get_mut(self.len) {
            Some(entry) => {
                *entry = Some(waker);
                self.len += 1;
            }
            None => self.spilled.push(waker),
        }
    }

    /// Wakes them all.
    pub(super) fn wake(self) {
        crate::base::wake::wake_all(self.inline.into_iter().flatten().chain(self.spilled));
    }
}

/// A waiter's place, given up on drop: whoever stops waiting is not woken, and its waker is let go.
pub(crate) struct IoWaiter<'a> {
    /// What it waits for.
    pub(super) source: &'a Arc<IoSource>,
    /// In which direction.
    pub(super) direction: Direction,
    /// Where.
    pub(super) slot: WakerSlot,
}

impl<'a> IoWaiter<'a> {
    /// A place for a future of its own.
    pub(crate) fn new(source: &'a Arc<IoSource>, direction: Direction) -> IoWaiter<'a> {
        IoWaiter { source, direction, slot: WakerSlot::Unset }
    }

    /// The place of the poll functions: each call replaces the waker of the one before, and it stays when the
    /// slot is dropped.
    pub(crate) fn fixed(source: &'a Arc<IoSource>, direction: Direction) -> IoWaiter<'a> {
        IoWaiter { source, direction, slot: WakerSlot::Fixed }
    }
}

impl Drop for IoWaiter<'_> {
    fn drop(&mut self) {
        if !matches!(self.slot, WakerSlot::Unset | WakerSlot::Fixed) {
            self.source.leave(self.direction, self.slot);
        }
    }
}
