//! Channels under load: producers that send as fast as they can, consumers that add up what they get.
//!
//! An operation is a message. `capacity` is the room of the channel, in `channel-bounded`; with none to spare, the
//! slower side sets the pace. In `channel-unbounded` the producers may run ahead, and whoever lets them pays with
//! memory and its misses. Producers send equal shares of the messages; a consumer ends when the channel does.
//!
//! Three kinds of systems share the tables. `std-mpsc`, `crossbeam`, `kanal` and `flume` are channels of OS threads,
//! as many as there are producers and consumers. The next are tasks on two workers: the channels of tokio, kanal and
//! flume run on tokio, async-channel on smol. Ours is one channel in all of them: between async tasks
//! (`twoply-green`), between straight-line code on fibers and on threads, and (`twoply-mixed`) from native producers to
//! green consumers.
//!
//! What differs: std's and tokio's channels have one receiver, so they take part where there is one consumer; so have
//! Erlang's mailboxes, which have no bound either. Go's channels always have a bound, may's never.

use std::iter;
use std::thread;

use anyhow::{Context as _, Result};
use twoply::channel::{self, Receiver, Sender};
use twoply::{Spawner, Task, Wait as _};

use super::{Case, Context, NANOSECONDS, Run, Sample, check_count};
use crate::peers;
use crate::runtimes::{self, Smol};

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
    bounded(&[("producers", 1), ("consumers", 1), ("capacity", 100), ("workers", 2)], BOUNDED_TO_ONE),
    bounded(&[("producers", 4), ("consumers", 1), ("capacity", 100), ("workers", 2)], BOUNDED_TO_ONE),
    bounded(&[("producers", 4), ("consumers", 4), ("capacity", 100), ("workers", 2)], BOUNDED_TO_MANY),
    unbounded(&[("producers", 1), ("consumers", 1), ("workers", 2)], UNBOUNDED_TO_ONE),
    unbounded(&[("producers", 4), ("consumers", 1), ("workers", 2)], UNBOUNDED_TO_ONE),
    unbounded(&[("producers", 4), ("consumers", 4), ("workers", 2)], UNBOUNDED_TO_MANY),
];

type Params = &'static [(&'static str, usize)];
type Systems = &'static [(&'static str, Run)];

const fn bounded(params: Params, systems: Systems) -> Case {
    Case { workload: "channel-bounded", params, measures: NANOSECONDS, runs: 3, quick: true, systems }
}

const fn unbounded(params: Params, systems: Systems) -> Case {
    Case { workload: "channel-unbounded", params, measures: NANOSECONDS, runs: 3, quick: true, systems }
}

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

    /// Copies of the receiver, one for each consumer; the original is one of them.
    fn receivers<R: Clone>(self, receiver: R) -> Vec<R> {
        iter::repeat_n(receiver, self.consumers).collect()
    }
}

/// Measures exchanges. `exchange` is told how many messages there are, and gives back the sum of those received.
fn time(ctx: &Context, mut exchange: impl FnMut(Shape, usize) -> Result<usize>) -> Result<Sample> {
    let shape = Shape::of(ctx);
    ctx.time(STEP, |ops| check_count(shape.sum(ops), exchange(shape, ops)?))
}

/// A future that starts the producers and the consumers, and gives back the sum of the consumers'.
///
/// `$sender` goes to the producers, one of `$receivers` to each consumer. `$start` starts a future as a task; awaiting
/// what that gives is the future's result, or an error.
macro_rules! tasks {
    ($shape:expr, $ops:expr, $sender:expr, $receivers:expr, |$task:ident| $start:expr,
     |$to:ident, $number:ident| $send:expr, |$from:ident| $receive:expr) => {{
        let (share, sender, receivers) = ($shape.share($ops), $sender, $receivers);
        async move {
            let mut tasks = Vec::new();
            for from in receivers {
                // Some receive through a shared reference.
                #[allow(unused_mut)]
                let mut $from = from;
                let $task = async move {
                    let mut sum = 0;
                    while let Some(number) = $receive {
                        sum += number;
                    }
                    sum
                };
                tasks.push($start);
            }
            for _ in 0..$shape.producers {
                let $to = sender.clone();
                let $task = async move {
                    for $number in 0..share {
                        // If the channel is gone, the sum will tell.
                        let _sent = $send;
                    }
                    0
                };
                tasks.push($start);
            }
            drop(sender);
            let mut sum = 0;
            for task in tasks {
                sum += task.await?;
            }
            anyhow::Ok(sum)
        }
    }};
}

