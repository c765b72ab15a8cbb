//! The messages of a channel that holds none: each stays with its sender until a receiver takes it.
//!
//! A waiting send keeps an offer here. A receiver takes the message out of the offer at the front and wakes
//! its sender, which finds the offer taken. A send that is dropped before takes its offer away. A receive
//! that waits is notified of an offer, and then looks for one; `try_send`, which cannot wait for that, gives
//! it the message.
//!
//! ```text
//! offer:  absent ──(1) offer──▶ open ──(2) take──▶ taken ──(3) poll/stop──▶ absent
//!            ▲                   │
//!            └──(4) stop/close───┘
//!
//! (1) offer  poll_send, the sender's first poll: the offer enters the list, under a key that the sender keeps.
//! (2) take   a receiver: the offer leaves the list. A key without an offer means "taken".
//! (3)        the sender's next poll, or stop_send in its drop.
//! (4)        stop_send, the sender's drop; or poll_send when the channel is closed: the message goes back.
//!
//! receive:  absent ──(1) wait──▶ waiting ──(2) notify──▶ notified ──(4) poll/stop──▶ absent
//!              ▲                   │ │                      │
//!              │                   │ │     waiting ◀──(5)───┘
//!              │                   │ └──(3) give──▶ given ──(4) poll/stop──▶ absent
//!              └──────(4)──────────┘
//!
//! (1) wait    poll_recv: the receive enters the list, under a key that it keeps.
//! (2) notify  a new offer: the first receive leaves the list. A key without an entry means "notified".
//! (3) give    try_send: the message enters the entry.
//! (4)         the receive's next poll, or its drop, which offers a message that it was given once more, and notifies the
//!             next one if there are offers.
//! (5)         poll_recv: somebody else was faster. It waits again, at the front.
//! ```
//!
//! Whoever waits as an arm of a select is met only if the select has not been met elsewhere, and never by
//! another arm of the same select; see [`choice`](crate::kernel::choice).

use std::task::{Context, Poll};

use super::{RecvError, SendError, TryRecvError, TrySendError, take_message};
use crate::base::sync::{Mutex, lock};
use crate::base::waitlist::{Key, LinkedSlab, WaitKey};
use crate::base::wake::{StoredWaker, wake_all};
use crate::kernel::choice::{Arm, BusySelects};
use crate::kernel::strand::current_arm;

/// The offers and the receives of a channel that holds no message.
pub(super) struct Rendezvous<T> {
    state: Mutex<State<T>>,
}

/// The state of the channel, under the lock.
struct State<T> {
    /// The offers, the oldest first.
    offers: LinkedSlab<Offer<T>>,
    /// The number of `offers`.
    offer_count: usize,
    recv_waiters: LinkedSlab<RecvWaiter<T>>,
    /// True when no more offers are taken.
    closed: bool,
}

/// A message that a sender offers.
struct Offer<T> {
    message: T,
    /// None if the message was given to a receive that did not take it: its sender is gone.
    sender: Option<Waiter>,
}

/// A receive that waits.
struct RecvWaiter<T> {
    /// Its waker is gone once the receive has been given a message.
    waiter: Waiter,
    /// The message that the receive has been given.
    message: Option<T>,
}

/// A send or a receive that waits.
struct Waiter {
    /// The waker; none once the waiter has been woken, while it is still in the list.
    waker: Option<StoredWaker>,
    /// The arm of a select that it is, if it is one.
    arm: Option<Arm>,
}

