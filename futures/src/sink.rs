//! The trait of futures on our targets of messages.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;
use twoply_core::channel::{SendError, Sink as Target, TrySendError, WaitKey};

/// A target of messages as futures has them: with its `Sink`.
///
/// A message that finds no room waits in here, and only one does: to flush is to wait until it has been sent.
/// One that has not been flushed is dropped with this. To close it drops the target, so that who receives
/// sees the end if that was the last one; whatever is sent after that comes back as the error.
///
/// # Examples
/// ```
/// use futures::SinkExt;
/// use twoply::{Wait, channel, futures::AsSink};
///
/// let (tx, rx) = channel::bounded(1);
/// let mut sink = AsSink::new(tx);
/// sink.send(1).wait()?;
/// sink.close().wait()?;
/// assert_eq!(sink.send(2).wait().unwrap_err().into_inner(), 2);
/// assert_eq!(rx.recv().wait(), Ok(1));
/// assert!(rx.recv().wait().is_err(), "the sender is gone");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "sinks do nothing unless something is sent"]
pub struct AsSink<T, S: Target<T>> {
    /// None once it has been closed.
    target: Option<S>,
    wait_key: WaitKey,
    /// The message that waits, unless the target has taken it.
    message: Option<T>,
    /// True while a message waits.
    is_sending: bool,
    /// True when the target has been asked to send that, and was not ready.
    has_asked: bool,
}

impl<T, S: Target<T>> AsSink<T, S> {
    /// Makes a sink of the kind that futures has of `target`.
    pub fn new(target: S) -> AsSink<T, S> {
        AsSink {
            target: Some(target),
            wait_key: WaitKey::default(),
            message: None,
            is_sending: false,
            has_asked: false,
        }
    }
}

// The message is never pinned: it is moved out when it is sent.
impl<T, S: Target<T>> Unpin for AsSink<T, S> {}

impl<T, S: Target<T>> Sink<T> for AsSink<T, S> {
    type Error = SendError<T>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_flush(cx)
    }

    /// # Panics
    /// When a message waits: [`Sink::poll_ready`] was not asked.
    fn start_send(self: Pin<&mut Self>, message: T) -> Result<(), SendError<T>> {
        let this = self.get_mut();
        assert!(!this.is_sending, "a sink was not ready for a message");
        let Some(target) = &this.target else { return Err(SendError(message)) };
        match target.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(message)) => Err(SendError(message)),
            Err(refused) => {
                this.message = Some(refused.into_inner());
                this.is_sending = true;
                Ok(())
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let this = self.get_mut();
        if let Some(target) = this.target.as_ref().filter(|_| this.is_sending) {
            let sent = target.poll_send(&mut this.wait_key, &mut this.message, cx);
            this.has_asked = sent.is_pending();
            this.is_sending = sent.is_pending();
            return sent;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let flushed = ready!(self.as_mut().poll_flush(cx));
        drop(self.target.take());
        Poll::Ready(flushed)
    }
}

impl<T, S: Target<T>> Drop for AsSink<T, S> {
    fn drop(&mut self) {
        if let Some(target) = self.target.as_ref().filter(|_| self.has_asked) {
            target.stop_send(&mut self.wait_key);
        }
    }
}

impl<T, S: Target<T>> fmt::Debug for AsSink<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_closed = self.target.is_none();
        f.debug_struct("AsSink")
            .field("is_sending", &self.is_sending)
            .field("is_closed", &is_closed)
            .finish_non_exhaustive()
    }
}
