//! A read-write lock without the value that it guards: permits, and who is known to have some.

#[cfg(all(test, loom))]
mod model;

use std::task::{Poll, Waker};

use super::super::lock::{RawLock, Sight};
use super::super::permits::{self, Permits};
use crate::base::sync::atomic::AtomicU64;
use crate::base::sync::atomic::Ordering::Relaxed;
use crate::base::waitlist::WaitKey;
use crate::kernel::strand::with_state;
use crate::kernel::task::TaskId;
use crate::kernel::task::holders::take_lock;
use crate::kernel::task::wait_graph::{Blockers, HeldLock, Tenure};

/// The number of permits that a reader takes.
pub(super) const READER: usize = 1;
/// The number of permits that a writer takes: all of them.
pub(super) const WRITER: usize = permits::MAX;

/// The number of tasks that are known to have the lock. More readers have it unknown.
const KNOWN: usize = 4;

/// A lock without a value. Whoever takes it or gives it back writes to the word of the permits, which comes
/// last there, and to the holders; and the value follows: in this order they most often share a cache line.
#[repr(C)]
pub(super) struct RawRwLock {
    permits: Permits,
    /// The numbers of tasks that have the lock; 0 in a slot that is free. A number is there only while its
    /// task has not given back what it was entered for: who has entered it frees the slot before, without a
    /// look at it. Where two have found the same slot free, one of them is not known; and the first to go
    /// frees the slot under the other one, and so on with whoever comes then, until they come one by one.
    holders: [AtomicU64; KNOWN],
}

impl RawRwLock {
    /// Returns a lock that nobody has.
    #[cfg(not(loom))]
    pub(super) const fn new() -> RawRwLock {
        RawRwLock { permits: Permits::new(WRITER), holders: [const { AtomicU64::new(0) }; KNOWN] }
    }

    #[cfg(all(test, loom))]
    fn new() -> RawRwLock {
        RawRwLock { permits: Permits::new(WRITER), holders: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Finds a slot that is free. Each task begins with one of its own: so few of those that come at once
    /// meet in one, and most find theirs free.
    #[inline]
    fn free_slot(&self, holder: TaskId) -> Option<Slot> {
        let own = Slot::of(holder);
        // Relaxed, and no read-modify-write; see `wait_graph`, and the field.
        if own.of_lock(self).load(Relaxed) == 0 { Some(own) } else { self.free_slot_behind(own) }
    }

    /// As [`RawRwLock::free_slot`], among the others.
    #[cold]
    fn free_slot_behind(&self, own: Slot) -> Option<Slot> {
        let mut others = (1..KNOWN).map(|n| Slot::at(own as usize + n));
        others.find(|slot| slot.of_lock(self).load(Relaxed) == 0)
    }

    /// Gives back `count` permits, which the caller has.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        self.permits.give_back(count);
    }
}

/// A place for the number of a task that has the lock, by its index. It is an enum so that what holds one
/// fits into registers: a number would leave no room to say that there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Slot {
    First,
    Second,
    Third,
    Fourth,
}

impl Slot {
    /// Returns the one with this index, counted around.
    #[inline]
    fn at(index: usize) -> Slot {
        match index % KNOWN {
            0 => Slot::First,
            1 => Slot::Second,
            2 => Slot::Third,
            _ => Slot::Fourth,
        }
    }

    /// Returns the one that `holder` begins with.
    #[inline]
    fn of(holder: TaskId) -> Slot {
        Slot::at(holder.as_u64() as usize)
    }

    #[inline]
    fn of_lock(self, raw: &RawRwLock) -> &AtomicU64 {
        &raw.holders[self as usize]
    }
}

/// A task that is known to have the lock, and the slot for its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    holder: TaskId,
    pub(super) slot: Slot,
}

/// A lock as one sees it who wants, or has, `PERMITS` of its permits.
pub(super) struct Access<'a, const PERMITS: usize>(pub(super) &'a RawRwLock);

impl<const PERMITS: usize> Access<'_, PERMITS> {
    /// Records that a task no longer has what it was [entered](RawLock::add_holder) for.
    #[inline]
    pub(super) fn remove_holder(&self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            slot.of_lock(self.0).store(0, Relaxed);
        }
    }
}

impl<const PERMITS: usize> HeldLock for Access<'_, PERMITS> {
    fn holders(&self) -> Blockers {
        let mut holders = Blockers::default();
        let known = self.0.holders.iter().map(|holder| TaskId::from_u64(holder.load(Relaxed)));
        holders.iter_mut().zip(known).for_each(|(holder, known)| *holder = known);
        holders
    }

    /// Returns the one in front of the queue, whom nobody passes; and those who have the lock, unless it is
    /// wanted for reading and they read: whoever is in front waits for those.
    fn blockers(&self, wait_key: &WaitKey) -> Blockers {
        let Access(raw) = *self;
        let waits_for_all = PERMITS == WRITER || raw.permits.free() == 0;
        let mut blockers = if waits_for_all { self.holders() } else { Blockers::default() };
        blockers[KNOWN] = raw.permits.front_before(wait_key);
        blockers
    }

    fn tenure(&self) -> Option<Tenure> {
        Some(self.0.permits.tenure())
    }
}

impl<const PERMITS: usize> RawLock for Access<'_, PERMITS> {
    type Holding = Option<Known>;

    #[inline]
    fn try_lock(&self) -> bool {
        // They are never closed.
        match PERMITS {
            WRITER => self.0.permits.try_acquire_all(WRITER).is_some(),
            _ => self.0.permits.try_acquire(PERMITS).is_some(),
        }
    }

    fn look(&self) -> Sight {
        self.0.permits.look(PERMITS)
    }

    #[inline]
    fn poll_lock(&self, wait_key: &mut WaitKey, waker: &Waker) -> Poll<()> {
        self.0.permits.poll_queue(wait_key, PERMITS, waker, with_state(take_lock)).map(|_never_closed| ())
    }

    #[inline]
    fn stop(&self, wait_key: &mut WaitKey) {
        self.0.permits.stop(wait_key, PERMITS);
    }

    #[inline]
    fn holding(&self, holder: Option<TaskId>) -> Option<Known> {
        let holder = holder?;
        let slot = match PERMITS {
            // A writer is alone, so each slot is free: it need not look.
            WRITER => Slot::of(holder),
            _ => self.0.free_slot(holder)?,
        };
        Some(Known { holder, slot })
    }

    #[inline]
    fn add_holder(&self, known: Option<Known>) {
        if let Some(Known { holder, slot }) = known {
            slot.of_lock(self.0).store(holder.as_u64(), Relaxed);
        }
    }
}
