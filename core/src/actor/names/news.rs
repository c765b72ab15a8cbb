//! Telling those who watch a collection of its changes: all of them hear each change, in one order.
//!
//! The changes are queued under the lock of the collection, and sent after it by one thread at a time: a send
//! runs wakers, which are code of the user's.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::panic::discard_panic;
use crate::channel::{self, Receiver, Sender};

/// The watchers of a collection, and what they are still to be told. Under the lock of that.
pub(super) struct News<T> {
    /// The channels of those who watch. Each change is sent to those who watched when it happened.
    watchers: Watchers<T>,
    /// Changes that are still to be sent, the oldest first.
    changes: VecDeque<Change<T>>,
    /// A thread is sending changes. Others leave theirs to it.
    telling: bool,
}

/// A list that is replaced as a whole, so that each change can keep its own.
type Watchers<T> = Arc<Vec<Sender<T>>>;

/// A change, and who is to hear of it.
pub(super) type Change<T> = (T, Watchers<T>);

/// Something to drop once the lock is free.
#[must_use]
pub(super) struct Stale<T>(
    #[expect(dead_code, reason = "it is kept to be dropped later")] (Watchers<T>, Vec<Sender<T>>),
);

impl<T> News<T> {
    /// Returns the channel of a new watcher, and what is to be dropped once the lock is free.
    pub(super) fn watch(&mut self) -> (Receiver<T>, Stale<T>) {
        let (watcher, news) = channel::unbounded();
        let (gone, mut watchers): (Vec<_>, Vec<_>) =
            self.watchers.iter().cloned().partition(|watcher| watcher.is_closed());
        watchers.push(watcher);
        let before = std::mem::replace(&mut self.watchers, Arc::new(watchers));
        (news, Stale((before, gone)))
    }

    /// Returns true if somebody watches.
    pub(super) fn is_watched(&self) -> bool {
        !self.watchers.iter().all(Sender::is_closed)
    }

    /// Queues a change for those who watch now. The caller calls [`tell`] once the lock is free.
    pub(super) fn push(&mut self, change: impl FnOnce() -> T) {
        if !self.watchers.is_empty() {
            self.changes.push_back((change(), Arc::clone(&self.watchers)));
        }
    }

    /// Returns the next change for a thread that tells them; none if there is none, or if it has not `begun`
    /// and another one does.
    pub(super) fn next(&mut self, begun: bool) -> Option<Change<T>> {
        if self.telling && !begun {
            return None;
        }
        let next = self.changes.pop_front();
        self.telling = next.is_some();
        next
    }
}

impl<T> Default for News<T> {
    fn default() -> News<T> {
        News { watchers: Arc::default(), changes: VecDeque::new(), telling: false }
    }
}

/// Tells all changes, unless another thread is at it and will. `next` is [`News::next`] under the lock.
pub(super) fn tell<T: Clone>(next: impl Fn(bool) -> Option<Change<T>>) {
    let mut begun = false;
    while let Some((change, watchers)) = next(begun) {
        begun = true;
        for watcher in watchers.iter() {
            // The send runs a waker, which may panic; and a watcher that has gone need not be told.
            discard_panic(|| drop(watcher.try_send(change.clone())));
        }
        // These may be the last references to a process, whose undelivered messages go to code of the user's.
        discard_panic(|| drop((change, watchers)));
    }
}
