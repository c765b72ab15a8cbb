//! Permits, and the queue of those who wait for some: what [`Semaphore`](super::Semaphore) and
//! [`RwLock`](super::RwLock) are made of.
//!
//! ```text
//! word:  [2..: permits that are free] [1: CLOSED] [0: WAITING]
//!
//! n, 0 ──(1) acquire, (2) release──▶ m, 0
//!   │ ▲
//!   │ └──────(5) grant, the last one, or (4) leave──────┐
//!   └─(3) wait──▶ m, WAITING ──(2) release, (5) grant──▶ k, WAITING
//!
//! (1) acquire  takes what is free, while nobody waits.
//! (2) release  adds to what is free. If somebody waits, it grants then.
//! (3) wait     sets WAITING under the lock of the queue, and enters the queue if there are still too few
//!              permits.
//! (4) leave    a future that is dropped takes its entry out, and grants: those behind it may want less.
//! (5) grant    under the lock of the queue: whoever is in front leaves the queue with the permits that it
//!              wants, as long as there are enough. An empty queue clears WAITING.
//! (6) close    under the lock of the queue: sets CLOSED, for good. Everybody is woken, and leaves the queue.
//! ```
//!
//! WAITING and the permits lie in one word. So whoever releases after (3) sees WAITING, and looks at the
//! queue when (3) is done with it; and whoever has released before is seen by (3).
//!
//! The queue is first come, first served. While somebody is in it, nobody else takes a permit, though there
//! may be enough for one who wants less: so who wants many is not starved by those who want few. What is
//! granted is the waiter's from then on, whether it has been polled or not; one that is dropped gives it
//! back.

#[cfg(all(test, loom))]
mod model;

use std::task::{Context, Poll, Waker, ready};

use crate::base::sync::atomic::AtomicUsize;
use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::{Mutex, MutexGuard, lock};
use crate::base::waitlist::{Key, LinkedSlab, WaitKey};
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::coop;
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// Somebody is in the queue.
const WAITING: usize = 1;
/// Nobody gets a permit any more.
const CLOSED: usize = 1 << 1;
/// The unit in which the word counts permits.
const ONE: usize = 1 << 2;

/// The most permits that there can be: what the word has room for.
pub(super) const MAX: usize = usize::MAX / ONE;

/// The permits will never be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Closed;

/// Permits, and those who wait for some.
pub(super) struct Permits {
    /// The word of the diagram above.
    word: AtomicUsize,
    queue: Mutex<LinkedSlab<Waiter>>,
}

/// A future that waits for permits. A key without an entry means that it has been granted them.
struct Waiter {
    /// The number of permits that it wants.
    wants: usize,
    /// None once the permits have been closed.
    waker: Option<StoredWaker>,
}

impl Permits {
    /// Makes `count` permits, [`MAX`] at most.
    #[cfg(not(loom))]
    pub(super) const fn new(count: usize) -> Permits {
        Permits { word: AtomicUsize::new(count * ONE), queue: Mutex::new(LinkedSlab::new()) }
    }

    #[cfg(all(test, loom))]
    fn new(count: usize) -> Permits {
        Permits { word: AtomicUsize::new(count * ONE), queue: Mutex::new(LinkedSlab::new()) }
    }

    /// Returns the number of permits that are free.
    pub(super) fn free(&self) -> usize {
        self.word.load(Relaxed) / ONE
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire pairs with Release in `close`.
        self.word.load(Acquire) & CLOSED != 0
    }

