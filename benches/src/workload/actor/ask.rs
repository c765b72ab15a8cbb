//! Questions to an actor, and their answers: one at a time (`actor-ask`), and a hundred before the first
//! answer is waited for (`io-future`), as a program does whose calls give futures. The actor answers a number
//! with the next one.
//!
//! Written by hand for each system, with its own way to ask. kameo and xtra have one that waits and one that
//! gives a future of the answer at once; the others have one, whose future has sent its question before it is
//! awaited. `twoply-green-active` calls a method of an active value, which is a closure.

use std::convert::Infallible;

use actix::Actor as _;
use anyhow::{Context as _, Result, ensure};
use kameo::actor::{ActorRef, Spawn as _};
use ractor::RpcReplyPort;
use tokio::sync::{mpsc, oneshot};
use twoply::actor::{Active, Builder, Event, Process, ProcessRef};
use twoply::promise::Resolver;
use twoply::{Spawner, Wait as _};

use crate::peers;
use crate::runtimes::{self, Tasks as _};
use crate::workload::{Case, Context, Run, Sample, timed};

const ONE_WORKER: &[(&str, Run)] = &[
    ("mpsc-tokio-current", tokio_mpsc),
    ("kameo-tokio-current", kameo_actor),
    ("ractor-tokio-current", ractor_actor),
    ("xtra-tokio-current", xtra_actor),
    ("actix", actix_actor),
    ("erl", foreign),
    ("twoply-green", process),
    ("twoply-green-active", active),
    ("twoply-fibers", straight_process),
];

const TWO_WORKERS: &[(&str, Run)] = &[
    ("mpsc-tokio-multi", tokio_mpsc),
    ("kameo-tokio-multi", kameo_actor),
    ("ractor-tokio-multi", ractor_actor),
    ("xtra-tokio-multi", xtra_actor),
    ("erl", foreign),
    ("twoply-green", process),
    ("twoply-green-active", active),
    ("twoply-fibers", straight_process),
    ("twoply-native", straight_process),
    ("twoply-mixed", mixed_process),
];

pub(crate) const CASES: &[Case] = &[
    timed("actor-ask", &[("batch", 1), ("workers", 1)], ONE_WORKER),
    timed("actor-ask", &[("batch", 1), ("workers", 2)], TWO_WORKERS),
    timed("io-future", &[("batch", 100), ("workers", 1)], ONE_WORKER),
    timed("io-future", &[("batch", 100), ("workers", 2)], TWO_WORKERS),
];

/// How many questions a run asks at least; a multiple of each batch.
const STEP: usize = 1000;

/// Checks the answer to a question.
pub(super) fn check(asked: u64, answer: u64) -> Result<()> {
    ensure!(answer == asked + 1, "{asked} was answered with {answer}");
    Ok(())
}

/// Asks for the numbers below `ops`, a batch before the first of its answers is waited for. `ask` has asked
/// when it returns.
pub(super) async fn batches<F>(ops: usize, batch: usize, ask: impl Fn(u64) -> Result<F>) -> Result<()>
where
    F: Future<Output = Result<u64>>,
{
    let mut answers = Vec::with_capacity(batch);
    for first in (0..ops as u64).step_by(batch) {
        for asked in first..first + batch as u64 {
            answers.push(ask(asked)?);
        }
        for (asked, answer) in (first..).zip(answers.drain(..)) {
            check(asked, answer.await?)?;
        }
    }
    Ok(())
}

fn tokio_mpsc(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let batch = ctx.param("batch");
    ctx.time(STEP, |ops| {
        let (actor, mut mailbox) = mpsc::unbounded_channel::<(u64, oneshot::Sender<u64>)>();
        runtime.spawn(async move {
            while let Some((number, answer)) = mailbox.recv().await {
                answer.send(number + 1).ok();
            }
        });
        let asking = batches(ops, batch, move |number| {
            let (sender, answer) = oneshot::channel();
            actor.send((number, sender)).ok().context("the task has ended")?;
            Ok(async { Ok(answer.await?) })
        });
        runtime.block_on(runtime.spawn(asking))?
    })
}

