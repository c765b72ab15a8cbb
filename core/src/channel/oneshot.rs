//! A channel for one message: the answer to a question.
//!
//! Sending never waits; the receiver is itself the future of the message. One mutex and one waker: there is
//! nothing to queue.
//!
//! ```
//! use twoply::{Wait, channel::oneshot};
//!
//! let (tx, rx) = oneshot::channel();
//! std::thread::spawn(move || tx.send(6 * 7));
//! assert_eq!(rx.wait(), Ok(42));
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{RecvError, SendError, TryRecvError};
use crate::base::sync::{Mutex, lock};
use crate::base::wake::StoredWaker;
use crate::kernel::coop;
use crate::kernel::strand::part_with;
use crate::kernel::waiting::{self, WaitingFor, address_of};

/// Makes a channel for one message.
///
/// ```
/// use twoply::{Wait, channel::oneshot};
///
/// let (tx, rx) = oneshot::channel::<u8>();
/// drop(tx);
/// assert!(rx.wait().is_err(), "no message will come");
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let cell = Arc::new(Mutex::new(Cell::Empty(None)));
    (Sender { cell: Some(Arc::clone(&cell)) }, Receiver { cell, closed: false })
}

/// The state of the channel, with the message while it is on its way.
///
/// ```text
/// Empty ──(1) send──▶ Full ──(2) receive──▶ Closed
///   └──(3) sender or receiver dropped, or close──▶ Closed
/// ```
enum Cell<T> {
    /// Nothing has been sent. The waker is the receiver's, if it waits.
    Empty(Option<StoredWaker>),
    /// The message is there.
    Full(T),
    /// One side is gone, or the message has been received.
    Closed,
}

/// The sending end.
///
/// ```
/// use twoply::{Wait, channel::oneshot};
///
/// fn double(number: u32, reply: oneshot::Sender<u32>) {
///     reply.send(2 * number).unwrap();
/// }
///
/// let (tx, rx) = oneshot::channel();
/// double(4, tx);
/// assert_eq!(rx.wait(), Ok(8));
/// ```
pub struct Sender<T> {
    /// None once the message is sent.
    cell: Option<Arc<Mutex<Cell<T>>>>,
}

impl<T> Sender<T> {
    /// Sends the message.
    ///
    /// # Errors
    /// When the receiver is gone. The message is handed back.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::oneshot::channel();
    /// drop(rx);
    /// assert_eq!(tx.send(7).unwrap_err().into_inner(), 7);
    /// ```
    pub fn send(mut self, message: T) -> Result<(), SendError<T>> {
        part_with::<T>();
        let Some(channel) = self.cell.take() else { return Err(SendError(message)) };
        let mut cell = lock(&channel);
        if matches!(*cell, Cell::Closed) {
            return Err(SendError(message));
        }
        let before = std::mem::replace(&mut *cell, Cell::Full(message));
        drop(cell);
        before.wake();
        Ok(())
    }

    /// Returns true if the receiver is gone, or has closed the channel.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::oneshot::channel::<u8>();
    /// assert!(!tx.is_closed());
    /// drop(rx);
    /// assert!(tx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.cell.as_ref().is_none_or(|cell| matches!(*lock(cell), Cell::Closed))
    }
}

impl<T> Cell<T> {
    /// Wakes the receiver of a channel that was in this state.
    fn wake(self) {
        if let Cell::Empty(Some(waker)) = self {
            waker.wake();
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let Some(channel) = self.cell.take() else { return };
        let mut cell = lock(&channel);
        let before = std::mem::replace(&mut *cell, Cell::Closed);
        drop(cell);
        before.wake();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

/// The receiving end, and the future of the message; finish it with `.await` or `.wait()`.
///
/// Its output is an error when the sender is dropped without sending. Dropping it before it is ready closes
/// the channel; to look again later, poll it by reference.
///
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, channel::oneshot, time::timeout};
///
/// let (tx, mut rx) = oneshot::channel();
/// assert!(timeout(Duration::from_millis(1), &mut rx).wait().is_err());
/// tx.send("late").unwrap();
/// assert_eq!(rx.wait(), Ok("late"));
/// ```
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Receiver<T> {
    cell: Arc<Mutex<Cell<T>>>,
    /// True when the receiver has closed the channel: then its drop has nothing to tell the sender.
    closed: bool,
}

impl<T> Receiver<T> {
    /// Receives the message if it is there already.
    ///
    /// # Errors
    /// [`Empty`](TryRecvError::Empty) when it may still come, [`Closed`](TryRecvError::Closed) when it was
    /// received or the sender is gone.
    ///
    /// ```
    /// use twoply::channel::{TryRecvError, oneshot};
    ///
    /// let (tx, mut rx) = oneshot::channel();
    /// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    /// tx.send(7).unwrap();
    /// assert_eq!(rx.try_recv(), Ok(7));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let mut cell = lock(&self.cell);
        if let Cell::Empty(_) = *cell {
            return Err(TryRecvError::Empty);
        }
        self.closed = true;
        match std::mem::replace(&mut *cell, Cell::Closed) {
            Cell::Full(message) => Ok(message),
            Cell::Empty(_) | Cell::Closed => Err(TryRecvError::Closed),
        }
    }

    /// Returns true if no message is there: it may still come, was received, or never will.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::oneshot::channel();
    /// assert!(rx.is_empty());
    /// tx.send(7).unwrap();
    /// assert!(!rx.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        !matches!(*lock(&self.cell), Cell::Full(_))
    }

    /// Returns true if no message will come: the sender is gone without having sent one, or the channel was
    /// closed.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::oneshot::channel::<u8>();
    /// assert!(!rx.is_closed());
    /// drop(tx);
    /// assert!(rx.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        matches!(*lock(&self.cell), Cell::Closed)
    }

    /// Tells the sender that nobody waits any more. A message that has been sent before is dropped.
    ///
    /// ```
    /// let (tx, mut rx) = twoply::channel::oneshot::channel();
    /// rx.close();
    /// assert!(tx.send(7).is_err());
    /// ```
    pub fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let mut cell = lock(&self.cell);
        let before = std::mem::replace(&mut *cell, Cell::Closed);
        drop(cell);
        drop(before);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let unit = ready!(coop::proceed(cx));
        let mut result = self.try_recv();
        if matches!(result, Err(TryRecvError::Empty)) {
            // Cloned before the lock is taken and, as the older local, dropped after: both run code of the
            // waker's.
            let mut waker = Some(StoredWaker::of(cx.waker()));
            let mut cell = lock(&self.cell);
            if let Cell::Empty(current) = &mut *cell {
                std::mem::swap(current, &mut waker);
                drop(cell);
                return waiting::note(Poll::Pending, || WaitingFor::Message {
                    channel: address_of(&*self.cell),
                });
            }
            drop(cell);
            result = self.try_recv();
        }
        unit.spend();
        Poll::Ready(result.map_err(|_| RecvError))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
