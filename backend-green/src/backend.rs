//! The side of a green runtime that the core sees: a [`Backend`], which starts and resumes jobs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use twoply_core::backend::{Backend, Job, Mode, SpawnError};
use twoply_core::io_threads::IoThreads;
use twoply_core::strand::with_current;
use twoply_core::task::{TaskId, TaskList};
use twoply_core::threads::BlockingPool;

use crate::lock::lock;
use crate::scheduler::{Remote, Shared};
use crate::worker;

impl Backend for Shared {
    fn name(&self) -> &'static str {
        "green"
    }

    fn mode(&self) -> Mode {
        Mode::Polling
    }

    fn tasks(&self) -> &Arc<TaskList> {
        &self.tasks
    }

    fn blocking_pool(&self) -> BlockingPool {
        self.pool.clone()
    }

    fn running(&self) -> Vec<TaskId> {
        let current = |worker: &Remote| worker.counts.current.load(Ordering::Relaxed);
        let stuck =
            lock(&self.watch.rescued).iter().filter(|poll| poll.is_stuck()).map(|poll| poll.task).collect();
        let polled = self.workers.iter().map(current).chain::<Vec<u64>>(stuck);
        polled.filter_map(TaskId::from_u64).collect()
    }

    fn io_threads(&self) -> Option<&IoThreads> {
        self.io.as_ref()
    }

    #[inline]
    fn start(&self, job: Job) -> Result<(), SpawnError> {
        if self.forked.load(Ordering::Relaxed) != self.born {
            return Err(SpawnError::Forked);
        }
        if let Some(job) = worker::place(self, job)
            && let Err(job) = with_current(|strand| strand.resume(job, false))
        {
            self.inject(job);
        }
        Ok(())
    }

    fn resume(&self, job: Job, _yielded: bool) {
        // A waker on one of the workers has asked its strand first.
        self.inject(job);
    }
}
