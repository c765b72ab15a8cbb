//! A ring of tasks, each with a channel to the next: the time of one hop of the one message that goes round.
//!
//! A hop is a message and a switch to a task that has not run for a whole round. The message counts the hops
//! that are left, and the task that gets a zero says its number, which tells how many hops there really were.
//! The ring is made before the clock starts (Go and Erlang make theirs anew for each run, a thousandth of its
//! time).
//!
//! The channels hold one message; Erlang's mailboxes and may's channels are unbounded. tokio's, kanal's and
//! flume's run on tokio; async-channel runs on smol. `std-mpsc` and `crossbeam` are a thread for each node,
//! so is `twoply-native`. In `twoply-mixed` every other node is a native thread, and the rest are green
//! tasks: each hop crosses the line.

use anyhow::{Context as _, Result, ensure};
use twoply::channel;

use super::{Case, Context, Sample, timed};
use crate::ends::{Give, GiveHere, Take, TakeHere, Taken as _};
use crate::peers;
use crate::runtimes::{self, Coroutines, Running, Smol, Stacks, Start as _, Tasks, Threads};

pub(crate) const CASES: &[Case] = &[
    timed(
        "ring",
        &[("nodes", 1000), ("workers", 1)],
        &[
            ("tokio-current", tokio),
            ("tokio-multi", tokio),
            ("kanal-tokio-current", kanal),
            ("flume-tokio-current", flume),
            ("smol", smol),
            ("may", may),
            ("go", foreign),
            ("erl", foreign),
            ("twoply-green", twoply),
            ("twoply-fibers", twoply_straight),
        ],
    ),
    timed(
        "ring",
        &[("nodes", 1000), ("workers", 2)],
        &[
            ("std-mpsc", std_mpsc),
            ("crossbeam", crossbeam),
            ("tokio-multi", tokio),
            ("smol", smol),
            ("may", may),
            ("go", foreign),
            ("erl", foreign),
            ("twoply-green", twoply),
            ("twoply-fibers", twoply_straight),
            ("twoply-native", twoply_straight),
            ("twoply-mixed", twoply_mixed),
        ],
    ),
];

/// The message that ends a node, after it has told the next one.
const STOP: usize = usize::MAX;

/// Makes the channels of a ring and starts a node on each: `start` is told its number, where its messages
/// come from, where they go next, and where the last one goes. Answers where a message starts, and where the
/// number of the node comes out at which it ended.
fn ring<S: Clone, R>(
    ctx: &Context,
    channel: impl Fn() -> (S, R),
    mut start: impl FnMut(usize, R, S, S),
) -> (S, R) {
    let nodes = ctx.param("nodes");
    let (done, end) = channel();
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..nodes).map(|_| channel()).unzip();
    for (index, inbox) in inboxes.into_iter().enumerate() {
        start(index, inbox, senders[(index + 1) % nodes].clone(), done.clone());
    }
    (senders[0].clone(), end)
}

/// The life of a node.
async fn node(index: usize, mut inbox: impl Take, next: impl Give, done: impl Give) {
    while let Some(left) = inbox.take().await.number() {
        match left {
            0 => _ = done.give(index).await,
            STOP => {
                let _told = next.give(STOP).await;
                break;
            }
            _ => _ = next.give(left - 1).await,
        }
    }
}

/// As [`node`], in straight-line code.
fn node_here(index: usize, mut inbox: impl TakeHere, next: &impl GiveHere, done: &impl GiveHere) {
    while let Some(left) = inbox.take_here() {
        match left {
            0 => done.give_here(index),
            STOP => {
                next.give_here(STOP);
                break;
            }
            _ => next.give_here(left - 1),
        }
    }
}

/// Measures hops. `lap` starts a message with that many hops and gives back where it ended.
fn time(ctx: &Context, mut lap: impl FnMut(usize) -> Result<usize>) -> Result<Sample> {
    let nodes = ctx.param("nodes");
    ctx.time(nodes, |ops| {
        // Not whole rounds, so that a message that went astray is seen.
        let hops = ops + nodes / 3;
        let end = lap(hops)?;
        ensure!(end == hops % nodes, "{hops} hops ended at node {end}");
        Ok(())
    })
}

