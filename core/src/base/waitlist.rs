//! The list of waiting wakers that watch and broadcast channels and intervals share: first come, first
//! served.
//!
//! A future that waits keeps a [`WaitKey`], which names its entry; whoever changes what is waited for calls
//! [`WaitList::notify_one`] or [`WaitList::notify_all`] *after* the change. The list knows nothing of what is
//! waited for, and it never runs, clones or drops a waker while it holds its lock. Structures that have a
//! lock of their own, such as `channel::queue`, keep their waiters in a bare [`LinkedSlab`] under that lock,
//! with the same keys.
//!
//! # A notification is a token
//! [`notify_one`](WaitList::notify_one) hands a token to the front waiter, and a token is never lost: it is
//! consumed by the poll that finds it, or handed back by [`WaitList::leave`] when the future is dropped
//! before, and then the caller passes it on. For the callers of [`WaitList::poll_until`] a token is a hint to
//! look again.
//!
//! ```text
//! key:    absent ──(1) enlist──▶ waiting ──(2) notify──▶ notified ──(3) check/leave──▶ absent
//!            ▲                      │
//!            └──────(4) leave───────┘
//!
//! (1) enlist  the waiter: its waker enters the list, under a key that the future keeps.
//! (2) notify  anyone: the entry leaves the list and its waker is woken. A key without an entry means "notified".
//! (3) check   the waiter's next poll, or leave in its drop: finds no entry, so it has the token.
//! (4) leave   the waiter: takes its entry out; nobody keeps the waker.
//! ```
//!
//! # Why a notification without waiters needs no lock
//! `waiting` counts the keys in state "waiting". It is written under the lock and read without it, and two
//! fences pair as in Dekker's algorithm:
//!
//! ```text
//! waiter                                notifier
//! W1  waiting := n + 1   (enlist)       N1  make the change (push a message, set `closed`, ...)
//! W2  fence(SeqCst)      (enlist)       N2  fence(SeqCst)       (notify)
//! W3  look for the change               N3  waiting = 0?        (notify)
//! ```
//!
//! The fences have one order. If W2 comes first, N3 reads what W1 wrote and the notifier takes the lock; if
//! N2 comes first, W3 sees the change of N1. So waiters look again after they enlist, always.
//!
//! The same count saves the notified waiter the lock: after its own store in W1 it can only read 0 if its
//! entry has been taken out.

mod linked_slab;

use std::task::{Context, Poll, Waker};

use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::base::sync::atomic::{AtomicUsize, fence};
use crate::base::sync::{Mutex, MutexGuard, lock};
use crate::base::wake::StoredWaker;
pub(crate) use linked_slab::{Key, LinkedSlab};

/// Names the entry of a waiting future in the list of those who wait for the same thing.
///
/// A future keeps one for each operation that may have to wait, and passes it to every poll of that
/// operation. It is unset until the operation has to wait for the first time. The futures of this library
/// make keys and release them; who implements [`Source`](crate::channel::Source) or
/// [`Sink`](crate::channel::Sink) passes them on.
#[derive(Debug, Default)]
pub struct WaitKey(Option<Key>);

impl WaitKey {
    /// Returns a key that names no entry.
    #[inline]
    pub(crate) const fn new() -> WaitKey {
        WaitKey(None)
    }

    /// Returns whether the future waits, or has been notified and has not been polled since.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Unsets the key, and returns what it named. For lists other than [`WaitList`].
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Key> {
        self.0.take()
    }

    /// Returns the entry that the key names. For lists other than [`WaitList`].
    #[inline]
    pub(crate) fn get(&self) -> Option<Key> {
        self.0
    }

    /// Makes this the key of the entry `key`. For lists other than [`WaitList`].
    #[inline]
    pub(crate) fn set(&mut self, key: Key) {
        self.0 = Some(key);
    }
}

/// The end of the list at which a waiter enters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The end for waiters that were notified and came too late: they have waited longest.
    Front,
    /// The end for new waiters.
    Back,
}

/// A list of waiting wakers; see the [module](self).
pub(crate) struct WaitList {
    /// The number of entries in `waiters`. It is written under the lock only, and read without it.
    waiting: AtomicUsize,
    /// The wakers of those who wait and have not been notified, in order.
    waiters: Mutex<LinkedSlab<StoredWaker>>,
}

impl WaitList {
    /// Returns an empty list.
    pub(crate) fn new() -> WaitList {
        WaitList { waiting: AtomicUsize::new(0), waiters: Mutex::new(LinkedSlab::new()) }
    }

    /// Gives a token to the waiter at the front and wakes it. Returns whether there was one.
    #[inline]
    pub(crate) fn notify_one(&self) -> bool {
        // N2 of the module's diagram; pairs with the fence in `enlist`.
        fence(SeqCst);
        self.waiting.load(Relaxed) != 0 && self.notify_front()
    }

    /// Gives a token to everyone who waits now and wakes them all, in order.
    pub(crate) fn notify_all(&self) {
        // N2 of the module's diagram; pairs with the fence in `enlist`.
        fence(SeqCst);
        let waiting = self.waiting.load(Relaxed);
        if waiting == 0 {
            return;
        }
        let mut wakers = Vec::with_capacity(waiting);
        // In one go: between two goes a waiter could come back to the front and take another one's token.
        let mut waiters = lock(&self.waiters);
        while let Some(waker) = waiters.pop_front() {
            wakers.push(waker);
        }
        // Release pairs with Acquire in `is_nobody_waiting`.
        self.waiting.store(0, Release);
        drop(waiters);
        crate::base::wake::wake_all(wakers);
    }

