//! What the ends of one channel share: the queue, those who wait, and who is still there.
//!
//! The queue is flume's, used through `try_send`, `try_recv` and `drain` only. Those never wait, and they never
//! run a waker, so none of flume's own ways to wait can be mixed with ours. flume never learns that an end has
//! gone either: this module holds both of its ends, and counts ours.
//!
//! # No message is left behind
//! When the last receiver goes, what is queued is dropped. A send may be on its way meanwhile, so both sides look
//! twice: the receiver sets the count to 0, then empties the queue; the sender pushes, then looks at the count, and
//! empties the queue itself if that is 0. A fence on either side keeps the two steps in order.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Context, Poll, ready};

use super::permits::Permits;
use super::rendezvous::{Offers, Settled};
use super::{RecvError, SendError, TryRecvError, TrySendError};
use crate::coop;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::sync::atomic::{AtomicBool, AtomicUsize, fence};
use crate::waitlist::{Place, WaitList};

/// See the [module](self).
pub(super) struct Shared<T> {
    /// Where messages are between a send and a receive.
    pub(super) flow: Flow<T>,
    /// The receives that wait.
    receiving: WaitList,
    /// How many [`Sender`](super::Sender)s there are.
    senders: AtomicUsize,
    /// How many [`Receiver`](super::Receiver)s there are.
    receivers: AtomicUsize,
    /// No more sends: set by either side, or when either side is gone; never cleared.
    closed: AtomicBool,
}

/// The three kinds of channel.
pub(super) enum Flow<T> {
    /// Messages wait in a queue.
    Queue(Queue<T>),
    /// Messages wait with their senders.
    Rendezvous(Offers<T>),
}

/// What [`Shared::drain`] has taken.
pub(super) enum Messages<'a, T> {
    /// The queue as it was.
    Queued(flume::Drain<'a, T>),
    /// What senders held out.
    Offered(std::vec::IntoIter<T>),
}

/// A queue, and the room that is left in it.
pub(super) struct Queue<T> {
    /// Its entrance.
    entrance: flume::Sender<T>,
    /// Its exit.
    exit: flume::Receiver<T>,
    /// The free places.
    permits: Permits,
}

impl<T> Queue<T> {
    /// A queue for `capacity` messages; `None`: no limit.
    pub(super) fn new(capacity: Option<usize>) -> Queue<T> {
        // The limit is kept by the permits, for the sake of their fairness.
        let (entrance, exit) = flume::unbounded();
        Queue { entrance, exit, permits: Permits::new(capacity) }
    }

    #[inline]
    fn pop(&self) -> Option<T> {
        if self.permits.all_free() {
            return None;
        }
        let message = self.exit.try_recv().ok()?;
        self.permits.release(1);
        Some(message)
    }

