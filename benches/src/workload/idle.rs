//! Idle: the CPU time of a runtime whose tasks all wait for messages that do not come.
//!
//! Spinning before sleep must end in sleep. There are two workers and 100 tasks; the tasks have been told to
//! start and have had a while to settle. In `twoply-native` each is a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use twoply::{Wait as _, channel};

use super::{Better, Case, Context, Measure, Sample, check_count};
use crate::{runtimes, usage};

pub(crate) const CASES: &[Case] = &[Case {
    workload: "idle",
    params: &[("tasks", 100), ("workers", 2)],
    measures: &[Measure { name: "", unit: "us of CPU a second", better: Better::Lower }],
    quick: true,
    systems: &[
        ("tokio-multi", tokio),
        ("twoply-green", twoply),
        ("twoply-fibers", twoply_straight),
        ("twoply-native", twoply_straight),
    ],
}];

/// Measures a while in which nothing happens. `received` counts the tasks that were started, and at the end
/// those that got their message, which `release` sends.
fn measure(ctx: &Context, received: &AtomicUsize, release: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let tasks = ctx.param("tasks");
    while received.load(Ordering::Acquire) < tasks {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(100));
    let (cpu_before, start) = (usage::cpu_time(), Instant::now());
    thread::sleep(Duration::from_millis(if ctx.quick { 200 } else { 500 }));
    let (cpu, took) = (usage::cpu_time() - cpu_before, start.elapsed());
    ensure!(received.load(Ordering::Acquire) == tasks, "a message came that nobody had sent");
    release()?;
    check_count(2 * tasks, received.load(Ordering::Acquire))?;
    Sample::new(vec![cpu.as_secs_f64() * 1e6 / took.as_secs_f64()], 1, cpu)
}

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let received = Arc::new(AtomicUsize::new(0));
    let (sender, _) = tokio::sync::broadcast::channel::<()>(1);
    let task = || {
        let (mut receiver, received) = (sender.subscribe(), received.clone());
        runtime.spawn(async move {
            received.fetch_add(1, Ordering::AcqRel);
            receiver.recv().await?;
            received.fetch_add(1, Ordering::AcqRel);
            anyhow::Ok(())
        })
    };
    let tasks: Vec<_> = (0..ctx.param("tasks")).map(|_| task()).collect();
    measure(ctx, &received, || {
        sender.send(())?;
        tasks.into_iter().try_for_each(|task| runtime.block_on(task)?)
    })
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let received = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = channel::bounded::<()>(ctx.param("tasks"));
    let task = || {
        let (receiver, received) = (receiver.clone(), received.clone());
        runtime.spawner().spawn(async move {
            received.fetch_add(1, Ordering::AcqRel);
            receiver.recv().await?;
            received.fetch_add(1, Ordering::AcqRel);
            anyhow::Ok(())
        })
    };
    let tasks: Vec<_> = (0..ctx.param("tasks")).map(|_| task()).collect();
    measure(ctx, &received, || {
        tasks.iter().try_for_each(|_| sender.try_send(()))?;
        tasks.into_iter().try_for_each(|task| task.wait()?)
    })
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let received = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = channel::bounded::<()>(ctx.param("tasks"));
    let task = || {
        let (receiver, received) = (receiver.clone(), received.clone());
        runtime.spawner().spawn_fn(move || {
            received.fetch_add(1, Ordering::AcqRel);
            receiver.recv().wait()?;
            received.fetch_add(1, Ordering::AcqRel);
            anyhow::Ok(())
        })
    };
    let tasks: Vec<_> = (0..ctx.param("tasks")).map(|_| task()).collect();
    measure(ctx, &received, || {
        tasks.iter().try_for_each(|_| sender.try_send(()))?;
        tasks.into_iter().try_for_each(|task| task.wait()?)
    })
}
