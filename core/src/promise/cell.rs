//! The cell in which a promise and its resolver meet: one allocation with the outcome, and those who wait for
//! it.
//!
//! Promises and resolvers are the only callers. Looking at a promise that is resolved, and resolving one that
//! nobody waits for, take no lock; the waiters are in a list under a mutex, and the first of them needs no
//! further allocation. No waker and no value of the user's is run, cloned or dropped under the mutex.
//!
//! ```text
//! word:  [36..: resolvers] [8..36: promises] [2: WAITING] [1: READY] [0: CLAIMED]
//!
//!   0 ──(1) claim──▶ CLAIMED ──(2) publish──▶ CLAIMED, READY ──(4) take──▶ the outcome is gone with the last promise
//!   │                   │                           ▲
//!   └──(3) add──────────┴──▶ ..., WAITING ──────────┘ (2) under the lock
//!
//! (1) claim    resolve, the first: only the one who has claimed writes the outcome, before (2). The only resolver that
//!              there is needs no mark for that, since nobody else can claim. It sets CLAIMED with (2).
//! (2) publish  resolve, the same one. While nobody waits, by one exchange; else under the lock, where the waiters are
//!              removed, too. The resolver that is used up is subtracted by the same operation.
//! (3) add      add_waiter, under the lock: sets WAITING, and if READY is not set yet, adds a waiter.
//! (4) take     the only promise that is left, once READY: nobody else can look at the outcome any more.
//! ```
//!
//! WAITING and READY are set in the same word. If (3) comes first, the exchange of (2) sees it, and takes the
//! lock after the waiter is in the list; if (2) comes first, (3) sees READY. So no wake-up is lost, and a
//! resolved promise has no waiters.
//!
//! The counts are those of the handles, by kind: the last resolver to go breaks the promise, and the only
//! promise may move the value out.
//!
//! The word is changed by read-modify-writes only, so each change carries on the release sequences of those
//! before it: whoever sees READY with Acquire sees all that has been released by the word until then, by any
//! thread, however relaxed the operations in between. So the last resolver releases what it did, as the
//! others have done, and acquires nothing: it looks at the word itself, whose changes have one order, and at
//! what lies under locks.

#[cfg(all(test, loom))]
mod model;

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::derived::Derived;
use super::waiters::Waiters;
use crate::base::sync::atomic::AtomicU64;
use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::cell::UnsafeCell;
use crate::base::sync::{Mutex, lock};
use crate::base::waitlist::WaitKey;
use crate::base::wake::StoredWaker;
use crate::kernel::strand::with_state;
use crate::kernel::task;
use crate::kernel::task::owner::{Orphan, Owner};
use crate::kernel::task::{Cycle, Failure};

/// The flag of the claim: whoever sets it writes the outcome.
const CLAIMED: u64 = 1;
/// Set when the outcome is written. It never changes after that.
const READY: u64 = 1 << 1;
/// Set when there may be waiters.
const WAITING: u64 = 1 << 2;
/// The unit in which the word counts promises.
const PROMISE: u64 = 1 << 8;
/// The unit in which the word counts resolvers.
const RESOLVER: u64 = 1 << 36;
/// The number of promises, or of resolvers, at which the process aborts: half of what the word has room for,
/// as in `std::sync::Arc`, since a count that overflows would be unsound. That many can only be had by
/// forgetting them.
const MAX_COUNT: u64 = 1 << 27;

fn promises(word: u64) -> u64 {
    (word & (RESOLVER - 1)) / PROMISE
}

fn resolvers(word: u64) -> u64 {
    word / RESOLVER
}

/// The outcome of a promise.
pub(super) type Outcome<T> = Result<T, Failure>;

/// Turns a cell into an [`Orphan`], which does not say what type its value has.
type AsOrphan<T> = fn(Arc<Cell<T>>) -> Arc<dyn Orphan>;

/// The cell that promises and their resolver share.
pub(super) struct Cell<T> {
    /// See the diagram above.
    word: AtomicU64,
    /// Written once, between CLAIMED and READY; taken out, at most once, by the only promise that is left.
    outcome: UnsafeCell<Option<Outcome<T>>>,
    waiters: Mutex<Waiters>,
    /// The future of a derived promise; none in other promises.
    derived: Option<Box<Derived<T>>>,
    /// Set for a promise whose owner may end while it holds the resolver: the owner then keeps the cell.
    as_orphan: Option<AsOrphan<T>>,
}

// SAFETY: the one thing in a cell that is not Sync by itself is the outcome. It is written by one thread and
// may be taken out by another, for which T: Send is enough: the accesses are ordered by the word, see
// `resolve` and `PromiseInner`. It is looked at by shared reference through `PromiseInner::get` only, and
// what makes that public demands T: Sync (see `Promise`).
unsafe impl<T: Send> Sync for Cell<T> {}

