//! The counters of a runtime, for tests, benches and the curious.

use std::sync::atomic::Ordering::Relaxed;

use twoply_core::reactor::ReactorMetrics;

use crate::scheduler::Shared;

/// A snapshot of a runtime's counters. The numbers are read one after the other, while the runtime goes on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// The number of tasks that are not over.
    pub tasks: usize,
    /// The number of jobs that wait in the queue for what comes from outside the workers.
    pub injected: usize,
    /// The number of threads of the runtime, the idle ones included.
    pub threads: usize,
    /// The number of stacks of fibers that are in use.
    pub stacks: usize,
    /// The number of stacks that were given up, with what was on them, because their task would not end.
    pub leaked_stacks: usize,
    /// The number of polls that went on for longer than the watchdog's limit.
    pub long_polls: u64,
    /// The number of times that a worker stood still, for some milliseconds each, because its task blocked
    /// and no thread could be had; see [`Builder::max_threads`](crate::Builder::max_threads).
    pub refusals: u64,
    /// The code that is offloaded from fibers: how many pieces run on threads, and how many wait for one.
    pub offloaded: (usize, usize),
    /// The number of threads in the middle of a poll that goes on and on, whose worker has been taken from
    /// them to be carried by another one.
    pub stuck: usize,
    /// The counters of each worker.
    pub workers: Vec<WorkerMetrics>,
}

/// The counters of one worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// The number of jobs in the worker's queue.
    pub queued: usize,
    /// The number of polls begun, and of blocked fibers gone on with.
    pub polls: u64,
    /// The number of times that the worker took jobs from another one.
    pub steals: u64,
    /// The number of times that the worker slept.
    pub sleeps: u64,
    /// The number of times that the worker moved to another thread because its task blocked.
    pub handovers: u64,
    /// The number of times that the watchdog moved the worker to another thread because its task computed for
    /// long, or blocked in something that is not this library's.
    pub rescues: u64,
    /// The counters of the worker's reactor.
    pub reactor: ReactorMetrics,
}

impl Metrics {
    pub(crate) fn read(shared: &Shared) -> Metrics {
        let stacks = shared.stacks.as_ref().map(|stacks| stacks.stats());
        let workers = shared.workers.iter().map(|remote| WorkerMetrics {
            queued: remote.stealer.len(),
            polls: remote.counts.polls.load(Relaxed),
            steals: remote.counts.stolen.load(Relaxed),
            sleeps: remote.counts.sleeps.load(Relaxed),
            handovers: remote.counts.handovers.load(Relaxed),
            rescues: remote.counts.rescues.load(Relaxed),
            reactor: remote.reactor.metrics(),
        });
        Metrics {
            tasks: shared.tasks.len(),
            injected: shared.injector.len(),
            threads: shared.threads.threads().0,
            stacks: stacks.as_ref().map_or(0, |stacks| stacks.live),
            leaked_stacks: stacks.as_ref().map_or(0, |stacks| stacks.leaked),
            long_polls: shared.watch.long_polls(),
            refusals: shared.workers.iter().map(|remote| remote.counts.refusals.load(Relaxed)).sum(),
            offloaded: shared.pool.load(),
            stuck: shared.watch.stuck(),
            workers: workers.collect(),
        }
    }
}
