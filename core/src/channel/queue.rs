//! The messages of a channel that holds any, the permits for more, and those who wait for the one or the
//! other.
//!
//! All of it is behind one lock. A send takes the lock once: it finds room, pushes, and takes out the receive
//! that it will wake; a receive pops, and takes out the send that gets its permit; who has to wait enters a
//! list before the lock is let go. So nothing can happen between "there is none" and "wake me", and nobody
//! needs to look twice. The wakers are woken, cloned and dropped outside of the lock, and so are messages
//! dropped.
//!
//! # Who gets a permit
//! A permit is room for one message. One that becomes free goes straight to the send that has waited longest,
//! which uses it at its next poll. Nobody can overtake it, so no send starves, whatever `try_send` and newer
//! sends do meanwhile. A send that is dropped before that passes the permit on. A reservation waits among the
//! sends, and keeps its permit until a message is sent with it, or it is dropped.
//!
//! A message goes to whoever comes first. A receive that is woken for one and comes too late goes back to the
//! front of its list.
//!
//! ```text
//! wait key:  unset ──(1) wait──▶ waiting ──(2) wake──▶ notified ──(3) poll/stop──▶ unset
//!              ▲                    │                     │
//!              └───(4) poll/stop────┘      waiting ◀──(5)─┘
//!
//! (1) wait  poll_send, poll_recv: a waker enters the list, under a key that the future keeps.
//! (2) wake  finish_send (a receive), release_permit (a send), close (all): the waker leaves the list and is woken. A key
//!           without an entry means "notified": a receive may find a message, a send has a permit, or the channel is
//!           closed.
//! (3)       the future's next poll, or its drop, which notifies the next one instead.
//! (4)       a poll that need not wait any longer, or the future's drop.
//! (5)       poll_recv: somebody else has received the message. It waits again, at the front.
//! ```
//!
//! # Rejected
//! - *A queue of flume's with a count of permits and a list of waiters beside it*, each with a lock or an
//!   atomic of its own: this channel was that. A message costs twice as many locked instructions, and with
//!   two cores at work every one of them is another cache line that moves.
//! - *A freed permit goes to whoever comes first*: a running sender then starves a sleeping one for ever, and
//!   it is no faster here, since who finds the channel full must wait for a receiver in either.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use super::{RecvError, SendError, TryRecvError, TrySendError, take_message};
use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::atomic::{AtomicBool, AtomicUsize};
use crate::base::sync::{Mutex, MutexGuard, lock};
use crate::base::waitlist::{LinkedSlab, WaitKey};
use crate::base::wake::{StoredWaker, wake_all};

/// The messages of a channel, its permits and its waiters.
pub(super) struct Queue<B> {
    /// The most messages that it holds; `usize::MAX` means that there is no limit.
    capacity: usize,
    /// The number of messages. Written under the lock; a reader without the lock sees at least what happened
    /// before.
    len: AtomicUsize,
    /// True when the channel takes no more messages. Written under the lock.
    closed: AtomicBool,
    state: Mutex<State<B>>,
}

/// The order in which messages are received. Called under the lock, so it runs no code of theirs.
pub(super) trait Buffer: Default {
    type Message;

    fn push(&mut self, message: Self::Message);

    /// Removes the message that is next.
    fn pop(&mut self) -> Option<Self::Message>;

    fn len(&self) -> usize;
}

/// A buffer whose oldest message comes first.
impl<T> Buffer for VecDeque<T> {
    type Message = T;

    #[inline]
    fn push(&mut self, message: T) {
        self.push_back(message);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }
}

/// The state of the channel, under the lock.
struct State<B> {
    messages: B,
    /// The permits that neither a message, nor a send, nor a [`Permit`](super::Permit) has. While a send
    /// waits there are none.
    permits: usize,
    recv_waiters: LinkedSlab<StoredWaker>,
    send_waiters: LinkedSlab<StoredWaker>,
}

