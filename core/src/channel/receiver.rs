//! The receiving end, and iteration over it.

use std::collections::vec_deque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::shared::Shared;
use super::{Receiving, RecvError, Source, TryRecvError, WaitKey};
use crate::kernel::Wait;

/// The receiving end of a channel. Clones receive from the same channel: each message goes to one of them.
///
/// When the last clone is dropped the channel is closed, and the messages that are queued are dropped.
///
/// ```
/// use twoply::{Wait, channel};
///
/// let (tx, rx) = channel::unbounded();
/// let workers: Vec<_> = (0..2)
///     .map(|_| {
///         let rx = rx.clone();
///         std::thread::spawn(move || rx.iter().count())
///     })
///     .collect();
/// (0..10).for_each(|n| tx.try_send(n).unwrap());
/// drop(tx);
/// assert_eq!(workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>(), 10);
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Makes the receiver that `shared` counts from the beginning.
    pub(super) fn new(shared: Arc<Shared<T>>) -> Receiver<T> {
        Receiver { shared }
    }

    /// Receives a message; finish it with `.await` or `.wait()`.
    ///
    /// Waits while the channel is empty. Receives are woken in the order in which they began to wait, one a
    /// message; one that comes while a message is there takes it, even if another one is being woken for it.
    ///
    /// # Errors
    /// When the channel is closed and everything in it has been received.
    ///
    /// # Cancel safety
    /// A future that is dropped has received nothing, and wakes the next receive if it had been woken itself.
    /// One that was woken, and is kept but not polled, leaves its message where it is, for whoever asks next:
    /// receives that began to wait later are not woken for that message before it is polled or dropped.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// std::thread::spawn(move || tx.send("hello").wait());
    /// assert_eq!(rx.recv().wait(), Ok("hello"));
    /// assert!(rx.recv().wait().is_err(), "the only sender is gone");
    /// ```
    #[inline]
    pub fn recv(&self) -> Receiving<'_, T> {
        Receiving::new(self)
    }

    /// Receives a message that is there already.
    ///
    /// # Errors
    /// [`Empty`](TryRecvError::Empty) when there is none now, [`Closed`](TryRecvError::Closed) when there
    /// will be none any more.
    ///
    /// ```
    /// use twoply::channel::{self, TryRecvError};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.try_send(7).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.try_recv()
    }

    /// Receives up to `limit` messages: waits for the first one, and takes what else is there at that moment.
    /// They are appended to `received`, and the future's output is their number. Finish it with `.await` or
    /// `.wait()`.
    ///
    /// With a limit of zero it is ready at once and receives nothing.
    ///
    /// # Errors
    /// When the channel is closed and everything in it has been received.
    ///
    /// # Cancel safety
    /// As that of [`recv`](Receiver::recv): a future that is dropped before it is ready has received nothing.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, rx) = channel::unbounded();
    /// (0..5).for_each(|n| tx.try_send(n).unwrap());
    /// let mut batch = Vec::new();
    /// assert_eq!(rx.recv_many(&mut batch, 3).wait(), Ok(3));
    /// assert_eq!(rx.recv_many(&mut batch, 3).wait(), Ok(2));
    /// assert_eq!(batch, [0, 1, 2, 3, 4]);
    /// ```
    pub fn recv_many<'a>(&'a self, received: &'a mut Vec<T>, limit: usize) -> RecvMany<'a, T> {
        RecvMany { receiver: self, received, limit, wait_key: WaitKey::new() }
    }

    /// Returns an iterator that waits for each message, as by `recv().wait()`, and ends when the channel is
    /// closed and empty.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::unbounded();
    /// std::thread::spawn(move || (1..=3).for_each(|n| tx.try_send(n).unwrap()));
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Returns an iterator over the messages that are there when it asks; it ends at the first moment without
    /// one.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::unbounded();
    /// tx.try_send(1).unwrap();
    /// tx.try_send(2).unwrap();
    /// assert_eq!(rx.try_iter().sum::<i32>(), 3);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Takes everything that is queued now, with one lock and without moving a message.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::unbounded();
    /// tx.try_send("a").unwrap();
    /// tx.try_send("b").unwrap();
    /// assert_eq!(rx.drain().collect::<Vec<_>>(), ["a", "b"]);
    /// assert!(rx.is_empty());
    /// ```
    pub fn drain(&self) -> Drain<T> {
        Drain { messages: self.shared.drain().into_iter() }
    }

    /// Closes the channel: it takes no more sends. What is queued can still be received; sends that wait get
    /// an error.
    ///
    /// A send that runs on another thread at the same time may succeed, and its message arrive, just after.
    ///
    /// ```
    /// use twoply::channel::{self, TrySendError};
    ///
    /// let (tx, rx) = channel::unbounded();
    /// tx.try_send(1).unwrap();
    /// rx.close();
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Closed(2)));
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// ```
    pub fn close(&self) {
        self.shared.close();
    }

    /// Returns true if the channel takes no more messages: it was closed, or all senders are gone. Messages
    /// may still be queued.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::bounded::<u8>(1);
    /// assert!(!rx.is_closed());
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Returns the number of messages that are queued.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::bounded(2);
    /// assert!(rx.is_empty());
    /// tx.try_send(1).unwrap();
    /// assert_eq!(rx.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Returns true if no message is queued.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::bounded(1);
    /// assert!(rx.is_empty());
    /// tx.try_send(1).unwrap();
    /// assert!(!rx.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if the channel has no room now: a send would wait, unless a receiver comes meanwhile. So
    /// a rendezvous is always full, and a channel without a limit never. Room that is reserved for others
    /// counts as full.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::bounded(1);
    /// assert!(!tx.is_full());
    /// tx.try_send(1).unwrap();
    /// assert!(tx.is_full() && rx.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// Returns how many messages the channel holds at most; `None` when there is no limit.
    ///
    /// ```
    /// use twoply::channel;
    ///
    /// assert_eq!(channel::bounded::<u8>(4).1.capacity(), Some(4));
    /// assert_eq!(channel::unbounded::<u8>().1.capacity(), None);
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }

    /// Returns true if both receive from the same channel.
    ///
    /// ```
    /// let (_tx, rx) = twoply::channel::bounded::<u8>(1);
    /// assert!(rx.same_channel(&rx.clone()));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Source<T> for Receiver<T> {
    #[inline]
    fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        self.shared.poll_recv(wait_key, cx)
    }

    fn stop_recv(&self, wait_key: &mut WaitKey) {
        self.shared.stop_recv(wait_key);
    }

    #[inline]
    fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.try_recv()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.add_receiver();
        Receiver { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.remove_receiver();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).field("closed", &self.is_closed()).finish()
    }
}

