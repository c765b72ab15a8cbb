//! The lock word of [`Mutex`](super::Mutex), and the queue of those who wait for it.
//!
//! ```text
//! word:  0 ◀──(1) lock, (2) unlock──▶ LOCKED
//!        ▲                             │  ▲
//!        │                   (3) wait  ▼  │ (5) hand over to the last one
//!        └────────(4) unlock────── LOCKED | CONTENDED ──▶ (5) hand over
//!
//! (1) lock       whoever finds LOCKED clear, whether others wait or not.
//! (2) unlock     the holder, while nobody waits, or somebody is on its way.
//! (3) wait       whoever finds LOCKED set: enters the queue, under its lock, before it lets go of that.
//! (4) unlock     the holder wakes the one in front, which stays there with its waker taken: it is on its
//!                way. While somebody is, nobody else is woken, and CONTENDED stays clear.
//! (5) hand over  the holder, instead of unlocking, if the one in front has come too late [`PATIENCE`]
//!                times: that one leaves the queue, and has the lock.
//! ```
//!
//! CONTENDED sends whoever unlocks to the queue. It is set while somebody has the lock, and either somebody
//! waits and nobody is on its way, or a search for a deadlock wants to know whether the lock has been given
//! back since it looked ([`Tenure`]). It may stay set when nobody waits any more. Whoever was woken is on its
//! way until it comes, under the lock of the queue: it takes the lock, or sets CONTENDED and waits again. If
//! it gives up while nobody has the lock, it wakes the next one. Everything but (1) and (2) is done under the
//! lock of the queue.
//!
//! # Why no wake-up is lost
//! One that waits is in the queue. Either nobody is on its way: then LOCKED and CONTENDED are set by one
//! operation, so that the unlock comes later, looks into the queue, and wakes the one in front or hands over.
//! Or somebody is on its way: it locks, or waits again, or gives up; each of the three leaves CONTENDED set
//! if somebody else waits and somebody has the lock, and else wakes the next one.
//!
//! # Who gets the lock
//! Whoever comes first, most of the time: a task that runs and wants the lock takes it, and the one that was
//! woken for it comes too late. To hand the lock over instead costs a change of tasks for each section, in
//! which nobody works: all who use the lock move in a convoy, as slow as they can be scheduled. But each time
//! that the one in front comes too late is counted, and after some the next unlock hands the lock over. The
//! queue is first come, first served. So everybody has the lock in the end, however busy others are with it.
//!
//! This is the lock of WebKit's `WTF::ParkingLot` (Pizlo, "Locking in WebKit", 2016) and of Go's
//! `sync.Mutex`, which hands over to those that have waited for a millisecond; counting instead does not
//! depend on a clock. That the word says nothing of the queue while one is on its way is from there, too: so
//! the holder, which may lock and unlock a thousand times meanwhile, unlocks by one operation each time.

#[cfg(all(test, loom))]
mod model;

use std::task::{Poll, Waker};

use super::super::lock::{RawLock, Sight};
use crate::base::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};
use crate::base::sync::atomic::{AtomicU32, AtomicU64};
use crate::base::sync::{ColdMutex, const_fn};
use crate::base::waitlist::{Key, LinkedSlab, WaitKey};
use crate::base::wake::StoredWaker;
use crate::kernel::task::TaskId;
use crate::kernel::task::wait_graph::{Blockers, HeldLock, Tenure};
use crate::kernel::waiting::address_of;

/// Somebody has the lock.
const LOCKED: u32 = 1;
/// Whoever unlocks has to look into the queue.
const CONTENDED: u32 = 1 << 1;

/// The number of times that a waiter may be woken and come too late, before the lock is handed over to it.
const PATIENCE: u32 = 4;

/// A lock without a value, and those who wait for it. What each locking writes to comes last, close to the
/// value, which follows: most often they share a cache line.
#[repr(C)]
pub(super) struct RawMutex {
    queue: ColdMutex<Queue>,
    /// The number of the task that has the lock; 0 if nobody has it, or it is not known who.
    holder: AtomicU64,
    /// The word of the diagram above.
    word: AtomicU32,
}

