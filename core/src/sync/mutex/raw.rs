//! The lock word of [`Mutex`](super::Mutex), and the queue of those who wait for it.
//!
//! ```text
//! word:  0 ──(1) lock──▶ LOCKED ──(2) unlock──▶ 0
//!                          │ ▲
//!                (3) wait  ▼ │ (1)
//!        WAITING ◀──(4)── LOCKED | WAITING ──(6) late──▶ LOCKED | WAITING | HANDOFF
//!        | WOKEN                ▲ │                                  │
//!                               └─┴──────────(7) hand over───────────┘
//!
//! (1) lock       whoever finds LOCKED clear, whether others wait or not. The other bits stay as they are.
//! (2) unlock     the holder, while nobody waits.
//! (3) wait       whoever finds LOCKED set: enters the queue, under its lock, before it lets go of that.
//! (4) unlock     the holder, while somebody waits: wakes the one in front, which stays there with its waker
//!                taken, and sets WOKEN. While that is set, nobody else is woken: an unlock then only clears
//!                LOCKED.
//! (5) leave      the one that was woken clears WOKEN when it has locked (1), when it waits again (3), in the
//!                same operation, or when it gives up. One that gives up while nobody has the lock wakes the
//!                next one.
//! (6) late       the one that was woken and has come too late for the [`PATIENCE`]th time.
//! (7) hand over  the holder, instead of unlocking: the one in front leaves the queue, and has the lock.
//! ```
//!
//! A search for a deadlock may want to know whether the lock has been given back since it looked. Then it
//! sets WATCHED, which has the next unlock take the lock of the queue, and say so ([`Tenure`]).
//!
//! WAITING is set exactly while somebody is in the queue. Everything but (1), (2) and an unlock that wakes
//! nobody is done under the lock of the queue.
//!
//! # Why no wake-up is lost
//! A waiter enters by an operation on the word that finds LOCKED set, and sets WAITING. So the unlock that
//! clears LOCKED comes later, sees WAITING, and wakes the one in front or leaves that to the one that was
//! woken before. That one's next operation on the word, by (5), either locks, and then it unlocks some time;
//! or finds LOCKED set, so that whoever unlocks finds WOKEN clear; or finds that nobody has the lock, and
//! wakes the next one.
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
//! depend on a clock.

#[cfg(all(test, loom))]
mod model;

use std::task::{Poll, Waker};

use super::super::lock::{RawLock, Sight};
use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::atomic::{AtomicU32, AtomicU64};
use crate::base::sync::{ColdMutex, const_fn};
use crate::base::waitlist::{Key, LinkedSlab, WaitKey};
use crate::base::wake::StoredWaker;
use crate::kernel::task::TaskId;
use crate::kernel::task::wait_graph::{Blockers, HeldLock, Tenure};
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// Somebody has the lock.
const LOCKED: u32 = 1;
/// Somebody is in the queue.
const WAITING: u32 = 1 << 1;
/// The one in front of the queue has been woken, and has not come yet.
const WOKEN: u32 = 1 << 2;
/// The lock is to be handed over to the one in front.
const HANDOFF: u32 = 1 << 3;
/// Somebody is to be told when the lock is given back.
const WATCHED: u32 = 1 << 4;

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
    /// The time for which somebody has the lock, while the word says WATCHED.
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
    fn holders(&self) -> Blockers {
        let mut holders = Blockers::default();
        holders[0] = TaskId::from_u64(self.holder.load(Relaxed));
        holders
    }

    fn tenure(&self) -> Option<Tenure> {
        let mut queue = self.queue.lock();
        let mut word = self.word.load(Relaxed);
        while word & LOCKED != 0 {
            // Acquire pairs with Release in `unlock`: who had the lock before is seen not to be the holder.
            match self.word.compare_exchange_weak(word, word | WATCHED, Acquire, Relaxed) {
                Ok(_) if word & WATCHED != 0 => return queue.tenure.clone(),
                Ok(_) => return Some(queue.tenure.insert(Tenure::new()).clone()),
                Err(now) => word = now,
            }
        }
        None
    }
}

impl RawLock for RawMutex {
    #[inline]
    fn try_lock(&self) -> bool {
        // Whatever else is set stays as it is; so does LOCKED where somebody has the lock. Acquire pairs with
        // Release in `unlock`.
        self.word.fetch_or(LOCKED, Acquire) & LOCKED == 0
    }

    fn look(&self) -> Sight {
        match self.word.load(Relaxed) & (LOCKED | WAITING) {
            0 => Sight::Free,
            LOCKED => Sight::Held,
            _ => Sight::Awaited,
        }
    }

    #[cold]
    fn poll_lock(&self, wait_key: &mut WaitKey, waker: &Waker) -> Poll<()> {
        let polled = match wait_key.get() {
            // One whose budget was over has not tried yet.
            None if self.look() == Sight::Free && self.try_lock() => Poll::Ready(()),
            None => self.enter(wait_key, waker),
            Some(key) => self.come_back(wait_key, key, waker),
        };
        waiting::note(polled, || WaitingFor::Lock { lock: address_of(self) })
    }

