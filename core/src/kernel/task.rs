//! Tasks: jobs that run on a backend, and the handles to them.
//!
//! A task is one `async-task` allocation, and perhaps a second one, its shared part:
//!
//! ```text
//!  Task<T> ────────────┐                                  TaskRef, promises, wait graph
//!  (handle: result)    ▼                                                │
//!  Job ───────────▶ ┌─ allocation ──────────────────────┐               ▼
//!  (ready to run)   │ Header   id, backend              │  if made   ┌─ Shared ──────────────────────────┐
//!  Waker ─────────▶ │          slot ────────────────────┼──────────▶ │ id, attributes (name, stack size) │
//!                   │ future (JobFuture), then outcome  │            │ flags: cancelled, finished        │
//!                   └───────────────────────────────────┘            │ wait: waker, parker, edge         │
//!                      ▲                                             └───────────────────────────────────┘
//!  TaskList ───────────┘  while the task waits, or has a name
//!  (of the backend)
//! ```
//!
//! The shared part is made with a task that has attributes, else when somebody first refers to the task, or
//! when a wait for what a known task owes first blocks it. It may outlive the task; the header lasts as long
//! as the handle or the future. The backend's [`TaskList`] counts every task, and lists those that have had
//! to wait.
//!
//! Both backends run the same [`Job`]: a green worker polls it, a native thread runs it to its end. What a
//! panic, a cancellation or a dropped handle means is decided here, once. This module never chooses a thread
//! and never queues anything: that is the backend's.

mod default_backend;
mod dump;
mod error;
mod exit;
#[cfg(feature = "serde")]
mod exit_serde;
pub(crate) mod failure;
mod handle;
mod header;
pub(crate) mod holders;
mod id;
mod job;
mod list;
mod local;
pub(crate) mod owner;
mod panic_hook;
mod scope;
mod shared;
mod spawner;
pub(crate) mod wait_graph;

use std::any::Any;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use crate::kernel::backend::Backend;
use crate::kernel::strand::{with_current, with_state};
use crate::kernel::wait::Wait;

pub use default_backend::{MakeDefault, register_default, set_default};
pub use dump::{AskingWaits, Dump, Dumping, TaskDump, TaskKind, TaskState, dump};
pub use error::{Panic, SpawnError};
pub use exit::{Data, ExitReason, Failed, Foreign, IntoExit, PanicMessage};
pub use failure::{Cycle, Failure};
pub use handle::{Task, TaskRef};
pub use id::TaskId;
pub use job::Job;
pub use list::{TaskKinds, TaskList, WaitEmpty};
pub use local::{AccessError, LocalKey, LocalScope, inherit, inherit_fn};
pub use owner::AsOwner;
pub use panic_hook::keep_backtraces;
pub use scope::{Scope, ScopedTask, scope};
pub use spawner::Spawner;

#[cfg(all(test, loom))]
pub(crate) use header::model::header;
pub(crate) use header::{Header, HeaderRef, Observer};
pub(crate) use job::{Body, ClosureBody, FutureBody, start, start_observed};
pub(crate) use local::{Locals, Value, current_values, set_while, with_values};
pub(crate) use panic_hook::set_own_hook;
pub(crate) use shared::Shared;

use header::Attributes;

/// The settings of a task that is to be started: its name, its stack, where it runs.
///
/// # Examples
/// ```
/// use twoply::{Wait, task};
///
/// let answer = task::Builder::new().name("deep thought").spawn(async { 42 })?;
/// assert_eq!(answer.wait()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    /// The name of the task in reports.
    name: Option<Box<str>>,
    /// True if the name of the task that starts it comes before that.
    inherits_name: bool,
    /// The size of the stack that its straight-line code gets, in bytes.
    stack_size: Option<usize>,
    /// The place in the program where the builder was made.
    spawned_at: &'static Location<'static>,
}