/// Those who wait for a lock.
#[derive(Default)]
struct Queue {
    waiters: LinkedSlab<Waiter>,
    /// The one in front has been woken, and has not come yet.
    is_woken: bool,
    /// The time for which somebody has the lock, if somebody is to be told of its end.
    tenure: Option<Tenure>,
}

/// A future that waits for the lock. A key without an entry means that the future has been handed the lock.
struct Waiter {
    /// None once it has been woken.
    waker: Option<StoredWaker>,
    /// The number of times that it has been woken and come too late.
    late: u32,
}

impl HeldLock for RawMutex {
    #[inline]
    fn holders(&self) -> Blockers {
        let mut holders = Blockers::default();
        holders[0] = TaskId::from_u64(self.holder.load(Relaxed));
        holders
    }

    fn tenure(&self) -> Option<Tenure> {
        let mut queue = self.queue.lock();
        // Acquire pairs with Release in `unlock`: who had the lock before is seen not to be the holder.
        self.contend(Acquire).then(|| queue.tenure.get_or_insert_with(Tenure::new).clone())
    }
}

impl RawLock for RawMutex {
    const SLEEPS: bool = true;

    fn number(&self) -> usize {
        address_of(self)
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // CONTENDED stays as it is; so does LOCKED where somebody has the lock. Acquire pairs with Release in
        // `unlock`.
        self.word.fetch_or(LOCKED, Acquire) & LOCKED == 0
    }

    fn look(&self) -> Sight {
        match self.word.load(Relaxed) {
            0 => Sight::Free,
            LOCKED => Sight::Held,
            _ => Sight::Awaited,
        }
    }

    #[cold]
    fn poll_lock(&self, wait_key: &mut WaitKey, waker: &Waker) -> Poll<()> {
        match wait_key.get() {
            None => self.enter(wait_key, waker),
            Some(key) => self.come_back(wait_key, key, waker),
        }
    }

    fn stop(&self, wait_key: &mut WaitKey) {
        let Some(key) = wait_key.take() else { return };
        let mut queue = self.queue.lock();
        let left = queue.waiters.remove(key);
        let next = match &left {
            // It has been handed the lock.
            None => self.pass_on(&mut queue),
            Some(waiter) => self.leave(&mut queue, waiter.waker.is_none()),
        };
        drop(queue);
        drop(left);
        wake(next);
    }

    #[inline]
    fn add_holder(&self, holder: Option<TaskId>) {
        self.set_holder(holder);
    }
}

impl RawMutex {
    const_fn! {
        /// Returns a lock that nobody has.
        pub(super) fn new() -> RawMutex {
            RawMutex {
                queue: ColdMutex::new(),
                holder: AtomicU64::new(0),
                word: AtomicU32::new(0),
            }
        }
    }

    /// Makes step 3, of one that has not waited yet.
    fn enter(&self, wait_key: &mut WaitKey, waker: &Waker) -> Poll<()> {
        // Cloned before the lock is taken, and dropped, as the older local, after it: both run code of the
        // waker's.
        let waker = StoredWaker::of(waker);
        let mut queue = self.queue.lock();
        if self.lock_or_wait(queue.is_woken) {
            return Poll::Ready(());
        }
        wait_key.set(queue.waiters.push_back(Waiter { waker: Some(waker), late: 0 }));
        Poll::Pending
    }

