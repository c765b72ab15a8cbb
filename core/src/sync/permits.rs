//! Permits, and the queue of those who wait for some: what [`Semaphore`](super::Semaphore) and
//! [`RwLock`](super::RwLock) are made of.
//!
//! ```text
//! word:  [6..: permits that are free] [5: WATCHED] [4: LARGE] [3: STRICT] [2: WOKEN] [1: CLOSED] [0: WAITING]
//!
//! n, 0 ──(1) acquire, (2) release──▶ m, 0
//!   │ ▲
//!   │ └──────(5) settle, the last one, or (4) leave─────┐
//!   └─(3) wait──▶ m, WAITING ──(2) release, (5) settle──▶ k, WAITING
//!
//! (1) acquire  takes what is free, unless that is kept for whoever is in front of the queue: everything if
//!              STRICT is set, and single permits if LARGE is.
//! (2) release  adds to what is free. If somebody waits it settles then; but not if the one in front is on
//!              its way (WOKEN) and finds no more than this.
//! (3) wait     sets WAITING under the lock of the queue, and enters the queue if there are still too few
//!              permits.
//! (4) leave    a future that is dropped takes its entry out, and settles: those behind it may want less.
//! (5) settle   under the lock of the queue: whoever is in front leaves the queue with the permits that it
//!              wants, or is woken to come and take them. Then the flags say what is known of the one in
//!              front. An empty queue clears all of them.
//! (6) close    under the lock of the queue: sets CLOSED, for good. Everybody is woken, and leaves the queue.
//! ```
//!
//! A search for a deadlock may want to know whether permits have been given back, or another one has come to
//! be in front of the queue, since it looked. Then it sets WATCHED, which has the next release settle, and
//! say so ([`Tenure`]), as does whoever leaves the queue.
//!
//! # Why no wake-up is lost
//! WAITING and the permits lie in one word. So whoever releases after (3) sees WAITING, and looks at the
//! queue when (3) is done with it; and whoever has released before is seen by (3). Each change of the queue
//! ends with (5), which leaves WOKEN clear only by an operation that has found too few permits for the one in
//! front: the next release settles. Where WOKEN is set, the one in front comes, and settles in its turn; or
//! it gives up, and settles likewise.
//!
//! # Who gets the permits
//! The queue is first come, first served. But a task that runs may take a single permit that is free before
//! the one in front of the queue comes for it, which has been woken; to hand that over instead costs a change
//! of tasks for each section, as for a [mutex](super::mutex). After it has come too late [`PATIENCE`] times,
//! it is handed over (STRICT). What leaves something over for others is handed over at once.
//!
//! A waiter for several permits could wait for ever while others take them one by one. So while one is in
//! front nobody takes a single permit, however many are free; and nobody takes any once it has seen
//! [`PATIENCE`] releases that left it too few. So a read-write lock lets no readers pass a writer that waits,
//! and a writer may pass it as one task may pass another at a mutex.
//!
//! A permit that is granted is the waiter's from then on, whether it has been polled or not; a waiter that is
//! dropped gives it back.

#[cfg(all(test, loom))]
mod model;

use std::task::{Context, Poll, Waker, ready};

use super::lock::Sight;
use crate::base::sync::atomic::AtomicUsize;
use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::{ColdMutex, MutexGuard};
use crate::base::waitlist::{Key, LinkedSlab, WaitKey};
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::coop;
use crate::kernel::task::TaskId;
use crate::kernel::task::wait_graph::Tenure;
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// Somebody is in the queue.
const WAITING: usize = 1;
/// Nobody gets a permit any more.
const CLOSED: usize = 1 << 1;
/// The one in front of the queue has been woken, and has not come yet.
const WOKEN: usize = 1 << 2;
/// The one in front gets the next permits.
const STRICT: usize = 1 << 3;
/// The one in front wants more than one permit.
const LARGE: usize = 1 << 4;
/// Somebody is to be told when permits are given back.
const WATCHED: usize = 1 << 5;
/// All flags that are about the queue.
const QUEUE: usize = WAITING | WOKEN | STRICT | LARGE;
/// The unit in which the word counts permits.
const ONE: usize = 1 << 6;

/// The number of times that a waiter may come too late, or see a release that leaves it too few permits,
/// before nobody takes any ahead of it.
const PATIENCE: u32 = 4;

/// The most permits that there can be: what the word has room for.
pub(super) const MAX: usize = usize::MAX / ONE;

/// The permits will never be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Closed;

/// Permits, and those who wait for some. The word comes last, for who has something else in its cache line.
#[repr(C)]
pub(super) struct Permits {
    queue: ColdMutex<Queue>,
    /// The word of the diagram above.
    word: AtomicUsize,
}

