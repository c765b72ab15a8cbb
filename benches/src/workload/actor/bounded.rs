//! Messages into a mailbox for 1,024, from a task that waits for room whenever there is none.
//!
//! Written by hand for each system: here a send waits, which a [`Behaviour`](super::system::Behaviour) never
//! does.

use std::convert::Infallible;

use anyhow::{Context as _, Result};
use kameo::actor::{ActorRef, Spawn as _};
use tokio::sync::{mpsc, oneshot};
use twoply::actor::{Builder, Event, Process};
use twoply::promise;

use crate::runtimes::{self, Tasks as _};
use crate::workload::{Case, Context, Run, Sample, check_count, timed};

/// How many messages the mailbox holds.
const CAPACITY: usize = 1024;

const ONE_WORKER: &[(&str, Run)] =
    &[("mpsc-tokio-current", tokio_mpsc), ("kameo-tokio-current", kameo_actor), ("twoply-green", process)];

const TWO_WORKERS: &[(&str, Run)] =
    &[("mpsc-tokio-multi", tokio_mpsc), ("kameo-tokio-multi", kameo_actor), ("twoply-green", process)];

pub(crate) const CASES: &[Case] = &[
    timed("actor-tell-bounded", &[("capacity", CAPACITY), ("workers", 1)], ONE_WORKER),
    timed("actor-tell-bounded", &[("capacity", CAPACITY), ("workers", 2)], TWO_WORKERS),
];

/// How many messages a run sends at least.
const STEP: usize = 10_000;

/// To the actor that counts: one more, or the question how many there were, which is its last message.
enum ToCounter<R> {
    /// One more.
    Message,
    /// How many?
    End(R),
}

fn tokio_mpsc(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(STEP, |ops| {
        let (counter, mut mailbox) = mpsc::channel(CAPACITY);
        let counting = async move {
            let mut count = 0;
            while let Some(message) = mailbox.recv().await {
                match message {
                    ToCounter::Message => count += 1,
                    ToCounter::End(answer) => {
                        let answer: oneshot::Sender<usize> = answer;
                        answer.send(count).ok();
                    }
                }
            }
        };
        runtime.spawn(counting);
        let sending = async move {
            for _ in 0..ops {
                counter.send(ToCounter::Message).await.ok().context("the task has ended")?;
            }
            let (answer, count) = oneshot::channel();
            counter.send(ToCounter::End(answer)).await.ok().context("the task has ended")?;
            anyhow::Ok(count.await?)
        };
        check_count(ops, runtime.block_on(runtime.spawn(sending))??)
    })
}

/// Counts, as an actor of kameo.
struct Counter(usize);

/// A message to it.
struct Message;

/// The question how many there were.
struct End;

impl kameo::Actor for Counter {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(counter: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(counter)
    }
}

impl kameo::message::Message<Message> for Counter {
    type Reply = ();

    async fn handle(&mut self, _: Message, _: &mut kameo::message::Context<Self, ()>) {
        self.0 += 1;
    }
}

impl kameo::message::Message<End> for Counter {
    type Reply = usize;

    async fn handle(&mut self, _: End, handling: &mut kameo::message::Context<Self, usize>) -> usize {
        handling.stop();
        self.0
    }
}

fn kameo_actor(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    ctx.time(STEP, |ops| {
        let sending = async move {
            let counter = Counter::spawn_with_mailbox(Counter(0), kameo::mailbox::bounded(CAPACITY));
            for _ in 0..ops {
                counter.tell(Message).send().await.ok().context("the actor has ended")?;
            }
            counter.ask(End).send().await.ok().context("the actor has ended")
        };
        check_count(ops, runtime.block_on(runtime.spawn(sending))??)
    })
}

fn process(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    ctx.time(STEP, |ops| {
        let counting = async |mut me: Process<ToCounter<promise::Resolver<usize>>>| {
            let mut count = 0;
            while let Event::Message(message) = me.receive().await {
                match message {
                    ToCounter::Message => count += 1,
                    ToCounter::End(answer) => {
                        answer.resolve(count).ok();
                        break;
                    }
                }
            }
        };
        let sending = async move {
            let counter = Builder::new().capacity(CAPACITY).spawn(counting)?;
            for _ in 0..ops {
                counter.send(ToCounter::Message).await.ok().context("the process has ended")?;
            }
            anyhow::Ok(counter.ask(ToCounter::End).await?)
        };
        check_count(ops, runtime.run(sending)??)
    })
}
