//! The settings of a green runtime, and what is made of them.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use twoply_core::fs::Engine;
use twoply_core::hooks::Hooks;
use twoply_core::io_threads::IoThreads;
use twoply_core::reactor::Reactor;
use twoply_core::threads::{Affinity, BlockingPool, Limits, PoolLimits, ThreadCache, process_limit};

use super::Green;
use crate::asymmetric_fence;
use crate::carrier;
use crate::core::Core;
use crate::fiber::usage::StackUse;
use crate::fiber::{StackOptions, StackPool, overflow, usage};
use crate::launch::start_workers;
use crate::local::LocalRuntime;
use crate::queue::Local;
use crate::reports::Handler;
use crate::scheduler::{Remote, Shared};
use crate::timing::Followed;
use crate::watchdog;
use crate::watchdog_state::{LongPoll, WatchdogState};

/// Settings of a [`Green`] runtime.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::Wait;
/// use twoply::green_backend::Green;
///
/// let builder = Green::builder().workers(2).max_threads(64).thread_keep_alive(Duration::from_secs(1));
/// let green = builder.build()?;
/// assert_eq!(green.spawner().spawn(async { 7 }).wait().unwrap(), 7);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub struct Builder {
    /// The setting of [`Builder::name`].
    name: Option<String>,
    /// The setting of [`Builder::workers`].
    workers: Option<usize>,
    /// The setting of [`Builder::worker_names`].
    worker_names: Option<String>,
    /// The setting of [`Builder::pin_workers`].
    cpus: Option<Vec<usize>>,
    /// The setting of [`Builder::spin_rounds`].
    spin_rounds: u32,
    /// Limits of the threads.
    limits: Limits,
    /// The setting of [`Builder::offload_limits`].
    offload_limits: PoolLimits,
    /// The setting of [`Builder::file_engine`].
    file_engine: Engine,
    /// True if blocked stacks are fibers.
    fibers: bool,
    /// The size and the number of the fibers' stacks.
    stacks: StackOptions,
    /// The handler that is told how much of their stacks tasks use.
    on_stack_use: Option<usage::Handler>,
    /// The length of a poll from which on its task is reported.
    long_poll_limit: Duration,
    /// The handler that is told of such tasks.
    on_long_poll: Option<Handler>,
    /// The setting of [`Builder::time_polls`].
    times_polls: bool,
    /// The setting of [`Builder::io_server`].
    io_threads: Option<usize>,
    /// The setting of [`Builder::hooks`].
    hooks: Hooks,
}

/// The promise that [`Builder::fibers`] asks for, as a value: whoever makes one has given it, and may hand it
/// to code that cannot say `unsafe` itself, such as a builder that is told the backend at run time.
///
/// # Examples
/// ```
/// use twoply::green_backend::{FiberPromise, Green};
///
/// // SAFETY: no task of this program waits while a crate that it calls relies on the discipline of its stack.
/// let promise = unsafe { FiberPromise::new() };
/// let green = Green::builder().fibers_with(promise).build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FiberPromise(());

impl FiberPromise {
    /// Gives the promise, for every runtime that it is handed to.
    ///
    /// # Safety
    #[doc = include_str!("../fiber/SAFETY.md")]
    pub const unsafe fn new() -> FiberPromise {
        FiberPromise(())
    }
}

/// The number of times that a worker which has run out of work looks around before it sleeps: about as long
/// as waking a sleeping core takes.
const SPIN_ROUNDS: u32 = 60;

/// The length of a poll that would be felt by a person.
const LONG_POLL: Duration = Duration::from_millis(100);

