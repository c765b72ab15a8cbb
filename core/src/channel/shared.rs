//! What the ends of one channel share: where its messages are, and who is still there.
//!
//! # No message is left behind
//! When the last receiver goes, the channel is closed and what is queued is dropped. A send that runs meanwhile
//! has pushed before the close, or finds the channel closed.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Context, Poll, ready};

use super::queue::Queue;
use super::rendezvous::Rendezvous;
use super::{RecvError, SendError, TryRecvError, TrySendError};
use crate::base::sync::atomic::AtomicUsize;
use crate::base::sync::atomic::Ordering::{AcqRel, Relaxed};
use crate::base::waitlist::WaitKey;
use crate::base::wake::for_each_then_resume;
use crate::kernel::coop;

/// See the [module](self).
pub(super) struct Shared<T> {
    /// Where messages are between a send and a receive.
    flow: Flow<T>,
    /// How many [`Sender`](super::Sender)s there are.
    senders: AtomicUsize,
    /// How many [`Receiver`](super::Receiver)s there are.
    receivers: AtomicUsize,
}

/// The two kinds of channel.
pub(super) enum Flow<T> {
    /// Messages wait in a queue.
    Queue(Queue<T>),
    /// Messages wait with their senders.
    Rendezvous(Rendezvous<T>),
}

/// Takes the message of a send out for good.
pub(super) fn unsent<T>(message: &mut Option<T>) -> T {
    match message.take() {
        Some(message) => message,
        None => panic!("a send was polled after it was done"),
    }
}

impl<T> Shared<T> {
    /// A channel with one sender and one receiver.
    pub(super) fn new(flow: Flow<T>) -> Shared<T> {
        Shared { flow, senders: AtomicUsize::new(1), receivers: AtomicUsize::new(1) }
    }

    #[inline]
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match &self.flow {
            Flow::Queue(queue) => queue.try_push(message),
            Flow::Rendezvous(offers) => offers.try_give(message),
        }
    }

    #[inline]
    pub(super) fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        let unit = ready!(coop::proceed(cx));
        let result = ready!(match &self.flow {
            Flow::Queue(queue) => queue.poll_push(wait_key, message, cx),
            Flow::Rendezvous(offers) => offers.poll_offer(wait_key, message, cx),
        });
        unit.spend();
        Poll::Ready(result)
    }

    pub(super) fn stop_send(&self, wait_key: &mut WaitKey) {
        match &self.flow {
            Flow::Queue(queue) => queue.stop_push(wait_key),
            Flow::Rendezvous(offers) => offers.withdraw(wait_key),
        }
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        match &self.flow {
            Flow::Queue(queue) => queue.try_pop(),
            Flow::Rendezvous(offers) => offers.try_take(),
        }
    }

    #[inline]
    pub(super) fn poll_recv(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        let unit = ready!(coop::proceed(cx));
        let result = ready!(match &self.flow {
            Flow::Queue(queue) => queue.poll_pop(wait_key, cx),
            Flow::Rendezvous(offers) => offers.poll_take(wait_key, cx),
        });
        unit.spend();
        Poll::Ready(result)
    }

    pub(super) fn stop_recv(&self, wait_key: &mut WaitKey) {
        match &self.flow {
            Flow::Queue(queue) => queue.stop_pop(wait_key),
            Flow::Rendezvous(offers) => offers.stop_take(wait_key),
        }
    }

    /// Takes everything that can be received at once.
    pub(super) fn drain(&self) -> VecDeque<T> {
        match &self.flow {
            Flow::Queue(queue) => queue.drain(),
            Flow::Rendezvous(offers) => std::iter::from_fn(|| offers.try_take().ok()).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.flow {
            Flow::Queue(queue) => queue.len(),
            Flow::Rendezvous(offers) => offers.len(),
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        match &self.flow {
            Flow::Queue(queue) => queue.capacity(),
            Flow::Rendezvous(_) => Some(0),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.flow {
            Flow::Queue(queue) => queue.is_closed(),
            Flow::Rendezvous(offers) => offers.is_closed(),
        }
    }

    pub(super) fn close(&self) {
        match &self.flow {
            Flow::Queue(queue) => queue.close(),
            Flow::Rendezvous(offers) => offers.close(),
        }
    }

    pub(super) fn add_sender(&self) {
        // Relaxed, as for Arc: whoever clones a sender has one.
        self.senders.fetch_add(1, Relaxed);
    }

    pub(super) fn add_receiver(&self) {
        // Relaxed, as for Arc: whoever clones a receiver has one.
        self.receivers.fetch_add(1, Relaxed);
    }

    pub(super) fn remove_sender(&self) {
        // AcqRel: the last one to go publishes with `close` what all the others have sent.
        if self.senders.fetch_sub(1, AcqRel) == 1 {
            self.close();
        }
    }

    pub(super) fn remove_receiver(&self) {
        if self.receivers.fetch_sub(1, AcqRel) == 1 {
            self.close();
            discard(self.drain());
        }
    }
}

/// Drops all of `messages`, even where a destructor panics; the first panic goes on afterwards, unless this
/// thread is panicking already.
fn discard<T>(messages: VecDeque<T>) {
    let panicking = std::thread::panicking();
    let dropped = catch_unwind(AssertUnwindSafe(|| for_each_then_resume(messages, drop)));
    match dropped {
        Err(payload) if panicking => std::mem::forget(payload),
        Err(payload) => resume_unwind(payload),
        Ok(()) => {}
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::sync::Arc;

    use super::super::{TryRecvError, bounded};
    use loom::thread;

    #[test]
    fn no_message_survives_the_last_receiver() {
        loom::model(|| {
            let (tx, rx) = bounded(1);
            let message = Arc::new(());
            let held = Arc::downgrade(&message);
            let sender = thread::spawn(move || {
                drop(tx.try_send(message));
                tx
            });
            drop(rx);
            let tx = sender.join().unwrap();
            assert!(held.upgrade().is_none(), "the sender keeps it alive");
            drop(tx);
        });
    }

    #[test]
    fn what_was_sent_before_the_end_is_received_before_the_end() {
        loom::model(|| {
            let (tx, rx) = bounded(1);
            let receiver = thread::spawn(move || {
                let first = rx.try_recv();
                (rx, first)
            });
            assert!(tx.try_send(1).is_ok());
            drop(tx);
            let (rx, first) = receiver.join().unwrap();
            if first == Err(TryRecvError::Empty) {
                assert_eq!(rx.try_recv(), Ok(1));
            } else {
                assert_eq!(first, Ok(1));
            }
            assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
        });
    }
}
