//! Across the line: an OS thread and a task of a green runtime with one worker, over channels.
//!
//! `cross-pingpong` is the time of a round trip, which is one message each way; the thread begins.
//! `cross-to-green` and `cross-to-native` are the time of a message when one side sends as fast as it can
//! over a channel with room for 100.
//!
//! `twoply-mixed` is a native task and an async green one, `twoply-mixed-fibers` a native task and
//! straight-line code on a fiber; both sides call the same functions. The peers' threads use the blocking
//! calls that their channels have beside the asynchronous ones; may's channels (without a bound) know which
//! side they are on.

use std::iter;

use anyhow::Result;
use twoply::Wait as _;
use twoply::channel;

use super::channels::{consume, produce};
use super::{Case, Context, Run, Sample, check_count, pingpong, timed};
use crate::ends::{Give, GiveHere, Take, TakeHere};
use crate::runtimes::{self, Coroutines, Smol, Stacks, Start as _, Tasks, Threads, Twoply};

pub(crate) const CASES: &[Case] = &[
    timed(
        "cross-pingpong",
        &[("workers", 1)],
        &[
            ("tokio-multi", tokio_pingpong),
            ("kanal-tokio-multi", kanal_pingpong),
            ("flume-tokio-multi", flume_pingpong),
            ("smol", smol_pingpong),
            ("may", may_pingpong),
            ("twoply-mixed", twoply_pingpong),
            ("twoply-mixed-fibers", twoply_pingpong_fibers),
        ],
    ),
    timed("cross-to-green", ONE_WAY, TO_GREEN),
    timed("cross-to-native", ONE_WAY, TO_NATIVE),
];

const ONE_WAY: &[(&str, usize)] = &[("capacity", 100), ("workers", 1)];
const TO_GREEN: &[(&str, Run)] = &[
    ("tokio-multi", tokio_to_green),
    ("kanal-tokio-multi", kanal_to_green),
    ("flume-tokio-multi", flume_to_green),
    ("smol", smol_to_green),
    ("may", may_to_green),
    ("twoply-mixed", twoply_to_green),
    ("twoply-mixed-fibers", twoply_to_fibers),
];
const TO_NATIVE: &[(&str, Run)] = &[
    ("tokio-multi", tokio_to_native),
    ("kanal-tokio-multi", kanal_to_native),
    ("flume-tokio-multi", flume_to_native),
    ("smol", smol_to_native),
    ("may", may_to_native),
    ("twoply-mixed", twoply_to_native),
    ("twoply-mixed-fibers", twoply_from_fibers),
];

/// How many messages go one way at least: what a thread costs must not be the figure.
const STEP: usize = 2000;

/// Measures messages one way: the numbers below the count, whose sum `run` gives back.
fn one_way(ctx: &Context, mut run: impl FnMut(usize, usize) -> Result<usize>) -> Result<Sample> {
    ctx.time(STEP, |ops| check_count(ops * (ops - 1) / 2, run(ops, ctx.param("capacity"))?))
}

/// Measures round trips. `channels` makes the channel to the task and the one back.
fn round_trips<S: GiveHere, R: Take, G: Give, T: TakeHere>(
    ctx: &Context,
    runtime: &impl Tasks,
    channels: impl Fn() -> ((S, R), (G, T)),
) -> Result<Sample> {
    ctx.time(1, |ops| {
        let ((to_pong, from_ping), (to_ping, from_pong)) = channels();
        let _pong = runtime.starter().start(pingpong::pong(from_ping, to_ping));
        pingpong::ping_here(ops, &to_pong, from_pong)
    })
}

/// Measures messages from a thread to a task.
fn to_task<S: GiveHere, R: Take>(
    ctx: &Context,
    runtime: &impl Tasks,
    channel: impl Fn(usize) -> (S, R),
) -> Result<Sample> {
    one_way(ctx, |ops, capacity| {
        let (to, from) = channel(capacity);
        let producer = Threads.start(move || (0..ops).for_each(|number| to.give_here(number)));
        let sum = runtime.run(consume(from))?;
        producer()?;
        Ok(sum)
    })
}

/// Measures messages from a task to this thread.
fn from_task<S: Give, R: TakeHere>(
    ctx: &Context,
    runtime: &impl Tasks,
    channel: impl Fn(usize) -> (S, R),
) -> Result<Sample> {
    one_way(ctx, |ops, capacity| {
        let (to, mut from) = channel(capacity);
        let _producer = runtime.starter().start(produce(to, ops));
        Ok(iter::from_fn(|| from.take_here()).sum())
    })
}

fn tokio_pingpong(ctx: &Context) -> Result<Sample> {
    let channel = || tokio::sync::mpsc::channel(1);
    round_trips(ctx, &runtimes::tokio(ctx)?, || (channel(), channel()))
}

fn tokio_to_green(ctx: &Context) -> Result<Sample> {
    to_task(ctx, &runtimes::tokio(ctx)?, tokio::sync::mpsc::channel)
}

fn tokio_to_native(ctx: &Context) -> Result<Sample> {
    from_task(ctx, &runtimes::tokio(ctx)?, tokio::sync::mpsc::channel)
}

