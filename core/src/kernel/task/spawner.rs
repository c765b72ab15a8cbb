//! Starting tasks on one named backend.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::error::SpawnError;
use super::failure::{Cycle, Failure};
use super::handle::Task;
use super::{Builder, TaskList};
use crate::kernel::at_end::at_end;
use crate::kernel::backend::Backend;
use crate::kernel::wait::Wait;

/// A backend to start tasks on: what `native()` and `green()` give, and what a runtime hands out.
///
/// Cloning it is cheap; all clones mean the same backend, and none keeps it from being shut down.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let spawner = twoply::native();
/// let task = spawner.spawn_fn(|| 6 * 7);
/// assert_eq!(task.wait().unwrap(), 42);
/// ```
#[derive(Clone)]
pub struct Spawner(Arc<dyn Backend>);

impl Spawner {
    /// Makes a spawner for `backend`.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use twoply::{Wait, task::Spawner};
    ///
    /// let spawner = Spawner::new(Arc::clone(twoply::native().backend()));
    /// assert_eq!(spawner.spawn(async { 7 }).wait().unwrap(), 7);
    /// ```
    pub fn new(backend: Arc<dyn Backend>) -> Spawner {
        Spawner(backend)
    }

    /// Makes a spawner for the backend of the calling task, or the default one outside of any task.
    ///
    /// # Errors
    /// As [`current_backend`](super::current_backend).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task::Spawner};
    ///
    /// let name = twoply::native().spawn_fn(|| Spawner::current().unwrap().backend().name());
    /// assert_eq!(name.wait().unwrap(), "native");
    /// ```
    pub fn current() -> Result<Spawner, SpawnError> {
        super::current_backend().map(Spawner)
    }

    /// Returns the backend that its tasks run on.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.0
    }

    /// Returns the list of the backend's live tasks.
    pub fn tasks(&self) -> &Arc<TaskList> {
        self.0.tasks()
    }

    /// Starts `future` as a task.
    ///
    /// If it cannot be started, the handle says so, with [`Failure::NotStarted`]. [`Builder::spawn_on`] says
    /// it at once.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// assert_eq!(twoply::native().spawn(async { 7 }).wait().unwrap(), 7);
    /// ```
    #[inline]
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Builder::new().spawn_on(&self.0, future).unwrap_or_else(Task::not_started)
    }

    /// Starts straight-line code as a task; see [`Spawner::spawn`].
    #[inline]
    #[track_caller]
    pub fn spawn_fn<F, T>(&self, code: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Builder::new().spawn_fn_on(&self.0, code).unwrap_or_else(Task::not_started)
    }

    /// Starts a task whose future is made where it runs and never leaves that thread; see
    /// [`spawn_pinned`](super::spawn_pinned).
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    /// use twoply::Wait;
    ///
    /// let task = twoply::native().spawn_pinned(|| async { *Rc::new(7) });
    /// assert_eq!(task.wait().unwrap(), 7);
    /// ```
    #[track_caller]
    pub fn spawn_pinned<M, F>(&self, make: M) -> Task<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future,
        F::Output: Send + 'static,
    {
        self.spawn_fn(move || make().wait())
    }

    /// Runs `main` as a task, and returns its result once that task and every other task of the backend is
    /// over.
    ///
    /// This blocks the calling stack.
    ///
    /// # Errors
    /// When `main` panicked, was cancelled or could not be started. Called by a task of the same backend it
    /// is [`Failure::Deadlock`], and `main` is not run: that task would wait for its own end.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let answer = twoply::native().run(|| twoply::spawn(async { 42 }).wait());
    /// assert_eq!(answer.unwrap().unwrap(), 42);
    /// ```
    #[track_caller]
    pub fn run<F, T>(&self, main: F) -> Result<T, Failure>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if self.tasks().holds_caller() {
            let task = super::current().map(|task| task.to_string());
            return Err(Failure::Deadlock(Cycle::new(task.map(String::into_boxed_str))));
        }
        let result = self.spawn_fn(main).wait();
        self.tasks().wait_empty().wait();
        at_end(None);
        result
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spawner").field(&self.0.name()).finish()
    }
}
