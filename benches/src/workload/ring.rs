//! A ring of tasks, each with a channel to the next: the time of one hop of the one message that goes round.
//!
//! A hop is a message and a switch to a task that has not run for a whole round. The message counts the hops that are
//! left, and the task that gets a zero says its number, which tells how many hops there really were. The ring is made
//! before the clock starts (Go and Erlang make theirs anew for each run, a thousandth of its time).
//!
//! The channels hold one message; Erlang's mailboxes and may's channels are unbounded. tokio's, kanal's and flume's
//! run on tokio; async-channel runs on smol. `std-mpsc` and `crossbeam` are a thread for each node, so is
//! `twoply-native`. In `twoply-mixed` every other node is a native thread, and the rest are green tasks: each hop
//! crosses the line.

use std::thread;

use anyhow::{Context as _, Result, ensure};
use twoply::channel::{self, Receiver, Sender};
use twoply::{Spawner, Wait as _};

use super::{Case, Context, Sample, timed};
use crate::peers;
use crate::runtimes::{self, Smol, Twoply};

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

/// A ring: where a message starts, and where the number of the node comes out at which it ended.
type Ring<S, R> = (S, R);

/// Makes the channels of a ring and starts a node on each. `$start` starts the node `$index` with where its messages
/// come from, where they go next, and where the last one goes.
macro_rules! ring {
    ($nodes:expr, $channel:expr, |$index:ident, $inbox:ident, $next:ident, $done:ident| $start:expr) => {{
        let (done, end) = $channel;
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..$nodes).map(|_| $channel).unzip();
        for ($index, inbox) in receivers.into_iter().enumerate() {
            // Some receive through a shared reference.
            #[allow(unused_mut)]
            let (mut $inbox, $next, $done) = (inbox, senders[($index + 1) % $nodes].clone(), done.clone());
            $start
        }
        (senders[0].clone(), end)
    }};
}

