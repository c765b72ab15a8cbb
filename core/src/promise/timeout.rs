//! A time limit on a wait, and a wait that the search for deadlocks does not see.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::{Answer, Promise, Waiting};
use crate::kernel::strand::with_alternative;
use crate::kernel::task::Failure;
use crate::time::{Timeout, timeout};

impl<T: Clone> Promise<T> {
    /// Waits for the value, for `duration` from now at most. The promise goes on: a clone of it may come out
    /// later.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when the time is over, else what the promise comes out as.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, promise::{self, Failure}};
    ///
    /// let (promise, resolver) = promise::pair();
    /// assert!(matches!(promise.clone().timeout(Duration::from_millis(1)).wait(), Err(Failure::TimedOut)));
    /// resolver.resolve("late").unwrap();
    /// assert_eq!(promise.timeout(Duration::ZERO).wait().unwrap(), "late");
    /// ```
    pub fn timeout(self, duration: Duration) -> WaitTimeout<Waiting<T>> {
        WaitTimeout::new(duration, self)
    }
}

impl<T> Answer<T> {
    /// Waits for the answer, for `duration` from now at most. One that comes later is dropped.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when the time is over, else what the answer comes out as.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, promise::{self, Failure}};
    ///
    /// let (answer, _resolver) = promise::answer::<u8>();
    /// assert!(matches!(answer.timeout(Duration::from_millis(1)).wait(), Err(Failure::TimedOut)));
    /// ```
    pub fn timeout(self, duration: Duration) -> WaitTimeout<Answer<T>> {
        WaitTimeout::new(duration, self)
    }
}

pin_project! {
    /// The future of [`Promise::timeout`], [`Answer::timeout`] and
    /// [`Ask::timeout`](crate::actor::Ask::timeout).
    #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
    pub struct WaitTimeout<F> {
        #[pin]
        limited: Timeout<F>,
    }
}

impl<T, F: Future<Output = Result<T, Failure>>> WaitTimeout<F> {
    pub(crate) fn new(duration: Duration, wait: impl IntoFuture<IntoFuture = F>) -> WaitTimeout<F> {
        WaitTimeout { limited: timeout(duration, wait) }
    }
}

impl<T, F: Future<Output = Result<T, Failure>>> Future for WaitTimeout<F> {
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        self.project().limited.poll(cx).map(|output| output.unwrap_or(Err(Failure::TimedOut)))
    }
}

impl<F> fmt::Debug for WaitTimeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitTimeout").finish_non_exhaustive()
    }
}

/// Polls `future` so that its waits do not count in the search for deadlocks: none of them comes out as
/// [`Failure::Deadlock`].
///
/// No combinator needs it, of whatever library: what a task waits for beside a promise is found out before it
/// is told. This is for a promise that may be kept by somebody who is not known to owe it.
///
/// A `.wait()` inside the future does count, for it blocks the whole stack.
///
/// ```
/// use twoply::{Wait, promise::{self, Promise}};
///
/// assert_eq!(promise::unwatched(Promise::ready(7)).wait().unwrap(), 7);
/// ```
pub fn unwatched<F: IntoFuture>(future: F) -> Unwatched<F::IntoFuture> {
    Unwatched { future: future.into_future() }
}

pin_project! {
    /// The future of [`unwatched`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
    pub struct Unwatched<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unwatched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        with_alternative(|| self.project().future.poll(cx))
    }
}
