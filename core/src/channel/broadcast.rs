//! A channel whose every receiver gets every message: events.
//!
//! Sending never waits: the channel keeps the last `capacity` messages, and a receiver that falls further behind
//! is told how many it has missed and goes on with the oldest one that is left.
//!
//! A message is kept until `capacity` newer ones have come or the channel is gone. Receivers get clones of it,
//! made outside of the lock; the last one to get it takes the message itself where that can be told.
//!
//! ```
//! use twoply::{Wait, channel::broadcast};
//!
//! let (tx, mut a) = broadcast::channel(2);
//! let mut b = tx.subscribe();
//! tx.send("one").unwrap();
//! assert_eq!((a.recv().wait(), b.recv().wait()), (Ok("one"), Ok("one")));
//! ["two", "three", "four"].map(|event| tx.send(event).unwrap());
//! assert_eq!(a.recv().wait(), Err(broadcast::RecvError::Lagged(1)));
//! assert_eq!(a.recv().wait(), Ok("three"));
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::SendError;
use crate::base::sync::{Mutex, lock};
use crate::base::waitlist::{WaitKey, WaitList};
use crate::kernel::coop;

/// A channel that keeps the last `capacity` messages, at least one.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let ring =
        Ring { messages: VecDeque::new(), capacity: capacity.max(1), oldest: 0, senders: 1, receivers: 1 };
    let shared = Arc::new(Shared { ring: Mutex::new(ring), waiting: WaitList::new() });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, next: 0 })
}

/// What both ends share.
struct Shared<T> {
    /// The messages.
    ring: Mutex<Ring<T>>,
    /// The receivers that wait for one.
    waiting: WaitList,
}

/// What the lock guards.
struct Ring<T> {
    /// The last messages, oldest first.
    messages: VecDeque<Arc<T>>,
    /// How many are kept.
    capacity: usize,
    /// The number of the oldest one, counted from the first message of the channel.
    oldest: u64,
    /// How many [`Sender`]s there are.
    senders: usize,
    /// How many [`Receiver`]s there are.
    receivers: usize,
}

impl<T> Ring<T> {
    /// The number that the next message will have.
    fn end(&self) -> u64 {
        self.oldest + self.messages.len() as u64
    }
}

/// Why a receiver got no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The receiver was too slow: this many messages are gone. The next receive gets the oldest that is left.
    #[error("{0} messages were missed")]
    Lagged(u64),
    /// All senders are gone and every message has been received.
    #[error("receiving on a closed and empty channel")]
    Closed,
}

/// Why a receiver got no message at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is no new message.
    #[error("receiving on an empty channel")]
    Empty,
    /// As [`RecvError::Lagged`].
    #[error("{0} messages were missed")]
    Lagged(u64),
    /// As [`RecvError::Closed`].
    #[error("receiving on a closed and empty channel")]
    Closed,
}

/// The sending end. When the last clone is dropped the channel is closed.
pub struct Sender<T> {
    /// The channel.
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends `message` to every receiver that there is now, and returns their number. Never waits.
    ///
    /// # Errors
    /// When there is no receiver. The message is handed back.
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        let message = Arc::new(message);
        let mut ring = lock(&self.shared.ring);
        let receivers = ring.receivers;
        if receivers == 0 {
            drop(ring);
            // Nobody else has had it.
            return Arc::try_unwrap(message).map_or(Ok(0), |message| Err(SendError(message)));
        }
        let mut overwritten = None;
        if ring.messages.len() == ring.capacity {
            overwritten = ring.messages.pop_front();
            ring.oldest += 1;
        }
        ring.messages.push_back(message);
        drop(ring);
        self.shared.waiting.notify_all();
        drop(overwritten);
        Ok(receivers)
    }

    /// Another receiver, which gets the messages that are sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut ring = lock(&self.shared.ring);
        ring.receivers += 1;
        let next = ring.end();
        drop(ring);
        Receiver { shared: Arc::clone(&self.shared), next }
    }

    /// How many receivers there are.
    pub fn receivers(&self) -> usize {
        lock(&self.shared.ring).receivers
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        lock(&self.shared.ring).senders += 1;
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut ring = lock(&self.shared.ring);
        ring.senders -= 1;
        let last = ring.senders == 0;
        drop(ring);
        if last {
            self.shared.waiting.notify_all();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("receivers", &self.receivers()).finish()
    }
}

/// A receiving end. A clone gets the same messages that the original has not received yet.
pub struct Receiver<T> {
    /// The channel.
    shared: Arc<Shared<T>>,
    /// The number of the message that it gets next.
    next: u64,
}

impl<T: Clone> Receiver<T> {
    /// Receives the next message; finish it with `.await` or `.wait()`. A future that is dropped has received
    /// nothing.
    ///
    /// # Errors
    /// [`Lagged`](RecvError::Lagged) when messages were missed, [`Closed`](RecvError::Closed) at the end.
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self, wait_key: WaitKey::new() }
    }

    /// Receives the next message if it is there already.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv), and [`Empty`](TryRecvError::Empty) when there is none now.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.shared.take(&mut self.next).map(Arc::unwrap_or_clone)
    }
}

impl<T> Receiver<T> {
    /// How many messages it is behind, including those that it has missed.
    pub fn behind(&self) -> u64 {
        lock(&self.shared.ring).end() - self.next
    }
}

impl<T> Shared<T> {
    /// The message `next`, or why there is none. Counts `next` up where a receiver has seen it or missed it.
    fn take(&self, next: &mut u64) -> Result<Arc<T>, TryRecvError> {
        let ring = lock(&self.ring);
        if *next < ring.oldest {
            let missed = ring.oldest - *next;
            *next = ring.oldest;
            return Err(TryRecvError::Lagged(missed));
        }
        match ring.messages.get((*next - ring.oldest) as usize) {
            Some(message) => {
                *next += 1;
                Ok(Arc::clone(message))
            }
            None if ring.senders == 0 => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        lock(&self.shared.ring).receivers += 1;
        Receiver { shared: Arc::clone(&self.shared), next: self.next }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut ring = lock(&self.shared.ring);
        ring.receivers -= 1;
        let mut unread = VecDeque::new();
        if ring.receivers == 0 {
            ring.oldest = ring.end();
            unread = std::mem::take(&mut ring.messages);
        }
        drop(ring);
        drop(unread);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("behind", &self.behind()).finish()
    }
}

/// See [`Receiver::recv`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Recv<'a, T> {
    /// The receiver.
    receiver: &'a mut Receiver<T>,
    /// Its place in line while it waits.
    wait_key: WaitKey,
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let unit = ready!(coop::proceed(cx));
        let Recv { receiver, wait_key } = self.get_mut();
        let Receiver { shared, next } = &mut **receiver;
        let result = ready!(shared.waiting.poll_until(wait_key, cx, || match shared.take(next) {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
        }));
        unit.spend();
        Poll::Ready(result.map(Arc::unwrap_or_clone))
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        self.receiver.shared.waiting.withdraw(&mut self.wait_key);
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}
