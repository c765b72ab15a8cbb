//! Ours: a process for each actor, whose body receives in a loop.

use anyhow::{Context as _, Result};
use twoply::actor::{Builder, Event, Process, ProcessRef};

use super::{Behaviour, Flow, Me, Outcome, Ref, System};
use crate::runtimes;
use crate::workload::Context;

/// Processes, and the runtime that they run on.
pub(crate) struct Processes(runtimes::Twoply);

impl System for Processes {
    type Address<B: Behaviour<Self>> = ProcessRef<B::Message>;

    fn start(ctx: &Context) -> Result<Self> {
        Ok(Self(runtimes::twoply(ctx)?))
    }

    fn run(&self, main: impl FnOnce(Outcome) + Send + 'static) -> Result<u64> {
        let (outcome, sum) = Outcome::new();
        self.0.run(async move { main(outcome) })?;
        sum.recv_blocking().context("the outcome is gone")
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
