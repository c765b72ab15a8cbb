//! Channels under load: producers that send as fast as they can, consumers that add up what they get.
//!
//! An operation is a message. `capacity` is the room of the channel, in `channel-bounded`; with none to
//! spare, the slower side sets the pace. In `channel-unbounded` the producers may run ahead, and whoever lets
//! them pays with memory and its misses. Producers send equal shares of the messages; a consumer ends when
//! the channel does.
//!
//! Three kinds of systems share the tables. `std-mpsc`, `crossbeam`, `kanal` and `flume` are channels of OS
//! threads, as many as there are producers and consumers. The next are tasks on two workers: the channels of
//! tokio, kanal and flume run on tokio, async-channel on smol. Ours is one channel in all of them: between
//! async tasks (`twoply-green`), between straight-line code on fibers and on threads, and (`twoply-mixed`)
//! from native producers to green consumers.
//!
//! What differs: std's and tokio's channels have one receiver, so they take part where there is one consumer;
//! so have Erlang's mailboxes, which have no bound either. Go's channels always have a bound, may's never.

use std::iter;

use anyhow::{Context as _, Result};
use twoply::Wait as _;
use twoply::channel::{self, Receiver, Sender};

use super::{Case, Context, Run, Sample, check_count, timed};
use crate::ends::{Give, GiveHere, Take, TakeHere, Taken as _};
use crate::peers;
use crate::runtimes::{self, Coroutines, Smol, Stacks, Start as _, Tasks, Threads};

const BOUNDED_TO_ONE: &[(&str, Run)] = &[
    ("std-mpsc", std_bounded),
    ("crossbeam", crossbeam),
    ("kanal", kanal),
    ("flume", flume),
    ("tokio-multi", tokio_bounded),
    ("kanal-tokio-multi", kanal_tokio),
    ("flume-tokio-multi", flume_tokio),
    ("smol", smol),
    ("go", foreign),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply_straight),
    ("twoply-native", twoply_straight),
    ("twoply-mixed", twoply_mixed),
];
const BOUNDED_TO_MANY: &[(&str, Run)] = &[
    ("crossbeam", crossbeam),
    ("kanal", kanal),
    ("flume", flume),
    ("kanal-tokio-multi", kanal_tokio),
    ("flume-tokio-multi", flume_tokio),
    ("smol", smol),
    ("go", foreign),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply_straight),
    ("twoply-native", twoply_straight),
    ("twoply-mixed", twoply_mixed),
];
const UNBOUNDED_TO_ONE: &[(&str, Run)] = &[
    ("std-mpsc", std_unbounded),
    ("crossbeam", crossbeam),
    ("kanal", kanal),
    ("flume", flume),
    ("tokio-multi", tokio_unbounded),
    ("kanal-tokio-multi", kanal_tokio),
    ("flume-tokio-multi", flume_tokio),
    ("smol", smol),
    ("may", may),
    ("erl", foreign),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply_straight),
    ("twoply-native", twoply_straight),
    ("twoply-mixed", twoply_mixed),
];
const UNBOUNDED_TO_MANY: &[(&str, Run)] = &[
    ("crossbeam", crossbeam),
    ("kanal", kanal),
    ("flume", flume),
    ("kanal-tokio-multi", kanal_tokio),
    ("flume-tokio-multi", flume_tokio),
    ("smol", smol),
    ("may", may),
    ("twoply-green", twoply),
    ("twoply-fibers", twoply_straight),
    ("twoply-native", twoply_straight),
    ("twoply-mixed", twoply_mixed),
];

