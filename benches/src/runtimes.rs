//! The peers' runtimes, built the same way for each workload.
//!
//! In all of them the main thread only waits: what is measured runs in a task on a worker, as a server's work
//! does. (tokio's current-thread runtime has no worker but the thread that blocks on it.)

use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use smol::Executor;
use smol::future;
use tokio::runtime::{Builder, Runtime};

use crate::workload::Context;

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

impl Drop for Smol {
    fn drop(&mut self) {
        self.stop.close();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so on standard error already.
            let _ended = worker.join();
        }
    }
}
