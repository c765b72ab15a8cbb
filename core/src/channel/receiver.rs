//! The receiving end, and iteration over it.

use std::collections::vec_deque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::shared::Shared;
use super::{Receiving, RecvError, Source, TryRecvError, WaitKey};
use crate::kernel::Wait;

/// The receiving end of a channel. Clones receive from the same channel: each message goes to one of them.
///
/// When the last clone is dropped the channel is closed, and the messages that are queued are dropped.
pub struct Receiver<T> {
    /// The channel.
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The receiver that `shared` has been counting from the beginning.
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
    /// A future that is dropped has received nothing, and wakes the next in line if it had been woken itself. One that
    /// was woken, and is kept but not polled, leaves its message where it is, for whoever asks next: those who wait
    /// behind it are not woken for that message before it is polled or dropped.
    #[inline]
    pub fn recv(&self) -> Receiving<'_, T> {
        Receiving::new(self)
    }

    /// Receives a message that is there already.
    ///
    /// # Errors
    /// [`Empty`](TryRecvError::Empty) when there is none now, [`Closed`](TryRecvError::Closed) when there will be
    /// none any more.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.try_recv()
    }

    /// An iterator that waits for each message, as by `recv().wait()`, and ends when the channel is closed and
    /// empty.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// An iterator over the messages that are there when it asks; it ends at the first moment without one.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Takes everything that is queued now, with one lock and without moving a message.
    pub fn drain(&self) -> Drain<T> {
        Drain { messages: self.shared.drain().into_iter() }
    }

    /// Closes the channel: no more sends. What is queued can still be received; sends that wait get an error.
    ///
    /// A send that runs on another thread at the same time may succeed, and its message arrive, just after.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the channel takes no more messages: it was closed, or all senders are gone. Messages may still be
    /// queued.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// How many messages are queued.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no message is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages the channel holds at most; `None` when there is no limit.
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }

    /// Whether both receive from the same channel.
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

/// See [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    /// What it receives from.
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().wait().ok()
    }
}

/// See [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    /// What it receives from.
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

/// Like [`Iter`], of a receiver that it owns.
#[derive(Debug)]
pub struct IntoIter<T> {
    /// What it receives from.
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

/// See [`Receiver::drain`]. Messages that are not asked for are dropped with it.
pub struct Drain<T> {
    /// What was queued.
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