impl Builder {
    /// Names the threads of the runtime, as debuggers and `std::thread::current` show them; `twoply-green`
    /// unless set.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    ///
    /// let green = Green::builder().workers(1).name("web").build()?;
    /// let name = green.spawner().spawn(async { std::thread::current().name().map(str::to_owned) });
    /// assert_eq!(name.wait().unwrap().as_deref(), Some("web"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Sets how many workers run tasks at the same time. Unless set it is the number of the machine's cores;
    /// it is at least one.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers.max(1));
        self
    }

    /// Has a thread show, while it carries a worker, the name that begins with `prefix` and ends with the
    /// number of the worker, from 0 on: to the operating system, which keeps the first 15 bytes on Linux, so
    /// that `top` and `perf` tell workers apart. A thread that a task has blocked keeps the name until that
    /// goes on. Unless set, threads have the [name](Builder::name) of the runtime.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    ///
    /// let green = Green::builder().workers(1).worker_names("web-").build()?;
    /// let name = green.spawner().spawn(async { std::fs::read_to_string("/proc/thread-self/comm") });
    /// if let Ok(name) = name.wait().unwrap() {
    ///     assert_eq!(name.trim(), "web-0");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn worker_names(mut self, prefix: impl Into<String>) -> Builder {
        self.worker_names = Some(prefix.into());
        self
    }

    /// Binds workers to processors, given by the numbers that the operating system has for them: each thread
    /// that carries a worker runs on its processor only, from the first one on and in turns if there are more
    /// workers. Threads of tasks that block are not bound. This is for programs that have the processors to
    /// themselves; the system balances the load better than they do where others want them, too.
    ///
    /// [`Builder::build`] fails where a processor does not exist, the system refuses it, or knows nothing of
    /// the kind.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    ///
    /// let bound = Green::builder().workers(2).pin_workers([0, 1]).build();
    /// match bound {
    ///     Ok(green) => assert_eq!(green.spawner().spawn(async { 7 }).wait().unwrap(), 7),
    ///     Err(error) => println!("not on this machine: {error}"),
    /// }
    /// ```
    pub fn pin_workers(mut self, cpus: impl IntoIterator<Item = usize>) -> Builder {
        self.cpus = Some(cpus.into_iter().collect());
        self
    }

    /// Sets how often, at most, a worker that has run out of work looks around, giving its core away in
    /// between, before it sleeps; 60 unless set. More makes wake-ups between cores faster and idle times
    /// dearer; 0 sleeps at once. It looks less often, or not at all, where that has found nothing lately or
    /// another thread wants the core.
    pub fn spin_rounds(mut self, rounds: u32) -> Builder {
        self.spin_rounds = rounds;
        self
    }

    /// Sets the most threads at a time: for workers, one for the watchdog, for tasks that block in
    /// straight-line code on threads, for those that are stuck (in something that is not this library's, or
    /// computing for long) while others wait for their worker, and for what is
    /// [offloaded](twoply_core::offload) from fibers. When they are all taken, a task that blocks keeps its
    /// worker until a thread ends: the tasks behind it wait, and where every worker is kept in this way,
    /// those that the blocked ones wait for, too. [`Metrics::refusals`](crate::Metrics::refusals) counts
    /// that, each such task is a [`LongPoll`], and without a [handler](Builder::on_long_poll) for these a
    /// line on standard error says so once. With fewer than one more than there are workers,
    /// [`Builder::build`] fails.
    ///
    /// Unless set, and in any case, all runtimes of the process together have at most
    /// [`process_limit`]. A program of which more tasks block at the same time needs
    /// [fibers](Builder::fibers), or tasks that `.await`.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::green_backend::Green;
    ///
    /// let error = Green::builder().workers(4).max_threads(4).build().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput, "there is no thread left for the watchdog");
    /// ```
    pub fn max_threads(mut self, threads: usize) -> Builder {
        self.limits.threads = threads;
        self
    }

    /// Sets how long an idle thread is kept for the next task that blocks; 10 seconds unless set.
    pub fn thread_keep_alive(mut self, idle: Duration) -> Builder {
        self.limits.keep_alive = idle;
        self
    }

    /// Sets the limits of the pool in which code runs that is [offloaded](twoply_core::offload) from fibers.
    /// Its threads count among those of the [runtime](Builder::max_threads).
    /// [`Metrics::offloaded`](crate::Metrics::offloaded) tells how busy it is.
    ///
    /// # Examples
    /// ```
    /// use twoply::green_backend::Green;
    /// use twoply::runtime::PoolLimits;
    ///
    /// let limits = PoolLimits { threads: 4, queue: 1000, ..PoolLimits::default() };
    /// let green = Green::builder().workers(1).offload_limits(limits).build()?;
    /// assert_eq!(green.metrics().offloaded.running, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn offload_limits(mut self, limits: PoolLimits) -> Builder {
        self.offload_limits = limits;
        self
    }

    /// Sets who reads from files and writes to them where a worker would have to wait for the device: the
    /// system, through an io_uring of the worker, or the [pool](Builder::offload_limits).
    /// [`Metrics::file_engine`](crate::Metrics::file_engine) tells who it is.
    ///
    /// # Examples
    /// ```
    /// use twoply::fs::Engine;
    /// use twoply::green_backend::Green;
    ///
    /// let green = Green::builder().workers(1).file_engine(Engine::Pool).build()?;
    /// assert_eq!(green.metrics().file_engine, Engine::Pool);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn file_engine(mut self, engine: Engine) -> Builder {
        self.file_engine = engine;
        self
    }

    /// Sets the size of a fiber's stack in bytes; 256 KiB unless set, at least 32 KiB. Memory is used as it
    /// is touched, so a larger one costs address space and little else. A task that overflows its stack ends
    /// the process, with a message that names it; [`Builder::on_stack_use`] tells how much the tasks of a
    /// program use.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    ///
    /// let green = Green::builder().workers(1).stack_size(1 << 20);
    /// // SAFETY: what the tasks run suspends in the middle of nothing that belongs to their thread.
    /// let green = unsafe { green.fibers() }.build()?;
    /// let task = green.spawner().spawn_fn(|| std::hint::black_box([1_u8; 300_000]).len());
    /// assert_eq!(task.wait().unwrap(), 300_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stacks.size = bytes;
        self
    }

    /// Sets the most fibers that may be blocked at a time. When they are, tasks go on as long as they do not
    /// block; one that does keeps its worker.
    pub fn max_stacks(mut self, stacks: usize) -> Builder {
        self.stacks.limit = stacks;
        self
    }

    /// Calls `handler`, on a thread of its own, when a task has been holding on to its worker for
    /// `limit` without coming to an await point or a wait: code that computes for long, or that blocks in
    /// something that is not this library's. It is called once for each such poll. The first one for a while
    /// is noticed up to six milliseconds after it has begun, later ones after two. Others do not wait for
    /// the task: after some milliseconds another thread carries its worker
    /// ([`WorkerMetrics::rescues`](crate::WorkerMetrics::rescues)). Nor do they wait for the handler, which
    /// may block: further calls come after it, one by one, of the latest polls if there are many. Without a
    /// handler such polls are counted; see [`Metrics::long_polls`](crate::Metrics::long_polls).
    ///
    /// # Examples
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use twoply::{Wait, green_backend::Green};
    ///
    /// let (release, held) = mpsc::channel();
    /// let builder = Green::builder().workers(1).on_long_poll(Duration::from_millis(1), move |poll| {
    ///     eprintln!("{poll}");
    ///     _ = release.send(poll.worker);
    /// });
    /// let green = builder.build()?;
    /// // It blocks in something that is not this library's.
    /// let slow = green.spawner().spawn(async move { held.recv() });
    /// assert_eq!(slow.wait().unwrap(), Ok(0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_long_poll(
        mut self,
        limit: Duration,
        handler: impl Fn(&LongPoll) + Send + Sync + 'static,
    ) -> Builder {
        self.long_poll_limit = limit;
        self.on_long_poll = Some(Box::new(handler));
        self
    }

    /// Has workers measure how long polls take and how late they are; see
    /// [`WorkerMetrics::times`](crate::WorkerMetrics::times). That costs two looks at the clock a poll, and
    /// one more for a wake-up that is followed: measured, a yield of 32 ns takes 134, a spawn of 190 ns, with
    /// its polls, 400. Unless it is asked for, it costs nothing that can be measured.
    ///
    /// # Examples
    /// ```
    /// let green = twoply::green_backend::Green::builder().workers(1).time_polls().build()?;
    /// green.spawner().spawn(async {});
    /// let times = green.metrics().workers.remove(0).times.expect("it was asked for");
    /// println!("busy for {:?}, wake-ups: {}", times.busy, times.wake_delays);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn time_polls(mut self) -> Builder {
        self.times_polls = true;
        self
    }

    /// Has the [ports](twoply_core::port) of the runtime's tasks run on so many threads that do nothing else,
    /// at least one, whose names end with `-io-` and a number. Unless set, they run on the workers, beside
    /// their owners, which is quicker: this is for programs whose tasks compute for long, and for I/O that is
    /// to be seen in one place.
    pub fn io_server(mut self, threads: usize) -> Builder {
        self.io_threads = Some(threads);
        self
    }

    /// Calls `handler` after each poll of a task on a fiber, on the fiber, with how much of its stack the
    /// task has used. The largest of what is said of a task is its high-water mark. This is for finding out
    /// which [`Builder::stack_size`] a program needs: it costs some microseconds a poll. Without fibers
    /// nothing is said.
    ///
    /// # Examples
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::Mutex;
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    /// use twoply::task::{Builder, TaskId};
    ///
    /// static DEEPEST: Mutex<Option<HashMap<TaskId, usize>>> = Mutex::new(None);
    ///
    /// let green = Green::builder().workers(1).on_stack_use(|stack| {
    ///     let mut deepest = DEEPEST.lock().unwrap();
    ///     let deepest = deepest.get_or_insert_default().entry(stack.task.id()).or_default();
    ///     *deepest = stack.used.max(*deepest);
    /// });
    /// // SAFETY: what the tasks run suspends in the middle of nothing that belongs to their thread.
    /// let green = unsafe { green.fibers() }.build()?;
    /// let task = green.spawner().spawn_fn(|| std::hint::black_box([1_u8; 100_000]).len());
    /// let id = task.id();
    /// task.wait().unwrap();
    /// green.shutdown(std::time::Duration::from_secs(5))?;
    /// assert!(DEEPEST.lock().unwrap().as_ref().unwrap()[&id] >= 100_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_stack_use(mut self, handler: impl Fn(&StackUse) + Send + Sync + 'static) -> Builder {
        self.on_stack_use = Some(Box::new(handler));
        self
    }

    /// Has the runtime call `hooks`: on its threads, those of the watchdog and of tasks that block included,
    /// and with its tasks. A hook that is called as a worker has nothing to run keeps that worker while it
    /// runs.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    /// use twoply::runtime::Hooks;
    ///
    /// let hooks = Hooks::new().on_thread_start(|| println!("one more thread"));
    /// let green = Green::builder().workers(1).hooks(hooks).build()?;
    /// assert_eq!(green.spawner().spawn(async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn hooks(mut self, hooks: Hooks) -> Builder {
        self.hooks = hooks;
        self
    }

    /// Calls `around` on each thread of the runtime, with all that the thread does as its argument. It is
    /// added to the [hooks](Builder::hooks) that have been set so far; see [`Hooks::around_threads`], which
    /// says what holds where `around` panics, or does not call its argument.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::green_backend::Green;
    ///
    /// let builder = Green::builder().workers(1).around_threads(|body| {
    ///     println!("a thread begins");
    ///     body();
    ///     println!("a thread ends");
    /// });
    /// let green = builder.build()?;
    /// assert_eq!(green.spawner().spawn(async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn around_threads(mut self, around: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) -> Builder {
        self.hooks = self.hooks.around_threads(around);
        self
    }

    /// Makes the stacks of tasks that block fibers instead of threads: a switch takes tens of nanoseconds,
    /// and a blocked task costs a few KiB of memory and nothing else.
    ///
    /// One thing is worse than with threads. Panics are counted for each thread, so a stack that unwinds,
    /// from a panic or because its task was cancelled, cannot be left: a destructor that waits then keeps its
    /// worker. If it waits for something that only this worker can do, such as a task that is blocked on a
    /// fiber of it, neither goes on.
    ///
    /// # Safety
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::green_backend::Green;
    /// use twoply::{Wait, time::sleep};
    ///
    /// // SAFETY: what the tasks run suspends in the middle of nothing that belongs to their thread.
    /// let green = unsafe { Green::builder().workers(1).fibers() }.build()?;
    /// // Each of them blocks its stack, and none of them takes a thread.
    /// let tasks: Vec<_> = (0..100)
    ///     .map(|_| green.spawner().spawn_fn(|| sleep(Duration::from_millis(1)).wait()))
    ///     .collect();
    /// tasks.into_iter().for_each(|task| task.wait().unwrap());
    /// assert!(green.has_fibers() && green.threads().0 < 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc = include_str!("../fiber/SAFETY.md")]
    pub unsafe fn fibers(self) -> Builder {
        // SAFETY: the caller promises what the promise asks for.
        self.fibers_with(unsafe { FiberPromise::new() })
    }

    /// As [`Builder::fibers`], for code that is handed the promise by somebody else.
    pub fn fibers_with(mut self, _promise: FiberPromise) -> Builder {
        self.fibers = true;
        self
    }

    /// Starts a runtime with these settings.
    ///
    /// # Errors
    /// When the operating system refuses a thread, a descriptor, memory or a
    /// [processor](Builder::pin_workers); [`io::ErrorKind::InvalidInput`] when the settings ask for more
    /// threads than [there may be](Builder::max_threads), or for stacks larger than the address space.
    pub fn build(self) -> io::Result<Green> {
        let threads = self.limits.threads.min(process_limit());
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // Some threads are left for what blocks, where there may be few.
        let count = self.workers.unwrap_or_else(|| cores().min(threads / 2).max(1));
        if count >= threads {
            let message = format!(
                "{count} workers and a watchdog need more than the {threads} threads that there may be"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let watchdog_name = format!("{}-watchdog", self.name.as_deref().unwrap_or("twoply"));
        let (shared, workers) = self.prepare(count)?;
        let shared = Arc::new(shared);
        start_workers(&shared, workers)?;
        let watched = Arc::clone(&shared);
        if let Err(error) =
            shared.threads.execute(Some(&watchdog_name), None, move || watchdog::watch(&watched))
        {
            shared.stop();
            return Err(error);
        }
        Ok(Green::new_running(shared))
    }

    /// Makes a runtime of which everything runs on the calling thread; see [`LocalRuntime`].
    ///
    /// The settings of workers and threads mean nothing to it, hooks for threads neither, and it has no
    /// watchdog that would notice long polls.
    ///
    /// # Errors
    /// When the operating system refuses a descriptor or memory.
    ///
    /// # Examples
    /// ```
    /// use twoply::green_backend::Green;
    ///
    /// let runtime = Green::builder().build_local()?;
    /// let here = std::thread::current().id();
    /// let there = runtime.spawner().spawn(async { std::thread::current().id() });
    /// assert_eq!(runtime.block_on(there)?.unwrap(), here);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn build_local(mut self) -> io::Result<LocalRuntime> {
        self.limits.threads = 0;
        let (mut shared, mut workers) = self.prepare(1)?;
        shared.is_local = true;
        shared.pool = BlockingPool::in_place();
        let Some(worker) = workers.pop() else { unreachable!("one worker was asked for") };
        Ok(LocalRuntime::new(Arc::new(shared), worker))
    }

    /// Makes `count` workers, and what they share.
    fn prepare(self, count: usize) -> io::Result<(Shared, Vec<Core>)> {
        asymmetric_fence::prepare();
        let mut remotes = Vec::with_capacity(count);
        let mut workers = Vec::with_capacity(count);
        for index in 0..count {
            let local = Local::new(count > 1);
            let reactor = Reactor::new()?;
            reactor.set_file_engine(self.file_engine)?;
            let mut remote = Remote::new(local.stealer(), reactor);
            remote.name = self.worker_names.as_ref().map(|prefix| format!("{prefix}{index}"));
            remote.timing = self.times_polls.then(Box::default);
            remotes.push(remote);
            workers.push(Core::new(index, local, self.spin_rounds));
        }
        let stacks = match self.fibers {
            true => {
                overflow::install()?;
                Some(StackPool::new(&self.stacks)?)
            }
            false => None,
        };
        let name = self.name.map_or(Cow::Borrowed("twoply-green"), Cow::Owned);
        let io = self
            .io_threads
            .map(|threads| IoThreads::with_hooks(format!("{name}-io"), threads, self.hooks.clone()));
        let threads = ThreadCache::with_hooks(name, self.limits, self.hooks.clone());
        let watch = WatchdogState::new(self.long_poll_limit, self.on_long_poll);
        let mut shared =
            Shared::new(remotes.into(), threads, stacks, watch, self.spin_rounds, carrier::carry, self.hooks);
        shared.pool = BlockingPool::new(shared.threads.clone(), self.offload_limits);
        shared.io = io;
        shared.on_stack_use = self.on_stack_use;
        shared.followed = self.times_polls.then(Followed::new);
        shared.affinity = self.cpus.as_deref().map(Affinity::new).transpose()?;
        Ok((shared, workers))
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            name: None,
            workers: None,
            worker_names: None,
            cpus: None,
            spin_rounds: SPIN_ROUNDS,
            limits: Limits::default(),
            offload_limits: PoolLimits::default(),
            file_engine: Engine::default(),
            fibers: false,
            stacks: StackOptions::default(),
            on_stack_use: None,
            long_poll_limit: LONG_POLL,
            on_long_poll: None,
            times_polls: false,
            io_threads: None,
            hooks: Hooks::new(),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("spin_rounds", &self.spin_rounds)
            .field("limits", &self.limits)
            .field("fibers", &self.fibers)
            .finish_non_exhaustive()
    }
}
