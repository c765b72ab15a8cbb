//! Futures that go on to the end of a stream.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{Stream, poll_steps};
use crate::channel::{SendError, Sink, WaitKey};
use crate::kernel::strand::with_alternative;

/// A stream that a future asks for all of its items. Dropping this ends the wait, because the stream may be
/// borrowed.
struct Consumed<S: Stream>(S);

impl<S: Stream> Drop for Consumed<S> {
    fn drop(&mut self) {
        self.0.stop_next();
    }
}

/// The future of [`Stream::fold`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Fold<S: Stream, A, F> {
    stream: Consumed<S>,
    /// The result for the items so far; `None` while `f` has it, and once the future is ready.
    folded: Option<A>,
    f: F,
}

impl<S: Stream, A, F> Fold<S, A, F> {
    pub(super) fn new(stream: S, init: A, f: F) -> Fold<S, A, F> {
        Fold { stream: Consumed(stream), folded: Some(init), f }
    }
}

// None of it is ever pinned.
impl<S: Stream, A, F> Unpin for Fold<S, A, F> {}

impl<S: Stream, A, F: FnMut(A, S::Item) -> A> Future for Fold<S, A, F> {
    type Output = A;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A> {
        let Fold { stream, folded, f } = self.get_mut();
        poll_steps(cx, |cx| {
            let item = ready!(stream.0.poll_next(cx));
            let Some(before) = folded.take() else { panic!("a fold was polled after its end") };
            Poll::Ready(match item {
                Some(item) => {
                    *folded = Some(f(before, item));
                    None
                }
                None => Some(before),
            })
        })
    }
}

/// The future of [`Stream::for_each`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct ForEach<S: Stream, F> {
    stream: Consumed<S>,
    f: F,
}

impl<S: Stream, F> ForEach<S, F> {
    pub(super) fn new(stream: S, f: F) -> ForEach<S, F> {
        ForEach { stream: Consumed(stream), f }
    }
}

// None of it is ever pinned.
impl<S: Stream, F> Unpin for ForEach<S, F> {}

impl<S: Stream, F: FnMut(S::Item)> Future for ForEach<S, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ForEach { stream, f } = self.get_mut();
        poll_steps(cx, |cx| match ready!(stream.0.poll_next(cx)) {
            Some(item) => {
                f(item);
                Poll::Ready(None)
            }
            None => Poll::Ready(Some(())),
        })
    }
}

/// The future of [`Stream::collect`].
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Collect<S: Stream, C> {
    stream: Consumed<S>,
    /// The items so far.
    collected: C,
}

impl<S: Stream, C: Default> Collect<S, C> {
    pub(super) fn new(stream: S) -> Collect<S, C> {
        Collect { stream: Consumed(stream), collected: C::default() }
    }
}

// None of it is ever pinned.
impl<S: Stream, C> Unpin for Collect<S, C> {}

impl<S: Stream, C: Default + Extend<S::Item>> Future for Collect<S, C> {
    type Output = C;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C> {
        let Collect { stream, collected } = self.get_mut();
        poll_steps(cx, |cx| match ready!(stream.0.poll_next(cx)) {
            Some(item) => {
                collected.extend(Some(item));
                Poll::Ready(None)
            }
            None => Poll::Ready(Some(std::mem::take(collected))),
        })
    }
}

/// A sink, and what it is being sent.
struct Target<T, K: Sink<T>> {
    sink: K,
    wait_key: WaitKey,
    /// None when the sink has taken it, or there is none.
    item: Option<T>,
    /// True from the moment that there is an item until the sink has sent it.
    is_busy: bool,
}

impl<T, K: Sink<T>> Target<T, K> {
    fn new(sink: K) -> Target<T, K> {
        Target { sink, wait_key: WaitKey::new(), item: None, is_busy: false }
    }

    /// Begins to send `item`; nothing else is being sent.
    fn begin(&mut self, item: T) {
        self.item = Some(item);
        self.is_busy = true;
    }

