//! The memory of an idle task: how much more is resident with all of them than before the first.
//!
//! Each task holds 64 bytes of state. In `memory-pending` it waits for nothing, in `memory-sleep` for a far
//! deadline. `memory-mailbox` is the idle actor: a task that waits for a message on an unbounded channel of
//! its own, and the sender that keeps it waiting. In `memory-blocked` the task is straight-line code that
//! waits for nothing, so each has a stack of its own. What the kernel keeps for a thread or a mapping is not
//! counted.
//!
//! The handles and senders count (8 bytes each), and so does what the allocator rounds up. Tasks start in
//! small groups, so that what a run queue needs for a burst is not charged to the tasks. All of them have
//! been polled before the memory is read, and all have been dropped when the runtime is gone; both are
//! checked. The CPU time is that of spawning and polling them.

use std::future::{Future, pending};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::runtime::Runtime;
use twoply::{Wait as _, channel};

use super::{Better, Case, Context, Measure, Run, Sample, Series, check_count};
use crate::runtimes::{self, Smol, Twoply};
use crate::usage;

const BYTES: &[Measure] = &[Measure { name: "", unit: "bytes/task", better: Better::Lower }];

/// Nobody sleeps to the end of this.
const FAR: Duration = Duration::from_secs(3600);

/// How many tasks start before the next ones do.
const GROUP: usize = 1000;

const HUNDRED_THOUSAND: &[(&str, usize)] = &[("tasks", 100_000), ("workers", 1)];
const MILLION: &[(&str, usize)] = &[("tasks", 1_000_000), ("workers", 1)];
const THOUSAND: &[(&str, usize)] = &[("tasks", 1000), ("workers", 1)];
const TWO_HUNDRED_THOUSAND: &[(&str, usize)] = &[("tasks", 200_000), ("workers", 1)];

const PENDING: &[(&str, Run)] = &[
    ("tokio-current", tokio_pending),
    ("tokio-multi", tokio_pending),
    ("smol", smol_pending),
    ("twoply-green", twoply_pending),
];
const SLEEP: &[(&str, Run)] =
    &[("tokio-multi", tokio_sleep), ("smol", smol_sleep), ("twoply-green", twoply_sleep)];
const MAILBOX: &[(&str, Run)] =
    &[("tokio-multi", tokio_mailbox), ("smol", smol_mailbox), ("twoply-green", twoply_mailbox)];
const BLOCKED: &[(&str, Run)] = &[
    ("std-thread", std_blocked),
    ("twoply-native", twoply_blocked),
    ("twoply-green", twoply_blocked),
    ("twoply-fibers", twoply_blocked),
];
const BLOCKED_FIBERS: &[(&str, Run)] = &[("twoply-fibers", twoply_blocked)];

pub(crate) const CASES: &[Case] = &[
    case("memory-pending", HUNDRED_THOUSAND, true, PENDING),
    case("memory-pending", MILLION, false, PENDING),
    case("memory-sleep", HUNDRED_THOUSAND, true, SLEEP),
    case("memory-sleep", MILLION, false, SLEEP),
    case("memory-mailbox", HUNDRED_THOUSAND, true, MAILBOX),
    case("memory-blocked", THOUSAND, true, BLOCKED),
    case("memory-blocked", HUNDRED_THOUSAND, true, BLOCKED_FIBERS),
    case("memory-blocked", TWO_HUNDRED_THOUSAND, false, BLOCKED_FIBERS),
];

pub(crate) const SERIES: &[Series] = &[Series {
    workload: "memory-pending",
    grows: "tasks",
    // With fewer, it is the pages of the allocator that are measured.
    sizes: &[1_000, 10_000, 100_000, 1_000_000],
    fixed: &[("workers", 1)],
    measures: BYTES,
    systems: &[
        ("tokio-current", tokio_pending, usize::MAX),
        ("tokio-multi", tokio_pending, usize::MAX),
        ("smol", smol_pending, usize::MAX),
        ("twoply-green", twoply_pending, usize::MAX),
    ],
}];

const fn case(
    workload: &'static str,
    params: &'static [(&'static str, usize)],
    quick: bool,
    systems: &'static [(&'static str, Run)],
) -> Case {
    Case { workload, params, measures: BYTES, quick, systems }
}

/// How many tasks have been polled. These two are statics, which take no room in a task's frame; the process
/// runs this workload alone.
static STARTED: AtomicUsize = AtomicUsize::new(0);
/// How many tasks have been dropped.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Counts one task's end.
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that holds 64 bytes of state while it waits. It takes a function, because a future that moves from
/// the captured variables of a frame to its awaited place takes its room twice.
async fn idle<W: Future>(wait: impl FnOnce() -> W) {
    let _counted = Counted;
    let state = black_box([0_u64; 8]);
    STARTED.fetch_add(1, Ordering::Relaxed);
    wait().await;
    black_box(&state);
}

