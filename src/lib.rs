//! Concurrency that is written once and runs two ways: on OS threads, or on green tasks that share a few of them.
//!
// The program of the README uses both backends, and is tested as part of this documentation.
#![cfg_attr(all(feature = "native", feature = "green"), doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

#[cfg(not(any(feature = "native", feature = "green")))]
compile_error!(
    "twoply has no backend to run on: enable the feature `native` (OS threads), `green` (green tasks) or both"
);

pub mod runtime;

use std::future::Future;
use std::sync::OnceLock;

use twoply_core::fork::PerProcess;

pub use runtime::{Backend, Runtime};

pub use twoply_core::{Wait, backend, channel, future, net, parker, promise, reactor, strand, task};
pub use twoply_core::{offload, select, threads, time};

pub use twoply_core::promise::Failure;
pub use twoply_core::task::{Spawner, Task};

/// Processes; here they start on the default backend when they are started outside of any task.
pub mod actor {
    use std::future::Future;

    pub use twoply_core::actor::*;
    use twoply_core::task::SpawnError;

    /// Starts a process that runs `body`, on the backend of the calling task, or the default one outside of any task;
    /// see [`Builder`] for more.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::{self, Event, Process}};
    ///
    /// let (done, reply) = twoply::channel::oneshot();
    /// let greeter = actor::spawn(async |mut me: Process<&str>| {
    ///     if let Event::Message(name) = me.receive().await {
    ///         done.send(format!("hello {name}")).unwrap();
    ///     }
    /// });
    /// greeter.unwrap().send("world").wait().unwrap();
    /// assert_eq!(reply.wait().unwrap(), "hello world");
    /// ```
    pub fn spawn<M, F, T>(body: F) -> Result<ProcessRef<M>, SpawnError>
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> T,
        T: Future<Output: IntoExit + Send> + Send + 'static,
    {
        Builder::new().on(crate::spawner().backend()).spawn(body)
    }

    /// Starts a process that runs `body`, which is straight-line code; see [`spawn`].
    ///
    /// # Errors
    /// As there.
    pub fn spawn_fn<M, F, T>(body: F) -> Result<ProcessRef<M>, SpawnError>
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> T + Send + 'static,
        T: IntoExit + Send + 'static,
    {
        Builder::new().on(crate::spawner().backend()).spawn_fn(body)
    }

    /// Starts `actor` as a process, on the backend of the calling task, or the default one outside of any task.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    pub fn spawn_actor<A: Actor>(actor: A) -> Result<ProcessRef<A::Message>, SpawnError> {
        Builder::new().on(crate::spawner().backend()).spawn_actor(actor)
    }

    /// Makes `value` an actor whose messages are closures, on the backend of the calling task, or the default one
    /// outside of any task; see [`Active`].
    ///
    /// # Examples
    /// ```
    /// use twoply::{Wait, actor::active};
    ///
    /// let words = active(vec!["one"]);
    /// words.tell(|words| words.push("two"));
    /// assert_eq!(words.call(|words| words.join(" ")).wait().unwrap(), "one two");
    /// ```
    pub fn active<T: Send + 'static>(value: T) -> Active<T> {
        Active::builder().on(crate::spawner().backend()).build(value)
    }
}

/// The native runtime: every task is an OS thread.
#[cfg(feature = "native")]
pub use twoply_native as native_backend;

/// The green runtime: many tasks on a few workers.
#[cfg(feature = "green")]
pub use twoply_green as green_backend;

/// Starts tasks as OS threads, on the native runtime of this process, which is made when this is first called. The child of
/// a fork makes its own.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let home = twoply::native().spawn_fn(|| std::thread::current().id()).wait().unwrap();
/// assert_ne!(home, std::thread::current().id());
/// ```
#[cfg(feature = "native")]
pub fn native() -> &'static Spawner {
    static NATIVE: PerProcess<twoply_native::Native> = PerProcess::new();
    NATIVE.get_or_init(twoply_native::Native::new).spawner()
}

/// Starts green tasks, on the green runtime of this process, which is made when this is first called: a worker for
/// each core, and threads for what blocks. The child of a fork makes its own. [`green_backend::Green::builder`] makes others.
///
/// # Panics
/// When the runtime cannot be made, because the operating system refuses a thread or a descriptor.
/// [`green_backend::Builder::build`] returns that as an error.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let answer = twoply::green().spawn(async { 6 * 7 });
/// assert_eq!(answer.wait().unwrap(), 42);
/// ```
#[cfg(feature = "green")]
pub fn green() -> &'static Spawner {
    static GREEN: PerProcess<twoply_green::Green> = PerProcess::new();
    let start = || match twoply_green::Green::new() {
        Ok(green) => green,
        Err(error) => panic!("the green runtime could not be started: {error}"),
    };
    GREEN.get_or_init(start).spawner()
}

/// The backend for tasks that are started outside of any task; `None`: the usual one.
static DEFAULT: OnceLock<Option<Spawner>> = OnceLock::new();

/// Makes `spawner` the one that [`spawn`], [`spawn_fn`] and [`run`] use outside of any task. Without this they use
/// green tasks, or native ones where the feature `green` is off.
///
/// # Errors
/// When it has been set or used before: then it stays what it is, and `spawner` comes back.
pub fn set_default(spawner: Spawner) -> Result<(), Spawner> {
    DEFAULT
        .set(Some(spawner))
        .map_err(|spawner| spawner.unwrap_or_else(|| unreachable!("it is what was to be set")))
}

/// The backend of the calling task, or the default one outside of any task.
pub fn spawner() -> Spawner {
    Spawner::current().unwrap_or_else(|_| {
        let usual = || {
            #[cfg(feature = "green")]
            return green().clone();
            #[cfg(all(feature = "native", not(feature = "green")))]
            return native().clone();
        };
        DEFAULT.get_or_init(|| None).clone().unwrap_or_else(usual)
    })
}

/// Starts `future` as a task: on the backend of the calling task, or the default one outside of any task.
///
/// If it cannot be started, the handle says so.
///
/// # Examples
/// ```
/// use twoply::Wait;
///
/// let task = twoply::spawn(async { twoply::spawn(async { 7 }).await });
/// assert_eq!(task.wait().unwrap().unwrap(), 7);
/// ```
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawner().into_spawn(future)
}

/// Starts straight-line code as a task; see [`spawn`].
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
pub fn spawn_fn<F, T>(code: F) -> Task<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawner().into_spawn_fn(code)
}

/// Runs `main` as a task of the default backend, and returns its result once it and all other tasks of that backend
/// are over.
///
/// # Errors
/// When `main` panicked, was cancelled or could not be started.
pub fn run<F, T>(main: F) -> Result<T, Failure>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawner().run(main)
}
