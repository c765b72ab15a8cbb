//! The messages of a channel without places: each stays with its sender until a receiver takes it.
//!
//! A waiting send keeps an offer here. A receiver takes the message out of the offer at the front and wakes its
//! sender, which finds the offer taken. A send that is dropped before takes its offer away. A receive that waits is
//! called for an offer, and then looks for one; `try_send`, which cannot wait for that, gives it the message.
//!
//! ```text
//! offer:  absent ──(1) offer───▶ open ──(2) take──▶ taken ──(3) offer/withdraw──▶ absent
//!            ▲                    │
//!            └──(4) withdraw──────┘
//!
//! (1) offer     poll_offer, the sender's first poll: the offer enters the line, under a key that the sender keeps.
//! (2) take      a receiver: the offer leaves the line. A key without an offer means "taken".
//! (3) offer     the sender's next poll, or withdraw in its drop.
//! (4) withdraw  the sender's drop; or offer, when the channel is closed: the message goes back.
//!
//! receive:  absent ──(1) wait──▶ waiting ──(2) call──▶ called ──(4) poll/stop──▶ absent
//!              ▲                   │ │                   │
//!              │                   │ │   waiting ◀──(5)──┘
//!              │                   │ └──(3) give──▶ given ──(4) poll/stop──▶ absent
//!              └──────(4)──────────┘
//!
//! (1) wait  poll_take: the receive enters the line, under a key that it keeps.
//! (2) call  a new offer: the first receive in line leaves it. A key without an entry means "called".
//! (3) give  try_send: the message enters the entry.
//! (4)       the receive's next poll, or its drop, which offers a message that it was given once more, and calls the next
//!           one if there are offers.
//! (5)       poll_take: somebody else was faster. It waits again, first in line.
//! ```
//!
//! Whoever waits as an arm of a select is met only if the select has not been met elsewhere, and never by another arm of
//! the same select; see [`choice`](crate::choice).

use std::task::{Context, Poll};

use super::{RecvError, SendError, TryRecvError, TrySendError};
use crate::base::sync::{Mutex, lock};
use crate::base::waitlist::{Key, LinkedSlab, WaitKey};
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::choice::{Arm, BusySelects};

/// See the [module](self).
pub(super) struct Rendezvous<T> {
    /// Those who wait.
    line: Mutex<Line<T>>,
}

/// What the lock guards.
struct Line<T> {
    /// The offers, oldest first.
    offers: LinkedSlab<Offer<T>>,
    /// How many there are.
    open: usize,
    /// The receives that wait.
    receives: LinkedSlab<Receive<T>>,
    /// No more offers.
    closed: bool,
}

/// A message that a sender holds out.
struct Offer<T> {
    /// The message.
    message: T,
    /// The sender; `None`: it is gone, for the message was given to a receive that did not take it.
    sender: Option<Waiter>,
}

/// A receive that waits.
struct Receive<T> {
    /// How it is told. Its waker is gone once it has been given a message.
    waiter: Waiter,
    /// The message that it has been given.
    message: Option<T>,
}

/// One who waits.
struct Waiter {
    /// Wakes it; `None` when that has been done, while it is still in line.
    waker: Option<StoredWaker>,
    /// The arm of a select that it is.
    arm: Option<Arm>,
}

impl Waiter {
    /// Makes `other` the one who waits here, and that one the one who is dropped, outside of the lock. Returns whether
    /// both are arms of one select, or of none.
    fn replace(&mut self, other: &mut Waiter) -> bool {
        std::mem::swap(self, other);
        match (&self.arm, &other.arm) {
            (Some(arm), Some(before)) => arm.is_of_same(before),
            (None, None) => true,
            _ => false,
        }
    }
}

impl<T> Rendezvous<T> {
    pub(super) fn new() -> Rendezvous<T> {
        let line = Line { offers: LinkedSlab::new(), open: 0, receives: LinkedSlab::new(), closed: false };
        Rendezvous { line: Mutex::new(line) }
    }