impl<T> Cell<T> {
    /// Makes a cell with one promise and one resolver.
    pub(super) fn pair(owner: Option<Owner>) -> (PromiseInner<T>, ResolverInner<T>) {
        let cell = Arc::new(Cell::new(PROMISE + RESOLVER, None, owner, None));
        (PromiseInner(Arc::clone(&cell)), ResolverInner::new(cell))
    }

    /// As [`Cell::pair`], for an owner that may end while it holds the resolver: see [`Orphan`].
    pub(super) fn pair_owed_by(owner: Owner) -> (PromiseInner<T>, ResolverInner<T>)
    where
        T: Send + 'static,
    {
        let cell = Arc::new(Cell {
            as_orphan: Some(|cell| cell),
            ..Cell::new(PROMISE + RESOLVER, None, Some(owner), None)
        });
        (PromiseInner(Arc::clone(&cell)), ResolverInner::new(cell))
    }

    /// Makes a promise that has come out already.
    pub(super) fn resolved(outcome: Outcome<T>) -> PromiseInner<T> {
        PromiseInner(Arc::new(Cell::new(PROMISE + CLAIMED + READY, Some(outcome), None, None)))
    }

    /// Makes a promise that comes out as what `derived` makes of the cell.
    pub(super) fn new_derived(
        owner: Owner,
        derived: impl FnOnce(&Weak<Cell<T>>) -> Derived<T>,
    ) -> PromiseInner<T> {
        PromiseInner(Arc::new_cyclic(|cell| {
            Cell::new(PROMISE, None, Some(owner), Some(Box::new(derived(cell))))
        }))
    }

