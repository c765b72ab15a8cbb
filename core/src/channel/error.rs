//! The errors of channels. Errors of a send hand the message back.

use std::fmt;

/// The channel is closed: nobody will receive the message, which is handed back.
///
/// ```
/// use twoply::{Wait, channel};
///
/// let (tx, rx) = channel::bounded(1);
/// drop(rx);
/// let error = tx.send("hello").wait().unwrap_err();
/// assert_eq!(error.into_inner(), "hello");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sending on a closed channel")]
pub struct SendError<T>(pub T);

impl<T> SendError<T> {
    /// Returns the message that was not sent.
    ///
    /// ```
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// drop(rx);
    /// assert_eq!(tx.send("nobody hears this").wait().unwrap_err().into_inner(), "nobody hears this");
    /// ```
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

/// The reasons why a message could not be sent at once. The message is handed back.
///
/// ```
/// use twoply::channel::{self, TrySendError};
///
/// let (tx, rx) = channel::bounded(1);
/// tx.try_send(1).unwrap();
/// assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
/// drop(rx);
/// assert_eq!(tx.try_send(3), Err(TrySendError::Closed(3)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// The channel is full: every permit is used, or has been given to a send that waited for it.
    #[error("sending on a full channel")]
    Full(T),
    /// The channel is closed.
    #[error("sending on a closed channel")]
    Closed(T),
}

impl<T> TrySendError<T> {
    /// Returns the message that was not sent.
    ///
    /// ```
    /// let (tx, rx) = twoply::channel::bounded(1);
    /// drop(rx);
    /// assert_eq!(tx.try_send(7).unwrap_err().into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(message) | TrySendError::Closed(message) => message,
        }
    }

    /// Returns true if a later attempt may succeed: the channel is full, and not closed.
    ///
    /// ```
    /// use twoply::channel;
    ///
    /// let (tx, _rx) = channel::bounded(1);
    /// tx.try_send(1).unwrap();
    /// let error = tx.try_send(2).unwrap_err();
    /// assert!(error.is_full());
    /// assert_eq!(error.into_inner(), 2);
    /// ```
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(error: SendError<T>) -> TrySendError<T> {
        TrySendError::Closed(error.0)
    }
}

/// The reasons why a message was not sent within the time that it had. The message is handed back.
///
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, channel::{self, SendTimeoutError}};
///
/// let (tx, _rx) = channel::bounded(1);
/// tx.try_send(1).unwrap();
/// let error = tx.send(2).timeout(Duration::from_millis(1)).wait().unwrap_err();
/// assert_eq!(error, SendTimeoutError::Timeout(2));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendTimeoutError<T> {
    /// The time was over before there was room, or a receiver.
    #[error("the deadline has passed before the message was sent")]
    Timeout(T),
    /// The channel is closed.
    #[error("sending on a closed channel")]
    Closed(T),
}

impl<T> SendTimeoutError<T> {
    /// Returns the message that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Timeout(message) | SendTimeoutError::Closed(message) => message,
        }
    }

    /// Returns true if a later attempt may succeed: the time was over, and the channel is not closed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, channel};
    ///
    /// let (tx, _rx) = channel::bounded(1);
    /// tx.try_send(1).unwrap();
    /// let error = tx.send(2).timeout(Duration::from_millis(1)).wait().unwrap_err();
    /// assert!(error.is_timeout());
    /// assert_eq!(error.into_inner(), 2);
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self, SendTimeoutError::Timeout(_))
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendTimeoutError::Timeout(_) => "Timeout(..)",
            SendTimeoutError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(error: SendError<T>) -> SendTimeoutError<T> {
        SendTimeoutError::Closed(error.0)
    }
}

/// The reasons why there is no room to reserve.
///
/// ```
/// use twoply::{Wait, channel::{self, ReserveError}};
///
/// let (tx, rx) = channel::bounded::<u8>(1);
/// let _permit = tx.try_reserve().unwrap();
/// assert_eq!(tx.try_reserve().unwrap_err(), ReserveError::Full);
/// drop(rx);
/// assert_eq!(tx.reserve().wait().unwrap_err(), ReserveError::Closed);
///
/// let (tx, _rx) = channel::rendezvous::<u8>();
/// assert_eq!(tx.reserve().wait().unwrap_err(), ReserveError::Rendezvous);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// There is no room now. Only an attempt that does not wait ends so.
    #[error("reserving room in a full channel")]
    Full,
    /// The channel is closed.
    #[error("reserving room in a closed channel")]
    Closed,
    /// The channel is a rendezvous: it holds no messages, so there is no room to keep for one.
    #[error("reserving room in a rendezvous channel, which has none")]
    Rendezvous,
}

/// The channel is closed and everything that was in it has been received.
///
/// ```
/// use twoply::{Wait, channel::{self, RecvError}};
///
/// let (tx, rx) = channel::bounded::<u8>(1);
/// drop(tx);
/// assert_eq!(rx.recv().wait(), Err(RecvError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("receiving on a closed and empty channel")]
pub struct RecvError;

/// The reasons why no message could be received at once.
///
/// ```
/// use twoply::channel::{self, TryRecvError};
///
/// let (tx, rx) = channel::bounded::<u8>(1);
/// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
/// drop(tx);
/// assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is no message now.
    #[error("receiving on an empty channel")]
    Empty,
    /// The channel is closed and everything that was in it has been received.
    #[error("receiving on a closed and empty channel")]
    Closed,
}

impl From<RecvError> for TryRecvError {
    fn from(RecvError: RecvError) -> TryRecvError {
        TryRecvError::Closed
    }
}