    /// Gives the message to a receive that waits.
    pub(super) fn try_give(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut busy = BusySelects::default();
        let mut line = lock(&self.line);
        if line.closed {
            return Err(TrySendError::Closed(message));
        }
        let waits = |receive: &mut Receive<T>| {
            receive.waiter.waker.is_some() && busy.try_match(None, receive.waiter.arm.as_ref())
        };
        let key = line.receives.first(waits);
        let Some(receive) = key.and_then(|key| line.receives.find(key)) else {
            return Err(TrySendError::Full(message));
        };
        receive.message = Some(message);
        let waker = receive.waiter.waker.take();
        drop(line);
        wake_all(waker);
        Ok(())
    }

    /// The sender's poll: makes the offer with the message from `message`, or looks what became of it.
    pub(super) fn poll_offer(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        // Cloned before the lock is taken and, as the older local, dropped after: both run code of the waker's.
        let mut waiter = Waiter { waker: Some(StoredWaker::of(cx.waker())), arm: Arm::current(cx) };
        let called = match wait_key.get() {
            None => {
                let message = super::shared::unsent(message);
                let mut line = lock(&self.line);
                if line.closed {
                    return Poll::Ready(Err(SendError(message)));
                }
                let called = line.call(waiter.arm.as_ref());
                wait_key.set(line.offers.push_back(Offer { message, sender: Some(waiter) }));
                line.open += 1;
                called
            }
            Some(key) => {
                let mut line = lock(&self.line);
                if line.closed || line.offers.find(key).is_none() {
                    let offer = line.remove(key);
                    drop(line);
                    wait_key.take();
                    return Poll::Ready(match offer {
                        Some(offer) => Err(SendError(offer.message)),
                        None => Ok(()),
                    });
                }
                line.renew(key, &mut waiter)
            }
        };
        drop_called(called);
        Poll::Pending
    }

    /// The sender's drop: takes the offer away.
    pub(super) fn withdraw(&self, wait_key: &mut WaitKey) {
        let Some(key) = wait_key.take() else { return };
        let offer = lock(&self.line).remove(key);
        drop(offer);
    }

    /// A receiver takes the oldest message and wakes its sender.
    pub(super) fn try_take(&self) -> Result<T, TryRecvError> {
        let mut busy = BusySelects::default();
        let mut line = lock(&self.line);
        let Some(offer) = line.take(None, &mut busy) else {
            return Err(if line.closed { TryRecvError::Closed } else { TryRecvError::Empty });
        };
        drop(line);
        Ok(offer.accept())
    }

