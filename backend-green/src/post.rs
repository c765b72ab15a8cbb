//! Where a worker lies while a thread carries it, so that it can be taken from a thread that is stuck.
//!
//! The carrier reaches its worker here many times in each poll, and pays no more for that than for the `RefCell` that
//! this could be: two stores and a load of its own. The [watchdog](crate::watchdog) may take the worker away
//! while the carrier is in the middle of a poll and does not use it, which is what a carrier does that blocks or computes
//! for long. Neither waits for the other. Nothing here decides when a worker is taken, or runs anything.
//!
//! ```text
//!              (1) seize            (2) seize: handed on              (4) leave
//!     HERE ─────────────▶ SEIZING ─────────────────────▶ GONE ──────────────────▶ LEFT
//!      ▲ ▲                   │                             │                       │
//!      │ └──(3) seize: not───┘                             │                       │
//!      └────────────────────────(5) put ◀──────────────────┴───────────────────────┘
//! ```
//!
//! (1) to (3) are the seizer's, and only one is at work at a time; (4) and (5) are the carrier's, to whom the word is
//! left once it says GONE. Carrier and seizer meet as in Dekker's algorithm: the carrier writes `borrows` and then
//! reads the word; the seizer writes the word and then reads `borrows`; each with its [barrier](crate::barrier) in
//! between. So either the carrier sees SEIZING, withdraws and waits for the outcome, or the seizer sees the borrow
//! and gives up.

#[cfg(all(test, loom))]
mod model;

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::barrier;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicU8, AtomicUsize};

/// The worker is here, or its carrier has taken it out itself.
const HERE: u8 = 0;
/// The same, where the kernel cannot send barriers: then a carrier looks again, with a fence.
const FENCED: u8 = 4;
/// Somebody is about to take it.
const SEIZING: u8 = 1;
/// It has been taken from a carrier that is in the middle of a poll.
const GONE: u8 = 2;
/// That poll is over, or waits on a thread that has no worker to hold up.
const LEFT: u8 = 3;

/// The place of a `T` that one thread uses and others may take. What it is to others; its carrier has the [`Carrier`].
pub(crate) struct Post<T> {
    /// What lies here.
    item: UnsafeCell<Option<Box<T>>>,
    /// How many uses of it are under way, one inside the other. Written by the carrier alone.
    borrows: AtomicUsize,
    /// [`HERE`] or [`FENCED`], [`SEIZING`], [`GONE`] or [`LEFT`]; see the [module](self)'s diagram.
    state: AtomicU8,
    /// [`HERE`] or [`FENCED`].
    here: u8,
}

// SAFETY: `item` is touched by the carrier while `borrows` says so and the word has said HERE after that, by the seizer
// while the word says SEIZING and `borrows` has been zero after that, and by the carrier in `put` while the word says GONE
// or LEFT, which nobody else changes. The header says why the first two exclude each other. So it passes from thread to
// thread as through a mutex, which asks for `T: Send`.
unsafe impl<T: Send> Sync for Post<T> {}

/// The end of a post that its carrier has. It stays on one thread.
pub(crate) struct Carrier<T> {
    /// The post.
    post: Arc<Post<T>>,
    /// `borrows` has one writer: neither `Send` nor `Sync`.
    _here: PhantomData<*mut ()>,
}

impl<T> Carrier<T> {
    /// A post with `item` on it, for the calling thread.
    pub(crate) fn new(item: Box<T>) -> Carrier<T> {
        let here = if barrier::is_light() { HERE } else { FENCED };
        let post = Post {
            item: UnsafeCell::new(Some(item)),
            borrows: AtomicUsize::new(0),
            state: AtomicU8::new(here),
            here,
        };
        Carrier { post: Arc::new(post), _here: PhantomData }
    }

    /// The post as others see it.
    pub(crate) fn post(&self) -> &Arc<Post<T>> {
        &self.post
    }

