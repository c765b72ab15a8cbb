//! The settings of a runtime, each handed over to the backend that was chosen.

use std::io;
use std::sync::Arc;

#[cfg(feature = "green")]
use twoply_green::{FiberPromise, Green, LocalRuntime};
#[cfg(feature = "native")]
use twoply_native::Native;

use super::dump_on_signal::{DumpOnSignal, Handler};
use super::{Backend, Engine, Hooks, PoolLimits, Runtime, TaskTimer};
use crate::fs;
use crate::signal::SignalKind;
use crate::task::Dump;

/// The settings of a [`Runtime`]. They have their meaning on every backend, so that a program may change its
/// backend and nothing else; the few that are about workers say for themselves what becomes of them where
/// there are none.
///
/// # Examples
/// ```
/// use twoply::{Backend, Runtime, Wait};
///
/// for &backend in Backend::ALL.iter().filter(|backend| backend.name() != "fibers") {
///     let runtime = Runtime::builder().backend(backend).name("web").workers(1).build()?;
///     let name = runtime.spawn(async { std::thread::current().name().map(str::to_owned) });
///     assert_eq!(name.wait().unwrap().as_deref(), Some("web"));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "settings start nothing until they are built"]
pub struct Builder {
    /// The setting of [`Builder::backend`].
    backend: Backend,
    /// The setting of [`Builder::name`].
    name: Option<String>,
    /// The setting of [`Builder::workers`].
    workers: Option<usize>,
    /// The setting of [`Builder::worker_names`].
    worker_names: Option<String>,
    /// The setting of [`Builder::pin_workers`].
    cpus: Option<Vec<usize>>,
    /// The setting of [`Builder::time_polls`].
    times_polls: bool,
    /// The setting of [`Builder::time_tasks`].
    times_tasks: bool,
    /// The setting of [`Builder::max_threads`].
    max_threads: Option<usize>,
    /// The setting of [`Builder::offload_limits`].
    offload_limits: PoolLimits,
    /// The setting of [`Builder::file_engine`].
    file_engine: fs::Engine,
    /// The setting of [`Builder::stack_size`].
    stack_size: Option<usize>,
    /// The setting of [`Builder::io_server`].
    io_threads: Option<usize>,
    /// The setting of [`Builder::hooks`].
    hooks: Hooks,
    /// The setting of [`Builder::dump_on_signal`].
    dumps: Option<(SignalKind, Handler)>,
    /// The setting of [`Builder::tokio`].
    #[cfg(feature = "tokio")]
    tokio: bool,
    /// The setting of [`Builder::fibers`].
    #[cfg(feature = "green")]
    promise: Option<FiberPromise>,
}

impl Builder {
    /// Chooses the backend of the tasks; [`Backend::default`] unless set.
    pub fn backend(mut self, backend: Backend) -> Builder {
        self.backend = backend;
        self
    }

