//! Tasks that borrow: a blocking call that joins all of them before it returns.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use super::dump::TaskKind;
use super::error::{Panic, SpawnError};
use super::failure::{CancelUnwind, Failure};
use super::handle::{Task, TaskRef};
use super::header::Observer;
use super::id::TaskId;
use super::job::{Body, ClosureBody, FutureBody, start_unchecked};
use super::{Builder, current_backend};
use crate::base::panic::discard_panic;
use crate::base::sync::lock_std;
use crate::base::wake::StoredWaker;
use crate::kernel::backend::{Backend, Strand};
use crate::kernel::strand::{ThreadStrand, assert_may_wait, with_current};
use crate::kernel::wait::{Cancelled, Wait, drive};
use crate::kernel::waiting::{self, WaitingFor};

/// Calls `f` with a scope in which tasks may borrow from the caller, and joins all of them before it returns,
/// also when `f` panics.
///
/// This blocks the calling stack, as [`Wait::wait`] does. There is no async form: a future that borrows can
/// be leaked, and then nobody would join.
///
/// When the calling task is cancelled while it joins, the tasks of the scope are cancelled too, and joined.
///
/// # Panics
/// When `f` panics; or else when a task of the scope has panicked, and nobody got to know that by its handle.
/// So it does, too, where the calling task has been cancelled.
///
/// # Examples
/// ```
/// use twoply::{Wait, task};
///
/// let numbers = vec![1, 2, 3, 4];
/// let sum = task::scope(|s| {
///     let (left, right) = numbers.split_at(2);
///     let left = s.spawn_fn(|| left.iter().sum::<i32>()).unwrap();
///     let right = s.spawn_fn(|| right.iter().sum::<i32>()).unwrap();
///     left.wait().unwrap() + right.wait().unwrap()
/// });
/// assert_eq!(sum, 10);
/// ```
pub fn scope<'env, F, R>(f: F) -> R
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    assert_may_wait();
    let scope = Scope { state: Arc::default(), scope: PhantomData, env: PhantomData };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let joined = scope.state.join();
    let lost = scope.state.lost_panic();
    match result {
        // A cancellation is no reason to keep a panic secret.
        Err(payload) if lost.is_none() || !payload.is::<CancelUnwind>() => resume_unwind(payload),
        Ok(result) if lost.is_none() && joined.is_ok() => return result,
        unused => drop(unused),
    }
    match lost {
        Some(panic) => panic!("a scoped task panicked: {panic}"),
        None => std::future::pending().wait(),
    }
}

/// A scope in which tasks may borrow; see [`scope`].
///
/// # Examples
/// ```
/// use twoply::task;
///
/// let mut words = vec!["b", "a"];
/// task::scope(|s| {
///     s.spawn_fn(|| words.sort()).unwrap();
/// });
/// assert_eq!(words, ["a", "b"]);
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    /// The state that the scope and its tasks share.
    state: Arc<ScopeState>,
    /// Invariance in both, as in `std::thread::Scope`.
    scope: PhantomData<&'scope mut &'scope ()>,
    /// The lifetime of what tasks may borrow.
    env: PhantomData<&'env mut &'env ()>,
}

/// The state that a scope and its tasks share.
#[derive(Default)]
struct ScopeState {
    /// The number of tasks that are not over.
    running: AtomicUsize,
    /// The panics of tasks that nobody was told of by a handle.
    untold: Mutex<Vec<Panic>>,
    /// The waker of whoever joins.
    joiner: Mutex<Option<StoredWaker>>,
    /// The tasks, to cancel them. Only those that were running when the list was last tidied.
    tasks: Mutex<Vec<TaskRef>>,
}

impl Observer for ScopeState {
    fn finished(&self, _: TaskId) {
        // Release pairs with the Acquire load in `poll_join`: all that the task did happens before the join.
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            let joiner = lock_std(&self.joiner).take();
            if let Some(joiner) = joiner {
                joiner.wake();
            }
        }
    }
}

impl ScopeState {
    /// Takes the first panic that nobody was told of, once all tasks are over.
    fn lost_panic(&self) -> Option<Panic> {
        lock_std(&self.untold).first().cloned()
    }

    /// Notes that somebody has been told of `panic`.
    fn tell(&self, panic: &Panic) {
        let mut untold = lock_std(&self.untold);
        let told = untold.iter().position(|other| other.is_same(panic)).map(|at| untold.remove(at));
        drop(untold);
        drop(told);
    }

    fn poll_join(&self, cx: &mut Context<'_>) -> Poll<()> {
        *lock_std(&self.joiner) = Some(StoredWaker::of(cx.waker()));
        if self.running.load(Ordering::Acquire) == 0 {
            return Poll::Ready(());
        }
        waiting::note(Poll::Pending, || WaitingFor::Tasks)
    }