/// Those who wait for permits.
#[derive(Default)]
struct Queue {
    waiters: LinkedSlab<Waiter>,
    /// The time for which nobody has given permits back, and the same one has been in front of the queue,
    /// while the word says WATCHED.
    tenure: Option<Tenure>,
}

/// A future that waits for permits. A key without an entry means that it has been granted them.
struct Waiter {
    /// The number of permits that it wants.
    wants: usize,
    /// None once it has been woken, or the permits have been closed.
    waker: Option<StoredWaker>,
    /// The number of times that it has come too late, or a release has left it too few permits.
    late: u32,
    /// The task that it was last polled in, if others are to know of it.
    task: Option<TaskId>,
}

impl Waiter {
    fn is_overdue(&self) -> bool {
        self.late >= PATIENCE
    }

    /// Returns the flags that say what is known of it when it is in front.
    fn flags(&self) -> usize {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        WAITING
            | flag(self.waker.is_none(), WOKEN)
            | flag(self.is_overdue(), STRICT)
            | flag(self.wants > 1, LARGE)
    }
}

impl Permits {
    /// Makes `count` permits, [`MAX`] at most.
    #[cfg(not(loom))]
    pub(super) const fn new(count: usize) -> Permits {
        Permits { queue: ColdMutex::new(), word: AtomicUsize::new(count * ONE) }
    }

    #[cfg(all(test, loom))]
    pub(super) fn new(count: usize) -> Permits {
        Permits { queue: ColdMutex::new(), word: AtomicUsize::new(count * ONE) }
    }

    /// Returns the number of permits that are free.
    pub(super) fn free(&self) -> usize {
        self.word.load(Relaxed) / ONE
    }

