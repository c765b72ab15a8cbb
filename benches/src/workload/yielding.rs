//! Yield: tasks on one worker that do nothing but give way to each other.
//!
//! With two tasks the cost is the scheduler's path, with many it is also the cache misses of their frames.
//! The price of spawning them is in the figure, spread over some hundreds of yields for each task.
//!
//! What differs: tokio's `yield_now` sets the waker aside until the worker has looked at its driver once,
//! smol's wakes itself at once and goes to the back of the queue.

use anyhow::Result;

use super::{Case, Context, NANOSECONDS, Sample, check_count};
use crate::runtimes::{self, Smol};

const SYSTEMS: &[(&str, super::Run)] = &[("tokio-current", tokio), ("tokio-multi", tokio), ("smol", smol)];

const fn case(params: &'static [(&'static str, usize)]) -> Case {
    Case { workload: "yield", params, measures: NANOSECONDS, runs: 5, quick: true, systems: SYSTEMS }
}

pub(crate) const CASES: &[Case] = &[
    case(&[("tasks", 2), ("workers", 1)]),
    case(&[("tasks", 1_000), ("workers", 1)]),
    case(&[("tasks", 10_000), ("workers", 1)]),
];

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let tasks = ctx.param("tasks");
    ctx.time(tasks, |ops| {
        let yielder = move || async move {
            let mut done = 0;
            while done < ops / tasks {
                tokio::task::yield_now().await;
                done += 1;
            }
            done
        };
        let parent = async move {
            let handles: Vec<_> = (0..tasks).map(|_| tokio::spawn(yielder())).collect();
            let mut done = 0;
            for handle in handles {
                done += handle.await?;
            }
            anyhow::Ok(done)
        };
        check_count(ops, runtime.block_on(runtime.spawn(parent))??)
    })
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    let tasks = ctx.param("tasks");
    ctx.time(tasks, |ops| {
        let yielder = move || async move {
            let mut done = 0;
            while done < ops / tasks {
                smol::future::yield_now().await;
                done += 1;
            }
            done
        };
        let executor = smol.executor.clone();
        let done = smol.run(async move {
            let handles: Vec<_> = (0..tasks).map(|_| executor.spawn(yielder())).collect();
            let mut done = 0;
            for handle in handles {
                done += handle.await;
            }
            done
        });
        check_count(ops, done)
    })
}
