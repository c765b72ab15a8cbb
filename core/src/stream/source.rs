//! A stream that serves several consumers.

use std::fmt;
use std::task::{Context, Poll, Waker};

use super::Stream;
use crate::base::turns::Turns;
use crate::channel::{RecvError, Source, TryRecvError, WaitKey};
use crate::kernel::coop;

/// The [`Source`] of [`Stream::into_source`]: each item goes to one of those who receive from it. It holds
/// what the stream holds.
pub struct StreamSource<S>(Turns<S>);

impl<S> StreamSource<S> {
    pub(super) fn new(stream: S) -> StreamSource<S> {
        StreamSource(Turns::new(stream))
    }
}

impl<S: Stream> Source<S::Item> for StreamSource<S> {
    fn poll_recv(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Result<S::Item, RecvError>> {
        let polled = self.0.poll(wait_key, cx, |stream, cx| {
            let polled = stream.poll_next(cx);
            if polled.is_ready() {
                // Whoever has been served does not wait for the next item.
                stream.stop_next();
            }
            polled
        });
        polled.map(|item| item.ok_or(RecvError))
    }

    fn stop_recv(&self, wait_key: &mut WaitKey) {
        self.0.stop(wait_key, S::stop_next);
    }

    fn try_recv(&self) -> Result<S::Item, TryRecvError> {
        let looked = self.0.look(|stream| {
            let polled = coop::with_full_budget(|| stream.poll_next(&mut Context::from_waker(Waker::noop())));
            stream.stop_next();
            (polled, false)
        });
        match looked {
            Some(Poll::Ready(item)) => item.ok_or(TryRecvError::Closed),
            // Whoever has the stream out at this moment is given the item that is there.
            Some(Poll::Pending) | None => Err(TryRecvError::Empty),
        }
    }
}

impl<S> fmt::Debug for StreamSource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSource").finish_non_exhaustive()
    }
}
