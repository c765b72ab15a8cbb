//! Across the line: an OS thread and a task of a green runtime with one worker, over channels.
//!
//! `cross-pingpong` is the time of a round trip, which is one message each way; the thread begins. `cross-to-green`
//! and `cross-to-native` are the time of a message when one side sends as fast as it can over a channel with room for
//! 100.
//!
//! `twoply-mixed` is a native task and an async green one, `twoply-mixed-fibers` a native task and straight-line code
//! on a fiber; both sides call the same functions. The peers' threads use the blocking calls that their channels have
//! beside the asynchronous ones; may's channels (without a bound) know which side they are on.

use std::iter;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use twoply::Wait as _;
use twoply::channel;

use super::{Case, Context, NANOSECONDS, Run, Sample, check_count, pingpong};
use crate::runtimes::{self, Smol, Twoply};

pub(crate) const CASES: &[Case] = &[
    case(
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
    case("cross-to-green", ONE_WAY, TO_GREEN),
    case("cross-to-native", ONE_WAY, TO_NATIVE),
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

const fn case(
    workload: &'static str,
    params: &'static [(&'static str, usize)],
    systems: &'static [(&'static str, Run)],
) -> Case {
    Case { workload, params, measures: NANOSECONDS, runs: 3, quick: true, systems }
}

/// How many messages go one way at least: what a thread costs must not be the figure.
const STEP: usize = 2000;

/// Measures messages one way: the numbers below the count, whose sum `run` gives back.
fn one_way(ctx: &Context, mut run: impl FnMut(usize, usize) -> Result<usize>) -> Result<Sample> {
    ctx.time(STEP, |ops| check_count(ops * (ops - 1) / 2, run(ops, ctx.param("capacity"))?))
}

/// On the thread: sends the numbers below `$ops` and checks that each comes back plus one.
macro_rules! ping {
    ($ops:expr, |$number:ident| $send:expr, $receive:expr) => {{
        for $number in 0..$ops {
            $send?;
            let back: usize = $receive?;
            ensure!(back == $number + 1, "{} came back as {back}", $number);
        }
        anyhow::Ok(())
    }};
}

/// In a task: answers each number with the next.
macro_rules! pong {
    ($receive:expr, |$number:ident| $send:expr) => {
        async move {
            while let Some(number) = $receive {
                let $number = number + 1;
                // When nobody waits for it any more, it ends at the next receive.
                let _sent = $send;
            }
        }
    };
}

/// In a task: the sum of what comes.
macro_rules! collect {
    ($receive:expr) => {
        async move {
            let mut sum = 0;
            while let Some(number) = $receive {
                sum += number;
            }
            sum
        }
    };
}

/// In a task: the numbers below `$ops`.
macro_rules! produce {
    ($ops:expr, |$number:ident| $send:expr) => {
        async move {
            for $number in 0..$ops {
                // If nobody receives, the sum will tell.
                let _sent = $send;
            }
        }
    };
}

/// On a thread of its own: the numbers below `$ops` from `$send`, while this one waits for `$receive`.
macro_rules! on_thread {
    ($ops:expr, |$number:ident| $send:expr, $receive:expr) => {{
        let thread = thread::spawn(move || {
            for $number in 0..$ops {
                // If nobody receives, the sum will tell.
                let _sent = $send;
            }
        });
        let sum = $receive;
        thread.join().ok().context("the thread panicked")?;
        sum
    }};
}

fn tokio_pingpong(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let (to_pong, mut from_ping) = tokio::sync::mpsc::channel::<usize>(1);
        let (to_ping, mut from_pong) = tokio::sync::mpsc::channel::<usize>(1);
        runtime.spawn(pong!(from_ping.recv().await, |number| to_ping.send(number).await));
        ping!(
            ops,
            |number| to_pong.blocking_send(number),
            from_pong.blocking_recv().context("the channel closed")
        )
    })
}

