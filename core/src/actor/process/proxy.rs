//! A cell that stands for a process on another node: its mailbox is closed, and there is a forwarder.
//!
//! Sends look for the forwarder on the cold path only, where they have found the mailbox closed; so a process
//! that runs here pays nothing for it. Signals do not come by at all: the pid of such a cell is the one of
//! the other node, with an endpoint of its own. This module knows nothing of nodes and wires; whoever does
//! implements [`Forwarder`](crate::actor::remote::Forwarder).

use std::sync::Arc;
use std::task::{Context, Poll};

use super::cell::{Cell, Extra};
use super::pid::Pid;
use crate::actor::ExitReason;
use crate::actor::remote::Forwarder;
use crate::channel::{SendError, TrySendError, take_message};

/// The part of a cell that knows the process elsewhere for which the cell stands.
pub(in crate::actor) struct Proxy<M> {
    /// The pid, with the endpoint that signals go to.
    pid: Pid,
    /// The way to the process for messages.
    forwarder: Arc<dyn Forwarder<M>>,
}

impl<M> Proxy<M> {
    pub(super) fn pid(&self) -> &Pid {
        &self.pid
    }

    /// Returns why the process has ended or cannot be reached any more, if so.
    pub(super) fn reason(&self) -> Option<ExitReason> {
        self.forwarder.ended()
    }
}

impl<M> Cell<M> {
    /// Makes a cell that stands for `pid`, a process elsewhere.
    pub(in crate::actor) fn proxy_of(pid: Pid, forwarder: Arc<dyn Forwarder<M>>) -> Arc<Cell<M>> {
        let proxy = Some(Proxy { pid, forwarder });
        let extra = Extra { proxy, ..Extra::none() };
        Cell::over(extra)
    }

    /// Returns true if this stands for a process elsewhere.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.proxy().is_some()
    }

    #[inline]
    pub(super) fn proxy(&self) -> Option<&Proxy<M>> {
        self.extra.as_ref()?.proxy.as_ref()
    }

    /// Gives the message to the forwarder, if there is one: the mailbox is closed.
    #[cold]
    pub(super) fn forward(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>> {
        match self.proxy() {
            Some(proxy) => proxy.forwarder.try_send(message, urgent),
            None => Err(TrySendError::Closed(message)),
        }
    }

    /// As [`Cell::forward`], and waits until the forwarder has room.
    #[cold]
    pub(super) fn poll_forward(
        &self,
        urgent: bool,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        loop {
            match self.forward(take_message(message), urgent) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(TrySendError::Closed(refused)) => return Poll::Ready(Err(SendError(refused))),
                Err(TrySendError::Full(refused)) => *message = Some(refused),
            }
            let ready = self.proxy().map_or(Poll::Ready(()), |proxy| proxy.forwarder.poll_ready(cx));
            if ready.is_pending() {
                return Poll::Pending;
            }
        }
    }
}
