//! Giving up on a future.

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
        // The arm, future or sleep, that others have committed to. Below the future, because it is dropped
        // after it.
        selection: Selection,
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
