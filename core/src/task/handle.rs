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
pub struct Task<T>(Handle<T>);

/// What a handle stands for. Three words: programs hold many.
enum Handle<T> {
    /// A task that goes on when the handle is dropped.
    Detaching(Started<T>),
    /// A task that is cancelled then.
    Cancelling(Started<T>),
    /// A task that could not be started.
    Refused(Box<Refused>),
    /// Nothing, while the handle is being dropped or changed.
    Gone,
}

/// A task's result on its way, and who the task is.
type Started<T> = (FallibleTask<Outcome<T>, Arc<TaskState>>, Arc<TaskState>);

/// A task that could not be started.
struct Refused {
    /// What there is of it.
    task: Arc<TaskState>,
    /// Why; handed out by the first poll.
    error: Option<SpawnError>,
}

// The result is handed out by value; nothing in a handle is pinned.
impl<T> Unpin for Task<T> {}

impl<T> Task<T> {
    pub(super) fn new(started: Started<T>) -> Task<T> {
        Task(Handle::Detaching(started))
    }

    /// The handle to a task that did not start.
    pub(super) fn not_started(backend: &Arc<dyn Backend>, error: SpawnError) -> Task<T> {
        let task = TaskState::never(Arc::clone(backend));
        Task(Handle::Refused(Box::new(Refused { task, error: Some(error) })))
    }

    fn state(&self) -> &Arc<TaskState> {
        match &self.0 {
            Handle::Detaching((_, state)) | Handle::Cancelling((_, state)) => state,
            Handle::Refused(refused) => &refused.task,
            Handle::Gone => unreachable!("a handle is gone only inside `drop` and `cancel_on_drop`"),
        }
    }

    /// Lets the task go on by itself.
    pub fn detach(mut self) {
        let handle = std::mem::replace(&mut self.0, Handle::Gone);
        if let Handle::Detaching((task, _)) | Handle::Cancelling((task, _)) = handle {
            task.detach();
        }
    }

    /// Makes dropping this handle cancel the task.
    pub fn cancel_on_drop(mut self) -> Task<T> {
        match std::mem::replace(&mut self.0, Handle::Gone) {
            Handle::Detaching(started) => Task(Handle::Cancelling(started)),
            same => Task(same),
        }
    }

    /// Asks the task to end, and returns at once; see [`TaskRef::cancel`].
    pub fn cancel(&self) {
        self.state().cancel();
    }

    /// A handle to the task that says nothing of its result, and may be cloned.
    pub fn task(&self) -> TaskRef {
        TaskRef::new(Arc::clone(self.state()))
    }

    /// The task's identity.
    pub fn id(&self) -> TaskId {
        self.state().id()
    }

    /// The name that the task was given.
    pub fn name(&self) -> Option<&str> {
        self.state().name()
    }

    /// Whether the task is over, however it ended.
    pub fn is_finished(&self) -> bool {
        self.state().is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, TaskError>> {
        match &mut self.0 {
            // A job that is dropped unrun leaves no outcome behind.
            Handle::Detaching((task, _)) | Handle::Cancelling((task, _)) => Pin::new(task)
                .poll(cx)
                .map(|outcome| outcome.map_or(Err(TaskError::Cancelled), Outcome::into_result)),
            Handle::Refused(refused) => {
                Poll::Ready(Err(refused.error.take().map_or(TaskError::Cancelled, TaskError::NotStarted)))
            }
            Handle::Gone => Poll::Ready(Err(TaskError::Cancelled)),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.0, Handle::Gone) {
            Handle::Detaching((task, _)) => task.detach(),
            Handle::Cancelling((task, state)) => {
                state.cancel();
                task.detach();
            }
            Handle::Refused(_) | Handle::Gone => {}
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
