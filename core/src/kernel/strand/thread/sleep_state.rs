//! The state that says in which way a thread sleeps, so that whoever wakes it uses the matching way.
//!
//! Only the thread's own strand writes it; wakers and the I/O server read it. It knows the [`Parker`] and
//! wakes nobody.
//!
//! ```text
//! word:  [2..: number of the latest call] [0..=1: kind]
//!
//!   PARK ──(1) enter──▶ POLL, or CALL with the next number ──(2) leave──▶ PARK
//! ```
//!
//! A wake that comes just before (1) would use the way of the state before. So both sides write, pass a fence
//! and then read what the other has written:
//!
//! ```text
//! the thread                              who wakes it
//! T1  kind := POLL           (enter)      W1  parker: PARKED cleared   (Parker)
//! T2  fence(SeqCst)          (enter)      W2  fence(SeqCst)            (sleeper_kind)
//! T3  parker still PARKED?   (enter)      W3  kind?                    (sleeper_kind)
//! ```
//!
//! The fences have one order. If T2 comes first, W3 reads T1's kind or a later one; if W2 comes first, T3
//! sees that the park is over, and the thread does not sleep.

#[cfg(all(test, loom))]
mod model;

use crate::base::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::base::sync::atomic::{AtomicU32, fence};
use crate::event::parker::Parker;

/// The way in which the thread sleeps, which decides how it is woken.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SleepKind {
    /// The thread runs, or sleeps in `std::thread::park`: `unpark` wakes it.
    Park = 0,
    /// The thread sleeps in `poll(2)`: its event descriptor wakes it.
    Poll = 1,
    /// The thread is in a blocking system call: a signal interrupts it.
    Call = 2,
}

/// The bits of a [`SleepKind`].
const KIND: u32 = 0b11;
/// One blocking call more in the upper bits.
const CALL: u32 = 0b100;

/// The state of one thread; see the [module](self)'s diagrams.
pub(super) struct SleepState(AtomicU32);

impl SleepState {
    /// Returns the state of a thread that runs.
    pub(super) fn new() -> SleepState {
        SleepState(AtomicU32::new(SleepKind::Park as u32))
    }

    /// Announces the way in which the thread is about to sleep. Returns false when the park has ended
    /// meanwhile: then the thread must not sleep.
    pub(super) fn enter(&self, kind: SleepKind, parker: &Parker) -> bool {
        // Only this thread writes it. Each call has a number, so that whoever interrupts one leaves the next
        // alone.
        let calls = self.0.load(Relaxed) & !KIND;
        let calls = if kind == SleepKind::Call { calls.wrapping_add(CALL) } else { calls };
        self.0.store(calls | kind as u32, Relaxed);
        // T2 of the module's diagram; pairs with the fence in `sleeper_kind`.
        fence(SeqCst);
        parker.is_parked()
    }

    /// Records that the thread runs again. Whoever ends its next park sees this, or a later state: announcing
    /// that park is Release, and ending it is Acquire.
    pub(super) fn leave(&self) {
        let calls = self.0.load(Relaxed) & !KIND;
        self.0.store(calls | SleepKind::Park as u32, Relaxed);
    }

    /// Returns the way in which the thread sleeps. The caller has just ended its park.
    pub(super) fn sleeper_kind(&self) -> SleepKind {
        // W2 of the module's diagram; pairs with the fence in `enter`.
        fence(SeqCst);
        match self.0.load(Relaxed) & KIND {
            kind if kind == SleepKind::Poll as u32 => SleepKind::Poll,
            kind if kind == SleepKind::Call as u32 => SleepKind::Call,
            _ => SleepKind::Park,
        }
    }

    /// Returns the number of the blocking call that the thread is in, if it is in one.
    pub(super) fn call(&self) -> Option<u32> {
        // Relaxed: a call that is over is interrupted once more, for nothing, until this is seen.
        let word = self.0.load(Relaxed);
        (word & KIND == SleepKind::Call as u32).then_some(word)
    }
}
