//! The messages of a channel without places: each stays with its sender until a receiver takes it.
//!
//! A waiting send keeps an offer here. A receiver takes the message out of the offer at the front and wakes its
//! sender, which finds the offer taken. A send that is dropped before takes its offer away.
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
//! ```

use std::task::{Context, Poll};

use super::{RecvError, SendError, TryRecvError};
use crate::sync::{Mutex, lock};
use crate::waitlist::{Key, Place, Slots, WaitList};
use crate::wake::{StoredWaker, wake_all};

/// See the [module](self).
pub(super) struct Rendezvous<T> {
    /// The open offers.
    line: Mutex<Line<T>>,
    /// The receives that wait.
    receiving: WaitList,
}

/// What the lock guards.
struct Line<T> {
    /// The offers, oldest first.
    slots: Slots<Offer<T>>,
    /// How many there are.
    open: usize,
    /// No more offers.
    closed: bool,
}

/// A message that a sender holds out.
struct Offer<T> {
    /// The message.
    message: T,
    /// Wakes the sender; `None` when that has been done, at the end of the channel.
    waker: Option<StoredWaker>,
}

impl<T> Rendezvous<T> {
    pub(super) fn new() -> Rendezvous<T> {
        let line = Line { slots: Slots::new(), open: 0, closed: false };
        Rendezvous { line: Mutex::new(line), receiving: WaitList::new() }
    }

    /// The sender's poll: makes the offer with the message from `message`, or looks what became of it.
    pub(super) fn poll_offer(
        &self,
        place: &mut Place,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        // Cloned before the lock is taken and, as the older local, dropped after: both run code of the waker's.
        let mut waker = Some(StoredWaker::of(cx.waker()));
        let Some(key) = place.key() else {
            let message = super::shared::unsent(message);
            let mut line = lock(&self.line);
            if line.closed {
                return Poll::Ready(Err(SendError(message)));
            }
            place.set(line.slots.push_back(Offer { message, waker }));
            line.open += 1;
            drop(line);
            self.receiving.notify_one();
            return Poll::Pending;
        };
        let mut line = lock(&self.line);
        let closed = line.closed;
        if let Some(offer) = line.slots.find(key)
            && !closed
        {
            std::mem::swap(&mut offer.waker, &mut waker);
            return Poll::Pending;
        }
        let offer = line.remove(key);
        drop(line);
        place.take();
        Poll::Ready(match offer {
            Some(offer) => Err(SendError(offer.message)),
            None => Ok(()),
        })
    }

    /// The sender's drop: takes the offer away.
    pub(super) fn withdraw(&self, place: &mut Place) {
        let Some(key) = place.take() else { return };
        let offer = lock(&self.line).remove(key);
        drop(offer);
    }

    /// A receiver takes the oldest message and wakes its sender.
    pub(super) fn try_take(&self) -> Result<T, TryRecvError> {
        let mut line = lock(&self.line);
        if line.closed {
            return Err(TryRecvError::Closed);
        }
        let Some(offer) = line.slots.pop_front() else { return Err(TryRecvError::Empty) };
        line.open -= 1;
        drop(line);
        wake_all(offer.waker);
        Ok(offer.message)
    }

    /// A receive's poll.
    pub(super) fn poll_take(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        self.receiving.poll_until(place, cx, || match self.try_take() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(RecvError)),
        })
    }

    /// A receive that has received nothing ends.
    pub(super) fn stop_take(&self, place: &mut Place) {
        self.receiving.withdraw(place);
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
        line.slots.for_each(|offer| wakers.extend(offer.waker.take()));
        drop(line);
        wake_all(wakers);
        self.receiving.notify_all();
    }
}

impl<T> Line<T> {
    fn remove(&mut self, key: Key) -> Option<Offer<T>> {
        let offer = self.slots.remove(key)?;
        self.open -= 1;
        Some(offer)
    }
}
