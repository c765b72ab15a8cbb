//! Fan-out and fan-in: one task deals jobs out to eight, and one collects their results.
//!
//! Jobs are numbers, a result is the double of one, and the sum of the results is checked. An operation is a
//! job: two messages. Both channels hold 100.
//!
//! What differs: the workers share one receiver of jobs where the channel allows it. tokio's does not, so
//! each worker has a channel of its own, of a share of the room, and the jobs go to them in turn; so do
//! Erlang's, to mailboxes without a bound. may's channels have no bound either. `kanal` and `crossbeam` are
//! ten threads, so is `twoply-native`. In `twoply-mixed` the workers are native, dealing and collecting is
//! green.

use std::iter;

use anyhow::{Context as _, Result};
use twoply::channel::{self, Receiver, Sender};

use super::channels::{consume, produce};
use super::{Case, Context, Sample, check_count, timed};
use crate::ends::{Give, GiveHere, Take, TakeHere, Taken as _};
use crate::peers;
use crate::runtimes::{self, Coroutines, Running, Smol, Stacks, Start as _, Tasks, Threads};

pub(crate) const CASES: &[Case] = &[timed(
    "fan-out-in",
    &[("consumers", 8), ("capacity", 100), ("workers", 2)],
    &[
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
)];

/// How many jobs a run has at least: what threads cost must not be the figure.
const STEP: usize = 2000;

/// The sum of the results of that many jobs.
fn sum_of(jobs: usize) -> usize {
    jobs * (jobs - 1)
}

/// Measures jobs. `run` is told how many, how many work on them and the room of each channel; it gives back
/// the sum of the results.
fn time(ctx: &Context, mut run: impl FnMut(usize, usize, usize) -> Result<usize>) -> Result<Sample> {
    let (workers, capacity) = (ctx.param("consumers"), ctx.param("capacity"));
    ctx.time(STEP, |jobs| check_count(sum_of(jobs), run(jobs, workers, capacity)?))
}

/// The ends of both channels.
struct Channels<S, R, G, C> {
    /// Where the jobs go, in turn.
    deal: Vec<S>,
    /// Where each worker gets its jobs from.
    inboxes: Vec<R>,
    /// Where the workers send their results.
    give: G,
    /// Where those come out.
    results: C,
}

impl<S, R: Clone, G, C> Channels<S, R, G, C> {
    /// Two channels, the first of which all workers share.
    fn shared(workers: usize, jobs: (S, R), results: (G, C)) -> Self {
        let inboxes = iter::repeat_n(jobs.1, workers).collect();
        Self { deal: vec![jobs.0], inboxes, give: results.0, results: results.1 }
    }
}

/// Measures async tasks. `channels` makes both channels for that many workers and that room.
fn tasks<S: Give, R: Take, G: Give, C: Take>(
    ctx: &Context,
    runtime: &impl Tasks,
    channels: impl Fn(usize, usize) -> Channels<S, R, G, C>,
) -> Result<Sample> {
    time(ctx, |jobs, workers, capacity| {
        let Channels { deal, inboxes, give, results } = channels(workers, capacity);
        let starter = runtime.starter();
        runtime.run(async move {
            let givers = iter::repeat_n(give, workers);
            let workers: Vec<_> =
                inboxes.into_iter().zip(givers).map(|(inbox, to)| starter.start(work(inbox, to))).collect();
            let dealer = starter.start(async move {
                for (job, to) in (0..jobs).zip(deal.iter().cycle()) {
                    let _sent = to.give(job).await;
                }
            });
            let sum = consume(results).await;
            dealer.await?;
            for worker in workers {
                worker.await?;
            }
            Ok(sum)
        })?
    })
}

/// Works on what comes.
async fn work(mut inbox: impl Take, to: impl Give) {
    while let Some(job) = inbox.take().await.number() {
        let _sent = to.give(2 * job).await;
    }
}

/// Measures straight-line code: workers and the dealer on these stacks, and the collector too, or here.
fn stacks<S: GiveHere, R: TakeHere, G: GiveHere, C: TakeHere>(
    ctx: &Context,
    stacks: &impl Stacks,
    channels: impl Fn(usize, usize) -> Channels<S, R, G, C>,
) -> Result<Sample> {
    time(ctx, |jobs, workers, capacity| {
        let Channels { deal, inboxes, give, mut results } = channels(workers, capacity);
        let mut running = start_workers(stacks, inboxes, give);
        running.push(stacks.start(move || {
            for (job, to) in (0..jobs).zip(deal.iter().cycle()) {
                to.give_here(job);
            }
        }));
        let collector = stacks.start(move || iter::from_fn(|| results.take_here()).sum());
        running.into_iter().try_for_each(|running| running())?;
        collector()
    })
}

/// The workers, in straight-line code.
fn start_workers<R: TakeHere, G: GiveHere>(
    stacks: &impl Stacks,
    inboxes: Vec<R>,
    give: G,
) -> Vec<Running<()>> {
    let givers = iter::repeat_n(give, inboxes.len());
    let start = |(mut inbox, to): (R, G)| {
        stacks.start(move || {
            while let Some(job) = inbox.take_here() {
                to.give_here(2 * job);
            }
        })
    };
    inboxes.into_iter().zip(givers).map(start).collect()
}

fn tokio(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, |workers, capacity| {
        let inbox = |_| tokio::sync::mpsc::channel(capacity.div_ceil(workers));
        let (deal, inboxes) = (0..workers).map(inbox).unzip();
        let (give, results) = tokio::sync::mpsc::channel(capacity);
        Channels { deal, inboxes, give, results }
    })
}