pub(crate) const CASES: &[Case] = &[
    timed(
        "channel-bounded",
        &[("producers", 1), ("consumers", 1), ("capacity", 100), ("workers", 2)],
        BOUNDED_TO_ONE,
    ),
    timed(
        "channel-bounded",
        &[("producers", 4), ("consumers", 1), ("capacity", 100), ("workers", 2)],
        BOUNDED_TO_ONE,
    ),
    timed(
        "channel-bounded",
        &[("producers", 4), ("consumers", 4), ("capacity", 100), ("workers", 2)],
        BOUNDED_TO_MANY,
    ),
    timed("channel-unbounded", &[("producers", 1), ("consumers", 1), ("workers", 2)], UNBOUNDED_TO_ONE),
    timed("channel-unbounded", &[("producers", 4), ("consumers", 1), ("workers", 2)], UNBOUNDED_TO_ONE),
    timed("channel-unbounded", &[("producers", 4), ("consumers", 4), ("workers", 2)], UNBOUNDED_TO_MANY),
];

/// How many messages a run has at least: what threads cost must not be the figure.
const STEP: usize = 2000;

/// Who takes part in a case.
#[derive(Clone, Copy)]
struct Shape {
    /// How many send.
    producers: usize,
    /// How many receive.
    consumers: usize,
    /// The room of the channel, if it has a bound.
    capacity: Option<usize>,
}

impl Shape {
    fn of(ctx: &Context) -> Self {
        let capacity = ctx.params.iter().find(|(name, _)| *name == "capacity").map(|(_, capacity)| *capacity);
        Self { producers: ctx.param("producers"), consumers: ctx.param("consumers"), capacity }
    }

    /// What each producer sends: the numbers below this.
    fn share(self, ops: usize) -> usize {
        ops / self.producers
    }

    /// The sum of all messages.
    fn sum(self, ops: usize) -> usize {
        let share = self.share(ops);
        self.producers * (share * (share - 1) / 2)
    }

    /// The ends of a channel, with a copy of the receiver for each consumer; the original is one of them.
    fn ends<S, R: Clone>(self, (sender, receiver): (S, R)) -> (S, Vec<R>) {
        (sender, iter::repeat_n(receiver, self.consumers).collect())
    }
}

/// Measures exchanges. `exchange` is told how many messages there are, and gives back the sum of those
/// received.
fn time(ctx: &Context, mut exchange: impl FnMut(Shape, usize) -> Result<usize>) -> Result<Sample> {
    let shape = Shape::of(ctx);
    ctx.time(STEP, |ops| check_count(shape.sum(ops), exchange(shape, ops)?))
}

/// Measures producers and consumers that are async tasks, over what `channel` makes: its sender, and a
/// receiver for each consumer.
fn tasks<S: Give, R: Take>(
    ctx: &Context,
    runtime: &impl Tasks,
    channel: impl Fn(Shape) -> Result<(S, Vec<R>)>,
) -> Result<Sample> {
    time(ctx, |shape, ops| {
        let (sender, receivers) = channel(shape)?;
        let (share, starter) = (shape.share(ops), runtime.starter());
        runtime.run(async move {
            let consumers: Vec<_> = receivers.into_iter().map(|from| starter.start(consume(from))).collect();
            let producers: Vec<_> =
                iter::repeat_n(sender, shape.producers).map(|to| starter.start(produce(to, share))).collect();
            for producer in producers {
                producer.await?;
            }
            let mut sum = 0;
            for consumer in consumers {
                sum += consumer.await?;
            }
            Ok(sum)
        })?
    })
}

/// Measures producers and consumers in straight-line code, over what `channel` makes.
fn stacks<S: GiveHere, R: TakeHere>(
    ctx: &Context,
    stacks: &impl Stacks,
    channel: impl Fn(Shape) -> Result<(S, Vec<R>)>,
) -> Result<Sample> {
    time(ctx, |shape, ops| {
        let (sender, receivers) = channel(shape)?;
        let consume = |mut from: R| stacks.start(move || iter::from_fn(|| from.take_here()).sum::<usize>());
        let consumers: Vec<_> = receivers.into_iter().map(consume).collect();
        produce_here(stacks, sender, shape, ops)?;
        consumers.into_iter().map(|consumer| consumer()).sum()
    })
}

/// The sum of what comes.
pub(super) async fn consume(mut from: impl Take) -> usize {
    let mut sum = 0;
    while let Some(number) = from.take().await.number() {
        sum += number;
    }
    sum
}

