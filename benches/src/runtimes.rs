//! Our runtimes and the peers', built the same way for each workload.
//!
//! In all of them the main thread only waits: what is measured runs in a task on a worker, as a server's work
//! does. (tokio's current-thread runtime has no worker but the thread that blocks on it.)

use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use smol::Executor;
use smol::future;
use tokio::runtime::{Builder, Runtime};
use twoply::green_backend::Green;
use twoply::native_backend::Native;
use twoply::{Spawner, Wait as _};

use crate::workload::Context;

/// A runtime of ours. Dropping it ends its tasks and its threads.
pub(crate) enum Twoply {
    /// Tasks on workers. What blocks does so on a thread of its own, or on a fiber.
    Green(Green),
    /// Tasks on OS threads.
    Native(Native),
}

/// Our runtime that the name of the running system asks for.
pub(crate) fn twoply(ctx: &Context) -> Result<Twoply> {
    twoply_named(ctx.system, ctx.workers())
}

/// With `native` in its name it is that of OS threads, with `fibers` the green one whose tasks block on fibers,
/// else the green one whose tasks block on threads. Only green ones have workers.
pub(crate) fn twoply_named(system: &str, workers: usize) -> Result<Twoply> {
    if system.contains("native") {
        return Ok(Twoply::Native(Native::new()));
    }
    let mut builder = Green::builder().workers(workers);
    if system.contains("fibers") {
        builder = on_fibers(builder);
    }
    Ok(Twoply::Green(builder.build().context("building a green runtime")?))
}

/// The same settings, with fibers for what blocks: as many as anybody wants.
#[allow(unsafe_code, reason = "switching fibers on is a promise; this is the one place that makes it")]
fn on_fibers(builder: twoply::green_backend::Builder) -> twoply::green_backend::Builder {
    // SAFETY: the tasks of this program are the workloads, all of them in this crate. None enters a scope that lends
    // a reference through a thread-local, none takes a lock that its thread may take twice, and none calls foreign
    // code but the C library's wrappers of system calls.
    unsafe { builder.fibers() }
}

impl Twoply {
    /// What starts tasks on it.
    pub(crate) fn spawner(&self) -> &Spawner {
        match self {
            Self::Green(green) => green.spawner(),
            Self::Native(native) => native.spawner(),
        }
    }

    /// Runs a future as a task and blocks this thread until it is done.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        Ok(self.spawner().spawn(future).wait()?)
    }

    /// Runs straight-line code as a task and blocks this thread until it is done.
    pub(crate) fn run_fn<T: Send + 'static>(&self, code: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        Ok(self.spawner().spawn_fn(code).wait()?)
    }
}

impl Drop for Twoply {
    fn drop(&mut self) {
        let deadline = Duration::from_secs(30);
        let ended = match self {
            Self::Green(green) => green.shutdown(deadline),
            Self::Native(native) => native.shutdown(deadline),
        };
        if let Err(error) = ended {
            eprintln!("a runtime has not ended: {error}");
        }
    }
}

/// The tokio runtime that the name of the running system asks for.
pub(crate) fn tokio(ctx: &Context) -> Result<Runtime> {
    tokio_named(ctx.system, ctx.workers())
}

/// With `tokio-current` in its name it is the current-thread runtime, else the multi-thread one with that
/// many workers.
pub(crate) fn tokio_named(system: &str, workers: usize) -> Result<Runtime> {
    let mut builder = if system.contains("tokio-current") {
        Builder::new_current_thread()
    } else {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers);
        builder
    };
    builder.enable_all().build().context("building a tokio runtime")
}

/// smol's executor with threads of its own. Each worker turns smol's reactor when it has nothing to run.
///
/// The workers of the global executor (`smol::spawn`) are the same loop; there, their number is taken from
/// the environment.
pub(crate) struct Smol {
    /// What the workers and the spawners share.
    pub(crate) executor: Arc<Executor<'static>>,
    /// Closed to end the workers.
    stop: async_channel::Sender<()>,
    /// Joined when this is dropped.
    workers: Vec<JoinHandle<()>>,
}

impl Smol {
    /// Starts that many workers.
    pub(crate) fn new(workers: usize) -> Self {
        let executor = Arc::new(Executor::new());
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let workers = (0..workers)
            .map(|_| {
                let (executor, stopped) = (executor.clone(), stopped.clone());
                std::thread::spawn(move || {
                    // It ends with an error when the sender is closed, which is the only way that it ends.
                    let _closed = smol::block_on(executor.run(stopped.recv()));
                })
            })
            .collect();
        Self { executor, stop, workers }
    }

    /// Runs a future as a task and blocks this thread until it is done, without running any other task here.
    pub(crate) fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        future::block_on(self.executor.spawn(future))
    }
}

/// Sets may up with that many workers. It has one scheduler for the process, which starts with the first coroutine; the
/// rest is as it comes: stacks of 32 KiB, each worker tied to a core.
pub(crate) fn may(workers: usize) {
    ::may::config().set_workers(workers);
}

impl Drop for Smol {
    fn drop(&mut self) {
        self.stop.close();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so on standard error already.
            let _ended = worker.join();
        }
    }
}
