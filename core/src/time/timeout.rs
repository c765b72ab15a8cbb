//! Time limits: the futures that give up on another one after a while.

use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::Sleep;
use crate::kernel::selection::Selection;

/// Gives `future` up, and drops it, when it is not ready within `duration` from now.
///
/// A future that is ready at once is returned, even with a duration of zero. Nothing else is cancelled than
/// by dropping: whether something is lost is said by the documentation of the future.
///
/// # Messages
/// A send that is given up is dropped, and the message that it owns with it. Two ways give the message back:
/// [`Sending::timeout`](crate::channel::Sending::timeout), whose error has it, and a limit that is polled by
/// reference, whose future is still [there](Timeout::into_inner) after it.
///
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, channel, time::timeout};
///
/// let (tx, _rx) = channel::bounded(1);
/// tx.try_send("first").unwrap();
/// let error = tx.send("second").timeout(Duration::from_millis(1)).wait().unwrap_err();
/// assert_eq!(error.into_inner(), "second");
///
/// let mut limited = timeout(Duration::from_millis(1), tx.send("third"));
/// assert!((&mut limited).wait().is_err());
/// assert_eq!(limited.into_inner().into_message(), Some("third"));
/// ```
///
/// # Examples
/// ```
/// use std::{future::pending, future::ready, time::Duration};
/// use twoply::{Wait, time::timeout};
///
/// assert_eq!(timeout(Duration::ZERO, ready(1)).wait(), Ok(1));
/// assert!(timeout(Duration::from_millis(1), pending::<()>()).wait().is_err());
/// ```
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        future: future.into_future(),
        sleep: Sleep::until(crate::kernel::sleep::after(duration)),
        selection: Selection::default(),
    }
}

/// Gives `future` up, and drops it, when it is not ready at `deadline`; see [`timeout`].
///
/// ```
/// use std::{future::pending, time::{Duration, Instant}};
/// use twoply::{Wait, time::timeout_at};
///
/// let deadline = Instant::now() + Duration::from_millis(1);
/// assert!(timeout_at(deadline, pending::<()>()).wait().is_err());
/// assert!(Instant::now() >= deadline);
/// ```
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        future: future.into_future(),
        sleep: Sleep::until(Some(deadline)),
        selection: Selection::default(),
    }
}

/// The time given to a future was over before the future was ready. Converts into an [`io::Error`] of the
/// kind [`TimedOut`](io::ErrorKind::TimedOut).
///
/// A future that was moved into the limit is gone, with all that it owned: see [`timeout`] for messages.
///
/// ```
/// use std::{future::pending, io, time::Duration};
/// use twoply::{Wait, time::timeout};
///
/// fn read() -> io::Result<()> {
///     timeout(Duration::from_millis(1), pending()).wait()?
/// }
/// assert_eq!(read().unwrap_err().kind(), io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
#[non_exhaustive]
pub struct TimeoutError;

impl From<TimeoutError> for io::Error {
    fn from(elapsed: TimeoutError) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are finished with `.await` or `.wait()`"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
        // The arm, future or sleep, that others have committed to. This field lies below the future, so that
        // it is dropped after that.
        selection: Selection,
    }
}

impl<F> Timeout<F> {
    /// Ends the limit, and returns the future with all that it owns. It may be polled again, unless it was
    /// ready.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, channel::oneshot, time::timeout};
    ///
    /// let (tx, rx) = oneshot::channel();
    /// let mut limited = timeout(Duration::from_millis(1), rx);
    /// assert!((&mut limited).wait().is_err());
    /// tx.send("late").unwrap();
    /// assert_eq!(limited.into_inner().wait(), Ok("late"));
    /// ```
    pub fn into_inner(self) -> F {
        self.future
    }

    /// Returns the future.
    ///
    /// ```
    /// use std::{future::ready, time::Duration};
    /// use twoply::time::timeout;
    ///
    /// assert_eq!(timeout(Duration::ZERO, ready(7)).get_ref().clone().into_inner(), 7);
    /// ```
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// Returns the future, to change what it is about.
    ///
    /// ```
    /// use std::{future::ready, time::Duration};
    /// use twoply::{Wait, time::timeout};
    ///
    /// let mut limited = timeout(Duration::ZERO, ready(1));
    /// *limited.get_mut() = ready(2);
    /// assert_eq!(limited.wait(), Ok(2));
    /// ```
    pub fn get_mut(&mut self) -> &mut F
    where
        F: Unpin,
    {
        &mut self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, TimeoutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        this.selection.poll(cx, 0..2, |index, cx| match index {
            0 => this.future.as_mut().poll(cx).map(Ok),
            // Asks for no budget: a future that has used all of it up must not outlast its deadline.
            _ => this.sleep.poll_elapsed(cx).map(|()| Err(TimeoutError)),
        })
    }
}