impl Builder {
    /// Returns the settings of a task without a name, with the backend's usual stack.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task};
    ///
    /// let task = task::Builder::new().spawn_fn(|| 6 * 7).unwrap();
    /// assert_eq!(task.wait().unwrap(), 42);
    /// ```
    #[track_caller]
    pub fn new() -> Builder {
        Builder { name: None, inherits_name: false, stack_size: None, spawned_at: Location::caller() }
    }

    /// Sets the place in the program where the task is said to have been started.
    pub(crate) fn at(mut self, place: &'static Location<'static>) -> Builder {
        self.spawned_at = place;
        self
    }

    /// Names the task, for messages and, on the native backend, for the thread (as far as the system shows
    /// it; Linux keeps 15 bytes).
    ///
    /// When it panics, a line on standard error says which task that is, before the program's panic hook says
    /// what has happened on which thread. The line comes from a panic hook around the one that is set when
    /// the first task with a name is started; a program that sets its own after that asks [`current`] in it.
    ///
    /// # Examples
    /// ```
    /// use twoply::task;
    ///
    /// let task = task::Builder::new().name("worker").spawn(async {}).unwrap();
    /// assert_eq!(task.name(), Some("worker"));
    /// ```
    pub fn name(mut self, name: impl Into<Box<str>>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Names the task after the one that starts it, if that has a name: with its own
    /// [name](Builder::name) behind a slash, or else just so. So dumps and reports of deadlocks say whose
    /// work it is.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task};
    ///
    /// let server = task::Builder::new().name("server").spawn(async {
    ///     let reader = task::Builder::new().name("reader").inherit_name().spawn(async {}).unwrap();
    ///     reader.name().map(str::to_owned)
    /// })?;
    /// assert_eq!(server.wait()?.as_deref(), Some("server/reader"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn inherit_name(mut self) -> Builder {
        self.inherits_name = true;
        self
    }

    /// Asks for a stack of at least `bytes` bytes.
    ///
    /// The native backend runs the task on a thread with such a stack. A green task shares the stacks of its
    /// runtime, whose size the runtime's builder sets; there this is ignored.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task};
    ///
    /// let deep = task::Builder::new().stack_size(4 << 20).spawn_fn(|| [1_u8; 1 << 10].len()).unwrap();
    /// assert_eq!(deep.wait().unwrap(), 1024);
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Returns what a task keeps of it; `None` for most tasks, which keep nothing.
    #[inline]
    fn into_attributes(self, observer: Option<Arc<dyn Observer>>) -> Option<Box<Attributes>> {
        if self.name.is_none() && !self.inherits_name && self.stack_size.is_none() && observer.is_none() {
            return None;
        }
        Some(self.into_some_attributes(observer))
    }

    #[cold]
    fn into_some_attributes(self, observer: Option<Arc<dyn Observer>>) -> Box<Attributes> {
        let Builder { mut name, inherits_name, stack_size, spawned_at } = self;
        if inherits_name {
            name = inherit_name(name);
        }
        if name.is_some() {
            set_own_hook();
        }
        Box::new(Attributes { name, stack_size, observer, ..Attributes::of_place(spawned_at) })
    }

