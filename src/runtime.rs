//! One runtime type for every backend: what a program uses that picks its backend when it starts.
//!
//! [`Backend`] is the choice, which can be read from a command line or a configuration file; [`Runtime`] is
//! what comes of it. Only the backends that were compiled in are there. Nothing here knows how a backend
//! works: each method hands over to [`Native`] or [`Green`], which have more settings and can be used
//! directly.
//!
//! # How a runtime ends
//!
//! It is the same on every backend:
//!
//! | the end | tasks that live | tasks started later | threads | the caller |
//! |---|---|---|---|---|
//! | [`Runtime::run`] or [`run`](crate::run) returns | have all ended by themselves | start as before | stay | has waited for them |
//! | [`Runtime::shutdown`] | are cancelled | [`SpawnError::ShutDown`] | end | waits for tasks and threads, until a deadline |
//! | a [`Runtime`], [`Native`] or [`Green`] is dropped | are cancelled | [`SpawnError::ShutDown`] | end after their tasks | goes on at once |
//! | a [`LocalRuntime`] is dropped | are cancelled | [`SpawnError::ShutDown`] | there are none | runs the tasks until they are over |
//! | [`shutdown`](crate::shutdown), of the runtimes of the process | are cancelled on all of them, before any is waited for | [`SpawnError::ShutDown`] | end | waits for tasks and threads, until a deadline |
//! | `main` returns | go no further than they are: nothing of theirs is dropped | | end with the process | |
//!
//! A cancelled task is dropped at its await point, or unwinds from its wait; one that comes to neither goes
//! on until it does. Handles, channels and promises may outlive a runtime: what waits for its tasks is told.
//!
//! [`SpawnError::ShutDown`]: crate::task::SpawnError::ShutDown

mod backend;
mod builder;
mod dump_on_signal;
#[cfg(feature = "metrics")]
mod record;

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

#[cfg(feature = "green")]
use twoply_green::Green;
#[cfg(feature = "native")]
use twoply_native::Native;

pub use twoply_core::hooks::{
    AroundPolls, Histogram, Hooks, HooksAlreadySet, KindTimes, TaskMeta, TaskTimer, TaskTimes, process_hooks,
    set_process_hooks,
};
pub use twoply_core::io_threads::IoMetrics;
pub use twoply_core::threads::{PoolLimits, PoolMetrics};

use crate::actor::Tabling;
use crate::contract::io_threads::IoThreads;
use crate::fs;
use crate::task::{Dumping, TaskKinds};
use crate::{Failure, Spawner, Task};

pub use backend::{Backend, ParseBackendError};
pub use builder::Builder;
pub use dump_on_signal::DumpOnSignal;
pub(crate) use dump_on_signal::to_stderr;
#[cfg(feature = "green")]
pub use twoply_green::LocalRuntime;

/// A runtime of either backend.
///
/// Dropping it cancels its tasks and returns at once; [`Runtime::shutdown`] waits for them. The
/// [module](self) has a table of how a runtime ends.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Backend, Runtime, Wait};
///
/// # fn main() -> std::io::Result<()> {
/// let name = std::env::var("BACKEND").unwrap_or_default();
/// let runtime = Runtime::builder().backend(name.parse().unwrap_or_default()).workers(2).build()?;
/// let sum = runtime.spawn(async { (1..=10).sum::<u32>() });
/// assert_eq!(sum.wait().unwrap(), 55);
/// runtime.shutdown(Duration::from_secs(5))
/// # }
/// ```
#[derive(Debug)]
pub struct Runtime {
    /// The backend that was chosen.
    backend: Backend,
    /// The runtime of that backend.
    engine: Engine,
    /// The clock of its tasks, if the builder was asked for that.
    timer: Option<TaskTimer>,
    /// The thread that dumps its tasks on a signal, if the builder was asked for that.
    _dumps: Option<DumpOnSignal>,
}

/// The backend's own runtime.
#[derive(Debug)]
enum Engine {
    /// A runtime of threads.
    #[cfg(feature = "native")]
    Native(Native),
    /// A runtime of workers.
    #[cfg(feature = "green")]
    Green(Green),
}

/// Runs the same expression on whichever runtime there is.
macro_rules! on_engine {
    ($engine:expr, $runtime:ident => $result:expr) => {
        match $engine {
            #[cfg(feature = "native")]
            Engine::Native($runtime) => $result,
            #[cfg(feature = "green")]
            Engine::Green($runtime) => $result,
        }
    };
}

