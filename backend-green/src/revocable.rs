//! The cell in which a worker lies while a thread carries it, so that it can be taken from a thread that is
//! stuck.
//!
//! The carrier reaches its worker here many times in each poll, and pays no more for that than for the
//! `RefCell` that this could be: two stores and a load of its own. The [watchdog](crate::watchdog) may take
//! the worker away while the carrier is in the middle of a poll and does not use it, which is what a carrier
//! does that blocks or computes for long. Neither waits for the other. Nothing here decides when a worker is
//! taken, or runs anything.
//!
//! ```text
//!              (1) revoke            (2) revoke: handed on              (4) leave
//!     PRESENT ─────────────▶ REVOKING ─────────────────────▶ REVOKED ──────────────────▶ RELEASED
//!      ▲ ▲                   │                             │                       │
//!      │ └──(3) revoke: not───┘                             │                       │
//!      └────────────────────────(5) put ◀──────────────────┴───────────────────────┘
//! ```
//!
//! (1) to (3) are the seizer's, and only one is at work at a time; (4) and (5) are the carrier's, to whom the
//!     word is
//! left once it says REVOKED. Carrier and seizer meet as in Dekker's algorithm: the carrier writes `borrows`
//! and then reads the word; the seizer writes the word and then reads `borrows`; each with its
//! [barrier](crate::asymmetric_fence) in between. So either the carrier sees REVOKING, withdraws and waits
//! for the outcome, or the seizer sees the borrow and gives up.

#[cfg(all(test, loom))]
mod model;

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::asymmetric_fence;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicU8, AtomicUsize};

/// The worker is here, or its carrier has taken it out itself.
const PRESENT: u8 = 0;
/// The same where the kernel cannot send barriers: then a carrier looks again, with a fence.
const FENCED: u8 = 4;
/// A seizer is about to take the worker.
const REVOKING: u8 = 1;
/// The worker has been taken from a carrier that is in the middle of a poll.
const REVOKED: u8 = 2;
/// That poll is over, or waits on a thread that has no worker to hold up.
const RELEASED: u8 = 3;

/// A cell for a `T` that one thread uses and others may take, as the others see it; its carrier has the
/// [`Carrier`].
pub(crate) struct Revocable<T> {
    /// The value, if it is here.
    item: UnsafeCell<Option<Box<T>>>,
    /// The number of uses that are under way, one inside the other. Written by the carrier alone.
    borrows: AtomicUsize,
    /// [`PRESENT`] or [`FENCED`], [`REVOKING`], [`REVOKED`] or [`RELEASED`]; see the [module](self)'s
    /// diagram.
    state: AtomicU8,
    /// The state in which the value is here: [`PRESENT`] or [`FENCED`].
    here: u8,
}

// SAFETY: `item` is touched by the carrier while `borrows` says so and the word has said PRESENT after that,
// by the seizer while the word says REVOKING and `borrows` has been zero after that, and by the carrier in
// `put` while the word says REVOKED or RELEASED, which nobody else changes. The header says why the first two
// exclude each other. So it passes from thread to thread as through a mutex, which asks for `T: Send`.
unsafe impl<T: Send> Sync for Revocable<T> {}

/// The carrier's end of a cell. It stays on one thread.
pub(crate) struct Carrier<T> {
    /// The cell, which the others hold on to.
    cell: Arc<Revocable<T>>,
    /// `borrows` has one writer: neither `Send` nor `Sync`.
    _here: PhantomData<*mut ()>,
}

impl<T> Carrier<T> {
    /// Makes a cell with `item` in it, for the calling thread.
    pub(crate) fn new(item: Box<T>) -> Carrier<T> {
        let here = if asymmetric_fence::is_light() { PRESENT } else { FENCED };
        let cell = Revocable {
            item: UnsafeCell::new(Some(item)),
            borrows: AtomicUsize::new(0),
            state: AtomicU8::new(here),
            here,
        };
        Carrier { cell: Arc::new(cell), _here: PhantomData }
    }

    /// Returns the cell as the others see it.
    pub(crate) fn cell(&self) -> &Arc<Revocable<T>> {
        &self.cell
    }

