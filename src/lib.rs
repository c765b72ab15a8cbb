//! Concurrency that is written once and runs two ways: on OS threads, or on green tasks that share a few of
//! them.
//!
// The program of the README uses both backends, and is tested as part of this documentation.
#![cfg_attr(all(feature = "native", feature = "green"), doc = include_str!("../README.md"))]
// The documentation tells of both backends. Built with one of them, it lacks what some links go to.
#![cfg_attr(not(all(feature = "native", feature = "green")), allow(rustdoc::broken_intra_doc_links))]
#![forbid(unsafe_code)]

#[cfg(not(any(feature = "native", feature = "green")))]
compile_error!(
    "twoply has no backend to run on: enable the feature `native` (OS threads), `green` (green tasks) or both"
);

pub mod coming_from;
pub mod runtime;

use std::time::{Duration, Instant};

use twoply_core::fork::PerProcess;

pub use runtime::{Backend, Runtime};

pub use twoply_core::{
    Wait, actor, channel, fs, future, io, net, offload, offload_named, port, process, promise, reactor,
    select, signal, stream, sync, task, task_local, time,
};

#[cfg(feature = "macros")]
pub use twoply_macros::{actor, main, test};

#[cfg(feature = "node")]
#[doc(inline)]
pub use twoply_node as node;

pub use twoply_core::promise::Failure;
pub use twoply_core::task::{Spawner, Task, set_default, spawn, spawn_fn, spawn_pinned};

/// The parts that backends, event loops and other runtimes build on: the contract between the core and a
/// backend, and the parts of the core that it is made of. A program that only starts tasks, waits and talks
/// needs nothing of it.
///
/// [`contract::backend`] tells how a backend is written. [`reactor`], which is useful on its own, stands
/// beside this module.
///
/// # Examples
/// Any thread may be the stack that waits; here one waits for a word from another:
/// ```
/// use std::future::{Future, poll_fn};
/// use std::task::Poll;
/// use twoply::{Wait, contract::strand};
///
/// // Each stack has a strand, which knows whether it may block in the kernel.
/// assert!(strand::with_current(|strand| strand.may_block()));
/// assert_eq!(poll_fn(|_| Poll::Ready(7)).wait(), 7);
/// ```
pub mod contract {
    pub use twoply_core::{backend, coop, fork, io_threads, parker, strand, threads, timers, world};
}

/// The native runtime: every task is an OS thread.
#[cfg(feature = "native")]
#[doc(inline)]
pub use twoply_native as native_backend;

/// The green runtime: many tasks on a few workers.
#[cfg(feature = "green")]
#[doc(inline)]
pub use twoply_green as green_backend;

/// The traits of [futures](https://docs.rs/futures) on this library's streams and channels.
#[cfg(feature = "futures")]
#[doc(inline)]
pub use twoply_futures as futures;

/// [hyper](https://docs.rs/hyper) on this library's tasks, sockets and timers.
#[cfg(feature = "hyper")]
#[doc(inline)]
pub use twoply_hyper as hyper;

/// A green runtime inside of an event loop of [calloop](https://docs.rs/calloop)'s.
#[cfg(feature = "calloop")]
#[doc(inline)]
pub use twoply_glue::calloop;

/// Connections of the crate [redis](https://docs.rs/redis) that block, over streams of this library.
#[cfg(feature = "redis")]
#[doc(inline)]
pub use twoply_glue::redis;

/// Sockets of [ZeroMQ](https://docs.rs/zmq) whose operations are futures.
#[cfg(feature = "zmq")]
#[doc(inline)]
pub use twoply_glue::zmq;

/// Libraries that want [tokio](https://docs.rs/tokio), on this library's tasks.
#[cfg(feature = "tokio")]
#[doc(inline)]
pub use twoply_tokio as tokio;

/// The spans of [tracing](https://docs.rs/tracing) that follow tasks and processes.
#[cfg(feature = "tracing")]
#[doc(inline)]
pub use twoply_tracing as tracing;

/// Returns what starts tasks as OS threads, on the native runtime of this process, which is made when this is
/// first called. The child of a fork makes its own.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let home = twoply::native().spawn_fn(|| std::thread::current().id()).wait().unwrap();
/// assert_ne!(home, std::thread::current().id());
/// ```
#[cfg(feature = "native")]
pub fn native() -> Spawner {
    spawner_of(&NATIVE, Backend::Native).unwrap_or_else(|error| panic!("{COULD_NOT_START}: {error}"))
}

/// Returns what starts green tasks, on the green runtime of this process, which is made when this is first
/// called: a worker for each core, and threads for what blocks. The child of a fork makes its own.
/// [`Runtime::builder`] and [`green_backend::Green::builder`] make others.
///
/// # Panics
/// When the runtime cannot be made, because the operating system refuses a thread or a descriptor.
/// [`runtime::Builder::build`] returns that as an error.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let answer = twoply::green().spawn(async { 6 * 7 });
/// assert_eq!(answer.wait().unwrap(), 42);
/// ```
#[cfg(feature = "green")]
pub fn green() -> Spawner {
    try_green().unwrap_or_else(|error| panic!("{COULD_NOT_START}: {error}"))
}

