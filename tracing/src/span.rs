//! The span of a task, entered around each of its polls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use tracing::Span;
use tracing::level_filters::LevelFilter;
use twoply_core::hooks::{AroundPolls, Hooks, TaskMeta};
use twoply_core::task::{TaskKind, WaitingFor};

use crate::console::Shown;
use crate::switch::{self, replace_base};

/// The target of the spans.
const TARGET: &str = "twoply::task";

/// Adds what has each task of a runtime run in a span of its own to `hooks`. What is set around threads
/// before that may enter spans, too.
///
/// # Examples
/// ```
/// use twoply::runtime::{Hooks, set_process_hooks};
/// use twoply::{Wait, actor};
///
/// // For the runtimes of the process.
/// set_process_hooks(twoply::tracing::spans(Hooks::new())).unwrap();
/// let clerk = actor::Builder::new().name("clerk").spawn(async |mut me: actor::Process<u32>| {
///     let number = me.receive().await.message();
///     // INFO process{id=1 name="clerk" pid=1 at=src/main.rs:7}: received number=7
///     tracing::info!(number, "received");
/// })?;
/// clerk.send(7).wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn spans(hooks: Hooks) -> Hooks {
    switch::add(hooks).around_polls_if(somebody_listens, |task| Some(begin(|| of_task(task), |_| None)))
}

/// Returns whether somebody could see a span.
pub(crate) fn somebody_listens() -> bool {
    LevelFilter::current() != LevelFilter::OFF
}

/// Makes the span of a task by `make`.
pub(crate) fn begin(
    make: impl FnOnce() -> Span,
    shown: impl FnOnce(&Span) -> Option<Shown>,
) -> Box<dyn AroundPolls> {
    let span = make();
    span.follows_from(Span::current());
    let shown = shown(&span);
    // Also where the span is off: what the task itself enters is found by what was there before.
    Box::new(TaskSpan { span, below: AtomicU64::new(0), shown })
}

fn of_task(task: &TaskMeta<'_>) -> Span {
    let (id, name) = (task.id.as_u64(), task.name);
    let at = task.spawned_at.map(tracing::field::display);
    match task.kind {
        TaskKind::Process => {
            tracing::info_span!(target: TARGET, parent: None, "process", id, name, pid = task.process, at)
        }
        kind => tracing::info_span!(target: TARGET, parent: None, "task", id, name, kind = name_of(kind), at),
    }
}

/// Returns the name of a kind of task.
pub(crate) fn name_of(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Closure => "closure",
        TaskKind::Process => "process",
        _ => "future",
    }
}

/// The span of a task.
struct TaskSpan {
    /// The things that tokio-console is shown of the task, if it looks: dropped while the span is there.
    shown: Option<Shown>,
    span: Span,
    /// The base before the poll that is under way; 0 for none.
    below: AtomicU64,
}

impl AroundPolls for TaskSpan {
    fn enter(&self) {
        // Relaxed: polls of a task are ordered.
        self.below.store(replace_base(switch::current()), Ordering::Relaxed);
        self.span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
    }

    fn leave(&self) {
        if let Some(shown) = &self.shown {
            shown.clones();
        }
        self.span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
        replace_base(self.below.load(Ordering::Relaxed));
    }

    fn enter_offload(&self) {
        self.span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
    }

    fn leave_offload(&self) {
        self.span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
    }

    fn waker(&self, waker: &Waker) -> Option<Waker> {
        Some(self.shown.as_ref()?.waker(waker))
    }

    fn waits(&self, waits: &[WaitingFor]) {
        if let Some(shown) = &self.shown {
            shown.waits(waits);
        }
    }
}
