//! Task-locals: what it costs to look at one (`local-get`), and to run a future with one (`local-scope`),
//! which looks at it once.
//!
//! tokio's is a thread-local that the scope swaps its value into for each poll; ours lies in the record of
//! the running stack, where it is found after a hand-over to another thread, too.

use std::hint::black_box;

use anyhow::Result;

use super::{Case, Context, Run, Sample, check_count, timed};
use crate::runtimes;

const GET: &[(&str, Run)] = &[
    ("tokio-current", |ctx| run(ctx, &runtimes::tokio(ctx)?, get_tokio)),
    ("twoply-green", |ctx| run(ctx, &runtimes::twoply(ctx)?, get_ours)),
    ("twoply-native", |ctx| run(ctx, &runtimes::twoply(ctx)?, get_ours)),
];
const SCOPE: &[(&str, Run)] = &[
    ("tokio-current", |ctx| run(ctx, &runtimes::tokio(ctx)?, scope_tokio)),
    ("twoply-green", |ctx| run(ctx, &runtimes::twoply(ctx)?, scope_ours)),
    ("twoply-native", |ctx| run(ctx, &runtimes::twoply(ctx)?, scope_ours)),
];

pub(crate) const CASES: &[Case] =
    &[timed("local-get", &[("workers", 1)], GET), timed("local-scope", &[("workers", 1)], SCOPE)];

/// How many operations a run has at least.
const STEP: usize = 1000;

tokio::task_local! {
    static THEIRS: usize;
}

twoply::task_local! {
    static OURS: usize;
}

/// Runs `work`, which does that many operations and returns their number, as a task.
fn run<F>(ctx: &Context, runtime: &impl runtimes::Tasks, work: fn(usize) -> F) -> Result<Sample>
where
    F: Future<Output = usize> + Send + 'static,
{
    ctx.time(STEP, |ops| check_count(ops, runtime.run(work(ops))?))
}

/// Adds up what `$key` holds, `$ops` times.
macro_rules! get {
    ($key:ident, $ops:expr) => {
        $key.scope(1, async move {
            let mut sum = 0;
            for _ in 0..$ops {
                sum += $key.with(|one| *black_box(one));
            }
            sum
        })
    };
}

/// Adds up what `$key` holds, in `$ops` scopes.
macro_rules! scopes {
    ($key:ident, $ops:expr) => {{
        let mut sum = 0;
        for _ in 0..$ops {
            sum += $key.scope(black_box(1), async { $key.with(|one| *one) }).await;
        }
        sum
    }};
}

async fn get_tokio(ops: usize) -> usize {
    get!(THEIRS, ops).await
}

async fn get_ours(ops: usize) -> usize {
    get!(OURS, ops).await
}

async fn scope_tokio(ops: usize) -> usize {
    scopes!(THEIRS, ops)
}

async fn scope_ours(ops: usize) -> usize {
    scopes!(OURS, ops)
}
