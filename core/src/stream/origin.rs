//! The beginnings of streams.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::AsyncRead;

use super::Stream;
pub use crate::channel::ends::SourceStream;
use crate::channel::{Source, broadcast, watch};
use crate::io::{Lines, Split};
use crate::kernel::coop;

impl<T, S: Source<T>> Stream for SourceStream<T, S> {
    type Item = T;

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(cx).map(Result::ok)
    }

    fn stop_next(&mut self) {
        self.stop_recv();
    }
}

impl<T: Clone> Stream for broadcast::ReceiverStream<T> {
    type Item = Result<T, broadcast::RecvError>;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.poll_recv(cx)) {
            Err(broadcast::RecvError::Closed) => None,
            received => Some(received),
        })
    }

    fn stop_next(&mut self) {
        self.stop_recv();
    }
}

impl<T> Stream for watch::ReceiverStream<T> {
    type Item = Arc<T>;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<T>>> {
        self.poll_changed(cx).map(Result::ok)
    }

    fn stop_next(&mut self) {
        self.stop_changed();
    }
}

impl<R: AsyncRead + Unpin> Stream for Lines<R> {
    type Item = io::Result<String>;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<String>>> {
        self.poll_line(cx)
    }

    fn stop_next(&mut self) {
        self.stop();
    }
}

impl<R: AsyncRead + Unpin> Stream for Split<R> {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Vec<u8>>>> {
        self.poll_part(cx)
    }

    fn stop_next(&mut self) {
        self.stop();
    }
}

/// Makes a stream of the items of an iterator. It never waits, but when the budget of its task is spent.
///
/// ```
/// use twoply::{Wait, stream::{self, Stream}};
///
/// assert_eq!(stream::iter(1..=3).fold(0, |sum, n| sum + n).wait(), 6);
/// ```
pub fn iter<I: IntoIterator>(items: I) -> Iter<I::IntoIter> {
    Iter { items: Some(items.into_iter()) }
}

/// The stream of [`iter`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Iter<I> {
    /// None once it has ended.
    items: Option<I>,
}

impl<I: Iterator> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<I::Item>> {
        let Some(items) = &mut self.items else { return Poll::Ready(None) };
        let unit = ready!(coop::proceed(cx));
        let item = items.next();
        if item.is_none() {
            self.items = None;
        }
        unit.spend();
        Poll::Ready(item)
    }

    fn stop_next(&mut self) {}
}

/// Makes a stream of a function that is polled for each item, until it returns `None`.
///
/// It is the bridge from streams of other crates: the function polls one of those. A waker that it stores is
/// woken when there may be an item. It stays stored when a wait is given up, unless the function takes it
/// back elsewhere, and then wakes a task that does not wait for it any more.
///
/// ```
/// use std::task::Poll;
/// use twoply::{Wait, stream::{self, Stream}};
///
/// let mut left = 3;
/// let countdown = stream::poll_fn(move |_| {
///     left -= 1;
///     Poll::Ready((left >= 0).then_some(left))
/// });
/// assert_eq!(countdown.collect::<Vec<_>>().wait(), [2, 1, 0]);
/// ```
pub fn poll_fn<T, F: FnMut(&mut Context<'_>) -> Poll<Option<T>>>(f: F) -> PollFn<F> {
    PollFn { f: Some(f) }
}

/// The stream of [`poll_fn`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct PollFn<F> {
    /// None once it has ended.
    f: Option<F>,
}

impl<T, F: FnMut(&mut Context<'_>) -> Poll<Option<T>>> Stream for PollFn<F> {
    type Item = T;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(f) = &mut self.f else { return Poll::Ready(None) };
        let unit = ready!(coop::proceed(cx));
        let item = ready!(f(cx));
        if item.is_none() {
            self.f = None;
        }
        unit.spend();
        Poll::Ready(item)
    }

    fn stop_next(&mut self) {}
}

opaque_debug!(Iter<I>, PollFn<F>);
