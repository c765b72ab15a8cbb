//! A channel whose every receiver gets every message: events.
//!
//! Sending never waits: the channel keeps the last `capacity` messages, and a receiver that falls further
//! behind is told how many it has missed and goes on with the oldest one that is left.
//!
//! A message is kept until `capacity` newer ones have come or the channel is gone. Receivers get clones of
//! it, made outside of the lock; the last one to get it takes the message itself where that can be told.
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
use super::weak::weak_sender;
use crate::base::sync::{Mutex, lock};
use crate::base::waitlist::{WaitKey, WaitList};
use crate::kernel::coop;
use crate::kernel::strand::part_with;
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// Makes a channel that keeps the last `capacity` messages, at least one.
///
/// ```
/// let (tx, mut rx) = twoply::channel::broadcast::channel(16);
/// assert_eq!(tx.send("event"), Ok(1));
/// assert_eq!(rx.try_recv(), Ok("event"));
/// ```
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let ring =
        Ring { messages: VecDeque::new(), capacity: capacity.max(1), oldest: 0, senders: 1, receivers: 1 };
    let shared = Arc::new(Shared { ring: Mutex::new(ring), waiting: WaitList::new() });
    (Sender::new(Arc::clone(&shared)), Receiver { shared, next: 0 })
}

/// The part that both ends share.
struct Shared<T> {
    ring: Mutex<Ring<T>>,
    /// The receivers that wait for a message.
    waiting: WaitList,
}

/// The content of the channel, under the lock.
struct Ring<T> {
    /// The last messages, oldest first.
    messages: VecDeque<Arc<T>>,
    /// The most messages that are kept.
    capacity: usize,
    /// The number of the oldest message, counted from the first message of the channel.
    oldest: u64,
    /// The number of [`Sender`]s.
    senders: usize,
    /// The number of [`Receiver`]s.
    receivers: usize,
}

impl<T> Ring<T> {
    /// Returns the number of the next message that will be sent.
    fn end(&self) -> u64 {
        self.oldest + self.messages.len() as u64
    }
}

/// The reasons why a receiver got no message.
///
/// ```
/// use twoply::{Wait, channel::broadcast::{self, RecvError}};
///
/// let (tx, mut rx) = broadcast::channel(1);
/// tx.send(1).unwrap();
/// tx.send(2).unwrap();
/// drop(tx);
/// assert_eq!(rx.recv().wait(), Err(RecvError::Lagged(1)));
/// assert_eq!(rx.recv().wait(), Ok(2));
/// assert_eq!(rx.recv().wait(), Err(RecvError::Closed));
/// ```
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

/// The reasons why a receiver got no message at once.
///
/// ```
/// use twoply::channel::broadcast::{self, TryRecvError};
///
/// let (tx, mut rx) = broadcast::channel::<u8>(1);
/// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
/// drop(tx);
/// assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is no new message.
    #[error("receiving on an empty channel")]
    Empty,
    /// This many messages are gone, as in [`RecvError::Lagged`].
    #[error("{0} messages were missed")]
    Lagged(u64),
    /// All senders are gone and every message has been received.
    #[error("receiving on a closed and empty channel")]
    Closed,
}

/// The sending end. When the last clone is dropped the channel is closed.
///
/// ```
/// use twoply::channel::broadcast;
///
/// let (tx, rx) = broadcast::channel(4);
/// drop(rx);
/// assert!(tx.send("nobody listens").is_err());
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

weak_sender! {
    /// Leads to a [`Sender`] as long as there is one, and does not keep the channel open; made by
    /// [`Sender::downgrade`].
    ///
    /// ```
    /// use twoply::{Wait, channel::broadcast};
    ///
    /// let (tx, mut rx) = broadcast::channel(4);
    /// let weak = tx.downgrade();
    /// weak.upgrade().expect("there is a sender").send(1).unwrap();
    /// drop(tx);
    /// assert!(weak.upgrade().is_none());
    /// assert_eq!(rx.recv().wait(), Ok(1));
    /// assert_eq!(rx.recv().wait(), Err(broadcast::RecvError::Closed));
    /// ```
}

impl<T> Sender<T> {
    /// Makes the handle of a sender that has been counted.
    fn new(shared: Arc<Shared<T>>) -> Sender<T> {
        Sender { shared }
    }

