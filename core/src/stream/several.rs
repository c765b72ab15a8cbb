//! Streams that are put together of two.

use std::task::{Context, Poll, ready};

use super::Stream;
use crate::kernel::strand::with_alternative;

/// The stream of [`Stream::merge`]. It holds no item.
#[must_use = "streams do nothing unless items are asked for"]
pub struct Merge<A, B> {
    first: A,
    second: B,
    /// True when it is the turn of `second` to be asked first.
    is_second: bool,
}

impl<A, B> Merge<A, B> {
    pub(super) fn new(first: A, second: B) -> Merge<A, B> {
        Merge { first, second, is_second: false }
    }
}

impl<A: Stream, B: Stream<Item = A::Item>> Stream for Merge<A, B> {
    type Item = A::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<A::Item>> {
        with_alternative(|| {
            let mut is_over = true;
            for is_second in [self.is_second, !self.is_second] {
                let polled = match is_second {
                    false => self.first.poll_next(cx),
                    true => self.second.poll_next(cx),
                };
                match polled {
                    Poll::Ready(Some(item)) => {
                        self.is_second = !is_second;
                        return Poll::Ready(Some(item));
                    }
                    Poll::Ready(None) => {}
                    Poll::Pending => is_over = false,
                }
            }
            if is_over { Poll::Ready(None) } else { Poll::Pending }
        })
    }

    fn stop_next(&mut self) {
        self.first.stop_next();
        self.second.stop_next();
    }
}

/// The stream of [`Stream::chain`]. It holds no item.
#[must_use = "streams do nothing unless items are asked for"]
pub struct Chain<A, B> {
    /// None when it has ended.
    first: Option<A>,
    second: B,
}

impl<A, B> Chain<A, B> {
    pub(super) fn new(first: A, second: B) -> Chain<A, B> {
        Chain { first: Some(first), second }
    }
}

impl<A: Stream, B: Stream<Item = A::Item>> Stream for Chain<A, B> {
    type Item = A::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<A::Item>> {
        if let Some(first) = &mut self.first {
            if let Some(item) = ready!(first.poll_next(cx)) {
                return Poll::Ready(Some(item));
            }
            self.first = None;
        }
        self.second.poll_next(cx)
    }

    fn stop_next(&mut self) {
        match &mut self.first {
            Some(first) => first.stop_next(),
            None => self.second.stop_next(),
        }
    }
}

/// The stream of [`Stream::zip`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Zip<A: Stream, B: Stream> {
    first: A,
    second: B,
    /// An item of `first` that waits for one of `second`.
    of_first: Option<A::Item>,
    /// An item of `second` that waits for one of `first`.
    of_second: Option<B::Item>,
    /// True when one of them has ended.
    is_over: bool,
}

impl<A: Stream, B: Stream> Zip<A, B> {
    pub(super) fn new(first: A, second: B) -> Zip<A, B> {
        Zip { first, second, of_first: None, of_second: None, is_over: false }
    }

    /// Polls those of both streams whose item is not there. Returns true if one of them has ended.
    fn poll_both(&mut self, cx: &mut Context<'_>) -> bool {
        if self.of_first.is_none()
            && let Poll::Ready(item) = self.first.poll_next(cx)
        {
            self.of_first = item;
            if self.of_first.is_none() {
                return true;
            }
        }
        if self.of_second.is_none()
            && let Poll::Ready(item) = self.second.poll_next(cx)
        {
            self.of_second = item;
            if self.of_second.is_none() {
                return true;
            }
        }
        false
    }
}

impl<A: Stream, B: Stream> Stream for Zip<A, B> {
    type Item = (A::Item, B::Item);

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_over && with_alternative(|| self.poll_both(cx)) {
            self.is_over = true;
            (self.of_first, self.of_second) = (None, None);
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.of_first.is_none() || self.of_second.is_none() {
            return Poll::Pending;
        }
        Poll::Ready(self.of_first.take().zip(self.of_second.take()))
    }

    fn stop_next(&mut self) {
        self.first.stop_next();
        self.second.stop_next();
    }
}

opaque_debug!(Merge<A, B>, Chain<A, B>, Zip<A: Stream, B: Stream>);