fn kanal_tokio(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, |workers, capacity| {
        Channels::shared(workers, kanal::bounded_async(capacity), kanal::bounded_async(capacity))
    })
}

fn flume_tokio(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, |workers, capacity| {
        Channels::shared(workers, flume::bounded(capacity), flume::bounded(capacity))
    })
}

fn smol(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &Smol::new(ctx.workers()), |workers, capacity| {
        Channels::shared(workers, async_channel::bounded(capacity), async_channel::bounded(capacity))
    })
}

type TwoplyChannels = Channels<Sender<usize>, Receiver<usize>, Sender<usize>, Receiver<usize>>;

/// Our channels.
fn twoply_channels(workers: usize, capacity: usize) -> TwoplyChannels {
    Channels::shared(workers, channel::bounded(capacity), channel::bounded(capacity))
}

fn twoply(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::twoply(ctx)?, twoply_channels)
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &runtimes::twoply(ctx)?, twoply_channels)
}

fn twoply_mixed(ctx: &Context) -> Result<Sample> {
    let native = runtimes::twoply_named("native", 0)?;
    let green = runtimes::twoply_named("green", ctx.workers())?;
    time(ctx, |jobs, workers, capacity| {
        let Channels { mut deal, inboxes, give, results } = twoply_channels(workers, capacity);
        let workers = start_workers(&native, inboxes, give);
        let dealer = deal.pop().context("no channel to deal into")?;
        let sum = green.run(async move {
            twoply::spawn(produce(dealer, jobs)).detach();
            consume(results).await
        })?;
        workers.into_iter().try_for_each(|worker| worker())?;
        Ok(sum)
    })
}

fn crossbeam(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &Threads, |workers, capacity| {
        Channels::shared(workers, crossbeam_channel::bounded(capacity), crossbeam_channel::bounded(capacity))
    })
}

fn kanal(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &Threads, |workers, capacity| {
        Channels::shared(workers, kanal::bounded(capacity), kanal::bounded(capacity))
    })
}

fn may(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    stacks(ctx, &Coroutines, |workers, _| {
        Channels::shared(workers, may::sync::mpmc::channel(), may::sync::mpsc::channel())
    })
}

fn foreign(ctx: &Context) -> Result<Sample> {
    peers::time(ctx, "fan", STEP, &[ctx.param("consumers"), ctx.param("capacity")], sum_of)
}