    /// Polls one that waits, with the key `key`: it has been handed the lock, or has been woken, or is polled
    /// for some other reason.
    fn come_back(&self, wait_key: &mut WaitKey, key: Key, waker: &Waker) -> Poll<()> {
        // Where the wait seems to go on. Cloned before the lock is taken: that runs code of the waker's.
        let mut spare = (self.look() != Sight::Free).then(|| StoredWaker::of(waker));
        loop {
            let mut queue = self.queue.lock();
            let others_come = queue.is_woken;
            let Some(waiter) = queue.waiters.find(key) else {
                wait_key.take();
                return Poll::Ready(());
            };
            let was_woken = waiter.waker.is_none();
            let has_same = waiter.waker.as_ref().is_some_and(|own| own.will_wake(waker));
            let may_wait = has_same || spare.is_some();
            let is_locked = match may_wait {
                true => self.lock_or_wait(others_come && !was_woken),
                false => self.try_lock(),
            };
            if is_locked {
                wait_key.take();
                let left = queue.waiters.remove(key);
                queue.is_woken &= !was_woken;
                if !queue.is_woken && !queue.waiters.is_empty() {
                    self.contend(Relaxed);
                }
                drop(queue);
                drop(left);
                return Poll::Ready(());
            }
            if may_wait {
                if was_woken {
                    waiter.late += 1;
                }
                if !has_same {
                    std::mem::swap(&mut waiter.waker, &mut spare);
                }
                queue.is_woken &= !was_woken;
                return Poll::Pending;
            }
            drop(queue);
            spare = Some(StoredWaker::of(waker));
        }
    }

    /// Takes the lock if nobody has it. Else whoever has it is to look into the queue, unless somebody is on
    /// its way. Returns whether it has taken the lock. The caller holds the lock of the queue.
    fn lock_or_wait(&self, is_woken: bool) -> bool {
        // It tries again if whoever had the lock has given it back between the two operations.
        loop {
            if self.try_lock() {
                return true;
            }
            if is_woken || self.contend(Relaxed) {
                return false;
            }
        }
    }

    /// Sets CONTENDED, if somebody has the lock. Returns whether somebody has. The caller holds the lock of
    /// the queue.
    fn contend(&self, order: Ordering) -> bool {
        let contended = LOCKED | CONTENDED;
        match self.word.compare_exchange(LOCKED, contended, order, order) {
            Ok(_) => true,
            // The word stays so: whoever has the lock waits for that of the queue.
            Err(word) => word == contended,
        }
    }

    /// Records which task has the lock, which the caller has.
    #[inline]
    pub(super) fn set_holder(&self, holder: Option<TaskId>) {
        // Relaxed; see `wait_graph`.
        self.holder.store(holder.map_or(0, TaskId::as_u64), Relaxed);
    }

    /// Gives the lock back, which the caller has.
    #[inline]
    pub(super) fn unlock(&self) {
        self.set_holder(None);
        // Release pairs with Acquire in `try_lock`: the next one sees what this one has done.
        if self.word.compare_exchange(LOCKED, 0, Release, Relaxed).is_err() {
            self.unlock_contended();
        }
    }

    #[cold]
    fn unlock_contended(&self) {
        let mut queue = self.queue.lock();
        let next = self.pass_on(&mut queue);
        drop(queue);
        wake(next);
    }

    /// Steps 4 and 5, of whoever has the lock. Returns who is to be woken.
    fn pass_on(&self, queue: &mut Queue) -> Option<StoredWaker> {
        if let Some(tenure) = queue.tenure.take() {
            tenure.end();
        }
        if !queue.is_woken
            && queue.waiters.front().is_some_and(|front| front.late >= PATIENCE)
            && let Some(next) = queue.waiters.pop_front()
        {
            // The next one finds out under the lock of the queue. CONTENDED stays as it is.
            return next.waker;
        }
        // Release pairs with Acquire in `try_lock`. A store would do, since nobody else changes the word
        // while the caller has both locks; but models know of no order between it and what those write who
        // try to lock.
        self.word.swap(0, Release);
        queue.wake_front()
    }

    /// Settles that somebody who has not got the lock waits no longer. Returns who is to be woken.
    fn leave(&self, queue: &mut Queue, was_woken: bool) -> Option<StoredWaker> {
        queue.is_woken &= !was_woken;
        // Whoever has the lock wakes the next one itself.
        let is_settled = queue.is_woken || queue.waiters.is_empty() || self.contend(Relaxed);
        if is_settled { None } else { queue.wake_front() }
    }
}

impl Queue {
    /// Returns the waker of the one in front, unless somebody is on its way already. Nobody has the lock.
    fn wake_front(&mut self) -> Option<StoredWaker> {
        if self.is_woken {
            return None;
        }
        let waker = self.waiters.front()?.waker.take();
        self.is_woken = true;
        waker
    }
}

fn wake(waker: Option<StoredWaker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
