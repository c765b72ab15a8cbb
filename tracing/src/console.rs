//! The spans and events by which tokio-console knows tasks, their wakes and what they wait for.
//!
//! They are tokio's, by name and target; the console's subscriber knows no other. It hears of tasks, of their
//! polls and wakes, and of the [resources](crate::resource) that they wait for. Of the clones of a task's
//! waker it hears when a poll is over: how many more are kept than before, or how many fewer. One that came
//! and went within a poll, or between two, is not told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use tracing::Span;
use twoply_core::hooks::{Hooks, TaskMeta};
use twoply_core::task::{Observation, WaitingFor, observe};

use crate::resource::Ops;
use crate::span::{begin, name_of, somebody_listens};
use crate::switch;

/// As [`spans`](crate::spans), but the spans are those that tokio-console shows as tasks, with their names,
/// places, polls, wakes and the wakers that are kept: `runtime.spawn` of target `tokio::task`, level
/// `TRACE`. A runtime has one of the two.
///
/// It shows resources, each as long as a task waits for it: channels, watches, locks and
/// semaphores, signals, promises, tasks, processes, timers and descriptors, with the waits as operations on
/// them. Things have no places where they were made, but the numbers that [dumps](twoply_core::task::dump)
/// show. As for those, a task that has to wait is polled twice.
///
/// The console's side is [`console-subscriber`](https://docs.rs/console-subscriber). Its layer looks for
/// tokio's own flag as it is built; a program without it is built with
/// `RUSTFLAGS="--cfg console_without_tokio_unstable"`. A blocked stack is a poll that goes on, unless it is
/// on a fiber.
///
/// # Examples
/// ```
/// use twoply::runtime::Hooks;
/// use twoply::{Runtime, Wait};
///
/// // Before that: console_subscriber::init();
/// let hooks = twoply::tracing::console(Hooks::new());
/// let runtime = Runtime::builder().workers(1).hooks(hooks).build()?;
/// assert_eq!(runtime.spawn(async { 7 }).wait().unwrap(), 7);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn console(hooks: Hooks) -> Hooks {
    switch::add(hooks).around_polls_if(somebody_listens, |task| Some(begin(|| of_task(task), Shown::of_span)))
}

fn of_task(task: &TaskMeta<'_>) -> Span {
    let at = task.spawned_at;
    tracing::trace_span!(
        target: "tokio::task",
        parent: None,
        "runtime.spawn",
        kind = name_of(task.kind),
        task.name = task.name.unwrap_or_default(),
        task.id = task.id.as_u64(),
        process = task.process,
        loc.file = at.map(|at| at.file()),
        loc.line = at.map(|at| at.line()),
        loc.col = at.map(|at| at.column()),
    )
}

/// The things that the console is shown of a task beside its span.
pub(crate) struct Shown {
    /// The number of the task's span, by which the console knows it.
    span: u64,
    /// The waker that was made last; the one that it hands on to hardly ever changes.
    last: Mutex<Option<Arc<Telling>>>,
    waits: Ops,
    /// Tasks say what they wait for as long as this lives.
    _observation: Observation,
}

impl Shown {
    fn of_span(span: &Span) -> Option<Shown> {
        let span = span.id()?.into_u64();
        Some(Shown { span, last: Mutex::new(None), waits: Ops::default(), _observation: observe() })
    }

    /// Shows what the task waits for.
    pub(crate) fn waits(&self, waits: &[WaitingFor]) {
        self.waits.replace(waits);
    }

    /// Returns a waker that tells of wakes, and hands on to `own`.
    pub(crate) fn waker(&self, own: &Waker) -> Waker {
        if let Some(last) = self.last()
            && last.own.will_wake(own)
        {
            return Waker::from(last);
        }
        let made = Arc::new(Telling { span: self.span, own: own.clone(), kept: AtomicUsize::new(0) });
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(Arc::clone(&made));
        drop(last);
        // Whoever has kept one of those is asked no more.
        if let Some(before) = before {
            before.tell_of_clones(0);
        }
        Waker::from(made)
    }

    /// Tells how many clones of the waker are kept, at the end of a poll that had one.
    pub(crate) fn clones(&self) {
        /// Those that nobody has kept: the one that is stored, the one here, that of the poll, and that of
        /// the list of tasks, in which each task is that has ever waited.
        const OWN: usize = 4;
        if let Some(last) = self.last() {
            last.tell_of_clones(Arc::strong_count(&last).saturating_sub(OWN));
        }
    }

    fn last(&self) -> Option<Arc<Telling>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Shown {
    /// Clones of the waker that are still on their way have nothing to wake any more.
    fn drop(&mut self) {
        if let Some(last) = self.last() {
            last.tell_of_clones(0);
        }
    }
}

/// A waker that tells of wakes.
struct Telling {
    span: u64,
    own: Waker,
    /// The number of clones of which the console knows.
    kept: AtomicUsize,
}

impl Telling {
    fn tell(&self, op: &'static str) {
        tracing::trace!(target: "tokio::task::waker", op, task.id = self.span);
    }

    fn tell_of_clones(&self, kept: usize) {
        // Relaxed: polls of a task are ordered.
        let before = self.kept.swap(kept, Ordering::Relaxed);
        (before..kept).for_each(|_| self.tell("waker.clone"));
        (kept..before).for_each(|_| self.tell("waker.drop"));
    }
}

impl Wake for Telling {
    fn wake(self: Arc<Telling>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Telling>) {
        self.tell("waker.wake_by_ref");
        self.own.wake_by_ref();
    }
}
