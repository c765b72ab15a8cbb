//! The handles to tasks, and to their results.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::error::SpawnError;
use super::failure::{Cycle, Failure};
use super::header::{Header, HeaderRef};
use super::id::TaskId;
use super::job::Outcome;
use super::shared::Shared;
use super::wait_graph::{await_handle, awaits_handle, leave_handle};
use crate::base::fused::fused;
use crate::base::wake::shielded;
use crate::kernel::strand::with_state;
use crate::kernel::waiting::{self, WaitingFor};

/// The handle to a task: a future of its result.
///
/// Dropping the handle detaches the task, on every backend: it goes on by itself. A panic of the task is not
/// passed on; it is reported by the handle as [`Failure::Panicked`].
///
/// Awaiting the handle is cancel-safe: a dropped wait leaves the task running.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let task = twoply::spawn(async { 7 });
/// assert_eq!(task.wait().unwrap(), 7);
/// let failed = twoply::spawn_fn(|| std::panic::resume_unwind(Box::new("no luck")));
/// let failed: Result<(), _> = failed.wait();
/// assert!(failed.unwrap_err().is_panic());
/// ```
#[must_use = "dropping the handle detaches the task; say so with `detach`, or wait for it"]
pub struct Task<T> {
    handle: Handle<T>,
    /// The task that is known to be stopped by a wait for this handle. The edge of its wait refers to the
    /// header of this handle's task: so it is taken back before the handle goes, by [`Task::end_wait`].
    waiter: Option<Arc<Shared>>,
    /// True if the task may have a waker of somebody's who waited for this handle.
    polled: bool,
    /// True once the result has been handed out.
    is_over: bool,
}

/// The task that a handle stands for.
enum Handle<T> {
    /// A task that goes on when the handle is dropped.
    Detaching(async_task::Task<Outcome<T>, Header>),
    /// A task that is cancelled when the handle is dropped.
    Cancelling(async_task::Task<Outcome<T>, Header>),
    /// A task that could not be started: what there is of it, and why; the first poll hands that out.
    Refused(Box<(Arc<Shared>, Option<SpawnError>)>),
    /// No task, while the handle is being dropped or changed.
    Gone,
}

// The result is handed out by value; nothing in a handle is pinned.
impl<T> Unpin for Task<T> {}

impl<T> Task<T> {
    #[inline]
    pub(super) fn new(task: async_task::Task<Outcome<T>, Header>) -> Task<T> {
        Task::of(Handle::Detaching(task))
    }

    #[inline]
    fn of(handle: Handle<T>) -> Task<T> {
        Task { handle, waiter: None, polled: false, is_over: false }
    }

    /// Makes the handle to a task that did not start.
    pub(super) fn not_started(error: SpawnError) -> Task<T> {
        Task::of(Handle::Refused(Box::new((Shared::never(), Some(error)))))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        match &self.handle {
            Handle::Detaching(task) | Handle::Cancelling(task) => task.metadata().shared(),
            Handle::Refused(refused) => &refused.0,
            Handle::Gone => unreachable!("a handle is gone only inside `drop` and `cancel_on_drop`"),
        }
    }

    /// Lets the task go on by itself.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let (tx, rx) = twoply::channel::bounded(1);
    /// twoply::spawn(async move { tx.send(7).await }).detach();
    /// assert_eq!(rx.recv().wait(), Ok(7));
    /// ```
    pub fn detach(mut self) {
        self.leave();
        match std::mem::replace(&mut self.handle, Handle::Gone) {
            Handle::Detaching(task) | Handle::Cancelling(task) => task.detach(),
            Handle::Refused(_) | Handle::Gone => {}
        }
    }

    /// Makes dropping this handle cancel the task.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let (tx, rx) = twoply::channel::bounded::<u32>(1);
    /// let task = twoply::spawn(async move {
    ///     let _tx = tx;
    ///     std::future::pending::<()>().await;
    /// });
    /// drop(task.cancel_on_drop());
    /// assert!(rx.recv().wait().is_err(), "the task has been dropped with its sender");
    /// ```
    pub fn cancel_on_drop(mut self) -> Task<T> {
        self.handle = match std::mem::replace(&mut self.handle, Handle::Gone) {
            Handle::Detaching(task) => Handle::Cancelling(task),
            same => same,
        };
        self
    }

