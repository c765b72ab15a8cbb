//! The counters of a runtime, for tests, benches and the curious.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use twoply_core::fs::Engine;
use twoply_core::reactor::ReactorMetrics;
use twoply_core::task::TaskKinds;
use twoply_core::threads::PoolMetrics;

use crate::scheduler::Shared;
use crate::timing::Times;

/// A snapshot of a runtime's counters. The numbers are read one after the other, while the runtime goes on.
///
/// Its text form takes some lines.
///
/// # Examples
/// ```
/// use twoply::Wait;
/// use twoply::green_backend::Green;
///
/// let green = Green::builder().workers(2).time_polls().build()?;
/// green.spawner().spawn(async {}).wait().unwrap();
/// // 0 tasks (0 futures, 0 closures, 0 processes, 0 not listed) on 3 threads, 0 stacks, ...
/// // worker 0: 0 queued, 1 polls, 0 steals, 2 parks, 0 handovers, 0 rescues
/// println!("{}", green.metrics());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Metrics {
    /// The number of tasks that are not over.
    pub tasks: usize,
    /// The same by kind, as far as tasks are listed.
    pub kinds: TaskKinds,
    /// The number of jobs that wait in the queue for what comes from outside the workers.
    pub injected: usize,
    /// The number of threads of the runtime, the idle ones included.
    pub threads: usize,
    /// The number of stacks of fibers that are in use.
    pub stacks: usize,
    /// The number of tasks that have blocked a fiber and are not over.
    pub blocked_fibers: usize,
    /// The number of stacks that were given up, with what was on them, because their task would not end.
    pub leaked_stacks: usize,
    /// The number of polls that went on for longer than the watchdog's limit.
    pub long_polls: u64,
    /// The number of times that a worker stood still, for some milliseconds each, because its task blocked
    /// and no thread could be had; see [`Builder::max_threads`](crate::Builder::max_threads).
    pub refusals: u64,
    /// The counters of the pool in which code runs that is offloaded from fibers.
    pub offloaded: PoolMetrics,
    /// The answer to who makes operations on files that would hold a worker up; `Auto` before the first one.
    /// [`WorkerMetrics::reactor`] counts those of the io_uring, and `offloaded` those of the pool.
    pub file_engine: Engine,
    /// The number of threads in the middle of a poll that goes on and on, whose worker has been taken from
    /// them to be carried by another one.
    pub stuck: usize,
    /// The counters of each worker.
    pub workers: Vec<WorkerMetrics>,
}

/// The counters of one worker.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// The number of jobs in the worker's queue.
    pub queued: usize,
    /// The number of new tasks that other workers have given to this one, and that it has not begun.
    pub assigned: usize,
    /// The number of its fibers that other threads have woken since it looked last.
    pub woken_fibers: usize,
    /// The number of polls begun, and of blocked fibers gone on with.
    pub polls: u64,
    /// The number of times that the worker took jobs from another one.
    pub steals: u64,
    /// The number of times that the worker parked: it slept, because there was nothing to do.
    pub sleeps: u64,
    /// The number of times that the worker moved to another thread because its task blocked.
    pub handovers: u64,
    /// The number of times that the watchdog moved the worker to another thread because its task computed for
    /// long, or blocked in something that is not this library's.
    pub rescues: u64,
    /// The times of its polls, if the builder was asked to [measure](crate::Builder::time_polls) them.
    pub times: Option<Times>,
    /// The counters of the worker's reactor.
    pub reactor: ReactorMetrics,
}

impl Metrics {
    pub(crate) fn read(shared: &Shared) -> Metrics {
        let stacks = shared.stacks.as_ref().map(|stacks| stacks.stats());
        let workers = shared.workers.iter().map(|remote| WorkerMetrics {
            queued: remote.stealer.len(),
            assigned: remote.load.assigned.len(),
            woken_fibers: remote.inbox_len(),
            polls: remote.counts.polls.load(Relaxed),
            steals: remote.counts.stolen.load(Relaxed),
            sleeps: remote.counts.sleeps.load(Relaxed),
            handovers: remote.counts.handovers.load(Relaxed),
            rescues: remote.counts.rescues.load(Relaxed),
            times: remote.timing.as_ref().map(|timing| timing.read()),
            reactor: remote.reactor.metrics(),
        });
        Metrics {
            tasks: shared.tasks.len(),
            kinds: shared.tasks.kinds(),
            injected: shared.injector.len(),
            threads: shared.threads.threads().0,
            stacks: stacks.as_ref().map_or(0, |stacks| stacks.live),
            blocked_fibers: shared.workers.iter().map(|remote| remote.load.blocked()).sum(),
            leaked_stacks: stacks.as_ref().map_or(0, |stacks| stacks.leaked),
            long_polls: shared.watch.long_polls(),
            refusals: shared.workers.iter().map(|remote| remote.counts.refusals.load(Relaxed)).sum(),
            offloaded: shared.pool.metrics(),
            file_engine: file_engine(shared),
            stuck: shared.watch.stuck(),
            workers: workers.collect(),
        }
    }
}

/// Returns the engine that one of the workers has found, or else the setting.
pub(crate) fn file_engine(shared: &Shared) -> Engine {
    let mut engines = shared.workers.iter().map(|remote| remote.reactor.file_engine());
    engines.find(|engine| *engine != Engine::Auto).unwrap_or_default()
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metrics { tasks, kinds, threads, stacks, blocked_fibers, injected, long_polls, .. } = self;
        let PoolMetrics { running, queued, .. } = self.offloaded;
        write!(
            f,
            "{tasks} tasks ({kinds}) on {threads} threads, {stacks} stacks, {blocked_fibers} blocked fibers, \
             {running} offloaded and {queued} to be, {injected} injected, {long_polls} long polls"
        )?;
        self.workers
            .iter()
            .enumerate()
            .try_for_each(|(index, worker)| write!(f, "\nworker {index}: {worker}"))
    }
}

impl fmt::Display for WorkerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WorkerMetrics { polls, steals, sleeps, handovers, rescues, .. } = self;
        let queued = self.queued + self.assigned + self.woken_fibers;
        write!(
            f,
            "{queued} queued, {polls} polls, {steals} steals, {sleeps} parks, {handovers} handovers, \
             {rescues} rescues"
        )?;
        let Some(Times { busy, polls, wake_delays }) = &self.times else { return Ok(()) };
        write!(f, "\n    busy for {busy:.1?}; polls: {polls}; wake-ups followed: {wake_delays}")
    }
}
