//! Streams that begin late or end early. None of them holds an item.

use std::future::Future;
use std::task::{Context, Poll, ready};

use super::{Stream, poll_steps};
use crate::future::Children;
use crate::kernel::strand::with_alternative;

/// The stream of [`Stream::take`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Take<S> {
    stream: S,
    /// The number of items that are still to be given.
    left: usize,
}

impl<S> Take<S> {
    pub(super) fn new(stream: S, left: usize) -> Take<S> {
        Take { stream, left }
    }
}

impl<S: Stream> Stream for Take<S> {
    type Item = S::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        let item = ready!(self.stream.poll_next(cx));
        self.left = if item.is_some() { left } else { 0 };
        Poll::Ready(item)
    }

    fn stop_next(&mut self) {
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::take_while`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct TakeWhile<S, F> {
    stream: S,
    f: F,
    /// True when `f` has returned false.
    is_over: bool,
}

impl<S, F> TakeWhile<S, F> {
    pub(super) fn new(stream: S, f: F) -> TakeWhile<S, F> {
        TakeWhile { stream, f, is_over: false }
    }
}

impl<S: Stream, F: FnMut(&S::Item) -> bool> Stream for TakeWhile<S, F> {
    type Item = S::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let item = ready!(self.stream.poll_next(cx));
        let taken = item.filter(|item| (self.f)(item));
        self.is_over = taken.is_none();
        Poll::Ready(taken)
    }

    fn stop_next(&mut self) {
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::take_until`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct TakeUntil<S, F> {
    stream: S,
    /// The one future that ends it. It has a waker of its own, which can be told that nobody waits any more.
    end: Children<F>,
}

impl<S, F: Future> TakeUntil<S, F> {
    pub(super) fn new(stream: S, end: F) -> TakeUntil<S, F> {
        TakeUntil { stream, end: Children::new(std::iter::once(end), |_| {}) }
    }
}

impl<S: Stream, F: Future> Stream for TakeUntil<S, F> {
    type Item = S::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        with_alternative(|| {
            self.end.poll_woken(cx, |_, _| true);
            if self.end.left() == 0 { Poll::Ready(None) } else { self.stream.poll_next(cx) }
        })
    }

    fn stop_next(&mut self) {
        self.end.forget_parent();
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::skip`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Skip<S> {
    stream: S,
    /// The number of items that are still to be dropped.
    left: usize,
}

impl<S> Skip<S> {
    pub(super) fn new(stream: S, left: usize) -> Skip<S> {
        Skip { stream, left }
    }
}

impl<S: Stream> Stream for Skip<S> {
    type Item = S::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        poll_steps(cx, |cx| {
            let item = ready!(self.stream.poll_next(cx));
            if self.left != 0 && item.is_some() {
                self.left -= 1;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(item))
        })
    }

    fn stop_next(&mut self) {
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::skip_while`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct SkipWhile<S, F> {
    stream: S,
    f: F,
    /// True when `f` has returned false.
    has_begun: bool,
}

impl<S, F> SkipWhile<S, F> {
    pub(super) fn new(stream: S, f: F) -> SkipWhile<S, F> {
        SkipWhile { stream, f, has_begun: false }
    }
}

impl<S: Stream, F: FnMut(&S::Item) -> bool> Stream for SkipWhile<S, F> {
    type Item = S::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        poll_steps(cx, |cx| {
            let item = ready!(self.stream.poll_next(cx));
            self.has_begun = self.has_begun || !item.as_ref().is_some_and(&mut self.f);
            Poll::Ready(self.has_begun.then_some(item))
        })
    }

    fn stop_next(&mut self) {
        self.stream.stop_next();
    }
}

opaque_debug!(Take<S>, TakeWhile<S, F>, TakeUntil<S, F>, Skip<S>, SkipWhile<S, F>);