    /// Asks the task to end, and returns at once; see [`TaskRef::cancel`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let task = twoply::spawn(std::future::pending::<()>());
    /// task.cancel();
    /// assert!(task.wait().unwrap_err().is_cancelled());
    /// ```
    pub fn cancel(&self) {
        self.shared().cancel();
    }

    /// Returns a reference to the task, which says nothing of its result and may be cloned.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let task = twoply::spawn(std::future::pending::<()>());
    /// let reference = task.task();
    /// reference.cancel();
    /// assert!(task.wait().is_err());
    /// assert!(reference.is_finished());
    /// ```
    pub fn task(&self) -> TaskRef {
        TaskRef::new(Arc::clone(self.shared()))
    }

    /// Returns the task's identity.
    pub fn id(&self) -> TaskId {
        self.header().map_or_else(|| self.shared().id(), Header::id)
    }

    /// Returns the name that the task was given.
    pub fn name(&self) -> Option<&str> {
        self.header()?.name()
    }

    /// Returns whether the task is over, however it ended.
    pub fn is_finished(&self) -> bool {
        self.header().is_none_or(Header::is_finished)
    }

    /// Returns the header of a task that has been started.
    #[inline]
    fn header(&self) -> Option<&Header> {
        match &self.handle {
            Handle::Detaching(task) | Handle::Cancelling(task) => Some(task.metadata()),
            Handle::Refused(_) | Handle::Gone => None,
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Failure>;
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        let this = &mut *self;
        match &mut this.handle {
            Handle::Detaching(task) | Handle::Cancelling(task) => {
                match poll_outcome(task, cx.waker()) {
                    // There is always an outcome: even a job that is dropped unrun leaves one.
                    Poll::Ready(outcome) => {
                        this.polled = false;
                        this.is_over = true;
                        this.end_wait();
                        Poll::Ready(outcome.into_result())
                    }
                    Poll::Pending => {
                        this.polled = true;
                        match this.stop(cx.waker()) {
                            Ok(()) => waiting::note(Poll::Pending, || WaitingFor::Task(this.task())),
                            Err(cycle) => Poll::Ready(Err(Failure::Deadlock(cycle))),
                        }
                    }
                }
            }
            Handle::Refused(refused) => {
                this.is_over = true;
                Poll::Ready(Err(refused.1.take().map_or(Failure::Cancelled, Failure::from)))
            }
            Handle::Gone => Poll::Ready(Err(Failure::Cancelled)),
        }
    }
}

// A wait that comes out as a deadlock is not the end of the task.
fused! { [T] Task<T>, |this| this.is_over }

/// Polls the outcome of `task`. `async-task` keeps a waker in a way of its own, and the process would not
/// survive one that panics there; but those that this library has made do not.
#[inline]
fn poll_outcome<T>(task: &mut async_task::Task<Outcome<T>, Header>, waker: &Waker) -> Poll<Outcome<T>> {
    let poll = |waker: &Waker| Pin::new(task).poll(&mut Context::from_waker(waker));
    if with_state(|state| state.wakes_task_or_stack(waker)) { poll(waker) } else { poll(&shielded(waker)) }
}

impl<T> Task<T> {
    /// Notes that the handle is waited for with `waker`: if that stops the running task, it is known to wait
    /// for this one.
    fn stop(&mut self, waker: &Waker) -> Result<(), Cycle> {
        with_state(|state| {
            let stopped = state.blocked_task(waker);
            if self.waiter.is_some()
                && let (Some(stopped), Some(header)) = (stopped, self.header())
                && let Some(cycle) = state.take_refusal(|refused| refused.is_for_handle(stopped, header))
            {
                self.waiter = None;
                return Err(cycle);
            }
            if self.waiter.is_some() && !self.is_stopping(stopped) {
                self.end_wait();
            }
            let (Some(stopped), Some(header)) = (stopped, self.header()) else { return Ok(()) };
            if self.waiter.is_some() {
                state.may_stop(stopped, waker);
                return Ok(());
            }
            // SAFETY: the handle keeps the header, even if it is forgotten. Wherever it lets go of that, or
            // passes it on, it takes the edge back before, by `end_wait`: it knows of the edge before that is
            // there, so it does whatever happens in between.
            let header = unsafe { HeaderRef::new(header) };
            self.waiter = Some(Arc::clone(stopped));
            await_handle(stopped, header);
            state.may_stop(stopped, waker);
            Ok(())
        })
    }

