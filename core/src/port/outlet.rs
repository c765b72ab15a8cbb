//! Where the events of a port go: a channel, or the mailbox of its owner.

use std::task::{Context, Poll, ready};

use super::event::Event;
use crate::actor::ProcessRef;
use crate::channel::{Sender, Sink, WaitKey};

/// Nobody takes any more events.
pub(super) struct Gone;

/// Where the events of a port go.
pub(super) trait Outlet<T>: Send {
    /// Delivers the event in `event`, which is taken out when that is done or when nobody but the receiver of
    /// this outlet can have it any more.
    ///
    /// # Errors
    /// When nobody takes any more.
    fn poll_deliver(&mut self, event: &mut Option<Event<T>>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>>;

    /// Returns true when an event has been made a message of, and has not been delivered yet.
    fn is_busy(&self) -> bool;
}

/// The channel of a port that is a source.
pub(super) struct ToChannel<T> {
    sender: Sender<Event<T>>,
    /// Set while it waits for room.
    wait_key: WaitKey,
}

impl<T> ToChannel<T> {
    pub(super) fn new(sender: Sender<Event<T>>) -> ToChannel<T> {
        ToChannel { sender, wait_key: WaitKey::new() }
    }
}

impl<T: Send> Outlet<T> for ToChannel<T> {
    fn poll_deliver(&mut self, event: &mut Option<Event<T>>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.sender.poll_send(&mut self.wait_key, event, cx).map_err(|_| Gone)
    }

    fn is_busy(&self) -> bool {
        false
    }
}

impl<T> Drop for ToChannel<T> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.sender.stop_send(&mut self.wait_key);
        }
    }
}

/// The mailbox of a process, and what makes its messages of events.
pub(super) struct ToMailbox<N, F> {
    process: ProcessRef<N>,
    make: F,
    /// The message of an event that there is no room for.
    message: Option<N>,
    /// Set while it waits for room.
    wait_key: WaitKey,
}

impl<N, F> ToMailbox<N, F> {
    pub(super) fn new(process: ProcessRef<N>, make: F) -> ToMailbox<N, F> {
        ToMailbox { process, make, message: None, wait_key: WaitKey::new() }
    }
}

impl<T, N, F> Outlet<T> for ToMailbox<N, F>
where
    N: Send + 'static,
    F: FnMut(Event<T>) -> N + Send,
{
    fn poll_deliver(&mut self, event: &mut Option<Event<T>>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.message.is_none() {
            let Some(event) = event.take() else { return Poll::Ready(Ok(())) };
            self.message = Some((self.make)(event));
        }
        let sent = ready!(self.process.poll_send(&mut self.wait_key, &mut self.message, cx));
        Poll::Ready(sent.map_err(|_| Gone))
    }

    fn is_busy(&self) -> bool {
        self.message.is_some()
    }
}

impl<N, F> Drop for ToMailbox<N, F> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.process.stop_send(&mut self.wait_key);
        }
    }
}
