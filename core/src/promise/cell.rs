//! The place where a promise and its resolver meet: one allocation with the outcome, and those who wait for it.
//!
//! Promises and resolvers are the only callers. Looking at a promise that is kept, and keeping one that nobody waits
//! for, take no lock; those who wait stand in a line under a mutex, and the first of them needs no further
//! allocation. No waker and no value of the user's is run, cloned or dropped under the mutex.
//!
//! ```text
//! word:  [36..: resolvers] [8..36: promises] [2: WAITING] [1: READY] [0: CLAIMED]
//!
//!   0 ──(1) claim──▶ CLAIMED ──(2) publish──▶ CLAIMED, READY ──(4) take──▶ the outcome is gone with the last promise
//!   │                   │                           ▲
//!   └──(3) enlist───────┴──▶ ..., WAITING ──────────┘ (2) under the lock
//!
//! (1) claim    the first who has an outcome; only that one writes it, before (2). The only resolver that there is needs
//!              no mark for that: nobody else has the means. It sets CLAIMED with (2).
//! (2) publish  the same one. Nobody waits: one exchange. Else under the lock, by which the line is emptied, too. The
//!              resolver that is used up is counted out on the way.
//! (3) enlist   one who waits, under the lock: sets WAITING, and if READY is not there yet, stands in line.
//! (4) take     the only promise that is left, once READY: nobody else can look at the outcome any more.
//! ```
//!
//! WAITING and READY are set in the same word. If (3) comes first, the exchange of (2) sees it, and takes the lock
//! after the entry is in line; if (2) comes first, (3) sees READY. So no wake-up is lost, and nobody stands in the
//! line of a promise that is kept.
//!
//! The counts are those of the handles, by kind: the last resolver to go breaks the promise, and the only promise may
//! move the value out.

#[cfg(all(test, loom))]
mod model;

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::lazy::Lazy;
use super::line::{Line, Ticket};
use crate::base::sync::atomic::AtomicU64;
use crate::base::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::base::sync::cell::UnsafeCell;
use crate::base::sync::{Mutex, lock};
use crate::base::wake::StoredWaker;
use crate::kernel::strand::with_state;
use crate::kernel::task;
use crate::kernel::task::owner::{Orphan, Owner};
use crate::kernel::task::wait_graph::Probe;
use crate::kernel::task::{Cycle, Failure};

/// Who sets it writes the outcome.
const CLAIMED: u64 = 1;
/// The outcome is there, and never changes.
const READY: u64 = 1 << 1;
/// Somebody may stand in line.
const WAITING: u64 = 1 << 2;
/// One promise.
const PROMISE: u64 = 1 << 8;
/// One resolver.
const RESOLVER: u64 = 1 << 36;
/// How many promises, or resolvers, there may be: half of what the word has room for, as in `std::sync::Arc`, for a
/// count that runs over would be unsound. That many can only be had by forgetting them.
const MOST: u64 = 1 << 27;

fn promises(word: u64) -> u64 {
    (word & (RESOLVER - 1)) / PROMISE
}

fn resolvers(word: u64) -> u64 {
    word / RESOLVER
}

/// How a promise came out.
pub(super) type Outcome<T> = Result<T, Failure>;

/// Forgets what a cell is to hold.
type AsOrphan<T> = fn(Arc<Cell<T>>) -> Arc<dyn Orphan>;

/// See the [module](self).
pub(super) struct Cell<T> {
    /// See the diagram above.
    word: AtomicU64,
    /// Written once, between CLAIMED and READY; taken out, at most once, by the only promise that is left.
    outcome: UnsafeCell<Option<Outcome<T>>>,
    /// Who waits, and who owes.
    line: Mutex<Line>,
    /// How a derived promise comes by its outcome.
    lazy: Option<Box<Lazy<T>>>,
    /// What makes this cell one for an owner to keep: of a promise that one owes who may end with the resolver in hand.
    as_orphan: Option<AsOrphan<T>>,
}

// SAFETY: the one thing in a cell that is not Sync by itself is the outcome. It is written by one thread and may be
// taken out by another, for which T: Send is enough: the accesses are ordered by the word, see `resolve` and
// `Handle`. It is looked at by shared reference through `Handle::get` only, and what makes that public demands T:
// Sync (see `Promise`).
unsafe impl<T: Send> Sync for Cell<T> {}

