//! What a green runtime is to the core: a [`Backend`], which starts and resumes jobs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use twoply_core::backend::{Backend, Job, Mode, SpawnError};
use twoply_core::strand::with_current;
use twoply_core::task::TaskList;

use crate::scheduler::Shared;
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
    #[inline]
    fn start(&self, job: Job) -> Result<(), SpawnError> {
        if self.forked.load(Ordering::Relaxed) != self.born {
            return Err(SpawnError::Forked);
        }
        match worker::place(self, job) {
            Some(job) => {
                if let Err(job) = with_current(|strand| strand.resume(job, false)) {
                    self.inject(job);
                }
            }
            // As in `inject`: the worker that was given the job may have ended before that.
            None if self.is_stopped() => self.drop_leftovers(),
            None => {}
        }
        Ok(())
    }

    fn resume(&self, job: Job, _yielded: bool) {
        // Whoever runs on one of the workers has asked its strand first.
        self.inject(job);
    }
}