/// Measures a ring of async tasks, and ends it.
fn tasks<S: Give, R: Take>(
    ctx: &Context,
    runtime: &impl Tasks,
    channel: impl Fn() -> (S, R),
) -> Result<Sample> {
    let starter = runtime.starter();
    let mut nodes = Vec::new();
    let (first, end) = ring(ctx, channel, |index, inbox, next, done| {
        nodes.push(starter.start(node(index, inbox, next, done)));
    });
    // It goes into the task that waits for a message, and comes back with that.
    let mut end = Some(end);
    let sample = time(ctx, |hops| {
        let (first, end_of_lap) = (first.clone(), end.take());
        let (number, end_of_lap) = runtime
            .run(async move {
                let mut end = end_of_lap?;
                let _sent = first.give(hops).await;
                Some((end.take().await.number()?, end))
            })?
            .context("the ring broke")?;
        end = Some(end_of_lap);
        Ok(number)
    });
    runtime.run(async move {
        let _told = first.give(STOP).await;
        for node in nodes {
            node.await?;
        }
        anyhow::Ok(())
    })??;
    sample
}

/// Measures a ring whose first channel and whose last one are these, and ends it. `nodes` wait for that.
fn time_here(
    ctx: &Context,
    (first, mut end): (impl GiveHere, impl TakeHere),
    nodes: Vec<Running<()>>,
) -> Result<Sample> {
    let sample = time(ctx, |hops| {
        first.give_here(hops);
        end.take_here().context("the ring broke")
    });
    first.give_here(STOP);
    nodes.into_iter().try_for_each(|node| node())?;
    sample
}

/// Measures a ring of straight-line code on these stacks, and ends it.
fn stacks<S: GiveHere, R: TakeHere>(
    ctx: &Context,
    stacks: &impl Stacks,
    channel: impl Fn() -> (S, R),
) -> Result<Sample> {
    let mut nodes = Vec::new();
    let ends = ring(ctx, channel, |index, inbox, next: S, done: S| {
        nodes.push(stacks.start(move || node_here(index, inbox, &next, &done)));
    });
    time_here(ctx, ends, nodes)
}

fn tokio(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, || tokio::sync::mpsc::channel(1))
}

fn kanal(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, || kanal::bounded_async(1))
}

fn flume(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, || flume::bounded(1))
}

fn smol(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &Smol::new(ctx.workers()), || async_channel::bounded(1))
}

fn twoply(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::twoply(ctx)?, || channel::bounded(1))
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &runtimes::twoply(ctx)?, || channel::bounded(1))
}

fn twoply_mixed(ctx: &Context) -> Result<Sample> {
    let native = runtimes::twoply_named("native", 0)?;
    let green = runtimes::twoply_named("green", ctx.workers())?;
    let mut threads = Vec::new();
    let ends = ring(
        ctx,
        || channel::bounded(1),
        |index, inbox, next, done| {
            if index % 2 == 0 {
                green.spawner().spawn(node(index, inbox, next, done)).detach();
            } else {
                threads.push(Stacks::start(&native, move || node_here(index, inbox, &next, &done)));
            }
        },
    );
    time_here(ctx, ends, threads)
}

fn std_mpsc(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &Threads, || std::sync::mpsc::sync_channel(1))
}

fn crossbeam(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &Threads, || crossbeam_channel::bounded(1))
}

fn may(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    stacks(ctx, &Coroutines, may::sync::mpsc::channel)
}

fn foreign(ctx: &Context) -> Result<Sample> {
    let nodes = ctx.param("nodes");
    // Told apart by the node at which the message ends, as above.
    peers::time(ctx, "ring", nodes, &[nodes], |ops| (ops + nodes / 3) % nodes)
}