impl<T> Cell<T> {
    /// A cell with one promise and one resolver.
    pub(super) fn pair(owner: Option<Owner>) -> (Handle<T>, Pen<T>) {
        let cell = Arc::new(Cell::new(PROMISE + RESOLVER, None, owner, None));
        (Handle(Arc::clone(&cell)), Pen::new(cell))
    }

    /// As [`Cell::pair`], for an owner that may end with the resolver in hand: see [`Orphan`].
    pub(super) fn owed(owner: Owner) -> (Handle<T>, Pen<T>)
    where
        T: Send + 'static,
    {
        let cell = Arc::new(Cell {
            as_orphan: Some(|cell| cell),
            ..Cell::new(PROMISE + RESOLVER, None, Some(owner), None)
        });
        (Handle(Arc::clone(&cell)), Pen::new(cell))
    }

    /// A promise that has come out already.
    pub(super) fn kept(outcome: Outcome<T>) -> Handle<T> {
        Handle(Arc::new(Cell::new(PROMISE + CLAIMED + READY, Some(outcome), None, None)))
    }

    /// A promise that comes out as what `lazy` makes of the cell.
    pub(super) fn derived(owner: Owner, lazy: impl FnOnce(&Weak<Cell<T>>) -> Lazy<T>) -> Handle<T> {
        Handle(Arc::new_cyclic(|cell| Cell::new(PROMISE, None, Some(owner), Some(Box::new(lazy(cell))))))
    }

