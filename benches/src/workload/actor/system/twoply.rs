//! Ours, in two ways: a value with handlers ([`Twoply`]), which is what the other libraries have, and under
//! it a process whose body receives in a loop ([`Processes`]).

use std::convert::Infallible;

use anyhow::{Context as _, Result};
use twoply::actor::{Actor, Builder, Context as Handling, Event, Process, ProcessRef};

use super::{Behaviour, Flow, Main, Me, Outcome, Ref, System};
use crate::runtimes::{self, Tasks as _};
use crate::workload::Context;

/// Actors, and the runtime that they run on.
pub(crate) struct Twoply(runtimes::Twoply);

/// The actor of a behaviour.
struct Host<B>(B);

impl System for Twoply {
    type Address<B: Behaviour<Self>> = ProcessRef<B::Message>;

    fn start(ctx: &Context) -> Result<Self> {
        Ok(Self(runtimes::twoply(ctx)?))
    }

    fn run(&self, main: Main) -> Result<u64> {
        run_on(&self.0, main)
    }

    fn spawn<B: Behaviour<Self>>(behaviour: B) -> Ref<Self, B> {
        let started = Builder::new().unbounded().spawn_actor(Host(behaviour));
        Ref(started.expect("the backend of this task starts processes"))
    }

    fn tell<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // It fails only if the actor has ended.
        to.try_send(message).ok();
    }
}

impl<B: Behaviour<Twoply>> Actor for Host<B> {
    type Message = B::Message;
    type Error = Infallible;

    async fn handle(&mut self, message: B::Message, handling: &mut Handling<Self>) -> Result<(), Infallible> {
        if self.0.handle(message, handling) == Flow::Stop {
            handling.stop();
        }
        Ok(())
    }
}

impl<B: Behaviour<Twoply>> Me<Twoply, B> for Handling<Host<B>> {
    fn me(&self) -> Ref<Twoply, B> {
        Ref(Process::me(self))
    }
}

/// Runs `main` as a task, and answers its outcome.
fn run_on(runtime: &runtimes::Twoply, main: Main) -> Result<u64> {
    let (outcome, sum) = Outcome::new();
    runtime.run(async move { main(outcome) })?;
    sum.recv_blocking().context("the outcome is gone")
}

/// Processes, and the runtime that they run on.
pub(crate) struct Processes(runtimes::Twoply);

impl System for Processes {
    type Address<B: Behaviour<Self>> = ProcessRef<B::Message>;

    fn start(ctx: &Context) -> Result<Self> {
        Ok(Self(runtimes::twoply(ctx)?))
    }

    fn run(&self, main: Main) -> Result<u64> {
        run_on(&self.0, main)
    }

    fn spawn<B: Behaviour<Self>>(mut behaviour: B) -> Ref<Self, B> {
        let body = async move |mut me: Process<B::Message>| {
            while let Event::Message(message) = me.receive().await {
                if behaviour.handle(message, &me) == Flow::Stop {
                    break;
                }
            }
        };
        Ref(Builder::new().unbounded().spawn(body).expect("the backend of this task starts processes"))
    }

    fn tell<B: Behaviour<Self>>(to: &Self::Address<B>, message: B::Message) {
        // It fails only if the process has ended.
        to.try_send(message).ok();
    }
}

impl<B: Behaviour<Processes>> Me<Processes, B> for Process<B::Message> {
    fn me(&self) -> Ref<Processes, B> {
        Ref(Process::me(self))
    }
}