    /// Lends the value; `None` when it is not here any more.
    #[inline]
    pub(crate) fn lend(&self) -> Option<Guard<'_, T>> {
        let borrow = self.borrow()?;
        // SAFETY: the borrow excludes the seizer, and `take` and `put`, which ask for the only one.
        let item = unsafe { &*self.cell.item.get() }.as_deref()?;
        Some(Guard { item, _borrow: borrow })
    }

    /// Calls `f` with the value; `None` when it is not here any more.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.lend().map(|item| f(&item))
    }

    /// Returns true if the value is here.
    #[inline]
    pub(crate) fn has(&self) -> bool {
        self.with(|_| ()).is_some()
    }

    /// Takes the value out. Returns `None` when it is not here.
    ///
    /// # Panics
    /// When it is in use further down on this stack: code that waits runs where none should.
    pub(crate) fn take(&self) -> Option<Box<T>> {
        let borrow = self.borrow()?;
        assert!(borrow.outer == 0, "a worker cannot be left while it chooses what to do");
        // SAFETY: this borrow is the only one, and excludes the seizer.
        unsafe { &mut *self.cell.item.get() }.take()
    }

    /// Puts back the value that this carrier, or somebody else, has taken out.
    pub(crate) fn put(&self, item: Box<T>) {
        let cell = &*self.cell;
        // Acquire pairs with the Release in `revoke`.
        if matches!(cell.state.load(Acquire), REVOKED | RELEASED) {
            // SAFETY: nobody but the carrier changes the word from now on, and only the carrier looks here.
            unsafe { *cell.item.get() = Some(item) };
            // (5) Release pairs with the exchange and the barrier after it in `revoke`.
            return cell.state.store(cell.here, Release);
        }
        if let Some(borrow) = self.borrow()
            && borrow.outer == 0
        {
            // SAFETY: as in `take`.
            unsafe { *cell.item.get() = Some(item) };
        }
    }

    /// Says that the poll from which the value was taken is over, or that its thread keeps nobody waiting any
    /// more.
    pub(crate) fn leave(&self) {
        if self.cell.state.load(Relaxed) == REVOKED {
            // (4) Release pairs with the Acquire in `is_released`.
            self.cell.state.store(RELEASED, Release);
        }
    }

    /// Begins a use. Returns `None` when the value has been taken away.
    #[inline]
    fn borrow(&self) -> Option<Borrow<'_, T>> {
        let cell = &*self.cell;
        let outer = cell.borrows.load(Relaxed);
        cell.borrows.store(outer + 1, Relaxed);
        // Inside of another use the seizer has been excluded already.
        if outer == 0 {
            asymmetric_fence::light();
            // Acquire pairs with the Release in `revoke`, which may have put the item back.
            if cell.state.load(Acquire) != PRESENT && !self.look_again() {
                return None;
            }
        }
        Some(Borrow { cell, outer })
    }

    /// Looks again, because somebody takes, or has taken, what this carrier wants to use, or may do so
    /// without its knowledge. Returns whether the use may begin.
    #[cold]
    fn look_again(&self) -> bool {
        let cell = &*self.cell;
        loop {
            // Release pairs with the Acquire in `revoke`, though nothing has been touched.
            cell.borrows.store(0, Release);
            match cell.state.load(Relaxed) {
                PRESENT | FENCED => {
                    cell.borrows.store(1, Relaxed);
                    asymmetric_fence::full();
                    // Acquire as in `borrow`.
                    if cell.state.load(Acquire) == cell.here {
                        return true;
                    }
                }
                // The seizer is quick: it starts a thread, at most.
                REVOKING => crate::sync::yield_now(),
                _ => return false,
            }
        }
    }
}

/// The value of a cell, in use.
pub(crate) struct Guard<'a, T> {
    /// The value that is lent.
    item: &'a T,
    /// Keeps the value in the cell.
    _borrow: Borrow<'a, T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.item
    }
}

/// A use of the value of a cell.
struct Borrow<'a, T> {
    /// The cell whose value is in use.
    cell: &'a Revocable<T>,
    /// The number of uses that are under way around this one.
    outer: usize,
}

impl<T> Drop for Borrow<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release pairs with the Acquire in `revoke`.
        self.cell.borrows.store(self.outer, Release);
    }
}

impl<T> Revocable<T> {
    /// Takes the value from a carrier that does not use it at this moment, and gives it to `hand_on`, which
    /// may give it back: then it stays. `still` is asked when the carrier cannot use it any more, and
    /// whatever the carrier wrote before its last use is visible to it; false leaves everything as it was.
    /// Returns whether it was handed on.
    pub(crate) fn revoke(
        &self,
        still: impl FnOnce() -> bool,
        hand_on: impl FnOnce(Box<T>) -> Option<Box<T>>,
    ) -> bool {
        // (1) Relaxed: the barrier below orders it, and acquires what `put` has released.
        if self.state.compare_exchange(self.here, REVOKING, Relaxed, Relaxed).is_err() {
            return false;
        }
        /// Settles the outcome, however this ends.
        struct Settle<'a>(&'a AtomicU8, u8);
        impl Drop for Settle<'_> {
            fn drop(&mut self) {
                // (2), (3) Release pairs with the Acquire in `borrow`, `put` and `is_released`.
                self.0.store(self.1, Release);
            }
        }
        let mut settle = Settle(&self.state, self.here);
        // Acquire pairs with the Release of the last borrow.
        if !asymmetric_fence::heavy() || self.borrows.load(Acquire) != 0 || !still() {
            return false;
        }
        // SAFETY: no use was under way after the barrier, and one that begins later sees the word and
        // withdraws.
        let item = unsafe { &mut *self.item.get() };
        let Some(taken) = item.take() else { return false };
        settle.1 = REVOKED;
        match hand_on(taken) {
            None => true,
            Some(back) => {
                *item = Some(back);
                settle.1 = self.here;
                false
            }
        }
    }

    /// Returns true if the poll from which the value was taken holds nobody up any more.
    pub(crate) fn is_released(&self) -> bool {
        // Acquire pairs with the Release in `leave` and `put`.
        matches!(self.state.load(Acquire), RELEASED | PRESENT | FENCED)
    }
}
