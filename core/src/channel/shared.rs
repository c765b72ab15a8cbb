//! The part of a channel that its ends share: its messages, and the counts of both ends.
//!
//! # No message is left behind
//! When the last receiver goes, the channel is closed and what is queued is dropped. A send that runs
//! meanwhile has pushed before the close, or finds the channel closed.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Context, Poll, ready};

use super::priority::PriorityQueue;
use super::queue::Queue;
use super::rendezvous::Rendezvous;
use super::{RecvError, ReserveError, SendError, TryRecvError, TrySendError};
use crate::base::sync::atomic::AtomicUsize;
use crate::base::sync::atomic::Ordering::{AcqRel, Relaxed};
use crate::base::waitlist::WaitKey;
use crate::base::wake::for_each_then_resume;
use crate::kernel::coop;
use crate::kernel::strand::part_with;
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// The part of a channel that its ends share.
pub(super) struct Shared<T> {
    flavor: Flavor<T>,
    /// The number of [`Sender`](super::Sender)s; the last to go closes the channel.
    senders: AtomicUsize,
    /// The number of [`Receiver`](super::Receiver)s; the last to go closes the channel and drops the
    /// messages.
    receivers: AtomicUsize,
}

/// The kinds of channel.
pub(super) enum Flavor<T> {
    /// Messages wait in a queue.
    Queue(Queue<VecDeque<T>>),
    /// Messages wait with their senders.
    Rendezvous(Rendezvous<T>),
    /// Messages wait in a queue that the more urgent ones jump. Boxed, so that it makes no other channel
    /// larger.
    Priority(Box<PriorityQueue<T>>),
}

impl<T> Shared<T> {
    /// Makes a channel with one sender and one receiver.
    pub(super) fn new(flavor: Flavor<T>) -> Shared<T> {
        Shared { flavor, senders: AtomicUsize::new(1), receivers: AtomicUsize::new(1) }
    }