fn tokio_bounded(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    time(ctx, |shape, ops| {
        let (sender, receiver) = tokio::sync::mpsc::channel(shape.capacity.context("no capacity")?);
        let exchange = tasks!(
            shape,
            ops,
            sender,
            [receiver],
            |task| tokio::spawn(task),
            |to, number| to.send(number).await,
            |from| from.recv().await
        );
        runtime.block_on(runtime.spawn(exchange))?
    })
}

fn tokio_unbounded(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    time(ctx, |shape, ops| {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let exchange = tasks!(
            shape,
            ops,
            sender,
            [receiver],
            |task| tokio::spawn(task),
            |to, number| to.send(number),
            |from| from.recv().await
        );
        runtime.block_on(runtime.spawn(exchange))?
    })
}

fn kanal_tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    time(ctx, |shape, ops| {
        let (sender, receiver) = shape.capacity.map_or_else(kanal::unbounded_async, kanal::bounded_async);
        let exchange = tasks!(
            shape,
            ops,
            sender,
            shape.receivers(receiver),
            |task| tokio::spawn(task),
            |to, number| to.send(number).await,
            |from| from.recv().await.ok()
        );
        runtime.block_on(runtime.spawn(exchange))?
    })
}

fn flume_tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    time(ctx, |shape, ops| {
        let (sender, receiver) = shape.capacity.map_or_else(flume::unbounded, flume::bounded);
        let exchange = tasks!(
            shape,
            ops,
            sender,
            shape.receivers(receiver),
            |task| tokio::spawn(task),
            |to, number| to.send_async(number).await,
            |from| from.recv_async().await.ok()
        );
        runtime.block_on(runtime.spawn(exchange))?
    })
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    time(ctx, |shape, ops| {
        let (sender, receiver) = shape.capacity.map_or_else(async_channel::unbounded, async_channel::bounded);
        let executor = smol.executor.clone();
        smol.run(tasks!(
            shape,
            ops,
            sender,
            shape.receivers(receiver),
            |task| executor.spawn(async move { anyhow::Ok(task.await) }),
            |to, number| to.send(number).await,
            |from| from.recv().await.ok()
        ))
    })
}

/// Our channel of this shape.
fn twoply_channel(shape: Shape) -> (Sender<usize>, Receiver<usize>) {
    shape.capacity.map_or_else(channel::unbounded, channel::bounded)
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    time(ctx, |shape, ops| {
        let (sender, receiver) = twoply_channel(shape);
        runtime.run(tasks!(
            shape,
            ops,
            sender,
            shape.receivers(receiver),
            |task| twoply::spawn(task),
            |to, number| to.send(number).await,
            |from| from.recv().await.ok()
        ))?
    })
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    time(ctx, |shape, ops| {
        let (sender, receiver) = twoply_channel(shape);
        let consumer = |from: Receiver<usize>| runtime.spawner().spawn_fn(move || from.iter().sum::<usize>());
        let consumers: Vec<_> = shape.receivers(receiver).into_iter().map(consumer).collect();
        produce(runtime.spawner(), shape, ops, sender)?;
        sum(consumers)
    })
}

fn twoply_mixed(ctx: &Context) -> Result<Sample> {
    let native = runtimes::twoply_named("native", 0)?;
    let green = runtimes::twoply_named("green", ctx.workers())?;
    time(ctx, |shape, ops| {
        let (sender, receiver) = twoply_channel(shape);
        let consumer = |from: Receiver<usize>| {
            green.spawner().spawn(async move {
                let mut sum = 0;
                while let Ok(number) = from.recv().await {
                    sum += number;
                }
                sum
            })
        };
        let consumers: Vec<_> = shape.receivers(receiver).into_iter().map(consumer).collect();
        produce(native.spawner(), shape, ops, sender)?;
        sum(consumers)
    })
}

