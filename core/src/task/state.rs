//! What is known about a task besides its future: who it is, and how it is cancelled.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::registry::Registry;
use crate::lock::lock;
use crate::parker::Parker;

/// Identifies a task among all that this process ever starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(NonZeroU64);

impl TaskId {
    /// A new one. Each thread takes a run of numbers at a time, so that spawning shares no cache line.
    fn next() -> TaskId {
        const RUN: u64 = 1 << 10;
        static NEXT_RUN: AtomicU64 = AtomicU64::new(0);
        thread_local!(static NEXT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
        let mut id = NEXT.try_with(std::cell::Cell::get).unwrap_or(0);
        if id % RUN == 0 {
            // Runs start at RUN + 1 and end at a multiple of RUN, where the next one is taken.
            id = NEXT_RUN.fetch_add(RUN, Ordering::Relaxed);
        }
        id += 1;
        let _ = NEXT.try_with(|next| next.set(id));
        TaskId(NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN))
    }

    /// The number.
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Told when a task is over and nothing of it is left.
pub(crate) trait Observer: Send + Sync {
    /// The task's future has been dropped; `state` is its state. Must not run code of the user's.
    fn finished(&self, state: &TaskState);
}

/// A task without its future.
pub(crate) struct TaskState {
    /// Who it is.
    id: TaskId,
    /// What messages call it.
    name: Option<Box<str>>,
    /// The stack that was asked for, in bytes.
    stack_size: Option<usize>,
    /// The list that it is entered in.
    registry: Arc<Registry>,
    /// Where in that list.
    key: AtomicUsize,
    /// Who is told of the end.
    observer: Option<Arc<dyn Observer>>,
    /// Whether cancellation has been asked for. Written under `reach`, read without.
    cancelled: AtomicBool,
    /// How the running or waiting task is reached.
    reach: Mutex<Reach>,
}

/// How to get a task's attention.
#[derive(Default)]
struct Reach {
    /// Has it polled again. `None` where it runs to its end, and once it is over.
    waker: Option<Waker>,
    /// Ends the wait of the stack that its poll is blocked on.
    blocked: Option<Arc<Parker>>,
    /// The task is over.
    finished: bool,
}

impl TaskState {
    pub(crate) fn new(
        name: Option<Box<str>>,
        stack_size: Option<usize>,
        registry: Arc<Registry>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Arc<TaskState> {
        Arc::new(TaskState {
            id: TaskId::next(),
            name,
            stack_size,
            registry,
            key: AtomicUsize::new(usize::MAX),
            observer,
            cancelled: AtomicBool::new(false),
            reach: Mutex::default(),
        })
    }

    pub(crate) fn id(&self) -> TaskId {
        self.id
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn stack_size(&self) -> Option<usize> {
        self.stack_size
    }

    pub(crate) fn key(&self) -> &AtomicUsize {
        &self.key
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How the task is woken from now on.
    pub(crate) fn set_waker(&self, waker: Waker) {
        lock(&self.reach).waker = Some(waker);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        // Acquire pairs with the store in `cancel`: what happened before the cancellation is seen after it.
        self.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn is_finished(&self) -> bool {
        lock(&self.reach).finished
    }

    /// Asks the task to end: at its await point if it is suspended, by unwinding if it blocks a stack.
    pub(crate) fn cancel(&self) {
        let waker = {
            let mut reach = lock(&self.reach);
            if reach.finished || self.cancelled.load(Ordering::Relaxed) {
                return;
            }
            self.cancelled.store(true, Ordering::Release);
            // Under the lock, so that it cannot come after `unblock`, when the stack is another task's.
            if let Some(parker) = &reach.blocked {
                parker.cancel();
            }
            reach.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The task's poll is about to block the stack of `parker`.
    pub(crate) fn block_on(&self, parker: &Arc<Parker>) {
        let mut reach = lock(&self.reach);
        reach.blocked = Some(Arc::clone(parker));
        if self.cancelled.load(Ordering::Relaxed) {
            parker.cancel();
        }
    }

    /// The poll is over, or nearly so: the stack is no longer the task's.
    pub(crate) fn unblock(&self) {
        let blocked = lock(&self.reach).blocked.take();
        drop(blocked);
    }

    /// The task is over and its future dropped.
    pub(crate) fn finish(&self) {
        let waker = {
            let mut reach = lock(&self.reach);
            reach.finished = true;
            reach.waker.take()
        };
        drop(waker);
        self.registry.remove(self);
        if let Some(observer) = &self.observer {
            observer.finished(self);
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.id),
            None => write!(f, "task {}", self.id),
        }
    }
}