    /// Returns true if that is known already of this task.
    #[cold]
    fn is_stopping(&self, stopped: Option<&Arc<Shared>>) -> bool {
        let (Some(waiter), Some(stopped), Some(header)) = (&self.waiter, stopped, self.header()) else {
            return false;
        };
        Arc::ptr_eq(waiter, stopped) && awaits_handle(waiter, header)
    }

    /// Ends the waits for this handle, and its use: nothing of those who waited is left behind. The outcome
    /// of a task that is over is lost.
    #[inline]
    fn leave(&mut self) {
        self.end_wait();
        if std::mem::take(&mut self.polled) {
            self.drop_waker();
        }
    }

    /// Has the task let go of the waker that it would use at its end. If it is over, the outcome is dropped
    /// instead.
    #[cold]
    fn drop_waker(&mut self) {
        if let Handle::Detaching(task) | Handle::Cancelling(task) = &mut self.handle {
            drop(Pin::new(task).poll(&mut Context::from_waker(Waker::noop())));
        }
    }

    /// Takes the edge of a wait for this handle back: nobody is stopped by one any more.
    #[inline]
    pub(crate) fn end_wait(&mut self) {
        if let Some(waiter) = self.waiter.take()
            && let Some(header) = self.header()
        {
            leave_handle(&waiter, header);
        }
    }
}

impl<T> Drop for Task<T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
        match std::mem::replace(&mut self.handle, Handle::Gone) {
            Handle::Detaching(task) => task.detach(),
            Handle::Cancelling(task) => {
                task.metadata().shared().cancel();
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
/// It keeps the shared part of the task alive, never the task.
///
/// # Examples
/// ```
/// use twoply::{Wait, task};
///
/// let task = twoply::spawn(async { task::current().unwrap() });
/// let reference = task.task();
/// assert_eq!(task.wait().unwrap().id(), reference.id());
/// assert!(reference.is_finished());
/// ```
#[derive(Clone)]
pub struct TaskRef(Arc<Shared>);

impl TaskRef {
    pub(crate) fn new(state: Arc<Shared>) -> TaskRef {
        TaskRef(state)
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }

    /// Asks the task to end, and returns at once.
    ///
    /// A task that is suspended at an `.await` is dropped there. One that is blocked in
    /// [`wait`](crate::Wait::wait), or in a blocking read or write of this library, unwinds from it. One that
    /// is running ends at its next await point or wait. One that never waits again is not stopped. To wait
    /// for the end, wait for its [`Task`].
    ///
    /// Where panics abort, blocked stacks cannot unwind: there, a blocked task goes on until its next await.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    ///
    /// let task = twoply::spawn_fn(|| std::future::pending::<()>().wait());
    /// task.task().cancel();
    /// assert!(task.wait().unwrap_err().is_cancelled());
    /// ```
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Returns the task's identity.
    pub fn id(&self) -> TaskId {
        self.0.id()
    }

    /// Returns the name that the task was given.
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// Returns the place in the program where the task was started. Only tasks that were given a name or a
    /// stack size know it, and those of scopes and groups: the others are spared the memory.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::task::{Builder, current};
    ///
    /// let at = || current().and_then(|task| task.spawned_at()).map(|at| at.file().ends_with(".rs"));
    /// let named = Builder::new().name("a name").spawn_fn(at).unwrap();
    /// assert_eq!(named.wait().unwrap(), Some(true));
    /// ```
    pub fn spawned_at(&self) -> Option<&'static Location<'static>> {
        self.0.spawned_at()
    }

    /// Returns whether the task is over, however it ended.
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