    /// Sends `message` to every receiver that there is now, and returns their number. Never waits.
    ///
    /// # Errors
    /// When there is no receiver. The message is handed back.
    ///
    /// ```
    /// use twoply::channel::broadcast;
    ///
    /// let (tx, rx) = broadcast::channel(4);
    /// let other = tx.subscribe();
    /// assert_eq!(tx.send(1), Ok(2));
    /// drop((rx, other));
    /// assert_eq!(tx.send(2).unwrap_err().into_inner(), 2);
    /// ```
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        part_with::<T>();
        let message = Arc::new(message);
        let mut ring = lock(&self.shared.ring);
        let receivers = ring.receivers;
        if receivers == 0 {
            drop(ring);
            // The message was never shared, so it can be taken out of the `Arc`.
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

    /// Makes another receiver, which gets the messages that are sent from now on.
    ///
    /// ```
    /// use twoply::channel::broadcast::{self, TryRecvError};
    ///
    /// let (tx, _rx) = broadcast::channel(4);
    /// tx.send("before").unwrap();
    /// let mut late = tx.subscribe();
    /// assert_eq!(late.try_recv(), Err(TryRecvError::Empty));
    /// tx.send("after").unwrap();
    /// assert_eq!(late.try_recv(), Ok("after"));
    /// ```
    pub fn subscribe(&self) -> Receiver<T> {
        let mut ring = lock(&self.shared.ring);
        ring.receivers += 1;
        let next = ring.end();
        drop(ring);
        Receiver { shared: Arc::clone(&self.shared), next }
    }

    /// Returns true if there is no receiver now; [`subscribe`](Sender::subscribe) may make one.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::broadcast::channel::<u8>(4);
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// let _rx = tx.subscribe();
    /// assert!(!tx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Returns the number of receivers.
    ///
    /// ```
    /// use twoply::channel::broadcast;
    ///
    /// let (tx, rx) = broadcast::channel::<u8>(4);
    /// assert_eq!(tx.receiver_count(), 1);
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    pub fn receiver_count(&self) -> usize {
        lock(&self.shared.ring).receivers
    }

    /// Returns the number of messages that are kept, whether some receivers have received them or not.
    ///
    /// ```
    /// let (tx, _rx) = twoply::channel::broadcast::channel(2);
    /// assert!(tx.is_empty());
    /// [1, 2, 3].map(|event| tx.send(event).unwrap());
    /// assert_eq!((tx.len(), tx.capacity(), tx.is_full()), (2, 2, true));
    /// ```
    pub fn len(&self) -> usize {
        lock(&self.shared.ring).messages.len()
    }

    /// Returns true if no message is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if the next message takes the place of the oldest one.
    ///
    /// ```
    /// let (tx, mut rx) = twoply::channel::broadcast::channel(1);
    /// tx.send(1).unwrap();
    /// assert!(tx.is_full());
    /// tx.send(2).unwrap();
    /// assert!(rx.try_recv().is_err(), "the first one is gone");
    /// ```
    pub fn is_full(&self) -> bool {
        let ring = lock(&self.shared.ring);
        ring.messages.len() == ring.capacity
    }

    /// Returns how many messages are kept at most.
    pub fn capacity(&self) -> usize {
        lock(&self.shared.ring).capacity
    }

    /// Returns true if both send into the same channel.
    ///
    /// ```
    /// let (tx, _rx) = twoply::channel::broadcast::channel::<u8>(2);
    /// assert!(tx.same_channel(&tx.clone()));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        lock(&self.shared.ring).senders += 1;
        Sender::new(Arc::clone(&self.shared))
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
        f.debug_struct("Sender").field("receivers", &self.receiver_count()).finish()
    }
}

/// A receiving end. A clone gets the same messages that the original has not received yet.
///
/// ```
/// use twoply::channel::broadcast;
///
/// let (tx, mut a) = broadcast::channel(4);
/// tx.send(1).unwrap();
/// let mut b = a.clone();
/// assert_eq!((a.try_recv(), b.try_recv()), (Ok(1), Ok(1)));
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The number of the message that this receiver gets next.
    next: u64,
}

impl<T: Clone> Receiver<T> {
    /// Receives the next message; finish it with `.await` or `.wait()`. A future that is dropped has received
    /// nothing.
    ///
    /// # Errors
    /// [`Lagged`](RecvError::Lagged) when messages were missed, [`Closed`](RecvError::Closed) at the end.
    ///
    /// ```
    /// use twoply::{Wait, channel::broadcast};
    ///
    /// let (tx, mut rx) = broadcast::channel(4);
    /// std::thread::spawn(move || tx.send("event"));
    /// assert_eq!(rx.recv().wait(), Ok("event"));
    /// ```
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self, wait_key: WaitKey::new() }
    }

    /// Receives the next message if it is there already.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv), and [`Empty`](TryRecvError::Empty) when there is none now.
    ///
    /// ```
    /// use twoply::channel::broadcast::{self, TryRecvError};
    ///
    /// let (tx, mut rx) = broadcast::channel(4);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(1).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.shared.take(&mut self.next).map(Arc::unwrap_or_clone)
    }
}