/// The life of a node. `$receive` gives the next message, or none when there will be no more.
macro_rules! node {
    ($index:expr, $receive:expr, |$left:ident| $pass:expr, |$number:ident| $finish:expr) => {
        while let Some(left) = $receive {
            match left {
                STOP => {
                    let $left = STOP;
                    // The first node has ended when the last one tells it.
                    let _told = $pass;
                    break;
                }
                0 => {
                    let $number = $index;
                    let _said = $finish;
                }
                _ => {
                    let $left = left - 1;
                    let _passed = $pass;
                }
            }
        }
    };
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

fn tokio(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let channel = || tokio::sync::mpsc::channel::<usize>(1);
    let (first, mut end) = ring!(ctx.param("nodes"), channel(), |index, inbox, next, done| {
        runtime.spawn(async move {
            node!(index, inbox.recv().await, |left| next.send(left).await, |number| done.send(number).await);
        });
    });
    time(ctx, |hops| {
        runtime.block_on(async {
            first.send(hops).await?;
            end.recv().await.context("the ring broke")
        })
    })
}

fn kanal(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let channel = || kanal::bounded_async::<usize>(1);
    let (first, end) = ring!(ctx.param("nodes"), channel(), |index, inbox, next, done| {
        runtime.spawn(async move {
            node!(index, inbox.recv().await.ok(), |left| next.send(left).await, |number| done
                .send(number)
                .await);
        });
    });
    time(ctx, |hops| {
        runtime.block_on(async {
            first.send(hops).await?;
            Ok(end.recv().await?)
        })
    })
}

fn flume(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let channel = || flume::bounded::<usize>(1);
    let (first, end) = ring!(ctx.param("nodes"), channel(), |index, inbox, next, done| {
        runtime.spawn(async move {
            node!(index, inbox.recv_async().await.ok(), |left| next.send_async(left).await, |number| done
                .send_async(number)
                .await);
        });
    });
    time(ctx, |hops| {
        runtime.block_on(async {
            first.send_async(hops).await?;
            Ok(end.recv_async().await?)
        })
    })
}

fn smol(ctx: &Context) -> Result<Sample> {
    let smol = Smol::new(ctx.workers());
    let channel = || async_channel::bounded::<usize>(1);
    let (first, end) = ring!(ctx.param("nodes"), channel(), |index, inbox, next, done| {
        let node = async move {
            node!(index, inbox.recv().await.ok(), |left| next.send(left).await, |number| done
                .send(number)
                .await);
        };
        smol.executor.spawn(node).detach();
    });
    time(ctx, |hops| {
        first.send_blocking(hops)?;
        Ok(end.recv_blocking()?)
    })
}

fn twoply(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let channel = || channel::bounded::<usize>(1);
    let ring = ring!(ctx.param("nodes"), channel(), |index, inbox, next, done| {
        start_async(runtime.spawner(), index, inbox, next, done);
    });
    twoply_time(ctx, ring)
}

fn twoply_straight(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let channel = || channel::bounded::<usize>(1);
    let ring = ring!(ctx.param("nodes"), channel(), |index, inbox, next, done| {
        start_straight(runtime.spawner(), index, inbox, next, done);
    });
    twoply_time(ctx, ring)
}

fn twoply_mixed(ctx: &Context) -> Result<Sample> {
    let native: Twoply = runtimes::twoply_named("native", 0)?;
    let green = runtimes::twoply_named("green", ctx.workers())?;
    let channel = || channel::bounded::<usize>(1);
    let ring = ring!(ctx.param("nodes"), channel(), |index, inbox, next, done| {
        if index % 2 == 0 {
            start_async(green.spawner(), index, inbox, next, done);
        } else {
            start_straight(native.spawner(), index, inbox, next, done);
        }
    });
    twoply_time(ctx, ring)
}

fn start_async(
    spawner: &Spawner,
    index: usize,
    inbox: Receiver<usize>,
    next: Sender<usize>,
    done: Sender<usize>,
) {
    let node = async move {
        node!(index, inbox.recv().await.ok(), |left| next.send(left).await, |number| done.send(number).await);
    };
    spawner.spawn(node).detach();
}

fn start_straight(
    spawner: &Spawner,
    index: usize,
    inbox: Receiver<usize>,
    next: Sender<usize>,
    done: Sender<usize>,
) {
    let node = move || {
        node!(index, inbox.recv().wait().ok(), |left| next.send(left).wait(), |number| done
            .send(number)
            .wait());
    };
    spawner.spawn_fn(node).detach();
}

/// Measures a ring of ours, and ends it.
fn twoply_time(ctx: &Context, (first, end): Ring<Sender<usize>, Receiver<usize>>) -> Result<Sample> {
    let sample = time(ctx, |hops| {
        first.send(hops).wait()?;
        Ok(end.recv().wait()?)
    });
    first.send(STOP).wait()?;
    sample
}

/// A ring of threads over channels of std's shape.
macro_rules! threads {
    ($ctx:expr, $channel:expr) => {{
        let mut nodes = Vec::new();
        let (first, end) = ring!($ctx.param("nodes"), $channel, |index, inbox, next, done| {
            nodes.push(thread::spawn(move || {
                node!(index, inbox.recv().ok(), |left| next.send(left), |number| done.send(number));
            }));
        });
        let sample = time($ctx, |hops| {
            first.send(hops)?;
            Ok(end.recv()?)
        });
        first.send(STOP)?;
        for node in nodes {
            node.join().ok().context("a node panicked")?;
        }
        sample
    }};
}

fn std_mpsc(ctx: &Context) -> Result<Sample> {
    threads!(ctx, std::sync::mpsc::sync_channel::<usize>(1))
}

fn crossbeam(ctx: &Context) -> Result<Sample> {
    threads!(ctx, crossbeam_channel::bounded::<usize>(1))
}

fn may(ctx: &Context) -> Result<Sample> {
    runtimes::may(ctx.workers());
    let (first, end) =
        ring!(ctx.param("nodes"), may::sync::mpsc::channel::<usize>(), |index, inbox, next, done| {
            may::go!(move || {
                node!(index, inbox.recv().ok(), |left| next.send(left), |number| done.send(number));
            });
        });
    time(ctx, |hops| {
        first.send(hops)?;
        Ok(end.recv()?)
    })
}

fn foreign(ctx: &Context) -> Result<Sample> {
    let nodes = ctx.param("nodes");
    // Told apart by the node at which the message ends, as above.
    peers::time(ctx, "ring", nodes, &[nodes], |ops| (ops + nodes / 3) % nodes)
}
