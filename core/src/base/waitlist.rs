//! The library's one list of waiting wakers, first come, first served.
//!
//! Watch and broadcast channels and intervals wait in it. A future that waits keeps a [`WaitKey`]; whoever changes what it
//! waits for calls [`WaitList::notify_one`] or [`WaitList::notify_all`] *after* the change. The list knows nothing
//! of what is waited for, and it never runs a waker, clones one or drops one while it holds its lock.
//!
//! # A notification is a token
//! [`notify_one`](WaitList::notify_one) hands a token to the front waiter, and a token is never lost: it is
//! consumed by the poll that finds it, or handed back by [`WaitList::leave`] when the future is dropped before,
//! and then the caller passes it on. What a token is worth is the caller's business: a hint to look again
//! (receivers, see [`WaitList::poll_until`]) or the right to a free place (senders, see `channel::permits`).
//!
//! ```text
//! place:  absent ──(1) enlist──▶ waiting ──(2) notify──▶ notified ──(3) check/leave──▶ absent
//!            ▲                      │
//!            └──────(4) leave───────┘
//!
//! (1) enlist  the waiter: its waker enters the line, under a key that it keeps.
//! (2) notify  anyone: the entry leaves the list and its waker is woken. A key without an entry means "notified".
//! (3) check   the waiter's next poll, or leave in its drop: finds no entry, so it has the token.
//! (4) leave   the waiter: takes its entry out; nobody keeps the waker.
//! ```
//!
//! # Why a notification without waiters needs no lock
//! `waiting` counts the places in state "waiting". It is written under the lock and read without it, and two
//! fences pair as in Dekker's algorithm:
//!
//! ```text
//! waiter                                notifier
//! W1  waiting := n + 1   (enlist)       N1  make the change (push a message, set `closed`, ...)
//! W2  fence(SeqCst)      (enlist)       N2  fence(SeqCst)       (notify)
//! W3  look for the change               N3  waiting = 0?        (notify)
//! ```
//!
//! The fences have one order. If W2 comes first, N3 reads what W1 wrote and the notifier takes the lock; if N2
//! comes first, W3 sees the change of N1. So waiters look again after they enlist, always.
//!
//! The same count saves the notified waiter the lock: after its own store in W1 it can only read 0 if its entry has
//! been taken out.

mod linked_slab;

use std::task::{Context, Poll, Waker};

use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::base::sync::atomic::{AtomicUsize, fence};
use crate::base::sync::{Mutex, MutexGuard, lock};
use crate::base::wake::StoredWaker;
pub(crate) use linked_slab::{Key, LinkedSlab};

/// A future's place in the line of those that wait for the same thing.
///
/// The futures of this library make places and give them back; see [`Source`](crate::channel::Source).
#[derive(Debug, Default)]
pub struct WaitKey(Option<Key>);

impl WaitKey {
    /// Not in any line.
    pub(crate) const fn new() -> WaitKey {
        WaitKey(None)
    }

    /// Whether the future is in line, or has been notified and has not noticed.
    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// For lists other than [`WaitList`]: takes the key out, if there is one.
    pub(crate) fn take(&mut self) -> Option<Key> {
        self.0.take()
    }

    /// For lists other than [`WaitList`]: the key.
    pub(crate) fn get(&self) -> Option<Key> {
        self.0
    }

    /// For lists other than [`WaitList`]: sets the key.
    pub(crate) fn set(&mut self, key: Key) {
        self.0 = Some(key);
    }
}

/// Which end of the line a waiter joins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Those that have waited before and came too late: they have waited longest.
    Front,
    /// Those that are new.
    Back,
}

/// See the [module](self).
pub(crate) struct WaitList {
    /// How many places are waiting and not notified; written under the lock only.
    waiting: AtomicUsize,
    /// The line. An entry is the waker of one who waits and has not been notified.
    line: Mutex<LinkedSlab<StoredWaker>>,
}

impl WaitList {
    /// A list in which nobody waits.
    pub(crate) fn new() -> WaitList {
        WaitList { waiting: AtomicUsize::new(0), line: Mutex::new(LinkedSlab::new()) }
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
        let mut line = lock(&self.line);
        while let Some(waker) = line.pop_front() {
            wakers.push(waker);
        }
        // Release pairs with Acquire in `is_nobody_waiting`.
        self.waiting.store(0, Release);
        drop(line);
        crate::base::wake::wake_all(wakers);
    }