/// Sends everything from straight-line code.
fn produce(spawner: &Spawner, shape: Shape, ops: usize, sender: Sender<usize>) -> Result<()> {
    let share = shape.share(ops);
    let producer = |to: Sender<usize>| {
        spawner.spawn_fn(move || (0..share).try_for_each(|number| to.send(number).wait()))
    };
    let producers: Vec<_> = iter::repeat_n(sender, shape.producers).map(producer).collect();
    producers.into_iter().try_for_each(|producer| Ok(producer.wait()??))
}

/// The sum of what the consumers got.
fn sum(consumers: Vec<Task<usize>>) -> Result<usize> {
    consumers.into_iter().map(|consumer| Ok(consumer.wait()?)).sum()
}

/// Producers and consumers on threads, over a channel of std's shape.
macro_rules! threads {
    ($shape:expr, $ops:expr, $sender:expr, $receivers:expr) => {{
        let (share, sender) = ($shape.share($ops), $sender);
        let mut threads = Vec::new();
        for from in $receivers {
            threads.push(thread::spawn(move || iter::from_fn(|| from.recv().ok()).sum::<usize>()));
        }
        for to in iter::repeat_n(sender, $shape.producers) {
            threads.push(thread::spawn(move || {
                // If the channel is gone, the sum will tell.
                let _sent = (0..share).try_for_each(|number| to.send(number));
                0
            }));
        }
        let join = |thread: thread::JoinHandle<usize>| thread.join().ok().context("a thread panicked");
        threads.into_iter().map(join).sum::<Result<usize>>()
    }};
}

fn std_bounded(ctx: &Context) -> Result<Sample> {
    time(ctx, |shape, ops| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(shape.capacity.context("no capacity")?);
        threads!(shape, ops, sender, [receiver])
    })
}

fn std_unbounded(ctx: &Context) -> Result<Sample> {
    time(ctx, |shape, ops| {
        let (sender, receiver) = std::sync::mpsc::channel();
        threads!(shape, ops, sender, [receiver])
    })
}

fn crossbeam(ctx: &Context) -> Result<Sample> {
    time(ctx, |shape, ops| {
        let (sender, receiver) =
            shape.capacity.map_or_else(crossbeam_channel::unbounded, crossbeam_channel::bounded);
        threads!(shape, ops, sender, shape.receivers(receiver))
    })
}

fn kanal(ctx: &Context) -> Result<Sample> {
    time(ctx, |shape, ops| {
        let (sender, receiver) = shape.capacity.map_or_else(kanal::unbounded, kanal::bounded);
        threads!(shape, ops, sender, shape.receivers(receiver))
    })
}

fn flume(ctx: &Context) -> Result<Sample> {
    time(ctx, |shape, ops| {
        let (sender, receiver) = shape.capacity.map_or_else(flume::unbounded, flume::bounded);
        threads!(shape, ops, sender, shape.receivers(receiver))
    })
}

fn may(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    time(ctx, |shape, ops| {
        let (sender, receiver) = may::sync::mpmc::channel::<usize>();
        let share = shape.share(ops);
        let mut coroutines = Vec::new();
        for from in shape.receivers(receiver) {
            coroutines.push(may::go!(move || iter::from_fn(|| from.recv().ok()).sum::<usize>()));
        }
        for to in iter::repeat_n(sender, shape.producers) {
            coroutines.push(may::go!(move || {
                // If the channel is gone, the sum will tell.
                let _sent = (0..share).try_for_each(|number| to.send(number));
                0
            }));
        }
        let join = |coroutine: may::coroutine::JoinHandle<usize>| coroutine.join().ok();
        coroutines.into_iter().map(join).sum::<Option<usize>>().context("a coroutine panicked")
    })
}

fn foreign(ctx: &Context) -> Result<Sample> {
    let shape = Shape::of(ctx);
    let args = [shape.producers, shape.consumers, shape.capacity.unwrap_or(0)];
    peers::time(ctx, "channel", STEP, &args, |ops| shape.sum(ops))
}