impl<B: Buffer> Queue<B> {
    /// Makes a queue for `capacity` messages; `None` means that there is no limit.
    pub(super) fn new(capacity: Option<usize>) -> Queue<B> {
        let capacity = capacity.unwrap_or(usize::MAX);
        Queue {
            capacity,
            len: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            state: Mutex::new(State {
                messages: B::default(),
                permits: capacity,
                recv_waiters: LinkedSlab::new(),
                send_waiters: LinkedSlab::new(),
            }),
        }
    }

    #[inline]
    pub(super) fn try_send(&self, message: B::Message) -> Result<(), TrySendError<B::Message>> {
        let mut state = lock(&self.state);
        if self.is_closed() {
            return Err(TrySendError::Closed(message));
        }
        if state.permits == 0 {
            return Err(TrySendError::Full(message));
        }
        state.permits -= 1;
        self.finish_send(state, message);
        Ok(())
    }

    /// Polls a send; `message` is there until it is done.
    #[inline]
    pub(super) fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<B::Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<B::Message>>> {
        let sent = self.poll_permit(wait_key, cx, |mut state, wait_key| {
            // First of all: a send that is polled too often panics here, and takes no permit along.
            let message = take_message(message);
            state.take_permit(wait_key);
            self.finish_send(state, message);
        });
        Poll::Ready(match ready!(sent) {
            Some(()) => Ok(()),
            None => Err(SendError(take_message(message))),
        })
    }

    /// Polls for a permit that is kept without a message; `None` means that the channel is closed.
    pub(super) fn poll_reserve(&self, wait_key: &mut WaitKey, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.poll_permit(wait_key, cx, |mut state, wait_key| state.take_permit(wait_key))
    }

