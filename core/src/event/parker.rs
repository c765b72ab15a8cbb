//! The parker of a stack: the state word through which a stopped stack is told to go on.
//!
//! The strand of each stack has one [`Parker`]. On the stack itself the loops that wait, and calls that
//! block, prepare and finish, and the strand asks whether it is to stop; from other threads wakers and
//! cancellation raise it. The parker never blocks: the strand knows how its stack stops, and the strand's
//! [`Unpark`] how it is started again.
//!
//! Waits nest: code that is polled by one wait may start another on the same stack. Each level has a bit of
//! its own, so a wake-up for the outer wait stays set while the inner one waits, and no wait polls without a
//! reason. Cancellation is one more bit, and so is a request to look again, which ends whichever wait is the
//! innermost.
//!
//! ```text
//! word:  [31: PARKED] [30: CANCEL] [29: LOOK] [0..=27: one wake bit a level]
//!
//!   bits clear ──(1) prepare──▶ PARKED ──(2) wake/cancel──▶ bit, PARKED clear, unpark() called once
//!        ▲                         │                            │
//!        └──────(4) clear◀── bit ◀─┴──────(3) finish────────────┘
//!
//! (1) prepare  the stack's owner: sets PARKED, unless a bit that it waits for is set already.
//! (2) wake     anyone: sets a level's bit, or LOOK; whoever clears PARKED by that calls unpark(), exactly
//!              once.
//! (3) finish   the owner, on return from Strand::park: clears PARKED if the park ended by itself.
//! (4) clear    the owner, before each poll: a wake-up after that is a new one. LOOK is cleared, too.
//! ```

#[cfg(all(test, loom))]
mod model;

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::base::sync::atomic::AtomicU32;
use crate::base::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Ends the park of one stack, from any thread. A backend implements it for its strands.
///
/// # Examples
/// ```
/// use twoply::contract::parker::{Parker, Unpark};
///
/// struct UnparkThread(std::thread::Thread);
///
/// impl Unpark for UnparkThread {
///     fn unpark(&self) {
///         self.0.unpark();
///     }
/// }
///
/// let parker = Parker::new(UnparkThread(std::thread::current()));
/// assert!(!parker.is_parked());
/// ```
pub trait Unpark: Send + Sync {
    /// Makes the current or next [`Strand::park`](crate::backend::Strand::park) of the stack return.
    ///
    /// It is called inside `wake`, at most once a park: it must not block, and must run no code of the
    /// user's.
    fn unpark(&self);
}

const PARKED: u32 = 1 << 31;
const CANCEL: u32 = 1 << 30;
const LOOK: u32 = 1 << 29;
/// Waits nested deeper than this share the last bit; they may poll once more than they need to.
const LAST_LEVEL: u32 = 27;

/// The bits that end a wait: that of its level, that of a look, and that of cancellation if cancellation ends
/// it.
#[derive(Clone, Copy, Debug)]
pub struct Mask(u32);

/// The state word of a stack, with the means to wake it; see the [module](self).
pub struct Parker {
    word: AtomicU32,
    unpark: Box<dyn Unpark>,
}

impl Parker {
    /// Creates the parker of a stack that `unpark` starts again. It is not parked.
    pub fn new(unpark: impl Unpark + 'static) -> Arc<Parker> {
        Arc::new(Parker { word: AtomicU32::new(0), unpark: Box::new(unpark) })
    }

    /// Returns a waker for the waits at `level`; level 0 is the outermost one.
    pub(crate) fn waker(self: &Arc<Self>, level: u32) -> Waker {
        match level {
            0 => Waker::from(Arc::clone(self)),
            _ => Waker::from(Arc::new(NestedWaker { parker: Arc::clone(self), bit: bit(level) })),
        }
    }

    /// Returns the bits that end a wait at `level`.
    #[inline]
    pub(crate) fn mask(level: u32, cancellable: bool) -> Mask {
        Mask(bit(level) | LOOK | if cancellable { CANCEL } else { 0 })
    }

    /// Returns the bits that interrupt a blocking system call.
    #[inline]
    pub(crate) fn mask_cancel(cancellable: bool) -> Mask {
        Mask(if cancellable { CANCEL } else { 0 })
    }

