//! Our runtimes and the peers', built the same way for each workload.
//!
//! In all of them the main thread only waits: what is measured runs in a task on a worker, as a server's work
//! does. (`tokio-current` and `twoply-local` have no worker but the thread that blocks on them.)

use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use smol::Executor;
use smol::future;
use tokio::runtime::{Builder, Handle, Runtime};
use twoply::green_backend::{FiberPromise, Green, LocalRuntime};
use twoply::{Backend, Spawner, Wait as _};

use crate::workload::Context;

/// A runtime of async tasks.
pub(crate) trait Tasks {
    /// What starts further tasks on it.
    type Starter: Start;

    /// That.
    fn starter(&self) -> Self::Starter;

    /// Runs a future as a task and blocks this thread until it is done; smol runs no other task here
    /// meanwhile.
    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Result<T>;
}

/// Starts tasks from within a task.
pub(crate) trait Start: Clone + Send + 'static {
    /// Starts a future as a task, and answers what waits for its result.
    fn start<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Started<T>;
}

/// A task that gives a result. Boxed, so that tasks of several futures can be in one list.
pub(crate) type Started<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Starts straight-line code on stacks of its own: threads, coroutines, or tasks of ours that may block.
pub(crate) trait Stacks {
    /// Starts the code, and answers what blocks until it is done.
    fn start<T: Send + 'static>(&self, code: impl FnOnce() -> T + Send + 'static) -> Running<T>;
}

/// Straight-line code that gives a result. Boxed, as [`Started`] is.
pub(crate) type Running<T> = Box<dyn FnOnce() -> Result<T>>;

/// OS threads.
pub(crate) struct Threads;

impl Stacks for Threads {
    fn start<T: Send + 'static>(&self, code: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        let thread = std::thread::spawn(code);
        Box::new(|| thread.join().ok().context("a thread panicked"))
    }
}

/// A runtime of ours. Dropping it ends its tasks and its threads.
pub(crate) struct Twoply(twoply::Runtime);

/// Our runtime that the name of the running system asks for.
pub(crate) fn twoply(ctx: &Context) -> Result<Twoply> {
    twoply_named(ctx.system, ctx.workers())
}

/// With `native` in its name it is that of OS threads, with `fibers` the green one whose tasks block on
/// fibers, else the green one whose tasks block on threads. Only green ones have workers.
pub(crate) fn twoply_named(system: &str, workers: usize) -> Result<Twoply> {
    let named = [Backend::Native, Backend::Fibers].into_iter().find(|named| system.contains(named.name()));
    let backend = named.unwrap_or(Backend::Green);
    let builder = twoply::Runtime::builder().backend(backend).workers(workers).fibers(promise());
    Ok(Twoply(builder.build().context("building a runtime of ours")?))
}

/// Our runtime on the thread that waits for it, which is its only worker. It ends when it is dropped.
pub(crate) struct Local(LocalRuntime);

/// Makes one.
pub(crate) fn local() -> Result<Local> {
    Ok(Local(Green::builder().build_local().context("building a runtime of this thread")?))
}

impl Tasks for Local {
    type Starter = Spawner;

    fn starter(&self) -> Spawner {
        self.0.spawner().clone()
    }

    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Result<T> {
        Ok(self.0.block_on(self.0.spawn(future))??)
    }
}

/// The promise that fibers ask for.
#[allow(unsafe_code, reason = "this is the one place that makes it")]
fn promise() -> FiberPromise {
    // SAFETY: the tasks of this program are the workloads, all of them in this crate. None enters a scope
    // that lends a reference through a thread-local, none takes a lock that its thread may take twice, and
    // none calls foreign code but the C library's wrappers of system calls.
    unsafe { FiberPromise::new() }
}

impl Twoply {
    /// What starts tasks on it.
    pub(crate) fn spawner(&self) -> &Spawner {
        self.0.spawner()
    }

    /// Runs straight-line code as a task and blocks this thread until it is done.
    pub(crate) fn run_fn<T: Send + 'static>(&self, code: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        Ok(self.spawner().spawn_fn(code).wait()?)
    }
}

impl Tasks for Twoply {
    type Starter = Spawner;

    fn starter(&self) -> Spawner {
        self.spawner().clone()
    }

    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Result<T> {
        Ok(self.spawner().spawn(future).wait()?)
    }
}

impl Start for Spawner {
    fn start<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Started<T> {
        let task = self.spawn(future);
        Box::pin(async { Ok(task.await?) })
    }
}

impl Stacks for Twoply {
    fn start<T: Send + 'static>(&self, code: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        let task = self.spawner().spawn_fn(code);
        Box::new(|| Ok(task.wait()?))
    }
}

impl Drop for Twoply {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown(Duration::from_secs(30)) {
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

impl Tasks for Runtime {
    type Starter = Handle;

    fn starter(&self) -> Handle {
        self.handle().clone()
    }

    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Result<T> {
        Ok(self.block_on(self.spawn(future))?)
    }
}

impl Start for Handle {
    fn start<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Started<T> {
        let task = self.spawn(future);
        Box::pin(async { Ok(task.await?) })
    }
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
}

impl Tasks for Smol {
    type Starter = Arc<Executor<'static>>;

    fn starter(&self) -> Self::Starter {
        self.executor.clone()
    }

    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Result<T> {
        Ok(future::block_on(self.executor.spawn(future)))
    }
}

impl Start for Arc<Executor<'static>> {
    fn start<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Started<T> {
        let task = self.spawn(future);
        Box::pin(async { Ok(task.await) })
    }
}

/// Sets may up with that many workers. It has one scheduler for the process, which starts with the first
/// coroutine; the rest is as it comes: stacks of 32 KiB, each worker tied to a core.
pub(crate) fn may(workers: usize) {
    ::may::config().set_workers(workers);
}

/// Coroutines of may, once it is set up.
pub(crate) struct Coroutines;

impl Stacks for Coroutines {
    fn start<T: Send + 'static>(&self, code: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        let coroutine = ::may::go!(code);
        Box::new(|| coroutine.join().ok().context("a coroutine panicked"))
    }
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
