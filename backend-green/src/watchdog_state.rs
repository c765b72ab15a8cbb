//! The state that the [watchdog](crate::watchdog) shares with the workers, and the report of a long poll for
//! the program.
//!
//! Workers wake the watchdog through this; metrics are read from it. Nothing here looks at a worker.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use twoply_core::task::{TaskId, TaskRef};

use crate::core::Core;
use crate::lock::lock;
use crate::reports::{Handler, Reports};
use crate::revocable::Revocable;

/// The time between two looks of the watchdog where polls have been long: a stuck worker's connections wait
/// for two of them at most. Otherwise it looks [less often](crate::watchdog).
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// A task that holds on to its worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LongPoll {
    /// The number of the task.
    pub id: TaskId,
    /// The task. `None` when it has just ended, and for one that has neither a name nor has ever waited: that
    /// is known by its number alone.
    pub task: Option<TaskRef>,
    /// The index of the worker.
    pub worker: usize,
    /// The time for which the poll has been going on, at least.
    pub held: Duration,
}

impl fmt::Display for LongPoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "{task}")?,
            None => write!(f, "task {}", self.id)?,
        }
        write!(f, " has held worker {} up for {:?}", self.worker, self.held)
    }
}

/// The shared state of the watchdog of one runtime.
pub(crate) struct WatchdogState {
    /// The length of a poll from which on its task is reported.
    pub(crate) limit: Duration,
    /// The way to the handler that is told of such tasks.
    pub(crate) reports: Option<Arc<Reports>>,
    /// The number of long polls that have been reported.
    pub(crate) long_polls: AtomicU64,
    /// True once it has been reported that a worker stands still.
    pub(crate) standstill_reported: AtomicBool,
    /// The polls whose worker has been taken away. Those that are over leave at the next look.
    pub(crate) rescued: Mutex<Vec<Rescued>>,
    /// True while the watchdog looks every [`FREQUENT_TICK`].
    pub(crate) frequent: AtomicBool,
    /// True while the watchdog's thread sleeps until it is woken.
    pub(crate) asleep: AtomicBool,
    /// True when the watchdog should end.
    pub(crate) stopped: AtomicBool,
    /// The watchdog's thread, once it runs.
    pub(crate) thread: OnceLock<Thread>,
}

impl WatchdogState {
    pub(crate) fn new(limit: Duration, handler: Option<Handler>) -> WatchdogState {
        WatchdogState {
            limit,
            reports: handler.map(Reports::new),
            long_polls: AtomicU64::new(0),
            standstill_reported: AtomicBool::new(false),
            rescued: Mutex::default(),
            frequent: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }

    /// Returns how many long polls have been reported.
    pub(crate) fn long_polls(&self) -> u64 {
        self.long_polls.load(Ordering::Relaxed)
    }

    /// Reports that a worker cannot go on, for want of a thread; there are `threads`, or there can be none.
    /// Whoever asked to be told of long polls has been told of the task that keeps it. Anybody else would see
    /// a program that stands still, perhaps for ever.
    pub(crate) fn report_standstill(&self, threads: Option<usize>) {
        let is_told = self.reports.is_some() && threads.is_some();
        if is_told || self.standstill_reported.swap(true, Ordering::Relaxed) {
            return;
        }
        match threads {
            Some(threads) => eprintln!(
                "twoply: tasks that block in straight-line code have taken all {threads} threads of a green \
                 runtime, and a worker has been standing still for a second. What waits behind it is not run until a \
                 thread is free. More threads (`max_threads`, and the limits of the system), fibers, or `.await` help."
            ),
            None => eprintln!(
                "twoply: a task that blocks in straight-line code has kept the only thread of a local runtime for a \
                 second. No other task of that is run until it goes on, nor what it may wait for. Fibers, or `.await`, \
                 help."
            ),
        }
    }

    /// Returns how many threads are in polls whose worker has been taken away.
    pub(crate) fn stuck(&self) -> usize {
        lock(&self.rescued).iter().filter(|poll| poll.is_stuck()).count()
    }

    /// Wakes the watchdog, because a worker has woken up.
    pub(crate) fn wake(&self) {
        // Pairs with the fence in `watch`: either this sees that the watchdog sleeps, or that sees the worker
        // awake.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.unpark();
        }
    }

    /// Has the watchdog look often, because a worker has been set aside.
    pub(crate) fn look_often(&self) {
        // Pairs with the fence in `watch`: either this sees that it looks seldom, or that sees the worker
        // aside.
        fence(Ordering::SeqCst);
        if !self.frequent.load(Ordering::Relaxed) && !self.frequent.swap(true, Ordering::Relaxed) {
            self.unpark();
        }
    }

    /// Ends the watchdog's thread.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.unpark();
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// A poll whose thread has no worker any more.
pub(crate) struct Rescued {
    /// The cell from which the worker was taken.
    pub(crate) cell: Arc<Revocable<Core>>,
    /// The index of that worker.
    pub(crate) worker: usize,
    /// The number of the task that is being polled.
    pub(crate) task: u64,
    /// The time since when the poll has been going on.
    pub(crate) since: Instant,
    /// True if the thread computed when the worker was taken.
    pub(crate) computes: bool,
    /// True once the task has been reported.
    pub(crate) reported: bool,
}

impl Rescued {
    /// Returns true while the poll goes on.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.cell.is_released()
    }
}
