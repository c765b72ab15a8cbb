//! Fan-out and fan-in: one task deals jobs out to eight, and one collects their results.
//!
//! Jobs are numbers, a result is the double of one, and the sum of the results is checked. An operation is a job: two
//! messages. Both channels hold 100.
//!
//! What differs: the workers share one receiver of jobs where the channel allows it. tokio's does not, so each worker
//! has a channel of its own, of a share of the room, and the jobs go to them in turn; so do Erlang's, to mailboxes
//! without a bound. may's channels have no bound either. `kanal` and `crossbeam` are ten threads, so is `twoply-native`.
//! In `twoply-mixed` the workers are native, dealing and collecting is green.

use std::iter;
use std::thread;

use anyhow::{Context as _, Result};
use twoply::channel::{self, Receiver, Sender};
use twoply::{Spawner, Wait as _};

use super::{Case, Context, NANOSECONDS, Sample, check_count};
use crate::peers;
use crate::runtimes::{self, Smol};

pub(crate) const CASES: &[Case] = &[Case {
    workload: "fan-out-in",
    params: &[("consumers", 8), ("capacity", 100), ("workers", 2)],
    measures: NANOSECONDS,
    runs: 3,
    quick: true,
    systems: &[
        ("crossbeam", crossbeam),
        ("kanal", kanal),
        ("tokio-multi", tokio),
        ("kanal-tokio-multi", kanal_tokio),
        ("flume-tokio-multi", flume_tokio),
        ("smol", smol),
        ("may", may),
        ("go", foreign),
        ("erl", foreign),
        ("twoply-green", twoply),
        ("twoply-fibers", twoply_straight),
        ("twoply-native", twoply_straight),
        ("twoply-mixed", twoply_mixed),
    ],
}];

/// How many jobs a run has at least: what threads cost must not be the figure.
const STEP: usize = 2000;

/// The sum of the results of that many jobs.
fn sum_of(jobs: usize) -> usize {
    jobs * (jobs - 1)
}

/// Measures jobs. `run` is told how many, how many work on them and the room of each channel; it gives back the sum of
/// the results.
fn time(ctx: &Context, mut run: impl FnMut(usize, usize, usize) -> Result<usize>) -> Result<Sample> {
    let (workers, capacity) = (ctx.param("consumers"), ctx.param("capacity"));
    ctx.time(STEP, |jobs| check_count(sum_of(jobs), run(jobs, workers, capacity)?))
}

/// A future that starts the dealer and a worker on each of `$inboxes`, and gives back the sum of what comes out at
/// `$results`. `$start` starts a future as a task.
macro_rules! tasks {
    ($jobs:expr, $inboxes:expr, $result_sender:expr, $results:expr, |$task:ident| $start:expr,
     |$job:ident| $deal:expr, |$inbox:ident| $take:expr, |$to:ident, $result:ident| $give:expr, $collect:expr) => {{
        let (jobs, inboxes, result_sender) = ($jobs, $inboxes, $result_sender);
        async move {
            for inbox in inboxes {
                // Some receive through a shared reference.
                #[allow(unused_mut)]
                let mut $inbox = inbox;
                let $to = result_sender.clone();
                let $task = async move {
                    while let Some(job) = $take {
                        let $result = 2 * job;
                        // If nobody collects, the sum will tell.
                        let _given = $give;
                    }
                };
                $start;
            }
            drop(result_sender);
            let $task = async move {
                for $job in 0..jobs {
                    let _dealt = $deal;
                }
            };
            $start;
            let mut sum = 0;
            while let Some(result) = $collect {
                sum += result;
            }
            anyhow::Ok(sum)
        }
    }};
}

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    time(ctx, |jobs, workers, capacity| {
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| tokio::sync::mpsc::channel::<usize>(capacity.div_ceil(workers))).unzip();
        let (give, mut results) = tokio::sync::mpsc::channel::<usize>(capacity);
        let run = tasks!(
            jobs,
            inboxes,
            give,
            results,
            |task| tokio::spawn(task),
            |job| senders[job % workers].send(job).await,
            |inbox| inbox.recv().await,
            |to, result| to.send(result).await,
            results.recv().await
        );
        runtime.block_on(runtime.spawn(run))?
    })
}

fn kanal_tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    time(ctx, |jobs, workers, capacity| {
        let (deal, inbox) = kanal::bounded_async::<usize>(capacity);
        let (give, results) = kanal::bounded_async::<usize>(capacity);
        let run = tasks!(
            jobs,
            iter::repeat_n(inbox, workers),
            give,
            results,
            |task| tokio::spawn(task),
            |job| deal.send(job).await,
            |inbox| inbox.recv().await.ok(),
            |to, result| to.send(result).await,
            results.recv().await.ok()
        );
        runtime.block_on(runtime.spawn(run))?
    })
}

