//! The native backend of twoply: every task is an OS thread that blocks.
//!
//! A task runs to its end on a thread from a cache; where it must wait, the thread parks. It costs a thread,
//! and in return it may block in anything, and every debugger and profiler understands it.
//!
//! Such a thread waits (on a futex, or in `poll(2)` for descriptors) by the core's thread strand: the same
//! one that serves `main` and every other thread that no backend has started. So this crate is the small
//! rest: which thread, how many, and for how long.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use twoply_core::Wait;
use twoply_core::backend::{Backend, Job, Mode, SpawnError};
use twoply_core::hooks::Hooks;
use twoply_core::io_threads::IoThreads;
use twoply_core::strand;
use twoply_core::task::{Spawner, TaskList};
use twoply_core::threads::{self, Affinity, BlockingPool, Limits, PoolLimits, PoolMetrics, ThreadCache};

/// A native runtime: a cache of threads, and the tasks that run on them.
///
/// A task that reads from a socket as a plain call blocks in the kernel; cancelling it interrupts the call
/// with the signal `SIGURG`, which is unblocked on the threads that tasks block on, though the program may
/// block all signals. A handler of the program's for that signal stays. Where the system denies the signal,
/// such reads wait in `poll(2)` instead.
///
/// Dropping it cancels its tasks and returns at once; the threads end when the tasks have.
/// [`Native::shutdown`] waits for that.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::native_backend::Native;
///
/// let native = Native::builder().max_threads(8).build();
/// let sum = native.spawner().spawn_fn(|| (1..=10).sum::<u32>());
/// assert_eq!(sum.wait().unwrap(), 55);
/// native.shutdown(std::time::Duration::from_secs(5)).unwrap();
/// ```
pub struct Native {
    /// The backend that the runtime's tasks inherit.
    backend: Arc<Threads>,
    /// The spawner of the runtime's tasks.
    spawner: Spawner,
}

/// The state that the tasks of a runtime share.
struct Threads {
    /// A reference to this value itself, for the strands of its tasks.
    this: Weak<Threads>,
    /// The live tasks of the runtime.
    tasks: Arc<TaskList>,
    /// The threads on which tasks run.
    cache: ThreadCache,
    /// The pool for calls that block and must not block the stack that makes them.
    pool: BlockingPool,
    /// The size of the stack of tasks that ask for none, in bytes; `None`: what `std` does.
    stack_size: Option<usize>,
    /// The threads on which ports run.
    io: IoThreads,
}

/// Settings of a [`Native`] runtime.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::Wait;
/// use twoply::native_backend::Native;
///
/// let native = Native::builder().name("images").thread_keep_alive(Duration::ZERO).build();
/// assert_eq!(native.spawner().spawn_fn(|| 7).wait().unwrap(), 7);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    /// The setting of [`Builder::name`].
    name: Option<String>,
    /// Limits of the thread cache.
    limits: Limits,
    /// The setting of [`Builder::offload_limits`].
    offload_limits: PoolLimits,
    /// The setting of [`Builder::stack_size`].
    stack_size: Option<usize>,
    /// The setting of [`Builder::hooks`].
    hooks: Hooks,
    /// The setting of [`Builder::io_server`].
    io_threads: usize,
    /// The setting of [`Builder::pin_threads`].
    affinity: Option<Arc<Affinity>>,
}

impl Builder {
    /// Names the threads of the runtime, as debuggers and `std::thread::current` show them; `twoply-native`
    /// unless set. While a thread runs a task that has a name, the system shows that one.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::native_backend::Native;
    ///
    /// let native = Native::builder().name("images").build();
    /// let name = native.spawner().spawn_fn(|| std::thread::current().name().map(str::to_owned));
    /// assert_eq!(name.wait().unwrap().as_deref(), Some("images"));
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Sets the most threads at a time. Starting a task beyond it fails; it never waits for another to end.
    /// Unless set, and in any case, all runtimes of the process together have at most
    /// [`process_limit`](twoply_core::threads::process_limit).
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::native_backend::Native;
    ///
    /// let native = Native::builder().max_threads(1).build();
    /// let _first = native.spawner().spawn(std::future::pending::<()>());
    /// let second = native.spawner().spawn(async {});
    /// assert!(second.wait().unwrap_err().not_started().is_some(), "the one thread is taken");
    /// ```
    pub fn max_threads(mut self, threads: usize) -> Builder {
        self.limits.threads = threads;
        self
    }