/// kanal's channel whose receiver is a task's.
fn kanal_in(capacity: usize) -> (kanal::Sender<usize>, kanal::AsyncReceiver<usize>) {
    let (to, from) = kanal::bounded(capacity);
    (to, from.to_async())
}

/// kanal's channel whose sender is a task's.
fn kanal_out(capacity: usize) -> (kanal::AsyncSender<usize>, kanal::Receiver<usize>) {
    let (to, from) = kanal::bounded(capacity);
    (to.to_async(), from)
}

fn kanal_pingpong(ctx: &Context) -> Result<Sample> {
    round_trips(ctx, &runtimes::tokio(ctx)?, || (kanal_in(1), kanal_out(1)))
}

fn kanal_to_green(ctx: &Context) -> Result<Sample> {
    to_task(ctx, &runtimes::tokio(ctx)?, kanal_in)
}

fn kanal_to_native(ctx: &Context) -> Result<Sample> {
    from_task(ctx, &runtimes::tokio(ctx)?, kanal_out)
}

fn flume_pingpong(ctx: &Context) -> Result<Sample> {
    round_trips(ctx, &runtimes::tokio(ctx)?, || (flume::bounded(1), flume::bounded(1)))
}

fn flume_to_green(ctx: &Context) -> Result<Sample> {
    to_task(ctx, &runtimes::tokio(ctx)?, flume::bounded)
}

fn flume_to_native(ctx: &Context) -> Result<Sample> {
    from_task(ctx, &runtimes::tokio(ctx)?, flume::bounded)
}

fn smol_pingpong(ctx: &Context) -> Result<Sample> {
    round_trips(ctx, &Smol::new(ctx.workers()), || (async_channel::bounded(1), async_channel::bounded(1)))
}

fn smol_to_green(ctx: &Context) -> Result<Sample> {
    to_task(ctx, &Smol::new(ctx.workers()), async_channel::bounded)
}

fn smol_to_native(ctx: &Context) -> Result<Sample> {
    from_task(ctx, &Smol::new(ctx.workers()), async_channel::bounded)
}

fn may_pingpong(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    let channel = may::sync::mpsc::channel;
    ctx.time(1, |ops| pingpong::round_trips_here(ops, &Threads, &Coroutines, channel(), channel()))
}

fn may_to_green(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    straight(ctx, &Threads, &Coroutines, |_| may::sync::mpsc::channel())
}

fn may_to_native(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    straight(ctx, &Coroutines, &Threads, |_| may::sync::mpsc::channel())
}

/// A runtime of threads, and a green one of this kind.
fn twoply_worlds(ctx: &Context, kind: &str) -> Result<(Twoply, Twoply)> {
    Ok((runtimes::twoply_named("native", 0)?, runtimes::twoply_named(kind, ctx.workers())?))
}

fn twoply_pingpong(ctx: &Context) -> Result<Sample> {
    let (native, green) = twoply_worlds(ctx, "green")?;
    ctx.time(1, |ops| pingpong::mixed_round_trips(ops, &native, &green))
}

fn twoply_pingpong_fibers(ctx: &Context) -> Result<Sample> {
    let (native, fibers) = twoply_worlds(ctx, "fibers")?;
    ctx.time(1, |ops| {
        pingpong::round_trips_here(ops, &native, &fibers, channel::bounded(1), channel::bounded(1))
    })
}

fn twoply_to_green(ctx: &Context) -> Result<Sample> {
    let (native, green) = twoply_worlds(ctx, "green")?;
    one_way(ctx, |ops, capacity| {
        let (to, from) = channel::bounded(capacity);
        let collector = green.spawner().spawn(consume(from));
        native.run_fn(move || (0..ops).for_each(|number| to.give_here(number)))?;
        Ok(collector.wait()?)
    })
}

fn twoply_to_native(ctx: &Context) -> Result<Sample> {
    let (native, green) = twoply_worlds(ctx, "green")?;
    one_way(ctx, |ops, capacity| {
        let (to, mut from) = channel::bounded(capacity);
        green.spawner().spawn(produce(to, ops)).detach();
        native.run_fn(move || iter::from_fn(|| from.take_here()).sum())
    })
}

fn twoply_to_fibers(ctx: &Context) -> Result<Sample> {
    let (native, fibers) = twoply_worlds(ctx, "fibers")?;
    straight(ctx, &native, &fibers, channel::bounded)
}

fn twoply_from_fibers(ctx: &Context) -> Result<Sample> {
    let (native, fibers) = twoply_worlds(ctx, "fibers")?;
    straight(ctx, &fibers, &native, channel::bounded)
}

/// Measures messages from straight-line code here to straight-line code there, wherever that is.
fn straight<S: GiveHere, R: TakeHere>(
    ctx: &Context,
    here: &impl Stacks,
    there: &impl Stacks,
    channel: impl Fn(usize) -> (S, R),
) -> Result<Sample> {
    one_way(ctx, |ops, capacity| {
        let (to, mut from) = channel(capacity);
        let collector = there.start(move || iter::from_fn(|| from.take_here()).sum());
        here.start(move || (0..ops).for_each(|number| to.give_here(number)))()?;
        collector()
    })
}
