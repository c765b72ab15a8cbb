//! Questions to a pool: several actors of one kind behind one reference. A hundred questions are asked before
//! the first answer is waited for, and an operation is a question and its answer.
//!
//! Who gets a question differs. With `first-idle` in its name, or for smol, xtra and actix, all members take
//! from one queue; else they take turns. ractor's factory has an actor of its own in between, which gives
//! each question to a member that is idle. `mpsc-tokio` and `smol` are tasks with channels and no actor
//! library: nobody restarts them. The members of actix are threads of a `SyncArbiter`, as those of
//! `twoply-native` are tasks on threads.

use std::convert::Infallible;

use anyhow::{Context as _, Result};
use ractor::RpcReplyPort;
use ractor::factory::queues::DefaultQueue;
use ractor::factory::routing::QueuerRouting;
use ractor::factory::{Factory, FactoryArguments, FactoryMessage, Job, Worker, WorkerBuilder, WorkerId};
use tokio::sync::{mpsc, oneshot};
use twoply::actor::{Actor, Context as Me, Pool, Routing};
use twoply::promise;

use super::ask::{Number, Question, Successor, batches, check};
use crate::runtimes::{self, Smol, Tasks as _};
use crate::workload::{Case, Context, Run, Sample, timed};

const ONE_WORKER: &[(&str, Run)] = &[
    ("mpsc-tokio-current", tokio_mpsc),
    ("ractor-tokio-current", ractor_factory),
    ("xtra-tokio-current", xtra_mailbox),
    ("smol", shared_channel),
    ("twoply-green", pool),
    ("twoply-green-first-idle", pool),
];

const TWO_WORKERS: &[(&str, Run)] = &[
    ("mpsc-tokio-multi", tokio_mpsc),
    ("ractor-tokio-multi", ractor_factory),
    ("xtra-tokio-multi", xtra_mailbox),
    ("smol", shared_channel),
    ("actix", actix_threads),
    ("twoply-green", pool),
    ("twoply-green-first-idle", pool),
    ("twoply-native", pool),
    ("twoply-native-first-idle", pool),
];

pub(super) const CASES: &[Case] = &[
    timed("actor-pool", &[("members", 8), ("batch", 100), ("workers", 1)], ONE_WORKER),
    timed("actor-pool", &[("members", 8), ("batch", 100), ("workers", 2)], TWO_WORKERS),
];

/// How many questions a run asks at least; a multiple of the batch.
const STEP: usize = 1000;

impl Actor for Successor {
    type Message = Question;
    type Error = Infallible;

    async fn handle(
        &mut self,
        Question(number, answer): Question,
        _: &mut Me<Self>,
    ) -> Result<(), Self::Error> {
        answer.resolve(number + 1).ok();
        Ok(())
    }
}

fn pool(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::twoply(ctx)?;
    let (members, batch) = (ctx.param("members"), ctx.param("batch"));
    ctx.time(STEP, |ops| {
        // The queue has room for a batch, and so has each mailbox.
        let routing = match ctx.system.contains("first-idle") {
            true => Routing::first_idle(batch),
            false => Routing::round_robin(),
        };
        let pool = Pool::builder().size(members).routing(routing).on(runtime.spawner().backend());
        let pool = pool.settings(move |member| member.capacity(batch));
        runtime.run(async move {
            let pool = pool.start(|| Successor).await?;
            let ask = |number| {
                let (answer, resolver) = promise::pair();
                pool.try_send(Question(number, resolver)).ok().context("the pool has ended")?;
                Ok(async { Ok(answer.await?) })
            };
            batches(ops, batch, ask).await?;
            pool.stop().await;
            anyhow::Ok(())
        })?
    })
}

fn tokio_mpsc(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let (members, batch) = (ctx.param("members"), ctx.param("batch"));
    ctx.time(STEP, |ops| {
        let pool: Vec<_> = (0..members)
            .map(|_| {
                let (member, mut mailbox) = mpsc::unbounded_channel::<(u64, oneshot::Sender<u64>)>();
                runtime.spawn(async move {
                    while let Some((number, answer)) = mailbox.recv().await {
                        answer.send(number + 1).ok();
                    }
                });
                member
            })
            .collect();
        let asking = batches(ops, batch, move |number| {
            let (sender, answer) = oneshot::channel();
            let member = &pool[number as usize % pool.len()];
            member.send((number, sender)).ok().context("the task has ended")?;
            Ok(async { Ok(answer.await?) })
        });
        runtime.block_on(runtime.spawn(asking))?
    })
}

