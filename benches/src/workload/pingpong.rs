//! Channel ping-pong between two async tasks: the time of a round trip, which is two messages.
//!
//! `workers=1`: both tasks on one worker. `workers=2`: a runtime with two workers, which may keep both tasks
//! on one of them, and mostly does. `apart=1`: two runtimes with one worker each, so that each message wakes the
//! other thread.
//!
//! `twoply-fibers` is straight-line code, whose every receive blocks the fiber that it is on.
//! The channels hold one message, which is all that is ever under way. tokio's, kanal's and flume's run on
//! tokio, so that only the channel differs; async-channel runs on smol.

use std::thread;

use anyhow::{Context as _, Result, ensure};
use twoply::channel::{self, Receiver, Sender};
use twoply::{Spawner, Wait as _};

use super::{Case, Context, NANOSECONDS, Run, Sample};
use crate::runtimes::{self, Smol};

const ONE_WORKER: &[(&str, Run)] = &[
    ("tokio-current", tokio_mpsc),
    ("tokio-multi", tokio_mpsc),
    ("kanal-tokio-current", kanal),
    ("flume-tokio-current", flume),
    ("smol", smol),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply_straight),
];

const TWO_WORKERS: &[(&str, Run)] = &[
    ("tokio-multi", tokio_mpsc),
    ("kanal-tokio-multi", kanal),
    ("flume-tokio-multi", flume),
    ("smol", smol),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply_straight),
];

pub(crate) const CASES: &[Case] = &[
    Case {
        workload: "task-pingpong",
        params: &[("workers", 1)],
        measures: NANOSECONDS,
        runs: 5,
        quick: true,
        systems: ONE_WORKER,
    },
    Case {
        workload: "task-pingpong",
        params: &[("workers", 2)],
        measures: NANOSECONDS,
        runs: 5,
        quick: true,
        systems: TWO_WORKERS,
    },
    Case {
        workload: "task-pingpong",
        params: &[("apart", 1)],
        measures: NANOSECONDS,
        runs: 5,
        quick: true,
        systems: &[
            ("tokio-current", tokio_mpsc_apart),
            ("smol", smol_apart),
            ("twoply-green", twoply_apart),
            ("twoply-fibers", twoply_straight_apart),
        ],
    },
];

/// Checks the answer to a ping.
fn check(sent: usize, back: usize) -> Result<()> {
    ensure!(back == sent + 1, "{sent} came back as {back}");
    Ok(())
}

/// Sends the numbers below `$rounds` and checks that each comes back plus one.
macro_rules! ping {
    ($rounds:expr, $to:expr, $from:expr) => {
        async move {
            for number in 0..$rounds {
                $to.send(number).await?;
                check(number, $from.recv().await.context("the channel closed")?)?;
            }
            anyhow::Ok(())
        }
    };
}

fn tokio_mpsc(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let (to_pong, mut from_ping) = tokio::sync::mpsc::channel::<usize>(1);
        let (to_ping, mut from_pong) = tokio::sync::mpsc::channel::<usize>(1);
        runtime.spawn(async move {
            while let Some(number) = from_ping.recv().await {
                to_ping.send(number + 1).await.ok();
            }
        });
        runtime.block_on(runtime.spawn(ping!(ops, to_pong, from_pong)))?
    })
}

fn kanal(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let (to_pong, from_ping) = kanal::bounded_async::<usize>(1);
        let (to_ping, from_pong) = kanal::bounded_async::<usize>(1);
        runtime.spawn(async move {
            while let Ok(number) = from_ping.recv().await {
                to_ping.send(number + 1).await.ok();
            }
        });
        runtime.block_on(runtime.spawn(ping!(ops, to_pong, from_pong)))?
    })
}

fn flume(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(1, |ops| {
        let (to_pong, from_ping) = flume::bounded::<usize>(1);
        let (to_ping, from_pong) = flume::bounded::<usize>(1);
        runtime.spawn(async move {
            while let Ok(number) = from_ping.recv_async().await {
                to_ping.send_async(number + 1).await.ok();
            }
        });
        let ping = async move {
            for number in 0..ops {
                to_pong.send_async(number).await?;
                check(number, from_pong.recv_async().await?)?;
            }
            anyhow::Ok(())
        };
        runtime.block_on(runtime.spawn(ping))?
    })
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    ctx.time(1, |ops| {
        let (to_pong, from_ping) = async_channel::bounded::<usize>(1);
        let (to_ping, from_pong) = async_channel::bounded::<usize>(1);
        let pong = async move {
            while let Ok(number) = from_ping.recv().await {
                to_ping.send(number + 1).await.ok();
            }
        };
        smol.executor.spawn(pong).detach();
        smol.run(ping!(ops, to_pong, from_pong))
    })
}

