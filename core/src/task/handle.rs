//! Handles to tasks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_task::FallibleTask;

use super::error::{SpawnError, TaskError};
use super::job::Outcome;
use super::state::{TaskId, TaskState};
use crate::backend::Backend;

/// The handle to a task: a future of its result.
///
/// Dropping the handle detaches the task, on every backend: it goes on by itself. A panic of the task is not
/// passed on; it is reported by the handle as [`TaskError::Panicked`].
///
/// Awaiting the handle is cancel-safe: a dropped wait leaves the task running.
#[must_use = "dropping the handle detaches the task; say so with `detach`, or wait for it"]
pub struct Task<T> {
    /// The result; taken out only by `drop`.
    inner: Option<FallibleTask<Outcome<T>, Arc<TaskState>>>,
    /// Who the task is.
    task: TaskRef,
    /// Whether dropping the handle cancels the task.
    cancel_on_drop: bool,
    /// Why there is no task, if there is none.
    refused: Option<SpawnError>,
}

// The result is handed out by value; nothing in a handle is pinned.
impl<T> Unpin for Task<T> {}

impl<T> Task<T> {
    pub(super) fn new(inner: FallibleTask<Outcome<T>, Arc<TaskState>>, state: Arc<TaskState>) -> Task<T> {
        Task { inner: Some(inner), task: TaskRef::new(state), cancel_on_drop: false, refused: None }
    }

    /// The handle to a task that did not start.
    pub(super) fn not_started(backend: &Arc<dyn Backend>, error: SpawnError) -> Task<T> {
        let state = TaskState::never(Arc::clone(backend));
        Task { inner: None, task: TaskRef::new(state), cancel_on_drop: false, refused: Some(error) }
    }

    /// Lets the task go on by itself.
    pub fn detach(self) {
        let mut this = self;
        this.cancel_on_drop = false;
    }

    /// Makes dropping this handle cancel the task.
    pub fn cancel_on_drop(mut self) -> Task<T> {
        self.cancel_on_drop = true;
        self
    }

    /// Asks the task to end, and returns at once; see [`TaskRef::cancel`].
    pub fn cancel(&self) {
        self.task.cancel();
    }

    /// A handle to the task that says nothing of its result, and may be cloned.
    pub fn task(&self) -> &TaskRef {
        &self.task
    }

    /// The task's identity.
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// The name that the task was given.
    pub fn name(&self) -> Option<&str> {
        self.task.name()
    }

    /// Whether the task is over, however it ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, TaskError>> {
        match &mut self.inner {
            // A job that is dropped unrun leaves no outcome behind.
            Some(inner) => Pin::new(inner)
                .poll(cx)
                .map(|outcome| outcome.map_or(Err(TaskError::Cancelled), Outcome::into_result)),
            None => Poll::Ready(Err(self.refused.take().map_or(TaskError::Cancelled, TaskError::NotStarted))),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.cancel_on_drop {
            self.task.cancel();
        }
        if let Some(inner) = self.inner.take() {
            inner.detach();
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

/// A task without its result: its identity, and the means to cancel it.
///
/// It keeps the task's record alive, never the task.
#[derive(Clone)]
pub struct TaskRef(Arc<TaskState>);

impl TaskRef {
    pub(crate) fn new(state: Arc<TaskState>) -> TaskRef {
        TaskRef(state)
    }

    /// Asks the task to end, and returns at once.
    ///
    /// A task that is suspended at an `.await` is dropped there. One that is blocked in
    /// [`wait`](crate::Wait::wait), or in a blocking read or write of this library, unwinds from it. One that is running ends at its
    /// next await point or wait. One that never waits again is not stopped. To wait for the end, wait for its
    /// [`Task`].
    ///
    /// Where panics abort, blocked stacks cannot unwind: there, a blocked task goes on until its next await.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// The task's identity.
    pub fn id(&self) -> TaskId {
        self.0.id()
    }

    /// The name that the task was given.
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// Whether the task is over, however it ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRef").field("id", &self.id()).field("name", &self.name()).finish()
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