    fn new(
        word: u64,
        outcome: Option<Outcome<T>>,
        owner: Option<Owner>,
        derived: Option<Box<Derived<T>>>,
    ) -> Cell<T> {
        Cell {
            word: AtomicU64::new(word),
            outcome: UnsafeCell::new(outcome),
            waiters: Mutex::new(Waiters::new(owner)),
            derived,
            as_orphan: None,
        }
    }

    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        // Acquire pairs with Release in `publish`: who sees READY sees the outcome.
        self.word.load(Acquire) & READY != 0
    }

    /// Makes `outcome` the one that counts, and wakes all who wait; hands it back if another one counts
    /// already.
    pub(super) fn resolve(&self, outcome: Outcome<T>) -> Result<(), Outcome<T>> {
        // Relaxed: what is written after this is published by READY.
        if self.word.fetch_or(CLAIMED, Relaxed) & CLAIMED != 0 {
            return Err(outcome);
        }
        self.publish(outcome, READY);
        Ok(())
    }

    /// Writes the outcome, adds `change`, which READY is part of, to the word, and wakes the waiters. Only
    /// the one who has claimed calls it.
    #[inline]
    fn publish(&self, outcome: Outcome<T>, change: u64) {
        // SAFETY: whoever has the claim is the only one who ever has it, so nobody else writes; and nobody
        // reads before READY, which is set below.
        self.outcome.with_mut(|slot| unsafe { *slot = Some(outcome) });
        let mut word = self.word.load(Relaxed);
        while word & WAITING == 0 {
            // Release pairs with the Acquire of all who look for READY. No Acquire on failure: the lock
            // orders the rest.
            match self.word.compare_exchange_weak(word, word.wrapping_add(change), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.publish_to_waiters(change);
    }

    /// Does the rest of [`Cell::publish`] when there may be waiters.
    fn publish_to_waiters(&self, change: u64) {
        let mut waiters = lock(&self.waiters);
        let removed = waiters.remove_all();
        // After the edges of those who wait have gone: nobody can know of the outcome while they are there.
        self.word.fetch_add(change, Release);
        drop(waiters);
        removed.wake();
    }

    /// Returns `Ready` if the outcome is there, or may not be waited for; else the task of `cx` will be woken
    /// when it is. Whoever drops `wait_key` before that calls [`Cell::remove_waiter`]. `shared` says that
    /// others may wait, or come to wait, for the same outcome.
    pub(super) fn poll_ready(
        self: &Arc<Self>,
        wait_key: &mut WaitKey,
        shared: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Cycle>> {
        if !self.is_ready() {
            let task = with_state(|state| state.blocked_task(cx.waker()).cloned());
            if wait_key.is_set()
                && let Some(cycle) = self.refusal(wait_key)
            {
                self.remove_waiter(wait_key);
                return Poll::Ready(Err(cycle));
            }
            self.add_waiter(wait_key, cx.waker(), task.as_ref());
            self.drive_or_defer(shared, cx.waker());
            if !self.is_ready() {
                if let Some(task) = task {
                    with_state(|state| state.may_stop(&task, cx.waker()));
                }
                return Poll::Pending;
            }
        }
        wait_key.take();
        Poll::Ready(Ok(()))
    }

    /// Returns the circle that the wait of `wait_key` would close, if it is polled to be told of that.
    fn refusal(&self, wait_key: &WaitKey) -> Option<Cycle> {
        with_state(|state| state.take_refusal(|refused| lock(&self.waiters).is_refused(wait_key, refused)))
    }

    /// Adds a waiter with `waker`, unless the outcome is there; `task` is the one that this wait may stop.
    pub(super) fn add_waiter(&self, wait_key: &mut WaitKey, waker: &Waker, task: Option<&Arc<task::Shared>>) {
        if wait_key.is_set() && lock(&self.waiters).is_waiting(wait_key, waker, task) {
            return;
        }
        // Cloned before the lock is taken, and the old one is dropped after it: both run code of the waker's.
        let waker = StoredWaker::of(waker);
        let mut waiters = lock(&self.waiters);
        // Relaxed: who sees READY here looks again before it looks at the outcome, and who sees WAITING in
        // `publish` takes the lock, which is held here.
        if self.word.fetch_or(WAITING, Relaxed) & READY != 0 {
            drop(waiters);
            return;
        }
        let before = waiters.insert(wait_key, waker, task);
        drop(waiters);
        drop(before);
    }

    /// Returns the future of a derived promise.
    #[inline]
    pub(super) fn derived(&self) -> Option<&Derived<T>> {
        self.derived.as_deref()
    }

    /// Has the future of a derived promise polled once more, by one of the waiters.
    pub(super) fn wake_derived(&self) {
        if let Some(derived) = &self.derived {
            derived.set_woken();
        }
        self.wake_waiters();
    }

    /// Wakes and removes all waiters, so that one of them polls the future of a derived promise. They come
    /// back.
    pub(super) fn wake_waiters(&self) {
        let removed = lock(&self.waiters).remove_all();
        removed.wake();
    }

    /// Returns the one who is known to owe the value, until there is one.
    pub(super) fn owner(&self) -> Option<Owner> {
        if self.is_ready() { None } else { lock(&self.waiters).owner() }
    }

    /// Records that another promise is derived from this one.
    pub(super) fn mark_source(&self) {
        lock(&self.waiters).mark_source();
    }

    /// Makes `owner` the one who owes the value. If that closes a circle, a wait in it is refused.
    pub(super) fn set_owner(&self, owner: Option<Owner>) {
        let mut waiters = lock(&self.waiters);
        let (before, removed, suspects) = waiters.set_owner(owner);
        drop(waiters);
        drop((before, removed));
        suspects.iter().for_each(|task| task.poll_again());
    }

    /// Removes the waiter that `wait_key` is the key of.
    pub(super) fn remove_waiter(&self, wait_key: &mut WaitKey) {
        if wait_key.is_set() {
            let before = lock(&self.waiters).remove(wait_key);
            drop(before);
        }
    }
}

/// One promise, as its cell counts them. While it exists, the outcome, once there, stays.
pub(super) struct PromiseInner<T>(Arc<Cell<T>>);

impl<T> PromiseInner<T> {
    #[inline]
    pub(super) fn cell(&self) -> &Arc<Cell<T>> {
        &self.0
    }

    /// Returns true if the outcome is there. Polls the future of a derived promise before, if there is a
    /// reason to.
    pub(super) fn look(&self) -> bool {
        if !self.0.is_ready() {
            // Without the budget: a value that is there is found even when the budget has been spent.
            self.0.drive(true, None);
        }
        self.0.is_ready()
    }

    /// Returns true if there are other promises.
    pub(super) fn is_shared(&self) -> bool {
        promises(self.0.word.load(Relaxed)) != 1
    }

    /// Returns the outcome, once it is there.
    #[inline]
    pub(super) fn get(&self) -> Option<&Outcome<T>> {
        if !self.0.is_ready() {
            return None;
        }
        // SAFETY: after READY, which `is_ready` has seen with Acquire, nobody writes but `take`, which owns
        // the only promise. This is a promise, and it is borrowed for as long as the reference lives.
        self.0.outcome.with(|slot| unsafe { (*slot).as_ref() })
    }

    /// Moves the outcome out, if it is there and this is the only promise.
    pub(super) fn take(self) -> Result<Outcome<T>, PromiseInner<T>> {
        // Acquire pairs with Release in `publish`, and with Release in the drop of the other promises: what
        // was done through them is over.
        let word = self.0.word.load(Acquire);
        if word & READY == 0 || promises(word) != 1 {
            return Err(self);
        }
        // SAFETY: READY, so nobody else writes. This is the only promise and it is ours, so nobody reads, and
        // nobody can make another one while this runs.
        let outcome = self.0.outcome.with_mut(|slot| unsafe { (*slot).take() });
        outcome.ok_or(self)
    }
}

impl<T> Clone for PromiseInner<T> {
    fn clone(&self) -> PromiseInner<T> {
        // Relaxed: a new promise is made of one that is there.
        let before = self.0.word.fetch_add(PROMISE, Relaxed);
        if promises(before) >= MAX_COUNT {
            std::process::abort();
        }
        PromiseInner(Arc::clone(&self.0))
    }
}

impl<T> Drop for PromiseInner<T> {
    #[inline]
    fn drop(&mut self) {
        let word = self.0.word.load(Relaxed);
        if promises(word) == 1 && resolvers(word) == 0 {
            // Nobody else is left who could read the counts.
            return;
        }
        // Release pairs with Acquire in `take`: what was read through this promise has been read.
        self.0.word.fetch_sub(PROMISE, Release);
    }
}

/// One resolver, as its cell counts them. The last one breaks the promise when it is dropped.
pub(super) struct ResolverInner<T>(
    /// The cell; none once the resolver has been used up.
    Option<Arc<Cell<T>>>,
);

impl<T> ResolverInner<T> {
    fn new(cell: Arc<Cell<T>>) -> ResolverInner<T> {
        ResolverInner(Some(cell))
    }

    #[inline]
    pub(super) fn cell(&self) -> &Arc<Cell<T>> {
        match &self.0 {
            Some(cell) => cell,
            None => unreachable!("a resolver is used up only by value"),
        }
    }

    /// As [`Cell::resolve`]; uses the resolver up.
    pub(super) fn resolve(mut self, outcome: Outcome<T>) -> Result<(), Outcome<T>> {
        let cell = self.cell();
        // Relaxed: a claim that another resolver has made before it went is in this word.
        let word = cell.word.load(Relaxed);
        let change = if resolvers(word) == 1 && word & CLAIMED == 0 {
            // This is the only resolver, and `self` is it: nobody else can claim, nor make another one.
            CLAIMED + READY
        } else if cell.word.fetch_or(CLAIMED, Relaxed) & CLAIMED == 0 {
            // Relaxed, as in `Cell::resolve`.
            READY
        } else {
            return Err(outcome);
        };
        if let Some(cell) = self.0.take() {
            // The resolver is subtracted by the operation that publishes.
            cell.publish(outcome, change.wrapping_sub(RESOLVER));
        }
        Ok(())
    }

    /// Returns true if any promise is left, so that somebody may still want the value.
    pub(super) fn is_wanted(&self) -> bool {
        promises(self.cell().word.load(Relaxed)) != 0
    }

    /// Returns true if the outcome is there or about to be.
    pub(super) fn is_claimed(&self) -> bool {
        self.cell().word.load(Relaxed) & CLAIMED != 0
    }
}

impl<T> Clone for ResolverInner<T> {
    fn clone(&self) -> ResolverInner<T> {
        // Relaxed, as in `PromiseInner::clone`.
        let before = self.cell().word.fetch_add(RESOLVER, Relaxed);
        if resolvers(before) >= MAX_COUNT {
            std::process::abort();
        }
        ResolverInner::new(Arc::clone(self.cell()))
    }
}

impl<T: Send> Orphan for Cell<T> {
    fn fail(&self, failure: Failure) {
        // The resolve cannot fail: no resolver is left that could have been faster.
        let _ = self.resolve(Err(failure));
    }
}

impl<T> Drop for ResolverInner<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            drop_resolver(cell);
        }
    }
}

/// Drops a resolver that has not been used up.
fn drop_resolver<T>(cell: Arc<Cell<T>>) {
    // Release pairs with the Acquire of all who look for READY: they see what was done before any resolver
    // was dropped.
    let before = cell.word.fetch_sub(RESOLVER, Release);
    if resolvers(before) != 1 || before & CLAIMED != 0 {
        return;
    }
    let owner = lock(&cell.waiters).owner();
    let cause = owner.as_ref().and_then(Owner::failure);
    if let (Some(owner), None, Some(as_orphan)) = (owner, &cause, cell.as_orphan)
        && owner.keep_orphan(as_orphan(Arc::clone(&cell)))
    {
        return;
    }
    // The resolve cannot fail: no resolver is left that could have been faster.
    let _ = cell.resolve(Err(cause.unwrap_or(Failure::Broken)));
}