    /// A receive's poll.
    pub(super) fn poll_take(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        // As in `poll_offer`; cloned only if it has to wait.
        let mut spare = None;
        loop {
            let mut waiter = Waiter { waker: spare.take(), arm: Arm::current(cx) };
            let mut busy = BusySelects::default();
            let mut line = lock(&self.line);
            let is_given =
                wait_key.get().and_then(|key| line.receives.find(key)).is_some_and(Receive::is_given);
            if is_given {
                let left = line.leave(wait_key);
                drop(line);
                return Poll::Ready(left.and_then(|receive| receive.message).ok_or(RecvError));
            }
            if let Some(offer) = line.take(waiter.arm.as_ref(), &mut busy) {
                let left = line.leave(wait_key);
                drop(line);
                drop(left);
                return Poll::Ready(Ok(offer.accept()));
            }
            if line.closed {
                let left = line.leave(wait_key);
                drop(line);
                drop(left);
                return Poll::Ready(Err(RecvError));
            }
            let is_in_line = line.stay(wait_key, cx, &mut waiter);
            drop(line);
            if !is_in_line {
                spare = Some(StoredWaker::of(cx.waker()));
            } else if busy.wait(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// A receive that has received nothing ends.
    pub(super) fn stop_take(&self, wait_key: &mut WaitKey) {
        if !wait_key.is_set() {
            return;
        }
        let mut line = lock(&self.line);
        let mut left = line.leave(wait_key);
        if let Some(message) = left.as_mut().and_then(|left| left.message.take()) {
            line.offers.push_front(Offer { message, sender: None });
            line.open += 1;
        }
        // It may have been called for an offer, or wait for a select that makes one.
        let called = if line.open != 0 { line.call(None) } else { None };
        drop(line);
        drop(left);
        drop_called(called);
    }

    /// How many messages senders hold out.
    pub(super) fn len(&self) -> usize {
        lock(&self.line).open
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.line).closed
    }

    /// Wakes every sender, which takes its message back, and every receive.
    pub(super) fn close(&self) {
        let mut wakers = Vec::new();
        let mut line = lock(&self.line);
        line.closed = true;
        line.offers
            .for_each(|offer| wakers.extend(offer.sender.as_mut().and_then(|sender| sender.waker.take())));
        line.receives.for_each(|receive| wakers.extend(receive.waiter.waker.take()));
        drop(line);
        wake_all(wakers);
    }
}

/// Wakes a receive that has been called.
fn drop_called<T>(called: Option<Receive<T>>) {
    wake_all(called.and_then(|called| called.waiter.waker));
}

impl<T> Offer<T> {
    /// Wakes the sender, whose message this is no longer.
    fn accept(self) -> T {
        wake_all(self.sender.and_then(|sender| sender.waker));
        self.message
    }
}

impl<T> Receive<T> {
    fn is_given(&mut self) -> bool {
        self.message.is_some()
    }
}

impl<T> Line<T> {
    fn remove(&mut self, key: Key) -> Option<Offer<T>> {
        let offer = self.offers.remove(key)?;
        self.open -= 1;
        Some(offer)
    }

    /// Takes the oldest offer that one who receives as `own` may take. When the channel is closed, senders take their
    /// messages back, but for those that are gone.
    fn take(&mut self, own: Option<&Arm>, busy: &mut BusySelects) -> Option<Offer<T>> {
        let closed = self.closed;
        let key = self.offers.first(|offer| match &offer.sender {
            Some(sender) => !closed && busy.try_match(own, sender.arm.as_ref()),
            None => true,
        })?;
        self.remove(key)
    }

    /// Takes the first receive out of the line that may take an offer of one who sends as `own`; the caller wakes it.
    fn call(&mut self, own: Option<&Arm>) -> Option<Receive<T>> {
        let key = self.receives.first(|Receive { waiter, .. }| {
            let is_excluded = matches!((own, &waiter.arm), (Some(own), Some(arm)) if own.excludes(arm));
            waiter.waker.is_some() && !is_excluded
        })?;
        self.receives.remove(key)
    }

    /// Has the sender of the offer `key` wait as `waiter`. If that is another select's arm than it was, or is none any
    /// more, others may take the offer than before: one is called.
    fn renew(&mut self, key: Key, waiter: &mut Waiter) -> Option<Receive<T>> {
        let sender = self.offers.find(key)?.sender.as_mut()?;
        if sender.replace(waiter) {
            return None;
        }
        let arm = sender.arm.take();
        let called = self.call(arm.as_ref());
        if let Some(sender) = self.offers.find(key).and_then(|offer| offer.sender.as_mut()) {
            sender.arm = arm;
        }
        called
    }

    /// Has a receive wait as `waiter`: where it is, in front of all others if it has been called, or else at the end.
    /// Returns false, and changes nothing, if it needs a clone of the waker for that and `waiter` has none.
    fn stay(&mut self, wait_key: &mut WaitKey, cx: &Context<'_>, waiter: &mut Waiter) -> bool {
        if let Some(receive) = wait_key.get().and_then(|key| self.receives.find(key)) {
            let is_same = receive.waiter.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            if is_same {
                std::mem::swap(&mut receive.waiter.arm, &mut waiter.arm);
            } else if waiter.waker.is_some() {
                std::mem::swap(&mut receive.waiter, waiter);
            } else {
                return false;
            }
            return true;
        }
        let Some(waker) = waiter.waker.take() else { return false };
        let waiter = Waiter { waker: Some(waker), arm: waiter.arm.take() };
        let receive = Receive { waiter, message: None };
        let key = match wait_key.is_set() {
            true => self.receives.push_front(receive),
            false => self.receives.push_back(receive),
        };
        wait_key.set(key);
        true
    }

    /// Gives up the place of a receive.
    fn leave(&mut self, wait_key: &mut WaitKey) -> Option<Receive<T>> {
        self.receives.remove(wait_key.take()?)
    }
}