    /// Lends what lies here; `None` when it is not here any more.
    #[inline]
    pub(crate) fn lend(&self) -> Option<Lent<'_, T>> {
        let borrow = self.borrow()?;
        // SAFETY: the borrow excludes the seizer, and `take` and `put`, which ask for the only one.
        let item = unsafe { &*self.post.item.get() }.as_deref()?;
        Some(Lent { item, _borrow: borrow })
    }

    /// Calls `f` with what lies here; `None` when it is not here any more.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.lend().map(|item| f(&item))
    }

    /// Whether it is here.
    #[inline]
    pub(crate) fn has(&self) -> bool {
        self.with(|_| ()).is_some()
    }

    /// Takes it out. `None` when it is not here.
    ///
    /// # Panics
    /// When it is in use further down on this stack: code that waits runs where none should.
    pub(crate) fn take(&self) -> Option<Box<T>> {
        let borrow = self.borrow()?;
        assert!(borrow.outer == 0, "a worker cannot be left while it chooses what to do");
        // SAFETY: this borrow is the only one, and excludes the seizer.
        unsafe { &mut *self.post.item.get() }.take()
    }

    /// Puts back what this carrier, or somebody else, has taken out.
    pub(crate) fn put(&self, item: Box<T>) {
        let post = &*self.post;
        // Acquire pairs with the Release in `seize`.
        if matches!(post.state.load(Acquire), GONE | LEFT) {
            // SAFETY: nobody but the carrier changes the word from now on, and only the carrier looks here.
            unsafe { *post.item.get() = Some(item) };
            // (5) Release pairs with the exchange and the barrier after it in `seize`.
            return post.state.store(post.here, Release);
        }
        if let Some(borrow) = self.borrow()
            && borrow.outer == 0
        {
            // SAFETY: as in `take`.
            unsafe { *post.item.get() = Some(item) };
        }
    }

    /// Says that the poll from which it was taken is over, or that its thread keeps nobody waiting any more.
    pub(crate) fn leave(&self) {
        if self.post.state.load(Relaxed) == GONE {
            // (4) Release pairs with the Acquire in `is_left`.
            self.post.state.store(LEFT, Release);
        }
    }

    /// Begins a use. `None` when it has been taken away.
    #[inline]
    fn borrow(&self) -> Option<Borrow<'_, T>> {
        let post = &*self.post;
        let outer = post.borrows.load(Relaxed);
        post.borrows.store(outer + 1, Relaxed);
        // Inside of another use the seizer has been excluded already.
        if outer == 0 {
            barrier::light();
            // Acquire pairs with the Release in `seize`, which may have put the item back.
            if post.state.load(Acquire) != HERE && !self.look_again() {
                return None;
            }
        }
        Some(Borrow { post, outer })
    }

    /// Somebody takes, or has taken, what this carrier wants to use, or may do so without its knowledge. Returns whether the
    /// use may begin.
    #[cold]
    fn look_again(&self) -> bool {
        let post = &*self.post;
        loop {
            // Release pairs with the Acquire in `seize`, though nothing has been touched.
            post.borrows.store(0, Release);
            match post.state.load(Relaxed) {
                HERE | FENCED => {
                    post.borrows.store(1, Relaxed);
                    barrier::full();
                    // Acquire as in `borrow`.
                    if post.state.load(Acquire) == post.here {
                        return true;
                    }
                }
                // The seizer starts a thread, at most.
                SEIZING => crate::sync::yield_now(),
                _ => return false,
            }
        }
    }
}

/// What lies on a post, in use.
pub(crate) struct Lent<'a, T> {
    /// What lies there.
    item: &'a T,
    /// Keeps it there.
    _borrow: Borrow<'a, T>,
}

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.item
    }
}

/// A use of what lies on a post.
struct Borrow<'a, T> {
    /// The post.
    post: &'a Post<T>,
    /// How many uses are under way around this one.
    outer: usize,
}

impl<T> Drop for Borrow<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release pairs with the Acquire in `seize`.
        self.post.borrows.store(self.outer, Release);
    }
}

impl<T> Post<T> {
    /// Takes what lies here from a carrier that does not use it at this moment, and gives it to `hand_on`, which may
    /// give it back: then it stays. `still` is asked when the carrier cannot use it any more, and whatever the carrier wrote
    /// before its last use is visible to it; false leaves everything as it was. Returns whether it was handed on.
    pub(crate) fn seize(
        &self,
        still: impl FnOnce() -> bool,
        hand_on: impl FnOnce(Box<T>) -> Option<Box<T>>,
    ) -> bool {
        // (1) Relaxed: the barrier below orders it, and acquires what `put` has released.
        if self.state.compare_exchange(self.here, SEIZING, Relaxed, Relaxed).is_err() {
            return false;
        }
        /// Settles the outcome, however this ends.
        struct Settle<'a>(&'a AtomicU8, u8);
        impl Drop for Settle<'_> {
            fn drop(&mut self) {
                // (2), (3) Release pairs with the Acquire in `borrow`, `put` and `is_left`.
                self.0.store(self.1, Release);
            }
        }
        let mut settle = Settle(&self.state, self.here);
        // Acquire pairs with the Release of the last borrow.
        if !barrier::heavy() || self.borrows.load(Acquire) != 0 || !still() {
            return false;
        }
        // SAFETY: no use was under way after the barrier, and one that begins later sees the word and withdraws.
        let item = unsafe { &mut *self.item.get() };
        let Some(taken) = item.take() else { return false };
        settle.1 = GONE;
        match hand_on(taken) {
            None => true,
            Some(back) => {
                *item = Some(back);
                settle.1 = self.here;
                false
            }
        }
    }

    /// Whether the poll from which it was taken holds nobody up any more.
    pub(crate) fn is_left(&self) -> bool {
        // Acquire pairs with the Release in `leave` and `put`.
        matches!(self.state.load(Acquire), LEFT | HERE | FENCED)
    }
}
