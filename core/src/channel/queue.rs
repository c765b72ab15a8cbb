//! The messages of a channel that holds any, the room that is left, and those who wait for the one or the other.
//!
//! All of it is behind one lock. A send takes the lock once: it finds room, pushes, and takes out the receive that it
//! will wake; a receive pops, and takes out the send that gets its place; who has to wait enlists before the
//! lock is let go. So nothing can happen between "there is none" and "wake me", and nobody needs to look twice. The
//! wakers are woken, cloned and dropped outside of the lock, and so are messages dropped.
//!
//! # Who gets a place
//! A place that becomes free goes straight to the send that has waited longest: it is promised to it, and the send
//! takes it up at its next poll. Nobody can overtake it, so no send starves, whatever `try_send` and newer sends do
//! meanwhile. A send that is dropped before passes its promise on.
//!
//! A message goes to whoever comes first. A receive that is woken for one and comes too late goes back to the front
//! of the line.
//!
//! ```text
//! place:  absent ──(1) wait──▶ waiting ──(2) wake──▶ called ──(3) poll/stop──▶ absent
//!            ▲                    │                    │
//!            └───(4) poll/stop────┘     waiting ◀──(5)─┘
//!
//! (1) wait  poll_push, poll_pop: a waker enters the line, under a key that the future keeps.
//! (2) wake  push (a receive), release (a send), close (all): the waker leaves the line and is woken. A key without an
//!           entry means "called": a receive may find a message, a send has a place, or the channel is closed.
//! (3)       the future's next poll, or its drop, which calls the next one instead.
//! (4)       a poll that need not wait any longer, or the future's drop.
//! (5)       poll_pop: somebody else has received the message. It waits again, first in line.
//! ```
//!
//! # Rejected
//! - *A queue of flume's with a count of free places and a list of waiters beside it*, each with a lock or an atomic
//!   of its own: this channel was that. A message costs twice as many locked instructions, and with two cores at work
//!   every one of them is another cache line that moves.
//! - *A freed place goes to whoever comes first*: a running sender then starves a sleeping one for ever, and it is no
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
    /// How many places there are; `usize::MAX`: no limit.
    capacity: usize,
    /// How many messages there are. Written under the lock; whoever reads it without sees at least what happened
    /// before.
    len: AtomicUsize,
    /// No more sends. Written under the lock.
    closed: AtomicBool,
    /// Everything else.
    state: Mutex<State<T>>,
}

/// What the lock guards.
struct State<T> {
    /// The messages, oldest first.
    messages: VecDeque<T>,
    /// How many places are neither taken by a message nor promised to a send. While a send waits there are none.
    free: usize,
    /// The receives that wait.
    receiving: LinkedSlab<StoredWaker>,
    /// The sends that wait.
    sending: LinkedSlab<StoredWaker>,
}

impl<T> Queue<T> {
    /// A queue for `capacity` messages; `None`: no limit.
    pub(super) fn new(capacity: Option<usize>) -> Queue<T> {
        let capacity = capacity.unwrap_or(usize::MAX);
        Queue {
            capacity,
            len: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            state: Mutex::new(State {
                messages: VecDeque::new(),
                free: capacity,
                receiving: LinkedSlab::new(),
                sending: LinkedSlab::new(),
            }),
        }
    }

    #[inline]
    pub(super) fn try_push(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = lock(&self.state);
        if self.is_closed() {
            return Err(TrySendError::Closed(message));
        }
        if state.free == 0 {
            return Err(TrySendError::Full(message));
        }
        state.free -= 1;
        self.push(state, message);
        Ok(())
    }