    /// Starts `future` as a task on the backend of the calling task, or the default one outside of any task.
    ///
    /// # Errors
    /// As [`current_backend`] and [`Builder::spawn_on`].
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Result<Task<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        job::start(self, current_backend()?, FutureBody::new(future))
    }

    /// Starts straight-line code as a task on the backend of the calling task, or the default one outside of
    /// any task.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task};
    ///
    /// let task = task::Builder::new().name("sum").spawn_fn(|| (1..=4).sum::<u32>()).unwrap();
    /// assert_eq!(task.wait().unwrap(), 10);
    /// ```
    #[track_caller]
    pub fn spawn_fn<F, T>(self, code: F) -> Result<Task<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        job::start(self, current_backend()?, ClosureBody::new(code))
    }

    /// Starts a task whose future is made where it runs and never leaves that thread, on the backend of the
    /// calling task, or the default one outside of any task; see [`spawn_pinned`].
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    /// use twoply::{Wait, task};
    ///
    /// let builder = task::Builder::new().name("single-minded");
    /// let task = builder.spawn_pinned(|| async { Rc::strong_count(&Rc::new(())) }).unwrap();
    /// assert_eq!(task.wait().unwrap(), 1);
    /// ```
    #[track_caller]
    pub fn spawn_pinned<M, F>(self, make: M) -> Result<Task<F::Output>, SpawnError>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future,
        F::Output: Send + 'static,
    {
        self.spawn_fn(move || make().wait())
    }

    /// Starts `future` as a task on `backend`.
    ///
    /// # Errors
    /// When the backend has been shut down, or the operating system refuses a thread.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task};
    ///
    /// let spawner = twoply::native();
    /// let task = task::Builder::new().spawn_on(spawner.backend(), async { 7 }).unwrap();
    /// assert_eq!(task.wait().unwrap(), 7);
    /// ```
    #[inline]
    pub fn spawn_on<F>(self, backend: &Arc<dyn Backend>, future: F) -> Result<Task<F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        job::start(self, Arc::clone(backend), FutureBody::new(future))
    }

    /// Starts straight-line code as a task on `backend`. It waits with [`Wait::wait`](crate::Wait::wait).
    ///
    /// # Errors
    /// As [`Builder::spawn_on`].
    #[inline]
    pub fn spawn_fn_on<F, T>(self, backend: &Arc<dyn Backend>, code: F) -> Result<Task<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        job::start(self, Arc::clone(backend), ClosureBody::new(code))
    }
}

/// Returns the name of what the running task starts, which is called `own` and inherits the task's name.
pub(crate) fn inherit_name(own: Option<Box<str>>) -> Option<Box<str>> {
    with_state(|state| inherited_name(state.header().and_then(Header::name), own))
}

/// Returns the name of a task that is called `own` and inherits that of its parent.
fn inherited_name(parent: Option<&str>, own: Option<Box<str>>) -> Option<Box<str>> {
    match (parent, own) {
        (Some(parent), Some(own)) => Some(format!("{parent}/{own}").into()),
        (parent, own) => own.or_else(|| parent.map(Box::from)),
    }
}

impl Default for Builder {
    #[track_caller]
    fn default() -> Builder {
        Builder::new()
    }
}

/// Starts `future` as a task: on the backend of the calling task, or the default one outside of any task.
///
/// If it cannot be started, the handle says so, with
/// [`Failure::NotStarted`](crate::promise::Failure::NotStarted).
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let task = twoply::spawn(async { twoply::spawn(async { 7 }).await });
/// assert_eq!(task.wait().unwrap().unwrap(), 7);
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Builder::new().spawn(future).unwrap_or_else(Task::not_started)
}

/// Starts straight-line code as a task; see [`spawn`]. It waits with [`Wait::wait`](crate::Wait::wait).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::Wait;
///
/// let task = twoply::spawn_fn(|| {
///     twoply::time::sleep(Duration::from_millis(1)).wait();
///     7
/// });
/// assert_eq!(task.wait().unwrap(), 7);
/// ```
#[track_caller]
pub fn spawn_fn<F, T>(code: F) -> Task<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn_fn(code).unwrap_or_else(Task::not_started)
}

/// Starts a task whose future never leaves the thread on which it is made, so that it need not be
/// [`Send`]: it may keep an [`Rc`](std::rc::Rc), a `RefCell` or a handle of a library that is bound to one
/// thread.
///
/// Only `make`, which is called where the task runs, and the output go from thread to thread. The future is
/// polled and dropped on one stack, which it has for itself: a native task's thread, or what a green worker
/// leaves behind while a stack waits, a spare thread or a fiber. Neither ever changes its thread, and no
/// other worker takes such a task over once it has begun. So it costs what straight-line code costs that
/// waits, more than a future that may go anywhere. Several futures that share something run side by side in
/// one such task, by [`join_all`](crate::future::join_all) or [`buffered_unordered`], which ask for no
/// `Send`.
///
/// [`buffered_unordered`]: crate::stream::Stream::buffered_unordered
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use twoply::{Wait, future::{join_all, yield_now}, spawn_pinned};
///
/// let task = spawn_pinned(|| async {
///     let turns = Rc::new(Cell::new(0));
///     join_all((0..3).map(|_| {
///         let turns = Rc::clone(&turns);
///         async move {
///             yield_now().await;
///             turns.set(turns.get() + 1);
///         }
///     }))
///     .await;
///     turns.get()
/// });
/// assert_eq!(task.wait().unwrap(), 3);
/// ```
#[track_caller]
pub fn spawn_pinned<M, F>(make: M) -> Task<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future,
    F::Output: Send + 'static,
{
    Builder::new().spawn_pinned(make).unwrap_or_else(Task::not_started)
}