/// The message for where a runtime of the process cannot be made and the caller has no way to hear of it.
const COULD_NOT_START: &str = "a runtime could not be started";

/// Returns the spawner of the green runtime of this process, which is made when this is first called, or
/// called again after an error.
#[cfg(feature = "green")]
fn try_green() -> std::io::Result<Spawner> {
    spawner_of(&GREEN, Backend::Green)
}

/// The native runtime of this process.
#[cfg(feature = "native")]
static NATIVE: PerProcess<Runtime> = PerProcess::new();

/// The green runtime of this process.
#[cfg(feature = "green")]
static GREEN: PerProcess<Runtime> = PerProcess::new();

/// Returns the spawner of a runtime of which each process has one, and makes that if need be.
fn spawner_of(runtime: &'static PerProcess<Runtime>, backend: Backend) -> std::io::Result<Spawner> {
    let make = || Runtime::builder().backend(backend).hooks(runtime::process_hooks()).build();
    runtime.get_or_try_init(make).map(|runtime| runtime.spawner().clone())
}

/// Returns the spawner of the default backend, which is that of [`green`], or else of [`native`].
fn usual_spawner() -> std::io::Result<Spawner> {
    #[cfg(feature = "green")]
    return try_green();
    #[cfg(all(feature = "native", not(feature = "green")))]
    return Ok(native());
}

twoply_core::register_default_backend!(usual_spawner);

/// Returns the spawner of the backend of the calling task, or of the default one outside of any task; see
/// [`set_default`].
///
/// # Panics
/// Outside of any task, when the default backend cannot be made, because the operating system refuses a
/// thread or a descriptor. [`Spawner::current`] returns that as an error.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// // A task starts others beside it, on whatever it runs itself.
/// let backend = twoply::spawner().backend().name();
/// let task = twoply::spawn_fn(|| twoply::spawner().backend().name());
/// assert_eq!(task.wait().unwrap(), backend);
/// ```
pub fn spawner() -> Spawner {
    // This is for systems where nothing runs before `main`.
    task::register_default(usual_spawner);
    match Spawner::current() {
        Ok(spawner) => spawner,
        Err(error) => panic!("the default backend could not be started: {error}"),
    }
}

/// Returns a future of all tasks on the runtimes of this process, [`green`] and [`native`], and what each is
/// doing; [`task::dump`] says more. [`Runtime::dump`] is that of another runtime.
///
/// # Examples
/// ```
/// use twoply::{Wait, task::TaskState};
///
/// let (tx, rx) = twoply::channel::bounded::<u32>(1);
/// let waiting = twoply::spawn_fn(move || rx.recv().wait());
/// let dump = loop {
///     let dump = twoply::dump().wait();
///     if dump.tasks().iter().any(|task| task.state == TaskState::Waiting) {
///         break dump;
///     }
/// };
/// // 1 tasks: 0 running, 0 queued, 1 waiting, 0 not listed
/// // task #1, green closure: waiting on a stack
/// //     for a message of channel 0x7f3a1c0012d0
/// println!("{dump}");
/// drop(tx);
/// # waiting.wait().unwrap().unwrap_err();
/// ```
pub fn dump() -> task::Dumping {
    task::dump(made_spawners())
}

/// Returns a future of all processes on the runtimes of this program, [`green`] and [`native`], with their
/// facts; [`actor::process_table`] says more. [`Runtime::process_table`] is that of another runtime.
///
/// # Examples
/// ```
/// use twoply::{Wait, actor::{self, Process}};
///
/// let clerk = actor::spawn(async |mut me: Process<u8>| drop(me.receive().await))?;
/// println!("{}", twoply::process_table().wait());
/// clerk.send(1).wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn process_table() -> actor::Tabling {
    actor::process_table(made_spawners())
}

/// Returns the spawners of the runtimes of this process that have been made.
fn made_spawners() -> impl Iterator<Item = Spawner> {
    let made = PROCESS_RUNTIMES.iter().filter_map(|(_, runtime)| runtime.get());
    made.map(|runtime| runtime.spawner().clone())
}

/// Writes a [`dump`] of the runtimes of this process to standard error whenever the process gets a signal of
/// `kind`, from now on; see [`runtime::DumpOnSignal`]. The child of a fork has to ask for it anew.
///
/// # Errors
/// As [`runtime::DumpOnSignal::new`].
///
/// # Examples
/// ```
/// use twoply::signal::SignalKind;
///
/// // From a terminal: Ctrl-\ shows what the program waits for, and it goes on.
/// twoply::dump_on_signal(SignalKind::QUIT)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn dump_on_signal(kind: signal::SignalKind) -> std::io::Result<()> {
    let dumps = runtime::DumpOnSignal::start(kind, dump, runtime::to_stderr)?;
    // For as long as the process lives.
    std::mem::forget(dumps);
    Ok(())
}

