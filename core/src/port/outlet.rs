//! Where the events of a port go: a channel, or the mailbox of its owner.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use super::event::Event;
use super::spare;
use crate::actor::{ProcessRef, Reserved};
use crate::channel::{Sender, Sink, WaitKey};

/// Nobody takes any more events.
pub(super) struct Gone;

/// Where the events of a port go.
pub(super) trait Outlet<T>: Send {
    /// Delivers some of the first `most` of `events`, of which there is one at least, or waits until it can.
    /// One is taken out when it is delivered, or when nobody but the receiver of this outlet can have it any
    /// more.
    ///
    /// # Errors
    /// When nobody takes any more.
    fn poll_deliver(
        &mut self,
        events: &mut VecDeque<Event<T>>,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>>;

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
    fn poll_deliver(
        &mut self,
        events: &mut VecDeque<Event<T>>,
        _most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        let mut event = events.pop_front();
        let sent = self.sender.poll_send(&mut self.wait_key, &mut event, cx);
        if let Some(event) = event {
            events.push_front(event);
        }
        sent.map_err(|_| Gone)
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
    /// The message of an event, where a mailbox keeps no room for one.
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
    fn poll_deliver(
        &mut self,
        events: &mut VecDeque<Event<T>>,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        if self.message.is_none() {
            let wanted = events.len().min(most) as u32;
            match ready!(self.process.poll_reserve(wanted, &mut self.wait_key, cx)) {
                Reserved::Permits(permits) => {
                    let mut batch = Batch::new(&self.process, permits);
                    for event in std::iter::from_fn(|| events.pop_front()).take(permits as usize) {
                        batch.messages.push((self.make)(event));
                    }
                    return Poll::Ready(batch.send());
                }
                Reserved::Closed => return Poll::Ready(Err(Gone)),
                Reserved::One => self.message = events.pop_front().map(&mut self.make),
            }
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

/// Messages for which there is room. Those that have been made are sent also if the next one panics.
struct Batch<'a, N: Send + 'static> {
    process: &'a ProcessRef<N>,
    /// The number of permits that have not been used or given back.
    permits: u32,
    messages: Vec<N>,
}

impl<N: Send + 'static> Batch<'_, N> {
    fn new(process: &ProcessRef<N>, permits: u32) -> Batch<'_, N> {
        let mut messages = Vec::new();
        spare::exchange(&mut messages);
        messages.reserve(permits as usize);
        Batch { process, permits, messages }
    }

    fn send(&mut self) -> Result<(), Gone> {
        let permits = std::mem::take(&mut self.permits);
        self.process.send_reserved(permits, &mut self.messages).then_some(()).ok_or(Gone)
    }
}

impl<N: Send + 'static> Drop for Batch<'_, N> {
    fn drop(&mut self) {
        if self.permits > 0 {
            let _ = self.send();
        }
        if self.messages.is_empty() {
            spare::exchange(&mut self.messages);
        }
    }
}