    /// Looks whether `count` permits are to be had.
    pub(super) fn look(&self, count: usize) -> Sight {
        let word = self.word.load(Relaxed);
        match word & WAITING {
            0 if word / ONE >= count => Sight::Free,
            0 => Sight::Held,
            _ => Sight::Awaited,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire pairs with Release in `close`.
        self.word.load(Acquire) & CLOSED != 0
    }

    /// Takes `count` permits if there are as many and they are not kept for somebody who waits. `None` says
    /// that there are not.
    #[inline]
    pub(super) fn try_acquire(&self, count: usize) -> Option<Result<(), Closed>> {
        self.try_take(count, if count == 1 { STRICT | LARGE } else { STRICT })
    }

    /// As [`Permits::try_acquire`], for all permits that there are: `count`.
    #[inline]
    pub(super) fn try_acquire_all(&self, count: usize) -> Option<Result<(), Closed>> {
        // Acquire pairs with Release in `release`.
        match self.word.compare_exchange(count * ONE, 0, Acquire, Relaxed) {
            Ok(_) => Some(Ok(())),
            Err(_) => self.try_acquire(count),
        }
    }

    /// As [`Permits::try_acquire`], unless one of the flags in `bars` is set.
    #[inline]
    fn try_take(&self, count: usize, bars: usize) -> Option<Result<(), Closed>> {
        let mut word = self.word.load(Relaxed);
        loop {
            if word & (bars | CLOSED) != 0 || word / ONE < count {
                return if word & CLOSED != 0 { Some(Err(Closed)) } else { None };
            }
            // Acquire pairs with Release in `release`: the new holder sees what the one before has done.
            match self.word.compare_exchange_weak(word, word - count * ONE, Acquire, Relaxed) {
                Ok(_) => return Some(Ok(())),
                Err(now) => word = now,
            }
        }
    }

    /// Takes `count` permits, or has the task of `cx` woken when they have been granted. Spends a unit of the
    /// budget on it. Whoever drops `wait_key` before that calls [`Permits::stop`].
    #[inline]
    pub(super) fn poll_acquire(
        &self,
        wait_key: &mut WaitKey,
        count: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        match self.acquire_at_once(wait_key, count) {
            Some(acquired) => Poll::Ready(acquired),
            None => self.poll_in_turn(wait_key, count, cx),
        }
    }

    /// As [`Permits::poll_acquire`], if nobody is to be waited for and `wait_key` has not waited yet.
    #[inline]
    pub(super) fn acquire_at_once(&self, wait_key: &WaitKey, count: usize) -> Option<Result<(), Closed>> {
        if wait_key.is_set() { None } else { coop::complete_at_once(|_| self.try_acquire(count)) }
    }

    /// As [`Permits::poll_acquire`], where there may be too few permits.
    #[cold]
    fn poll_in_turn(
        &self,
        wait_key: &mut WaitKey,
        count: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        let unit = ready!(coop::proceed(cx));
        let polled = self.poll_queue(wait_key, count, cx.waker(), None);
        let permits = || WaitingFor::Lock { lock: address_of(self), holders: Vec::new() };
        let acquired = ready!(waiting::note(polled, permits));
        unit.spend();
        Poll::Ready(acquired)
    }

    /// As [`Permits::poll_acquire`], without asking for a unit of the budget. `task` is the one that waits,
    /// if others are to know of it.
    #[cold]
    pub(super) fn poll_queue(
        &self,
        wait_key: &mut WaitKey,
        count: usize,
        waker: &Waker,
        task: Option<TaskId>,
    ) -> Poll<Result<(), Closed>> {
        match wait_key.get() {
            None => match self.try_acquire(count) {
                Some(acquired) => Poll::Ready(acquired),
                None => self.enter(wait_key, count, waker, task),
            },
            Some(key) => self.come_back(wait_key, key, count, waker, task),
        }
    }

    /// Makes step 3 of the diagram.
    fn enter(
        &self,
        wait_key: &mut WaitKey,
        wants: usize,
        waker: &Waker,
        task: Option<TaskId>,
    ) -> Poll<Result<(), Closed>> {
        // Cloned before the lock is taken, and dropped, as the older local, after it: both run code of the
        // waker's.
        let waker = StoredWaker::of(waker);
        let mut queue = self.queue.lock();
        // Relaxed: what this sees, and what sees this, are operations on the same word.
        self.word.fetch_or(WAITING, Relaxed);
        let acquired = self.try_acquire(wants);
        if acquired.is_none() {
            wait_key.set(queue.waiters.push_back(Waiter { wants, waker: Some(waker), late: 0, task }));
        }
        self.settle(queue, false);
        acquired.map_or(Poll::Pending, Poll::Ready)
    }

    /// Polls one that waits, with the key `key`.
    fn come_back(
        &self,
        wait_key: &mut WaitKey,
        key: Key,
        count: usize,
        waker: &Waker,
        task: Option<TaskId>,
    ) -> Poll<Result<(), Closed>> {
        // Where the wait seems to go on. Cloned before the lock is taken: that runs code of the waker's.
        let mut spare = (self.free() < count).then(|| StoredWaker::of(waker));
        loop {
            let mut queue = self.queue.lock();
            let is_front = queue.waiters.first(|_| true) == Some(key);
            let Some(waiter) = queue.waiters.find(key) else {
                wait_key.take();
                return Poll::Ready(Ok(()));
            };
            // Relaxed: whoever closes the permits has the lock of the queue.
            let acquired = match self.word.load(Relaxed) & CLOSED {
                0 if is_front => self.try_take(count, 0),
                0 => None,
                _ => Some(Err(Closed)),
            };
            if let Some(acquired) = acquired {
                wait_key.take();
                let left = queue.waiters.remove(key);
                self.end_tenure(&mut queue);
                self.settle(queue, false);
                drop(left);
                return Poll::Ready(acquired);
            }
            waiter.task = task;
            if waiter.waker.as_ref().is_some_and(|own| own.will_wake(waker)) {
                return Poll::Pending;
            }
            if spare.is_some() {
                // It has been woken, and somebody else has taken what it was woken for.
                let is_late = waiter.waker.is_none();
                waiter.late += u32::from(is_late);
                std::mem::swap(&mut waiter.waker, &mut spare);
                if is_late {
                    self.settle(queue, false);
                }
                return Poll::Pending;
            }
            drop(queue);
            spare = Some(StoredWaker::of(waker));
        }
    }

    /// Ends the wait of a future that does not want its `count` permits any more. What it has been granted
    /// goes to the next ones.
    pub(super) fn stop(&self, wait_key: &mut WaitKey, count: usize) {
        let Some(key) = wait_key.take() else { return };
        let mut queue = self.queue.lock();
        let left = queue.waiters.remove(key);
        if left.is_none() {
            drop(queue);
            self.release(count);
            return;
        }
        self.end_tenure(&mut queue);
        self.settle(queue, false);
        drop(left);
    }

    /// Gives permits back, which the caller has. Beyond [`MAX`] they are lost.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        let mut word = self.word.load(Relaxed);
        loop {
            let more = count.min(MAX - word / ONE);
            // Release pairs with Acquire in `try_take` and `settle`.
            match self.word.compare_exchange_weak(word, word + more * ONE, Release, Relaxed) {
                Ok(_) => return self.settle_after_release(word),
                Err(now) => word = now,
            }
        }
    }

