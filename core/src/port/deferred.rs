//! A medium that is still being opened.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::event::{During, PortError};
use super::medium::{Input, Medium};

/// A medium that a future makes: a connection that is being established. What is sent meanwhile waits.
pub(super) enum Deferred<M> {
    /// The medium is being opened.
    Opening(Pin<Box<dyn Future<Output = io::Result<M>> + Send>>),
    /// The medium is open, and items go through it.
    Open(M),
    /// The medium could not be opened, for this reason, which has not been told yet.
    Failed(Option<io::Error>),
}

impl<M: Medium> Deferred<M> {
    pub(super) fn new(opening: impl Future<Output = io::Result<M>> + Send + 'static) -> Deferred<M> {
        Deferred::Opening(Box::pin(opening))
    }

    /// Returns the medium when it is open; `None` if that has failed.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<&mut M>> {
        if let Deferred::Opening(opening) = self {
            *self = match ready!(opening.as_mut().poll(cx)) {
                Ok(medium) => Deferred::Open(medium),
                Err(error) => Deferred::Failed(Some(error)),
            };
        }
        Poll::Ready(match self {
            Deferred::Open(medium) => Some(medium),
            _ => None,
        })
    }

    /// Returns the reason why it could not be opened, the first time that this is called.
    fn failure(&mut self) -> Option<PortError> {
        let Deferred::Failed(error) = self else { return None };
        error.take().map(|error| PortError::Io { during: During::Open, error })
    }
}

impl<M: Medium> Medium for Deferred<M> {
    type In = M::In;
    type Out = M::Out;

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<M::In>> {
        if let Some(medium) = ready!(self.poll_open(cx)) {
            return medium.poll_next(cx);
        }
        if matches!(self, Deferred::Failed(Some(_))) {
            // It is told of by the output, which is open until then and ends with it: what has been sent can
            // go nowhere. The output is looked at again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Input::End)
    }

    #[inline]
    fn take_at_hand(&mut self, most: usize, take: impl FnMut(M::In)) -> Option<Input<M::In>> {
        match self {
            Deferred::Open(medium) => medium.take_at_hand(most, take),
            _ => None,
        }
    }

    fn take_error(&mut self) -> Option<PortError> {
        match self {
            Deferred::Open(medium) => medium.take_error(),
            _ => None,
        }
    }

    fn is_opening(&self) -> bool {
        matches!(self, Deferred::Opening(_))
    }

    fn encode(&mut self, item: M::Out) -> Result<(), PortError> {
        match self {
            Deferred::Open(medium) => medium.encode(item),
            // It is not called before `unwritten` says that there is room.
            _ => Ok(()),
        }
    }

    fn unwritten(&self) -> usize {
        match self {
            Deferred::Open(medium) => medium.unwritten(),
            _ => usize::MAX,
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        match ready!(self.poll_open(cx)) {
            Some(medium) => medium.poll_flush(cx),
            None => Poll::Ready(self.failure().map_or(Ok(()), Err)),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PortError>> {
        match self {
            Deferred::Open(medium) => medium.poll_close(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn end_input(&mut self) {
        if let Deferred::Open(medium) = self {
            medium.end_input();
        }
    }

    fn settle(&mut self) {
        if let Deferred::Open(medium) = self {
            medium.settle();
        }
    }
}