    #[inline(never)]
    fn notify_front(&self) -> bool {
        let mut line = lock(&self.line);
        let Some(waker) = line.pop_front() else { return false };
        self.add(&line, -1);
        drop(line);
        waker.wake();
        true
    }

    /// Enters `wait_key` in the line. The caller looks for the change once more before it reports `Pending`.
    pub(crate) fn enlist(&self, wait_key: &mut WaitKey, waker: &Waker, end: End) {
        debug_assert!(!wait_key.is_set());
        let waker = StoredWaker::of(waker);
        let mut line = lock(&self.line);
        let key = match end {
            End::Front => line.push_front(waker),
            End::Back => line.push_back(waker),
        };
        self.add(&line, 1);
        drop(line);
        wait_key.0 = Some(key);
        // W2 of the module's diagram; pairs with the fences in `notify_one` and `notify_all`.
        fence(SeqCst);
    }

    /// For a place that is taken: true when it has been notified; the token is the caller's then and the place is
    /// free. False when it goes on waiting, from now on with `waker`.
    pub(crate) fn check(&self, wait_key: &mut WaitKey, waker: &Waker) -> bool {
        let Some(key) = wait_key.0 else { return false };
        let mut replacement = None;
        while !self.is_nobody_waiting() {
            let mut line = lock(&self.line);
            let Some(current) = line.find(key) else { break };
            if current.will_wake(waker) {
                return false;
            }
            if let Some(replacement) = replacement {
                let old = std::mem::replace(current, replacement);
                drop(line);
                drop(old);
                return false;
            }
            drop(line);
            // Cloning runs code of the waker's, hence not under the lock.
            replacement = Some(StoredWaker::of(waker));
        }
        wait_key.0 = None;
        true
    }

    /// Gives `wait_key` up. True when it had been notified: the caller passes the token on.
    #[must_use = "a token that is not passed on is a lost wake-up"]
    pub(crate) fn leave(&self, wait_key: &mut WaitKey) -> bool {
        let Some(key) = wait_key.0.take() else { return false };
        if self.is_nobody_waiting() {
            return true;
        }
        let mut line = lock(&self.line);
        let Some(waker) = line.remove(key) else { return true };
        self.add(&line, -1);
        drop(line);
        drop(waker);
        false
    }

    /// Whether every entry has been taken out, so that whoever has a key has been notified.
    fn is_nobody_waiting(&self) -> bool {
        // Acquire pairs with Release in `add` and `notify_all`: the change that is notified of is seen.
        self.waiting.load(Acquire) == 0
    }

    /// Gives `wait_key` up, and passes its token on to the next waiter.
    pub(crate) fn withdraw(&self, wait_key: &mut WaitKey) {
        if self.leave(wait_key) {
            self.notify_one();
        }
    }

    /// Waits until `attempt` succeeds, where tokens are hints to attempt again. A waiter that is notified and
    /// comes too late goes back to the front of the line.
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

    /// Changes the number of waiters; `line` proves that the lock is held.
    fn add(&self, line: &MutexGuard<'_, LinkedSlab<StoredWaker>>, change: isize) {
        let _ = line;
        // Release pairs with Acquire in `is_nobody_waiting`.
        self.waiting.store(self.waiting.load(Relaxed).wrapping_add_signed(change), Release);
    }
}

/// For lists whose owner guards them, and what is waited for, with one lock of its own: see `channel::queue`.
impl LinkedSlab<StoredWaker> {
    /// Whether `wait_key` is taken and has not been called.
    #[inline]
    pub(crate) fn is_in_line(&mut self, wait_key: &WaitKey) -> bool {
        wait_key.0.is_some_and(|key| self.find(key).is_some())
    }

    /// Gives `wait_key` up. The waker that comes out of the line is dropped by the caller, outside of the lock.
    #[inline]
    pub(crate) fn leave(&mut self, wait_key: &mut WaitKey) -> Option<StoredWaker> {
        self.remove(wait_key.0.take()?)
    }

    /// Has `wait_key` wait with `waker`: where it is if it is in line, in front of all others if it has been called, at
    /// the end if it is new. That takes a clone of `waker` if the line has none: without a `spare` one it changes
    /// nothing and returns false. A waker that it replaces is left in `spare`, for the caller to drop.
    #[inline]
    pub(crate) fn stay(
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
