//! A runtime on one thread and no other: that which waits for it runs its tasks.
//!
//! The only worker lies with the thread that has made the runtime. While that thread waits, in
//! [`LocalRuntime::block_on`] or in code that [`LocalRuntime::run`] calls, it carries the worker, as a
//! [host](crate::host) does: its strand parks by running what is ready, and sleeps in the worker's reactor
//! when nothing is. So tasks run on top of the stack that waits, which can go on at any time because none of
//! them stays there: one that must wait is suspended, as a future or on a fiber.
//!
//! Nothing here starts a thread, and nothing runs while nobody waits.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::backend::{Backend, Driver, Job, Strand, StrandState, Unpark};
use twoply_core::parker::Parker;
use twoply_core::promise::Failure;
use twoply_core::strand;
use twoply_core::task::{SpawnError, Spawner, Task};

use crate::core::{Core, Work};
use crate::metrics::Metrics;
use crate::runner::Runners;
use crate::runtime::Builder;
use crate::scheduler::Shared;
use crate::strand::CarrierStrand;
use crate::worker::{self, Context};

/// The number of polls for which a stack that yields lets tasks have the thread, at most.
const YIELD: usize = 61;

/// A green runtime of one thread, which has no other: for tests, tools, and places where there are no
/// threads.
///
/// Its tasks, timers and sockets have the thread while it is in [`block_on`](LocalRuntime::block_on) or
/// [`run`](LocalRuntime::run). Nothing happens in between; what comes meanwhile waits. The runtime stays on
/// the thread that made it, so tasks need not be [`Send`] ([`spawn_local`](LocalRuntime::spawn_local)).
/// Others may send it tasks through its [`spawner`](LocalRuntime::spawner), and wake them, from any thread.
///
/// A task that blocks in straight-line code, by `.wait()`, is suspended on a [fiber](Builder::fibers), and
/// the others go on. Without fibers there is no stack to leave it on: it keeps the thread until it can go on,
/// so it must not wait for another task of the runtime, and should `.await` instead. Where one has kept the
/// thread for a second, a line on standard error says so. The stack that waits for the runtime, in `block_on`
/// or as the main task of `run`, may block in either case. Code that is [offloaded](twoply_core::offload)
/// runs on the thread, and holds the others up; so does the lookup of a name.
///
/// # The end
/// Dropping it cancels its tasks, and runs them until they are over, as they end at their next await point or
/// wait; a destructor that waits is waited for. [`shutdown`](LocalRuntime::shutdown) does the same until a
/// deadline. A fiber that has not ended by then is leaked, with what is on it; and so is one when the runtime
/// is dropped by a stack that unwinds.
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use std::time::Duration;
/// use twoply::green_backend::Green;
/// use twoply::time::sleep;
///
/// let runtime = Green::builder().build_local()?;
/// let ticks = Rc::new(Cell::new(0));
/// let count = Rc::clone(&ticks);
/// let counting = runtime.spawn_local(async move {
///     for _ in 0..3 {
///         sleep(Duration::from_millis(1)).await;
///         count.set(count.get() + 1);
///     }
/// });
/// runtime.block_on(counting)?.unwrap();
/// assert_eq!(ticks.get(), 3);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct LocalRuntime {
    /// The strand of the stack that waits, and what it runs meanwhile.
    thread: LocalThread,
    /// The spawner of the runtime's tasks.
    spawner: Spawner,
    /// True while the thread runs the runtime.
    is_busy: Cell<bool>,
    /// It stays on its thread.
    _not_send: PhantomData<*mut ()>,
}

impl LocalRuntime {
    pub(crate) fn new(shared: Arc<Shared>, worker: Core) -> LocalRuntime {
        let spawner = Spawner::new(Arc::clone(&shared) as Arc<dyn Backend>);
        let thread = LocalThread::new(shared, worker);
        LocalRuntime { thread, spawner, is_busy: Cell::new(false), _not_send: PhantomData }
    }

