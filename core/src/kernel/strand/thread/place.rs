//! The word that says in which way a thread sleeps, so that whoever wakes it does that in the same way.
//!
//! The thread's strand is the only one to write it; wakers and the I/O server read it. It knows the
//! [`Parker`] and wakes nobody.
//!
//! ```text
//! word:  [2..: number of the latest call] [0..=1: place]
//!
//!   PARK ──(1) enter──▶ POLL, or CALL with the next number ──(2) leave──▶ PARK
//! ```
//!
//! A wake that comes just before (1) would look for the thread where it is no more. So both sides write, pass a
//! fence and then read what the other has written:
//!
//! ```text
//! the thread                              who wakes it
//! T1  place := POLL          (enter)      W1  parker: PARKED cleared   (Parker)
//! T2  fence(SeqCst)          (enter)      W2  fence(SeqCst)            (of_sleeper)
//! T3  parker still PARKED?   (enter)      W3  place?                   (of_sleeper)
//! ```
//!
//! The fences have one order. If T2 comes first, W3 reads T1's place or a later one; if W2 comes first, T3 sees that
//! the park is over, and the thread does not sleep.

#[cfg(all(test, loom))]
mod model;

use crate::base::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::base::sync::atomic::{AtomicU32, fence};
use crate::event::parker::Parker;

/// Where the thread is, for whoever wakes it.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Running, or asleep in `std::thread::park`.
    Park = 0,
    /// In `poll(2)`: the event descriptor wakes it.
    Poll = 1,
    /// In a blocking system call: a signal interrupts it.
    Call = 2,
}

/// The bits of a [`Place`].
const PLACE: u32 = 0b11;
/// One more blocking call.
const CALL: u32 = 0b100;

/// See the [module](self)'s diagrams.
pub(super) struct PlaceWord(AtomicU32);

impl PlaceWord {
    /// The word of a thread that runs.
    pub(super) fn new() -> PlaceWord {
        PlaceWord(AtomicU32::new(Place::Park as u32))
    }

    /// Says where the thread is about to sleep. False when the park has ended meanwhile.
    pub(super) fn enter(&self, place: Place, parker: &Parker) -> bool {
        // Only this thread writes it. Each call has a number, so that whoever interrupts one leaves the next alone.
        let calls = self.0.load(Relaxed) & !PLACE;
        let calls = if place == Place::Call { calls.wrapping_add(CALL) } else { calls };
        self.0.store(calls | place as u32, Relaxed);
        // T2 of the module's diagram; pairs with the fence in `of_sleeper`.
        fence(SeqCst);
        parker.is_parked()
    }

    /// The thread runs again. Whoever ends its next park sees this, or a later place: announcing that park is Release,
    /// and ending it is Acquire.
    pub(super) fn leave(&self) {
        let calls = self.0.load(Relaxed) & !PLACE;
        self.0.store(calls | Place::Park as u32, Relaxed);
    }

    /// Where the thread sleeps whose park the caller has just ended.
    pub(super) fn of_sleeper(&self) -> Place {
        // W2 of the module's diagram; pairs with the fence in `enter`.
        fence(SeqCst);
        match self.0.load(Relaxed) & PLACE {
            place if place == Place::Poll as u32 => Place::Poll,
            place if place == Place::Call as u32 => Place::Call,
            _ => Place::Park,
        }
    }

    /// The number of the blocking call that the thread is in, if it is in one.
    pub(super) fn call(&self) -> Option<u32> {
        // Relaxed: a call that is over is interrupted once more, for nothing, until this is seen.
        let place = self.0.load(Relaxed);
        (place & PLACE == Place::Call as u32).then_some(place)
    }
}
