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

use twoply_core::fork::PerProcess;

pub use runtime::{Backend, Runtime};

pub use twoply_core::{Wait, actor, backend, channel, future, net, parker, promise, reactor, strand, task};
pub use twoply_core::{offload, select, threads, time, world};

pub use twoply_core::promise::Failure;
pub use twoply_core::task::{Spawner, Task, set_default, spawn, spawn_fn};

/// The native runtime: every task is an OS thread.
#[cfg(feature = "native")]
#[doc(inline)]
pub use twoply_native as native_backend;

/// The green runtime: many tasks on a few workers.
#[cfg(feature = "green")]
#[doc(inline)]
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
    match green_runtime() {
        Ok(green) => green.spawner(),
        Err(error) => panic!("the green runtime could not be started: {error}"),
    }
}

/// The green runtime of this process, which is made when this is first called, or called again after an error.
#[cfg(feature = "green")]
fn green_runtime() -> std::io::Result<&'static twoply_green::Green> {
    static GREEN: PerProcess<twoply_green::Green> = PerProcess::new();
    GREEN.get_or_try_init(twoply_green::Green::new)
}

/// Makes the default backend, which is the one of [`green`], or else of [`native`].
fn usual_spawner() -> std::io::Result<Spawner> {
    #[cfg(feature = "green")]
    return green_runtime().map(|green| green.spawner().clone());
    #[cfg(all(feature = "native", not(feature = "green")))]
    return Ok(native().clone());
}

twoply_core::register_default_backend!(usual_spawner);

/// The backend of the calling task, or the default one outside of any task; see [`set_default`].
///
/// # Panics
/// Outside of any task, when the default backend cannot be made, because the operating system refuses a thread or a
/// descriptor. [`Spawner::current`] returns that as an error.
pub fn spawner() -> Spawner {
    // Where nothing runs before `main`, this and what uses it have to do.
    task::register_default(usual_spawner);
    match Spawner::current() {
        Ok(spawner) => spawner,
        Err(error) => panic!("the default backend could not be started: {error}"),
    }
}

/// Runs `main` as a task of the default backend, and returns its result once it and all other tasks of that backend
/// are over.
///
/// # Errors
/// When `main` panicked, was cancelled or could not be started. Called by a task of that backend it is
/// [`Failure::Deadlock`], and `main` is not run: that task would wait for its own end.
pub fn run<F, T>(main: F) -> Result<T, Failure>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawner().run(main)
}
