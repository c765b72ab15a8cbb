//! The future that a backend runs: the user's, with panics, cancellation and the end taken care of.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_task::{Runnable, ScheduleInfo, WithInfo};
use pin_project_lite::pin_project;

use super::Builder;
use super::dump::TaskKind;
use super::error::{Panic, SpawnError};
use super::failure::Failure;
use super::handle::{Task, TaskRef};
use super::header::{Attributes, Header, HeaderRef, Observer};
use super::id::TaskId;
use crate::base::panic::discard_panic;
use crate::kernel::backend::{Backend, Mode, Strand, StrandState};
use crate::kernel::probe::settle;
use crate::kernel::strand::{out_of_order, part_with, with_current};
use crate::kernel::wait::{Cancelled, drive};
use crate::kernel::waiting::{self, Subject};

/// A task that is ready to run. Dropping it instead cancels the task and drops its future, there and then.
pub struct Job(Option<Runnable<Header>>);

impl Job {
    #[inline]
    fn header(&self) -> &Header {
        match &self.0 {
            Some(runnable) => runnable.metadata(),
            None => {
                unreachable!("a job is empty only while it is being run, dropped or turned into a pointer")
            }
        }
    }

    /// Runs the task on the calling stack: to its end in [`Mode::Blocking`], else until it must wait, when it
    /// comes back through [`Backend::resume`]. Never unwinds.
    ///
    /// The backend has made the strand of this stack current.
    #[inline]
    pub fn run(mut self) {
        if let Some(runnable) = self.0.take() {
            runnable.run();
        }
    }

    /// Returns a reference to the task.
    pub fn task(&self) -> TaskRef {
        TaskRef::new(Arc::clone(self.header().shared()))
    }

    /// Returns the task's number; see [`TaskId::as_u64`](super::TaskId::as_u64).
    #[inline]
    pub fn id(&self) -> u64 {
        self.header().id().as_u64()
    }

    /// Returns the name of the task in reports.
    #[inline]
    pub fn name(&self) -> Option<&str> {
        self.header().name()
    }

    /// Returns the size of the stack that the task asks for, in bytes.
    pub fn stack_size(&self) -> Option<usize> {
        self.header().stack_size()
    }

    /// Returns true if this job belongs to `backend`: only then may it be run there.
    #[inline]
    pub fn is_of(&self, backend: &impl Backend) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(self.header().backend()), backend)
    }

    /// Turns the job into one pointer, for queues of atomics.
    #[inline]
    pub fn into_raw(mut self) -> NonNull<()> {
        match self.0.take() {
            Some(runnable) => runnable.into_raw(),
            None => {
                unreachable!("a job is empty only while it is being run, dropped or turned into a pointer")
            }
        }
    }

    /// Returns the job that [`Job::into_raw`] made `raw` of.
    ///
    /// # Safety
    /// `raw` comes from `into_raw`, and is turned back once.
    #[inline]
    pub unsafe fn from_raw(raw: NonNull<()>) -> Job {
        // SAFETY: the caller vouches for where the pointer comes from; the metadata type is always this one.
        Job(Some(unsafe { Runnable::from_raw(raw) }))
    }
}

impl Drop for Job {
    #[inline]
    fn drop(&mut self) {
        if let Some(runnable) = self.0.take() {
            cancel_unrun(runnable);
        }
    }
}

/// Cancels a task that does not run any more: the poll drops its future and leaves word for the handle.
#[cold]
fn cancel_unrun(runnable: Runnable<Header>) {
    runnable.metadata().shared().cancel();
    runnable.run();
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

/// The user's part of a task.
pub(crate) trait Body {
    /// The output of the body.
    type Output;

    /// The kind that dumps tell.
    const KIND: TaskKind;

    /// Returns what it is the body of, if that is more than a task. Like all that is done with a body which
    /// has been polled, it looks at fields through a projection: a shared reference to all of it would be one
    /// to the user's future, which may hold references into itself.
    fn subject(self: Pin<&mut Self>) -> Option<Arc<dyn Subject>> {
        None
    }

    /// Returns the number of the process that it is the body of.
    fn process(&self) -> Option<u64> {
        None
    }

    /// Goes on until it must wait.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output>;

    /// Goes on to the end, on a stack that may block.
    fn run(self: Pin<&mut Self>, strand: &dyn Strand) -> Result<Self::Output, Cancelled>;
}

pin_project! {
    /// A task that is a future.
    pub(crate) struct FutureBody<F> {
        #[pin]
        future: F,
    }
}

impl<F> FutureBody<F> {
    pub(crate) fn new(future: F) -> Self {
        FutureBody { future }
    }
}

impl<F: Future> Body for FutureBody<F> {
    type Output = F::Output;

    const KIND: TaskKind = TaskKind::Future;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }

    fn run(self: Pin<&mut Self>, strand: &dyn Strand) -> Result<F::Output, Cancelled> {
        drive(strand, self.project().future)
    }
}