    #[inline]
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        part_with::<T>();
        match &self.flavor {
            Flavor::Queue(queue) => queue.try_send(message),
            Flavor::Rendezvous(offers) => offers.try_send(message),
            Flavor::Priority(urgent) => urgent.try_send(message),
        }
    }

    #[inline]
    pub(super) fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        part_with::<T>();
        let unit = ready!(coop::proceed(cx));
        let sent = match &self.flavor {
            Flavor::Queue(queue) => queue.poll_send(wait_key, message, cx),
            Flavor::Rendezvous(offers) => offers.poll_send(wait_key, message, cx),
            Flavor::Priority(urgent) => urgent.poll_send(wait_key, message, cx),
        };
        let result = ready!(waiting::note(sent, || WaitingFor::Room { channel: address_of(self) }));
        unit.spend();
        Poll::Ready(result)
    }

    /// Ends the wait of a send as [`stop_send`](Shared::stop_send) does, and hands back the message if the
    /// channel has it.
    pub(super) fn take_back(&self, wait_key: &mut WaitKey) -> Option<T> {
        match &self.flavor {
            Flavor::Rendezvous(offers) => offers.take_back(wait_key),
            Flavor::Queue(_) | Flavor::Priority(_) => {
                self.stop_send(wait_key);
                None
            }
        }
    }

    /// Polls for room that is kept until there is a message.
    pub(super) fn poll_reserve(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ReserveError>> {
        let unit = ready!(coop::proceed(cx));
        let reserved = match &self.flavor {
            Flavor::Queue(queue) => queue.poll_reserve(wait_key, cx),
            Flavor::Priority(urgent) => urgent.queue.poll_reserve(wait_key, cx),
            Flavor::Rendezvous(_) => return Poll::Ready(Err(ReserveError::Rendezvous)),
        };
        let reserved = ready!(waiting::note(reserved, || WaitingFor::Room { channel: address_of(self) }));
        unit.spend();
        Poll::Ready(reserved.ok_or(ReserveError::Closed))
    }

    /// Takes room that is there now.
    pub(super) fn try_reserve(&self) -> Result<(), ReserveError> {
        let reserved = match &self.flavor {
            Flavor::Queue(queue) => queue.try_reserve(),
            Flavor::Priority(urgent) => urgent.queue.try_reserve(),
            Flavor::Rendezvous(_) => return Err(ReserveError::Rendezvous),
        };
        reserved.map_err(|error| if error.is_full() { ReserveError::Full } else { ReserveError::Closed })
    }

    /// Sends a message into room that was reserved.
    pub(super) fn send_reserved(&self, message: T) -> Result<(), SendError<T>> {
        part_with::<T>();
        match &self.flavor {
            Flavor::Queue(queue) => queue.send_reserved(message),
            Flavor::Priority(urgent) => urgent.send_reserved(message),
            // A rendezvous has no room that could be reserved.
            Flavor::Rendezvous(_) => Err(SendError(message)),
        }
    }

    /// Gives room back that was reserved.
    pub(super) fn release_reserved(&self) {
        match &self.flavor {
            Flavor::Queue(queue) => queue.release_reserved(),
            Flavor::Priority(urgent) => urgent.queue.release_reserved(),
            Flavor::Rendezvous(_) => {}
        }
    }

    pub(super) fn stop_send(&self, wait_key: &mut WaitKey) {
        match &self.flavor {
            Flavor::Queue(queue) => queue.stop_send(wait_key),
            Flavor::Rendezvous(offers) => offers.stop_send(wait_key),
            Flavor::Priority(urgent) => urgent.queue.stop_send(wait_key),
        }
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        match &self.flavor {
            Flavor::Queue(queue) => queue.try_recv(),
            Flavor::Rendezvous(offers) => offers.try_recv(),
            Flavor::Priority(urgent) => urgent.try_recv(),
        }
    }

    #[inline]
    pub(super) fn poll_recv(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        let unit = ready!(coop::proceed(cx));
        let received = match &self.flavor {
            Flavor::Queue(queue) => queue.poll_recv(wait_key, cx),
            Flavor::Rendezvous(offers) => offers.poll_recv(wait_key, cx),
            Flavor::Priority(urgent) => urgent.poll_recv(wait_key, cx),
        };
        let result = ready!(waiting::note(received, || WaitingFor::Message { channel: address_of(self) }));
        unit.spend();
        Poll::Ready(result)
    }

    pub(super) fn stop_recv(&self, wait_key: &mut WaitKey) {
        match &self.flavor {
            Flavor::Queue(queue) => queue.stop_recv(wait_key),
            Flavor::Rendezvous(offers) => offers.stop_recv(wait_key),
            Flavor::Priority(urgent) => urgent.queue.stop_recv(wait_key),
        }
    }

    /// Appends up to `limit` messages that can be received at once to `received`.
    pub(super) fn recv_more(&self, received: &mut Vec<T>, limit: usize) {
        match &self.flavor {
            Flavor::Queue(queue) => queue.recv_more(received, limit),
            Flavor::Priority(urgent) => urgent.recv_more(received, limit),
            Flavor::Rendezvous(offers) => {
                received.extend(std::iter::from_fn(|| offers.try_recv().ok()).take(limit));
            }
        }
    }

    /// Takes everything that can be received at once.
    pub(super) fn drain(&self) -> VecDeque<T> {
        match &self.flavor {
            Flavor::Queue(queue) => queue.drain(),
            Flavor::Rendezvous(offers) => std::iter::from_fn(|| offers.try_recv().ok()).collect(),
            Flavor::Priority(urgent) => urgent.drain(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.flavor {
            Flavor::Queue(queue) => queue.len(),
            Flavor::Rendezvous(offers) => offers.len(),
            Flavor::Priority(urgent) => urgent.queue.len(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        match &self.flavor {
            Flavor::Queue(queue) => queue.is_full(),
            Flavor::Rendezvous(_) => true,
            Flavor::Priority(urgent) => urgent.queue.is_full(),
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        match &self.flavor {
            Flavor::Queue(queue) => queue.capacity(),
            Flavor::Rendezvous(_) => Some(0),
            Flavor::Priority(urgent) => urgent.queue.capacity(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.flavor {
            Flavor::Queue(queue) => queue.is_closed(),
            Flavor::Rendezvous(offers) => offers.is_closed(),
            Flavor::Priority(urgent) => urgent.queue.is_closed(),
        }
    }

    pub(super) fn close(&self) {
        match &self.flavor {
            Flavor::Queue(queue) => queue.close(),
            Flavor::Rendezvous(offers) => offers.close(),
            Flavor::Priority(urgent) => urgent.queue.close(),
        }
    }

    pub(super) fn add_sender(&self) {
        // Relaxed, as for Arc: whoever clones a sender has one.
        self.senders.fetch_add(1, Relaxed);
    }

    /// Counts one more sender, unless the last one is gone. Returns whether it did.
    pub(super) fn try_add_sender(&self) -> bool {
        // Relaxed, as in `add_sender`: the count says that there is a sender, and publishes nothing.
        self.senders.fetch_update(Relaxed, Relaxed, |count| (count != 0).then(|| count + 1)).is_ok()
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
    fn a_sender_that_is_found_again_keeps_the_channel_open() {
        loom::model(|| {
            let (tx, _rx) = bounded::<u8>(1);
            let weak = tx.downgrade();
            let last = thread::spawn(move || drop(tx));
            match weak.upgrade() {
                Some(found) => {
                    last.join().unwrap();
                    assert!(!found.is_closed());
                }
                None => {
                    last.join().unwrap();
                    assert!(weak.upgrade().is_none());
                }
            }
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