/// Answers a number with the next one, as an actor of each library.
pub(super) struct Successor;

/// A question.
pub(super) struct Number(pub(super) u64);

impl kameo::Actor for Successor {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(successor: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(successor)
    }
}

impl kameo::message::Message<Number> for Successor {
    type Reply = u64;

    async fn handle(&mut self, asked: Number, _: &mut kameo::message::Context<Self, u64>) -> u64 {
        asked.0 + 1
    }
}

fn kameo_actor(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let batch = ctx.param("batch");
    ctx.time(STEP, |ops| {
        let asking = async move {
            let actor = Successor::spawn_with_mailbox(Successor, kameo::mailbox::unbounded());
            if batch > 1 {
                let ask = |number| {
                    let answer =
                        actor.ask(Number(number)).try_enqueue().ok().context("the actor has ended")?;
                    Ok(async { answer.await.ok().context("the actor has ended") })
                };
                return batches(ops, batch, ask).await;
            }
            for number in 0..ops as u64 {
                let answer = actor.ask(Number(number)).send().await;
                check(number, answer.ok().context("the actor has ended")?)?;
            }
            Ok(())
        };
        runtime.block_on(runtime.spawn(asking))?
    })
}

impl ractor::Actor for Successor {
    type Msg = (u64, RpcReplyPort<u64>);
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ractor::ActorRef<Self::Msg>,
        (): (),
    ) -> Result<(), ractor::ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<Self::Msg>,
        (number, answer): Self::Msg,
        (): &mut (),
    ) -> Result<(), ractor::ActorProcessingErr> {
        answer.send(number + 1).ok();
        Ok(())
    }
}

fn ractor_actor(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let batch = ctx.param("batch");
    ctx.time(STEP, |ops| {
        let asking = async move {
            let (actor, _task) = ractor::Actor::spawn(None, Successor, ()).await?;
            // Its `call` sends the question when it is first polled.
            let ask = |number| {
                let (sender, answer) = ractor::concurrency::oneshot();
                actor.send_message((number, sender.into())).ok().context("the actor has ended")?;
                Ok(async { Ok(answer.await?) })
            };
            let result = batches(ops, batch, ask).await;
            actor.stop(None);
            result
        };
        runtime.block_on(runtime.spawn(asking))?
    })
}

impl xtra::Actor for Successor {
    type Stop = ();

    async fn stopped(self) {}
}

impl xtra::Handler<Number> for Successor {
    type Return = u64;

    async fn handle(&mut self, asked: Number, _: &mut xtra::Context<Self>) -> u64 {
        asked.0 + 1
    }
}

fn xtra_actor(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let batch = ctx.param("batch");
    ctx.time(STEP, |ops| {
        let asking = async move {
            let actor = xtra::spawn_tokio(Successor, xtra::Mailbox::unbounded());
            let mut answers = Vec::with_capacity(batch);
            for first in (0..ops as u64).step_by(batch) {
                if batch == 1 {
                    check(first, actor.send(Number(first)).await?)?;
                    continue;
                }
                for number in first..first + batch as u64 {
                    answers.push(actor.send(Number(number)).detach().await?);
                }
                for (number, answer) in (first..).zip(answers.drain(..)) {
                    check(number, answer.await?)?;
                }
            }
            anyhow::Ok(())
        };
        runtime.block_on(runtime.spawn(asking))?
    })
}

impl actix::Actor for Successor {
    type Context = actix::Context<Self>;

    fn started(&mut self, handling: &mut actix::Context<Self>) {
        // Room for a batch: without it, a question waits to be sent until its future is polled.
        handling.set_mailbox_capacity(1024);
    }
}

impl actix::Message for Number {
    type Result = u64;
}

impl actix::Handler<Number> for Successor {
    type Result = u64;

    fn handle(&mut self, asked: Number, _: &mut actix::Context<Self>) -> u64 {
        asked.0 + 1
    }
}

