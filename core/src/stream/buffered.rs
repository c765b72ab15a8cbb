//! Streams that work on several items at once. They hold the futures that are under way, and the outputs that
//! wait for their turn.

use std::collections::VecDeque;
use std::future::{Future, IntoFuture};
use std::task::{Context, Poll};

use super::Stream;
use crate::future::Children;
use crate::kernel::strand::with_alternative;

/// A stream of futures, and those of them that are under way.
struct UnderWay<S, F> {
    stream: S,
    futures: Children<F>,
    /// True when the stream has ended.
    has_ended: bool,
}

impl<S: Stream<Item: IntoFuture<IntoFuture = F>>, F: Future> UnderWay<S, F> {
    fn new(stream: S) -> UnderWay<S, F> {
        UnderWay { stream, futures: Children::new(std::iter::empty(), |_| {}), has_ended: false }
    }

    /// Begins with the next item if it is there, and returns the index of its future.
    fn begin_next(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        if self.has_ended {
            return None;
        }
        match self.stream.poll_next(cx) {
            Poll::Ready(Some(item)) => Some(self.futures.push(item.into_future())),
            Poll::Ready(None) => {
                self.has_ended = true;
                None
            }
            Poll::Pending => None,
        }
    }

    /// Polls the futures that were woken, and hands `done` the index of each that is ready, and its output.
    /// One that panics has none: it is dropped, and the panic goes on.
    fn poll_woken(&mut self, cx: &mut Context<'_>, mut done: impl FnMut(usize, Option<F::Output>)) {
        self.futures.poll_woken(cx, |index, output| {
            done(index, output);
            true
        });
    }

    /// Ends the wait. The futures that are under way stay.
    fn stop(&mut self) {
        self.futures.forget_parent();
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::buffered`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Buffered<S, F: Future> {
    under_way: UnderWay<S, F>,
    /// By the index of a future: the number of its item.
    numbers: Vec<u64>,
    /// A place for each item from the number `first` on that has been begun with: `None` while its future is
    /// under way, then the output, of which there is none if the future has panicked.
    outputs: VecDeque<Option<Option<F::Output>>>,
    /// The number of items whose turn is over.
    first: u64,
    /// The greatest length of `outputs`; not zero.
    limit: usize,
}

impl<S: Stream<Item: IntoFuture<IntoFuture = F>>, F: Future> Buffered<S, F> {
    pub(super) fn new(stream: S, limit: usize) -> Buffered<S, F> {
        let under_way = UnderWay::new(stream);
        Buffered { under_way, numbers: Vec::new(), outputs: VecDeque::new(), first: 0, limit: limit.max(1) }
    }

    /// Begins with as many items as there is room for, and polls the futures that were woken.
    fn poll_under_way(&mut self, cx: &mut Context<'_>) {
        let Buffered { under_way, numbers, outputs, first, limit } = self;
        while let Some(Some(None)) = outputs.front() {
            outputs.pop_front();
            *first += 1;
        }
        while outputs.len() < *limit
            && let Some(index) = under_way.begin_next(cx)
        {
            // Indices are used again, the lowest that are free first.
            if numbers.len() <= index {
                numbers.resize(index + 1, 0);
            }
            numbers[index] = *first + outputs.len() as u64;
            outputs.push_back(None);
        }
        under_way.poll_woken(cx, |index, output| {
            outputs[(numbers[index] - *first) as usize] = Some(output);
        });
    }
}

impl<S: Stream<Item: IntoFuture<IntoFuture = F>>, F: Future> Stream for Buffered<S, F> {
    type Item = F::Output;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        with_alternative(|| self.poll_under_way(cx));
        match self.outputs.front_mut().map(Option::take) {
            Some(Some(Some(output))) => {
                self.outputs.pop_front();
                self.first += 1;
                Poll::Ready(Some(output))
            }
            None if self.under_way.has_ended => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }

    fn stop_next(&mut self) {
        self.under_way.stop();
    }
}

/// The stream of [`Stream::buffered_unordered`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct BufferedUnordered<S, F: Future> {
    under_way: UnderWay<S, F>,
    /// The outputs that have not been given, in the order in which they became ready.
    outputs: VecDeque<F::Output>,
    /// The most futures that are under way and outputs that have not been given; not zero.
    limit: usize,
}

impl<S: Stream<Item: IntoFuture<IntoFuture = F>>, F: Future> BufferedUnordered<S, F> {
    pub(super) fn new(stream: S, limit: usize) -> BufferedUnordered<S, F> {
        BufferedUnordered { under_way: UnderWay::new(stream), outputs: VecDeque::new(), limit: limit.max(1) }
    }
}

impl<S: Stream<Item: IntoFuture<IntoFuture = F>>, F: Future> Stream for BufferedUnordered<S, F> {
    type Item = F::Output;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let BufferedUnordered { under_way, outputs, limit } = self;
        with_alternative(|| {
            while under_way.futures.left() + outputs.len() < *limit && under_way.begin_next(cx).is_some() {}
            under_way.poll_woken(cx, |_, output| outputs.extend(output));
        });
        match outputs.pop_front() {
            Some(output) => Poll::Ready(Some(output)),
            None if under_way.has_ended && under_way.futures.left() == 0 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn stop_next(&mut self) {
        self.under_way.stop();
    }
}

opaque_debug!(Buffered<S, F: Future>, BufferedUnordered<S, F: Future>);
