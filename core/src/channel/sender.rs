//! The sending end.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::permit::{OwnedPermit, Permit, Reserve, ReserveOwned};
use super::shared::Shared;
use super::weak::weak_sender;
use super::{ReserveError, SendError, Sending, Sink, TrySendError, WaitKey};

/// The sending end of a channel. Clones send into the same channel; the messages of one clone arrive in
/// order.
///
/// When the last clone is dropped the channel is closed: receivers get what is queued, and then an error.
///
/// ```
/// use twoply::{Wait, channel};
///
/// let (tx, rx) = channel::bounded(2);
/// let other = tx.clone();
/// tx.send(1).wait().unwrap();
/// other.send(2).wait().unwrap();
/// drop((tx, other));
/// assert_eq!(rx.iter().sum::<i32>(), 3);
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

weak_sender! {
    /// Leads to a [`Sender`] as long as there is one, and does not keep the channel open; made by
    /// [`Sender::downgrade`].
    ///
    /// It is for those who send into a channel now and then, and must not keep its receivers waiting for
    /// them.
    ///
    /// ```
    /// use twoply::channel;
    ///
    /// let (tx, rx) = channel::bounded(4);
    /// let weak = tx.downgrade();
    /// assert!(weak.same_channel(&tx.downgrade()));
    /// weak.upgrade().expect("there is a sender").try_send(1).unwrap();
    /// drop(tx);
    /// assert!(weak.upgrade().is_none());
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [1], "the channel is closed");
    /// ```
}

impl<T> Sender<T> {
    /// Makes the handle of a sender that `shared` has counted.
    pub(super) fn new(shared: Arc<Shared<T>>) -> Sender<T> {
        Sender { shared }
    }

    /// Returns what both ends share.
    #[inline]
    pub(super) fn shared(&self) -> &Shared<T> {
        &self.shared
    }