    /// As [`Permits::release`], where there are never more permits than there were at first.
    #[inline]
    pub(super) fn give_back(&self, count: usize) {
        // Release pairs with Acquire in `try_take` and `settle`.
        let word = self.word.fetch_add(count * ONE, Release);
        self.settle_after_release(word);
    }

    /// Has those who wait go on where that is up to a release, before which the word was `word`.
    #[inline]
    fn settle_after_release(&self, word: usize) {
        if word & (WAITING | WATCHED) != 0 {
            self.settle_where_awaited(word);
        }
    }

    /// As [`Permits::settle_after_release`], where somebody waits, or is to be told.
    #[cold]
    fn settle_where_awaited(&self, word: usize) {
        // One who is on its way, and not overdue, finds these permits by itself. With more of them there is
        // something to do for others, too.
        let comes_anyway = word & (WOKEN | STRICT | WATCHED) == WOKEN && word / ONE == 0;
        if !comes_anyway {
            let mut queue = self.queue.lock();
            self.end_tenure(&mut queue);
            self.settle(queue, true);
        }
    }

    /// Makes step 5; `is_release` says that permits have been released just before.
    #[cold]
    fn settle(&self, mut queue: MutexGuard<'_, Queue>, is_release: bool) {
        let (mut first, mut more) = (None, Vec::new());
        let mut word = self.word.load(Relaxed);
        loop {
            let free = word / ONE;
            let (next, grants) = match queue.waiters.front() {
                None => (word & !QUEUE, None),
                // Everybody has been woken, and leaves.
                Some(_) if word & CLOSED != 0 => (word, None),
                Some(front) if free < front.wants => (word & !QUEUE | front.flags(), None),
                Some(front) if free > front.wants || front.is_overdue() => {
                    (word - front.wants * ONE, Some(true))
                }
                Some(front) => (word & !QUEUE | front.flags() | WOKEN, Some(false)),
            };
            // Acquire pairs with Release in `release`: the one that is granted permits sees it, too, by the
            // lock of the queue.
            if let Err(now) = self.word.compare_exchange_weak(word, next, Acquire, Relaxed) {
                word = now;
                continue;
            }
            let woken = match grants {
                Some(true) => queue.waiters.pop_front().and_then(|waiter| waiter.waker),
                Some(false) => queue.waiters.front().and_then(|waiter| waiter.waker.take()),
                None => None,
            };
            match first {
                None => first = woken,
                Some(_) => more.extend(woken),
            }
            if grants != Some(true) {
                if let (None, true, Some(front)) = (grants, is_release, queue.waiters.front()) {
                    front.late += 1;
                }
                break;
            }
            word = next;
        }
        drop(queue);
        wake_all(first.into_iter().chain(more));
    }

    /// Says that permits have been given back, or another one may have come to be in front of the queue.
    fn end_tenure(&self, queue: &mut Queue) {
        if let Some(tenure) = queue.tenure.take() {
            // Relaxed: the flag is looked at under the lock of the queue, but for a hint.
            self.word.fetch_and(!WATCHED, Relaxed);
            tenure.end();
        }
    }

    /// Returns the time for which nobody gives permits back, and the same one is in front of the queue, from
    /// now on.
    pub(super) fn tenure(&self) -> Tenure {
        let mut queue = self.queue.lock();
        // Acquire pairs with Release in `release`: who had permits before is seen not to have them.
        self.word.fetch_or(WATCHED, Acquire);
        queue.tenure.get_or_insert_with(Tenure::new).clone()
    }

    /// Returns the task of the wait that is in front of the one with this key, and of all others.
    pub(super) fn front_before(&self, wait_key: &WaitKey) -> Option<TaskId> {
        let mut queue = self.queue.lock();
        let front = queue.waiters.first(|_| true);
        if front == wait_key.get() { None } else { queue.waiters.front()?.task }
    }

    /// Takes up to `count` permits that are free, for good. Returns how many. Those who wait are not asked.
    pub(super) fn forget(&self, count: usize) -> usize {
        let queue = self.queue.lock();
        let mut word = self.word.load(Relaxed);
        let forgotten = loop {
            let forgotten = count.min(word / ONE);
            match self.word.compare_exchange_weak(word, word - forgotten * ONE, Acquire, Relaxed) {
                Ok(_) => break forgotten,
                Err(now) => word = now,
            }
        };
        drop(queue);
        forgotten
    }

    /// Makes step 6. Permits that have been granted stay so.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        // Release pairs with Acquire in `is_closed`.
        self.word.fetch_or(CLOSED, Release);
        let mut wakers = Vec::new();
        queue.waiters.for_each(|waiter| wakers.extend(waiter.waker.take()));
        drop(queue);
        wake_all(wakers);
    }
}