    /// A send's poll; `message` is there until it is done.
    #[inline]
    pub(super) fn poll_push(
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
                let left = state.sending.leave(wait_key);
                drop(state);
                drop(left);
                return Poll::Ready(Err(SendError(super::shared::unsent(message))));
            }
            let promised = wait_key.is_set() && !state.sending.is_in_line(wait_key);
            if promised || (state.free != 0 && !wait_key.is_set()) {
                // First of all: a send that is polled too often panics here, and takes no place along.
                let message = super::shared::unsent(message);
                if wait_key.take().is_none() {
                    state.free -= 1;
                }
                self.push(state, message);
                return Poll::Ready(Ok(()));
            }
            if state.sending.stay(wait_key, cx.waker(), &mut spare) {
                return Poll::Pending;
            }
            drop(state);
            spare = Some(StoredWaker::of(cx.waker()));
        }
    }

    /// A send that has not sent ends.
    pub(super) fn stop_push(&self, wait_key: &mut WaitKey) {
        if !wait_key.is_set() {
            return;
        }
        let mut state = lock(&self.state);
        let left = state.sending.leave(wait_key);
        let next = match left {
            None if !self.is_closed() => state.release(),
            _ => None,
        };
        drop(state);
        drop(left);
        wake(next);
    }

    #[inline]
    pub(super) fn try_pop(&self) -> Result<T, TryRecvError> {
        // Looked at before the length: what was sent before the close is received.
        let closed = self.is_closed();
        // A message whose send happened before has been counted.
        if self.len() != 0 {
            let mut state = lock(&self.state);
            if let Some(message) = state.messages.pop_front() {
                self.made_room(state);
                return Ok(message);
            }
        }
        Err(if closed { TryRecvError::Closed } else { TryRecvError::Empty })
    }

    /// A receive's poll.
    #[inline]
    pub(super) fn poll_pop(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        // As in `poll_push`.
        let mut spare = (self.len() == 0).then(|| StoredWaker::of(cx.waker()));
        loop {
            let mut state = lock(&self.state);
            if let Some(message) = state.messages.pop_front() {
                let left = state.receiving.leave(wait_key);
                self.made_room(state);
                drop(left);
                return Poll::Ready(Ok(message));
            }
            if self.is_closed() {
                let left = state.receiving.leave(wait_key);
                drop(state);
                drop(left);
                return Poll::Ready(Err(RecvError));
            }
            if state.receiving.stay(wait_key, cx.waker(), &mut spare) {
                return Poll::Pending;
            }
            drop(state);
            spare = Some(StoredWaker::of(cx.waker()));
        }
    }

    /// A receive that has received nothing ends.
    pub(super) fn stop_pop(&self, wait_key: &mut WaitKey) {
        if !wait_key.is_set() {
            return;
        }
        let mut state = lock(&self.state);
        let left = state.receiving.leave(wait_key);
        // It may have been called for a message that is still there.
        let next = match left {
            None if !state.messages.is_empty() => state.receiving.pop_front(),
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
        let next: Vec<StoredWaker> = (0..messages.len()).filter_map(|_| state.release()).collect();
        self.len.store(0, Relaxed);
        drop(state);
        wake_all(next);
        messages
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// How many places there are; `None`: no limit.
    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        // Acquire pairs with Release in `close`: whoever sees it sees every message that was sent.
        self.closed.load(Acquire)
    }

    /// No more sends; all who wait are called.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        self.closed.store(true, Release);
        let mut wakers = Vec::new();
        wakers.extend(std::iter::from_fn(|| state.receiving.pop_front()));
        wakers.extend(std::iter::from_fn(|| state.sending.pop_front()));
        drop(state);
        wake_all(wakers);
    }

    /// Pushes a message whose place has been taken, and calls a receive for it.
    #[inline]
    fn push(&self, mut state: MutexGuard<'_, State<T>>, message: T) {
        state.messages.push_back(message);
        self.len.store(state.messages.len(), Relaxed);
        let next = state.receiving.pop_front();
        drop(state);
        wake(next);
    }

    /// Gives the place of a message that has been popped to the next send.
    #[inline]
    fn made_room(&self, mut state: MutexGuard<'_, State<T>>) {
        self.len.store(state.messages.len(), Relaxed);
        let next = state.release();
        drop(state);
        wake(next);
    }
}

impl<T> State<T> {
    /// A place has become free: it is promised to the send that has waited longest, which the caller wakes, or it is
    /// there for whoever comes.
    #[inline]
    fn release(&mut self) -> Option<StoredWaker> {
        let next = self.sending.pop_front();
        if next.is_none() {
            self.free += 1;
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
                thread::spawn(move || assert!(queue.try_push(7).is_ok()))
            };
            let mut wait_key = WaitKey::new();
            let first = queue.poll_pop(&mut wait_key, &mut cx());
            sender.join().unwrap();
            if first.is_pending() {
                assert!(!lock(&queue.state).receiving.is_in_line(&wait_key), "asleep, with a message there");
                assert_eq!(queue.poll_pop(&mut wait_key, &mut cx()), Poll::Ready(Ok(7)));
            }
        });
    }

    #[test]
    fn a_send_that_gives_up_loses_no_place() {
        loom::model(|| {
            let queue = Arc::new(Queue::new(Some(1)));
            assert!(queue.try_push(0).is_ok());
            let (mut a, mut b) = (WaitKey::new(), WaitKey::new());
            assert!(queue.poll_push(&mut a, &mut Some(1), &mut cx()).is_pending());
            assert!(queue.poll_push(&mut b, &mut Some(2), &mut cx()).is_pending());
            let receiver = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || assert_eq!(queue.try_pop(), Ok(0)))
            };
            queue.stop_push(&mut a);
            receiver.join().unwrap();
            assert_eq!(queue.poll_push(&mut b, &mut Some(2), &mut cx()), Poll::Ready(Ok(())));
            assert_eq!(lock(&queue.state).free, 0, "a place has been made twice");
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
            let first = queue.poll_pop(&mut wait_key, &mut cx());
            closer.join().unwrap();
            if first.is_pending() {
                assert!(!lock(&queue.state).receiving.is_in_line(&wait_key), "asleep, and nobody will come");
                assert_eq!(queue.poll_pop(&mut wait_key, &mut cx()), Poll::Ready(Err(RecvError)));
            }
        });
    }
}