    /// Sends `message`; finish it with `.await` or `.wait()`.
    ///
    /// Waits while the channel is full: sends are served in the order in which they began to wait, and none
    /// is overtaken. In a rendezvous channel it waits until a receiver has taken the message.
    ///
    /// # Errors
    /// When the channel is closed. The message is handed back.
    ///
    /// # Cancel safety
    /// A future that is dropped before it is ready has not sent the message. The one exception is a
    /// rendezvous channel whose receiver took the message just before: there the message has arrived. As an
    /// arm of a [`select`](crate::future::select()) or another combinator that waits for the first, or with a
    /// [`timeout`](crate::time::timeout), it has not sent even there if it does not win: all arms are offered
    /// at once, and one of them is met.
    ///
    /// A future that was given a permit, and is kept but not polled, keeps that permit: in a channel for one
    /// message nobody else sends until it is polled or dropped.
    ///
    /// ```
    /// # use twoply::{Wait, channel};
    /// let (tx, rx) = channel::bounded(2);
    /// tx.send(1).wait()?;
    /// tx.send(2).wait()?;
    /// drop(tx);
    /// assert_eq!(rx.iter().collect::<Vec<_>>(), [1, 2]);
    /// # Ok::<(), channel::SendError<i32>>(())
    /// ```
    #[inline]
    pub fn send(&self, message: T) -> Sending<'_, T> {
        Sending::new(self, message)
    }

    /// Sends `message` if there is room.
    ///
    /// # Errors
    /// [`Full`](TrySendError::Full) when the channel is full, or its last permits belong to sends that wait;
    /// in a rendezvous channel, when no receive waits. If the receive that waits is dropped before it has the
    /// message, the message stays for the next one. [`Closed`](TrySendError::Closed) when the channel is.
    ///
    /// ```
    /// use twoply::channel::{self, TrySendError};
    ///
    /// let (tx, _rx) = channel::bounded(1);
    /// assert_eq!(tx.try_send(1), Ok(()));
    /// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    /// ```
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.shared.try_send(message)
    }

    /// Reserves room for one message that may not exist yet; finish it with `.await` or `.wait()`.
    ///
    /// Waits while the channel is full, among the sends. The room is kept until a message is sent into it,
    /// which never waits, or the [`Permit`] is dropped.
    ///
    /// # Errors
    /// When the channel is closed, or is a rendezvous, which has no room.
    ///
    /// # Cancel safety
    /// A future that is dropped before it is ready has reserved nothing. So what is taken out of elsewhere
    /// for this channel can be taken once there is room for it, and is not lost when the wait is given up.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    ///
    /// let (from, jobs) = channel::unbounded();
    /// let (to, done) = channel::bounded(1);
    /// from.try_send(20).unwrap();
    /// let room = to.reserve().wait()?;
    /// // From here on nothing waits.
    /// room.send(jobs.try_recv().unwrap() + 1).unwrap();
    /// assert_eq!(done.recv().wait(), Ok(21));
    /// # Ok::<(), channel::ReserveError>(())
    /// ```
    pub fn reserve(&self) -> Reserve<'_, T> {
        Reserve::new(self)
    }

    /// Reserves room as [`reserve`](Sender::reserve) does, for a permit that owns its sender.
    ///
    /// # Errors
    /// As [`reserve`](Sender::reserve). The sender is dropped.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// let permit = tx.clone().reserve_owned().wait()?;
    /// permit.send(7).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// # Ok::<(), channel::ReserveError>(())
    /// ```
    pub fn reserve_owned(self) -> ReserveOwned<T> {
        ReserveOwned::new(self)
    }

    /// Reserves room if there is any now.
    ///
    /// # Errors
    /// When there is none, or never will be.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::bounded(1);
    /// let permit = tx.try_reserve()?;
    /// assert!(tx.try_reserve().is_err());
    /// permit.send(7).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// # Ok::<(), twoply::channel::ReserveError>(())
    /// ```
    pub fn try_reserve(&self) -> Result<Permit<'_, T>, ReserveError> {
        self.shared.try_reserve().map(|()| Permit::new(self))
    }

    /// Reserves room as [`try_reserve`](Sender::try_reserve) does, for a permit that owns a clone of this
    /// sender.
    ///
    /// # Errors
    /// When there is none, or never will be.
    ///
    /// ```
    /// use twoply::channel;
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// let permit = tx.try_reserve_owned()?;
    /// assert!(tx.try_reserve_owned().is_err(), "there was room for one");
    /// permit.send(7).expect("the receiver is there");
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// # Ok::<(), channel::ReserveError>(())
    /// ```
    pub fn try_reserve_owned(&self) -> Result<OwnedPermit<T>, ReserveError> {
        self.shared.try_reserve().map(|()| OwnedPermit::new(self.clone()))
    }

    /// Closes the channel: it takes no more sends. What is queued can still be received; sends that wait get
    /// an error.
    ///
    /// A send that runs on another thread at the same time may succeed, and its message arrive, just after.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, rx) = channel::unbounded();
    /// tx.try_send(1).unwrap();
    /// tx.close();
    /// assert!(tx.try_send(2).is_err());
    /// assert_eq!(rx.recv().wait(), Ok(1));
    /// assert!(rx.recv().wait().is_err());
    /// ```
    pub fn close(&self) {
        self.shared.close();
    }

    /// Returns true if the channel takes no more messages: it was closed, or all receivers are gone.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::bounded::<u8>(1);
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Returns the number of messages that are queued.
    ///
    /// ```
    /// let (tx, _rx) = twoply::channel::bounded(2);
    /// assert!(tx.is_empty());
    /// tx.try_send(1).unwrap();
    /// assert_eq!(tx.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Returns true if no message is queued.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::bounded(1);
    /// tx.try_send(1).unwrap();
    /// assert!(!tx.is_empty());
    /// rx.try_recv().unwrap();
    /// assert!(tx.is_empty());
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
    /// assert_eq!(channel::bounded::<u8>(4).0.capacity(), Some(4));
    /// assert_eq!(channel::rendezvous::<u8>().0.capacity(), Some(0));
    /// assert_eq!(channel::unbounded::<u8>().0.capacity(), None);
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }

    /// Returns true if both send into the same channel.
    ///
    /// ```
    /// let (tx, _rx) = twoply::channel::bounded::<u8>(1);
    /// let (other, _rx) = twoply::channel::bounded::<u8>(1);
    /// assert!(tx.same_channel(&tx.clone()));
    /// assert!(!tx.same_channel(&other));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Sink<T> for Sender<T> {
    #[inline]
    fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        self.shared.poll_send(wait_key, message, cx)
    }

    fn stop_send(&self, wait_key: &mut WaitKey) {
        self.shared.stop_send(wait_key);
    }

    fn take_back(&self, wait_key: &mut WaitKey) -> Option<T> {
        self.shared.take_back(wait_key)
    }

    #[inline]
    fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.shared.try_send(message)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.add_sender();
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.remove_sender();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).field("closed", &self.is_closed()).finish()
    }
}