/// Spawns all the tasks and reads how much memory they take. `settle` returns when that many tasks have
/// started.
fn measure<R, H>(
    ctx: &Context,
    runtime: R,
    spawn: impl Fn(&R) -> H,
    settle: impl Fn(&R, usize),
) -> Result<Sample> {
    let tasks = ctx.param("tasks");
    let mut handles = Vec::with_capacity(tasks);
    settle(&runtime, 0);
    let (cpu_before, before) = (usage::cpu_time(), usage::rss_kib()?);
    while handles.len() < tasks {
        handles.extend((0..GROUP).map(|_| spawn(&runtime)));
        settle(&runtime, handles.len());
    }
    let (cpu, after) = (usage::cpu_time() - cpu_before, usage::rss_kib()?);
    ensure!(DROPPED.load(Ordering::Relaxed) == 0, "a task ended while it was to wait");
    let sample = Sample::new(vec![(after.saturating_sub(before) * 1024) as f64 / tasks as f64], tasks, cpu)?;

    drop(handles);
    drop(runtime);
    check_count(tasks, DROPPED.load(Ordering::Relaxed))?;
    Ok(sample)
}

/// Gives the runtime's threads time until that many tasks have started.
fn settle_tokio(runtime: &Runtime, tasks: usize) {
    runtime.block_on(async {
        while STARTED.load(Ordering::Relaxed) < tasks {
            tokio::task::yield_now().await;
        }
    });
}

/// Gives the runtime's threads time until that many tasks have started.
fn settle<R>(_: &R, tasks: usize) {
    while STARTED.load(Ordering::Relaxed) < tasks {
        std::thread::yield_now();
    }
}

fn tokio_pending(ctx: &Context) -> Result<Sample> {
    measure(ctx, runtimes::tokio(ctx)?, |runtime| runtime.spawn(idle(pending::<()>)), settle_tokio)
}

fn smol_pending(ctx: &Context) -> Result<Sample> {
    measure(ctx, Smol::new(ctx.workers()), |smol| smol.executor.spawn(idle(pending::<()>)), settle)
}

fn tokio_sleep(ctx: &Context) -> Result<Sample> {
    let spawn = |runtime: &Runtime| runtime.spawn(idle(|| tokio::time::sleep(FAR)));
    measure(ctx, runtimes::tokio(ctx)?, spawn, settle_tokio)
}

fn smol_sleep(ctx: &Context) -> Result<Sample> {
    let deadline = Instant::now() + FAR;
    let spawn = |smol: &Smol| smol.executor.spawn(idle(move || smol::Timer::at(deadline)));
    measure(ctx, Smol::new(ctx.workers()), spawn, settle)
}

fn tokio_mailbox(ctx: &Context) -> Result<Sample> {
    let spawn = |runtime: &Runtime| {
        let (sender, mut mailbox) = tokio::sync::mpsc::unbounded_channel::<u64>();
        (runtime.spawn(idle(|| async move { mailbox.recv().await })), sender)
    };
    measure(ctx, runtimes::tokio(ctx)?, spawn, settle_tokio)
}

fn smol_mailbox(ctx: &Context) -> Result<Sample> {
    let spawn = |smol: &Smol| {
        let (sender, mailbox) = async_channel::unbounded::<u64>();
        (smol.executor.spawn(idle(|| async move { mailbox.recv().await })), sender)
    };
    measure(ctx, Smol::new(ctx.workers()), spawn, settle)
}

fn twoply_pending(ctx: &Context) -> Result<Sample> {
    let spawn = |runtime: &Twoply| runtime.spawner().spawn(idle(pending::<()>));
    measure(ctx, runtimes::twoply(ctx)?, spawn, settle)
}

fn twoply_sleep(ctx: &Context) -> Result<Sample> {
    let spawn = |runtime: &Twoply| runtime.spawner().spawn(idle(|| twoply::time::sleep(FAR)));
    measure(ctx, runtimes::twoply(ctx)?, spawn, settle)
}

fn twoply_mailbox(ctx: &Context) -> Result<Sample> {
    let spawn = |runtime: &Twoply| {
        let (sender, mailbox) = channel::unbounded::<u64>();
        (runtime.spawner().spawn(idle(|| async move { mailbox.recv().await })), sender)
    };
    measure(ctx, runtimes::twoply(ctx)?, spawn, settle)
}

/// As [`idle`], on a stack.
fn blocked(wait: impl FnOnce()) {
    let _counted = Counted;
    let state = black_box([0_u64; 8]);
    STARTED.fetch_add(1, Ordering::Relaxed);
    wait();
    black_box(&state);
}

fn twoply_blocked(ctx: &Context) -> Result<Sample> {
    let spawn = |runtime: &Twoply| runtime.spawner().spawn_fn(|| blocked(|| pending::<()>().wait()));
    measure(ctx, runtimes::twoply(ctx)?, spawn, settle)
}

/// Whether parked threads may end.
static RELEASED: AtomicBool = AtomicBool::new(false);

/// A thread that is parked until this is dropped.
struct ParkedThread(Option<JoinHandle<()>>);

impl ParkedThread {
    fn start() -> Self {
        Self(Some(thread::spawn(|| {
            blocked(|| {
                while !RELEASED.load(Ordering::Acquire) {
                    thread::park();
                }
            });
        })))
    }
}

impl Drop for ParkedThread {
    fn drop(&mut self) {
        // Release, for the Acquire in the thread.
        RELEASED.store(true, Ordering::Release);
        if let Some(thread) = self.0.take() {
            thread.thread().unpark();
            // One that panicked has not counted its end, which is checked.
            let _ended = thread.join();
        }
    }
}

fn std_blocked(ctx: &Context) -> Result<Sample> {
    measure(ctx, (), |()| ParkedThread::start(), settle)
}