    /// Sets how long an idle thread is kept for the next task; 10 seconds unless set.
    pub fn thread_keep_alive(mut self, idle: Duration) -> Builder {
        self.limits.keep_alive = idle;
        self
    }

    /// Sets the limits of the pool for calls that block while the task must not, because it waits for several
    /// things at once. Code that is [offloaded](twoply_core::offload) does not go there: the thread of a task
    /// may block. The threads of the pool do not count among those of the [runtime](Builder::max_threads).
    ///
    /// # Examples
    /// ```
    /// use twoply::native_backend::Native;
    /// use twoply::runtime::PoolLimits;
    ///
    /// let limits = PoolLimits { threads: 4, ..PoolLimits::default() };
    /// let native = Native::builder().offload_limits(limits).build();
    /// assert_eq!(native.offloaded().running, 0);
    /// ```
    pub fn offload_limits(mut self, limits: PoolLimits) -> Builder {
        self.offload_limits = limits;
        self
    }

    /// Sets the size of the stack of tasks that do not ask for one of their own, in bytes; what `std::thread`
    /// uses unless set.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::native_backend::Native;
    ///
    /// let native = Native::builder().stack_size(16 << 20).build();
    /// let sum = native.spawner().spawn_fn(|| std::hint::black_box([1_u8; 4 << 20])[7]);
    /// assert_eq!(sum.wait().unwrap(), 1);
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Has the runtime call `hooks` on its threads and with its tasks.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::native_backend::Native;
    /// use twoply::runtime::Hooks;
    ///
    /// let hooks = Hooks::new().on_task_end(|task| println!("{:?} is over", task.name));
    /// let native = Native::builder().hooks(hooks).build();
    /// assert_eq!(native.spawner().spawn_fn(|| 7).wait().unwrap(), 7);
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
    /// use twoply::native_backend::Native;
    ///
    /// let builder = Native::builder().around_threads(|body| {
    ///     println!("a thread begins");
    ///     body();
    ///     println!("a thread ends");
    /// });
    /// let native = builder.build();
    /// assert_eq!(native.spawner().spawn(async { 7 }).wait().unwrap(), 7);
    /// ```
    pub fn around_threads(mut self, around: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) -> Builder {
        self.hooks = self.hooks.around_threads(around);
        self
    }

    /// Binds the threads of the runtime to processors, by the numbers that the operating system has for them:
    /// each thread may run on any of these, as the system sees fit, and on no other.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when there is none of them, or no processor of one of these numbers;
    /// [`io::ErrorKind::Unsupported`] where threads cannot be bound; what the operating system says when it
    /// refuses one.
    ///
    /// # Examples
    /// ```
    /// use twoply::Wait;
    /// use twoply::native_backend::Native;
    ///
    /// assert!(Native::builder().pin_threads([usize::MAX]).is_err(), "there is no such processor");
    /// if let Ok(builder) = Native::builder().pin_threads([0, 1]) {
    ///     let native = builder.build();
    ///     assert_eq!(native.spawner().spawn_fn(|| 7).wait().unwrap(), 7);
    /// }
    /// ```
    pub fn pin_threads(mut self, cpus: impl IntoIterator<Item = usize>) -> io::Result<Builder> {
        let cpus: Vec<usize> = cpus.into_iter().collect();
        self.affinity = Some(Arc::new(Affinity::new(&cpus)?));
        Ok(self)
    }

    /// Has the [ports](twoply_core::port) of the runtime's tasks run on so many threads, at least one, which
    /// is what there is unless set. Their names end with `-io-` and a number, and they start when they are
    /// needed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Wait, native_backend::Native, port};
    ///
    /// let native = Native::builder().io_server(1).build();
    /// let ticks = port::timer(Duration::from_millis(1)).on(native.spawner().backend()).start()?;
    /// assert!(ticks.recv().wait()?.item().is_some());
    /// assert_eq!(native.spawner().backend().io_threads().unwrap().metrics().tasks, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn io_server(mut self, threads: usize) -> Builder {
        self.io_threads = threads;
        self
    }

    /// Makes a runtime with these settings. It starts no thread before its first task.
    pub fn build(mut self) -> Native {
        if let Some(affinity) = self.affinity {
            self.hooks = self.hooks.around_threads(move |body| {
                affinity.bind_to_all();
                body();
            });
        }
        let name = self.name.map_or(Cow::Borrowed("twoply-native"), Cow::Owned);
        let io = IoThreads::with_hooks(format!("{name}-io"), self.io_threads, self.hooks.clone());
        let backend = Arc::new_cyclic(|this| Threads {
            this: Weak::clone(this),
            tasks: TaskList::with_hooks(&self.hooks),
            cache: ThreadCache::with_hooks(name, self.limits, self.hooks),
            pool: BlockingPool::new(threads::shared(), self.offload_limits),
            stack_size: self.stack_size,
            io,
        });
        let spawner = Spawner::new(Arc::clone(&backend) as Arc<dyn Backend>);
        Native { backend, spawner }
    }
}

