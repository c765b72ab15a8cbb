//! The places that are free in a channel.
//!
//! A send takes a permit before it pushes, a receive gives it back after it has popped, so the queue never holds
//! more than its capacity. A permit that comes back goes straight to the send that has waited longest: its token
//! in the [`WaitList`] *is* the permit. Nobody can overtake it, so no send starves, whatever `try_send` and
//! newer sends do meanwhile.
//!
//! The other design, in which a freed place goes to whoever comes first, lets a running sender starve a sleeping
//! one for ever, and is no faster here: who finds the channel full must wait for a receiver in either.
//!
//! Since every message holds a permit, the queue is empty when all permits are free. A receiver that finds nothing
//! learns that from one load, without the queue's lock: see [`Permits::all_free`].

use std::task::{Context, Poll};

use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicUsize, fence};
use crate::waitlist::{End, Place, WaitList};

/// More permits than messages fit in memory: such a channel is never full.
const UNLIMITED: usize = usize::MAX / 2;

/// See the [module](self).
pub(super) struct Permits {
    /// How many places there are.
    capacity: usize,
    /// How many places are free and promised to nobody.
    free: AtomicUsize,
    /// The sends that wait for a place.
    waiters: WaitList,
    /// Tokens are no permits any more, they announce the end; set before the first such token goes out.
    closed: AtomicBool,
}

impl Permits {
    /// As many permits as `capacity` says; `None`: no limit.
    pub(super) fn new(capacity: Option<usize>) -> Permits {
        let capacity = capacity.unwrap_or(UNLIMITED).min(UNLIMITED);
        Permits {
            capacity,
            free: AtomicUsize::new(capacity),
            waiters: WaitList::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// How many permits there are; `None`: no limit.
    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != UNLIMITED).then_some(self.capacity)
    }

    /// Whether nobody holds a permit: then the queue is empty.
    ///
    /// The load is as good as a look into the queue. A send takes its permit before it pushes, so whoever would
    /// have to see the message, because the send happened before or because of the wait list's fences, sees the
    /// permit gone.
    #[inline]
    pub(super) fn all_free(&self) -> bool {
        self.free.load(Relaxed) == self.capacity
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
        // Relaxed: a token of the end was taken out of the list's lock, which `close` had taken after the store.
        if self.waiters.leave(place) && !self.closed.load(Relaxed) {
            self.release(1);
        }
    }

    /// Gives `count` permits back: to the sends at the front of the line, or to whoever comes.
    #[inline]
    pub(super) fn release(&self, count: usize) {
        if self.capacity == UNLIMITED {
            // Nobody ever waits.
            self.free.fetch_add(count, Relaxed);
            return;
        }
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
        self.closed.store(true, Relaxed);
        self.waiters.notify_all();
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::sync::Arc;
    use std::task::Waker;

    use super::*;
    use loom::thread;

    /// A noop waker will do: a permit that was handed over shows at the next poll.
    fn poll(permits: &Permits, place: &mut Place) -> bool {
        permits.poll_acquire(place, &mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_permit_that_is_released_reaches_the_send_that_comes_to_wait() {
        loom::model(|| {
            let permits = Arc::new(Permits::new(Some(0)));
            let releaser = {
                let permits = Arc::clone(&permits);
                thread::spawn(move || permits.release(1))
            };
            let mut place = Place::new();
            let at_once = poll(&permits, &mut place);
            releaser.join().unwrap();
            assert!(at_once || poll(&permits, &mut place));
            assert_eq!(permits.free.load(Relaxed), 0, "a permit has been made twice");
        });
    }

    #[test]
    fn a_send_that_gives_up_loses_no_permit() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let permits = Arc::new(Permits::new(Some(0)));
            let (mut a, mut b) = (Place::new(), Place::new());
            assert!(!poll(&permits, &mut a));
            let releaser = {
                let permits = Arc::clone(&permits);
                thread::spawn(move || permits.release(1))
            };
            let at_once = poll(&permits, &mut b);
            permits.give_up(&mut a);
            releaser.join().unwrap();
            assert!(at_once || poll(&permits, &mut b));
            assert_eq!(permits.free.load(Relaxed), 0, "a permit has been made twice");
        });
    }

    /// A receiver looks at the permits first: a message whose sender saw nobody waiting must not be overlooked.
    #[test]
    fn a_receiver_that_finds_all_permits_free_is_woken_for_the_next_message() {
        loom::model(|| {
            let channel = Arc::new((Permits::new(Some(1)), WaitList::new(), AtomicUsize::new(0)));
            let sender = {
                let channel = Arc::clone(&channel);
                thread::spawn(move || {
                    let (permits, receiving, queued) = &*channel;
                    assert!(permits.try_acquire());
                    queued.store(1, Relaxed);
                    receiving.notify_one();
                })
            };
            let (permits, receiving, queued) = &*channel;
            let mut place = Place::new();
            let poll = receiving.poll_until(&mut place, &mut Context::from_waker(Waker::noop()), || {
                (!permits.all_free() && queued.load(Relaxed) == 1).then_some(())
            });
            sender.join().unwrap();
            assert!(poll.is_ready() || receiving.leave(&mut place), "asleep, with a message there");
        });
    }
}
