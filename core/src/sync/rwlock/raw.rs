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
use crate::kernel::waiting::address_of;

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
    /// task has not given back what it was entered for: who has entered it takes it out before. Of two that
    /// enter theirs at once one may be lost.
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

    /// Returns the slot that a task begins with. Each has one of its own: so few of those that come at once
    /// meet in one, and most find theirs free.
    #[inline]
    fn slot(&self, holder: TaskId) -> &AtomicU64 {
        &self.holders[holder.as_u64() as usize % KNOWN]
    }

    /// Has one of the slots with the number `from` have the number `to`, if there is one.
    #[inline]
    fn replace_holder(&self, holder: TaskId, from: u64, to: u64) {
        let slot = self.slot(holder);
        // Relaxed, and no read-modify-write; see `wait_graph`, and the field.
        if slot.load(Relaxed) == from {
            slot.store(to, Relaxed);
        } else {
            self.replace_behind(holder, from, to);
        }
    }

    /// As [`RawRwLock::replace_holder`], in the slots after the first.
    #[cold]
    fn replace_behind(&self, holder: TaskId, from: u64, to: u64) {
        let first = holder.as_u64() as usize % KNOWN;
        let mut slots = (1..KNOWN).map(|n| &self.holders[(first + n) % KNOWN]);
        if let Some(slot) = slots.find(|slot| slot.load(Relaxed) == from) {
            slot.store(to, Relaxed);
        }
    }

    /// Gives back `count` permits, which the caller has.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        self.permits.give_back(count);
    }
}

/// A lock as one sees it who wants, or has, `PERMITS` of its permits.
pub(super) struct Access<'a, const PERMITS: usize>(pub(super) &'a RawRwLock);

impl<const PERMITS: usize> Access<'_, PERMITS> {
    /// Records that a task no longer has what it was [entered](RawLock::add_holder) for.
    #[inline]
    pub(super) fn remove_holder(&self, holder: Option<TaskId>) {
        let Some(holder) = holder else { return };
        match PERMITS {
            WRITER => self.0.slot(holder).store(0, Relaxed),
            _ => self.0.replace_holder(holder, holder.as_u64(), 0),
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
    /// Where most are readers, one that waits is most often granted the lock with others, and has it soon.
    const SLEEPS: bool = false;

    fn number(&self) -> usize {
        address_of(self.0)
    }

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
    fn add_holder(&self, holder: Option<TaskId>) {
        let Some(holder) = holder else { return };
        match PERMITS {
            // A writer is alone, so each slot is free: it need not look.
            WRITER => self.0.slot(holder).store(holder.as_u64(), Relaxed),
            _ => self.0.replace_holder(holder, 0, holder.as_u64()),
        }
    }
}
