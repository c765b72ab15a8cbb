//! A send with a time limit that loses no message.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::{SendTimeoutError, Sender, Sending, Sink};
use crate::kernel::selection::Selection;
use crate::kernel::sleep::Sleep;

/// The future of [`Sending::timeout`]. It owns the message until that is sent.
#[must_use = "futures do nothing unless finished by `.await` or `.wait()`"]
pub struct SendTimeout<'a, T, S: Sink<T> + ?Sized = Sender<T>> {
    sending: Sending<'a, T, S>,
    sleep: Sleep,
    /// The arm, send or sleep, that others have committed to. Below the send, because it is dropped after it.
    selection: Selection,
}

impl<'a, T, S: Sink<T> + ?Sized> SendTimeout<'a, T, S> {
    /// Makes one that ends at `deadline`; `None` is never.
    pub(super) fn new(sending: Sending<'a, T, S>, deadline: Option<Instant>) -> SendTimeout<'a, T, S> {
        SendTimeout { sending, sleep: Sleep::until(deadline), selection: Selection::default() }
    }
}

impl<T, S: Sink<T> + ?Sized> Future for SendTimeout<'_, T, S> {
    type Output = Result<(), SendTimeoutError<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SendTimeout { sending, sleep, selection } = self.get_mut();
        selection.poll(cx, 0..2, |index, cx| match index {
            0 => Pin::new(&mut *sending).poll(cx).map_err(SendTimeoutError::from),
            // Asks for no budget, as any time limit.
            _ => {
                ready!(sleep.poll_elapsed(cx));
                // A receiver may have taken the message since the send was polled.
                Poll::Ready(
                    sending.take_back().map_or(Ok(()), |message| Err(SendTimeoutError::Timeout(message))),
                )
            }
        })
    }
}

impl<T, S: Sink<T> + ?Sized> fmt::Debug for SendTimeout<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendTimeout").field("deadline", &self.sleep.deadline()).finish_non_exhaustive()
    }
}
