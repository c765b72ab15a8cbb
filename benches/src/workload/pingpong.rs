//! Channel ping-pong between two async tasks: the time of a round trip, which is two messages.
//!
//! `workers=1`: both tasks on one worker. `workers=2`: a runtime with two workers, which may keep both tasks
//! on one of them, and mostly does. `apart=1`: two runtimes with one worker each, so that each message wakes
//! the other thread.
//!
//! `twoply-fibers` is straight-line code, whose every receive blocks the fiber that it is on.
//! The channels hold one message, which is all that is ever under way. tokio's, kanal's and flume's run on
//! tokio, so that only the channel differs; async-channel runs on smol.

use anyhow::{Context as _, Result, ensure};
use twoply::Wait as _;
use twoply::channel;

use super::{Case, Context, Run, Sample, timed};
use crate::ends::{Give, GiveHere, Take, TakeHere, Taken as _};
use crate::runtimes::{self, Smol, Stacks, Start as _, Tasks, Threads, Twoply};

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
    timed("task-pingpong", &[("workers", 1)], ONE_WORKER),
    timed("task-pingpong", &[("workers", 2)], TWO_WORKERS),
    timed(
        "task-pingpong",
        &[("apart", 1)],
        &[
            ("tokio-current", tokio_mpsc_apart),
            ("smol", smol_apart),
            ("twoply-green", twoply_apart),
            ("twoply-fibers", twoply_straight_apart),
        ],
    ),
];

/// Checks the answer to a ping.
fn check(sent: usize, back: usize) -> Result<()> {
    ensure!(back == sent + 1, "{sent} came back as {back}");
    Ok(())
}

/// Sends the numbers below `rounds`, and checks that each comes back plus one.
async fn ping(rounds: usize, to: impl Give, mut from: impl Take) -> Result<()> {
    for number in 0..rounds {
        let _sent = to.give(number).await;
        check(number, from.take().await.number().context("the channel closed")?)?;
    }
    Ok(())
}

/// Answers each number with the next.
pub(super) async fn pong(mut from: impl Take, to: impl Give) {
    while let Some(number) = from.take().await.number() {
        let _sent = to.give(number + 1).await;
    }
}

/// As [`ping`], in straight-line code.
pub(super) fn ping_here(rounds: usize, to: &impl GiveHere, mut from: impl TakeHere) -> Result<()> {
    for number in 0..rounds {
        to.give_here(number);
        check(number, from.take_here().context("the channel closed")?)?;
    }
    Ok(())
}

/// Measures round trips between a task here and a task there, which may be the same runtime, over what
/// `channel` makes.
fn round_trips<S: Give, R: Take>(
    ctx: &Context,
    here: &impl Tasks,
    there: &impl Tasks,
    channel: impl Fn(usize) -> (S, R),
) -> Result<Sample> {
    ctx.time(1, |ops| {
        let ((to_pong, from_ping), (to_ping, from_pong)) = (channel(1), channel(1));
        let _pong = there.starter().start(pong(from_ping, to_ping));
        here.run(ping(ops, to_pong, from_pong))?
    })
}

/// Round trips between straight-line code here and straight-line code there, wherever that is: over a channel
/// to there and one back.
pub(super) fn round_trips_here<S: GiveHere, R: TakeHere>(
    ops: usize,
    here: &impl Stacks,
    there: &impl Stacks,
    (to_pong, mut from_ping): (S, R),
    (to_ping, from_pong): (S, R),
) -> Result<()> {
    let pong = there.start(move || {
        while let Some(number) = from_ping.take_here() {
            to_ping.give_here(number + 1);
        }
    });
    here.start(move || ping_here(ops, &to_pong, from_pong))()??;
    pong()
}

/// Round trips between a native task of ours and an async green one.
pub(super) fn mixed_round_trips(ops: usize, native: &Twoply, green: &Twoply) -> Result<()> {
    let (to_pong, from_ping) = channel::bounded(1);
    let (to_ping, from_pong) = channel::bounded(1);
    let pong = green.spawner().spawn(pong(from_ping, to_ping));
    native.run_fn(move || ping_here(ops, &to_pong, from_pong))??;
    Ok(pong.wait()?)
}

fn tokio_mpsc(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    round_trips(ctx, &runtime, &runtime, tokio::sync::mpsc::channel)
}

fn kanal(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    round_trips(ctx, &runtime, &runtime, kanal::bounded_async)
}

fn flume(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    round_trips(ctx, &runtime, &runtime, flume::bounded)
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    round_trips(ctx, &smol, &smol, async_channel::bounded)
}

/// Written by hand: a current-thread runtime runs while somebody blocks on it, so the other one has a thread
/// that does.
fn tokio_mpsc_apart(ctx: &Context) -> Result<Sample> {
    let here = runtimes::tokio_named("tokio-current", 1)?;
    ctx.time(1, |ops| {
        let there = runtimes::tokio_named("tokio-current", 1)?;
        let (to_pong, from_ping) = tokio::sync::mpsc::channel(1);
        let (to_ping, from_pong) = tokio::sync::mpsc::channel(1);
        let other = Threads.start(move || there.run(pong(from_ping, to_ping)));
        here.run(ping(ops, to_pong, from_pong))??;
        other()?
    })
}

fn smol_apart(ctx: &Context) -> Result<Sample> {
    round_trips(ctx, &Smol::new(1), &Smol::new(1), async_channel::bounded)
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    round_trips(ctx, &runtime, &runtime, channel::bounded)
}

fn twoply_apart(ctx: &Context) -> Result<Sample> {
    let here = runtimes::twoply_named(ctx.system, 1)?;
    let there = runtimes::twoply_named(ctx.system, 1)?;
    round_trips(ctx, &here, &there, channel::bounded)
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(1, |ops| round_trips_here(ops, &runtime, &runtime, channel::bounded(1), channel::bounded(1)))
}

fn twoply_straight_apart(ctx: &Context) -> Result<Sample> {
    let here = runtimes::twoply_named(ctx.system, 1)?;
    let there = runtimes::twoply_named(ctx.system, 1)?;
    ctx.time(1, |ops| round_trips_here(ops, &here, &there, channel::bounded(1), channel::bounded(1)))
}
