//! The spans and events by which tokio-console knows tasks, their wakes and what they wait for.
//!
//! They are tokio's, by name and target; the console's subscriber knows no other. It hears of tasks, of their
//! polls and wakes, and of the [resources](crate::resource) that they wait for. It does not hear of clones
//! and drops of wakers.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use tracing::Span;
use twoply_core::hooks::{Hooks, TaskMeta};
use twoply_core::task::{Observation, WaitingFor, observe};

use crate::resource::Ops;
use crate::span::{begin, name_of};
use crate::switch;

/// As [`spans`](crate::spans), but the spans are those that tokio-console shows as tasks, with their names,
/// places, polls and wakes: `runtime.spawn` of target `tokio::task`, level `TRACE`. A runtime has one of the
/// two.
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
    switch::add(hooks).around_polls(|task| begin(|| of_task(task), Shown::of_span))
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
    /// The waker that was made last, and the one that it hands on to, which hardly ever changes.
    last: Mutex<Option<(Waker, Waker)>>,
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
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((outer, inner)) = last
            && inner.will_wake(own)
        {
            return outer;
        }
        let outer = Waker::from(Arc::new(Telling { span: self.span, own: own.clone() }));
        let made = Some((outer.clone(), own.clone()));
        let before = std::mem::replace(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner), made);
        drop(before);
        outer
    }
}

/// A waker that tells of wakes.
struct Telling {
    span: u64,
    own: Waker,
}

impl Wake for Telling {
    fn wake(self: Arc<Telling>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Telling>) {
        tracing::trace!(target: "tokio::task::waker", op = "waker.wake_by_ref", task.id = self.span);
        self.own.wake_by_ref();
    }
}
