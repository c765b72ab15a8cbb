//! The messages of a channel that holds any, the permits for more, and those who wait for the one or the other.
//!
//! All of it is behind one lock. A send takes the lock once: it finds room, pushes, and takes out the receive that it
//! will wake; a receive pops, and takes out the send that gets its permit; who has to wait enters a list before the
//! lock is let go. So nothing can happen between "there is none" and "wake me", and nobody needs to look twice. The
//! wakers are woken, cloned and dropped outside of the lock, and so are messages dropped.
//!
//! # Who gets a permit
//! A permit is room for one message. One that becomes free goes straight to the send that has waited longest, which
//! uses it at its next poll. Nobody can overtake it, so no send starves, whatever `try_send` and newer sends do
//! meanwhile. A send that is dropped before that passes the permit on.
//!
//! A message goes to whoever comes first. A receive that is woken for one and comes too late goes back to the front
//! of its list.
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
//! - *A queue of flume's with a count of permits and a list of waiters beside it*, each with a lock or an atomic
//!   of its own: this channel was that. A message costs twice as many locked instructions, and with two cores at work
//!   every one of them is another cache line that moves.
//! - *A freed permit goes to whoever comes first*: a running sender then starves a sleeping one for ever, and it is no
//!   faster here, since who finds the channel full must wait for a receiver in either.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use super::{RecvError, SendError, TryRecvError, TrySendError};
use crate::base::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::base::sync::atomic::{AtomicBool, AtomicUsize};
use crate::base::sync::{Mutex, MutexGuard, lock};
use crate::base::waitlist::{LinkedSlab, WaitKey};
use crate::base::wake::{StoredWaker, wake_all};

/// See the [module](self).
pub(super) struct Queue<T> {
    /// The most messages that it holds; `usize::MAX` means that there is no limit.
    capacity: usize,
    /// The number of messages. Written under the lock; a reader without the lock sees at least what happened before.
    len: AtomicUsize,
    /// True when the channel takes no more messages. Written under the lock.
    closed: AtomicBool,
    state: Mutex<State<T>>,
}

/// What the lock guards.
struct State<T> {
    /// The messages, oldest first.
    messages: VecDeque<T>,
    /// The permits that neither a message nor a send has. While a send waits there are none.
    permits: usize,
    recv_waiters: LinkedSlab<StoredWaker>,
    send_waiters: LinkedSlab<StoredWaker>,
}

impl<T> Queue<T> {
    /// Makes a queue for `capacity` messages; `None` means that there is no limit.
    pub(super) fn new(capacity: Option<usize>) -> Queue<T> {
        let capacity = capacity.unwrap_or(usize::MAX);
        Queue {
            capacity,
            len: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            state: Mutex::new(State {
                messages: VecDeque::new(),
                permits: capacity,
                recv_waiters: LinkedSlab::new(),
                send_waiters: LinkedSlab::new(),
            }),
        }
    }

    #[inline]
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
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
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        // Cloning and dropping run code of the waker's: it is cloned before the lock is taken if that looks necessary,
        // and dropped, as the older local, after.
        let mut spare = (self.len() >= self.capacity).then(|| StoredWaker::of(cx.waker()));
        loop {
            let mut state = lock(&self.state);
            if self.is_closed() {
                let left = state.send_waiters.leave(wait_key);
                drop(state);
                drop(left);
                return Poll::Ready(Err(SendError(super::shared::take_message(message))));
            }
            let has_permit = wait_key.is_set() && !state.send_waiters.is_waiting(wait_key);
            if has_permit || (state.permits != 0 && !wait_key.is_set()) {
                // First of all: a send that is polled too often panics here, and takes no permit along.
                let message = super::shared::take_message(message);
                if wait_key.take().is_none() {
                    state.permits -= 1;
                }
                self.finish_send(state, message);
                return Poll::Ready(Ok(()));
            }
            if state.send_waiters.enter(wait_key, cx.waker(), &mut spare) {
                return Poll::Pending;
            }
            drop(state);
            spare = Some(StoredWaker::of(cx.waker()));
        }
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
        wake(next);
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        // Looked at before the length: what was sent before the close is received.
        let closed = self.is_closed();
        // A message whose send happened before has been counted.
        if self.len() != 0 {
            let mut state = lock(&self.state);
            if let Some(message) = state.messages.pop_front() {
                self.finish_recv(state);
                return Ok(message);
            }
        }
        Err(if closed { TryRecvError::Closed } else { TryRecvError::Empty })
    }

    /// Polls a receive.
    #[inline]
    pub(super) fn poll_recv(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        // As in `poll_send`.
        let mut spare = (self.len() == 0).then(|| StoredWaker::of(cx.waker()));
        loop {
            let mut state = lock(&self.state);
            if let Some(message) = state.messages.pop_front() {
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
            None if !state.messages.is_empty() => state.recv_waiters.pop_front(),
            _ => None,
        };
        drop(state);
        drop(left);
        wake(next);
    }

    /// Takes all messages.
    pub(super) fn drain(&self) -> VecDeque<T> {
        let mut state = lock(&self.state);
        let messages = std::mem::take(&mut state.messages);
        let next: Vec<StoredWaker> = (0..messages.len()).filter_map(|_| state.release_permit()).collect();
        self.len.store(0, Relaxed);
        drop(state);
        wake_all(next);
        messages
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed)
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
    fn finish_send(&self, mut state: MutexGuard<'_, State<T>>, message: T) {
        state.messages.push_back(message);
        self.len.store(state.messages.len(), Relaxed);
        let next = state.recv_waiters.pop_front();
        drop(state);
        wake(next);
    }

    /// Gives the permit of a message that has been popped to the next send.
    #[inline]
    fn finish_recv(&self, mut state: MutexGuard<'_, State<T>>) {
        self.len.store(state.messages.len(), Relaxed);
        let next = state.release_permit();
        drop(state);
        wake(next);
    }
}

impl<T> State<T> {
    /// Gives a permit to the send that has waited longest, which the caller wakes, or keeps it for whoever comes.
    #[inline]
    fn release_permit(&mut self) -> Option<StoredWaker> {
        let next = self.send_waiters.pop_front();
        if next.is_none() {
            self.permits += 1;
        }
        next
    }
}

#[inline]
fn wake(waker: Option<StoredWaker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::sync::Arc;
    use std::task::Waker;

    use super::*;
    use loom::thread;

    /// A noop waker will do: whether a wait is over shows at the next poll.
    fn cx() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn a_receive_that_comes_to_wait_meets_the_message() {
        loom::model(|| {
            let queue = Arc::new(Queue::new(Some(1)));
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
            let queue = Arc::new(Queue::new(Some(1)));
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
            let queue = Arc::new(Queue::<u8>::new(None));
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