    #[inline(never)]
    fn notify_front(&self) -> bool {
        let mut waiters = lock(&self.waiters);
        let Some(waker) = waiters.pop_front() else { return false };
        self.add(&waiters, -1);
        drop(waiters);
        waker.wake();
        true
    }

    /// Enters `waker` in the list and sets `wait_key`. The caller looks for the change once more before it
    /// returns `Pending`.
    pub(crate) fn enlist(&self, wait_key: &mut WaitKey, waker: &Waker, end: End) {
        debug_assert!(!wait_key.is_set());
        let waker = StoredWaker::of(waker);
        let mut waiters = lock(&self.waiters);
        let key = match end {
            End::Front => waiters.push_front(waker),
            End::Back => waiters.push_back(waker),
        };
        self.add(&waiters, 1);
        drop(waiters);
        wait_key.0 = Some(key);
        // W2 of the module's diagram; pairs with the fences in `notify_one` and `notify_all`.
        fence(SeqCst);
    }

    /// Returns true if `wait_key`, which is set, has been notified: then the caller has the token and the key
    /// is unset. Else the entry stays, with `waker` from now on.
    pub(crate) fn check(&self, wait_key: &mut WaitKey, waker: &Waker) -> bool {
        let Some(key) = wait_key.0 else { return false };
        let mut replacement = None;
        while !self.is_nobody_waiting() {
            let mut waiters = lock(&self.waiters);
            let Some(current) = waiters.find(key) else { break };
            if current.will_wake(waker) {
                return false;
            }
            if let Some(replacement) = replacement {
                let old = std::mem::replace(current, replacement);
                drop(waiters);
                drop(old);
                return false;
            }
            drop(waiters);
            // The clone runs code of the user's, so it is made without the lock.
            replacement = Some(StoredWaker::of(waker));
        }
        wait_key.0 = None;
        true
    }

    /// Takes the entry of `wait_key` out and unsets the key. Returns true if it had been notified: then the
    /// caller passes the token on.
    #[must_use = "a token that is not passed on is a lost wake-up"]
    pub(crate) fn leave(&self, wait_key: &mut WaitKey) -> bool {
        let Some(key) = wait_key.0.take() else { return false };
        if self.is_nobody_waiting() {
            return true;
        }
        let mut waiters = lock(&self.waiters);
        let Some(waker) = waiters.remove(key) else { return true };
        self.add(&waiters, -1);
        drop(waiters);
        drop(waker);
        false
    }

    /// Returns whether the list is empty, so that every key that is set has been notified.
    fn is_nobody_waiting(&self) -> bool {
        // Acquire pairs with Release in `add` and `notify_all`: the change that is notified of is seen.
        self.waiting.load(Acquire) == 0
    }

    /// Takes the entry of `wait_key` out; if it had been notified, the token goes to the next waiter.
    pub(crate) fn withdraw(&self, wait_key: &mut WaitKey) {
        if self.leave(wait_key) {
            self.notify_one();
        }
    }

    /// Polls `attempt` until it returns a value; tokens are hints to attempt again. A waiter that is notified
    /// and comes too late goes back to the front of the list.
    ///
    /// The future that owns `wait_key` calls [`WaitList::withdraw`] in its `Drop`.
    pub(crate) fn poll_until<R>(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        let mut end = End::Back;
        if wait_key.is_set() && self.check(wait_key, cx.waker()) {
            end = End::Front;
        }
        if !wait_key.is_set() {
            if let Some(result) = attempt() {
                return Poll::Ready(result);
            }
            self.enlist(wait_key, cx.waker(), end);
        }
        match attempt() {
            Some(result) => {
                // A token that came meanwhile announces something else than what has just been taken.
                self.withdraw(wait_key);
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }

    /// Changes the number of waiters; the guard proves that the lock is held.
    fn add(&self, waiters: &MutexGuard<'_, LinkedSlab<StoredWaker>>, change: isize) {
        let _ = waiters;
        // Release pairs with Acquire in `is_nobody_waiting`.
        self.waiting.store(self.waiting.load(Relaxed).wrapping_add_signed(change), Release);
    }
}

/// Operations for lists that lie under the lock of what is waited for; see `channel::queue`.
impl LinkedSlab<StoredWaker> {
    /// Returns whether the entry of `wait_key` is still in the list: it waits and has not been notified.
    #[inline]
    pub(crate) fn is_waiting(&mut self, wait_key: &WaitKey) -> bool {
        wait_key.0.is_some_and(|key| self.find(key).is_some())
    }

    /// Takes the entry of `wait_key` out and unsets the key. The caller drops the waker without the lock.
    #[inline]
    pub(crate) fn leave(&mut self, wait_key: &mut WaitKey) -> Option<StoredWaker> {
        self.remove(wait_key.0.take()?)
    }

    /// Enters `waker` for `wait_key`: in its present entry if it has one, in front of all others if it has
    /// been notified, at the end if it is new. Unless the entry has a waker that does the same, this takes
    /// `spare`, a clone of `waker` that was made without the lock; where there is none, it changes nothing
    /// and returns false. A waker that is replaced is left in `spare`, for the caller to drop without the
    /// lock.
    #[inline]
    pub(crate) fn enter(
        &mut self,
        wait_key: &mut WaitKey,
        waker: &Waker,
        spare: &mut Option<StoredWaker>,
    ) -> bool {
        if let Some(current) = wait_key.0.and_then(|key| self.find(key)) {
            if !current.will_wake(waker) {
                let Some(spare) = spare else { return false };
                std::mem::swap(current, spare);
            }
            return true;
        }
        let Some(spare) = spare.take() else { return false };
        let key = if wait_key.is_set() { self.push_front(spare) } else { self.push_back(spare) };
        wait_key.0 = Some(key);
        true
    }
}

#[cfg(test)]
mod tests;
