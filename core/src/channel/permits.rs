//! The places that are free in a bounded channel.
//!
//! A send takes a permit before it pushes, a receive gives it back after it has popped, so the queue never holds
//! more than its capacity. A permit that comes back goes straight to the send that has waited longest: its token
//! in the [`WaitList`] *is* the permit. Nobody can overtake it, so no send starves, whatever `try_send` and
//! newer sends do meanwhile.
//!
//! The other design, in which a freed place goes to whoever comes first, lets a running sender starve a sleeping
//! one for ever, and is no faster here: who finds the channel full must wait for a receiver in either.

use std::task::{Context, Poll};

use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::fence;
use crate::waitlist::{End, Place, WaitList};

/// See the [module](self).
pub(super) struct Permits {
    /// How many places are free and promised to nobody.
    free: AtomicUsize,
    /// The sends that wait for a place.
    waiters: WaitList,
}

impl Permits {
    pub(super) fn new(capacity: usize) -> Permits {
        Permits { free: AtomicUsize::new(capacity), waiters: WaitList::new() }
    }

    /// Takes a permit, if one is free. Permits guard a number only: the queue's own lock orders the messages.
    #[inline]
    pub(super) fn try_acquire(&self) -> bool {
        let mut free = self.free.load(Relaxed);
        while free != 0 {
            match self.free.compare_exchange_weak(free, free - 1, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => free = now,
            }
        }
        false
    }

    /// Takes a permit, or waits in line for one.
    #[inline]
    pub(super) fn poll_acquire(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<()> {
        if place.is_taken() {
            return match self.waiters.check(place, cx.waker()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            };
        }
        if self.try_acquire() {
            return Poll::Ready(());
        }
        self.waiters.enlist(place, cx.waker(), End::Back);
        // W3 of the wait list's diagram: `release` may have missed the new waiter.
        if !self.try_acquire() {
            return Poll::Pending;
        }
        self.give_up(place);
        Poll::Ready(())
    }

    /// Leaves the line; a permit that has come meanwhile goes to the next one.
    pub(super) fn give_up(&self, place: &mut Place) {
        if self.waiters.leave(place) {
            self.release(1);
        }
    }

    /// Gives `count` permits back: to the sends at the front of the line, or to whoever comes.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        let mut left = count;
        while left != 0 && self.waiters.has_waiters() && self.waiters.notify_one() {
            left -= 1;
        }
        while left != 0 {
            self.free.fetch_add(left, Relaxed);
            left = 0;
            // N2 of the wait list's diagram: a send that enlists before this fence is seen here, and one that
            // enlists after it sees the permits.
            fence(SeqCst);
            while self.waiters.has_waiters() && self.try_acquire() {
                if !self.waiters.notify_one() {
                    left = 1;
                    break;
                }
            }
        }
    }

    /// Wakes every send that waits: the channel is closed, and permits mean nothing any more.
    pub(super) fn close(&self) {
        self.waiters.notify_all();
    }
}
