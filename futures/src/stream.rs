//! The trait of futures on our streams.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};

/// A stream of this library as futures has them: with its `Stream` and `FusedStream`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use futures::StreamExt;
/// use twoply::channel::Source;
/// use twoply::futures::AsStream;
/// use twoply::{Wait, channel, time};
///
/// let (tx, rx) = channel::unbounded();
/// tx.try_send("a word")?;
/// drop(tx);
/// let mut words = AsStream::new(rx.into_stream());
/// let mut ticks = AsStream::new(time::interval(Duration::from_millis(1)).into_stream());
/// let heard = async {
///     let mut heard = Vec::new();
///     while heard.len() < 2 {
///         futures::select! {
///             word = words.select_next_some() => heard.push(word),
///             _ = ticks.select_next_some() => heard.push("tick"),
///         }
///     }
///     heard
/// };
/// assert!(heard.wait().contains(&"tick"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "streams do nothing unless items are asked for"]
pub struct AsStream<S> {
    stream: S,
    ended: bool,
}

impl<S> AsStream<S> {
    /// Makes a stream of the kind that futures has of `stream`.
    pub fn new(stream: S) -> AsStream<S> {
        AsStream { stream, ended: false }
    }

    /// Returns the stream itself. No item is lost.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

// The stream is never pinned: ours are polled by reference.
impl<S> Unpin for AsStream<S> {}

impl<S: twoply_core::stream::Stream> Stream for AsStream<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.get_mut();
        let polled = this.stream.poll_next(cx);
        this.ended |= matches!(polled, Poll::Ready(None));
        polled
    }
}

impl<S: twoply_core::stream::Stream> FusedStream for AsStream<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