/// The runtimes of this process, whether they have been made or not.
const PROCESS_RUNTIMES: &[(Backend, &PerProcess<Runtime>)] = &[
    #[cfg(feature = "green")]
    (Backend::Green, &GREEN),
    #[cfg(feature = "native")]
    (Backend::Native, &NATIVE),
];

/// Ends the runtimes of this process, [`green`] and [`native`]: cancels all of their tasks, waits for these
/// and for the threads to end, and lets no task start any more. For the end of `main`, after which nothing of
/// a task would run, not even its destructors.
///
/// A task that is started on one of them later fails with
/// [`SpawnError::ShutDown`](task::SpawnError::ShutDown), also where the runtime has not been used before.
/// Tasks of both are cancelled before any is waited for, so that they may wait for each other as they end.
/// Other runtimes are not concerned, and the child of a fork has runtimes of its own.
///
/// # Order
/// All tasks are cancelled at a time, in no order; a program in which one part has to end before another
/// [stops](actor::supervisor::SupervisorRef::stop) its supervisors, or closes its ports and waits for their
/// ends, and then calls this.
/// It is the same for a runtime of one's own ([`Runtime::shutdown`]):
///
/// | what is in flight | what becomes of it |
/// |---|---|
/// | a new task, also one of a destructor | is refused |
/// | a task that waits | is dropped at its await point, or unwinds from its wait; its destructors run, and may wait |
/// | a task that runs | ends at its next await point or wait |
/// | a read, an accept, a connect | takes nothing: what comes is there for whoever has the socket then |
/// | a write | what the system has taken is sent, before the end of the connection; the rest is not |
/// | an operation on a [file](fs) | goes on to its end without its task; what was written before it stays |
/// | a socket, a listener | is closed with its last owner; one with an owner elsewhere goes on with another driver |
/// | bytes in a [`BufWriter`](io::BufWriter) | are lost, unless it was flushed |
/// | bytes that the [standard streams](io) have accepted | are written, until the deadline |
/// | a [port], also one that has been told to [close](port::PortRef::close) | its process ends, and its connection; what it has not written is lost: one that has [ended](port::PortRef::ended) has written all |
/// | messages in a channel | stay for receivers elsewhere; one that waits for room has not been sent |
/// | a sleep, an interval, a time limit | does not fire |
/// | a process | ends with [`Shutdown`](actor::ExitReason::Shutdown): its names are free, then links and monitors are told, then messages and timers for it are undelivered |
/// | a timer for a process elsewhere | goes on |
/// | a child process | goes on and leaves no zombie, or is killed with its handle ([`kill_on_drop`](process::Command::kill_on_drop)) |
/// | code that is offloaded, a call that blocks in the system | is waited for until the deadline, and comes to its end after it |
///
/// # Errors
/// [`std::io::ErrorKind::TimedOut`] when some tasks or threads were left after `deadline`: the first of them
/// are named, and all go on and end when they can. [`std::io::ErrorKind::Deadlock`] when a task of one of
/// these runtimes calls it, which would wait for itself; then nothing has been done.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twoply::{Wait, spawn};
///
/// fn main() -> std::io::Result<()> {
///     spawn(async { println!("begun") }).wait().unwrap();
///     let server = spawn(std::future::pending::<()>());
///     twoply::shutdown(Duration::from_secs(5))?;
///     assert!(server.wait().unwrap_err().is_cancelled());
///     assert!(spawn(async {}).wait().unwrap_err().not_started().is_some());
///     Ok(())
/// }
/// ```
pub fn shutdown(deadline: Duration) -> std::io::Result<()> {
    let until = Instant::now().checked_add(deadline);
    let made = || PROCESS_RUNTIMES.iter().filter_map(|(_, runtime)| runtime.get());
    made().try_for_each(|runtime| runtime.spawner().tasks().refuse_caller())?;
    made().for_each(|runtime| runtime.spawner().tasks().close());
    let ended = PROCESS_RUNTIMES.iter().map(|(backend, runtime)| {
        // One that has not been made is made to be closed: whoever makes it at this moment is waited for.
        let made = runtime.get_or_try_init(|| Runtime::builder().backend(*backend).workers(1).build())?;
        made.shutdown(until.map_or(deadline, |until| until.saturating_duration_since(Instant::now())))
    });
    ended.fold(Ok(()), Result::and)
}

/// Runs `main` as a task of the default backend, and returns its result once it and all other tasks of that
/// backend are over.
///
/// # Errors
/// When `main` panicked, was cancelled or could not be started. Called by a task of that backend it is
/// [`Failure::Deadlock`], and `main` is not run: that task would wait for its own end.
///
/// # Examples
/// ```
/// use twoply::{Wait, channel, spawn};
///
/// let sum = twoply::run(|| {
///     let (numbers, received) = channel::unbounded();
///     spawn(async move { (1..=4).for_each(|n| numbers.try_send(n).unwrap()) });
///     std::iter::from_fn(|| received.recv().wait().ok()).sum::<u32>()
/// })?;
/// assert_eq!(sum, 10);
/// # Ok::<(), twoply::Failure>(())
/// ```
#[track_caller]
pub fn run<F, T>(main: F) -> Result<T, Failure>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawner().run(main)
}
