//! A pool as a target of messages: [`Sink`] for [`Pool`], and the [`Way`] of its [`ProcessRef`].
//!
//! A message that has to wait for room waits at one member. Which one that is cannot be told from the key
//! that the sender keeps, so the pool keeps that, with the key of the member's own queue.

use std::any::Any;
use std::sync::Mutex;
use std::task::{Context, Poll};

use super::{Member, Pool};
use crate::actor::process::cell::Cell;
use crate::actor::process::proxy::Way;
use crate::actor::{ExitReason, ProcessRef};
use crate::base::sync::lock_std;
use crate::base::waitlist::{LinkedSlab, WaitKey};
use crate::channel::{SendError, Sink, TrySendError, take_message};

/// The sends that wait for room at a member, by the keys that their futures have.
pub(super) struct Waits<M: Send + 'static>(Mutex<LinkedSlab<Attempt<M>>>);

/// A send at the member that the routing has chosen. Dropping it ends the wait there.
struct Attempt<M: Send + 'static> {
    member: Member<M>,
    wait_key: WaitKey,
}

impl<M: Send + 'static> Waits<M> {
    pub(super) fn new() -> Waits<M> {
        Waits(Mutex::new(LinkedSlab::new()))
    }

    /// Takes the attempt out that waits under this key, if there is one. It must not be dropped under a lock.
    fn take(&self, wait_key: &mut WaitKey) -> Option<Attempt<M>> {
        let key = wait_key.take()?;
        lock_std(&self.0).remove(key)
    }

    fn keep(&self, wait_key: &mut WaitKey, attempt: Attempt<M>) {
        wait_key.set(lock_std(&self.0).push_back(attempt));
    }
}

impl<M: Send + 'static> Drop for Attempt<M> {
    fn drop(&mut self) {
        if self.wait_key.is_set() {
            self.member.process.stop_send(&mut self.wait_key);
        }
    }
}

impl<M: Send + 'static> Pool<M> {
    /// Begins to send this message, at the member that the routing says.
    fn begin_send(&self, message: &mut Option<M>) -> Result<Attempt<M>, SendError<M>> {
        let unsent = take_message(message);
        let members = self.list();
        let Some(at) = self.0.route.choose(&members, &unsent) else { return Err(SendError(unsent)) };
        *message = Some(unsent);
        Ok(Attempt { member: members[at].clone(), wait_key: WaitKey::new() })
    }

    /// Returns true if neither a member nor a queue of theirs takes messages.
    pub(super) fn is_closed(&self) -> bool {
        match self.0.route.queue() {
            Some(queue) => queue.is_closed(),
            None => self.list().iter().all(|member| member.process.is_closed()),
        }
    }

    pub(super) fn new_process(&self) -> ProcessRef<M> {
        ProcessRef::new(Cell::with_way(self.0.supervisor.pid(), Box::new(self.clone())))
    }
}

impl<M: Send + 'static> Way<M> for Pool<M> {
    fn try_send(&self, message: M, urgent: bool) -> Result<(), TrySendError<M>> {
        self.try_send_as(message, urgent)
    }

    fn poll_send(
        &self,
        urgent: bool,
        wait_key: &mut WaitKey,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        if let Some(queue) = self.0.route.queue() {
            return queue.poll_send(wait_key, message, cx);
        }
        let mut before = self.0.waits.take(wait_key);
        loop {
            let begun = before.take().map_or_else(|| self.begin_send(message), Ok);
            let mut attempt = match begun {
                Ok(attempt) => attempt,
                Err(error) => return Poll::Ready(Err(error)),
            };
            let process = &attempt.member.process;
            let sent = match urgent {
                true => process.urgent().poll_send(&mut attempt.wait_key, message, cx),
                false => process.poll_send(&mut attempt.wait_key, message, cx),
            };
            match sent {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                // The member is gone; there may be others.
                Poll::Ready(Err(SendError(unsent))) if attempt.member.process.is_closed() => {
                    *message = Some(unsent);
                    self.forget(&attempt.member);
                }
                // It is full, and refuses then.
                Poll::Ready(Err(refused)) => return Poll::Ready(Err(refused)),
                Poll::Pending => {
                    self.0.waits.keep(wait_key, attempt);
                    return Poll::Pending;
                }
            }
        }
    }

    fn stop_send(&self, wait_key: &mut WaitKey) {
        Sink::stop_send(self, wait_key);
    }

    fn ended(&self) -> Option<ExitReason> {
        let reason = self.0.supervisor.process().cell().reason();
        reason.or_else(|| self.is_closed().then_some(ExitReason::NoProcess))
    }

    fn target(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl<M: Send + 'static> Sink<M> for Pool<M> {
    fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        Way::poll_send(self, false, wait_key, message, cx)
    }

    fn stop_send(&self, wait_key: &mut WaitKey) {
        match self.0.route.queue() {
            Some(queue) => queue.stop_send(wait_key),
            None => drop(self.0.waits.take(wait_key)),
        }
    }

    fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        Pool::try_send(self, message)
    }
}
