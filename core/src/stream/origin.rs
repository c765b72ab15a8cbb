//! The beginnings of streams.

use std::marker::PhantomData;
use std::task::{Context, Poll, ready};

use super::Stream;
use crate::channel::{Source, WaitKey};
use crate::kernel::coop;

/// The stream of [`Source::into_stream`]. It holds no item.
#[must_use = "streams do nothing unless items are asked for"]
pub struct SourceStream<T, S: Source<T>> {
    source: S,
    /// The key of the one who asks for an item.
    wait_key: WaitKey,
    /// The stream yields a `T` and holds none.
    item: PhantomData<fn() -> T>,
}

impl<T, S: Source<T>> SourceStream<T, S> {
    pub(crate) fn new(source: S) -> SourceStream<T, S> {
        SourceStream { source, wait_key: WaitKey::new(), item: PhantomData }
    }
}

impl<T, S: Source<T>> Stream for SourceStream<T, S> {
    type Item = T;

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.source.poll_recv(&mut self.wait_key, cx).map(Result::ok)
    }

    fn stop_next(&mut self) {
        if self.wait_key.is_set() {
            self.source.stop_recv(&mut self.wait_key);
        }
    }
}

impl<T, S: Source<T>> Drop for SourceStream<T, S> {
    fn drop(&mut self) {
        self.stop_next();
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

impl<T, S: Source<T>> std::fmt::Debug for SourceStream<T, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceStream").field("waiting", &self.wait_key.is_set()).finish_non_exhaustive()
    }
}