impl Native {
    /// Returns the usual settings, to be changed and built.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Makes a runtime with the usual settings.
    pub fn new() -> Native {
        Native::builder().build()
    }

    /// Returns the spawner of this runtime's tasks.
    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Returns how many threads there are, and how many of them are idle.
    ///
    /// # Examples
    /// ```
    /// use twoply::native_backend::Native;
    ///
    /// let native = Native::new();
    /// assert_eq!(native.threads(), (0, 0));
    /// let _task = native.spawner().spawn(std::future::pending::<()>());
    /// assert_eq!(native.threads(), (1, 0));
    /// ```
    pub fn threads(&self) -> (usize, usize) {
        self.backend.cache.threads()
    }

    /// Returns the counters of the [pool](Builder::offload_limits) for calls that block.
    pub fn offloaded(&self) -> PoolMetrics {
        self.backend.pool.metrics()
    }

    /// Cancels all tasks, waits for them and for their threads to end, and lets none start any more.
    ///
    /// # Errors
    /// [`io::ErrorKind::Deadlock`] when a task of the runtime's own calls it, which would wait for itself:
    /// nothing has been done then.
    ///
    /// [`io::ErrorKind::TimedOut`] when some tasks, or only threads, were left after `deadline`; they go on,
    /// and end when they can. A task that never waits, or that blocks in something that is not this
    /// library's, cannot be stopped.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::Wait;
    /// use twoply::native_backend::Native;
    ///
    /// let native = Native::new();
    /// let endless = native.spawner().spawn(std::future::pending::<()>());
    /// native.shutdown(Duration::from_secs(5))?;
    /// assert!(endless.wait().is_err(), "it was cancelled");
    /// assert_eq!(native.threads(), (0, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, deadline: Duration) -> io::Result<()> {
        let until = Instant::now().checked_add(deadline);
        let tasks = &self.backend.tasks;
        tasks.refuse_caller()?;
        tasks.close();
        let _ = twoply_core::time::timeout(deadline, tasks.wait_empty()).wait();
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
        self.backend.cache.close();
        self.backend.cache.join(until);
        let io = &self.backend.io;
        io.close();
        let left = until.saturating_duration_since(Instant::now());
        let _ = twoply_core::time::timeout(left, io.wait_empty()).wait();
        twoply_core::backend::at_end(Some(until));
        tasks.ended(self.threads().0)?;
        io.ended()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // In the child of a fork, a thread that stayed behind may have held the locks.
        if !self.backend.cache.is_forked() {
            self.backend.tasks.close();
            self.backend.cache.close();
            self.backend.io.close();
        }
    }
}

impl Default for Native {
    fn default() -> Native {
        Native::new()
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, idle) = self.threads();
        f.debug_struct("Native").field("threads", &threads).field("idle", &idle).finish_non_exhaustive()
    }
}

impl Backend for Threads {
    fn name(&self) -> &'static str {
        "native"
    }

    fn mode(&self) -> Mode {
        Mode::Blocking
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.tasks
    }

    fn blocking_pool(&self) -> BlockingPool {
        self.pool.clone()
    }

    fn io_threads(&self) -> Option<&IoThreads> {
        Some(&self.io)
    }

    fn start(&self, job: Job) -> Result<(), SpawnError> {
        if self.cache.is_forked() {
            return Err(SpawnError::Forked);
        }
        let Some(this) = self.this.upgrade() else { return Err(SpawnError::ShutDown) };
        let this: Arc<dyn Backend> = this;
        let name = job.name().map(str::to_owned);
        let stack_size = job.stack_size().or(self.stack_size);
        let run = move || strand::on_thread(&this, || job.run());
        self.cache.execute(name.as_deref(), stack_size, run).map_err(SpawnError::from)
    }

    fn resume(&self, job: Job, _yielded: bool) {
        debug_assert!(false, "a blocking job is run to its end at once");
        drop(job);
    }
}