fn tokio_to_green(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    one_way(ctx, |ops, capacity| {
        let (to, mut from) = tokio::sync::mpsc::channel::<usize>(capacity);
        let task = runtime.spawn(collect!(from.recv().await));
        on_thread!(ops, |number| to.blocking_send(number), Ok(runtime.block_on(task)?))
    })
}

fn tokio_to_native(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    one_way(ctx, |ops, capacity| {
        let (to, mut from) = tokio::sync::mpsc::channel::<usize>(capacity);
        runtime.spawn(produce!(ops, |number| to.send(number).await));
        Ok(iter::from_fn(|| from.blocking_recv()).sum())
    })
}

fn kanal_pingpong(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let (to_pong, from_ping) = kanal::bounded::<usize>(1);
        let (to_ping, from_pong) = kanal::bounded::<usize>(1);
        let (from_ping, to_ping) = (from_ping.to_async(), to_ping.to_async());
        runtime.spawn(pong!(from_ping.recv().await.ok(), |number| to_ping.send(number).await));
        ping!(ops, |number| to_pong.send(number), from_pong.recv())
    })
}

fn kanal_to_green(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    one_way(ctx, |ops, capacity| {
        let (to, from) = kanal::bounded::<usize>(capacity);
        let from = from.to_async();
        let task = runtime.spawn(collect!(from.recv().await.ok()));
        on_thread!(ops, |number| to.send(number), Ok(runtime.block_on(task)?))
    })
}

fn kanal_to_native(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    one_way(ctx, |ops, capacity| {
        let (to, from) = kanal::bounded::<usize>(capacity);
        let to = to.to_async();
        runtime.spawn(produce!(ops, |number| to.send(number).await));
        Ok(from.sum())
    })
}

fn flume_pingpong(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let (to_pong, from_ping) = flume::bounded::<usize>(1);
        let (to_ping, from_pong) = flume::bounded::<usize>(1);
        runtime.spawn(pong!(from_ping.recv_async().await.ok(), |number| to_ping.send_async(number).await));
        ping!(ops, |number| to_pong.send(number), from_pong.recv())
    })
}

fn flume_to_green(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    one_way(ctx, |ops, capacity| {
        let (to, from) = flume::bounded::<usize>(capacity);
        let task = runtime.spawn(collect!(from.recv_async().await.ok()));
        on_thread!(ops, |number| to.send(number), Ok(runtime.block_on(task)?))
    })
}

fn flume_to_native(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    one_way(ctx, |ops, capacity| {
        let (to, from) = flume::bounded::<usize>(capacity);
        runtime.spawn(produce!(ops, |number| to.send_async(number).await));
        Ok(from.into_iter().sum())
    })
}

fn smol_pingpong(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    ctx.time(1, |ops| {
        let (to_pong, from_ping) = async_channel::bounded::<usize>(1);
        let (to_ping, from_pong) = async_channel::bounded::<usize>(1);
        smol.executor.spawn(pong!(from_ping.recv().await.ok(), |number| to_ping.send(number).await)).detach();
        ping!(ops, |number| to_pong.send_blocking(number), from_pong.recv_blocking())
    })
}

fn smol_to_green(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    one_way(ctx, |ops, capacity| {
        let (to, from) = async_channel::bounded::<usize>(capacity);
        let task = smol.executor.spawn(collect!(from.recv().await.ok()));
        on_thread!(ops, |number| to.send_blocking(number), Ok(smol::block_on(task)))
    })
}

fn smol_to_native(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    one_way(ctx, |ops, capacity| {
        let (to, from) = async_channel::bounded::<usize>(capacity);
        smol.executor.spawn(produce!(ops, |number| to.send(number).await)).detach();
        Ok(iter::from_fn(|| from.recv_blocking().ok()).sum())
    })
}