impl Waiter {
    /// Swaps `self` with `other`, which the caller drops outside of the lock. Returns true if both are arms
    /// of one select, or of none.
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
        let state = State {
            offers: LinkedSlab::new(),
            offer_count: 0,
            recv_waiters: LinkedSlab::new(),
            closed: false,
        };
        Rendezvous { state: Mutex::new(state) }
    }

    /// Gives the message to a receive that waits, if there is one.
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut busy = BusySelects::default();
        let mut state = lock(&self.state);
        if state.closed {
            return Err(TrySendError::Closed(message));
        }
        let waits = |receive: &mut RecvWaiter<T>| {
            receive.waiter.waker.is_some() && busy.try_match(None, receive.waiter.arm.as_ref())
        };
        let key = state.recv_waiters.first(waits);
        let Some(receive) = key.and_then(|key| state.recv_waiters.find(key)) else {
            return Err(TrySendError::Full(message));
        };
        receive.message = Some(message);
        let waker = receive.waiter.waker.take();
        drop(state);
        wake_all(waker);
        Ok(())
    }

    /// Polls a send: makes the offer with the message from `message`, or looks what became of it.
    pub(super) fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        // Cloned before the lock is taken and, as the older local, dropped after: both run code of the
        // waker's.
        let mut waiter = Waiter { waker: Some(StoredWaker::of(cx.waker())), arm: current_arm(cx) };
        let notified = match wait_key.get() {
            None => {
                let message = take_message(message);
                let mut state = lock(&self.state);
                if state.closed {
                    return Poll::Ready(Err(SendError(message)));
                }
                let notified = state.notify_receiver(waiter.arm.as_ref());
                wait_key.set(state.offers.push_back(Offer { message, sender: Some(waiter) }));
                state.offer_count += 1;
                notified
            }
            Some(key) => {
                let mut state = lock(&self.state);
                if state.closed || state.offers.find(key).is_none() {
                    let offer = state.remove(key);
                    drop(state);
                    wait_key.take();
                    return Poll::Ready(match offer {
                        Some(offer) => Err(SendError(offer.message)),
                        None => Ok(()),
                    });
                }
                state.update_sender(key, &mut waiter)
            }
        };
        wake_receiver(notified);
        Poll::Pending
    }

    /// Ends the wait of a send: takes the offer away.
    pub(super) fn stop_send(&self, wait_key: &mut WaitKey) {
        drop(self.take_back(wait_key));
    }

    /// Ends the wait of a send, and hands the message back unless a receiver has taken it.
    pub(super) fn take_back(&self, wait_key: &mut WaitKey) -> Option<T> {
        let offer = lock(&self.state).remove(wait_key.take()?)?;
        Some(offer.message)
    }

    /// Takes the oldest message and wakes its sender.
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut busy = BusySelects::default();
        let mut state = lock(&self.state);
        let Some(offer) = state.take(None, &mut busy) else {
            return Err(if state.closed { TryRecvError::Closed } else { TryRecvError::Empty });
        };
        drop(state);
        Ok(offer.accept())
    }

    /// Polls a receive; see the diagram of the [module](self).
    pub(super) fn poll_recv(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        // As in `poll_send`; cloned only if it has to wait.
        let mut spare = None;
        loop {
            let mut waiter = Waiter { waker: spare.take(), arm: current_arm(cx) };
            let mut busy = BusySelects::default();
            let mut state = lock(&self.state);
            let is_given =
                wait_key.get().and_then(|key| state.recv_waiters.find(key)).is_some_and(RecvWaiter::is_given);
            if is_given {
                let left = state.remove_receiver(wait_key);
                drop(state);
                return Poll::Ready(left.and_then(|receive| receive.message).ok_or(RecvError));
            }
            if let Some(offer) = state.take(waiter.arm.as_ref(), &mut busy) {
                let left = state.remove_receiver(wait_key);
                drop(state);
                drop(left);
                return Poll::Ready(Ok(offer.accept()));
            }
            if state.closed {
                let left = state.remove_receiver(wait_key);
                drop(state);
                drop(left);
                return Poll::Ready(Err(RecvError));
            }
            let is_waiting = state.keep_waiting(wait_key, cx, &mut waiter);
            drop(state);
            if !is_waiting {
                spare = Some(StoredWaker::of(cx.waker()));
            } else if busy.wait(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// Ends the wait of a receive that has received nothing.
    pub(super) fn stop_recv(&self, wait_key: &mut WaitKey) {
        if !wait_key.is_set() {
            return;
        }
        let mut state = lock(&self.state);
        let mut left = state.remove_receiver(wait_key);
        if let Some(message) = left.as_mut().and_then(|left| left.message.take()) {
            state.offers.push_front(Offer { message, sender: None });
            state.offer_count += 1;
        }
        // It may have been notified of an offer, or wait for a select that makes one.
        let notified = if state.offer_count != 0 { state.notify_receiver(None) } else { None };
        drop(state);
        drop(left);
        wake_receiver(notified);
    }

    /// Returns the number of messages that senders offer.
    pub(super) fn len(&self) -> usize {
        lock(&self.state).offer_count
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Wakes every sender, which takes its message back, and every receive.
    pub(super) fn close(&self) {
        let mut wakers = Vec::new();
        let mut state = lock(&self.state);
        state.closed = true;
        state
            .offers
            .for_each(|offer| wakers.extend(offer.sender.as_mut().and_then(|sender| sender.waker.take())));
        state.recv_waiters.for_each(|receive| wakers.extend(receive.waiter.waker.take()));
        drop(state);
        wake_all(wakers);
    }
}

/// Wakes a receive that has been notified.
fn wake_receiver<T>(notified: Option<RecvWaiter<T>>) {
    wake_all(notified.and_then(|receive| receive.waiter.waker));
}

impl<T> Offer<T> {
    /// Wakes the sender, and returns the message that it offered.
    fn accept(self) -> T {
        wake_all(self.sender.and_then(|sender| sender.waker));
        self.message
    }
}

impl<T> RecvWaiter<T> {
    fn is_given(&mut self) -> bool {
        self.message.is_some()
    }
}

impl<T> State<T> {
    fn remove(&mut self, key: Key) -> Option<Offer<T>> {
        let offer = self.offers.remove(key)?;
        self.offer_count -= 1;
        Some(offer)
    }

    /// Takes the oldest offer that one who receives as `own` may take. When the channel is closed, senders
    /// take their messages back, so that only the offers of senders that are gone are left.
    fn take(&mut self, own: Option<&Arm>, busy: &mut BusySelects) -> Option<Offer<T>> {
        let closed = self.closed;
        let key = self.offers.first(|offer| match &offer.sender {
            Some(sender) => !closed && busy.try_match(own, sender.arm.as_ref()),
            None => true,
        })?;
        self.remove(key)
    }

    /// Removes the first receive that may take an offer of one who sends as `own`; the caller wakes it.
    fn notify_receiver(&mut self, own: Option<&Arm>) -> Option<RecvWaiter<T>> {
        let key = self.recv_waiters.first(|RecvWaiter { waiter, .. }| {
            let is_excluded = matches!((own, &waiter.arm), (Some(own), Some(arm)) if own.excludes(arm));
            waiter.waker.is_some() && !is_excluded
        })?;
        self.recv_waiters.remove(key)
    }

    /// Has the sender of the offer `key` wait as `waiter`. If that is the arm of another select than before,
    /// or of none, other receives may take the offer than before: one is notified.
    fn update_sender(&mut self, key: Key, waiter: &mut Waiter) -> Option<RecvWaiter<T>> {
        let sender = self.offers.find(key)?.sender.as_mut()?;
        if sender.replace(waiter) {
            return None;
        }
        let arm = sender.arm.take();
        let notified = self.notify_receiver(arm.as_ref());
        if let Some(sender) = self.offers.find(key).and_then(|offer| offer.sender.as_mut()) {
            sender.arm = arm;
        }
        notified
    }

    /// Has a receive wait as `waiter`: where it is, in front of all others if it has been notified, or else
    /// at the end. Returns false, and changes nothing, if that needs a clone of the waker and `waiter` has
    /// none.
    fn keep_waiting(&mut self, wait_key: &mut WaitKey, cx: &Context<'_>, waiter: &mut Waiter) -> bool {
        if let Some(receive) = wait_key.get().and_then(|key| self.recv_waiters.find(key)) {
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
        let receive = RecvWaiter { waiter, message: None };
        let key = match wait_key.is_set() {
            true => self.recv_waiters.push_front(receive),
            false => self.recv_waiters.push_back(receive),
        };
        wait_key.set(key);
        true
    }

    /// Removes a receive from the list.
    fn remove_receiver(&mut self, wait_key: &mut WaitKey) -> Option<RecvWaiter<T>> {
        self.recv_waiters.remove(wait_key.take()?)
    }
}
