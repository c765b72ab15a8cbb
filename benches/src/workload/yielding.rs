//! Yield: tasks on one worker that do nothing but give way to each other.
//!
//! With two tasks the cost is the scheduler's path, with many it is also the cache misses of their frames.
//! The price of spawning them is in the figure, spread over a hundred yields or more for each task.
//!
//! What differs: tokio's `yield_now` sets the waker aside until the worker has looked at its driver once,
//! smol's wakes itself at once and goes to the back of the queue. The `-wake` systems are a future of our own
//! on tokio that does the same as smol's. `twoply-fibers` is straight-line code on fibers; async tasks on the
//! same runtime are `twoply-fibers-async`. `may`, Go and Erlang are straight-line code too; their schedulers
//! also preempt (Go, Erlang) or balance (all three), and that is in their price.

use std::future::poll_fn;
use std::task::Poll;

use anyhow::{Context as _, Result};
use twoply::Wait as _;
use twoply::future::yield_now;

use super::{Case, Context, NANOSECONDS, Sample, Series, check_count, timed};
use crate::peers;
use crate::runtimes::{self, Smol, Tasks as _};

/// How often each task gives way, at least: what a stack for each costs must not be most of the figure.
const STEP: usize = 100;

/// How many yields make a step. Of a great many tasks each gives way less often, or a step alone would take
/// seconds.
fn step(tasks: usize) -> usize {
    (STEP * tasks).min(1_000_000).max(tasks)
}

const SYSTEMS: &[(&str, super::Run)] = &[
    ("tokio-current", tokio),
    ("tokio-current-wake", tokio_wake),
    ("tokio-multi", tokio),
    ("tokio-multi-wake", tokio_wake),
    ("smol", smol),
    ("may", may),
    ("go", foreign),
    ("erl", foreign),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply_straight),
    ("twoply-fibers-async", twoply),
];

pub(crate) const CASES: &[Case] = &[
    timed("yield", &[("tasks", 2), ("workers", 1)], SYSTEMS),
    timed("yield", &[("tasks", 1_000), ("workers", 1)], SYSTEMS),
    Case { quick: false, ..timed("yield", &[("tasks", 10_000), ("workers", 1)], SYSTEMS) },
];

pub(crate) const SERIES: &[Series] = &[Series {
    workload: "yield",
    grows: "tasks",
    sizes: &[2, 100, 1_000, 10_000, 100_000],
    fixed: &[("workers", 1)],
    measures: NANOSECONDS,
    systems: &[
        ("tokio-current", tokio, usize::MAX),
        // Coroutines with a stack each: 100,000 stacks take longer to make than their yields.
        ("may", may, 10_000),
        ("go", foreign, usize::MAX),
        ("twoply-green", twoply, usize::MAX),
        ("twoply-fibers", twoply_straight, 10_000),
    ],
}];

/// A task that starts `$tasks` others with `$spawn`, which give way `$ops` times in all with `$yield`, and
/// adds up how often they did. `$join` awaits the result of one.
macro_rules! yielders {
    ($ops:expr, $tasks:expr, $spawn:expr, $yield:expr, |$handle:ident| $join:expr) => {{
        let (ops, tasks) = ($ops, $tasks);
        let yielder = move || async move {
            let mut done = 0;
            while done < ops / tasks {
                $yield.await;
                done += 1;
            }
            done
        };
        async move {
            let handles: Vec<_> = (0..tasks).map(|_| $spawn(yielder())).collect();
            let mut done = 0;
            for $handle in handles {
                done += $join;
            }
            anyhow::Ok(done)
        }
    }};
}

/// As many yields as a straight-line task has its share of.
macro_rules! yield_here {
    ($ops:expr, $tasks:expr, $yield:expr) => {{
        let share = $ops / $tasks;
        move || {
            let mut done = 0;
            while done < share {
                $yield;
                done += 1;
            }
            done
        }
    }};
}

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let tasks = ctx.param("tasks");
    ctx.time(step(tasks), |ops| {
        let parent = yielders!(ops, tasks, tokio::spawn, tokio::task::yield_now(), |handle| handle.await?);
        check_count(ops, runtime.run(parent)??)
    })
}

/// Wakes itself and is not ready, once.
async fn wake_once() {
    let mut woken = false;
    poll_fn(|cx| {
        if woken {
            return Poll::Ready(());
        }
        woken = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

fn tokio_wake(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let tasks = ctx.param("tasks");
    ctx.time(step(tasks), |ops| {
        let parent = yielders!(ops, tasks, tokio::spawn, wake_once(), |handle| handle.await?);
        check_count(ops, runtime.run(parent)??)
    })
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let tasks = ctx.param("tasks");
    ctx.time(step(tasks), |ops| {
        let parent = yielders!(ops, tasks, twoply::spawn, yield_now(), |handle| handle.await?);
        check_count(ops, runtime.run(parent)??)
    })
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let tasks = ctx.param("tasks");
    ctx.time(step(tasks), |ops| {
        let yielder = yield_here!(ops, tasks, yield_now().wait());
        let parent = move || {
            let handles: Vec<_> = (0..tasks).map(|_| twoply::spawn_fn(yielder)).collect();
            let mut done = 0;
            for handle in handles {
                done += handle.wait()?;
            }
            anyhow::Ok(done)
        };
        check_count(ops, runtime.run_fn(parent)??)
    })
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    let tasks = ctx.param("tasks");
    ctx.time(step(tasks), |ops| {
        let executor = smol.executor.clone();
        let parent =
            yielders!(ops, tasks, |yielder| executor.spawn(yielder), smol::future::yield_now(), |handle| {
                handle.await
            });
        check_count(ops, smol.run(parent)??)
    })
}

fn may(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    let tasks = ctx.param("tasks");
    ctx.time(step(tasks), |ops| {
        let yielder = yield_here!(ops, tasks, may::coroutine::yield_now());
        let parent = may::go!(move || {
            let handles: Vec<_> = (0..tasks).map(|_| may::go!(yielder)).collect();
            handles.into_iter().map(|handle| handle.join().ok()).sum::<Option<usize>>()
        });
        check_count(ops, parent.join().ok().flatten().context("a coroutine panicked")?)
    })
}

fn foreign(ctx: &Context) -> Result<Sample> {
    let tasks = ctx.param("tasks");
    peers::time(ctx, "yield", step(tasks), &[tasks], |ops| ops)
}
