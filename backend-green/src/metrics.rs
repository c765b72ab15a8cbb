//! What a runtime has done so far, for tests, benches and the curious.

use std::sync::atomic::Ordering::Relaxed;

use twoply_core::reactor::ReactorMetrics;

use crate::scheduler::Shared;

/// A snapshot of a runtime's counters. The numbers are read one after the other, while the runtime goes on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Tasks that are not over.
    pub tasks: usize,
    /// Jobs that wait in the queue for what comes from outside the workers.
    pub injected: usize,
    /// Threads of the runtime, the idle ones included.
    pub threads: usize,
    /// Stacks of fibers that are in use.
    pub stacks: usize,
    /// Stacks that were given up, with what was on them, because their task would not end.
    pub leaked_stacks: usize,
    /// Polls that went on for longer than the watchdog's limit.
    pub long_polls: u64,
    /// Times that a worker stood still, for some milliseconds each, because its task blocked and no thread could be had;
    /// see [`Builder::max_threads`](crate::Builder::max_threads).
    pub refusals: u64,
    /// What is offloaded from fibers: how much of it runs on threads, and how much waits for one.
    pub offloaded: (usize, usize),
    /// Threads in the middle of a poll that goes on and on, whose worker has been taken from them to be carried by another
    /// one.
    pub stuck: usize,
    /// Each worker.
    pub workers: Vec<WorkerMetrics>,
}

/// What one worker has done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Jobs in its queue.
    pub queued: usize,
    /// Polls begun, and blocked fibers gone on with.
    pub polls: u64,
    /// How often it took jobs from another worker.
    pub steals: u64,
    /// How often it slept.
    pub sleeps: u64,
    /// How often it moved to another thread because its task blocked.
    pub handovers: u64,
    /// How often the watchdog moved it to another thread because its task computed for long, or blocked in something that
    /// is not this library's.
    pub rescues: u64,
    /// Its reactor's own counters.
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
