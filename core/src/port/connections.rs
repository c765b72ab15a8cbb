//! A listener as a port: an item is a connection, and a shortage is told before it is waited out.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::event::{During, PortError};
use super::medium::{Input, Medium};
use crate::net::endpoint::{Accepted, Endpoint, Family, Listener};
use crate::net::incoming::Pause;
use crate::time::{Sleep, sleep};

/// A listener as a medium. Nothing is written to it.
pub(super) struct Connections<F> {
    listener: Endpoint<F, Listener>,
    pause: Pause,
    /// Set while it waits for a shortage to end.
    resting: Option<Sleep>,
}

impl<F: Family> Connections<F> {
    pub(super) fn new(listener: Endpoint<F, Listener>) -> Connections<F> {
        Connections { listener, pause: Pause::new(), resting: None }
    }
}

impl<F: Family> Medium for Connections<F>
where
    Accepted<F>: Send + 'static,
{
    type In = Accepted<F>;
    type Out = Infallible;

    const WRITES: bool = false;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input<Self::In>> {
        if let Some(resting) = &mut self.resting {
            ready!(Pin::new(resting).poll(cx));
            self.resting = None;
        }
        Poll::Ready(match ready!(self.listener.poll_accept(cx)) {
            Ok(accepted) => {
                self.pause.end();
                Input::Item(accepted)
            }
            Err(error) => {
                self.resting = self.pause.after(&error).map(sleep);
                let error = PortError::Io { during: During::Accept, error };
                if self.resting.is_some() { Input::Error(error) } else { Input::Failed(error) }
            }
        })
    }

    fn encode(&mut self, item: Infallible) -> Result<(), PortError> {
        match item {}
    }
}