    /// Names the threads of the runtime, as debuggers and `std::thread::current` show them; after the backend
    /// unless set.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Sets how many workers green tasks have; as many as the machine has cores unless set. Native tasks need
    /// none: each has a thread, of which there may be [so many](Builder::max_threads).
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers);
        self
    }

    /// Has a thread that carries a green worker show the name `prefix` with the number of the worker, to the
    /// operating system. A native thread carries none: it shows the name of its task, or else
    /// [its own](Builder::name).
    pub fn worker_names(mut self, prefix: impl Into<String>) -> Builder {
        self.worker_names = Some(prefix.into());
        self
    }

    /// Has tasks run on these processors, by the numbers that the operating system has for them. Green
    /// workers are bound to one of them each, in turns; a native task runs on any of them, as the system sees
    /// fit.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Backend, Runtime};
    ///
    /// for &backend in Backend::ALL.iter().filter(|backend| backend.name() != "fibers") {
    ///     let refused = Runtime::builder().backend(backend).pin_workers([usize::MAX]).build();
    ///     assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    /// }
    /// ```
    pub fn pin_workers(mut self, cpus: impl IntoIterator<Item = usize>) -> Builder {
        self.cpus = Some(cpus.into_iter().collect());
        self
    }

    /// Has green workers measure how long polls take and how late they are, which costs some 0.1 us a poll:
    /// [`WorkerMetrics::times`](crate::green_backend::WorkerMetrics::times), which [`Runtime::as_green`]
    /// leads to. What native tasks can tell, which have no workers, is measured by
    /// [`time_tasks`](Builder::time_tasks), on every backend.
    pub fn time_polls(mut self) -> Builder {
        self.times_polls = true;
        self
    }

    /// Has the runtime measure how long polls of tasks take, and how long after its start each task begins,
    /// by the kinds of tasks: [`Runtime::task_times`]. It costs some 0.3 us a poll, and twice as much a task;
    /// a runtime that does not measure pays nothing. One that is [local](Builder::build_local) takes a
    /// [`TaskTimer`] with its [hooks](Hooks::time_tasks).
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait};
    ///
    /// let runtime = Runtime::builder().workers(1).time_tasks().build()?;
    /// runtime.spawn_fn(|| 7).wait().unwrap();
    /// let closures = runtime.task_times().expect("it was asked for").closures;
    /// println!("{} have begun, after {}", closures.start_delays.count(), closures.start_delays);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn time_tasks(mut self) -> Builder {
        self.times_tasks = true;
        self
    }

    /// Sets the most threads at a time; see the setting of this name of the backend's own builder.
    pub fn max_threads(mut self, threads: usize) -> Builder {
        self.max_threads = Some(threads);
        self
    }

    /// Sets the limits of the pool for code that blocks where the stack must not, such as what is
    /// [offloaded](crate::offload()) from fibers; see the setting of this name of the backend's own builder.
    ///
    /// # Examples
    /// ```
    /// use twoply::runtime::PoolLimits;
    /// use twoply::{Runtime, Wait, offload};
    ///
    /// let limits = PoolLimits { threads: 4, ..PoolLimits::default() };
    /// let runtime = Runtime::builder().workers(1).offload_limits(limits).build()?;
    /// let root = runtime.spawn_fn(|| offload(|| std::fs::metadata("/")).unwrap());
    /// assert!(root.wait().unwrap()?.is_dir());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn offload_limits(mut self, limits: PoolLimits) -> Builder {
        self.offload_limits = limits;
        self
    }

    /// Sets who reads from files and writes to them where a green worker would have to wait for the device. A
    /// native task does so itself.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, fs::Engine};
    ///
    /// let runtime = Runtime::builder().workers(1).file_engine(Engine::Pool).build()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn file_engine(mut self, engine: fs::Engine) -> Builder {
        self.file_engine = engine;
        self
    }

    /// Sets the stack of a fiber, 256 KiB unless set, or of the thread of a native task, in bytes. How much
    /// of it each task uses on a fiber is told by the handler of
    /// [`on_stack_use`](crate::green_backend::Builder::on_stack_use), a setting of the backend's own builder,
    /// whose runtimes are made [`Runtime`]s by `from`.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Has the [ports](crate::port) of the runtime's tasks run on so many threads that do nothing else, at
    /// least one. Unless set, those of green tasks run on the workers, and those of native tasks on one
    /// thread of the runtime.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Runtime, Wait, port};
    ///
    /// let runtime = Runtime::builder().workers(1).io_server(1).build()?;
    /// let ticks = port::timer(Duration::from_millis(1)).on(runtime.spawner().backend()).start()?;
    /// assert!(ticks.recv().wait()?.item().is_some());
    /// let io = runtime.metrics().io;
    /// println!("{} wake-ups, and {} that were saved", io.reactors.notifies, io.reactors.saved_notifies);
    /// assert_eq!((io.threads, io.tasks), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn io_server(mut self, threads: usize) -> Builder {
        self.io_threads = Some(threads);
        self
    }

    /// Has the runtime call `hooks` as its threads and tasks come and go.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait, channel, runtime::Hooks};
    ///
    /// let (tell, started) = channel::unbounded();
    /// let hooks = Hooks::new().on_task_spawn(move |task| drop(tell.try_send(task.id)));
    /// let runtime = Runtime::builder().workers(1).hooks(hooks).build()?;
    /// let task = runtime.spawn(async {});
    /// assert_eq!(started.recv().wait().unwrap(), task.id());
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
    /// use twoply::Runtime;
    ///
    /// let builder = Runtime::builder().around_threads(|body| {
    ///     println!("a thread begins");
    ///     body();
    ///     println!("a thread ends");
    /// });
    /// let runtime = builder.build()?;
    /// assert_eq!(runtime.spawn(async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn around_threads(mut self, around: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) -> Builder {
        self.hooks = self.hooks.around_threads(around);
        self
    }

    /// Has every thread of the runtime enter the tokio runtime of [`tokio::handle`](crate::tokio::handle) as
    /// it starts: what runs on the runtime then finds tokio's timers, sockets and `spawn`, as do the tasks
    /// that libraries start in their own ways. It costs nothing a poll.
    ///
    /// [`Builder::build`] fails where that runtime cannot be started.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Runtime, Wait};
    ///
    /// let runtime = Runtime::builder().tokio().build()?;
    /// let task = runtime.spawn(async { twoply::tokio::handle().is_ok() });
    /// assert!(task.wait().unwrap());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "tokio")]
    pub fn tokio(mut self) -> Builder {
        self.tokio = true;
        self
    }

    /// Has each task and each process of the runtime run in a span of its own; see
    /// [`twoply::tracing`](crate::tracing). It is added to the [hooks](Builder::hooks) that have been set so
    /// far.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait};
    ///
    /// let runtime = Runtime::builder().tracing().build()?;
    /// assert_eq!(runtime.spawn(async { 7 }).wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "tracing")]
    pub fn tracing(mut self) -> Builder {
        self.hooks = twoply_tracing::spans(self.hooks);
        self
    }

    /// Writes a [dump](Runtime::dump) of the runtime's tasks to standard error whenever the process gets a
    /// signal of `kind`, as long as the runtime is not dropped; see [`DumpOnSignal`].
    ///
    /// # Examples
    /// ```
    /// use twoply::Runtime;
    /// use twoply::signal::SignalKind;
    ///
    /// // From a terminal: Ctrl-\ shows what the program waits for.
    /// let runtime = Runtime::builder().workers(1).dump_on_signal(SignalKind::QUIT).build()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn dump_on_signal(self, kind: SignalKind) -> Builder {
        self.dump_on_signal_with(kind, super::to_stderr)
    }

    /// As [`Builder::dump_on_signal`], but hands the dump to `handler`, on a thread of its own.
    ///
    /// # Examples
    /// ```
    /// use twoply::{Runtime, Wait, channel, signal::SignalKind};
    ///
    /// let (tell, dumps) = channel::unbounded();
    /// let handler = move |dump: &twoply::task::Dump| drop(tell.try_send(dump.to_string()));
    /// let builder = Runtime::builder().workers(1).dump_on_signal_with(SignalKind::USER2, handler);
    /// let _runtime = builder.build()?;
    /// std::process::Command::new("kill").args(["-USR2", &std::process::id().to_string()]).status()?;
    /// println!("{}", dumps.recv().wait().unwrap());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn dump_on_signal_with(
        mut self,
        kind: SignalKind,
        handler: impl Fn(&Dump) + Send + Sync + 'static,
    ) -> Builder {
        self.dumps = Some((kind, Handler(Arc::new(handler))));
        self
    }

    /// Hands over the promise without which [`Backend::Fibers`] is not built. Other backends do not use it.
    ///
    /// # Examples
    /// ```
    /// use std::io::ErrorKind;
    /// use twoply::{Backend, Runtime, Wait, green_backend::FiberPromise};
    ///
    /// let builder = || Runtime::builder().backend(Backend::Fibers).workers(1);
    /// assert_eq!(builder().build().unwrap_err().kind(), ErrorKind::InvalidInput);
    /// // SAFETY: no task of this program waits while a crate that it calls relies on the discipline of its stack.
    /// let runtime = builder().fibers(unsafe { FiberPromise::new() }).build()?;
    /// assert_eq!(runtime.spawn_fn(|| 7).wait().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "green")]
    pub fn fibers(mut self, promise: FiberPromise) -> Builder {
        self.promise = Some(promise);
        self
    }

    /// Starts a runtime with these settings.
    ///
    /// # Errors
    /// When the operating system refuses a thread, a descriptor, memory or a processor.
    /// [`io::ErrorKind::InvalidInput`] for a signal that cannot be listened to, for [`Backend::Fibers`]
    /// without the promise, and for a processor that there is not.
    pub fn build(mut self) -> io::Result<Runtime> {
        #[cfg(feature = "tokio")]
        if std::mem::take(&mut self.tokio) {
            twoply_tokio::handle()?;
            self.hooks = self.hooks.around_threads(twoply_tokio::enter);
        }
        let timer = self.times_tasks.then(TaskTimer::new);
        if let Some(timer) = &timer {
            self.hooks = self.hooks.time_tasks(timer);
        }
        let engine = match self.backend {
            #[cfg(feature = "native")]
            Backend::Native => Engine::Native(self.native()?),
            #[cfg(feature = "green")]
            Backend::Green => Engine::Green(self.green().build()?),
            #[cfg(feature = "green")]
            Backend::Fibers => match self.promise {
                Some(promise) => Engine::Green(self.green().fibers_with(promise).build()?),
                None => return Err(io::Error::new(io::ErrorKind::InvalidInput, NO_PROMISE)),
            },
        };
        let mut runtime = Runtime { backend: self.backend, engine, timer, _dumps: None };
        if let Some((kind, Handler(handler))) = self.dumps {
            let spawner = runtime.spawner().clone();
            runtime._dumps = Some(DumpOnSignal::new(kind, [spawner], move |dump| handler(dump))?);
        }
        Ok(runtime)
    }

    /// Makes a runtime of which everything runs on the calling thread, and which has no other; see
    /// [`LocalRuntime`]. On [`Backend::Fibers`] its tasks may block in straight-line code. It has one worker,
    /// on a thread that is the caller's own: what is set about workers and threads is not for it.
    ///
    /// # Errors
    /// When the operating system refuses a descriptor or memory. [`io::ErrorKind::InvalidInput`] for
    /// [`Backend::Fibers`] without the promise, and for a backend on which each task is a thread.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use twoply::{Runtime, time};
    ///
    /// let runtime = Runtime::builder().build_local()?;
    /// let nap = runtime.spawn(time::sleep(Duration::from_millis(1)));
    /// runtime.block_on(nap)?.unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "green")]
    pub fn build_local(self) -> io::Result<LocalRuntime> {
        match self.backend {
            #[cfg(feature = "native")]
            Backend::Native => Err(io::Error::new(io::ErrorKind::InvalidInput, NOT_LOCAL)),
            Backend::Green => self.green().build_local(),
            Backend::Fibers => match self.promise {
                Some(promise) => self.green().fibers_with(promise).build_local(),
                None => Err(io::Error::new(io::ErrorKind::InvalidInput, NO_PROMISE)),
            },
        }
    }

    /// Makes a native runtime.
    #[cfg(feature = "native")]
    fn native(&self) -> io::Result<Native> {
        let mut builder =
            Native::builder().hooks(self.hooks.clone()).offload_limits(self.offload_limits.clone());
        if let Some(threads) = self.io_threads {
            builder = builder.io_server(threads);
        }
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        if let Some(threads) = self.max_threads {
            builder = builder.max_threads(threads);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        if let Some(cpus) = &self.cpus {
            builder = builder.pin_threads(cpus.iter().copied())?;
        }
        Ok(builder.build())
    }

    /// Returns the settings of a green runtime.
    #[cfg(feature = "green")]
    fn green(&self) -> twoply_green::Builder {
        let mut builder = Green::builder()
            .hooks(self.hooks.clone())
            .offload_limits(self.offload_limits.clone())
            .file_engine(self.file_engine);
        if let Some(threads) = self.io_threads {
            builder = builder.io_server(threads);
        }
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        if let Some(workers) = self.workers {
            builder = builder.workers(workers);
        }
        if self.times_polls {
            builder = builder.time_polls();
        }
        if let Some(prefix) = &self.worker_names {
            builder = builder.worker_names(prefix);
        }
        if let Some(cpus) = &self.cpus {
            builder = builder.pin_workers(cpus.iter().copied());
        }
        if let Some(threads) = self.max_threads {
            builder = builder.max_threads(threads);
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder
    }
}

/// The error of building fibers that nobody promised anything for.
#[cfg(feature = "green")]
const NO_PROMISE: &str =
    "fibers ask for a promise about the program: make a `FiberPromise` and hand it to `fibers`";

/// The error of building a runtime of one thread on a backend that starts one for each task.
#[cfg(all(feature = "green", feature = "native"))]
const NOT_LOCAL: &str =
    "each task of the backend `native` is a thread: a local runtime needs `green` or `fibers`";
