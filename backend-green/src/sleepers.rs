//! The workers that sleep and those that search, and the choice of who is woken when there is work: the race
//! that the [scheduler](crate::scheduler)'s header describes.
//!
//! The scheduler notifies those whom this picks, and workers say here what they are about to do. Nothing here
//! looks at a queue, sleeps or wakes anybody. Each fence stands between what its caller wrote before and what
//! is read after it, here or by the caller; the orderings around it are Relaxed.

#[cfg(all(test, loom))]
mod model;

use std::sync::PoisonError;

use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::atomic::{AtomicUsize, fence};
use crate::sync::{Mutex, MutexGuard};

/// The workers that have nothing to do.
pub(crate) struct Sleepers {
    /// The number of workers that sleep, or are about to. Written under the lock of `list`.
    sleeping: AtomicUsize,
    /// The number of workers that search for work. A worker that has been picked counts from then on.
    searching: AtomicUsize,
    /// The indices of the sleeping workers.
    list: Mutex<Vec<usize>>,
}

impl Sleepers {
    /// Returns the state in which nobody sleeps and nobody searches.
    pub(crate) fn new() -> Sleepers {
        Sleepers {
            sleeping: AtomicUsize::new(0),
            searching: AtomicUsize::new(0),
            list: Mutex::new(Vec::new()),
        }
    }

    /// Picks a sleeping worker to be woken for work that has been pushed, unless one is searching already:
    /// that will find it.
    pub(crate) fn pick(&self) -> Option<usize> {
        // Pairs with the fences in `begin_sleep` and `found`: either this sees the sleeper, or that nobody
        // searches, or the other one sees the work.
        fence(SeqCst);
        self.pick_hint()
    }

    /// As [`Sleepers::pick`] but unfenced: it may miss a worker that is falling asleep at this very moment.
    pub(crate) fn pick_hint(&self) -> Option<usize> {
        if self.sleeping.load(Relaxed) == 0 || self.searching.load(Relaxed) > 0 {
            return None;
        }
        let mut list = self.lock();
        // The look is under the lock: two who pick at once pick one worker.
        if self.searching.load(Relaxed) > 0 {
            return None;
        }
        let picked = list.pop()?;
        self.sleeping.store(list.len(), Relaxed);
        // The search of the worker that is woken counts from now on.
        self.searching.fetch_add(1, Relaxed);
        Some(picked)
    }

    /// Returns true if one of so many workers may search: half of all are enough to find what there is.
    pub(crate) fn start_search(&self, workers: usize) -> bool {
        if 2 * self.searching.load(Relaxed) >= workers {
            return false;
        }
        self.searching.fetch_add(1, Relaxed);
        true
    }

    /// Ends a search for nothing, by a worker that does not go to sleep now.
    pub(crate) fn end_search(&self) {
        self.searching.fetch_sub(1, Relaxed);
    }

    /// Ends a search that has found something. Whoever has pushed more meanwhile has relied on this searcher:
    /// if it was the last one, and `is_more`, this picks the next.
    pub(crate) fn found(&self, is_more: impl FnOnce() -> bool) -> Option<usize> {
        if self.searching.fetch_sub(1, Relaxed) > 1 {
            return None;
        }
        // Pairs with the fence in `pick`.
        fence(SeqCst);
        if is_more() { self.pick_hint() } else { None }
    }

    /// Returns the number of workers that search.
    pub(crate) fn searching(&self) -> usize {
        self.searching.load(Relaxed)
    }

    /// Enters a worker among the sleepers, and ends its search if it `searches`. It has to look at every
    /// queue after that.
    pub(crate) fn begin_sleep(&self, worker: usize, searches: bool) {
        {
            let mut list = self.lock();
            list.push(worker);
            self.sleeping.store(list.len(), Relaxed);
        }
        if searches {
            self.end_search();
        }
        // Pairs with the fence in `pick`.
        fence(SeqCst);
    }

    /// Takes a worker out of the list. Returns whether it counts as searching from now on: when it has been
    /// picked, or if it `searches` on, because it has not slept after all. Whoever pushed before it lay down
    /// has relied on that search.
    pub(crate) fn end_sleep(&self, worker: usize, searches: bool) -> bool {
        let mut list = self.lock();
        let Some(at) = list.iter().position(|&sleeper| sleeper == worker) else { return true };
        list.swap_remove(at);
        self.sleeping.store(list.len(), Relaxed);
        if searches {
            self.searching.fetch_add(1, Relaxed);
        }
        searches
    }

    /// Returns the number of workers that sleep.
    pub(crate) fn sleeping(&self) -> usize {
        self.sleeping.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        // Nothing under the lock panics but an allocation that fails, and the list is whole even then.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
