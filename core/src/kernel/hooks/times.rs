//! The times of tasks, kind by kind, for programs that have asked for them.
//!
//! They are measured by a layer around the polls of each task, such as a program could make for itself. So
//! they mean the same on every backend, and a runtime that is not asked for them has no code for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{AroundPolls, Hooks};
use crate::base::histogram::{Buckets, Histogram};
use crate::kernel::task::TaskKind;

/// The clock of the tasks of a runtime, by their kinds. Clones are the same one.
///
/// # Examples
/// ```
/// use twoply::native_backend::Native;
/// use twoply::Wait;
/// use twoply::runtime::{Hooks, TaskTimer};
///
/// let timer = TaskTimer::new();
/// let native = Native::builder().hooks(Hooks::new().time_tasks(&timer)).build();
/// native.spawner().spawn_fn(|| 7).wait().unwrap();
/// native.shutdown(std::time::Duration::from_secs(5))?;
/// assert_eq!(timer.read().closures.polls.count(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TaskTimer(Arc<Kinds>);

/// The counters of a [`TaskTimer`].
#[derive(Debug, Default)]
struct Kinds {
    futures: Counters,
    closures: Counters,
    processes: Counters,
}

/// The counters of the tasks of one kind, which any thread writes. Relaxed: they order nothing.
#[derive(Debug, Default)]
struct Counters {
    /// The nanoseconds spent in polls.
    busy: AtomicU64,
    polls: Buckets,
    start_delays: Buckets,
}

/// The times of the tasks of a runtime, by the code that they are made of; see [`TaskTimer`]. The numbers are
/// read one after the other, while the tasks go on.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskTimes {
    /// The times of tasks that are futures.
    pub futures: KindTimes,
    /// The times of tasks that are straight-line code.
    pub closures: KindTimes,
    /// The times of tasks that are processes, those of actors included.
    pub processes: KindTimes,
}

/// The times of the tasks of one kind.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct KindTimes {
    /// The sum of what is in `polls`, waits included where those have them: of tasks that are threads it is
    /// the sum of their lives, and grows when one ends. Nanoseconds are counted, 584 years of them.
    pub busy: Duration,
    /// The time of each poll that is over. A task of straight-line code has one, from its start to its end,
    /// and so has every task that is a thread: its waits are included. One that is cancelled before it has
    /// begun has a short one.
    pub polls: Histogram,
    /// The time from the start of each task, where the program asked for it, to its first poll, or to its end
    /// where it is cancelled before.
    pub start_delays: Histogram,
}

impl TaskTimer {
    /// Makes a clock that has measured nothing yet.
    pub fn new() -> TaskTimer {
        TaskTimer::default()
    }

    /// Returns what it has measured so far.
    pub fn read(&self) -> TaskTimes {
        let Kinds { futures, closures, processes } = &*self.0;
        TaskTimes { futures: futures.read(), closures: closures.read(), processes: processes.read() }
    }

    fn of(&self, kind: TaskKind) -> &Counters {
        match kind {
            TaskKind::Future => &self.0.futures,
            TaskKind::Closure => &self.0.closures,
            TaskKind::Process => &self.0.processes,
        }
    }
}

impl Counters {
    fn read(&self) -> KindTimes {
        let busy = Duration::from_nanos(self.busy.load(Relaxed));
        KindTimes { busy, polls: self.polls.read(), start_delays: self.start_delays.read() }
    }
}

impl Hooks {
    /// Has `timer` measure the tasks of the runtime. It lies [around](Hooks::around_polls) their polls,
    /// inside of what has been set before. [`TaskTimer`] has an example.
    pub fn time_tasks(self, timer: &TaskTimer) -> Hooks {
        let timer = timer.clone();
        self.around_polls(move |task| {
            let (timer, started) = (timer.clone(), Instant::now());
            Some(Box::new(Timed { timer, kind: task.kind, started, entered: AtomicU64::new(NEVER) }))
        })
    }
}

/// The clock of one task.
struct Timed {
    timer: TaskTimer,
    kind: TaskKind,
    /// The time at which somebody started the task.
    started: Instant,
    /// The time at which its last poll began, in nanoseconds since then; [`NEVER`] before the first. Polls
    /// come one after the other, so that nobody else writes.
    entered: AtomicU64,
}

/// The time of the poll before the first one.
const NEVER: u64 = u64::MAX;

impl Timed {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(NEVER - 1)
    }
}

impl AroundPolls for Timed {
    fn enter(&self) {
        let now = self.now();
        if self.entered.load(Relaxed) == NEVER {
            self.timer.of(self.kind).start_delays.add(now);
        }
        self.entered.store(now, Relaxed);
    }

    fn leave(&self) {
        let time = self.now().saturating_sub(self.entered.load(Relaxed));
        let counters = self.timer.of(self.kind);
        counters.busy.fetch_add(time, Relaxed);
        counters.polls.add(time);
    }
}

impl fmt::Display for TaskTimes {
    /// Writes a line for each kind of which there was a task.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds =
            [("futures", &self.futures), ("closures", &self.closures), ("processes", &self.processes)];
        let mut begun = kinds.iter().filter(|(_, times)| times.start_delays.count() > 0);
        begun.try_for_each(|(name, times)| writeln!(f, "{name}: {times}"))
    }
}

impl fmt::Display for KindTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KindTimes { busy, polls, start_delays } = self;
        write!(f, "busy for {busy:.1?}; polls: {polls}; delays of starts: {start_delays}")
    }
}
