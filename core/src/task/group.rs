//! Tasks that belong together and own what they run: the async counterpart of a scope.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::base::small_map::SmallMap;
use crate::channel::{self, Receiver, Sender, Source as _, WaitKey};
use crate::kernel::backend::Backend;
use crate::kernel::task::{
    Body, Builder, ClosureBody, FutureBody, Observer, SpawnError, Task, TaskId, current_backend,
    start_observed,
};
use crate::kernel::waiting::{self, WaitingFor};
use crate::promise::Failure;

/// A set of tasks whose results are taken in the order in which they finish. Dropping it cancels those that
/// are left, in the order in which they were started.
///
/// # Examples
/// ```
/// use twoply::{Wait, task::TaskGroup};
///
/// let mut group = TaskGroup::new();
/// for n in 0..3 {
///     group.spawn(async move { n * n }).unwrap();
/// }
/// let mut sum = 0;
/// while let Some(square) = group.join_next().wait() {
///     sum += square.unwrap();
/// }
/// assert_eq!(sum, 5);
/// ```
pub struct TaskGroup<T> {
    /// The backend that its tasks run on; `None`: that of whoever spawns.
    backend: Option<Arc<dyn Backend>>,
    /// The tasks whose result has not been taken, in the order in which they were started.
    tasks: SmallMap<TaskId, Task<T>>,
    /// A task that is finished, or will be within an instant: its future is gone, its result on the way.
    finishing: Option<Task<T>>,
    /// The tasks that have finished.
    finished: Receiver<TaskId>,
    /// The group's key among those who wait for that.
    wait_key: WaitKey,
    /// The observer that the tasks tell of their end.
    observer: Arc<Finished>,
}

/// The channel on which the tasks of a group report that they have finished.
struct Finished(Sender<TaskId>);

impl Observer for Finished {
    fn finished(&self, task: TaskId) {
        // Without the group nobody wants to know.
        let _ = self.0.try_send(task);
    }
}