/// smol's tasks share a receiver, as async-channel's users have them do.
fn shared_channel(ctx: &Context) -> Result<Sample> {
    let runtime = Smol::new(ctx.workers());
    let (members, batch) = (ctx.param("members"), ctx.param("batch"));
    ctx.time(STEP, |ops| {
        let (pool, mailbox) = async_channel::unbounded::<(u64, futures_channel::oneshot::Sender<u64>)>();
        for _ in 0..members {
            let mailbox = mailbox.clone();
            let member = runtime.executor.spawn(async move {
                while let Ok((number, answer)) = mailbox.recv().await {
                    answer.send(number + 1).ok();
                }
            });
            member.detach();
        }
        runtime.run(batches(ops, batch, move |number| {
            let (sender, answer) = futures_channel::oneshot::channel();
            pool.try_send((number, sender)).ok().context("the tasks have ended")?;
            Ok(async { Ok(answer.await?) })
        }))?
    })
}

/// A question to a factory.
type Asked = (u64, RpcReplyPort<u64>);

/// Answers a number with the next one, as a worker of a factory.
struct OfFactory;

impl Worker for OfFactory {
    type Key = ();
    type Message = Asked;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _: WorkerId,
        _: &ractor::ActorRef<FactoryMessage<(), Asked>>,
        (): (),
    ) -> Result<(), ractor::ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: WorkerId,
        _: &ractor::ActorRef<FactoryMessage<(), Asked>>,
        job: Job<(), Asked>,
        (): &mut (),
    ) -> Result<(), ractor::ActorProcessingErr> {
        let (number, answer) = job.msg;
        answer.send(number + 1).ok();
        Ok(())
    }
}

impl WorkerBuilder<OfFactory, ()> for OfFactory {
    fn build(&mut self, _: WorkerId) -> (OfFactory, ()) {
        (OfFactory, ())
    }
}

fn ractor_factory(ctx: &Context) -> Result<Sample> {
    type Pool = Factory<(), Asked, (), OfFactory, QueuerRouting<(), Asked>, DefaultQueue<(), Asked>>;
    let runtime = runtimes::tokio(ctx)?;
    let (members, batch) = (ctx.param("members"), ctx.param("batch"));
    ctx.time(STEP, |ops| {
        let asking = async move {
            let arguments = FactoryArguments::builder().worker_builder(Box::new(OfFactory));
            let arguments = arguments.queue(DefaultQueue::default()).router(QueuerRouting::default());
            let arguments = arguments.num_initial_workers(members).build();
            let (pool, _task) = ractor::Actor::spawn(None, Pool::default(), arguments).await?;
            let ask = |number| {
                let (sender, answer) = ractor::concurrency::oneshot();
                pool.dispatch((), (number, sender.into())).ok().context("the factory has ended")?;
                Ok(async { Ok(answer.await?) })
            };
            let result = batches(ops, batch, ask).await;
            pool.stop(None);
            result
        };
        runtime.block_on(runtime.spawn(asking))?
    })
}

/// Several actors of xtra on one mailbox.
fn xtra_mailbox(ctx: &Context) -> Result<Sample> {
    let runtime = runtimes::tokio(ctx)?;
    let (members, batch) = (ctx.param("members"), ctx.param("batch"));
    ctx.time(STEP, |ops| {
        let asking = async move {
            let (pool, mailbox) = xtra::Mailbox::unbounded();
            for _ in 0..members {
                tokio::spawn(xtra::run(mailbox.clone(), Successor));
            }
            drop(mailbox);
            let mut answers = Vec::with_capacity(batch);
            for first in (0..ops as u64).step_by(batch) {
                for number in first..first + batch as u64 {
                    answers.push(pool.send(Number(number)).detach().await?);
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

/// Answers a number with the next one, on a thread of actix.
struct OnThread;

impl actix::Actor for OnThread {
    type Context = actix::SyncContext<Self>;
}

impl actix::Handler<Number> for OnThread {
    type Result = u64;

    fn handle(&mut self, asked: Number, _: &mut actix::SyncContext<Self>) -> u64 {
        asked.0 + 1
    }
}

fn actix_threads(ctx: &Context) -> Result<Sample> {
    let system = actix::System::new();
    let (members, batch) = (ctx.param("members"), ctx.param("batch"));
    ctx.time(STEP, |ops| {
        system.block_on(async move {
            let pool = actix::SyncArbiter::start(members, || OnThread);
            batches(ops, batch, |number| {
                let answer = pool.send(Number(number));
                Ok(async { Ok(answer.await?) })
            })
            .await
        })
    })
}