impl Runtime {
    /// Returns the settings of a new runtime, to be changed and built.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a runtime of `backend` with the usual settings.
    ///
    /// # Errors
    /// As [`Builder::build`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Backend, Runtime, Wait};
    ///
    /// let runtime = Runtime::new(Backend::default())?;
    /// assert_eq!(runtime.backend(), Backend::default());
    /// assert_eq!(runtime.spawn(async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(backend: Backend) -> io::Result<Runtime> {
        Runtime::builder().backend(backend).build()
    }

    /// Returns the backend that its tasks run on.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Returns the spawner of its tasks; clones of that start them on the same runtime.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait};
    ///
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let spawner = runtime.spawner().clone();
    /// let elsewhere = std::thread::spawn(move || spawner.spawn(async { 7 }).wait());
    /// assert_eq!(elsewhere.join().unwrap().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawner(&self) -> &Spawner {
        on_engine!(&self.engine, runtime => runtime.spawner())
    }

    /// Starts `future` as a task. If it cannot be started, the handle says so.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawner().spawn(future)
    }

    /// Starts straight-line code as a task; see [`Runtime::spawn`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Runtime, Wait, time::sleep};
    ///
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let code = || {
    ///     sleep(Duration::from_millis(1)).wait(); // This holds up no other task.
    ///     7
    /// };
    /// assert_eq!(runtime.spawn_fn(code).wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_fn<F, T>(&self, code: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawner().spawn_fn(code)
    }

    /// Runs `main` as a task, and returns its result once it and all other tasks of the runtime are over.
    ///
    /// # Errors
    /// When `main` panicked, was cancelled or could not be started.
    ///
    /// # Examples
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use twoply::{Runtime, future::yield_now, spawn};
    ///
    /// static IS_DONE: AtomicBool = AtomicBool::new(false);
    ///
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let main = || {
    ///     drop(spawn(async { yield_now().await; IS_DONE.store(true, Ordering::Relaxed) }));
    ///     7
    /// };
    /// assert_eq!(runtime.run(main).unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn run<F, T>(&self, main: F) -> Result<T, Failure>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawner().run(main)
    }

    /// Returns a future of all tasks of the runtime, and what each is doing; see
    /// [`task::dump`](crate::task::dump).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait, task};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let named = task::Builder::new().name("idle");
    /// let idle = named.spawn_on(runtime.spawner().backend(), std::future::pending::<()>()).unwrap();
    /// assert!(runtime.dump().wait().task(idle.id()).is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn dump(&self) -> Dumping {
        self.spawner().dump()
    }

    /// Returns a future of all processes of the runtime, with their facts; see
    /// [`actor::process_table`](crate::actor::process_table).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait, actor::{Builder, Process}};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let idle = Builder::new().name("idle").on(runtime.spawner().backend());
    /// let idle = idle.spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
    /// println!("{}", runtime.process_table().wait());
    /// assert!(idle.send(1).wait().is_ok(), "it has noticed nothing");
    /// # Ok(())
    /// # }
    /// ```
    pub fn process_table(&self) -> Tabling {
        self.spawner().process_table()
    }

    /// Returns what every runtime counts. [`Runtime::as_green`] tells more of the workers of one that has
    /// any.
    ///
    /// # Examples
    /// ```
    /// use twoply::Runtime;
    ///
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let _idle = runtime.spawn(std::future::pending::<()>());
    /// assert_eq!(runtime.metrics().tasks, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        let (threads, idle_threads) = on_engine!(&self.engine, runtime => runtime.threads());
        let spawner = self.spawner();
        let (tasks, offloaded) = (spawner.tasks(), spawner.backend().blocking_pool().metrics());
        let io = spawner.backend().io_threads().map(IoThreads::metrics).unwrap_or_default();
        let file_engine = match &self.engine {
            #[cfg(feature = "native")]
            Engine::Native(_) => None,
            #[cfg(feature = "green")]
            Engine::Green(green) => Some(green.file_engine()),
        };
        Metrics {
            tasks: tasks.len(),
            kinds: tasks.kinds(),
            threads,
            idle_threads,
            offloaded,
            io,
            file_engine,
        }
    }

    /// Returns how long the polls of its tasks have taken, and how late they have begun, by the kind of the
    /// task; `None` unless the builder was asked to [measure](Builder::time_tasks) that.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait, future::yield_now};
    ///
    /// let runtime = Runtime::builder().workers(1).time_tasks().build()?;
    /// runtime.spawn(async { yield_now().await }).wait().unwrap();
    /// runtime.spawn_fn(|| 7).wait().unwrap();
    /// // futures: busy for 8.5us; polls: 2, half < 4us, 99 % < 8us, all < 8us; delays of starts: ...
    /// print!("{}", runtime.task_times().expect("it was asked for"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn task_times(&self) -> Option<TaskTimes> {
        self.timer.as_ref().map(TaskTimer::read)
    }

    /// Returns the green runtime behind it, if it is one: for what only that has, such as the counters of its
    /// workers.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Backend, Runtime};
    ///
    /// let runtime = Runtime::builder().backend(Backend::Green).workers(2).build()?;
    /// let green = runtime.as_green().expect("it was asked for");
    /// assert_eq!(green.metrics().workers.len(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "green")]
    pub fn as_green(&self) -> Option<&Green> {
        match &self.engine {
            Engine::Green(green) => Some(green),
            #[cfg(feature = "native")]
            Engine::Native(_) => None,
        }
    }

    /// Cancels all tasks, waits for them and for the threads to end, and lets no task start any more.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when some were left after `deadline`, which they name;
    /// [`io::ErrorKind::Deadlock`] when one of them calls it, and would wait for itself: then nothing has
    /// been done.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Failure, Runtime, Wait};
    ///
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let endless = runtime.spawn(std::future::pending::<()>());
    /// runtime.shutdown(Duration::from_secs(5))?;
    /// assert!(endless.wait().is_err(), "it was cancelled");
    /// assert!(runtime.spawn(async {}).wait().is_err(), "it has not started");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, deadline: Duration) -> io::Result<()> {
        on_engine!(&self.engine, runtime => runtime.shutdown(deadline))
    }
}