fn tokio_mpsc_apart(ctx: &Context) -> Result<Sample> {
    let here = runtimes::tokio_named("tokio-current", 1)?;
    ctx.time(1, |ops| {
        let there = runtimes::tokio_named("tokio-current", 1)?;
        let (to_pong, mut from_ping) = tokio::sync::mpsc::channel::<usize>(1);
        let (to_ping, mut from_pong) = tokio::sync::mpsc::channel::<usize>(1);
        let pong = async move {
            while let Some(number) = from_ping.recv().await {
                to_ping.send(number + 1).await.ok();
            }
        };
        let other = thread::spawn(move || there.block_on(there.spawn(pong)));
        let result = here.block_on(here.spawn(ping!(ops, to_pong, from_pong)))?;
        other.join().ok().context("the other thread panicked")??;
        result
    })
}

fn smol_apart(ctx: &Context) -> Result<Sample> {
    let (here, there) = (Smol::new(1), Smol::new(1));
    ctx.time(1, |ops| {
        let (to_pong, from_ping) = async_channel::bounded::<usize>(1);
        let (to_ping, from_pong) = async_channel::bounded::<usize>(1);
        let pong = async move {
            while let Ok(number) = from_ping.recv().await {
                to_ping.send(number + 1).await.ok();
            }
        };
        there.executor.spawn(pong).detach();
        here.run(ping!(ops, to_pong, from_pong))
    })
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| twoply_round_trips(ops, runtime.spawner(), runtime.spawner()))
}

fn twoply_apart(ctx: &Context) -> Result<Sample> {
    let here = runtimes::twoply_named(ctx.system, 1)?;
    let there = runtimes::twoply_named(ctx.system, 1)?;
    ctx.time(1, |ops| twoply_round_trips(ops, here.spawner(), there.spawner()))
}

fn twoply_round_trips(ops: usize, here: &Spawner, there: &Spawner) -> Result<()> {
    let (to_pong, from_ping) = channel::bounded::<usize>(1);
    let (to_ping, from_pong) = channel::bounded::<usize>(1);
    there.spawn(twoply_pong(from_ping, to_ping)).detach();
    here.spawn(ping!(ops, to_pong, from_pong)).wait()?
}

/// Answers each number with the next, in an async task.
pub(super) async fn twoply_pong(from_ping: Receiver<usize>, to_ping: Sender<usize>) {
    while let Ok(number) = from_ping.recv().await {
        to_ping.send(number + 1).await.ok();
    }
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| twoply_straight_round_trips(ops, runtime.spawner(), runtime.spawner()))
}

fn twoply_straight_apart(ctx: &Context) -> Result<Sample> {
    let here = runtimes::twoply_named(ctx.system, 1)?;
    let there = runtimes::twoply_named(ctx.system, 1)?;
    ctx.time(1, |ops| twoply_straight_round_trips(ops, here.spawner(), there.spawner()))
}

/// Round trips between straight-line code here and straight-line code there, wherever that is.
pub(super) fn twoply_straight_round_trips(ops: usize, here: &Spawner, there: &Spawner) -> Result<()> {
    let (to_pong, from_ping) = channel::bounded::<usize>(1);
    let (to_ping, from_pong) = channel::bounded::<usize>(1);
    let pong = there.spawn_fn(move || {
        while let Ok(number) = from_ping.recv().wait() {
            to_ping.send(number + 1).wait().ok();
        }
    });
    here.spawn_fn(move || twoply_straight_ping(ops, &to_pong, &from_pong)).wait()??;
    Ok(pong.wait()?)
}

/// Sends the numbers below `rounds` from straight-line code, and checks that each comes back plus one.
pub(super) fn twoply_straight_ping(rounds: usize, to: &Sender<usize>, from: &Receiver<usize>) -> Result<()> {
    for number in 0..rounds {
        to.send(number).wait()?;
        check(number, from.recv().wait()?)?;
    }
    Ok(())
}