    /// Clears the wake-ups at `level` and requests to look, because the caller is about to poll.
    #[inline]
    pub(crate) fn clear(&self, level: u32) {
        // Acquire: what the waker's thread wrote before wake (AcqRel) is seen by the poll that follows.
        let bits = bit(level) | LOOK;
        if self.word.load(Relaxed) & bits != 0 {
            self.word.fetch_and(!bits, Acquire);
        }
    }

    /// Sets the bit of `level` again where several levels share it: the wake-up may have been another
    /// level's.
    #[inline]
    pub(crate) fn restore(&self, level: u32) {
        if level >= LAST_LEVEL {
            self.word.fetch_or(bit(level), Relaxed);
        }
    }

    /// Returns whether any bit of `mask` is set.
    #[inline]
    pub(crate) fn ready(&self, mask: Mask) -> bool {
        self.word.load(Acquire) & mask.0 != 0
    }

    /// Announces a park. Returns false when a bit of `mask` is set already: then the stack must not park.
    #[inline]
    pub fn prepare(&self, mask: Mask) -> bool {
        let mut word = self.word.load(Relaxed);
        loop {
            if word & mask.0 != 0 {
                return false;
            }
            // AcqRel pairs with `raise`: either it sees PARKED or this sees its bit.
            match self.word.compare_exchange_weak(word, word | PARKED, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Takes the announcement back when the park is over, in whichever way it ended.
    #[inline]
    pub fn finish(&self) {
        // A wake has usually cleared the bit: then a load does.
        if self.is_parked() {
            self.word.fetch_and(!PARKED, AcqRel);
        }
    }

    /// Returns whether a park has been announced and not been ended yet. A strand that spins before it sleeps
    /// asks this.
    #[inline]
    pub fn is_parked(&self) -> bool {
        self.word.load(Acquire) & PARKED != 0
    }

    /// Requests cancellation: the stack unwinds from the wait that it is in, or from the next one.
    pub(crate) fn cancel(&self) {
        self.raise(CANCEL);
    }

    /// Requests a look: the innermost wait of the stack polls once, and a blocking call is made again.
    pub(crate) fn look(&self) {
        self.raise(LOOK);
    }

    /// Returns whether cancellation has been requested.
    #[inline]
    pub(crate) fn cancelled(&self) -> bool {
        self.word.load(Acquire) & CANCEL != 0
    }

    /// Clears a request for cancellation, so that the next task on this stack starts without one.
    pub(crate) fn clear_cancel(&self) {
        self.word.fetch_and(!CANCEL, Relaxed);
    }

    /// Sets `bit`, and wakes the stack if it is parked.
    #[inline]
    fn raise(&self, bit: u32) {
        let mut word = self.word.load(Relaxed);
        loop {
            // Even when the bit is set already this must write: the waker's own writes have to be
            // published to the poll that clears it (AcqRel with `clear`).
            match self.word.compare_exchange_weak(word, (word | bit) & !PARKED, AcqRel, Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if word & PARKED != 0 {
            self.unpark.unpark();
        }
    }
}

impl std::fmt::Debug for Parker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parker").field("parked", &self.is_parked()).finish_non_exhaustive()
    }
}

impl Wake for Parker {
    #[inline]
    fn wake(self: Arc<Self>) {
        self.raise(bit(0));
    }

    #[inline]
    fn wake_by_ref(self: &Arc<Self>) {
        self.raise(bit(0));
    }
}

/// The waker of a nested wait, which sets the bit of its level.
struct NestedWaker {
    parker: Arc<Parker>,
    bit: u32,
}

impl Wake for NestedWaker {
    fn wake(self: Arc<Self>) {
        self.parker.raise(self.bit);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.parker.raise(self.bit);
    }
}

#[inline]
fn bit(level: u32) -> u32 {
    1 << level.min(LAST_LEVEL)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    struct CountUnparks(Arc<AtomicUsize>);

    impl Unpark for CountUnparks {
        fn unpark(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_wake_after_a_park_that_a_deadline_has_ended_unparks_nobody() {
        let unparks = Arc::new(AtomicUsize::new(0));
        let parker = Parker::new(CountUnparks(Arc::clone(&unparks)));
        assert!(parker.prepare(Parker::mask(0, false)));
        assert!(parker.is_parked());
        parker.finish();
        assert!(!parker.is_parked());
        parker.wake_by_ref();
        assert_eq!(unparks.load(Relaxed), 0);
        assert!(!parker.prepare(Parker::mask(0, false)), "the wake-up is kept for the next park");
    }
}
