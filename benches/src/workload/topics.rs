//! Events for all: one task publishes, and each of the subscribers gets every message. An operation is a
//! message that has reached them all; after a batch the publisher waits until they have.
//!
//! `twoply-green` and `twoply-native` are a topic whose subscribers are actors, each with a mailbox of its
//! own. The others are tasks that receive from a broadcast channel, tokio's or (`-broadcast`) ours, which
//! keeps a message once for all. Channels and mailboxes have room for a batch, so nobody misses anything.

use std::convert::Infallible;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::{broadcast, mpsc};
use twoply::actor::{Actor, Backlog, Builder, Context as Me, ExitReason, Topic};
use twoply::channel;

use super::{Case, Context, Run, Sample, check_count, timed};
use crate::runtimes::{self, Start as _, Tasks as _};

const SYSTEMS: &[(&str, Run)] = &[
    ("tokio-current", tokio_broadcast),
    ("tokio-multi", tokio_broadcast),
    ("twoply-green-broadcast", our_broadcast),
    ("twoply-green", topic),
    ("twoply-native", topic),
];

pub(crate) const CASES: &[Case] = &[
    timed("topic", &[("subscribers", 8), ("batch", 100), ("workers", 1)], SYSTEMS),
    timed("topic", &[("subscribers", 8), ("batch", 100), ("workers", 2)], SYSTEMS),
];

/// What a subscriber has received.
#[derive(Default)]
struct Seen {
    messages: usize,
    sum: usize,
}

impl Seen {
    /// Adds a message. Returns the sum of all at the end of a batch.
    fn add(&mut self, message: usize, batch: usize) -> Option<usize> {
        self.messages += 1;
        self.sum += message;
        self.messages.is_multiple_of(batch).then_some(self.sum)
    }
}

/// Publishes `$ops` messages with `$publish`, and waits after each batch for the sum of every subscriber.
macro_rules! publish {
    ($ops:expr, $subscribers:expr, $batch:expr, |$message:ident| $publish:expr, $sum:expr) => {{
        let mut sent = 0;
        for $message in 0..$ops {
            $publish;
            sent += $message;
            if ($message + 1) % $batch == 0 {
                for _ in 0..$subscribers {
                    let sum = $sum;
                    ensure!(sum == sent, "a subscriber has the sum {sum} instead of {sent}");
                }
            }
        }
    }};
}

/// An actor that tells the sum at the end of each batch.
struct Subscriber {
    seen: Seen,
    batch: usize,
    tell: channel::Sender<usize>,
}

impl Actor for Subscriber {
    type Message = usize;
    type Error = Infallible;

    async fn handle(&mut self, message: usize, _: &mut Me<Self>) -> Result<(), Infallible> {
        if let Some(sum) = self.seen.add(message, self.batch) {
            self.tell.try_send(sum).ok();
        }
        Ok(())
    }
}

fn topic(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let (subscribers, batch) = (ctx.param("subscribers"), ctx.param("batch"));
    ctx.time(batch, |ops| {
        let (tell, sums) = channel::unbounded();
        let topic = Topic::new();
        let all = (0..subscribers).map(|_| {
            let subscriber = Subscriber { seen: Seen::default(), batch, tell: tell.clone() };
            let builder = Builder::new().on(runtime.spawner().backend()).capacity(batch);
            let subscriber = builder.spawn_actor(subscriber)?;
            ensure!(topic.subscribe(&subscriber, Backlog::Wait), "a subscriber has ended");
            Ok(subscriber)
        });
        let all = all.collect::<Result<Vec<_>>>()?;
        runtime.run(async move {
            publish!(
                ops,
                subscribers,
                batch,
                |message| check_count(subscribers, topic.publish(message).await.delivered)?,
                sums.recv().await?
            );
            all.iter().for_each(|subscriber| subscriber.exit(ExitReason::Shutdown));
            anyhow::Ok(())
        })?
    })
}

fn our_broadcast(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let (subscribers, batch) = (ctx.param("subscribers"), ctx.param("batch"));
    ctx.time(batch, |ops| {
        let (tell, sums) = channel::unbounded();
        let (events, _) = channel::broadcast(batch);
        for _ in 0..subscribers {
            let (mut events, tell) = (events.subscribe(), tell.clone());
            drop(runtime.starter().start(async move {
                let mut seen = Seen::default();
                while let Ok(message) = events.recv().await {
                    if let Some(sum) = seen.add(message, batch) {
                        tell.try_send(sum).ok();
                    }
                }
            }));
        }
        runtime.run(async move {
            publish!(
                ops,
                subscribers,
                batch,
                |message| check_count(subscribers, events.send(message)?)?,
                sums.recv().await?
            );
            anyhow::Ok(())
        })?
    })
}

fn tokio_broadcast(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let (subscribers, batch) = (ctx.param("subscribers"), ctx.param("batch"));
    ctx.time(batch, |ops| {
        let (tell, mut sums) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(batch);
        for _ in 0..subscribers {
            let (mut events, tell) = (events.subscribe(), tell.clone());
            runtime.spawn(async move {
                let mut seen = Seen::default();
                while let Ok(message) = events.recv().await {
                    if let Some(sum) = seen.add(message, batch) {
                        tell.send(sum).ok();
                    }
                }
            });
        }
        runtime.block_on(runtime.spawn(async move {
            publish!(
                ops,
                subscribers,
                batch,
                |message| check_count(subscribers, events.send(message)?)?,
                sums.recv().await.context("the subscribers have ended")?
            );
            anyhow::Ok(())
        }))?
    })
}
