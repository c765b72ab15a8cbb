//! A cell that stands for something else than a process with this mailbox: its own is closed, and a [`Way`]
//! leads to where its messages go. Behind it stands a process on another node, or a
//! [`Pool`](crate::actor::Pool).
//!
//! Sends look for the way on the cold path only, where they have found the mailbox closed; so a process that
//! runs here pays nothing for it. Signals do not come by at all: the pid of such a cell is the one of the
//! other node, with an endpoint of its own, or that of the pool's supervisor. This module knows nothing of
//! nodes and wires; whoever does implements [`Forwarder`](crate::actor::remote::Forwarder).

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::cell::{Cell, Extra};
use super::pid::Pid;
use crate::actor::ExitReason;
use crate::actor::remote::Forwarder;
use crate::channel::{SendError, TrySendError, WaitKey, take_message};

/// The part of a cell that knows what the cell stands for.
pub(in crate::actor) struct Proxy<M> {
    /// The pid, with the endpoint that signals go to.
    pid: Pid,
    /// The way for messages.
    way: Box<dyn Way<M>>,
}

/// Leads the messages of a proxy to where they go. No lock of a cell is held when it is called.
pub(in crate::actor) trait Way<M>: Send + Sync {
    /// As that of [`Forwarder`].
    fn try_send(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>>;

    /// Sends the message, or waits for room, as [`Sink`](crate::channel::Sink) does.
    fn poll_send(
        &self,
        urgent: bool,
        wait_key: &mut WaitKey,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>>;

    /// Ends the wait of a send.
    fn stop_send(&self, wait_key: &mut WaitKey);

    /// As that of [`Forwarder`].
    fn ended(&self) -> Option<ExitReason>;

    /// Returns what is at the end of the way, if that is here.
    fn target(&self) -> Option<&dyn Any> {
        None
    }
}

/// The way to a process elsewhere. Whoever waits has no key: the forwarder keeps the waker.
struct Elsewhere<M>(Arc<dyn Forwarder<M>>);

impl<M> Way<M> for Elsewhere<M> {
    fn try_send(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>> {
        self.0.try_send(message, urgent)
    }

    fn poll_send(
        &self,
        urgent: bool,
        _: &mut WaitKey,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        loop {
            match self.0.try_send(take_message(message), urgent) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(TrySendError::Closed(refused)) => return Poll::Ready(Err(SendError(refused))),
                Err(TrySendError::Full(refused)) => *message = Some(refused),
            }
            if self.0.poll_ready(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn stop_send(&self, _: &mut WaitKey) {}

    fn ended(&self) -> Option<ExitReason> {
        self.0.ended()
    }
}

impl<M> Proxy<M> {
    pub(super) fn pid(&self) -> &Pid {
        &self.pid
    }

    /// Returns why no more messages get there, if so.
    pub(super) fn reason(&self) -> Option<ExitReason> {
        self.way.ended()
    }

    /// Ends the wait of a send.
    pub(super) fn stop_send(&self, wait_key: &mut WaitKey) {
        self.way.stop_send(wait_key);
    }
}

impl<M> Cell<M> {
    /// Makes a cell that stands for `pid`, a process elsewhere.
    pub(in crate::actor) fn proxy_of(pid: Pid, forwarder: Arc<dyn Forwarder<M>>) -> Arc<Cell<M>>
    where
        M: 'static,
    {
        Cell::with_way(pid, Box::new(Elsewhere(forwarder)))
    }

    /// Makes a cell whose messages go this way, and its signals to `pid`.
    pub(in crate::actor) fn with_way(pid: Pid, way: Box<dyn Way<M>>) -> Arc<Cell<M>> {
        let proxy = Some(Proxy { pid, way });
        let extra = Extra { proxy, ..Extra::none() };
        Cell::over(extra)
    }

    /// Returns true if this stands for something else.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.proxy().is_some()
    }

    #[inline]
    pub(super) fn proxy(&self) -> Option<&Proxy<M>> {
        self.extra.as_ref()?.proxy.as_ref()
    }

    /// Returns what this stands for, if that is here.
    pub(in crate::actor) fn target(&self) -> Option<&dyn Any> {
        self.proxy()?.way.target()
    }

    /// Sends the message on its way, if there is one: the mailbox is closed.
    #[cold]
    pub(super) fn forward(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>> {
        match self.proxy() {
            Some(proxy) => proxy.way.try_send(message, urgent),
            None => Err(TrySendError::Closed(message)),
        }
    }

    /// As [`Cell::forward`], and waits until there is room.
    #[cold]
    pub(super) fn poll_forward(
        &self,
        urgent: bool,
        wait_key: &mut WaitKey,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        match self.proxy() {
            Some(proxy) => proxy.way.poll_send(urgent, wait_key, message, cx),
            None => {
                // The close has taken all entries out.
                wait_key.take();
                Poll::Ready(Err(SendError(take_message(message))))
            }
        }
    }
}
