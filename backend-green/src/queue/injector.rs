//! The queue that all workers share: what comes from outside them, and what does not fit in their rings.
//!
//! Everybody may push, also from inside a waker; workers pop, a handful at a time. The tasks that are given
//! to one worker alone lie in an injector, too. Nothing of the user's runs under the lock: items are moved in
//! and out, and dropped by the caller.
//!
//! An injector is closed once, at the end of its runtime. Both [`Injector::offer`] and [`Injector::close`]
//! take the lock: so an item from outside either comes back, or is there for whoever empties the queue after
//! it has closed it. A worker may push even then. It looks at the queue, or has it looked at, when it ends.

use std::collections::VecDeque;
use std::sync::PoisonError;

use super::{Item, Local};
use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::Relaxed;
use crate::sync::{Mutex, MutexGuard};

/// An unbounded FIFO queue for any number of threads.
pub(crate) struct Injector<T> {
    /// The number of items. It is written under the lock, and read without it, so that looking at an empty
    /// queue costs a load. Relaxed throughout: the items themselves are published by the lock.
    len: AtomicUsize,
    /// The items, and whether more may come.
    items: Mutex<Items<T>>,
}

/// The content of an injector.
struct Items<T> {
    /// The items, oldest first.
    queue: VecDeque<T>,
    /// True if the queue takes nothing more from outside.
    closed: bool,
}

impl<T: Item> Injector<T> {
    /// Makes an empty queue.
    pub(crate) fn new() -> Injector<T> {
        let items = Items { queue: VecDeque::new(), closed: false };
        Injector { len: AtomicUsize::new(0), items: Mutex::new(items) }
    }

    /// Adds `item` as the newest one. Returns whether the queue was empty, so that only the first of several
    /// pushes has to wake a worker.
    pub(crate) fn push(&self, item: T) -> bool {
        self.push_batch([item])
    }

    /// As [`Injector::push`], for those who will not look at the queue again.
    ///
    /// # Errors
    /// Returns the item if the queue has been closed.
    pub(crate) fn offer(&self, item: T) -> Result<bool, T> {
        let mut items = self.lock();
        if items.closed { Err(item) } else { Ok(self.add(&mut items, [item])) }
    }

    /// Has [`Injector::offer`] fail from now on. What has been offered before is there for the caller to
    /// take.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Adds `batch`, in order. Returns whether the queue was empty. The iterator is run under the lock: it
    /// must not call anything of the user's, nor this queue.
    pub(crate) fn push_batch(&self, batch: impl IntoIterator<Item = T>) -> bool {
        self.add(&mut self.lock(), batch)
    }

    fn add(&self, items: &mut Items<T>, batch: impl IntoIterator<Item = T>) -> bool {
        let was_empty = items.queue.is_empty();
        items.queue.extend(batch);
        self.len.store(items.queue.len(), Relaxed);
        was_empty
    }

    /// Takes the oldest item.
    pub(crate) fn pop(&self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let items = &mut self.lock().queue;
        let item = items.pop_front();
        self.len.store(items.len(), Relaxed);
        item
    }

    /// Takes the `max` oldest items, or fewer: the first is returned, to be run at once, and the others go to
    /// `local`, as many as fit.
    pub(crate) fn pop_into(&self, local: &Local<T>, max: usize) -> Option<T> {
        if max == 0 || self.is_empty() {
            return None;
        }
        // Nobody but the caller can make this fewer before the pushes below.
        let fits = local.room();
        let items = &mut self.lock().queue;
        let first = items.pop_front()?;
        let count = (max - 1).min(fits).min(items.len());
        local.extend(items.drain(..count));
        self.len.store(items.len(), Relaxed);
        Some(first)
    }

    /// Returns how many items there were a moment ago.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Returns true if there was no item a moment ago; see "Going to sleep" in the header of [the
    /// queue](super).
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Items<T>> {
        // Nothing under the lock panics but an allocation that fails, and the items are whole even then.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