/// A task that is straight-line code: a future that is ready after one poll.
pub(crate) struct ClosureBody<F, T> {
    /// The code, until it has been called.
    code: Option<F>,
    /// The type that the code returns.
    output: PhantomData<fn() -> T>,
}

impl<F, T> ClosureBody<F, T> {
    pub(crate) fn new(code: F) -> Self {
        ClosureBody { code: Some(code), output: PhantomData }
    }
}

// Nothing in it is ever pinned: the code is moved out before it is called.
impl<F, T> Unpin for ClosureBody<F, T> {}

impl<F: FnOnce() -> T, T> Body for ClosureBody<F, T> {
    type Output = T;

    const KIND: TaskKind = TaskKind::Closure;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        match self.code.take() {
            Some(code) => Poll::Ready(code()),
            None => unreachable!("a job is not polled after its end"),
        }
    }

    fn run(mut self: Pin<&mut Self>, _: &dyn Strand) -> Result<T, Cancelled> {
        let code = self.code.take();
        Ok(code.map(|code| code()).unwrap_or_else(|| unreachable!("a job is run once")))
    }
}

/// A task's result on its way to the handle. If nobody takes it, its destructor may panic without harm.
///
/// Small ones are two words, which travel in registers: so a failure is boxed, and most tasks have none.
pub(super) struct Outcome<T>(Option<Result<T, Option<Box<Failure>>>>);

impl<T> Outcome<T> {
    const CANCELLED: Outcome<T> = Outcome(Some(Err(None)));

    fn panicked(panic: Failure) -> Outcome<T> {
        Outcome(Some(Err(Some(Box::new(panic)))))
    }

    fn is_panic(&self) -> bool {
        matches!(&self.0, Some(Err(Some(failure))) if failure.is_panic())
    }

    #[inline]
    pub(super) fn into_result(mut self) -> Result<T, Failure> {
        match self.0.take() {
            Some(Ok(output)) => Ok(output),
            Some(Err(Some(failure))) => Err(*failure),
            Some(Err(None)) | None => Err(Failure::Cancelled),
        }
    }
}

impl<T> Drop for Outcome<T> {
    #[inline]
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>()
            && let Some(result) = self.0.take()
        {
            discard_panic(move || drop(result));
        }
    }
}

pin_project! {
    /// The future that `async-task` runs. What each poll reads comes first, beside the header, and not behind
    /// a body of any size.
    #[repr(C)]
    struct JobFuture<B> {
        // The header of the task.
        header: HeaderRef,
        // True if a poll may block its stack to the end.
        blocking: bool,
        // True once the task has been entered in the list of tasks with its waker.
        entered: bool,
        // True if something lies around the polls of the task.
        layered: bool,
        // The user's part, which is gone when it is over.
        #[pin]
        body: Option<B>,
    }

    impl<B> PinnedDrop for JobFuture<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // The body was dropped without a last poll, by whoever had the job in hand.
            discard_panic(|| this.body.set(None));
            this.header.get().finish();
        }
    }
}

impl<B: Body> Future for JobFuture<B> {
    type Output = Outcome<B::Output>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<B::Output>> {
        if *self.as_mut().project().layered {
            return self.poll_inside(cx);
        }
        self.poll_alone(cx)
    }
}

