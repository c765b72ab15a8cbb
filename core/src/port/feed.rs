//! Sources as ports: what any of them gives becomes events, in a process of their own.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::task::{Context, Poll, ready};

use super::event::PortError;
use super::medium::{Input, Medium};
use crate::channel::{Source, WaitKey};
use crate::kernel::coop;

/// A source as a medium. Nothing is written to it.
pub(super) struct Feed<T, S: Source<T>> {
    source: S,
    /// Set while it waits for an item.
    wait_key: WaitKey,
    /// The type of the items, of which the feed holds none.
    item: PhantomData<fn() -> T>,
}

impl<T, S: Source<T>> Feed<T, S> {
    pub(super) fn new(source: S) -> Feed<T, S> {
        Feed { source, wait_key: WaitKey::new(), item: PhantomData }
    }
}

impl<T: Send + 'static, S: Source<T> + Send + 'static> Medium for Feed<T, S> {
    type In = T;
    type Out = Infallible;

    const WRITES: bool = false;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<T>> {
        // A source of the user's may always be ready and ask for nothing.
        let unit = ready!(coop::proceed(cx));
        let received = ready!(self.source.poll_recv(&mut self.wait_key, cx));
        unit.spend();
        Poll::Ready(received.map_or(Input::End, Input::Item))
    }

    fn encode(&mut self, item: Infallible) -> Result<(), PortError> {
        match item {}
    }
}

impl<T, S: Source<T>> Drop for Feed<T, S> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.source.stop_recv(&mut self.wait_key);
        }
    }
}