    /// Returns the usual settings, to be changed and built by [`Builder::build_local`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns the spawner of this runtime's tasks. Clones of it may go to other threads.
    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Starts `future` as a task. It runs while the thread is in [`LocalRuntime::block_on`] or
    /// [`LocalRuntime::run`].
    ///
    /// # Examples
    /// ```
    /// use twoply::green_backend::LocalRuntime;
    ///
    /// let runtime = LocalRuntime::builder().build_local()?;
    /// let task = runtime.spawn(async { 7 });
    /// assert!(!task.is_finished(), "nobody has run the runtime yet");
    /// assert_eq!(runtime.block_on(task)?.unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawner.spawn(future)
    }

    /// Starts a future that need not be `Send` as a task, which never leaves this thread. Like any, it costs
    /// no stack while it waits. Should the runtime have ended without it, it is leaked where another thread
    /// would have to drop it.
    ///
    /// Code that has no reference to the runtime, such as a task of it, starts such tasks by
    /// [`spawn_pinned`](twoply_core::task::spawn_pinned), on a stack of their own.
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    /// use twoply::green_backend::LocalRuntime;
    ///
    /// let runtime = LocalRuntime::builder().build_local()?;
    /// let shared = Rc::new(7);
    /// let task = runtime.spawn_local(async move { *shared });
    /// assert_eq!(runtime.block_on(task)?.unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        self.spawner.spawn(AtHome::new(future))
    }

    /// Runs the runtime on this thread until `future` is ready, and returns its output. The future is polled
    /// on this stack and is no task; it may borrow.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] when the thread is in a call of this kind already: a task cannot run
    /// the runtime that it runs on, nor can the future of another `block_on`. [`io::ErrorKind::NotConnected`]
    /// after a shutdown. In the child of a fork, an error that says so.
    ///
    /// # Examples
    /// ```
    /// use twoply::channel;
    /// use twoply::green_backend::LocalRuntime;
    ///
    /// let runtime = LocalRuntime::builder().build_local()?;
    /// let (tx, rx) = channel::bounded(1);
    /// runtime.spawn(async move { tx.send("from a task").await });
    /// assert_eq!(runtime.block_on(async { rx.recv().await })?, Ok("from a task"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn block_on<F: IntoFuture>(&self, future: F) -> io::Result<F::Output> {
        let _busy = self.begin()?;
        Ok(strand::enter(&self.thread, || future.wait()))
    }

    /// Runs `main` as a task on this very stack, and returns its result once it and all other tasks of the
    /// runtime are over. They have the thread while `main` waits.
    ///
    /// # Errors
    /// When `main` panicked, was cancelled or could not be started, for the reasons of
    /// [`LocalRuntime::block_on`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, spawn};
    /// use twoply::green_backend::LocalRuntime;
    ///
    /// let runtime = LocalRuntime::builder().build_local()?;
    /// let answer = runtime.run(|| spawn(async { 6 * 7 }).wait());
    /// assert_eq!(answer.unwrap().unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn run<F, T>(&self, main: F) -> Result<T, Failure>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let _busy = self.begin().map_err(SpawnError::from)?;
        strand::enter(&self.thread, || {
            let mut task = None;
            let job = self.thread.catch(|| task = Some(self.spawner.spawn_fn(main)));
            if let Some(job) = job {
                worker::poll(&self.thread.shared.workers[0].counts, job);
            }
            let result = task.map_or(Err(Failure::Cancelled), Task::wait);
            self.spawner.tasks().wait_empty().wait();
            result
        })
    }

    /// Returns a snapshot of the runtime's counters.
    pub fn metrics(&self) -> Metrics {
        Metrics::read(&self.thread.shared)
    }

    /// Cancels all tasks, runs the runtime on this thread until they are over, and lets none start any more.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when some tasks were left after `deadline`, which it names: what is queued
    /// has been dropped, and stacks of fibers are leaked. [`io::ErrorKind::Deadlock`] when the thread is in
    /// [`LocalRuntime::block_on`] or [`LocalRuntime::run`]; then nothing has been done.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::green_backend::LocalRuntime;
    ///
    /// let runtime = LocalRuntime::builder().build_local()?;
    /// runtime.spawn(std::future::pending::<()>());
    /// runtime.shutdown(Duration::from_secs(5))?;
    /// assert!(runtime.block_on(async {}).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, deadline: Duration) -> io::Result<()> {
        match self.begin() {
            Ok(_busy) => self.end(Instant::now().checked_add(deadline)),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Err(io::Error::new(io::ErrorKind::Deadlock, "a task would wait for its own end"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
        self.spawner.tasks().ended(0)
    }

    /// Notes that the thread runs the runtime, until the guard is dropped.
    fn begin(&self) -> io::Result<Busy<'_>> {
        let shared = &self.thread.shared;
        if shared.forked.load(Ordering::Relaxed) != shared.born {
            return Err(io::Error::other(SpawnError::Forked));
        }
        if shared.is_stopped() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, SpawnError::ShutDown));
        }
        if self.is_busy.replace(true) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the thread runs this runtime already"));
        }
        Ok(Busy(&self.is_busy))
    }

    /// Ends the tasks, as far as they have ended `until` then, and the worker.
    fn end(&self, until: Option<Instant>) {
        let LocalThread { shared, .. } = &self.thread;
        shared.drain();
        if self.thread.can_run() {
            strand::enter(&self.thread, || self.thread.run_until(until, || shared.tasks.is_empty()));
        }
        shared.stop();
        shared.worker_ended();
    }
}