    /// Takes everything that is queued.
    fn drain(&self) -> flume::Drain<'_, T> {
        let messages = self.exit.drain();
        self.permits.release(messages.len());
        messages
    }
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
        Shared {
            flow,
            receiving: WaitList::new(),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            closed: AtomicBool::new(false),
        }
    }

    /// Pushes a message that a place is reserved for.
    #[inline]
    fn push(&self, queue: &Queue<T>, message: T) -> Result<(), SendError<T>> {
        // It has room and an exit, so it takes every message.
        queue.entrance.try_send(message).map_err(|error| SendError(error.into_inner()))?;
        self.receiving.notify_one();
        // The fence in `notify_one` pairs with the one in `remove_receiver`: see the module's documentation.
        if self.receivers.load(Relaxed) == 0 {
            self.discard(queue);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        if self.is_closed() {
            return Err(TrySendError::Closed(message));
        }
        match &self.flow {
            Flow::Queue(queue) if queue.permits.try_acquire() => Ok(self.push(queue, message)?),
            Flow::Queue(_) => Err(TrySendError::Full(message)),
            Flow::Rendezvous(_) => Err(TrySendError::Full(message)),
        }
    }

    #[inline]
    pub(super) fn poll_send(
        &self,
        place: &mut Place,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        let unit = ready!(coop::proceed(cx));
        let result = match &self.flow {
            Flow::Queue(queue) => ready!(self.poll_push(queue, place, message, cx)),
            Flow::Rendezvous(offers) => match offers.settle(place, message, cx) {
                Settled::Offered => {
                    self.receiving.notify_one();
                    return Poll::Pending;
                }
                Settled::Waiting => return Poll::Pending,
                Settled::Done(result) => result,
            },
        };
        unit.spend();
        Poll::Ready(result)
    }

    fn poll_push(
        &self,
        queue: &Queue<T>,
        place: &mut Place,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        let acquired = match self.is_closed() {
            false => queue.permits.poll_acquire(place, cx),
            true => Poll::Pending,
        };
        // Looked at after the wait list's, so that a close which did not find this waiter is found by it, and
        // the token of a close is not mistaken for a permit.
        if self.is_closed() {
            self.stop_send(place);
            return Poll::Ready(Err(SendError(unsent(message))));
        }
        ready!(acquired);
        Poll::Ready(self.push(queue, unsent(message)))
    }

    pub(super) fn stop_send(&self, place: &mut Place) {
        match &self.flow {
            Flow::Queue(queue) => queue.permits.give_up(place),
            Flow::Rendezvous(offers) => offers.withdraw(place),
        }
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        // Looked at before the queue: what was sent before the close is received.
        let closed = self.is_closed();
        let message = match &self.flow {
            Flow::Queue(queue) => queue.pop(),
            Flow::Rendezvous(offers) => offers.take(),
        };
        message.ok_or(if closed { TryRecvError::Closed } else { TryRecvError::Empty })
    }

    #[inline]
    pub(super) fn poll_recv(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let unit = ready!(coop::proceed(cx));
        let result = ready!(self.receiving.poll_until(place, cx, || match self.try_recv() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(RecvError)),
        }));
        unit.spend();
        Poll::Ready(result)
    }

    pub(super) fn stop_recv(&self, place: &mut Place) {
        self.receiving.withdraw(place);
    }

    /// Takes everything that can be received at once.
    pub(super) fn drain(&self) -> Messages<'_, T> {
        match &self.flow {
            Flow::Queue(queue) => Messages::Queued(queue.drain()),
            Flow::Rendezvous(offers) => {
                Messages::Offered(std::iter::from_fn(|| offers.take()).collect::<Vec<_>>().into_iter())
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.flow {
            Flow::Queue(queue) => queue.exit.len(),
            Flow::Rendezvous(offers) => offers.len(),
        }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        match &self.flow {
            Flow::Queue(queue) => queue.permits.capacity(),
            Flow::Rendezvous(_) => Some(0),
        }
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        // Acquire pairs with Release in `close`: a receiver that sees it sees every message sent before.
        self.closed.load(Acquire)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Release);
        match &self.flow {
            Flow::Queue(queue) => queue.permits.close(),
            Flow::Rendezvous(offers) => offers.close(),
        }
        self.receiving.notify_all();
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
            // Pairs with the fence in `notify_one` as called by `push`: see the module's documentation.
            fence(SeqCst);
            if let Flow::Queue(queue) = &self.flow {
                self.discard(queue);
            }
        }
    }

    /// Drops what is queued, all of it, even where a destructor panics; the first panic goes on afterwards, unless
    /// this thread is panicking already.
    #[cold]
    fn discard(&self, queue: &Queue<T>) {
        let mut first_panic = None;
        while let Ok(message) = queue.exit.try_recv() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(message))) {
                first_panic.get_or_insert(payload);
            }
        }
        if let Some(payload) = first_panic
            && !std::thread::panicking()
        {
            resume_unwind(payload);
        }
    }
}

/// flume's own lock is not modelled: each of its calls is one step.
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