impl<B: Body> JobFuture<B> {
    /// Polls the task with what lies around it.
    #[cold]
    fn poll_inside(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<B::Output>> {
        let layers = self.as_mut().project().header.get().layers();
        match layers {
            Some(layers) => layers.poll(cx, |cx| self.poll_alone(cx)),
            None => self.poll_alone(cx),
        }
    }

    /// Polls the task itself. Never unwinds.
    #[inline]
    fn poll_alone(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<B::Output>> {
        let mut this = self.project();
        with_current(|strand| {
            let running = strand.state();
            // A job may be dropped, hence polled, in the middle of another task's poll. That one gives its
            // claim to the stack up for so long: cancelling it must neither end a wait of this task, nor
            // reach the stack when it is somebody else's.
            let claimed = running.unregister_parker();
            // SAFETY: the header lies beside this future, and the poll ends with the other call below:
            // nothing in between unwinds, for the user's code is run under `catch_unwind`.
            let before = unsafe { running.replace_task(Some(NonNull::from(this.header.get()))) };
            let outer = running.begin_poll(cx.waker().data(), this.header.get().parted());
            let polled = catch_unwind(AssertUnwindSafe(|| {
                let mut body = match this.body.as_mut().as_pin_mut() {
                    // Most tasks are not in the list of tasks before their first poll, so that closing it did
                    // not cancel them.
                    Some(body)
                        if !running.task_cancelled()
                            && (*this.entered || !this.header.get().is_backend_closed()) =>
                    {
                        body
                    }
                    _ => return Poll::Ready(Err(Cancelled)),
                };
                if *this.blocking {
                    return Poll::Ready(body.run(strand));
                }
                let mut describing = false;
                loop {
                    let polled = match describing {
                        false => body.as_mut().poll(cx),
                        true => {
                            let subject = body.as_mut().subject();
                            waiting::describe(running, false, subject, || body.as_mut().poll(cx))
                        }
                    };
                    if let Poll::Ready(output) = polled {
                        return Poll::Ready(Ok(output));
                    }
                    // Before those who look are heard: who asks later has the task woken.
                    if !*this.entered {
                        *this.entered = true;
                        running.enter_task(cx.waker());
                    }
                    if describing || !waiting::is_observed() {
                        break;
                    }
                    describing = true;
                    running.begin_round();
                }
                while running.probe.take_request() {
                    if let Poll::Ready(output) = settle(running, cx.waker(), |cx| body.as_mut().poll(cx)) {
                        return Poll::Ready(Ok(output));
                    }
                }
                // The task was cancelled while it ran: nobody would wake it again.
                if running.task_cancelled() { Poll::Ready(Err(Cancelled)) } else { Poll::Pending }
            }));
            let polled = match polled {
                Ok(polled) => polled.map(|result| match result {
                    Ok(output) => Outcome(Some(Ok(output))),
                    Err(Cancelled) => Outcome::CANCELLED,
                }),
                Err(payload) => Poll::Ready(Outcome::panicked(Failure::of_unwind(payload))),
            };
            let polled = polled.map(|outcome| drop_body(running, this.body, outcome));
            running.unregister_parker();
            this.header.get().set_parted(running.resume_poll(outer));
            // SAFETY: this is the header that the surrounding poll, if any, has put there; that poll has not
            // ended, for this one has not ended before a poll that began inside of it.
            let ended = unsafe { running.replace_task(before) };
            if ended != Some(NonNull::from(this.header.get())) {
                out_of_order();
            }
            if claimed {
                running.register_parker();
            }
            polled
        })
    }
}

/// Drops the user's part of a finished task, while it is still the running one: destructors may wait, and are
/// not cancelled. A panic in one is the task's panic, unless it has panicked before.
#[inline]
fn drop_body<B, T>(running: &StrandState, mut body: Pin<&mut Option<B>>, outcome: Outcome<T>) -> Outcome<T> {
    let _shield = running.shield();
    match catch_unwind(AssertUnwindSafe(|| body.set(None))) {
        Err(payload) if !outcome.is_panic() => Outcome::panicked(Failure::Panicked(Panic::new(payload))),
        Err(payload) => {
            drop(Panic::new(payload));
            outcome
        }
        Ok(()) => outcome,
    }
}

/// Makes a task of `body` and has `backend` start it.
#[inline]
pub(crate) fn start<B>(
    builder: Builder,
    backend: Arc<dyn Backend>,
    body: B,
) -> Result<Task<B::Output>, SpawnError>
where
    B: Body + Send + 'static,
    B::Output: Send + 'static,
{
    // SAFETY: everything that the task owns is 'static.
    unsafe { start_unchecked(backend, body, builder.spawned_at, builder.into_attributes(None)) }
}

/// As [`start`]; `observer` is told of the end.
pub(crate) fn start_observed<B>(
    builder: Builder,
    backend: Arc<dyn Backend>,
    body: B,
    observer: Arc<dyn Observer>,
) -> Result<Task<B::Output>, SpawnError>
where
    B: Body + Send + 'static,
    B::Output: Send + 'static,
{
    // SAFETY: everything that the task owns is 'static.
    unsafe { start_unchecked(backend, body, builder.spawned_at, builder.into_attributes(Some(observer))) }
}

/// As [`start`], for a body that borrows.
///
/// # Safety
/// All that `body` borrows lives until the observer in `attributes` has been told that the task is finished.
/// Its output borrows nothing that the returned handle may outlive.
pub(super) unsafe fn start_unchecked<'a, B>(
    backend: Arc<dyn Backend>,
    body: B,
    spawned_at: &'static Location<'static>,
    attributes: Option<Box<Attributes>>,
) -> Result<Task<B::Output>, SpawnError>
where
    B: Body + Send + 'a,
    B::Output: Send + 'a,
{
    part_with::<B>();
    let id = TaskId::next();
    let tasks = backend.tasks();
    let may_start = tasks.count_start(id);
    let hooks = tasks.hooks().filter(|hooks| may_start && hooks.heed_start());
    let is_hooked = hooks.is_some();
    let attributes = match hooks {
        Some(hooks) => Attributes::with_hooks(hooks, attributes, spawned_at, (id, B::KIND, body.process())),
        None => attributes,
    };
    let layered = is_hooked && attributes.as_ref().is_some_and(|attributes| attributes.is_layered());
    if !may_start {
        return Err(refuse(Header::new(id, backend, B::KIND, attributes), body));
    }
    let blocking = backend.mode() == Mode::Blocking;
    // Nobody takes its address before it lies in the task, so that it is copied once less.
    let header = Header::new(id, backend, B::KIND, attributes);
    let task_builder = async_task::Builder::new().metadata(header);
    let future = move |header: &Header| JobFuture {
        // SAFETY: the header lies in the same allocation as the future which holds this. `async-task` drops
        // the future before the metadata, in every order of events.
        header: unsafe { HeaderRef::new(header) },
        blocking,
        entered: false,
        layered,
        body: Some(body),
    };
    // SAFETY: the future and `wake` are Send (and the latter Sync and 'static); the future is dropped, and
    // the observer told after that, before anything it borrows ends, as the caller promises.
    let (runnable, task) = unsafe { task_builder.spawn_unchecked(future, WithInfo(wake)) };
    let task = Task::new(task);
    let job = Job(Some(runnable));
    if blocking || job.name().is_some() {
        // SAFETY: the header lies beside the future, whose destructor calls `finish`.
        unsafe { job.header().enter(None) };
    }
    if is_hooked && let Some(hooks) = job.header().backend().tasks().hooks() {
        hooks.task_starts(job.header());
    }
    launch(job)?;
    Ok(task)
}

/// Ends a task that must not begin, as its backend has been closed.
#[cold]
fn refuse<B>(header: Header, body: B) -> SpawnError {
    header.set_untold();
    // The observer counts on being told, whatever the body's destructor does.
    discard_panic(move || drop(body));
    header.finish();
    SpawnError::ShutDown
}

/// Hands a new job to its backend. Once that has it, the job may be over, and what it knew its backend by is
/// gone: so somebody else keeps the backend meanwhile. On a stack of its own, that is the strand.
#[inline]
fn launch(job: Job) -> Result<(), SpawnError> {
    with_current(|strand| match strand.home() {
        Some(home) if std::ptr::addr_eq(home, Arc::as_ptr(job.header().backend())) => home.start(job),
        _ => {
            let home = Arc::clone(job.header().backend());
            home.start(job)
        }
    })
}

/// Does the work of a waker: the job goes to the queue of the worker that this runs on, if it is one of the
/// job's own backend, else to the backend.
///
/// It captures nothing, which spares `async-task` from keeping the task alive during the call.
#[inline]
fn wake(runnable: Runnable<Header>, info: ScheduleInfo) {
    let yielded = info.woken_while_running;
    if let Err(job) = with_current(|strand| strand.resume(Job(Some(runnable)), yielded)) {
        // The job may be run, and its record freed, before `resume` returns.
        let home = Arc::clone(job.header().backend());
        home.resume(job, yielded);
    }
}