fn may_pingpong(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    ctx.time(1, |ops| {
        let (to_pong, from_ping) = may::sync::mpsc::channel::<usize>();
        let (to_ping, from_pong) = may::sync::mpsc::channel::<usize>();
        may::go!(move || {
            while let Ok(number) = from_ping.recv() {
                // When nobody waits for it any more, it ends at the next receive.
                let _sent = to_ping.send(number + 1);
            }
        });
        ping!(ops, |number| to_pong.send(number), from_pong.recv())
    })
}

fn may_to_green(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    one_way(ctx, |ops, _| {
        let (to, from) = may::sync::mpsc::channel::<usize>();
        let coroutine = may::go!(move || iter::from_fn(|| from.recv().ok()).sum());
        on_thread!(ops, |number| to.send(number), coroutine.join().ok().context("a coroutine panicked"))
    })
}

fn may_to_native(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    one_way(ctx, |ops, _| {
        let (to, from) = may::sync::mpsc::channel::<usize>();
        may::go!(move || (0..ops).try_for_each(|number| to.send(number)));
        Ok(iter::from_fn(|| from.recv().ok()).sum())
    })
}

fn twoply_pingpong(ctx: &Context) -> Result<Sample> {
    let (native, green) = twoply_worlds(ctx, "green")?;
    ctx.time(1, |ops| {
        let (to_pong, from_ping) = channel::bounded::<usize>(1);
        let (to_ping, from_pong) = channel::bounded::<usize>(1);
        let pong = green.spawner().spawn(pingpong::twoply_pong(from_ping, to_ping));
        native.run_fn(move || pingpong::twoply_straight_ping(ops, &to_pong, &from_pong))??;
        Ok(pong.wait()?)
    })
}

fn twoply_pingpong_fibers(ctx: &Context) -> Result<Sample> {
    let (native, fibers) = twoply_worlds(ctx, "fibers")?;
    ctx.time(1, |ops| pingpong::twoply_straight_round_trips(ops, native.spawner(), fibers.spawner()))
}

/// A runtime of threads, and a green one of this kind.
fn twoply_worlds(ctx: &Context, kind: &str) -> Result<(Twoply, Twoply)> {
    Ok((runtimes::twoply_named("native", 0)?, runtimes::twoply_named(kind, ctx.workers())?))
}

fn twoply_to_green(ctx: &Context) -> Result<Sample> {
    let (native, green) = twoply_worlds(ctx, "green")?;
    one_way(ctx, |ops, capacity| {
        let (to, from) = channel::bounded::<usize>(capacity);
        let collector = green.spawner().spawn(collect!(from.recv().await.ok()));
        native.run_fn(move || (0..ops).try_for_each(|number| to.send(number).wait()))??;
        Ok(collector.wait()?)
    })
}

fn twoply_to_native(ctx: &Context) -> Result<Sample> {
    let (native, green) = twoply_worlds(ctx, "green")?;
    one_way(ctx, |ops, capacity| {
        let (to, from) = channel::bounded::<usize>(capacity);
        green.spawner().spawn(produce!(ops, |number| to.send(number).await)).detach();
        native.run_fn(move || from.iter().sum())
    })
}

fn twoply_to_fibers(ctx: &Context) -> Result<Sample> {
    let (native, fibers) = twoply_worlds(ctx, "fibers")?;
    one_way(ctx, |ops, capacity| twoply_straight(ops, capacity, &native, &fibers))
}

fn twoply_from_fibers(ctx: &Context) -> Result<Sample> {
    let (native, fibers) = twoply_worlds(ctx, "fibers")?;
    one_way(ctx, |ops, capacity| twoply_straight(ops, capacity, &fibers, &native))
}

/// From straight-line code here to straight-line code there, wherever that is.
fn twoply_straight(ops: usize, capacity: usize, here: &Twoply, there: &Twoply) -> Result<usize> {
    let (to, from) = channel::bounded::<usize>(capacity);
    let collector = there.spawner().spawn_fn(move || from.iter().sum());
    here.run_fn(move || (0..ops).try_for_each(|number| to.send(number).wait()))??;
    Ok(collector.wait()?)
}