    fn new(
        word: u64,
        outcome: Option<Outcome<T>>,
        owner: Option<Owner>,
        lazy: Option<Box<Lazy<T>>>,
    ) -> Cell<T> {
        Cell {
            word: AtomicU64::new(word),
            outcome: UnsafeCell::new(outcome),
            line: Mutex::new(Line::new(owner)),
            lazy,
            as_orphan: None,
        }
    }

    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        // Acquire pairs with Release in `publish`: who sees READY sees the outcome.
        self.word.load(Acquire) & READY != 0
    }

    /// Makes `outcome` the one that counts, and wakes all who wait; hands it back if another one counts already.
    pub(super) fn resolve(&self, outcome: Outcome<T>) -> Result<(), Outcome<T>> {
        // Relaxed: what is written after this is published by READY.
        if self.word.fetch_or(CLAIMED, Relaxed) & CLAIMED != 0 {
            return Err(outcome);
        }
        self.publish(outcome, READY);
        Ok(())
    }

    /// Writes the outcome, adds `change` to the word, which READY is part of, and wakes those in line. By whoever has
    /// the claim.
    #[inline]
    fn publish(&self, outcome: Outcome<T>, change: u64) {
        // SAFETY: whoever has the claim is the only one who ever has it, so nobody else writes; and nobody reads before
        // READY, which is set below.
        self.outcome.with_mut(|place| unsafe { *place = Some(outcome) });
        let mut word = self.word.load(Relaxed);
        while word & WAITING == 0 {
            // Release pairs with the Acquire of all who look for READY. No Acquire on failure: the lock orders the
            // rest.
            match self.word.compare_exchange_weak(word, word.wrapping_add(change), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.publish_in_line(change);
    }

    /// As [`Cell::publish`], when somebody may wait.
    fn publish_in_line(&self, change: u64) {
        let mut line = lock(&self.line);
        let left = line.leave_all();
        // After the edges of those who wait have gone: nobody can know of the outcome while they are there.
        self.word.fetch_add(change, Release);
        drop(line);
        left.wake();
    }

    /// Whether the outcome is there, or may not be waited for; else the task of `cx` will be woken when it is.
    /// `ticket` is the caller's place in line: whoever drops it before that calls [`Cell::leave`]. `shared`: others may
    /// wait, or come to wait, for the same outcome.
    pub(super) fn poll_ready(
        self: &Arc<Self>,
        ticket: &mut Ticket,
        shared: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        if !self.is_ready() {
            let task = with_state(|state| state.stopped_task(cx.waker()).cloned());
            if let Err(cycle) = self.enter(ticket, cx.waker(), task) {
                self.leave(ticket);
                return Poll::Ready(Err(Failure::Deadlock(cycle)));
            }
            self.drive_or_leave(shared, cx.waker());
            if !self.is_ready() {
                return Poll::Pending;
            }
        }
        ticket.clear();
        Poll::Ready(Ok(()))
    }

    /// Stands in line with `waker`, unless the outcome is there; `task` is the one that is stopped by that.
    fn enter(
        &self,
        ticket: &mut Ticket,
        waker: &Waker,
        task: Option<Arc<task::Shared>>,
    ) -> Result<(), Cycle> {
        if ticket.is_in_line() && lock(&self.line).is_waiting(ticket, waker, task.as_ref()) {
            return Ok(());
        }
        // Cloned before the lock is taken, and the old one is dropped after it: both run code of the waker's.
        let waker = StoredWaker::of(waker);
        let mut line = lock(&self.line);
        // AcqRel: pairs with Release in `publish`.
        if self.word.fetch_or(WAITING, AcqRel) & READY != 0 {
            drop(line);
            return Ok(());
        }
        let (before, new_edge) = line.enter(ticket, waker, task);
        drop(line);
        drop(before);
        new_edge.and_then(|edge| edge.refuse()).map_or(Ok(()), Err)
    }

    /// How a derived promise comes by its outcome.
    #[inline]
    pub(super) fn lazy(&self) -> Option<&Lazy<T>> {
        self.lazy.as_deref()
    }

    /// There is a reason for a derived promise to go on.
    pub(super) fn ring(&self) {
        if let Some(lazy) = &self.lazy {
            lazy.ring();
        }
        self.wake_line();
    }

    /// Wakes all who stand in line, so that one of them goes on with a derived promise. They will be back.
    pub(super) fn wake_line(&self) {
        let left = lock(&self.line).leave_all();
        left.wake();
    }

    /// Who owes the value, if it is known, until there is one.
    pub(super) fn owner(&self) -> Option<Owner> {
        if self.is_ready() { None } else { lock(&self.line).owner() }
    }

    /// Another promise is derived from this one.
    pub(super) fn derive(&self) {
        lock(&self.line).derive();
    }

    /// Says who owes the value. If somebody waits for it for whom that owner waits, the promise fails.
    pub(super) fn set_owner(&self, owner: Option<Owner>) {
        let mut line = lock(&self.line);
        let (before, left, new_edges) = line.set_owner(owner);
        drop(line);
        drop((before, left));
        if let Some(cycle) = new_edges.iter().find_map(Probe::refuse) {
            // It may have come out meanwhile, from another resolver.
            let _ = self.resolve(Err(Failure::Deadlock(cycle)));
        }
    }

    /// Gives the place in line up.
    pub(super) fn leave(&self, ticket: &mut Ticket) {
        if ticket.is_in_line() {
            let before = lock(&self.line).leave(ticket);
            drop(before);
        }
    }
}

/// One of the promises of a cell, as the cell counts them. Its existence proves that the outcome, once there, stays.
pub(super) struct Handle<T>(Arc<Cell<T>>);

impl<T> Handle<T> {
    #[inline]
    pub(super) fn cell(&self) -> &Arc<Cell<T>> {
        &self.0
    }

    /// Whether the outcome is there, by now: a derived promise goes on if it can.
    pub(super) fn look(&self) -> bool {
        if !self.0.is_ready() {
            // What is there is not to be denied because the budget has been spent.
            self.0.drive(true, None);
        }
        self.0.is_ready()
    }

    /// Whether there are other promises.
    pub(super) fn is_shared(&self) -> bool {
        promises(self.0.word.load(Relaxed)) != 1
    }

    /// The outcome, once it is there.
    #[inline]
    pub(super) fn get(&self) -> Option<&Outcome<T>> {
        if !self.0.is_ready() {
            return None;
        }
        // SAFETY: after READY, which `is_ready` has seen with Acquire, nobody writes but `take`, which owns the only
        // promise. This is a promise, and it is borrowed for as long as the reference lives.
        self.0.outcome.with(|place| unsafe { (*place).as_ref() })
    }

    /// Moves the outcome out, if it is there and this is the only promise.
    pub(super) fn take(self) -> Result<Outcome<T>, Handle<T>> {
        // Acquire pairs with Release in `publish`, and with Release in the drop of the other promises: what was done
        // through them is over.
        let word = self.0.word.load(Acquire);
        if word & READY == 0 || promises(word) != 1 {
            return Err(self);
        }
        // SAFETY: READY, so nobody else writes. This is the only promise and it is ours, so nobody reads, and nobody
        // can make another one while this runs.
        let outcome = self.0.outcome.with_mut(|place| unsafe { (*place).take() });
        outcome.ok_or(self)
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Handle<T> {
        // Relaxed: a new promise is made of one that is there.
        let before = self.0.word.fetch_add(PROMISE, Relaxed);
        if promises(before) >= MOST {
            std::process::abort();
        }
        Handle(Arc::clone(&self.0))
    }
}

impl<T> Drop for Handle<T> {
    #[inline]
    fn drop(&mut self) {
        let word = self.0.word.load(Relaxed);
        if promises(word) == 1 && resolvers(word) == 0 {
            // Nobody is left who could ask how many there are.
            return;
        }
        // Release pairs with Acquire in `take`: what was read through this promise has been read.
        self.0.word.fetch_sub(PROMISE, Release);
    }
}

/// One of the resolvers of a cell, as the cell counts them. The last one breaks the promise when it is dropped.
pub(super) struct Pen<T>(
    /// The cell, until this has been used up.
    Option<Arc<Cell<T>>>,
);

impl<T> Pen<T> {
    fn new(cell: Arc<Cell<T>>) -> Pen<T> {
        Pen(Some(cell))
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
        // Acquire pairs with the drop of the other resolvers: what was done through them is over.
        let word = cell.word.load(Acquire);
        let change = if resolvers(word) == 1 && word & CLAIMED == 0 {
            // This is the only one and is ours: nobody else can claim, nor make another one.
            CLAIMED + READY
        } else if cell.word.fetch_or(CLAIMED, Relaxed) & CLAIMED == 0 {
            // Relaxed, as in `Cell::resolve`.
            READY
        } else {
            return Err(outcome);
        };
        if let Some(cell) = self.0.take() {
            // It is counted out with what is published.
            cell.publish(outcome, change.wrapping_sub(RESOLVER));
        }
        Ok(())
    }

    /// Whether any promise is left, so that somebody may still want the value.
    pub(super) fn is_wanted(&self) -> bool {
        promises(self.cell().word.load(Relaxed)) != 0
    }

    /// Whether the outcome is certain, or about to be.
    pub(super) fn is_claimed(&self) -> bool {
        self.cell().word.load(Relaxed) & CLAIMED != 0
    }
}

impl<T> Clone for Pen<T> {
    fn clone(&self) -> Pen<T> {
        // Relaxed, as in `Handle::clone`.
        let before = self.cell().word.fetch_add(RESOLVER, Relaxed);
        if resolvers(before) >= MOST {
            std::process::abort();
        }
        Pen::new(Arc::clone(self.cell()))
    }
}

impl<T: Send> Orphan for Cell<T> {
    fn fail(&self, failure: Failure) {
        // Nobody is left who could have been faster.
        let _ = self.resolve(Err(failure));
    }
}

impl<T> Drop for Pen<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(cell) = self.0.take() {
            drop_pen(cell);
        }
    }
}

/// A resolver is dropped that has not been used up.
fn drop_pen<T>(cell: Arc<Cell<T>>) {
    // AcqRel: the last one sees what the others have done, and `Pen::resolve` what was done through this.
    let before = cell.word.fetch_sub(RESOLVER, AcqRel);
    if resolvers(before) != 1 || before & CLAIMED != 0 {
        return;
    }
    let owner = lock(&cell.line).owner();
    let cause = owner.as_ref().and_then(Owner::cause);
    if let (Some(owner), None, Some(as_orphan)) = (owner, &cause, cell.as_orphan)
        && owner.keep(as_orphan(Arc::clone(&cell)))
    {
        return;
    }
    // Nobody is left who could have been faster.
    let _ = cell.resolve(Err(cause.unwrap_or(Failure::Broken)));
}