impl<T> Receiver<T> {
    /// Makes a [`Stream`](crate::stream::Stream) of the messages, which ends when the channel does. Its items
    /// are errors where messages were missed.
    ///
    /// ```
    /// use twoply::{Wait, channel::broadcast, stream::Stream};
    ///
    /// let (tx, rx) = broadcast::channel(2);
    /// [1, 2, 3].map(|event| tx.send(event).unwrap());
    /// drop(tx);
    /// let seen = rx.into_stream().filter_map(Result::ok).collect::<Vec<_>>().wait();
    /// assert_eq!(seen, [2, 3]);
    /// ```
    pub fn into_stream(self) -> ReceiverStream<T> {
        ReceiverStream { receiver: self, wait_key: WaitKey::new() }
    }

    /// Polls for the next message, on behalf of the one who waits with `wait_key`.
    fn poll_recv(&mut self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>>
    where
        T: Clone,
    {
        let unit = ready!(coop::proceed(cx));
        let Receiver { shared, next } = self;
        let received = shared.waiting.poll_until(wait_key, cx, || match shared.take(next) {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
            Err(TryRecvError::Closed) => Some(Err(RecvError::Closed)),
        });
        let channel = || WaitingFor::Message { channel: address_of(&**shared) };
        let result = ready!(waiting::note(received, channel));
        unit.spend();
        Poll::Ready(result.map(Arc::unwrap_or_clone))
    }

    /// Returns the number of messages that it has not received, including those that it has missed.
    ///
    /// ```
    /// use twoply::channel::broadcast;
    ///
    /// let (tx, rx) = broadcast::channel(1);
    /// assert!(rx.is_empty());
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// assert_eq!(rx.len(), 2, "one of which is gone");
    /// ```
    pub fn len(&self) -> u64 {
        lock(&self.shared.ring).end() - self.next
    }

    /// Returns true if it has received every message that was sent.
    ///
    /// ```
    /// let (tx, mut rx) = twoply::channel::broadcast::channel(4);
    /// tx.send(1).unwrap();
    /// assert!(!rx.is_empty());
    /// rx.try_recv().unwrap();
    /// assert!(rx.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if all senders are gone. Messages may still be there.
    ///
    /// ```
    /// let (tx, mut rx) = twoply::channel::broadcast::channel(4);
    /// tx.send(1).unwrap();
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// ```
    pub fn is_closed(&self) -> bool {
        lock(&self.shared.ring).senders == 0
    }

    /// Returns how many messages are kept at most: a receiver that is further behind has missed some.
    pub fn capacity(&self) -> usize {
        lock(&self.shared.ring).capacity
    }

    /// Returns true if both receive from the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Shared<T> {
    /// Counts one more sender, unless the last one is gone.
    fn try_add_sender(&self) -> bool {
        let mut ring = lock(&self.ring);
        let is_open = ring.senders > 0;
        ring.senders += usize::from(is_open);
        is_open
    }

    /// Takes the message with the number `next`, which is advanced over what has been received or missed.
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
        f.debug_struct("Receiver").field("len", &self.len()).finish()
    }
}

/// The future of [`Receiver::recv`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
    wait_key: WaitKey,
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Recv { receiver, wait_key } = self.get_mut();
        receiver.poll_recv(wait_key, cx)
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

/// The stream of [`Receiver::into_stream`]. It holds no message.
#[must_use = "streams do nothing unless items are asked for"]
pub struct ReceiverStream<T> {
    receiver: Receiver<T>,
    wait_key: WaitKey,
}

impl<T> ReceiverStream<T> {
    /// Polls for the next message.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>>
    where
        T: Clone,
    {
        self.receiver.poll_recv(&mut self.wait_key, cx)
    }

    /// Ends the wait for a message.
    pub(crate) fn stop_recv(&mut self) {
        self.receiver.shared.waiting.withdraw(&mut self.wait_key);
    }
}

impl<T> Drop for ReceiverStream<T> {
    fn drop(&mut self) {
        self.stop_recv();
    }
}

impl<T> fmt::Debug for ReceiverStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverStream").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}
