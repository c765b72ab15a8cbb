//! Streams that change items or leave them out. None of them holds an item.

use std::task::{Context, Poll, ready};

use super::{Stream, poll_steps};

/// The stream of [`Stream::map`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Map<S, F> {
    stream: S,
    f: F,
}

impl<S, F> Map<S, F> {
    pub(super) fn new(stream: S, f: F) -> Map<S, F> {
        Map { stream, f }
    }
}

impl<S: Stream, U, F: FnMut(S::Item) -> U> Stream for Map<S, F> {
    type Item = U;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<U>> {
        let item = ready!(self.stream.poll_next(cx));
        Poll::Ready(item.map(&mut self.f))
    }

    fn stop_next(&mut self) {
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::filter`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Filter<S, F> {
    stream: S,
    f: F,
}

impl<S, F> Filter<S, F> {
    pub(super) fn new(stream: S, f: F) -> Filter<S, F> {
        Filter { stream, f }
    }
}

impl<S: Stream, F: FnMut(&S::Item) -> bool> Stream for Filter<S, F> {
    type Item = S::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        poll_steps(cx, |cx| {
            Poll::Ready(match ready!(self.stream.poll_next(cx)) {
                Some(item) => (self.f)(&item).then_some(Some(item)),
                None => Some(None),
            })
        })
    }

    fn stop_next(&mut self) {
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::filter_map`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct FilterMap<S, F> {
    stream: S,
    f: F,
}

impl<S, F> FilterMap<S, F> {
    pub(super) fn new(stream: S, f: F) -> FilterMap<S, F> {
        FilterMap { stream, f }
    }
}

impl<S: Stream, U, F: FnMut(S::Item) -> Option<U>> Stream for FilterMap<S, F> {
    type Item = U;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<U>> {
        poll_steps(cx, |cx| {
            Poll::Ready(match ready!(self.stream.poll_next(cx)) {
                Some(item) => (self.f)(item).map(Some),
                None => Some(None),
            })
        })
    }

    fn stop_next(&mut self) {
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::scan`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Scan<S, A, F> {
    stream: S,
    state: A,
    f: F,
    /// True when `f` has ended the stream.
    is_over: bool,
}

impl<S, A, F> Scan<S, A, F> {
    pub(super) fn new(stream: S, state: A, f: F) -> Scan<S, A, F> {
        Scan { stream, state, f, is_over: false }
    }
}

impl<S: Stream, A, U, F: FnMut(&mut A, S::Item) -> Option<U>> Stream for Scan<S, A, F> {
    type Item = U;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<U>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let item = ready!(self.stream.poll_next(cx));
        let made = item.and_then(|item| (self.f)(&mut self.state, item));
        self.is_over = made.is_none();
        Poll::Ready(made)
    }

    fn stop_next(&mut self) {
        self.stream.stop_next();
    }
}

opaque_debug!(Map<S, F>, Filter<S, F>, FilterMap<S, F>, Scan<S, A, F>);