impl Drop for LocalRuntime {
    fn drop(&mut self) {
        if let Ok(_busy) = self.begin() {
            self.end(None);
        }
        self.thread.end_stacks();
    }
}

impl fmt::Debug for LocalRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRuntime").field("tasks", &self.spawner.tasks().len()).finish_non_exhaustive()
    }
}

/// Ends what [`LocalRuntime::begin`] has begun.
struct Busy<'a>(&'a Cell<bool>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The strand of the stack that runs a local runtime while it waits.
struct LocalThread {
    /// The part of the strand that the core keeps.
    state: StrandState,
    /// The state of the runtime.
    shared: Arc<Shared>,
    /// The thread's side of the worker, which never leaves it.
    context: Rc<Context>,
    /// The stacks on which tasks are polled; borrowed while the worker runs.
    stacks: RefCell<Stacks>,
    /// True if the next task that starts is not to be queued but caught.
    catches: Cell<bool>,
    /// The task that was caught.
    caught: Cell<Option<Job>>,
}

/// The stacks on which a local runtime polls its tasks.
enum Stacks {
    /// Tasks are polled on the thread's own.
    Thread(Box<CarrierStrand>),
    /// Tasks are polled on fibers.
    Fibers(Runners),
}

/// Ends the sleep of the thread in its worker's reactor.
struct LocalUnpark(Arc<Shared>);

impl Unpark for LocalUnpark {
    fn unpark(&self) {
        self.0.workers[0].reactor.notify();
    }
}

impl LocalThread {
    fn new(shared: Arc<Shared>, worker: Core) -> LocalThread {
        let context = Context::new(Arc::clone(&shared), Box::new(worker));
        let stacks = match &shared.stacks {
            Some(stacks) => Stacks::Fibers(Runners::new(&context, 0, stacks)),
            None => Stacks::Thread(Box::new(CarrierStrand::new(Rc::clone(&context), 0))),
        };
        LocalThread {
            state: StrandState::new(Parker::new(LocalUnpark(Arc::clone(&shared)))),
            shared,
            context,
            stacks: RefCell::new(stacks),
            catches: Cell::new(false),
            caught: Cell::new(None),
        }
    }

    /// Returns the task that `spawn` starts, instead of having it queued.
    fn catch(&self, spawn: impl FnOnce()) -> Option<Job> {
        self.catches.set(true);
        spawn();
        self.catches.set(false);
        self.caught.take()
    }