/// Sends the numbers below `share`.
pub(super) async fn produce(to: impl Give, share: usize) {
    for number in 0..share {
        let _sent = to.give(number).await;
    }
}

/// All of the producers, in straight-line code. Returns when everything has been sent.
fn produce_here<S: GiveHere>(stacks: &impl Stacks, sender: S, shape: Shape, ops: usize) -> Result<()> {
    let share = shape.share(ops);
    let produce = |to: S| stacks.start(move || (0..share).for_each(|number| to.give_here(number)));
    let producers: Vec<_> = iter::repeat_n(sender, shape.producers).map(produce).collect();
    producers.into_iter().try_for_each(|producer| producer())
}

fn tokio_bounded(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, |shape| {
        let (sender, receiver) = tokio::sync::mpsc::channel(shape.capacity.context("no capacity")?);
        Ok((sender, vec![receiver]))
    })
}

fn tokio_unbounded(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, |_| {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        Ok((sender, vec![receiver]))
    })
}

fn kanal_tokio(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, |shape| {
        Ok(shape.ends(shape.capacity.map_or_else(kanal::unbounded_async, kanal::bounded_async)))
    })
}

fn flume_tokio(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::tokio(ctx)?, |shape| Ok(flume_ends(shape)))
}

fn flume_ends(shape: Shape) -> (flume::Sender<usize>, Vec<flume::Receiver<usize>>) {
    shape.ends(shape.capacity.map_or_else(flume::unbounded, flume::bounded))
}

fn smol(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &Smol::new(ctx.workers()), |shape| {
        Ok(shape.ends(shape.capacity.map_or_else(async_channel::unbounded, async_channel::bounded)))
    })
}

/// Our channel of this shape.
fn twoply_ends(shape: Shape) -> (Sender<usize>, Vec<Receiver<usize>>) {
    shape.ends(shape.capacity.map_or_else(channel::unbounded, channel::bounded))
}

fn twoply(ctx: &Context) -> Result<Sample> {
    tasks(ctx, &runtimes::twoply(ctx)?, |shape| Ok(twoply_ends(shape)))
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &runtimes::twoply(ctx)?, |shape| Ok(twoply_ends(shape)))
}

fn twoply_mixed(ctx: &Context) -> Result<Sample> {
    let native = runtimes::twoply_named("native", 0)?;
    let green = runtimes::twoply_named("green", ctx.workers())?;
    time(ctx, |shape, ops| {
        let (sender, receivers) = twoply_ends(shape);
        let consumers: Vec<_> =
            receivers.into_iter().map(|from| green.spawner().spawn(consume(from))).collect();
        produce_here(&native, sender, shape, ops)?;
        consumers.into_iter().map(|consumer| Ok(consumer.wait()?)).sum()
    })
}

fn std_bounded(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &Threads, |shape| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(shape.capacity.context("no capacity")?);
        Ok((sender, vec![receiver]))
    })
}

fn std_unbounded(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &Threads, |_| {
        let (sender, receiver) = std::sync::mpsc::channel();
        Ok((sender, vec![receiver]))
    })
}

fn crossbeam(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &Threads, |shape| {
        Ok(shape.ends(shape.capacity.map_or_else(crossbeam_channel::unbounded, crossbeam_channel::bounded)))
    })
}

fn kanal(ctx: &Context) -> Result<Sample> {
    stacks(
        ctx,
        &Threads,
        |shape| Ok(shape.ends(shape.capacity.map_or_else(kanal::unbounded, kanal::bounded))),
    )
}

fn flume(ctx: &Context) -> Result<Sample> {
    stacks(ctx, &Threads, |shape| Ok(flume_ends(shape)))
}

fn may(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    stacks(ctx, &Coroutines, |shape| Ok(shape.ends(may::sync::mpmc::channel())))
}

fn foreign(ctx: &Context) -> Result<Sample> {
    let shape = Shape::of(ctx);
    let args = [shape.producers, shape.consumers, shape.capacity.unwrap_or(0)];
    peers::time(ctx, "channel", STEP, &args, |ops| shape.sum(ops))
}