#[cfg(feature = "green")]
impl From<Green> for Runtime {
    /// Makes a runtime of a green one, which may have settings that [`Builder`] does not know.
    ///
    /// # Examples
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use twoply::green_backend::Green;
    /// use twoply::{Runtime, Wait};
    ///
    /// static DEEPEST: AtomicUsize = AtomicUsize::new(0);
    ///
    /// let green = Green::builder().workers(1).on_stack_use(|stack| {
    ///     DEEPEST.fetch_max(stack.used, Ordering::Relaxed);
    /// });
    /// // SAFETY: what the tasks run suspends in the middle of nothing that belongs to their thread.
    /// let runtime = Runtime::from(unsafe { green.fibers() }.build()?);
    /// runtime.run(|| std::hint::black_box([1_u8; 50_000]).len()).unwrap();
    /// // It is told when the task is over, which may be after its result is there.
    /// runtime.shutdown(std::time::Duration::from_secs(5))?;
    /// assert!(DEEPEST.load(Ordering::Relaxed) >= 50_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn from(green: Green) -> Runtime {
        let backend = if green.has_fibers() { Backend::Fibers } else { Backend::Green };
        Runtime { backend, engine: Engine::Green(green), timer: None, _dumps: None }
    }
}

#[cfg(feature = "native")]
impl From<Native> for Runtime {
    /// Makes a runtime of a native one, which may have settings that [`Builder`] does not know.
    fn from(native: Native) -> Runtime {
        Runtime { backend: Backend::Native, engine: Engine::Native(native), timer: None, _dumps: None }
    }
}

/// The counts that every runtime has, read one after the other while it goes on. Its text form is a line.
///
/// # Examples
/// ```
/// use twoply::Runtime;
///
/// let runtime = Runtime::builder().workers(1).build()?;
/// // 0 tasks (0 futures, 0 closures, 0 processes, 0 not listed) on 2 threads, 0 of them idle
/// println!("{}", runtime.metrics());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Metrics {
    /// The number of tasks that are not over.
    pub tasks: usize,
    /// The same by kind, as far as tasks are listed.
    pub kinds: TaskKinds,
    /// The number of threads of the runtime, the idle ones included.
    pub threads: usize,
    /// The number of threads that are kept for the next task that needs one.
    pub idle_threads: usize,
    /// The counters of the pool for code that blocks where the stack must not.
    pub offloaded: PoolMetrics,
    /// The counters of the threads on which ports run; where they run on workers, there are none.
    pub io: IoMetrics,
    /// The answer to who makes operations on files that would hold a worker up; `None` where there are no
    /// workers, and each task makes its own.
    pub file_engine: Option<fs::Engine>,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metrics { tasks, kinds, threads, idle_threads, offloaded, .. } = self;
        write!(f, "{tasks} tasks ({kinds}) on {threads} threads, {idle_threads} of them idle")?;
        if offloaded.is_saturated() { write!(f, "; offloaded: {offloaded}") } else { Ok(()) }
    }
}
