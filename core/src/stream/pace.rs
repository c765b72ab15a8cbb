//! Streams that go by the clock.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Stream, poll_steps};
use crate::kernel::coop::DeferredDecision;
use crate::kernel::sleep::{Sleep, after};
use crate::time::TimeoutError;

/// The stream of [`Stream::timeout`]. It holds no item.
#[must_use = "streams do nothing unless items are asked for"]
pub struct TimeoutEach<S> {
    stream: S,
    duration: Duration,
    /// None while no item is asked for.
    sleep: Option<Sleep>,
    /// The stream may be pending for want of budget only.
    decision: DeferredDecision,
}

impl<S> TimeoutEach<S> {
    pub(super) fn new(stream: S, duration: Duration) -> TimeoutEach<S> {
        TimeoutEach { stream, duration, sleep: None, decision: DeferredDecision::default() }
    }
}

impl<S: Stream> Stream for TimeoutEach<S> {
    type Item = Result<S::Item, TimeoutError>;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let TimeoutEach { stream, duration, sleep, decision } = self;
        let current = sleep.get_or_insert_with(|| Sleep::until(after(*duration)));
        let polled = decision.scope(cx.waker(), |scope| {
            let polled = stream.poll_next(cx).map(|item| item.map(Ok));
            if polled.is_ready() || scope.must_defer(cx.waker()) {
                return polled;
            }
            ready!(current.poll_elapsed(cx));
            Poll::Ready(Some(Err(TimeoutError)))
        });
        if polled.is_ready() {
            *sleep = None;
        }
        polled
    }

    fn stop_next(&mut self) {
        self.sleep.iter_mut().for_each(Sleep::cancel);
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::throttle`]. It holds no item.
#[must_use = "streams do nothing unless items are asked for"]
pub struct Throttle<S> {
    stream: S,
    period: Duration,
    /// Ends when the next item may be taken; `None` once it has ended.
    pause: Option<Sleep>,
}

impl<S> Throttle<S> {
    pub(super) fn new(stream: S, period: Duration) -> Throttle<S> {
        Throttle { stream, period, pause: None }
    }
}

impl<S: Stream> Stream for Throttle<S> {
    type Item = S::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.poll_elapsed(cx));
            self.pause = None;
        }
        let item = ready!(self.stream.poll_next(cx));
        if item.is_some() {
            self.pause = Some(Sleep::until(after(self.period)));
        }
        Poll::Ready(item)
    }

    fn stop_next(&mut self) {
        self.pause.iter_mut().for_each(Sleep::cancel);
        self.stream.stop_next();
    }
}

/// The stream of [`Stream::debounce`].
#[must_use = "streams do nothing unless items are asked for"]
pub struct Debounce<S: Stream> {
    stream: S,
    quiet: Duration,
    /// The last item, while others may follow.
    last: Option<S::Item>,
    /// Ends when it is certain that none has followed.
    sleep: Sleep,
    /// The stream may be pending for want of budget only.
    decision: DeferredDecision,
}

impl<S: Stream> Debounce<S> {
    pub(super) fn new(stream: S, quiet: Duration) -> Debounce<S> {
        Debounce {
            stream,
            quiet,
            last: None,
            sleep: Sleep::until(None),
            decision: DeferredDecision::default(),
        }
    }
}

impl<S: Stream> Stream for Debounce<S> {
    type Item = S::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Debounce { stream, quiet, last, sleep, decision } = self;
        decision.scope(cx.waker(), |scope| {
            let polled = poll_steps(cx, |cx| {
                Poll::Ready(match ready!(stream.poll_next(cx)) {
                    Some(item) => {
                        *sleep = Sleep::until(after(*quiet));
                        drop(last.replace(item));
                        None
                    }
                    None => Some(last.take()),
                })
            });
            if polled.is_ready() || last.is_none() || scope.must_defer(cx.waker()) {
                return polled;
            }
            ready!(sleep.poll_elapsed(cx));
            Poll::Ready(last.take())
        })
    }

    fn stop_next(&mut self) {
        self.sleep.cancel();
        self.stream.stop_next();
    }
}

opaque_debug!(TimeoutEach<S>, Throttle<S>, Debounce<S: Stream>);
