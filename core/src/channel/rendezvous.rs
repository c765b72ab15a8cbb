//! The messages of a channel without places: each stays with its sender until a receiver takes it.
//!
//! A waiting send keeps an offer here. A receiver takes the message out of the offer at the front and wakes its
//! sender, which finds the offer taken. A send that is dropped before takes its offer away. flume's own channel
//! of capacity 0 serves blocked receivers only, so nothing of flume is used here.
//!
//! ```text
//! offer:  absent ──(1) place──▶ open ──(2) take──▶ taken ──(3) settle/withdraw──▶ absent
//!            ▲                   │
//!            └──(4) withdraw/close
//!
//! (1) settle    the sender's first poll.
//! (2) take      a receiver.
//! (3) settle    the sender's next poll, or withdraw in its drop.
//! (4) withdraw  the sender's drop; or settle, when the channel is closed: the message goes back.
//! ```

use std::task::{Context, Waker};

use super::SendError;
use crate::sync::{Mutex, lock};
use crate::waitlist::{Place, Slots};

/// See the [module](self).
pub(super) struct Offers<T> {
    /// The open offers in line, oldest first, and the taken ones out of it.
    line: Mutex<Line<T>>,
}

/// What the lock guards.
struct Line<T> {
    /// The offers.
    slots: Slots<Offer<T>>,
    /// How many of them are open.
    open: usize,
    /// No more offers.
    closed: bool,
}

/// A message that a sender holds out.
enum Offer<T> {
    /// Nobody has taken it.
    Open {
        /// The message.
        message: T,
        /// Wakes the sender.
        waker: Waker,
    },
    /// A receiver has it.
    Taken,
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
            place.set(line.slots.push_back(Offer::Open { message, waker }));
            line.open += 1;
            return Settled::Offered;
        };
        let mut line = lock(&self.line);
        let closed = line.closed;
        if let Some(Offer::Open { waker: current, .. }) = line.slots.find(key)
            && !closed
        {
            std::mem::swap(current, &mut waker);
            return Settled::Waiting;
        }
        let offer = line.slots.remove(key);
        drop(line);
        place.take();
        Settled::Done(match offer {
            // Closing took the offer out of line and out of the count.
            Some(Offer::Open { message, .. }) => Err(SendError(message)),
            Some(Offer::Taken) | None => Ok(()),
        })
    }

    /// The sender's drop: takes the offer away.
    pub(super) fn withdraw(&self, place: &mut Place) {
        let Some(key) = place.take() else { return };
        let mut line = lock(&self.line);
        let offer = line.slots.remove(key);
        if let Some(Offer::Open { .. }) = offer
            && !line.closed
        {
            line.open -= 1;
        }
        drop(line);
        drop(offer);
    }

    /// A receiver takes the oldest message and wakes its sender.
    pub(super) fn take(&self) -> Option<T> {
        let mut line = lock(&self.line);
        if line.closed {
            return None;
        }
        let offer = std::mem::replace(line.slots.pop_line()?, Offer::Taken);
        line.open -= 1;
        drop(line);
        match offer {
            Offer::Open { message, waker } => {
                waker.wake();
                Some(message)
            }
            Offer::Taken => None,
        }
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
        line.open = 0;
        while let Some(offer) = line.slots.pop_line() {
            if let Offer::Open { waker, .. } = offer {
                wakers.push(std::mem::replace(waker, Waker::noop().clone()));
            }
        }
        drop(line);
        wakers.into_iter().for_each(Waker::wake);
    }
}