    /// Waits until all tasks are over, and says only then whether the caller was cancelled meanwhile.
    fn join(&self) -> Result<(), Cancelled> {
        let _joined = Joined(self);
        let join = || std::future::poll_fn(|cx| self.poll_join(cx));
        with_current(|strand| {
            let joined = drive(strand, pin!(join()));
            if joined.is_err() {
                // A cancelled task may be dropped there and then, and its destructors may use the scope: not
                // under the lock.
                let tasks = std::mem::take(&mut *lock_std(&self.tasks));
                tasks.iter().for_each(TaskRef::cancel);
                let _shield = strand.state().shield();
                let _ = drive(strand, pin!(join()));
            }
            joined
        })
    }

    /// Remembers a task, and forgets those that are over whenever the list has doubled.
    fn remember(&self, task: &TaskRef) {
        let mut tasks = lock_std(&self.tasks);
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(task.clone());
    }
}

/// Keeps a scope from ending before its tasks. Usually they have been joined when this is dropped.
///
/// Backends and strands are anybody's safe code: one that panics, or says that a wait is over when it is not,
/// must not make memory that a task borrows go away. Then the thread itself waits, on a strand of the core's
/// own.
struct Joined<'a>(&'a ScopeState);

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        // Acquire as in `poll_join`.
        while self.0.running.load(Ordering::Acquire) != 0 {
            // No task runs on this strand, so it heeds no cancellation.
            let _ = drive(&ThreadStrand::new(), pin!(std::future::poll_fn(|cx| self.0.poll_join(cx))));
        }
        // The tasks know the scope, as the one who is told of their end: a circle.
        let tasks = std::mem::take(&mut *lock_std(&self.0.tasks));
        drop(tasks);
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts `future` as a task on the backend of the calling task.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task};
    ///
    /// let word = String::from("borrowed");
    /// let length = task::scope(|s| s.spawn(async { word.len() }).unwrap().wait());
    /// assert_eq!(length.unwrap(), 8);
    /// ```
    #[track_caller]
    pub fn spawn<F>(&'scope self, future: F) -> Result<ScopedTask<'scope, F::Output>, SpawnError>
    where
        F: Future + Send + 'scope,
        F::Output: Send + 'scope,
    {
        self.spawn_on(&current_backend()?, future)
    }

    /// Starts straight-line code as a task on the backend of the calling task.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, task};
    ///
    /// let numbers = [1, 2, 3];
    /// let sum = task::scope(|s| s.spawn_fn(|| numbers.iter().sum::<u32>()).unwrap().wait());
    /// assert_eq!(sum.unwrap(), 6);
    /// ```
    #[track_caller]
    pub fn spawn_fn<F, T>(&'scope self, code: F) -> Result<ScopedTask<'scope, T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_fn_on(&current_backend()?, code)
    }

    /// Starts `future` as a task on `backend`.
    ///
    /// # Errors
    /// As [`Builder::spawn_on`].
    #[track_caller]
    pub fn spawn_on<F>(
        &'scope self,
        backend: &Arc<dyn Backend>,
        future: F,
    ) -> Result<ScopedTask<'scope, F::Output>, SpawnError>
    where
        F: Future + Send + 'scope,
        F::Output: Send + 'scope,
    {
        self.start(Builder::new(), backend, FutureBody::new(future))
    }

    /// Starts straight-line code as a task on `backend`.
    ///
    /// # Errors
    /// As [`Builder::spawn_on`].
    #[track_caller]
    pub fn spawn_fn_on<F, T>(
        &'scope self,
        backend: &Arc<dyn Backend>,
        code: F,
    ) -> Result<ScopedTask<'scope, T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.start(Builder::new(), backend, ClosureBody::new(code))
    }

    /// Starts `future` as a task on the backend of the calling task, with the settings of `builder`: its
    /// name, which it may [inherit](Builder::inherit_name), and its stack.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::task;
    ///
    /// let word = String::from("borrowed");
    /// task::scope(|s| {
    ///     let reader = s.spawn_with(task::Builder::new().name("reader"), async { word.len() }).unwrap();
    ///     assert_eq!(reader.task().name(), Some("reader"));
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_with<F>(
        &'scope self,
        builder: Builder,
        future: F,
    ) -> Result<ScopedTask<'scope, F::Output>, SpawnError>
    where
        F: Future + Send + 'scope,
        F::Output: Send + 'scope,
    {
        self.start(builder, &current_backend()?, FutureBody::new(future))
    }

    /// As [`Scope::spawn_with`], with straight-line code.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_fn_with<F, T>(
        &'scope self,
        builder: Builder,
        code: F,
    ) -> Result<ScopedTask<'scope, T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.start(builder, &current_backend()?, ClosureBody::new(code))
    }

    fn start<B>(
        &'scope self,
        builder: Builder,
        backend: &Arc<dyn Backend>,
        body: B,
    ) -> Result<ScopedTask<'scope, B::Output>, SpawnError>
    where
        B: Body + Send + 'scope,
        B::Output: Send + 'scope,
    {
        let packet = Arc::new(Packet { result: Mutex::new(None), state: Arc::clone(&self.state) });
        let body = ScopedBody { body: Some(body), packet: Arc::clone(&packet) };
        self.state.running.fetch_add(1, Ordering::Relaxed);
        let observer: Arc<dyn Observer> = Arc::clone(&self.state) as _;
        let (spawned_at, attributes) = (builder.spawned_at, builder.into_attributes(Some(observer)));
        // SAFETY: `scope` joins before it returns or unwinds: `Joined` waits until `running` is zero, and
        // each task counts as running until its state tells the observer, which it does after the future has
        // been dropped, also when the start fails. The task's own output is `()`; the real one goes through
        // the packet, whose other owner cannot outlive 'scope.
        let task = unsafe { start_unchecked(Arc::clone(backend), body, spawned_at, attributes) }?;
        self.state.remember(&task.task());
        Ok(ScopedTask { task, packet, scope: PhantomData })
    }
}

