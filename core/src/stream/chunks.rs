//! Streams of groups of items. They hold the group that is not full yet.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Stream, poll_steps};
use crate::kernel::coop::DeferredDecision;
use crate::kernel::sleep::{Sleep, after};

/// The stream of [`Stream::chunks`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Chunks<S: Stream> {
    stream: S,
    group: Group<S::Item>,
}

/// A group that is being gathered.
struct Group<T> {
    items: Vec<T>,
    /// The number of items that make it full; not zero.
    size: usize,
}

impl<T> Group<T> {
    fn new(size: usize) -> Group<T> {
        Group { items: Vec::new(), size: size.max(1) }
    }

    /// Adds an item, and takes the group if that has made it full.
    fn push(&mut self, item: T) -> Option<Vec<T>> {
        self.items.push(item);
        if self.items.len() == self.size { self.take() } else { None }
    }

    /// Takes the group, if there is anything in it.
    fn take(&mut self) -> Option<Vec<T>> {
        (!self.items.is_empty()).then(|| std::mem::take(&mut self.items))
    }
}

impl<S: Stream> Chunks<S> {
    pub(super) fn new(stream: S, size: usize) -> Chunks<S> {
        Chunks { stream, group: Group::new(size) }
    }
}

impl<S: Stream> Stream for Chunks<S> {
    type Item = Vec<S::Item>;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<S::Item>>> {
        poll_steps(cx, |cx| {
            Poll::Ready(match ready!(self.stream.poll_next(cx)) {
                Some(item) => self.group.push(item).map(Some),
                None => Some(self.group.take()),
            })
        })
    }

    fn stop_next(&mut self) {
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::chunks_timeout`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct ChunksTimeout<S: Stream> {
    stream: S,
    group: Group<S::Item>,
    duration: Duration,
    /// Ends when a group that is not full goes out.
    sleep: Sleep,
    /// The stream may be pending for want of budget only.
    decision: DeferredDecision,
}

impl<S: Stream> ChunksTimeout<S> {
    pub(super) fn new(stream: S, size: usize, duration: Duration) -> ChunksTimeout<S> {
        let decision = DeferredDecision::default();
        ChunksTimeout { stream, group: Group::new(size), duration, sleep: Sleep::until(None), decision }
    }

    /// Polls until the group is full or the stream has ended.
    fn poll_full(
        stream: &mut S,
        group: &mut Group<S::Item>,
        (sleep, duration): (&mut Sleep, Duration),
        cx: &mut Context<'_>,
    ) -> Poll<Option<Vec<S::Item>>> {
        poll_steps(cx, |cx| {
            Poll::Ready(match ready!(stream.poll_next(cx)) {
                Some(item) => {
                    if group.items.is_empty() {
                        *sleep = Sleep::until(after(duration));
                    }
                    group.push(item).map(Some)
                }
                None => Some(group.take()),
            })
        })
    }
}

impl<S: Stream> Stream for ChunksTimeout<S> {
    type Item = Vec<S::Item>;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<S::Item>>> {
        let ChunksTimeout { stream, group, duration, sleep, decision } = self;
        decision.scope(cx.waker(), |scope| {
            let polled = ChunksTimeout::poll_full(stream, group, (&mut *sleep, *duration), cx);
            if polled.is_ready() || group.items.is_empty() || scope.must_defer(cx.waker()) {
                return polled;
            }
            ready!(sleep.poll_elapsed(cx));
            Poll::Ready(group.take())
        })
    }

    fn stop_next(&mut self) {
        self.sleep.cancel();
        self.stream.stop_next();
    }
}

opaque_debug!(Chunks<S: Stream>, ChunksTimeout<S: Stream>);