/// The future of [`Receiver::recv_many`]. It holds no message.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct RecvMany<'a, T> {
    receiver: &'a Receiver<T>,
    received: &'a mut Vec<T>,
    limit: usize,
    wait_key: WaitKey,
}

impl<T> Future for RecvMany<'_, T> {
    type Output = Result<usize, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let RecvMany { receiver, received, limit, wait_key } = self.get_mut();
        let Some(more) = limit.checked_sub(1) else { return Poll::Ready(Ok(0)) };
        let before = received.len();
        match ready!(receiver.shared.poll_recv(wait_key, cx)) {
            Ok(first) => received.push(first),
            Err(RecvError) => return Poll::Ready(Err(RecvError)),
        }
        receiver.shared.recv_more(received, more);
        Poll::Ready(Ok(received.len() - before))
    }
}

impl<T> Drop for RecvMany<'_, T> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.receiver.shared.stop_recv(&mut self.wait_key);
        }
    }
}

impl<T> fmt::Debug for RecvMany<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvMany").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}

/// Waits for each message of a receiver; made by [`Receiver::iter`].
///
/// ```
/// use twoply::channel;
///
/// let (tx, rx) = channel::unbounded();
/// for number in 1..=3 {
///     tx.try_send(number)?;
/// }
/// drop(tx);
/// assert_eq!(rx.iter().sum::<i32>(), 6, "it ends when all senders are gone");
/// # Ok::<(), channel::TrySendError<i32>>(())
/// ```
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().wait().ok()
    }
}

/// Iterates over the messages that are there already; made by [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

/// Waits for each message of a receiver that it owns, and ends when the channel is closed and empty.
///
/// ```
/// let (tx, rx) = twoply::channel::unbounded();
/// tx.try_send(1).unwrap();
/// drop(tx);
/// for message in rx {
///     assert_eq!(message, 1);
/// }
/// ```
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().wait().ok()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// Iterates over what was queued when [`Receiver::drain`] made it. It drops the messages that are not asked
/// for.
pub struct Drain<T> {
    messages: vec_deque::IntoIter<T>,
}

impl<T> Iterator for Drain<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.messages.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.messages.size_hint()
    }
}

impl<T> ExactSizeIterator for Drain<T> {}

impl<T> fmt::Debug for Drain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("len", &self.len()).finish()
    }
}
