//! The senders' side of a mailbox that may be full: how a send waits for room, and gets it.

use std::task::{Context, Poll, Waker, ready};

use super::super::mailbox::{CROWDED, Queue};
use super::{Cell, Inbox};
use crate::actor::Overflow;
use crate::base::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::base::sync::{MutexGuard, lock};
use crate::base::waitlist::WaitKey;
use crate::base::wake::{StoredWaker, wake_all};
use crate::channel::{SendError, take_message};
use crate::kernel::coop;
use crate::kernel::waiting::{self, WaitingFor};

/// The answer to who wants room for several messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// There are permits for so many messages, one at least, which [`Cell::send_reserved`] uses.
    Permits(u32),
    /// This mailbox keeps no room for anybody: a message is sent by itself.
    One,
    /// No more messages are taken.
    Closed,
}

impl<M> Cell<M> {
    /// Sends `message`, or waits for a permit.
    pub(in crate::actor::process) fn poll_send(
        &self,
        urgent: bool,
        wait_key: &mut WaitKey,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        let unit = ready!(coop::proceed(cx));
        let sent = ready!(self.note_room(self.poll_permit(urgent, wait_key, message, cx)));
        unit.spend();
        Poll::Ready(sent)
    }

    /// Tells that this is what the sender waits for. What stands for something that is here does not: the
    /// mailbox or the queue that the message waits at has told it.
    fn note_room<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() && self.target().is_some() {
            return polled;
        }
        waiting::note(polled, || WaitingFor::MailboxRoom { process: self.identity().serial })
    }

    pub(super) fn poll_permit(
        &self,
        urgent: bool,
        wait_key: &mut WaitKey,
        message: &mut Option<M>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<M>>> {
        // A waker is cloned, and as the older local dropped, with nothing locked: both run code of the
        // waker's.
        let mut spare: Option<StoredWaker> = None;
        loop {
            let mut inbox = lock(&self.inbox);
            let closed = inbox.life.is_closed();
            let queue = &mut inbox.queue;
            if closed {
                drop(inbox);
                return self.poll_forward(urgent, wait_key, message, cx);
            }
            let has_permit = wait_key.is_set() && !queue.is_waiting(wait_key);
            if has_permit || (!wait_key.is_set() && !self.is_full(queue)) {
                // First of all: a send that is polled too often panics here, and takes no permit along.
                let message = take_message(message);
                if wait_key.take().is_some() {
                    queue.use_permits(1);
                }
                let waker = self.enqueue_message(queue, message, urgent);
                drop(inbox);
                wake_all(waker);
                return Poll::Ready(Ok(()));
            }
            if self.overflow != Overflow::Wait {
                let sent = self.overflow(inbox, take_message(message), urgent);
                return Poll::Ready(sent.map_err(|error| SendError(error.into_inner())));
            }
            ready!(self.wait_in_queue(inbox, wait_key, false, cx.waker(), &mut spare));
        }
    }

    /// Reserves room for `wanted` messages, or fewer, or waits until there is some. Whoever is given permits
    /// calls [`Cell::send_reserved`], and [`Cell::stop_send`] if it gives up before.
    pub(in crate::actor::process) fn poll_reserve(
        &self,
        wanted: u32,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Reserved> {
        let unit = ready!(coop::proceed(cx));
        let reserved = ready!(self.note_room(self.poll_permits(wanted, wait_key, cx)));
        if let Reserved::Permits(permits) = reserved {
            unit.spend_for(permits);
        }
        Poll::Ready(reserved)
    }

    pub(super) fn poll_permits(
        &self,
        wanted: u32,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Reserved> {
        let mut spare: Option<StoredWaker> = None;
        loop {
            let mut wakers = Vec::new();
            let mut inbox = lock(&self.inbox);
            if inbox.life.is_closed() {
                wait_key.take();
                let elsewhere = self.is_elsewhere();
                return Poll::Ready(if elsewhere { Reserved::One } else { Reserved::Closed });
            }
            if self.overflow != Overflow::Wait {
                return Poll::Ready(Reserved::One);
            }
            let queue = &mut inbox.queue;
            let is_called = wait_key.is_set() && !queue.is_waiting(wait_key);
            let has_turn = is_called || (!wait_key.is_set() && !queue.has_waiters());
            let permits = if has_turn { self.free(queue).min(wanted) } else { 0 };
            if permits > 0 {
                queue.take_permits(permits);
                if queue.stop_waiting(wait_key).is_some() {
                    self.serve_waiters(queue, &mut wakers);
                }
                drop(inbox);
                wake_all(wakers);
                return Poll::Ready(Reserved::Permits(permits));
            }
            ready!(self.wait_in_queue(inbox, wait_key, true, cx.waker(), &mut spare));
        }
    }

    /// Sends `messages`, for which there are `permits`, in one go. The permits that are too many are given
    /// back. Returns false if the process takes no more messages, which are left where they are.
    pub(in crate::actor::process) fn send_reserved(&self, permits: u32, messages: &mut Vec<M>) -> bool {
        let mut wakers = Vec::new();
        let mut inbox = lock(&self.inbox);
        if inbox.life.is_closed() {
            return false;
        }
        let queue = &mut inbox.queue;
        debug_assert!(messages.len() <= permits as usize);
        queue.use_permits(permits);
        let all_used = messages.len() == permits as usize;
        wakers.extend(self.enqueue_messages(queue, messages.drain(..)));
        if !all_used {
            self.serve_waiters(queue, &mut wakers);
        }
        drop(inbox);
        wake_all(wakers);
        true
    }

    /// Enters a send behind those who wait, its waker cloned without the lock. Ready if it is to look again.
    fn wait_in_queue(
        &self,
        mut inbox: MutexGuard<'_, Inbox<M>>,
        wait_key: &mut WaitKey,
        several: bool,
        waker: &Waker,
        spare: &mut Option<StoredWaker>,
    ) -> Poll<()> {
        let queue = &mut inbox.queue;
        if !queue.wait_for_room(wait_key, several, waker, spare) {
            drop(inbox);
            *spare = Some(StoredWaker::of(waker));
            return Poll::Ready(());
        }
        if self.has(CROWDED) || !queue.is_crowded() {
            // Whoever makes room sees the flag, or the one that has been called serves this one as it comes.
            return Poll::Pending;
        }
        // It is in front. There may be room since the first look; then nobody has to wake it.
        let mut own = Vec::new();
        self.serve_waiters(queue, &mut own);
        drop(inbox);
        if own.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Grants permits to the waiting sends, for as many messages as there is room for, and has the receiver
    /// go on with that: S1 and S2 of the mailbox's diagram.
    fn serve_waiters(&self, queue: &mut Queue<M>, wakers: &mut Vec<StoredWaker>) {
        if queue.is_crowded() {
            if !self.has(CROWDED) {
                self.flags.store(self.flags.load(Relaxed) | CROWDED, SeqCst);
            }
            queue.grant_permits(self.free(queue), wakers);
        }
        if self.has(CROWDED) && !queue.is_crowded() {
            self.flags.store(self.flags.load(Relaxed) & !CROWDED, Relaxed);
        }
    }

    /// Ends the wait of a send, or gives back the permit that it has been granted.
    pub(in crate::actor::process) fn stop_send(&self, wait_key: &mut WaitKey) {
        if !wait_key.is_set() {
            return;
        }
        if let Some(proxy) = self.proxy() {
            return proxy.stop_send(wait_key);
        }
        let mut wakers = Vec::new();
        let mut inbox = lock(&self.inbox);
        let closed = inbox.life.is_closed();
        let queue = &mut inbox.queue;
        let left = queue.stop_waiting(wait_key);
        if left.is_none() && !closed {
            queue.use_permits(1);
        }
        self.serve_waiters(queue, &mut wakers);
        drop(inbox);
        drop(left);
        wake_all(wakers);
    }

    /// Serves those who wait, for a receiver that has made room for it.
    #[cold]
    pub(super) fn make_room(&self) {
        let mut wakers = Vec::new();
        let mut inbox = lock(&self.inbox);
        self.serve_waiters(&mut inbox.queue, &mut wakers);
        drop(inbox);
        wake_all(wakers);
    }
}