    fn stop(&self, wait_key: &mut WaitKey) {
        let Some(key) = wait_key.take() else { return };
        let mut queue = self.queue.lock();
        let left = queue.waiters.remove(key);
        let next = match &left {
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
        if self.lock_or_change(0, WAITING) {
            return Poll::Ready(());
        }
        wait_key.set(queue.waiters.push_back(Waiter { waker: Some(waker), late: 0 }));
        Poll::Pending
    }

    /// Polls one that waits, with the key `key`: it has been handed the lock, or has been woken, or is polled
    /// for some other reason.
    fn come_back(&self, wait_key: &mut WaitKey, key: Key, waker: &Waker) -> Poll<()> {
        let mut spare = None;
        loop {
            let mut queue = self.queue.lock();
            let Some(waiter) = queue.waiters.find(key) else {
                wait_key.take();
                return Poll::Ready(());
            };
            let is_woken = waiter.waker.is_none();
            let has_same = waiter.waker.as_ref().is_some_and(|own| own.will_wake(waker));
            let may_wait = has_same || spare.is_some();
            let late = waiter.late + u32::from(is_woken);
            let is_locked = match may_wait {
                true => self.lock_or_change(
                    if is_woken { WOKEN } else { 0 },
                    if late >= PATIENCE { HANDOFF } else { 0 },
                ),
                false => self.try_lock(),
            };
            if is_locked {
                wait_key.take();
                let left = queue.waiters.remove(key);
                self.clear(&queue, is_woken);
                drop(queue);
                drop(left);
                return Poll::Ready(());
            }
            if may_wait {
                waiter.late = late;
                if !has_same {
                    std::mem::swap(&mut waiter.waker, &mut spare);
                }
                return Poll::Pending;
            }
            drop(queue);
            spare = Some(StoredWaker::of(waker));
        }
    }

    /// Takes the lock if nobody has it; else clears and sets these bits, in the same operation. Returns
    /// whether it has taken the lock. The caller holds the lock of the queue.
    fn lock_or_change(&self, clear: u32, set: u32) -> bool {
        let mut word = self.word.load(Relaxed);
        loop {
            let is_free = word & LOCKED == 0;
            let next = if is_free { word | LOCKED } else { word & !clear | set };
            // Acquire pairs with Release in `unlock`.
            match self.word.compare_exchange_weak(word, next, Acquire, Relaxed) {
                Ok(_) => return is_free,
                Err(now) => word = now,
            }
        }
    }

    /// Clears what the caller has set, which has the lock and that of the waiters, and waits no longer.
    fn clear(&self, queue: &Queue, was_woken: bool) {
        let mut clear = if was_woken { WOKEN } else { 0 };
        if queue.waiters.is_empty() {
            clear |= WAITING | HANDOFF;
        }
        // Relaxed: nobody unlocks meanwhile.
        self.word.fetch_and(!clear, Relaxed);
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
        // As long as nobody waits, this is so.
        let mut word = LOCKED;
        while word & (HANDOFF | WATCHED) == 0 && (word & WAITING == 0 || word & WOKEN != 0) {
            // Nobody waits, or somebody is on its way already. Release pairs with Acquire in `try_lock`: the
            // next one sees what this one has done.
            match self.word.compare_exchange_weak(word, word & !LOCKED, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.unlock_contended();
    }

    #[cold]
    fn unlock_contended(&self) {
        let mut queue = self.queue.lock();
        let next = self.pass_on(&mut queue);
        drop(queue);
        wake(next);
    }

    /// Steps 4 and 7, of whoever has the lock. Returns who is to be woken.
    fn pass_on(&self, queue: &mut Queue) -> Option<StoredWaker> {
        if let Some(tenure) = queue.tenure.take() {
            tenure.end();
        }
        let waiters = &mut queue.waiters;
        // Relaxed, and no read-modify-write: nobody else changes the word while the caller has both locks.
        // Who tries to lock writes what is there.
        let word = self.word.load(Relaxed);
        if word & HANDOFF != 0
            && let Some(next) = waiters.pop_front()
        {
            // Relaxed: the next one finds out under the lock of the queue.
            self.word.store(if waiters.is_empty() { LOCKED } else { LOCKED | WAITING }, Relaxed);
            return next.waker;
        }
        let (next, flags) = match waiters.front() {
            // Somebody is on its way already.
            Some(_) if word & WOKEN != 0 => (None, WAITING | WOKEN),
            Some(front) => (front.waker.take(), WAITING | WOKEN),
            None => (None, 0),
        };
        // Release pairs with Acquire in `try_lock`.
        self.word.store(flags, Release);
        next
    }

    /// Settles that somebody who has not got the lock waits no longer. Returns who is to be woken.
    fn leave(&self, queue: &mut Queue, was_woken: bool) -> Option<StoredWaker> {
        let mut word = self.word.load(Relaxed);
        loop {
            let mut next = if was_woken { word & !WOKEN } else { word };
            if queue.waiters.is_empty() {
                next &= LOCKED | WATCHED;
            }
            // Whoever has the lock wakes the next one itself, since WOKEN is clear.
            let wakes = was_woken && word & LOCKED == 0 && !queue.waiters.is_empty();
            if wakes {
                next |= WOKEN;
            }
            match self.word.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) if wakes => return queue.waiters.front().and_then(|front| front.waker.take()),
                Ok(_) => return None,
                Err(now) => word = now,
            }
        }
    }
}

fn wake(waker: Option<StoredWaker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