    /// Has `use_permit` use a permit as soon as there is one for this future. Returns `None` when the channel
    /// is closed.
    #[inline]
    fn poll_permit(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
        use_permit: impl FnOnce(MutexGuard<'_, State<B>>, &mut WaitKey),
    ) -> Poll<Option<()>> {
        // Cloning and dropping run code of the waker's. So it is cloned before the lock is taken, if that
        // looks necessary; and it is dropped after the lock is given back, because it is the older local.
        let mut spare = (self.len() >= self.capacity).then(|| StoredWaker::of(cx.waker()));
        loop {
            let mut state = lock(&self.state);
            if self.is_closed() {
                let left = state.send_waiters.leave(wait_key);
                drop(state);
                drop(left);
                return Poll::Ready(None);
            }
            let has_permit = wait_key.is_set() && !state.send_waiters.is_waiting(wait_key);
            if has_permit || (state.permits != 0 && !wait_key.is_set()) {
                use_permit(state, wait_key);
                return Poll::Ready(Some(()));
            }
            if state.send_waiters.enter(wait_key, cx.waker(), &mut spare) {
                return Poll::Pending;
            }
            drop(state);
            spare = Some(StoredWaker::of(cx.waker()));
        }
    }

    /// Takes a permit that is free.
    ///
    /// # Errors
    /// When there is none, or the channel is closed.
    pub(super) fn try_reserve(&self) -> Result<(), TrySendError<()>> {
        let mut state = lock(&self.state);
        if self.is_closed() {
            return Err(TrySendError::Closed(()));
        }
        state.permits = state.permits.checked_sub(1).ok_or(TrySendError::Full(()))?;
        Ok(())
    }

    /// Sends a message with a permit that was reserved. When the channel is closed the message is handed
    /// back.
    pub(super) fn send_reserved(&self, message: B::Message) -> Result<(), SendError<B::Message>> {
        let state = lock(&self.state);
        if self.is_closed() {
            return Err(SendError(message));
        }
        self.finish_send(state, message);
        Ok(())
    }

    /// Gives a permit that was reserved to the next send, or back.
    pub(super) fn release_reserved(&self) {
        let mut state = lock(&self.state);
        let next = if self.is_closed() { None } else { state.release_permit() };
        drop(state);
        wake_all(next);
    }

    /// Ends the wait of a send that has not sent.
    pub(super) fn stop_send(&self, wait_key: &mut WaitKey) {
        if !wait_key.is_set() {
            return;
        }
        let mut state = lock(&self.state);
        let left = state.send_waiters.leave(wait_key);
        let next = match left {
            None if !self.is_closed() => state.release_permit(),
            _ => None,
        };
        drop(state);
        drop(left);
        wake_all(next);
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<B::Message, TryRecvError> {
        // Looked at before the length: what was sent before the close is received.
        let closed = self.is_closed();
        // A message whose send happened before has been counted.
        if self.len() != 0 {
            let mut state = lock(&self.state);
            if let Some(message) = state.messages.pop() {
                self.finish_recv(state);
                return Ok(message);
            }
        }
        Err(if closed { TryRecvError::Closed } else { TryRecvError::Empty })
    }

    /// Polls a receive; see the diagram of the [module](self).
    #[inline]
    pub(super) fn poll_recv(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<B::Message, RecvError>> {
        // Cloned and dropped outside of the lock, as in `poll_send`.
        let mut spare = (self.len() == 0).then(|| StoredWaker::of(cx.waker()));
        loop {
            let mut state = lock(&self.state);
            if let Some(message) = state.messages.pop() {
                let left = state.recv_waiters.leave(wait_key);
                self.finish_recv(state);
                drop(left);
                return Poll::Ready(Ok(message));
            }
            if self.is_closed() {
                let left = state.recv_waiters.leave(wait_key);
                drop(state);
                drop(left);
                return Poll::Ready(Err(RecvError));
            }
            if state.recv_waiters.enter(wait_key, cx.waker(), &mut spare) {
                return Poll::Pending;
            }
            drop(state);
            spare = Some(StoredWaker::of(cx.waker()));
        }
    }

    /// Ends the wait of a receive that has received nothing.
    pub(super) fn stop_recv(&self, wait_key: &mut WaitKey) {
        if !wait_key.is_set() {
            return;
        }
        let mut state = lock(&self.state);
        let left = state.recv_waiters.leave(wait_key);
        // It may have been notified of a message that is still there.
        let next = match left {
            None if state.messages.len() != 0 => state.recv_waiters.pop_front(),
            _ => None,
        };
        drop(state);
        drop(left);
        wake_all(next);
    }

    /// Takes all messages out.
    pub(super) fn drain(&self) -> B {
        let mut state = lock(&self.state);
        let messages = std::mem::take(&mut state.messages);
        let next: Vec<StoredWaker> = (0..messages.len()).filter_map(|_| state.release_permit()).collect();
        self.len.store(0, Relaxed);
        drop(state);
        wake_all(next);
        messages
    }

    /// Appends up to `limit` messages that are there to `received`, with one lock. Fewer, also if there are
    /// more, where `received` has no room for them: memory is not asked for under the lock.
    pub(super) fn recv_more(&self, received: &mut Vec<B::Message>, limit: usize) {
        received.reserve(limit.min(self.len()));
        let room = limit.min(received.capacity() - received.len());
        let mut next = Vec::new();
        let mut state = lock(&self.state);
        for _ in 0..room {
            let Some(message) = state.messages.pop() else { break };
            received.push(message);
            next.extend(state.release_permit());
        }
        self.len.store(state.messages.len(), Relaxed);
        drop(state);
        wake_all(next);
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Returns whether a send would have to wait now.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.state).permits == 0
    }

    /// Returns the most messages that it holds; `None` means that there is no limit.
    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        // Acquire pairs with Release in `close`: whoever sees it sees every message that was sent.
        self.closed.load(Acquire)
    }

    /// Ends the channel for sends, and notifies all who wait.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        self.closed.store(true, Release);
        let mut wakers = Vec::new();
        wakers.extend(std::iter::from_fn(|| state.recv_waiters.pop_front()));
        wakers.extend(std::iter::from_fn(|| state.send_waiters.pop_front()));
        drop(state);
        wake_all(wakers);
    }

