//! The messages of a channel that hands out the most urgent one first.
//!
//! A message's priority is asked for before the lock is taken; under the lock only numbers are compared. So
//! the heap runs no code of the user's.
//!
//! Code that a channel's every message goes through is kept out of line here: inlined beside the same code of
//! the plain queue, it would take registers away from that.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::task::{Context, Poll};

use super::queue::{Buffer, Queue};
use super::{RecvError, SendError, TryRecvError, TrySendError};
use crate::base::waitlist::WaitKey;

/// The buffer of a channel that orders by priority.
pub(super) struct PriorityQueue<T> {
    pub(super) queue: Queue<Heap<T>>,
    /// Says how urgent a message is.
    priority_of: Box<dyn Fn(&T) -> u64 + Send + Sync>,
}

/// The messages of a [`PriorityQueue`], which come out by priority and then by age.
pub(super) struct Heap<T> {
    entries: BinaryHeap<Entry<T>>,
    /// The number of messages that have ever been pushed.
    pushed: u64,
}

/// A message and its priority.
pub(super) struct Prioritized<T> {
    priority: u64,
    message: T,
}

struct Entry<T> {
    prioritized: Prioritized<T>,
    /// The number of messages that were pushed before this one.
    number: u64,
}

impl<T> PriorityQueue<T> {
    pub(super) fn new(
        capacity: Option<usize>,
        priority_of: Box<dyn Fn(&T) -> u64 + Send + Sync>,
    ) -> PriorityQueue<T> {
        PriorityQueue { queue: Queue::new(capacity), priority_of }
    }

    #[inline(never)]
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.queue.try_send(self.prioritize(message)).map_err(|error| match error {
            TrySendError::Full(rejected) => TrySendError::Full(rejected.message),
            TrySendError::Closed(rejected) => TrySendError::Closed(rejected.message),
        })
    }

    #[inline(never)]
    pub(super) fn poll_send(
        &self,
        wait_key: &mut WaitKey,
        message: &mut Option<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<T>>> {
        // The function may panic, so it is called before the message is taken.
        let priority = message.as_ref().map_or(0, &self.priority_of);
        let mut prioritized = message.take().map(|message| Prioritized { priority, message });
        let polled = self.queue.poll_send(wait_key, &mut prioritized, cx);
        *message = prioritized.map(|waiting| waiting.message);
        polled.map_err(|SendError(rejected)| SendError(rejected.message))
    }

    pub(super) fn send_reserved(&self, message: T) -> Result<(), SendError<T>> {
        let sent = self.queue.send_reserved(self.prioritize(message));
        sent.map_err(|SendError(rejected)| SendError(rejected.message))
    }

    #[inline(never)]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        self.queue.try_recv().map(Prioritized::into_message)
    }

    #[inline(never)]
    pub(super) fn poll_recv(
        &self,
        wait_key: &mut WaitKey,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        self.queue.poll_recv(wait_key, cx).map_ok(Prioritized::into_message)
    }

    /// Takes all messages, the most urgent first.
    pub(super) fn drain(&self) -> VecDeque<T> {
        let mut heap = self.queue.drain();
        std::iter::from_fn(|| heap.pop()).map(Prioritized::into_message).collect()
    }

    pub(super) fn recv_more(&self, received: &mut Vec<T>, limit: usize) {
        let mut prioritized = Vec::new();
        self.queue.recv_more(&mut prioritized, limit);
        received.extend(prioritized.into_iter().map(Prioritized::into_message));
    }

    fn prioritize(&self, message: T) -> Prioritized<T> {
        Prioritized { priority: (self.priority_of)(&message), message }
    }
}

impl<T> Prioritized<T> {
    fn into_message(self) -> T {
        self.message
    }
}

impl<T> Default for Heap<T> {
    fn default() -> Heap<T> {
        Heap { entries: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T> Buffer for Heap<T> {
    type Message = Prioritized<T>;

    fn push(&mut self, prioritized: Prioritized<T>) {
        self.entries.push(Entry { prioritized, number: self.pushed });
        self.pushed += 1;
    }

    fn pop(&mut self) -> Option<Prioritized<T>> {
        self.entries.pop().map(|entry| entry.prioritized)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The greatest entry is the one that is next.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Entry<T>) -> Ordering {
        let by_priority = self.prioritized.priority.cmp(&other.prioritized.priority);
        by_priority.then_with(|| other.number.cmp(&self.number))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Entry<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Entry<T>) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}