    /// Returns false if the thread exits the process, or if no fiber may be entered, because the stack below
    /// unwinds: panics are counted for each thread.
    fn can_run(&self) -> bool {
        !worker::is_gone() && (self.shared.stacks.is_none() || !thread::panicking())
    }

    /// Runs the worker's work on this thread until `next` says that there is no more for now.
    fn run(&self, mut next: impl FnMut(&Core) -> Option<Work>) {
        let _entered = worker::enter(&self.context);
        let next = || self.context.with_core(|core| next(core)).flatten();
        match &mut *self.stacks.borrow_mut() {
            Stacks::Thread(strand) => strand.run(next),
            Stacks::Fibers(runners) => runners.run(next),
        }
        self.context.with_core(|core| core.rest(&self.shared.workers[0]));
    }

    /// Runs what there is, and sleeps when there is nothing, until `is_over`, or `until` has passed.
    fn run_until(&self, until: Option<Instant>, is_over: impl Fn() -> bool) {
        self.run(|core| {
            while !is_over() && until.is_none_or(|until| Instant::now() < until) {
                if let Some(work) = core.next_ready(&self.shared) {
                    return Some(work);
                }
                core.sleep_as_host(&self.shared, until, &is_over);
            }
            None
        });
    }

    fn end_stacks(&self) {
        if let Stacks::Fibers(runners) = &mut *self.stacks.borrow_mut() {
            runners.end();
        }
    }
}

impl Strand for LocalThread {
    fn state(&self) -> &StrandState {
        &self.state
    }

    fn park(&self) {
        let parker = self.state.parker();
        let is_over = || !parker.is_parked();
        match self.can_run() {
            true => self.run_until(None, is_over),
            false => worker::stall(&self.context, 0, is_over, None),
        }
    }

    fn resume(&self, job: Job, yielded: bool) -> Result<(), Job> {
        if self.catches.take() {
            self.caught.set(Some(job));
            return Ok(());
        }
        self.context.push(job, yielded)
    }

    fn yield_now(&self) {
        if self.can_run() {
            let mut left = YIELD;
            self.run(|core| {
                left = left.checked_sub(1)?;
                core.next_ready(&self.shared)
            });
        }
    }

    fn driver(&self) -> &dyn Driver {
        &self.shared.workers[0].reactor
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        Some(Arc::clone(&self.shared) as Arc<dyn Backend>)
    }

    fn home(&self) -> Option<&dyn Backend> {
        Some(&*self.shared)
    }

    fn block_in_place(&self, call: &mut dyn FnMut()) {
        call();
    }
}

/// A future that never leaves the thread on which it was made, whoever holds it.
struct AtHome<F> {
    /// The future. It has an allocation of its own, which is never freed if the future is not dropped:
    /// whoever has pinned something may count on that.
    future: ManuallyDrop<Pin<Box<F>>>,
    /// The thread that has made it.
    home: ThreadId,
}

// SAFETY: the future is touched by `poll` and `drop` alone, and by both only on the thread that has made it,
// whose number no other thread of the process ever has.
unsafe impl<F> Send for AtHome<F> {}

impl<F> AtHome<F> {
    fn new(future: F) -> AtHome<F> {
        AtHome { future: ManuallyDrop::new(Box::pin(future)), home: thread::current().id() }
    }

    fn is_at_home(&self) -> bool {
        thread::current().id() == self.home
    }
}

impl<F: Future> Future for AtHome<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<F::Output> {
        assert!(self.is_at_home(), "a local task was polled on another thread than its own");
        self.future.as_mut().poll(cx)
    }
}

impl<F> Drop for AtHome<F> {
    fn drop(&mut self) {
        if self.is_at_home() {
            // SAFETY: this is the only place that drops it, and it is not used after.
            unsafe { ManuallyDrop::drop(&mut self.future) };
        }
    }
}