    /// Pushes a message whose permit has been taken, and notifies a receive of it.
    #[inline]
    fn finish_send(&self, mut state: MutexGuard<'_, State<B>>, message: B::Message) {
        state.messages.push(message);
        self.len.store(state.messages.len(), Relaxed);
        let next = state.recv_waiters.pop_front();
        drop(state);
        wake_all(next);
    }

    /// Gives the permit of a message that has been popped to the next send.
    #[inline]
    fn finish_recv(&self, mut state: MutexGuard<'_, State<B>>) {
        self.len.store(state.messages.len(), Relaxed);
        let next = state.release_permit();
        drop(state);
        wake_all(next);
    }
}

impl<B> State<B> {
    /// Takes a permit: the one that a send has been given, or else one that is free.
    #[inline]
    fn take_permit(&mut self, wait_key: &mut WaitKey) {
        if wait_key.take().is_none() {
            self.permits -= 1;
        }
    }

    /// Gives a permit to the send that has waited longest, which the caller wakes, or keeps it for whoever
    /// comes.
    #[inline]
    fn release_permit(&mut self) -> Option<StoredWaker> {
        let next = self.send_waiters.pop_front();
        if next.is_none() {
            self.permits += 1;
        }
        next
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::sync::Arc;
    use std::task::Waker;

    use super::*;
    use loom::thread;

    /// Returns a context with a noop waker, which will do: whether a wait is over shows at the next poll.
    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn a_receive_that_comes_to_wait_meets_the_message() {
        loom::model(|| {
            let queue = Arc::new(Queue::<VecDeque<u8>>::new(Some(1)));
            let sender = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || assert!(queue.try_send(7).is_ok()))
            };
            let mut wait_key = WaitKey::new();
            let first = queue.poll_recv(&mut wait_key, &mut cx());
            sender.join().unwrap();
            if first.is_pending() {
                assert!(
                    !lock(&queue.state).recv_waiters.is_waiting(&wait_key),
                    "asleep, with a message there"
                );
                assert_eq!(queue.poll_recv(&mut wait_key, &mut cx()), Poll::Ready(Ok(7)));
            }
        });
    }

    #[test]
    fn a_send_that_gives_up_loses_no_permit() {
        loom::model(|| {
            let queue = Arc::new(Queue::<VecDeque<u8>>::new(Some(1)));
            assert!(queue.try_send(0).is_ok());
            let (mut a, mut b) = (WaitKey::new(), WaitKey::new());
            assert!(queue.poll_send(&mut a, &mut Some(1), &mut cx()).is_pending());
            assert!(queue.poll_send(&mut b, &mut Some(2), &mut cx()).is_pending());
            let receiver = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || assert_eq!(queue.try_recv(), Ok(0)))
            };
            queue.stop_send(&mut a);
            receiver.join().unwrap();
            assert_eq!(queue.poll_send(&mut b, &mut Some(2), &mut cx()), Poll::Ready(Ok(())));
            assert_eq!(lock(&queue.state).permits, 0, "a permit has been made twice");
        });
    }

    #[test]
    fn a_close_ends_every_wait() {
        loom::model(|| {
            let queue = Arc::new(Queue::<VecDeque<u8>>::new(None));
            let closer = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || queue.close())
            };
            let mut wait_key = WaitKey::new();
            let first = queue.poll_recv(&mut wait_key, &mut cx());
            closer.join().unwrap();
            if first.is_pending() {
                assert!(
                    !lock(&queue.state).recv_waiters.is_waiting(&wait_key),
                    "asleep, and nobody will come"
                );
                assert_eq!(queue.poll_recv(&mut wait_key, &mut cx()), Poll::Ready(Err(RecvError)));
            }
        });
    }
}