fn flume_tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    time(ctx, |jobs, workers, capacity| {
        let (deal, inbox) = flume::bounded::<usize>(capacity);
        let (give, results) = flume::bounded::<usize>(capacity);
        let run = tasks!(
            jobs,
            iter::repeat_n(inbox, workers),
            give,
            results,
            |task| tokio::spawn(task),
            |job| deal.send_async(job).await,
            |inbox| inbox.recv_async().await.ok(),
            |to, result| to.send_async(result).await,
            results.recv_async().await.ok()
        );
        runtime.block_on(runtime.spawn(run))?
    })
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    time(ctx, |jobs, workers, capacity| {
        let (deal, inbox) = async_channel::bounded::<usize>(capacity);
        let (give, results) = async_channel::bounded::<usize>(capacity);
        let executor = smol.executor.clone();
        smol.run(tasks!(
            jobs,
            iter::repeat_n(inbox, workers),
            give,
            results,
            |task| executor.spawn(task).detach(),
            |job| deal.send(job).await,
            |inbox| inbox.recv().await.ok(),
            |to, result| to.send(result).await,
            results.recv().await.ok()
        ))
    })
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    time(ctx, |jobs, workers, capacity| {
        let (deal, inbox) = channel::bounded::<usize>(capacity);
        let (give, results) = channel::bounded::<usize>(capacity);
        runtime.run(tasks!(
            jobs,
            iter::repeat_n(inbox, workers),
            give,
            results,
            |task| twoply::spawn(task).detach(),
            |job| deal.send(job).await,
            |inbox| inbox.recv().await.ok(),
            |to, result| to.send(result).await,
            results.recv().await.ok()
        ))?
    })
}

/// Works on what comes, in straight-line code.
fn start_worker(spawner: &Spawner, inbox: Receiver<usize>, results: Sender<usize>) {
    // If nobody collects, the sum will tell.
    let work = move || inbox.iter().try_for_each(|job| results.send(2 * job).wait());
    spawner.spawn_fn(work).detach();
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    time(ctx, |jobs, workers, capacity| {
        let (deal, inbox) = channel::bounded::<usize>(capacity);
        let (give, results) = channel::bounded::<usize>(capacity);
        for (inbox, give) in iter::repeat_n((inbox, give), workers) {
            start_worker(runtime.spawner(), inbox, give);
        }
        runtime.spawner().spawn_fn(move || (0..jobs).try_for_each(|job| deal.send(job).wait())).detach();
        runtime.run_fn(move || results.iter().sum())
    })
}

fn twoply_mixed(ctx: &Context) -> Result<Sample> {
    let native = runtimes::twoply_named("native", 0)?;
    let green = runtimes::twoply_named("green", ctx.workers())?;
    time(ctx, |jobs, workers, capacity| {
        let (deal, inbox) = channel::bounded::<usize>(capacity);
        let (give, results) = channel::bounded::<usize>(capacity);
        for (inbox, give) in iter::repeat_n((inbox, give), workers) {
            start_worker(native.spawner(), inbox, give);
        }
        green.run(async move {
            let dealer = async move {
                for job in 0..jobs {
                    deal.send(job).await?;
                }
                anyhow::Ok(())
            };
            twoply::spawn(dealer).detach();
            let mut sum = 0;
            while let Ok(result) = results.recv().await {
                sum += result;
            }
            sum
        })
    })
}

/// Dealer and workers on threads, over channels of std's shape; this thread collects.
macro_rules! threads {
    ($jobs:expr, $workers:expr, $channel:expr) => {{
        let (deal, inbox) = $channel;
        let (give, results) = $channel;
        for (inbox, give) in iter::repeat_n((inbox, give), $workers) {
            thread::spawn(move || {
                while let Ok(job) = inbox.recv() {
                    // If nobody collects, the sum will tell.
                    let _given = give.send(2 * job);
                }
            });
        }
        thread::spawn(move || {
            for job in 0..$jobs {
                let _dealt = deal.send(job);
            }
        });
        Ok(iter::from_fn(|| results.recv().ok()).sum())
    }};
}

fn crossbeam(ctx: &Context) -> Result<Sample> {
    time(ctx, |jobs, workers, capacity| {
        threads!(jobs, workers, crossbeam_channel::bounded::<usize>(capacity))
    })
}

fn kanal(ctx: &Context) -> Result<Sample> {
    time(ctx, |jobs, workers, capacity| threads!(jobs, workers, kanal::bounded::<usize>(capacity)))
}

fn may(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    time(ctx, |jobs, workers, _| {
        let collector = may::go!(move || {
            let (deal, inbox) = may::sync::mpmc::channel::<usize>();
            let (give, results) = may::sync::mpsc::channel::<usize>();
            for (inbox, give) in iter::repeat_n((inbox, give), workers) {
                may::go!(move || {
                    while let Ok(job) = inbox.recv() {
                        // If nobody collects, the sum will tell.
                        let _given = give.send(2 * job);
                    }
                });
            }
            may::go!(move || {
                for job in 0..jobs {
                    let _dealt = deal.send(job);
                }
            });
            iter::from_fn(|| results.recv().ok()).sum()
        });
        collector.join().ok().context("a coroutine panicked")
    })
}

fn foreign(ctx: &Context) -> Result<Sample> {
    peers::time(ctx, "fan", STEP, &[ctx.param("consumers"), ctx.param("capacity")], sum_of)
}
