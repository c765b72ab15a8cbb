//! [`join_all`] and [`race_all`]: any number of futures of one type.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::children::{Children, refuse_after_panic};
use super::random;
use crate::kernel::selection::Selection;
use crate::kernel::strand::with_alternative;

/// Waits for all of the futures, and returns their outputs in the order of the futures.
///
/// Only futures that were woken are polled, until one is left; each is dropped as soon as it is ready. They
/// all run on the task that polls the result: to have them run side by side, spawn them.
///
/// # Panics
/// When one of the futures does; that one is dropped. Who goes on all the same has the others finished, and
/// then another panic.
///
/// ```
/// use twoply::{Wait, channel, future::join_all};
///
/// let (tx, rx) = channel::bounded(3);
/// let sent = join_all((0..3).map(|n| tx.send(n))).wait();
/// assert!(sent.iter().all(Result::is_ok));
/// assert_eq!(rx.len(), 3);
/// ```
pub fn join_all<I: IntoIterator<Item: IntoFuture>>(
    futures: I,
) -> JoinAll<<I::Item as IntoFuture>::IntoFuture> {
    let children = Children::new(futures.into_iter().map(IntoFuture::into_future), |_| {});
    let outputs = (0..children.left()).map(|_| None).collect();
    JoinAll { children, outputs }
}

/// Waits for the first of the futures to be ready, and returns its output.
///
/// Only futures that were woken are polled; in which order they are polled at the beginning is left to
/// chance.
///
/// # Panics
/// When there are no futures: their race would never end. When one of the futures does, which is dropped; who
/// goes on has the race go on among the others.
///
/// ```
/// use std::future::{pending, ready};
/// use twoply::{Wait, future::race_all};
///
/// let futures: Vec<std::pin::Pin<Box<dyn Future<Output = u8>>>> = vec![Box::pin(pending()), Box::pin(ready(2))];
/// assert_eq!(race_all(futures).wait(), 2);
/// ```
pub fn race_all<I: IntoIterator<Item: IntoFuture>>(
    futures: I,
) -> RaceAll<<I::Item as IntoFuture>::IntoFuture> {
    let children = Children::new(futures.into_iter().map(IntoFuture::into_future), random::shuffle);
    assert!(children.left() != 0, "a race without futures never ends");
    RaceAll { children, selection: Selection::default() }
}

/// The future of [`join_all`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct JoinAll<F: Future> {
    children: Children<F>,
    /// Those of the futures that are ready.
    outputs: Vec<Option<F::Output>>,
}

// The futures are boxed; the outputs are never pinned.
impl<F: Future> Unpin for JoinAll<F> {}

impl<F: Future> Future for JoinAll<F> {
    type Output = Vec<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<F::Output>> {
        let JoinAll { children, outputs } = self.get_mut();
        let mut done = |index: usize, output| {
            outputs[index] = output;
            true
        };
        if children.left() > 1 {
            with_alternative(|| children.poll_woken(cx, &mut done));
        }
        if children.left() == 1 {
            // Nothing else is left to wait for, so it is polled with the waker of the whole.
            children.poll_last(cx, &mut done);
        }
        match children.left() {
            0 if outputs.iter().any(Option::is_none) => refuse_after_panic(),
            0 => Poll::Ready(std::mem::take(outputs).into_iter().flatten().collect()),
            _ => Poll::Pending,
        }
    }
}

impl<F: Future> fmt::Debug for JoinAll<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinAll").field("left", &self.children.left()).finish_non_exhaustive()
    }
}

/// The future of [`race_all`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct RaceAll<F: Future> {
    children: Children<F>,
    /// The arm that others have committed to. Below the futures, because it is dropped after them.
    selection: Selection,
}

impl<F: Future> Future for RaceAll<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let RaceAll { children, selection } = &mut *self;
        match children.poll_first(selection, cx, |_, output| output) {
            Poll::Pending if children.left() == 0 => refuse_after_panic(),
            polled => polled,
        }
    }
}

impl<F: Future> fmt::Debug for RaceAll<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaceAll").field("left", &self.children.left()).finish_non_exhaustive()
    }
}