    /// Takes `count` permits if there are as many and nobody waits. `None` says that there are not.
    #[inline]
    pub(super) fn try_acquire(&self, count: usize) -> Option<Result<(), Closed>> {
        let mut word = self.word.load(Relaxed);
        loop {
            if word & (WAITING | CLOSED) != 0 || word / ONE < count {
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
        let acquired = match wait_key.get() {
            None => match self.try_acquire(count) {
                Some(acquired) => acquired,
                None => ready!(self.note(self.enter(wait_key, count, cx.waker()))),
            },
            Some(key) => ready!(self.note(self.come_back(wait_key, key, cx.waker()))),
        };
        unit.spend();
        Poll::Ready(acquired)
    }

    fn note<R>(&self, polled: Poll<R>) -> Poll<R> {
        waiting::note(polled, || WaitingFor::Lock { lock: address_of(self) })
    }

    /// Makes step 3 of the diagram.
    fn enter(&self, wait_key: &mut WaitKey, wants: usize, waker: &Waker) -> Poll<Result<(), Closed>> {
        // Cloned before the lock is taken, and dropped, as the older local, after it: both run code of the
        // waker's.
        let waker = StoredWaker::of(waker);
        let mut queue = lock(&self.queue);
        // Acquire pairs with Release in `release`.
        let word = self.word.fetch_or(WAITING, Acquire);
        if word & CLOSED != 0 {
            self.clear_if_empty(&queue);
            return Poll::Ready(Err(Closed));
        }
        if queue.is_empty() && word / ONE >= wants {
            // Relaxed: permits only become more while the lock of the queue is held and WAITING is set.
            self.word.fetch_sub(wants * ONE, Relaxed);
            self.clear_if_empty(&queue);
            return Poll::Ready(Ok(()));
        }
        wait_key.set(queue.push_back(Waiter { wants, waker: Some(waker) }));
        Poll::Pending
    }

    /// Polls one that waits, with the key `key`.
    fn come_back(&self, wait_key: &mut WaitKey, key: Key, waker: &Waker) -> Poll<Result<(), Closed>> {
        let mut spare = None;
        loop {
            let mut queue = lock(&self.queue);
            let Some(waiter) = queue.find(key) else {
                wait_key.take();
                return Poll::Ready(Ok(()));
            };
            let Some(own) = &mut waiter.waker else {
                wait_key.take();
                let left = queue.remove(key);
                self.clear_if_empty(&queue);
                drop(queue);
                drop(left);
                return Poll::Ready(Err(Closed));
            };
            if own.will_wake(waker) {
                return Poll::Pending;
            }
            if let Some(spare) = &mut spare {
                std::mem::swap(own, spare);
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
        let mut queue = lock(&self.queue);
        let left = queue.remove(key);
        if left.is_none() {
            drop(queue);
            self.release(count);
            return;
        }
        self.grant(queue);
        drop(left);
    }

    /// Gives permits back, which the caller has. Beyond [`MAX`] they are lost.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        let mut word = self.word.load(Relaxed);
        loop {
            let more = count.min(MAX - word / ONE);
            // Release pairs with Acquire in `try_acquire`, `enter` and `grant`.
            match self.word.compare_exchange_weak(word, word + more * ONE, Release, Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if word & WAITING != 0 {
            self.grant(lock(&self.queue));
        }
    }

    /// Makes step 5: wakes those who have been granted what they want.
    #[cold]
    fn grant(&self, mut queue: MutexGuard<'_, LinkedSlab<Waiter>>) {
        let (mut first, mut more) = (None, Vec::new());
        while let Some(wants) = queue.front().map(|waiter| waiter.wants) {
            // Acquire pairs with Release in `release`: the one that is granted sees it, too, by the lock of
            // the queue.
            let word = self.word.load(Acquire);
            if word & CLOSED != 0 || word / ONE < wants {
                break;
            }
            // Relaxed, as in `enter`.
            self.word.fetch_sub(wants * ONE, Relaxed);
            let granted = queue.pop_front().and_then(|waiter| waiter.waker);
            match first {
                None => first = granted,
                Some(_) => more.extend(granted),
            }
        }
        self.clear_if_empty(&queue);
        drop(queue);
        wake_all(first.into_iter().chain(more));
    }

    /// Clears WAITING if nobody waits. The caller holds the lock of the queue.
    fn clear_if_empty(&self, queue: &LinkedSlab<Waiter>) {
        if queue.is_empty() {
            // Relaxed: whoever enters the queue sets it again, under the same lock.
            self.word.fetch_and(!WAITING, Relaxed);
        }
    }

    /// Takes up to `count` permits that are free, for good. Returns how many. Those who wait are not asked.
    pub(super) fn forget(&self, count: usize) -> usize {
        let queue = lock(&self.queue);
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
        let mut queue = lock(&self.queue);
        // Release pairs with Acquire in `is_closed`.
        self.word.fetch_or(CLOSED, Release);
        let mut wakers = Vec::new();
        queue.for_each(|waiter| wakers.extend(waiter.waker.take()));
        drop(queue);
        wake_all(wakers);
    }
}