/// Returns true if a panic that was caught is the unwinding of a cancelled task, which should go on, by
/// [`resume_unwind`](std::panic::resume_unwind): see [`Wait`](crate::Wait).
///
/// ```
/// use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
/// use std::time::Duration;
/// use twoply::{Wait, task, time};
///
/// let task = twoply::spawn_fn(|| {
///     let waited = catch_unwind(AssertUnwindSafe(|| time::sleep(Duration::from_secs(100)).wait()));
///     if let Err(payload) = waited {
///         if task::is_cancellation(&*payload) {
///             resume_unwind(payload);
///         }
///         println!("the job panicked; on to the next one");
///     }
/// });
/// task.cancel();
/// assert!(task.wait().unwrap_err().is_cancelled());
/// ```
pub fn is_cancellation(payload: &(dyn Any + Send)) -> bool {
    payload.is::<failure::CancelUnwind>()
}

/// Returns the backend of the calling task, or the default one outside of any task; see [`set_default`].
///
/// # Errors
/// Outside of any task: [`SpawnError::Thread`] when the default backend cannot be made, because the operating
/// system refuses a thread or a descriptor; [`SpawnError::NoBackend`] in a program that has none, because it
/// uses the core without the package `twoply`.
///
/// # Examples
/// ```
/// use twoply::{Wait, task};
///
/// let name = twoply::native().spawn_fn(|| task::current_backend().unwrap().name());
/// assert_eq!(name.wait().unwrap(), "native");
/// ```
pub fn current_backend() -> Result<Arc<dyn Backend>, SpawnError> {
    match with_current(|strand| strand.backend()) {
        Some(backend) => Ok(backend),
        None => default_backend::default_backend(),
    }
}

/// Returns the calling task, or `None` outside of any task.
///
/// # Examples
/// ```
/// use twoply::{Wait, task};
///
/// assert!(task::current().is_none());
/// let own = twoply::spawn(async { task::current().map(|task| task.id()) });
/// let id = own.id();
/// assert_eq!(own.wait().unwrap(), Some(id));
/// ```
pub fn current() -> Option<TaskRef> {
    with_current(|strand| strand.state().task()).map(TaskRef::new)
}

/// Returns whether the calling task has been cancelled, alone or with all of its runtime; false outside
/// of any task.
///
/// It then ends at its next wait, so only code that computes for long has to ask. Code that wants to end in
/// its own way is told by a [`CancellationToken`](crate::sync::CancellationToken), and what must not be cut
/// off goes into a [`shield`](crate::task::shield).
///
/// # Examples
/// ```
/// use twoply::{Wait, channel, task};
///
/// let (begun, begins) = channel::oneshot();
/// let task = twoply::spawn_fn(|| {
///     begun.send(()).unwrap();
///     while !task::is_cancelled() {
///         std::thread::yield_now();
///     }
///     "it has ended by itself"
/// });
/// begins.wait().unwrap();
/// task.cancel();
/// assert_eq!(task.wait().unwrap(), "it has ended by itself");
/// ```
pub fn is_cancelled() -> bool {
    // A task that has not waited yet is in no list: the end of its backend reaches it here.
    let is_over =
        |header: &Header| header.is_cancelled() || header.is_backend_closed() || header.is_owner_cancelled();
    with_state(|state| state.header().is_some_and(is_over))
}