fn actix_actor(ctx: &Context) -> Result<Sample> {
    let system = actix::System::new();
    let batch = ctx.param("batch");
    ctx.time(STEP, |ops| {
        system.block_on(async move {
            let actor = Successor.start();
            // It sets its capacity when it starts, which its first answer proves.
            check(0, actor.send(Number(0)).await?)?;
            batches(ops, batch, |number| {
                let answer = actor.send(Number(number));
                Ok(async { Ok(answer.await?) })
            })
            .await
        })
    })
}

/// A question with the means to answer it.
pub(super) struct Question(pub(super) u64, pub(super) Resolver<u64>);

/// Starts a process that answers.
fn successor(spawner: &Spawner) -> Result<ProcessRef<Question>> {
    let body = async |mut me: Process<Question>| {
        while let Event::Message(Question(number, answer)) = me.receive().await {
            answer.resolve(number + 1).ok();
        }
    };
    Ok(Builder::new().unbounded().on(spawner.backend()).spawn(body)?)
}

/// As [`successor`], in straight-line code.
fn straight_successor(spawner: &Spawner) -> Result<ProcessRef<Question>> {
    let body = |mut me: Process<Question>| {
        while let Event::Message(Question(number, answer)) = me.receive().wait() {
            answer.resolve(number + 1).ok();
        }
    };
    Ok(Builder::new().unbounded().on(spawner.backend()).spawn_fn(body)?)
}

/// Asks a process, in an async task.
async fn ask_process(actor: ProcessRef<Question>, ops: usize, batch: usize) -> Result<()> {
    if batch > 1 {
        let ask = |number| {
            let answer =
                actor.try_ask(|answer| Question(number, answer)).ok().context("the process has ended")?;
            Ok(async { Ok(answer.await?) })
        };
        batches(ops, batch, ask).await?;
    } else {
        for number in 0..ops as u64 {
            check(number, actor.ask(|answer| Question(number, answer)).await?)?;
        }
    }
    actor.exit(twoply::actor::ExitReason::Shutdown);
    Ok(())
}

/// As [`ask_process`], in straight-line code.
fn ask_straight(actor: &ProcessRef<Question>, ops: usize, batch: usize) -> Result<()> {
    let mut answers = Vec::with_capacity(batch);
    for first in (0..ops as u64).step_by(batch) {
        if batch == 1 {
            check(first, actor.ask(|answer| Question(first, answer)).wait()?)?;
            continue;
        }
        for number in first..first + batch as u64 {
            let answer = actor.try_ask(|answer| Question(number, answer));
            answers.push(answer.ok().context("the process has ended")?);
        }
        for (number, answer) in (first..).zip(answers.drain(..)) {
            check(number, answer.wait()?)?;
        }
    }
    actor.exit(twoply::actor::ExitReason::Shutdown);
    Ok(())
}

fn process(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let batch = ctx.param("batch");
    ctx.time(STEP, |ops| runtime.run(ask_process(successor(runtime.spawner())?, ops, batch))?)
}

fn active(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let batch = ctx.param("batch");
    ctx.time(STEP, |ops| {
        let active = Active::builder().on(runtime.spawner().backend()).build(1);
        let asking = batches(ops, batch, move |number| {
            let answer = active.ask(move |step| number + *step);
            Ok(async { Ok(answer.await?) })
        });
        runtime.run(asking)?
    })
}

fn straight_process(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let batch = ctx.param("batch");
    ctx.time(STEP, |ops| {
        let actor = straight_successor(runtime.spawner())?;
        runtime.run_fn(move || ask_straight(&actor, ops, batch))?
    })
}

fn mixed_process(ctx: &Context) -> Result<Sample> {
    let here = runtimes::twoply_named("green", 1)?;
    let there = runtimes::twoply_named("native", 0)?;
    let batch = ctx.param("batch");
    ctx.time(STEP, |ops| here.run(ask_process(straight_successor(there.spawner())?, ops, batch))?)
}

fn foreign(ctx: &Context) -> Result<Sample> {
    let batch = ctx.param("batch");
    peers::time(ctx, "ask", STEP, &[batch], |ops| ops)
}
