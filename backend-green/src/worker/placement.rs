//! The choice of where a new task begins, on fibers: with the worker that holds the fewest stacks, more or
//! less.
//!
//! A task that blocks on a fiber stays with its worker for good, so it matters where it first runs. Stealing
//! does not see to that: a server that accepts now and then starts each connection's task on the worker that
//! has accepted, which runs it at once, blocks it, and in the end has all connections while the others have
//! none. So a worker that holds many more stacks than another one gives the tasks that it starts to that one.
//!
//! That costs a wake-up, and most tasks never block. Whether it pays shows in what the other worker holds
//! afterwards: while that does not grow, it is done more and more rarely.

use twoply_core::backend::Job;

use super::with_local;
use crate::core::{Core, Placement};
use crate::scheduler::{Remote, Shared};

/// The number of stacks that a worker must hold more than another one before it gives a task to that one. An
/// eighth of what that one holds comes on top.
const MARGIN: usize = 2;

/// The longest row of new tasks that stay before another one is given away.
const SELDOM: u32 = 1023;

/// Gives a task that starts on a worker of `shared` to another one, if that is better; else returns the job.
#[inline]
pub(crate) fn place(shared: &Shared, job: Job) -> Option<Job> {
    let mut job = Some(job);
    if shared.stacks.is_some() && shared.workers.len() > 1 {
        with_local(shared, |core| {
            if let Some(other) = core.less_loaded(shared) {
                job = job.take().and_then(|job| other.place(job).err());
            }
        });
    }
    job
}

impl Core {
    /// Returns a worker that should have the next task, if it is not this one.
    fn less_loaded<'a>(&self, shared: &'a Shared) -> Option<&'a Remote> {
        let held = |worker: usize| shared.workers[worker].load.held();
        let own = held(self.index);
        if own < MARGIN {
            return None;
        }
        let other = (self.index + 1 + self.next_random() as usize % (shared.workers.len() - 1))
            % shared.workers.len();
        let theirs = held(other);
        if own <= theirs + theirs / 8 + MARGIN {
            return None;
        }
        let Placement { worker, held: before, row, left } = &self.placement;
        if left.get() > 0 {
            left.set(left.get() - 1);
            return None;
        }
        let grown = held(worker.get()) > before.get();
        row.set(if grown { 0 } else { (2 * row.get() + 1).min(SELDOM) });
        left.set(row.get());
        worker.set(other);
        before.set(theirs);
        Some(&shared.workers[other])
    }
}