/// The slot in which a scoped task leaves its result.
struct Packet<T> {
    /// The result, until it is taken.
    result: Mutex<Option<Result<T, Failure>>>,
    /// The scope, to report a panic that nobody takes.
    state: Arc<ScopeState>,
}

impl<T> Packet<T> {
    /// Leaves a result. A panic counts more than what was there before.
    fn fill(&self, result: Result<T, Failure>) {
        let mut slot = lock_std(&self.result);
        if matches!(*slot, Some(Err(Failure::Panicked(_)))) {
            return;
        }
        if let Err(Failure::Panicked(panic)) = &result {
            lock_std(&self.state.untold).push(panic.clone());
        }
        let before = slot.replace(result);
        drop(slot);
        discard_panic(|| drop(before));
    }

    /// Takes the result, if it is there.
    fn take(&self) -> Option<Result<T, Failure>> {
        let result = lock_std(&self.result).take();
        if let Some(Err(Failure::Panicked(panic))) = &result {
            self.state.tell(panic);
        }
        result
    }
}

pin_project_lite::pin_project! {
    /// The body of a scoped task: leaves the result in the packet.
    struct ScopedBody<B: Body> {
        // The user's part, which is gone when it is being dropped.
        #[pin]
        body: Option<B>,
        // The packet for the result.
        packet: Arc<Packet<B::Output>>,
    }

    impl<B: Body> PinnedDrop for ScopedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // A panic of a destructor is the task's, as everywhere.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.body.set(None))) {
                this.packet.fill(Err(Failure::of_unwind(payload)));
            }
        }
    }
}

impl<B: Body> Body for ScopedBody<B> {
    type Output = ();

    const KIND: TaskKind = B::KIND;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Poll::Ready(()) };
        match catch_unwind(AssertUnwindSafe(|| body.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => this.packet.fill(Ok(output)),
            Err(payload) => this.packet.fill(Err(Failure::of_unwind(payload))),
        }
        Poll::Ready(())
    }

    fn run(self: Pin<&mut Self>, strand: &dyn Strand) -> Result<(), Cancelled> {
        let this = self.project();
        let Some(body) = this.body.as_pin_mut() else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| body.run(strand))) {
            Ok(output) => this.packet.fill(Ok(output?)),
            Err(payload) => this.packet.fill(Err(Failure::of_unwind(payload))),
        }
        Ok(())
    }
}

/// The handle to a task of a [`scope`]: a future of its result. Dropping it leaves the task to the scope.
///
/// # Examples
/// ```
/// use twoply::{Wait, task};
///
/// let ended = task::scope(|s| {
///     let task = s.spawn(std::future::pending::<()>()).unwrap();
///     task.cancel();
///     task.wait()
/// });
/// assert!(ended.unwrap_err().is_cancelled());
/// ```
#[must_use = "a future does nothing until it is awaited or waited for"]
pub struct ScopedTask<'scope, T> {
    /// The task, which results in nothing by itself.
    task: Task<()>,
    /// The packet with its result.
    packet: Arc<Packet<T>>,
    /// The handle may not outlive the scope.
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedTask<'_, T> {
    /// Asks the task to end; see [`TaskRef::cancel`].
    pub fn cancel(&self) {
        self.task.cancel();
    }

    /// Returns the task, without its result.
    pub fn task(&self) -> TaskRef {
        self.task.task()
    }
}

impl<T> Future for ScopedTask<'_, T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        match Pin::new(&mut self.task).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ended) => {
                let result = self.packet.take();
                Poll::Ready(result.unwrap_or_else(|| Err(ended.err().unwrap_or(Failure::Cancelled))))
            }
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.state.running.load(Ordering::Relaxed);
        f.debug_struct("Scope").field("running", &running).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedTask<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedTask").field("id", &self.task.id()).finish_non_exhaustive()
    }
}