    /// Goes on until nothing is being sent.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        if !self.is_busy {
            return Poll::Ready(Ok(()));
        }
        let sent = ready!(self.sink.poll_send(&mut self.wait_key, &mut self.item, cx));
        self.is_busy = false;
        Poll::Ready(sent)
    }
}

impl<T, K: Sink<T>> Drop for Target<T, K> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.sink.stop_send(&mut self.wait_key);
        }
    }
}

/// The future of [`Stream::forward`]. It owns the item that it sends.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct Forward<S: Stream, K: Sink<S::Item>> {
    stream: Consumed<S>,
    target: Target<S::Item, K>,
}

impl<S: Stream, K: Sink<S::Item>> Forward<S, K> {
    pub(super) fn new(stream: S, sink: K) -> Forward<S, K> {
        Forward { stream: Consumed(stream), target: Target::new(sink) }
    }
}

// None of it is ever pinned.
impl<S: Stream, K: Sink<S::Item>> Unpin for Forward<S, K> {}

impl<S: Stream, K: Sink<S::Item>> Future for Forward<S, K> {
    type Output = Result<(), SendError<S::Item>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Forward { stream, target } = self.get_mut();
        poll_steps(cx, |cx| {
            if let Err(error) = ready!(target.poll(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            match ready!(stream.0.poll_next(cx)) {
                Some(item) => {
                    target.begin(item);
                    Poll::Ready(None)
                }
                None => Poll::Ready(Some(Ok(()))),
            }
        })
    }
}

/// The future of [`Stream::fan_out`]. It owns the clones of the item that it sends.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct FanOut<S: Stream<Item = T>, K: Sink<T>, T> {
    stream: Consumed<S>,
    /// Those that are not closed, as far as that is known.
    targets: Vec<Target<T, K>>,
}

impl<T: Clone, S: Stream<Item = T>, K: Sink<T>> FanOut<S, K, T> {
    pub(super) fn new(stream: S, sinks: impl IntoIterator<Item = K>) -> FanOut<S, K, T> {
        FanOut { stream: Consumed(stream), targets: sinks.into_iter().map(Target::new).collect() }
    }

    /// Goes on until all have what they are being sent. The error is that of the last one that is left.
    fn poll_targets(targets: &mut Vec<Target<T, K>>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let (mut are_all_done, mut at) = (true, 0);
        while at < targets.len() {
            match targets[at].poll(cx) {
                Poll::Pending => are_all_done = false,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    drop(targets.remove(at));
                    if targets.is_empty() {
                        return Poll::Ready(Err(error));
                    }
                    continue;
                }
            }
            at += 1;
        }
        if are_all_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

// None of it is ever pinned.
impl<S: Stream<Item = T>, K: Sink<T>, T> Unpin for FanOut<S, K, T> {}

impl<T: Clone, S: Stream<Item = T>, K: Sink<T>> Future for FanOut<S, K, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let FanOut { stream, targets } = self.get_mut();
        poll_steps(cx, |cx| {
            let polled = with_alternative(|| FanOut::<S, K, T>::poll_targets(targets, cx));
            if let Err(error) = ready!(polled) {
                return Poll::Ready(Some(Err(error)));
            }
            let Some(item) = ready!(stream.0.poll_next(cx)) else { return Poll::Ready(Some(Ok(()))) };
            let Some((last, others)) = targets.split_last_mut() else {
                return Poll::Ready(Some(Err(SendError(item))));
            };
            others.iter_mut().for_each(|target| target.begin(item.clone()));
            last.begin(item);
            Poll::Ready(None)
        })
    }
}

opaque_debug!(Fold<S: Stream, A, F>, ForEach<S: Stream, F>, Collect<S: Stream, C>);

impl<S: Stream, K: Sink<S::Item>> std::fmt::Debug for Forward<S, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward").finish_non_exhaustive()
    }
}

impl<S: Stream<Item = T>, K: Sink<T>, T> std::fmt::Debug for FanOut<S, K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FanOut").field("sinks", &self.targets.len()).finish_non_exhaustive()
    }
}
