//! Spawn and finish: tasks that end at once, in batches whose results are awaited in order.
//!
//! The spawner is itself a task on a worker. Each task gives back its number, and the sum is checked. In
//! `spawn` a batch is 1,000 tasks; `spawn-many` varies how many are alive at a time.
//!
//! What differs: tokio's tasks enter a list of all tasks of the runtime (that is how its shutdown finds
//! them), and smol's executor does the same under a lock; both count in the price. A closure (`-closure`) is
//! straight-line code: a task that could block, and does not. may's coroutines, goroutines and Erlang's
//! processes have a stack or heap each; the latter two give their numbers back as messages to their spawner.

use anyhow::{Context as _, Result};

use super::{Case, Context, NANOSECONDS, Sample, Series, check_count, timed};
use crate::peers;
use crate::runtimes::{self, Smol, Tasks as _};

/// How many tasks are alive at a time, unless the case says.
const BATCH: usize = 1000;

/// How many tasks are alive at a time.
fn batch(ctx: &Context) -> usize {
    ctx.param_or("tasks", BATCH)
}

pub(crate) const CASES: &[Case] = &[
    timed(
        "spawn",
        &[("workers", 1)],
        &[
            ("tokio-current", tokio),
            ("tokio-multi", tokio),
            ("smol", smol),
            ("may", may),
            ("go", foreign),
            ("erl", foreign),
            ("twoply-green", twoply),
            ("twoply-green-closure", twoply_closure),
            ("twoply-fibers", twoply),
            ("twoply-fibers-closure", twoply_closure),
        ],
    ),
    timed(
        "spawn",
        &[("workers", 2)],
        &[
            ("tokio-multi", tokio),
            ("smol", smol),
            ("may", may),
            ("go", foreign),
            ("erl", foreign),
            ("twoply-green", twoply),
            ("twoply-green-closure", twoply_closure),
            ("twoply-fibers", twoply),
            ("twoply-fibers-closure", twoply_closure),
        ],
    ),
];

pub(crate) const SERIES: &[Series] = &[Series {
    workload: "spawn-many",
    grows: "tasks",
    sizes: &[10, 100, 1_000, 10_000, 100_000, 1_000_000],
    fixed: &[("workers", 1)],
    measures: NANOSECONDS,
    systems: &[
        ("tokio-current", tokio, usize::MAX),
        ("smol", smol, usize::MAX),
        ("go", foreign, 100_000),
        ("twoply-green", twoply, usize::MAX),
    ],
}];

/// The sum of the results of all tasks, if each of them ran once.
fn sum_of(ops: usize, batch: usize) -> usize {
    ops / batch * (batch * (batch - 1) / 2)
}

fn check_sum(ops: usize, batch: usize, sum: usize) -> Result<()> {
    check_count(sum_of(ops, batch), sum)
}

/// A task that spawns batches with `$spawn`, which makes a task of a number, and awaits their results with
/// `$join`.
macro_rules! batches {
    ($ops:expr, $batch:expr, $spawn:expr, |$task:ident| $join:expr) => {
        async move {
            let mut sum = 0;
            for _ in 0..$ops / $batch {
                let tasks: Vec<_> = (0..$batch).map($spawn).collect();
                for $task in tasks {
                    sum += $join;
                }
            }
            anyhow::Ok(sum)
        }
    };
}

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let batch = batch(ctx);
    ctx.time(batch, |ops| {
        let spawn = |number| tokio::spawn(async move { number });
        check_sum(ops, batch, runtime.run(batches!(ops, batch, spawn, |task| task.await?))??)
    })
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    let batch = batch(ctx);
    ctx.time(batch, |ops| {
        let executor = smol.executor.clone();
        let spawn = move |number| executor.spawn(async move { number });
        check_sum(ops, batch, smol.run(batches!(ops, batch, &spawn, |task| task.await))??)
    })
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let batch = batch(ctx);
    ctx.time(batch, |ops| {
        let spawn = |number| twoply::spawn(async move { number });
        check_sum(ops, batch, runtime.run(batches!(ops, batch, spawn, |task| task.await?))??)
    })
}

fn twoply_closure(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let batch = batch(ctx);
    ctx.time(batch, |ops| {
        let spawn = |number| twoply::spawn_fn(move || number);
        check_sum(ops, batch, runtime.run(batches!(ops, batch, spawn, |task| task.await?))??)
    })
}

fn may(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    let batch = batch(ctx);
    ctx.time(batch, |ops| {
        let spawner = may::go!(move || {
            let mut sum = 0;
            for _ in 0..ops / batch {
                let tasks: Vec<_> = (0..batch).map(|number| may::go!(move || number)).collect();
                for task in tasks {
                    sum += task.join().ok()?;
                }
            }
            Some(sum)
        });
        check_sum(ops, batch, spawner.join().ok().flatten().context("a coroutine panicked")?)
    })
}

fn foreign(ctx: &Context) -> Result<Sample> {
    let batch = batch(ctx);
    peers::time(ctx, "spawn", batch, &[batch], |ops| sum_of(ops, batch))
}