impl<T: Send + 'static> TaskGroup<T> {
    /// Makes a group whose tasks run on the backend of whoever spawns them.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task::TaskGroup};
    ///
    /// let mut group = TaskGroup::<u32>::new();
    /// assert!(group.join_next().wait().is_none());
    /// ```
    pub fn new() -> TaskGroup<T> {
        TaskGroup::with_backend(None)
    }

    /// Makes a group whose tasks run on `backend`.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, task::TaskGroup};
    ///
    /// let mut group = TaskGroup::on(Arc::clone(twoply::native().backend()));
    /// group.spawn_fn(|| 7).unwrap();
    /// assert_eq!(group.join_next().wait().unwrap().unwrap(), 7);
    /// ```
    pub fn on(backend: Arc<dyn Backend>) -> TaskGroup<T> {
        TaskGroup::with_backend(Some(backend))
    }

    fn with_backend(backend: Option<Arc<dyn Backend>>) -> TaskGroup<T> {
        let (observer, finished) = channel::unbounded();
        let observer = Arc::new(Finished(observer));
        TaskGroup {
            backend,
            tasks: SmallMap::default(),
            finishing: None,
            finished,
            wait_key: WaitKey::new(),
            observer,
        }
    }

    /// Starts `future` as a task of the group.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task::TaskGroup};
    ///
    /// let mut group = TaskGroup::new();
    /// group.spawn(async { 7 }).unwrap();
    /// assert_eq!(group.join_next().wait().unwrap().unwrap(), 7);
    /// ```
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> Result<TaskId, SpawnError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.start(Builder::new(), FutureBody::new(future))
    }

    /// Starts straight-line code as a task of the group.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, channel, task::TaskGroup};
    ///
    /// let (tx, rx) = channel::bounded(1);
    /// let mut group = TaskGroup::new();
    /// group.spawn_fn(move || rx.recv().wait()).unwrap();
    /// tx.try_send(7).unwrap();
    /// assert_eq!(group.join_next().wait().unwrap().unwrap(), Ok(7));
    /// ```
    #[track_caller]
    pub fn spawn_fn<F>(&mut self, code: F) -> Result<TaskId, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.start(Builder::new(), ClosureBody::new(code))
    }

    /// Starts `future` as a task of the group, with the settings of `builder`: its name, which it may
    /// [inherit](Builder::inherit_name), and its stack.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task::{self, TaskGroup}};
    ///
    /// let mut group = TaskGroup::new();
    /// let name = async { task::current().unwrap().name().map(str::to_owned) };
    /// group.spawn_with(task::Builder::new().name("reader"), name)?;
    /// assert_eq!(group.join_next().wait().unwrap()?.as_deref(), Some("reader"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn spawn_with<F>(&mut self, builder: Builder, future: F) -> Result<TaskId, SpawnError>
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.start(builder, FutureBody::new(future))
    }

    /// As [`TaskGroup::spawn_with`], with straight-line code.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_fn_with<F>(&mut self, builder: Builder, code: F) -> Result<TaskId, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.start(builder, ClosureBody::new(code))
    }

    fn start<B>(&mut self, builder: Builder, body: B) -> Result<TaskId, SpawnError>
    where
        B: Body<Output = T> + Send + 'static,
    {
        let backend = match &self.backend {
            Some(backend) => Arc::clone(backend),
            None => current_backend()?,
        };
        let task = start_observed(builder, backend, body, Arc::clone(&self.observer) as _)?;
        let id = task.id();
        self.tasks.insert(id, task);
        Ok(id)
    }

    /// Returns the result of the next task that finishes; `None` when no task is left. Cancel-safe.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task::TaskGroup};
    ///
    /// let mut group = TaskGroup::new();
    /// group.spawn(async { 1 }).unwrap();
    /// assert!(group.join_next().wait().unwrap().is_ok());
    /// assert!(group.join_next().wait().is_none());
    /// ```
    pub fn join_next(&mut self) -> impl Future<Output = Option<Result<T, Failure>>> + Send + '_ {
        JoinNext(self)
    }

    fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Failure>>> {
        while self.finishing.is_none() {
            if self.tasks.is_empty() {
                return Poll::Ready(None);
            }
            // The group itself holds a sender, so there is no end.
            let next = self.finished.poll_recv(&mut self.wait_key, cx);
            let Ok(id) = ready!(waiting::note_instead(next, || WaitingFor::Tasks)) else {
                return Poll::Pending;
            };
            self.finishing = self.tasks.remove(id);
        }
        let Some(task) = &mut self.finishing else { return Poll::Pending };
        let result = ready!(Pin::new(task).poll(cx));
        self.finishing = None;
        Poll::Ready(Some(result))
    }

    /// Returns how many results have not been taken.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task::TaskGroup};
    ///
    /// let mut group = TaskGroup::new();
    /// group.spawn(async { 1 }).unwrap();
    /// group.spawn(async { 2 }).unwrap();
    /// group.join_next().wait();
    /// assert_eq!(group.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.tasks.len() + usize::from(self.finishing.is_some())
    }

    /// Returns true if every result has been taken.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task::TaskGroup};
    ///
    /// let mut group = TaskGroup::new();
    /// group.spawn(async { 1 }).unwrap();
    /// assert!(!group.is_empty());
    /// group.join_next().wait();
    /// assert!(group.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cancels the tasks that are left, in the order in which they were started. Their results, mostly
    /// [`Failure::Cancelled`], are still to be taken.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task::TaskGroup};
    ///
    /// let mut group = TaskGroup::new();
    /// group.spawn(std::future::pending::<()>()).unwrap();
    /// group.cancel_all();
    /// assert!(group.join_next().wait().unwrap().unwrap_err().is_cancelled());
    /// ```
    pub fn cancel_all(&self) {
        self.tasks.values().into_iter().for_each(Task::cancel);
    }
}

/// The future of [`TaskGroup::join_next`].
struct JoinNext<'a, T>(&'a mut TaskGroup<T>);

impl<T: Send + 'static> Future for JoinNext<'_, T> {
    type Output = Option<Result<T, Failure>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_join_next(cx)
    }
}

impl<T> Drop for JoinNext<'_, T> {
    fn drop(&mut self) {
        let group = &mut *self.0;
        group.finished.stop_recv(&mut group.wait_key);
        group.finishing.iter_mut().for_each(Task::end_wait);
    }
}

impl<T: Send + 'static> Default for TaskGroup<T> {
    fn default() -> TaskGroup<T> {
        TaskGroup::new()
    }
}

impl<T> Drop for TaskGroup<T> {
    fn drop(&mut self) {
        self.tasks.values().into_iter().for_each(Task::cancel);
    }
}

impl<T> fmt::Debug for TaskGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}
