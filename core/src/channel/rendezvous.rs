//! The messages of a channel without places: each stays with its sender until a receiver takes it.
//!
//! A waiting send keeps an offer here. A receiver takes the message out of the offer at the front and wakes its
//! sender, which finds the offer taken. A send that is dropped before takes its offer away. flume's own channel
//! of capacity 0 serves blocked receivers only, so nothing of flume is used here.
//!
//! ```text
//! offer:  absent ──(1) settle──▶ open ──(2) take──▶ taken ──(3) settle/withdraw──▶ absent
//!            ▲                    │
//!            └──(4) withdraw──────┘
//!
//! (1) settle    the sender's first poll: the offer enters the line, under a key that the sender keeps.
//! (2) take      a receiver: the offer leaves the line. A key without an offer means "taken".
//! (3) settle    the sender's next poll, or withdraw in its drop.
//! (4) withdraw  the sender's drop; or settle, when the channel is closed: the message goes back.
//! ```

use std::task::{Context, Waker};

use super::SendError;
use crate::sync::{Mutex, lock};
use crate::waitlist::{Key, Place, Slots};

/// See the [module](self).
pub(super) struct Offers<T> {
    /// The open offers.
    line: Mutex<Line<T>>,
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
    /// Wakes the sender.
    waker: Waker,
}

/// What became of a send.
pub(super) enum Settled<T> {
    /// The offer has just been made: receivers must be told.
    Offered,
    /// Nobody has taken it yet.
    Waiting,
    /// It was taken, or the channel is closed.
    Done(Result<(), SendError<T>>),
}

impl<T> Offers<T> {
    pub(super) fn new() -> Offers<T> {
        Offers { line: Mutex::new(Line { slots: Slots::new(), open: 0, closed: false }) }
    }

    /// The sender's poll: makes the offer with the message from `message`, or looks what became of it.
    pub(super) fn settle(
        &self,
        place: &mut Place,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Settled<T> {
        // Cloned before the lock is taken and, as the older local, dropped after: both run code of the waker's.
        let mut waker = cx.waker().clone();
        let Some(key) = place.key() else {
            let message = super::shared::unsent(message);
            let mut line = lock(&self.line);
            if line.closed {
                return Settled::Done(Err(SendError(message)));
            }
            place.set(line.slots.push_back(Offer { message, waker }));
            line.open += 1;
            return Settled::Offered;
        };
        let mut line = lock(&self.line);
        let closed = line.closed;
        if let Some(offer) = line.slots.find(key)
            && !closed
        {
            std::mem::swap(&mut offer.waker, &mut waker);
            return Settled::Waiting;
        }
        let offer = line.remove(key);
        drop(line);
        place.take();
        Settled::Done(match offer {
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
    pub(super) fn take(&self) -> Option<T> {
        let mut line = lock(&self.line);
        if line.closed {
            return None;
        }
        let offer = line.slots.pop_front()?;
        line.open -= 1;
        drop(line);
        offer.waker.wake();
        Some(offer.message)
    }

    /// How many messages senders hold out.
    pub(super) fn len(&self) -> usize {
        lock(&self.line).open
    }

    /// Wakes every sender: each takes its message back.
    pub(super) fn close(&self) {
        let mut wakers = Vec::new();
        let mut line = lock(&self.line);
        line.closed = true;
        line.slots.for_each(|offer| wakers.push(std::mem::replace(&mut offer.waker, Waker::noop().clone())));
        drop(line);
        crate::wake::wake_all(wakers);
    }
}

impl<T> Line<T> {
    fn remove(&mut self, key: Key) -> Option<Offer<T>> {
        let offer = self.slots.remove(key)?;
        self.open -= 1;
        Some(offer)
    }
}
