//! The tasks of one backend that are not over yet.
//!
//! Shutting a backend down cancels what is entered here, and "run until nothing is left" waits for it to be
//! empty. A task is entered when it starts and leaves when its future has been dropped. The list is split into
//! shards by task, so that workers that spawn at the same time seldom meet.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::handle::TaskRef;
use super::state::TaskState;
use crate::lock::lock;

/// A power of two well above the number of workers that meet on a shard by chance.
const SHARDS: usize = 16;

/// The list of a backend's live tasks.
pub struct Registry {
    /// The tasks; [`TaskState::key`] is the place in its shard.
    shards: [Mutex<Shard>; SHARDS],
    /// Whether somebody waits for the list to be empty.
    awaited: AtomicBool,
    /// Who does.
    waiters: Mutex<Vec<Waker>>,
}

/// A part of the list.
#[derive(Default)]
struct Shard {
    /// The tasks.
    tasks: Slab<Arc<TaskState>>,
    /// No task may be entered any more.
    closed: bool,
}

impl Registry {
    /// An empty list.
    #[allow(clippy::new_ret_no_self, reason = "a registry is always shared")]
    pub fn new() -> Arc<Registry> {
        Arc::new(Registry {
            shards: Default::default(),
            awaited: AtomicBool::new(false),
            waiters: Mutex::default(),
        })
    }

    fn shard(&self, state: &TaskState) -> &Mutex<Shard> {
        &self.shards[state.id().as_u64() as usize % SHARDS]
    }

    /// Enters a task; false when the list has been closed.
    pub(crate) fn insert(&self, state: &Arc<TaskState>) -> bool {
        let mut shard = lock(self.shard(state));
        if shard.closed {
            return false;
        }
        let key = shard.tasks.insert(Arc::clone(state));
        // Only read by `remove`, which the task's own end orders after this.
        state.key().store(key, Ordering::Relaxed);
        true
    }

    /// Takes a task out that is over.
    pub(crate) fn remove(&self, state: &TaskState) {
        let (task, empty) = {
            let mut shard = lock(self.shard(state));
            let key = state.key().load(Ordering::Relaxed);
            (shard.tasks.try_remove(key), shard.tasks.is_empty())
        };
        drop(task);
        // Pairs with the fence in `WaitEmpty`: either this sees that somebody waits, or that poll sees the
        // task gone.
        fence(Ordering::SeqCst);
        if empty && self.awaited.load(Ordering::Relaxed) && self.is_empty() {
            self.awaited.store(false, Ordering::Relaxed);
            let waiters = std::mem::take(&mut *lock(&self.waiters));
            waiters.into_iter().for_each(Waker::wake);
        }
    }

    /// How many tasks are not over yet.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).tasks.len()).sum()
    }

    /// Whether all tasks are over.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| lock(shard).tasks.is_empty())
    }

    /// The tasks that are not over yet, at about this moment.
    pub fn tasks(&self) -> Vec<TaskRef> {
        let snapshot = |shard: &Mutex<Shard>| -> Vec<TaskRef> {
            lock(shard).tasks.iter().map(|(_, task)| TaskRef::new(Arc::clone(task))).collect()
        };
        self.shards.iter().flat_map(snapshot).collect()
    }

    /// Lets no more tasks in: starting one fails with [`SpawnError::ShutDown`](super::SpawnError::ShutDown).
    pub fn close(&self) {
        self.shards.iter().for_each(|shard| lock(shard).closed = true);
    }

    /// Cancels every task.
    pub fn cancel_all(&self) {
        self.tasks().iter().for_each(TaskRef::cancel);
    }

    /// A future that is ready once no task is left.
    pub fn wait_empty(self: &Arc<Self>) -> WaitEmpty {
        WaitEmpty(Arc::clone(self))
    }
}

/// Waits until a [`Registry`] is empty. Cancel-safe.
#[must_use = "a future does nothing until it is awaited or waited for"]
pub struct WaitEmpty(Arc<Registry>);

impl Future for WaitEmpty {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let registry = &self.0;
        {
            let mut waiters = lock(&registry.waiters);
            if !waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
                waiters.push(cx.waker().clone());
            }
            registry.awaited.store(true, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        if registry.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}
